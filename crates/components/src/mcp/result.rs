//! From a tool's result to an output, or to the failure that it tells of.

use rmcp::model::CallToolResult;
use rmcp::model::ContentBlock;
use stepflow_engine::Class;
use stepflow_engine::Failure;
use stepflow_flow::error::ErrorCode;
use stepflow_flow::value::Value;

/// The output: the structured content where there is one, else the text where that is all there is, else all content.
pub(super) fn of(tool: &str, result: CallToolResult) -> Result<Value, Failure> {
    if result.is_error == Some(true) {
        return Err(failed(tool, &result));
    }
    if let Some(structured) = result.structured_content {
        return Ok(Value::from(structured));
    }
    Ok(match result.content.as_slice() {
        [ContentBlock::Text(only)] => Value::string(&only.text),
        content => all_of(content, None),
    })
}

fn failed(tool: &str, result: &CallToolResult) -> Failure {
    let texts: Vec<&str> = result
        .content
        .iter()
        .filter_map(|block| match block {
            ContentBlock::Text(text) => Some(text.text.as_str()),
            _ => None,
        })
        .collect();
    let message = match texts.as_slice() {
        [] => format!("the MCP tool `{tool}` failed without a text; see the error's data"),
        texts => texts.join("\n"),
    };
    let data = all_of(&result.content, result.structured_content.as_ref());
    let error = ErrorCode::COMPONENT_FAILED.error(message).with_data(data);
    Failure::new(Class::Component, error)
}

fn all_of(content: &[ContentBlock], structured: Option<&serde_json::Value>) -> Value {
    let mut all = serde_json::json!({ "content": content });
    if let Some(structured) = structured {
        all["structuredContent"] = structured.clone();
    }
    Value::from(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(result: &str, expected: Result<&str, &str>) {
        let told: CallToolResult = serde_json::from_str(result).unwrap();
        match (of("add", told), expected) {
            (Ok(output), Ok(expected)) => {
                assert_eq!(output, Value::parse(expected).unwrap(), "{result}");
            }
            (Err(failure), Err(message)) => {
                assert_eq!(failure.class, Class::Component);
                assert_eq!(failure.error.code, ErrorCode::COMPONENT_FAILED.number());
                assert_eq!(failure.error.message, message);
                assert!(failure.error.data.unwrap().get("content").is_some());
            }
            (output, expected) => panic!("{result}: {output:?}, not {expected:?}"),
        }
    }

    #[test]
    fn structured_content_comes_before_text_and_text_before_the_rest() {
        let text = r#"{"type":"text","text":"three"}"#;
        let image = r#"{"type":"image","data":"AA==","mimeType":"image/png"}"#;
        check(
            &format!(r#"{{"content":[{text}],"structuredContent":{{"sum":3}}}}"#),
            Ok(r#"{"sum":3}"#),
        );
        check(r#"{"content":[],"structuredContent":null}"#, Ok("null"));
        check(&format!(r#"{{"content":[{text}]}}"#), Ok(r#""three""#));
        check(
            &format!(r#"{{"content":[{text}],"isError":false}}"#),
            Ok(r#""three""#),
        );
        check(
            &format!(r#"{{"content":[{text},{image}]}}"#),
            Ok(&format!(r#"{{"content":[{text},{image}]}}"#)),
        );
        check(
            &format!(r#"{{"content":[{image}]}}"#),
            Ok(&format!(r#"{{"content":[{image}]}}"#)),
        );
        check(r#"{"content":[]}"#, Ok(r#"{"content":[]}"#));
    }

    #[test]
    fn an_error_is_told_in_the_tools_own_words() {
        let text = |text: &str| format!(r#"{{"type":"text","text":"{text}"}}"#);
        let result = |content: &str| format!(r#"{{"isError":true,"content":[{content}]}}"#);
        check(&result(&text("no such file")), Err("no such file"));
        check(
            &result(&format!("{},{}", text("a"), text("b"))),
            Err("a\nb"),
        );
        check(
            &result(""),
            Err("the MCP tool `add` failed without a text; see the error's data"),
        );
    }
}
