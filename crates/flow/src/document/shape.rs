//! What may stand in a document, as data: the keys of each object with their shapes and a line of help.
//!
//! Owns how such a table looks, and the JSON Schema made from tables. A reader takes its keys from the same table through
//! [`Fields`](super::Fields), so the two cannot drift apart. Must not know any table, nor how a value is read.

use serde_json::{Map, Value as Json, json};

use super::spells;

/// An object with known keys.
#[derive(Debug)]
pub struct Object {
    /// Its name among the definitions of a schema.
    pub name: &'static str,
    /// What messages call it, with its article.
    pub what: &'static str,
    /// What it is for.
    pub about: &'static str,
    /// The keys that it may have.
    pub keys: &'static [Key],
    /// What its keys cannot say one by one; each must hold.
    pub rules: fn(&mut Definitions) -> Vec<Json>,
}

/// For an object of which each key stands for itself.
pub fn no_rules(_: &mut Definitions) -> Vec<Json> {
    Vec::new()
}

/// A key of an object.
#[derive(Debug)]
pub struct Key {
    /// Its name, in camelCase.
    pub name: &'static str,
    shape: Shape,
    about: &'static str,
    is_required: bool,
}

impl Key {
    /// A key that may be missing, or null.
    pub const fn new(name: &'static str, shape: Shape, about: &'static str) -> Key {
        Key {
            name,
            shape,
            about,
            is_required: false,
        }
    }

    /// The same key where it must be there.
    #[must_use]
    pub const fn required(self) -> Key {
        Key {
            name: self.name,
            shape: self.shape,
            about: self.about,
            is_required: true,
        }
    }
}

/// What a value looks like.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// Anything.
    Any,
    /// Nothing: the key is known only so that more can be said than that it is not.
    Absent,
    /// Null, where that is a value.
    Null,
    /// A string.
    Text,
    /// A string that matches a pattern.
    Matching(&'static str),
    /// True or false.
    Boolean,
    /// A string, or a number or boolean that is taken as one.
    Scalar,
    /// A whole number.
    Integer,
    /// A whole number within bounds.
    Count(u64, u64),
    /// A number that is at least so large.
    Number(f64),
    /// `500ms`, `30s`, `5m`, or a number of seconds.
    Duration,
    /// A duration that is not zero.
    PositiveDuration,
    /// One of a few words, in camelCase or snake_case.
    Word(&'static [&'static str]),
    /// A list.
    List(&'static Shape),
    /// A list with at least one item.
    FilledList(&'static Shape),
    /// A list of two.
    Pair(&'static Shape),
    /// An object with keys of the author's own, which match a pattern.
    Map(&'static str, &'static Shape),
    /// An object with known keys.
    Object(&'static Object),
    /// One of several.
    OneOf(&'static [Shape]),
    /// What these words cannot say.
    Made(&'static Made),
}

/// A shape that is written as JSON Schema, under a name.
#[derive(Debug)]
pub struct Made {
    /// Its name among the definitions of a schema.
    pub name: &'static str,
    /// Makes it.
    pub make: fn(&mut Definitions) -> Json,
}

/// JSON Schema, as people know it from elsewhere: an object, or true or false.
pub const JSON_SCHEMA: Shape = Shape::Made(&Made {
    name: "jsonSchema",
    make: |_| json!({"description": "A JSON Schema.", "type": ["object", "boolean"]}),
});

/// Whether a string may stand where another scalar is meant, because it is substituted first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placeholders {
    /// Strings are strings.
    None,
    /// `${VARIABLE}` may stand for any scalar.
    Braced,
}

/// The definitions of a schema, made as they are referred to.
#[derive(Debug)]
pub struct Definitions {
    placeholders: Placeholders,
    made: Map<String, Json>,
}

/// The JSON Schema (draft 2020-12) of a whole document.
pub fn schema(title: &str, root: &'static Object, placeholders: Placeholders) -> Json {
    let mut definitions = Definitions {
        placeholders,
        made: Map::new(),
    };
    let root = definitions.object(root);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        "$ref": root["$ref"],
        "$defs": definitions.made,
    })
}

impl Definitions {
    /// The schema of a shape; what has a name is referred to by it.
    pub fn shape(&mut self, shape: &Shape) -> Json {
        match *shape {
            Shape::Any => json!({}),
            Shape::Absent => json!(false),
            Shape::Null => json!({"type": "null"}),
            Shape::Text => json!({"type": "string"}),
            Shape::Matching(pattern) => json!({"type": "string", "pattern": pattern}),
            Shape::Scalar => json!({"type": ["string", "number", "boolean"]}),
            Shape::List(items) => json!({"type": "array", "items": self.shape(items)}),
            Shape::FilledList(items) => {
                json!({"type": "array", "items": self.shape(items), "minItems": 1})
            }
            Shape::Pair(items) => {
                json!({"type": "array", "items": self.shape(items), "minItems": 2, "maxItems": 2})
            }
            Shape::Map("", values) => {
                json!({"type": "object", "additionalProperties": self.shape(values)})
            }
            Shape::Map(names, values) => json!({
                "type": "object",
                "propertyNames": {"pattern": names},
                "additionalProperties": self.shape(values),
            }),
            Shape::Object(object) => self.object(object),
            Shape::OneOf(shapes) => {
                let shapes: Vec<_> = shapes.iter().map(|shape| self.shape(shape)).collect();
                json!({"anyOf": shapes})
            }
            Shape::Made(made) => self.define(made.name, |all| (made.make)(all)),
            _ => self.scalar(shape),
        }
    }

    /// Scalars that are no strings, or not any string.
    fn scalar(&self, shape: &Shape) -> Json {
        let schema = match *shape {
            Shape::Boolean => json!({"type": "boolean"}),
            Shape::Integer => json!({"type": "integer"}),
            Shape::Count(least, u64::MAX) => json!({"type": "integer", "minimum": least}),
            Shape::Count(least, most) => {
                json!({"type": "integer", "minimum": least, "maximum": most})
            }
            Shape::Number(least) => json!({"type": "number", "minimum": least}),
            Shape::Word(words) => {
                let spellings = words.iter().flat_map(|word| spellings(word));
                json!({"enum": spellings.collect::<Vec<_>>()})
            }
            Shape::PositiveDuration => duration("exclusiveMinimum", "(?=[^eE]*[1-9])"),
            _ => duration("minimum", ""),
        };
        match self.placeholders {
            Placeholders::None => schema,
            Placeholders::Braced => {
                json!({"anyOf": [schema, {"type": "string", "pattern": "\\$\\{"}]})
            }
        }
    }

    /// A reference to a definition, which is made the first time.
    pub fn define(&mut self, name: &str, make: impl FnOnce(&mut Definitions) -> Json) -> Json {
        if !self.made.contains_key(name) {
            // Whoever refers to it while it is made finds that it is there.
            self.made.insert(name.to_owned(), Json::Null);
            let made = make(self);
            self.made.insert(name.to_owned(), made);
        }
        json!({"$ref": format!("#/$defs/{name}")})
    }

    fn object(&mut self, object: &'static Object) -> Json {
        self.define(object.name, |all| all.keys(object))
    }

    /// The schema of an object with known keys, not referred to but itself.
    pub fn keys(&mut self, object: &'static Object) -> Json {
        let mut properties = Map::new();
        let mut patterns = Map::from_iter([("^x-".to_owned(), json!({}))]);
        let mut rules = Vec::new();
        let (mut required, mut needed) = (Vec::new(), Vec::new());
        for key in object.keys {
            if matches!(key.shape, Shape::Absent) {
                continue;
            }
            let spellings = spellings(key.name);
            properties.insert(key.name.to_owned(), self.key(key));
            // Read, and not proposed by editors: whoever writes a document writes camelCase.
            for other in &spellings[1..] {
                let camel = format!("#/$defs/{}/properties/{}", object.name, key.name);
                patterns.insert(format!("^{other}$"), json!({"$ref": camel}));
                rules.push(json!({"not": {"required": spellings}}));
            }
            match (key.is_required, &spellings[..]) {
                (true, [only]) => required.push(only.clone()),
                (true, both) => {
                    let each = both.iter().map(|name| json!({"required": [name]}));
                    needed.push(json!({"anyOf": each.collect::<Vec<_>>()}));
                }
                (false, _) => {}
            }
        }
        rules.extend(needed);
        rules.extend((object.rules)(self));
        let mut schema = json!({
            "description": object.about,
            "type": "object",
            "properties": properties,
            "patternProperties": patterns,
            "additionalProperties": false,
        });
        if !required.is_empty() {
            schema["required"] = json!(required);
        }
        if !rules.is_empty() {
            schema["allOf"] = json!(rules);
        }
        schema
    }

    fn key(&mut self, key: &Key) -> Json {
        let schema = self.shape(&key.shape);
        let takes_null = key.is_required || matches!(key.shape, Shape::Any);
        let mut schema = match &schema {
            schema if takes_null => schema.clone(),
            Json::Object(object) if object.get("type").is_some_and(Json::is_string) => {
                let mut object = object.clone();
                object["type"] = json!([object["type"], "null"]);
                Json::Object(object)
            }
            _ => json!({"anyOf": [schema, {"type": "null"}]}),
        };
        if let Json::Object(object) = &mut schema {
            object.insert("description".to_owned(), json!(key.about));
        }
        schema
    }
}

/// A duration: numbers are seconds, and no longer than a century.
fn duration(least: &str, look: &str) -> Json {
    const LONGEST: u64 = 3_155_760_000;
    let pattern =
        format!(r"^\s*{look}([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*(ms|s|m|h)?\s*$");
    json!({"anyOf": [
        {"type": "string", "pattern": pattern},
        {"type": "number", least: 0, "maximum": LONGEST},
    ]})
}

/// The ways in which a camelCase word may be written: itself, and in snake_case where that is another.
pub fn spellings(camel: &str) -> Vec<String> {
    let mut snake = String::new();
    for letter in camel.chars() {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    debug_assert!(spells(&snake, camel));
    let mut all = vec![camel.to_owned()];
    if snake != camel {
        all.push(snake);
    }
    all
}
