//! The list of a server's tools: in pages, without an end, and another than before.

use serde_json::json;
use stepflow_engine::Failure;
use stepflow_tests::runtime::Runtime;

use super::error;
use super::from;
use super::output;
use super::raw;

/// The names in the list of the one MCP server.
async fn names(runtime: &Runtime) -> Result<Vec<String>, Failure> {
    let mut listings = runtime.plugins.list().await;
    let listing = listings.remove(listings.iter().position(|it| it.plugin == "it").unwrap());
    let names = |list: Vec<(Vec<String>, _)>| list.into_iter().flat_map(|(paths, _)| paths);
    listing.components.map(|list| names(list).collect())
}

#[tokio::test]
async fn all_pages_of_a_list_are_read() {
    let (whole, pages) = (raw(&[]), raw(&["pages"]));
    let expected = names(&whole).await.unwrap();
    assert_eq!(expected.len(), 14);
    assert_eq!(names(&pages).await.unwrap(), expected);
    assert_eq!(
        output(&pages, "/it/many", json!({}))
            .await
            .get("content")
            .unwrap()
            .len(),
        2
    );
    whole.shut_down().await;
    pages.shut_down().await;
}

#[tokio::test]
async fn a_list_without_an_end_is_given_up_and_its_server_used_unchecked() {
    let it = raw(&["loop"]);
    let failure = names(&it).await.unwrap_err();
    assert!(failure.error.message.contains("has no end"), "{failure:?}");
    assert_eq!(
        output(&it, "/it/text", json!({})).await,
        from(json!("a text"))
    );
    it.shut_down().await;
}

#[tokio::test]
async fn a_server_without_tools_has_none() {
    let it = raw(&["tool-less"]);
    assert_eq!(names(&it).await.unwrap(), Vec::<String>::new());
    it.shut_down().await;
}

#[tokio::test]
async fn tools_that_change_are_asked_for_again() {
    let it = raw(&[]);
    let unknown = error(&it, "/it/growm", json!({})).await;
    assert_eq!(unknown.code, -32001, "{unknown}");
    assert!(
        unknown.message.contains("did you mean `/grow`"),
        "{unknown}"
    );
    let before = output(&it, "/it/echo", json!({"number": 1})).await;
    assert_eq!(before.get("arguments"), Some(from(json!({"number": 1}))));
    assert_eq!(
        output(&it, "/it/grow", json!({})).await,
        from(json!("one more"))
    );
    assert!(names(&it).await.unwrap().contains(&"/it/grown".to_owned()));
    // Since then the schemas are others too.
    let after = error(&it, "/it/echo", json!({"number": 1})).await;
    assert_eq!(after.code, -32003, "{after}");
    output(&it, "/it/grown", json!({"number": "one"})).await;
    it.shut_down().await;
}
