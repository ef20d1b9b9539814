//! The test server over stdin and stdout, or over HTTP when it is given a `--port`.

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let server = stepflow_tests::server::server();
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [flag, port] if flag == "--port" => {
            let port = port.parse().map_err(std::io::Error::other)?;
            let address = ([127, 0, 0, 1], port).into();
            server
                .run_http(address, stepflow_sdk::http::Options::default())
                .await
        }
        _ => server.run_stdio().await,
    }
}
