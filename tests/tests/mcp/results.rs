//! What goes into a tool and what comes out of it.

use serde_json::json;

use super::error;
use super::from;
use super::output;
use super::raw;

#[tokio::test]
async fn an_object_goes_in_and_the_best_there_is_comes_out() {
    let it = raw(&[]);
    let input = json!({"number": 9_007_199_254_740_993_u64, "f": 1.0, "s": "é\u{0}", "null": null});
    let echo = output(&it, "/it/echo", input.clone()).await;
    assert_eq!(echo.get("arguments"), Some(from(input)));
    let echo = output(&it, "/it/echo", json!(null)).await;
    assert_eq!(echo.get("arguments"), Some(from(json!({}))));
    assert_eq!(
        output(&it, "/it/text", json!({})).await,
        from(json!("a text"))
    );
    let text = |text| json!({"type": "text", "text": text});
    let many = json!({"content": [text("one"), text("two")]});
    assert_eq!(output(&it, "/it/many", json!({})).await, from(many));
    let nothing = json!({"content": []});
    assert_eq!(output(&it, "/it/nothing", json!({})).await, from(nothing));
    it.shut_down().await;
}

#[tokio::test]
async fn what_cannot_be_arguments_is_refused_before_anything_is_sent() {
    let it = raw(&[]);
    for (input, words) in [
        (json!([1]), "must be an object"),
        (json!("x"), "named arguments"),
        (json!({"number": "x"}), "/number"),
    ] {
        let error = error(&it, "/it/echo", input).await;
        assert_eq!(error.code, -32003, "{error}");
        assert!(error.message.contains(words), "{error}");
    }
    it.shut_down().await;
}

#[tokio::test]
async fn a_tool_may_have_signs_in_its_name() {
    let it = raw(&[]);
    let name = "signs/in.the_[name]?";
    let flow = format!(
        "steps: [{{id: call, component: '/it/{name}', input: {{}}}}]\noutput: {{$step: call, path: $.tool}}"
    );
    let finished = it.run(&flow, from(json!(null))).await;
    let tool = stepflow_tests::runtime::success(&finished.outcome);
    assert_eq!(tool.as_str().unwrap(), name);
    it.shut_down().await;
}

#[tokio::test]
async fn a_tool_that_fails_is_a_failed_step_with_its_text() {
    let it = raw(&[]);
    let failed = error(&it, "/it/fail", json!({})).await;
    assert_eq!((failed.code, &*failed.message), (-32004, "it went wrong"));
    let content = failed.data.unwrap().get("content").unwrap();
    assert_eq!(
        content,
        from(json!([{"type": "text", "text": "it went wrong"}]))
    );
    it.shut_down().await;
}

#[tokio::test]
async fn an_error_of_the_server_keeps_its_code_and_its_data() {
    let it = raw(&[]);
    let failed = error(&it, "/it/error", json!({})).await;
    assert_eq!(
        (failed.code, &*failed.message),
        (-32099, "a code of its own")
    );
    assert_eq!(failed.data, Some(from(json!({"a": 1}))));
    it.shut_down().await;
}

#[tokio::test]
async fn a_result_that_is_none_costs_its_call_alone() {
    let it = raw(&[]);
    let failed = error(&it, "/it/odd", json!({})).await;
    assert_eq!(failed.code, -32004, "{failed}");
    assert!(failed.message.contains("no result of a tool"), "{failed}");
    assert_eq!(
        output(&it, "/it/text", json!({})).await,
        from(json!("a text"))
    );
    it.shut_down().await;
}

#[tokio::test]
async fn a_server_may_ask_for_nothing_but_a_ping() {
    let it = raw(&[]);
    let echo = output(&it, "/it/echo", json!({})).await;
    assert_eq!(
        echo.get("client"),
        Some(from(json!({}))),
        "declared capabilities"
    );
    let answers = output(&it, "/it/ask", json!({})).await;
    let ping = answers.get("ping").unwrap();
    assert_eq!(ping, from(json!({"result": {}})));
    for method in [
        "sampling/createMessage",
        "elicitation/create",
        "roots/list",
        "x/y",
    ] {
        let answer = answers.get(method).unwrap();
        let code = answer.get("error").and_then(|error| error.get("code"));
        assert_eq!(code, Some(from(json!(-32601))), "{method}: {answer:?}");
    }
    it.shut_down().await;
}
