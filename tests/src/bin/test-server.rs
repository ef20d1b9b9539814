//! The test server over stdin and stdout.

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    stepflow_tests::server::server().run_stdio().await
}
