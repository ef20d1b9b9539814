//! The test server as a program: over stdin and stdout, or over HTTP, as its arguments say.

#[tokio::main(flavor = "current_thread")]
async fn main() {
    stepflow_tests::server::server().run().await
}
