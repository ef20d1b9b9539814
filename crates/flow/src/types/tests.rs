//! Types read from schemas and values, and what fits. Owns cases only; must not know flows.

use super::*;

fn of_schema(text: &str) -> Type {
    Type::of_schema(&Value::parse(text).unwrap())
}

#[test]
fn schemas_tell_types() {
    let check = |schema: &str, expected: &str| {
        assert_eq!(of_schema(schema).to_string(), expected, "{schema}")
    };
    check("{}", "any");
    check("true", "any");
    check(r#"{"type": "string"}"#, "string");
    check(r#"{"type": ["string", "null"]}"#, "string | null");
    check(r#"{"type": "array"}"#, "any[]");
    check(
        r#"{"type": "array", "items": {"type": ["integer", "null"]}}"#,
        "(integer | null)[]",
    );
    check(r#"{"type": "object"}"#, "object");
    check(r#"{"type": "object", "additionalProperties": false}"#, "{}");
    check(r#"{"enum": ["a", "b", 1]}"#, "string | integer");
    check(r#"{"const": {"a": 1.5}}"#, "{a: number}");
    check(r#"{"anyOf": [{"type": "string"}, {}]}"#, "any");
    check(
        r#"{"oneOf": [{"type": "string"}, {"type": "boolean"}]}"#,
        "string | boolean",
    );
    check(r#"{"allOf": [{"type": "string"}]}"#, "any");
    check(
        r##"{"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"type": "integer"}}}"##,
        "integer",
    );
    check(r##"{"$ref": "#/$defs/none"}"##, "any");
    // One that refers to itself ends somewhere.
    let list = r##"{"$ref": "#/$defs/list", "$defs": {"list": {"type": "object", "properties": {"next": {"$ref": "#/$defs/list"}}}}}"##;
    assert!(of_schema(list).to_string().starts_with("{next?: {next?: "));
}

#[test]
fn only_what_is_certain_does_not_fit() {
    let check = |given: &str, wanted: &str, expected: Option<&str>| {
        let misfit = of_schema(given).misfit(&of_schema(wanted));
        let shown = misfit.map(|misfit| {
            let given = misfit
                .given
                .map_or_else(|| "nothing".to_owned(), |it| it.to_string());
            format!("{}: {given}, not {}", misfit.at, misfit.wanted)
        });
        assert_eq!(shown.as_deref(), expected, "{given} for {wanted}");
    };
    check("{}", r#"{"type": "string"}"#, None);
    check(r#"{"type": "string"}"#, "{}", None);
    check(r#"{"type": "integer"}"#, r#"{"type": "number"}"#, None);
    check(r#"{"type": "number"}"#, r#"{"type": "integer"}"#, None);
    check(
        r#"{"type": "string"}"#,
        r#"{"type": "integer"}"#,
        Some("$: string, not integer"),
    );
    check(
        r#"{"type": ["string", "integer"]}"#,
        r#"{"type": "integer"}"#,
        None,
    );
    check(
        r#"{"type": ["string", "null"]}"#,
        r#"{"type": "integer"}"#,
        Some("$: string | null, not integer"),
    );
    check(
        r#"{"type": "string"}"#,
        r#"{"type": ["integer", "null"]}"#,
        Some("$: string, not integer | null"),
    );
    let object = |field: &str, rest: &str| {
        format!(r#"{{"type": "object", "properties": {{"n": {{"type": "{field}"}}}}{rest}}}"#)
    };
    let required = r#", "required": ["n"]"#;
    check(
        &object("string", required),
        &object("integer", ""),
        Some("$.n: string, not integer"),
    );
    check(&object("string", ""), &object("integer", ""), None);
    check(
        r#"{"type": "object", "additionalProperties": false}"#,
        &object("integer", required),
        Some("$.n: nothing, not integer"),
    );
    check(r#"{"type": "object"}"#, &object("integer", required), None);
    check(
        r#"{"type": "array", "items": {"type": "string"}}"#,
        r#"{"type": "array", "items": {"type": "integer"}}"#,
        None,
    );
}

#[test]
fn paths_lead_into_types() {
    let kind = of_schema(
        r#"{"type": "object", "properties": {"a": {"type": "array", "items": {"type": "string"}}}}"#,
    );
    let check = |path: &str, expected: &str| {
        assert_eq!(kind.at(&Path::parse(path).unwrap()).to_string(), expected)
    };
    check("$", "{a?: string[], …}");
    check("a", "string[]");
    check("a[0]", "string");
    check("a[0].b", "any");
    check("b", "any");
}
