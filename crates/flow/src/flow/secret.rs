//! Which values of a flow's variables must not be shown.
//!
//! Owns the meaning of `is_secret` anywhere in the schema of the variables: everything below it is secret. Where a schema
//! leaves a choice, each branch counts. Must not know who hides the values, or how.

use std::collections::HashSet;

use super::DeclaredVariables;
use crate::value::{Kind, Value};

/// How often a schema may refer on to another part of it without going deeper into the value.
const MOST_REFERENCES: usize = 32;

impl DeclaredVariables {
    /// What must not be shown of these variables, and of the defaults that the schema has.
    ///
    /// ```
    /// use stepflow_flow::{document::Source, plan, value::Value};
    /// let source = Source::new("a.yaml", "
    /// variables: { type: object, properties: { db: { type: object, properties: { password: { is_secret: true } } } } }
    /// output: 1
    /// ");
    /// let plan = plan::check(&source).plan.unwrap();
    /// let given = Value::parse(r#"{"db": {"host": "h", "password": "sesame"}}"#).unwrap();
    /// assert_eq!(plan.variables().unwrap().secrets(&given), [Value::string("sesame")]);
    /// ```
    pub fn secrets(&self, given: &Value) -> Vec<Value> {
        let mut found = Found {
            root: &self.schema,
            values: Vec::new(),
        };
        found.in_value(&self.schema, given, 0);
        found.in_schema(&self.schema, false, &mut HashSet::new());
        found.values
    }
}

struct Found<'s> {
    root: &'s Value,
    values: Vec<Value>,
}

impl Found<'_> {
    fn in_value(&mut self, schema: &Value, value: &Value, n_references: usize) {
        if is_secret(schema) {
            return self.values.push(value.clone());
        }
        if let Some(target) = self
            .target(schema)
            .filter(|_| n_references < MOST_REFERENCES)
        {
            self.in_value(&target, value, n_references + 1);
        }
        for keyword in ["allOf", "anyOf", "oneOf"] {
            for branch in schema.get(keyword).iter().flat_map(Value::items) {
                self.in_value(branch, value, n_references);
            }
        }
        for keyword in ["if", "then", "else"] {
            if let Some(branch) = schema.get(keyword) {
                self.in_value(&branch, value, n_references);
            }
        }
        match value.kind() {
            Kind::Object => self.in_entries(schema, value),
            Kind::List => self.in_items(schema, value),
            _ => {}
        }
    }

    fn in_entries(&mut self, schema: &Value, value: &Value) {
        let properties = schema.get("properties");
        let by_pattern = schema.get("patternProperties");
        let others = schema.get("additionalProperties");
        for (name, value) in value.entries() {
            let own = properties.as_ref().and_then(|all| all.get(name));
            // Whether a pattern fits is not asked: better hidden once too often.
            let patterns = by_pattern.iter().flat_map(Value::entries);
            let patterns = patterns.map(|(_, schema)| schema.clone());
            for schema in own.into_iter().chain(patterns).chain(others.clone()) {
                self.in_value(&schema, value, 0);
            }
        }
    }

    fn in_items(&mut self, schema: &Value, value: &Value) {
        let all = schema.get("items");
        let first = schema.get("prefixItems");
        for (place, item) in value.items().iter().enumerate() {
            let own = first
                .as_ref()
                .and_then(|first| first.items().get(place).cloned());
            for schema in own.into_iter().chain(all.clone()) {
                self.in_value(&schema, item, 0);
            }
        }
    }

    /// The values that stand in the schema itself: defaults and examples of what is secret, or holds it.
    fn in_schema(&mut self, schema: &Value, is_below_secret: bool, seen: &mut HashSet<String>) {
        let is_secret = is_below_secret || is_secret(schema);
        let examples = schema.get("examples");
        let examples = examples.iter().flat_map(Value::items).cloned();
        let values = ["default", "const"].map(|keyword| schema.get(keyword));
        for value in values.into_iter().flatten().chain(examples) {
            match is_secret {
                true => self.values.push(value),
                false => self.in_value(schema, &value, 0),
            }
        }
        for (keyword, below) in schema.entries() {
            match keyword {
                "properties" | "patternProperties" | "$defs" | "definitions" => {
                    let each = below.entries();
                    each.for_each(|(_, schema)| self.in_schema(schema, is_secret, seen));
                }
                "allOf" | "anyOf" | "oneOf" | "prefixItems" => {
                    let each = below.items().iter();
                    each.for_each(|schema| self.in_schema(schema, is_secret, seen));
                }
                "items" | "additionalProperties" | "if" | "then" | "else" => {
                    self.in_schema(below, is_secret, seen);
                }
                // Of a part that is named from secret and open places both count, each once.
                "$ref" if is_secret && seen.insert(below.as_text().to_owned()) => {
                    if let Some(target) = self.target(schema) {
                        self.in_schema(&target, true, seen);
                    }
                }
                _ => {}
            }
        }
    }

    /// What a schema refers to, within the schema of the variables.
    fn target(&self, schema: &Value) -> Option<Value> {
        let reference = schema.get("$ref")?;
        let reference = reference.as_str()?;
        let mut parts = reference.strip_prefix('#')?.split('/').skip(1);
        parts.try_fold(self.root.clone(), |value, part| {
            value.get(&part.replace("~1", "/").replace("~0", "~"))
        })
    }
}

/// Anything but an open refusal counts: a mistake there must not show the value.
fn is_secret(schema: &Value) -> bool {
    let mark = schema.get("is_secret").or_else(|| schema.get("isSecret"));
    mark.is_some_and(|mark| !matches!(mark.as_text(), "false" | "null"))
}

#[cfg(test)]
mod tests {
    use crate::diagnostic::Diagnostics;
    use crate::document::Source;
    use crate::flow::Flow;
    use crate::value::Value;

    /// The variables' schema, what is given, and what of it is secret.
    fn check(schema: &str, given: &str, expected: &str) {
        let source = Source::new("f", format!("variables: {schema}\noutput: 1\n"));
        let flow = Flow::read(&source, &mut Diagnostics::new(&source)).unwrap();
        let found = flow
            .variables
            .unwrap()
            .secrets(&Value::parse(given).unwrap());
        let found: Vec<_> = found
            .iter()
            .map(|value| value.as_text().to_owned())
            .collect();
        assert_eq!(found.join(" "), expected, "{schema}");
    }

    #[test]
    fn what_is_marked_and_all_below_it_is_secret() {
        let object = |properties: &str| format!("{{type: object, properties: {properties}}}");
        check(
            &object("{a: {is_secret: true}, b: {}}"),
            r#"{"a":"1","b":"2"}"#,
            r#""1""#,
        );
        check(
            &object("{a: {isSecret: true}, b: {is_secret: false}}"),
            r#"{"a":{"x":1},"b":2}"#,
            r#"{"x":1}"#,
        );
        let nested = object(&object("{p: {is_secret: true}}").replacen("{type", "{db: {type", 1));
        check(
            &format!("{nested}}}"),
            r#"{"db":{"p":"1","q":"2"},"p":"3"}"#,
            r#""1""#,
        );
        check(
            "{is_secret: true, properties: {}}",
            r#"{"a":1}"#,
            r#"{"a":1}"#,
        );
    }

    #[test]
    fn lists_choices_and_references_are_followed() {
        let check = |schema: &str, expected| {
            let schema = format!(
                "{{properties: {{v: {schema}}}, $defs: {{s: {{is_secret: true}}, loop: {{$ref: '#/$defs/loop'}}}}}}"
            );
            check(&schema, r#"{"v":[{"k":"1","l":"2"},"3"]}"#, expected);
        };
        check("{items: {properties: {k: {is_secret: true}}}}", r#""1""#);
        check("{prefixItems: [{}, {is_secret: true}]}", r#""3""#);
        check(
            "{items: {additionalProperties: {is_secret: true}}}",
            r#""1" "2""#,
        );
        check(
            "{items: {patternProperties: {'^l': {is_secret: true}}}}",
            r#""1" "2""#,
        );
        check(
            "{anyOf: [{type: string}, {items: {properties: {l: {$ref: '#/$defs/s'}}}}]}",
            r#""2""#,
        );
        check("{$ref: '#/$defs/loop'}", "");
        check("{$ref: '#/$defs/gone'}", "");
    }

    #[test]
    fn defaults_are_secret_where_the_value_would_be() {
        check(
            "{properties: {a: {is_secret: true, default: d, examples: [e]}, b: {default: open}}}",
            "null",
            r#""d" "e""#,
        );
        check(
            "{properties: {db: {default: {p: 1, q: 2}, properties: {p: {is_secret: true}}}}}",
            "null",
            "1",
        );
        check(
            "{properties: {db: {is_secret: true, properties: {p: {default: deep}}}}}",
            "null",
            r#""deep""#,
        );
        check(
            "{properties: {a: {is_secret: true, $ref: '#/$defs/d'}}, $defs: {d: {default: there}}}",
            "{}",
            r#""there""#,
        );
    }
}
