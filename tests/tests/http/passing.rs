//! What a test does to requests on their way to the Rust server in this process. Owns how; which ones, the tests say.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::body::Body;
use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header;
use axum::middleware;
use axum::middleware::Next;
use axum::response::Response;
use stepflow_tests::front;

/// An answer of one's own.
pub fn answer(status: StatusCode, kind: &str, body: &str) -> Response {
    let response = Response::builder().status(status);
    let response = response.header(header::CONTENT_TYPE, kind);
    response.body(Body::from(body.to_owned())).unwrap()
}

/// Whether a request has these words in its body; the request is whole afterwards.
pub async fn says(request: Request, words: &str) -> (Request, bool) {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let says = String::from_utf8_lossy(&body).contains(words);
    (Request::from_parts(parts, Body::from(body)), says)
}

/// A server in front of which every so manieth execute request is answered by something else, the first time it comes.
pub fn every(
    nth: usize,
    status: u16,
    kind: &'static str,
    body: &'static str,
    hits: Arc<AtomicUsize>,
) -> Router {
    let n_calls = Arc::new(AtomicUsize::new(0));
    front::routes().layer(middleware::from_fn(move |request: Request, next: Next| {
        let (n_calls, hits) = (Arc::clone(&n_calls), Arc::clone(&hits));
        async move {
            let (request, is_call) = says(request, "\"components/execute\"").await;
            if is_call && n_calls.fetch_add(1, Ordering::Relaxed) % nth == nth - 1 {
                hits.fetch_add(1, Ordering::Relaxed);
                let mut answer = answer(StatusCode::from_u16(status).unwrap(), kind, body);
                answer.headers_mut().insert(header::RETRY_AFTER, 0.into());
                return answer;
            }
            next.run(request).await
        }
    }))
}
