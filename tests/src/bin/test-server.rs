//! The test server over stdin and stdout, or over HTTP when it is given a `--port`.

use std::io;

use stepflow_sdk::http::Options;

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let server = stepflow_tests::server::server();
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let mut port = None;
    let mut options = Options::default();
    for pair in arguments.chunks(2) {
        match pair {
            [name, value] if name == "--port" => {
                port = Some(value.parse().map_err(io::Error::other)?);
            }
            [name, value] if name == "--instance-id" => options.instance_id = Some(value.clone()),
            [name, value] if name == "--advertise-url" => {
                options.advertise_url = Some(value.clone());
            }
            [name, path] if name == "--token-file" => {
                let token = std::fs::read_to_string(path)?;
                options.security.token = Some(token.trim().to_owned());
            }
            other => return Err(io::Error::other(format!("{other:?} is no option"))),
        }
    }
    match port {
        Some(port) => {
            server
                .run_http(([127, 0, 0, 1], port).into(), options)
                .await
        }
        None => server.run_stdio().await,
    }
}
