//! What is known of values without running anything.
//!
//! Owns types as far as JSON Schemas tell them, the types of expressions, and what certainly does not fit. Where a schema
//! leaves a choice or says something that types do not, the type is [`Type::Any`], which fits everywhere. Must not know
//! where schemas come from, nor what is said about a misfit.

use std::fmt;
use std::sync::Arc;

use indexmap::IndexMap;

use crate::expression::{Expression, OnSkip, Reference, Target};
use crate::path::{Path, Segment};
use crate::value::{Kind, Value};

/// How deep types are looked into: a schema may refer to itself.
const DEEPEST: usize = 12;

/// How many keys or alternatives are shown.
const SHOWN: usize = 12;

/// What is known of a value.
#[derive(Clone, Debug, PartialEq)]
pub enum Type {
    /// Nothing.
    Any,
    /// It is null.
    Null,
    /// It is true or false.
    Boolean,
    /// It is a number without a fraction.
    Integer,
    /// It is a number.
    Number,
    /// It is a string.
    String,
    /// It is a list of such values.
    List(Box<Type>),
    /// It is an object.
    Object(ObjectType),
    /// It is one of these.
    OneOf(Vec<Type>),
}

/// What is known of an object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ObjectType {
    /// The keys that are known.
    pub fields: IndexMap<Arc<str>, Field>,
    /// Whether it has no other keys.
    pub is_closed: bool,
}

/// A key of an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// What is known of its value.
    pub kind: Type,
    /// Whether it is always there.
    pub is_required: bool,
}

/// Where a value cannot fit.
#[derive(Clone, Debug, PartialEq)]
pub struct Misfit {
    /// The part of the value.
    pub at: Path,
    /// What it is; `None` where it is not there.
    pub given: Option<Type>,
    /// What it should be.
    pub wanted: Type,
}

impl Type {
    /// What a JSON Schema says of the values that fit it.
    ///
    /// ```
    /// use stepflow_flow::{types::Type, value::Value};
    /// let schema = r#"{"type": "object", "properties": {"n": {"type": "integer"}, "tags": {"type": "array", "items": {"type": "string"}}}, "required": ["n"]}"#;
    /// let kind = Type::of_schema(&Value::parse(schema).unwrap());
    /// assert_eq!(kind.to_string(), "{n: integer, tags?: string[], …}");
    /// ```
    pub fn of_schema(schema: &Value) -> Type {
        of_schema(schema, schema, 0)
    }

    /// What a value is.
    pub fn of_value(value: &Value) -> Type {
        of_value(value, 0)
    }

    /// What a path leads to in such a value, as far as that is known.
    pub fn at(&self, path: &Path) -> Type {
        let mut found = self;
        for segment in path.segments() {
            found = match (segment, found) {
                (Segment::Field(name), Type::Object(object)) => match object.fields.get(name) {
                    Some(field) => &field.kind,
                    None => return Type::Any,
                },
                (Segment::Index(_), Type::List(items)) => items,
                _ => return Type::Any,
            };
        }
        found.clone()
    }

    /// Where a value of this type certainly does not fit where another is wanted.
    pub fn misfit(&self, wanted: &Type) -> Option<Misfit> {
        misfit(self, wanted, &mut Vec::new())
    }

    /// Either of two.
    fn or(self, other: Type) -> Type {
        let mut all = match self {
            Type::OneOf(all) => all,
            one => vec![one],
        };
        let more = match other {
            Type::OneOf(more) => more,
            one => vec![one],
        };
        for one in more {
            if !all.contains(&one) {
                all.push(one);
            }
        }
        if all.contains(&Type::Any) {
            return Type::Any;
        }
        match all.len() {
            1 => all.remove(0),
            _ => Type::OneOf(all),
        }
    }
}

fn one_of(all: impl IntoIterator<Item = Type>) -> Type {
    all.into_iter().reduce(Type::or).unwrap_or(Type::Any)
}

/// Keywords that say more than types can.
const BEYOND: [&str; 6] = [
    "$dynamicRef",
    "allOf",
    "not",
    "if",
    "prefixItems",
    "patternProperties",
];

fn of_schema(schema: &Value, root: &Value, depth: usize) -> Type {
    if depth > DEEPEST || BEYOND.iter().any(|keyword| schema.get(keyword).is_some()) {
        return Type::Any;
    }
    if let Some(reference) = schema.get("$ref") {
        let target = reference.as_str().and_then(|it| resolve(&it, root));
        return target.map_or(Type::Any, |target| of_schema(&target, root, depth + 1));
    }
    if let Some(value) = schema.get("const") {
        return of_value(&value, depth);
    }
    if let Some(values) = schema.get("enum") {
        return one_of(values.items().iter().map(|value| of_value(value, depth)));
    }
    for keyword in ["anyOf", "oneOf"] {
        if let Some(all) = schema.get(keyword) {
            return one_of(all.items().iter().map(|it| of_schema(it, root, depth + 1)));
        }
    }
    let Some(kind) = schema.get("type") else {
        return Type::Any;
    };
    match kind.as_str() {
        Some(name) => of_name(&name, schema, root, depth),
        None => one_of(kind.items().iter().map(|name| {
            let name = name.as_str().unwrap_or_default();
            of_name(&name, schema, root, depth)
        })),
    }
}

/// `#/$defs/Item`, within the schema.
fn resolve(reference: &str, root: &Value) -> Option<Value> {
    let mut found = root.clone();
    for part in reference.strip_prefix('#')?.split('/').skip(1) {
        found = found.get(&part.replace("~1", "/").replace("~0", "~"))?;
    }
    Some(found)
}

fn of_name(name: &str, schema: &Value, root: &Value, depth: usize) -> Type {
    match name {
        "null" => Type::Null,
        "boolean" => Type::Boolean,
        "integer" => Type::Integer,
        "number" => Type::Number,
        "string" => Type::String,
        "array" => {
            let items = schema.get("items");
            let items = items.map_or(Type::Any, |items| of_schema(&items, root, depth + 1));
            Type::List(Box::new(items))
        }
        "object" => {
            let required = schema.get("required").unwrap_or_default();
            let is_required = |name: &str| {
                required
                    .items()
                    .iter()
                    .any(|it| it.as_str().as_deref() == Some(name))
            };
            let properties = schema.get("properties").unwrap_or_default();
            let fields = properties.entries().map(|(name, schema)| {
                let field = Field {
                    kind: of_schema(schema, root, depth + 1),
                    is_required: is_required(name),
                };
                (Arc::from(name), field)
            });
            let others = schema.get("additionalProperties");
            Type::Object(ObjectType {
                fields: fields.collect(),
                is_closed: others.and_then(|it| it.as_bool()) == Some(false),
            })
        }
        _ => Type::Any,
    }
}

fn of_value(value: &Value, depth: usize) -> Type {
    if depth > DEEPEST {
        return Type::Any;
    }
    match value.kind() {
        Kind::Null => Type::Null,
        Kind::Bool => Type::Boolean,
        Kind::Number if value.as_text().contains(['.', 'e', 'E']) => Type::Number,
        Kind::Number => Type::Integer,
        Kind::String => Type::String,
        Kind::List => {
            let items = value.items().iter().map(|item| of_value(item, depth + 1));
            Type::List(Box::new(one_of(items)))
        }
        Kind::Object => {
            let fields = value.entries().map(|(name, item)| {
                let field = Field {
                    kind: of_value(item, depth + 1),
                    is_required: true,
                };
                (Arc::from(name), field)
            });
            Type::Object(ObjectType {
                fields: fields.collect(),
                is_closed: true,
            })
        }
    }
}

/// What is known of an expression's value; `known` tells the types of what references lead into.
pub fn of_expression<R>(expression: &Expression<R>, known: &impl Fn(&Target<R>) -> Type) -> Type {
    match expression {
        Expression::Literal(value) => Type::of_value(value),
        Expression::Reference(reference) => of_reference(reference, known),
        Expression::If(parts) => {
            of_expression(&parts.then, known).or(of_expression(&parts.otherwise, known))
        }
        // Any of them may be missing, and null is what is left in the end.
        Expression::Coalesce(items) => {
            let items = items.iter().map(|item| of_expression(item, known));
            one_of(items.chain([Type::Null]))
        }
        Expression::Template(_) => Type::String,
        Expression::List(items) => {
            let items = items.iter().map(|item| of_expression(item, known));
            Type::List(Box::new(one_of(items)))
        }
        Expression::Object(entries) => {
            let fields = entries.iter().map(|(name, entry)| {
                let field = Field {
                    kind: of_expression(entry, known),
                    is_required: true,
                };
                (Arc::clone(name), field)
            });
            Type::Object(ObjectType {
                fields: fields.collect(),
                is_closed: true,
            })
        }
    }
}

fn of_reference<R>(reference: &Reference<R>, known: &impl Fn(&Target<R>) -> Type) -> Type {
    let found = known(&reference.target).at(&reference.path);
    match &reference.target {
        Target::Step {
            on_skip: OnSkip::UseDefault(default),
            ..
        }
        | Target::Variable {
            default: Some(default),
            ..
        } => found.or(of_expression(default, known)),
        Target::Input | Target::Step { .. } | Target::Variable { .. } => found,
    }
}

fn misfit(given: &Type, wanted: &Type, at: &mut Vec<Segment>) -> Option<Misfit> {
    let here = |at: &[Segment]| Misfit {
        at: Path::new(at),
        given: Some(given.clone()),
        wanted: wanted.clone(),
    };
    match (given, wanted) {
        (Type::Any, _) | (_, Type::Any) => None,
        // Only what none of the alternatives does is certain.
        (Type::OneOf(all), wanted) => {
            let misfits: Option<Vec<_>> = all.iter().map(|one| misfit(one, wanted, at)).collect();
            misfits
                .filter(|misfits| !misfits.is_empty())
                .map(|_| here(at))
        }
        (given, Type::OneOf(all)) => {
            let misfits: Option<Vec<_>> = all.iter().map(|one| misfit(given, one, at)).collect();
            misfits.map(|_| here(at))
        }
        (Type::Object(given), Type::Object(wanted)) => {
            wanted.fields.iter().find_map(|(name, wanted)| {
                let found = given.fields.get(name);
                at.push(Segment::Field(Arc::clone(name)));
                let misfit = match found {
                    Some(found) if found.is_required => misfit(&found.kind, &wanted.kind, at),
                    None if wanted.is_required && given.is_closed => Some(Misfit {
                        at: Path::new(&at[..]),
                        given: None,
                        wanted: wanted.kind.clone(),
                    }),
                    _ => None,
                };
                at.pop();
                misfit
            })
        }
        // A list may be empty, and a number may be whole.
        (Type::List(_), Type::List(_))
        | (Type::Integer | Type::Number, Type::Integer | Type::Number) => None,
        (given, wanted) if given == wanted => None,
        _ => Some(here(at)),
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Any => f.write_str("any"),
            Type::Null => f.write_str("null"),
            Type::Boolean => f.write_str("boolean"),
            Type::Integer => f.write_str("integer"),
            Type::Number => f.write_str("number"),
            Type::String => f.write_str("string"),
            Type::List(items) => match &**items {
                Type::OneOf(_) => write!(f, "({items})[]"),
                items => write!(f, "{items}[]"),
            },
            Type::Object(object) => write!(f, "{object}"),
            Type::OneOf(all) => {
                for (place, one) in all.iter().take(SHOWN).enumerate() {
                    f.write_str(if place == 0 { "" } else { " | " })?;
                    write!(f, "{one}")?;
                }
                f.write_str(if all.len() > SHOWN { " | …" } else { "" })
            }
        }
    }
}

impl fmt::Display for ObjectType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.fields.is_empty() && !self.is_closed {
            return f.write_str("object");
        }
        f.write_str("{")?;
        for (place, (name, field)) in self.fields.iter().take(SHOWN).enumerate() {
            f.write_str(if place == 0 { "" } else { ", " })?;
            let mark = if field.is_required { "" } else { "?" };
            write!(f, "{name}{mark}: {}", field.kind)?;
        }
        if self.fields.len() > SHOWN || !self.is_closed {
            f.write_str(", …")?;
        }
        f.write_str("}")
    }
}

#[cfg(test)]
mod tests;
