//! From a step's input to a tool's arguments, which are named: an object, or nothing at all.

use rmcp::model::JsonObject;
use stepflow_engine::Class;
use stepflow_engine::Failure;
use stepflow_flow::error::ErrorCode;
use stepflow_flow::value::Kind;
use stepflow_flow::value::Value;

/// The arguments of a call; `null` stands for none.
pub(super) fn of(tool: &str, input: &Value) -> Result<JsonObject, Failure> {
    match input.kind() {
        Kind::Null => return Ok(JsonObject::new()),
        Kind::Object => {}
        other => {
            let kind = other.name();
            return Err(refused(format!(
                "the MCP tool `{tool}` takes named arguments, so its input must be an object, not of type {kind}; \
                 write `input: {{ name: value }}`"
            )));
        }
    }
    if let Some(number) = too_large(input) {
        return Err(refused(format!(
            "the input of the MCP tool `{tool}` holds the whole number {number}, which is beyond 64 bits and would arrive \
             rounded; pass it as a string"
        )));
    }
    input.deserialize().map_err(|error| {
        refused(format!(
            "the input of the MCP tool `{tool}` cannot be sent: {error}"
        ))
    })
}

/// A whole number that the library would round without a word.
fn too_large(value: &Value) -> Option<&str> {
    match value.kind() {
        Kind::Number => {
            let text = value.as_text();
            let is_whole = !text.contains(['.', 'e', 'E']);
            (is_whole && value.as_i64().is_none() && value.as_u64().is_none()).then_some(text)
        }
        Kind::List => value.items().iter().find_map(too_large),
        Kind::Object => value.entries().find_map(|(_, value)| too_large(value)),
        Kind::Null | Kind::Bool | Kind::String => None,
    }
}

fn refused(message: String) -> Failure {
    Failure::new(Class::Refused, ErrorCode::INVALID_INPUT.error(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str, expected: Result<&str, &str>) {
        let input = Value::parse(input).unwrap();
        let arguments = of("add", &input).map(|it| serde_json::to_string(&it).unwrap());
        match (arguments, expected) {
            (Ok(arguments), Ok(expected)) => assert_eq!(arguments, expected),
            (Err(failure), Err(part)) => {
                assert_eq!(failure.class, Class::Refused);
                let message = failure.error.message;
                assert!(message.contains(part), "{message}");
            }
            (arguments, expected) => panic!("{input:?}: {arguments:?}, not {expected:?}"),
        }
    }

    #[test]
    fn objects_become_arguments_and_nothing_else_does() {
        check(
            r#"{"b": 1, "a": [1.0, null]}"#,
            Ok(r#"{"b":1,"a":[1.0,null]}"#),
        );
        check("null", Ok("{}"));
        check("{}", Ok("{}"));
        check("3", Err("must be an object, not of type number"));
        check("[1]", Err("must be an object"));
        check(r#""text""#, Err("takes named arguments"));
    }

    #[test]
    fn numbers_arrive_as_they_are_or_not_at_all() {
        check(
            r#"{"a": 18446744073709551615, "b": -9223372036854775808}"#,
            Ok(r#"{"a":18446744073709551615,"b":-9223372036854775808}"#),
        );
        check(
            r#"{"a": [{"b": 18446744073709551616}]}"#,
            Err("18446744073709551616"),
        );
        check(r#"{"a": 1e999}"#, Err("cannot be sent"));
    }
}
