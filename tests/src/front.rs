//! The Rust test server over HTTP in this process, so that a test can put layers in front of it: what a proxy may do to
//! requests and answers.

use axum::Router;
use axum::extract::Request;
use axum::http::HeaderValue;
use axum::http::header;
use axum::middleware;
use axum::middleware::Next;
use stepflow_sdk::http::Options;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::server;

/// An HTTP server in this process; it ends when it is dropped.
#[derive(Debug)]
pub struct Front {
    /// Where it is.
    pub url: String,
    task: JoinHandle<()>,
}

impl Front {
    /// Serves routes at a port that is free.
    pub async fn start(routes: Router) -> Front {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let task = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Front { url, task }
    }

    /// Ends it.
    pub async fn stop(mut self) {
        self.task.abort();
        let ended = (&mut self.task).await;
        assert!(ended.is_err_and(|error| error.is_cancelled()));
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The test server.
pub fn routes() -> Router {
    server::server().http_router(Options::default())
}

/// The test server behind something that lets no stream through: it can answer, and never ask.
pub fn without_streams() -> Router {
    let only_json = async |mut request: Request, next: Next| {
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(header::ACCEPT, json);
        next.run(request).await
    };
    routes().layer(middleware::from_fn(only_json))
}
