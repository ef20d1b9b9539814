//! TLS with an authority that only the configuration knows: it works with it, and without it the error says what is missing.

use stepflow_tests::http::Server;
use stepflow_tests::program::Folder;
use stepflow_tests::program::Ran;
use stepflow_tests::runtime::Program;
use stepflow_tests::runtime::failure;
use stepflow_tests::runtime::success;
use stepflow_tests::tls::Authority;
use stepflow_tests::tls::Front;
use stepflow_tests::value;

const FLOW: &str = "
steps: [{id: store, component: /it/blob, input: {data: {$input: $}}}]
output: {$step: store, path: data}
";

/// A folder with a server that only TLS leads to.
struct Site {
    folder: Folder,
    authority: Authority,
    server: Server,
}

impl Site {
    async fn start(program: Program) -> Site {
        let folder = Folder::default().file("flow.yaml", FLOW);
        let authority = Authority::default();
        authority.write(&folder.path().join("authority.pem"));
        let server = Server::start(program, folder.path(), folder.mark()).await;
        Site {
            folder,
            authority,
            server,
        }
    }

    /// Runs the flow by a front with a certificate for this name, with these keys in the configuration.
    async fn run(&self, name: &str, keys: &str) -> Ran {
        let front = Front::start(&self.authority, name, self.server.port()).await;
        let config = format!(
            "plugins:\n  it: {{type: stepflow, transport: http, url: '{}', connectTimeout: 200ms, {keys}}}\n",
            front.url
        );
        std::fs::write(self.folder.path().join("stepflow-config.yml"), config).unwrap();
        let mut command = tokio::process::Command::from(self.folder.stepflow(&[
            "run",
            "flow.yaml",
            "--input-json",
            "[1]",
        ]));
        // The front is served by this task's thread, which must not wait for the program.
        Ran::from(command.output().await.unwrap())
    }

    /// The same where it must fail; what the error says.
    async fn refused(&self, name: &str, keys: &str) -> String {
        let ran = self.run(name, keys).await;
        assert_eq!(ran.code, Some(1), "{ran:#?}");
        failure(&ran.outcome()).message.to_string()
    }

    /// Has the built-ins that make requests reach a front, in an environment; how each ended.
    async fn request(&self, environment: &[(&str, &str)]) -> Vec<Ran> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let answer = r#"{"choices": [{"message": {"content": "yes"}}]}"#;
        let router = axum::Router::new().fallback(move || async move { answer });
        let serving = tokio::spawn(async move { axum::serve(listener, router).await });
        let front = Front::start(&self.authority, "127.0.0.1", port).await;
        let mut ran = Vec::new();
        for component in ["http_request", "openai"] {
            let input = format!(
                r#"{{"url": "{url}", "base_url": "{url}", "messages": []}}"#,
                url = front.url
            );
            let wanted = match component {
                "http_request" => "{url: {$input: url}}",
                _ => "{base_url: {$input: base_url}, messages: {$input: messages}}",
            };
            let flow = format!(
                "steps: [{{id: ask, component: {component}, input: {wanted}}}]\noutput: {{$step: ask}}\n"
            );
            std::fs::write(self.folder.path().join("ask.yaml"), flow).unwrap();
            std::fs::write(
                self.folder.path().join("ask.yml"),
                "{retry: {transportMaxRetries: 0}}",
            )
            .unwrap();
            let arguments = [
                "run",
                "ask.yaml",
                "--config",
                "ask.yml",
                "--input-json",
                &input,
            ];
            let mut command = tokio::process::Command::from(self.folder.stepflow(&arguments));
            command.envs(environment.iter().copied());
            ran.push(Ran::from(command.output().await.unwrap()));
        }
        serving.abort();
        ran
    }

    async fn end(self) {
        self.server.stop().await;
        self.folder.mark().all_gone().await;
    }
}

// req: http.tls
#[tokio::test]
async fn an_authority_from_the_configuration_is_trusted() {
    for program in [Program::Rust, Program::Python] {
        let site = Site::start(program).await;
        for session in ["required", "off"] {
            let keys = format!("session: {session}, tls: {{ca: authority.pem}}");
            let ran = site.run("127.0.0.1", &keys).await;
            assert_eq!(ran.code, Some(0), "{program:?} {session}: {ran:#?}");
            assert_eq!(success(&ran.outcome()), &value("[1]"));
        }
        site.end().await;
    }
}

// req: http.tls
#[tokio::test]
async fn a_certificate_that_cannot_be_trusted_is_an_error_that_names_the_reason() {
    let site = Site::start(Program::Rust).await;
    for session in ["required", "off"] {
        let said = site
            .refused("127.0.0.1", &format!("session: {session}"))
            .await;
        assert!(
            said.contains("issuer") && said.contains("`tls.ca`"),
            "{session}: {said}"
        );
        // One that is trusted, and another than the one that signed.
        Authority::default().write(&site.folder.path().join("other.pem"));
        let keys = format!("session: {session}, tls: {{ca: other.pem}}");
        let said = site.refused("127.0.0.1", &keys).await;
        assert!(said.contains("`tls.ca`"), "{session}: {said}");
        let keys = format!("session: {session}, tls: {{ca: authority.pem}}");
        let said = site.refused("elsewhere.test", &keys).await;
        assert!(
            said.contains("127.0.0.1") && said.contains("name"),
            "{session}: {said}"
        );
        assert!(!said.contains("`tls.ca`"), "{session}: {said}");
    }
    site.end().await;
}

// req: http.tls
#[tokio::test]
async fn built_ins_trust_the_authorities_of_the_system_and_those_that_the_environment_names() {
    let site = Site::start(Program::Rust).await;
    let trusted = [("SSL_CERT_FILE", "authority.pem")];
    for ran in site.request(&trusted).await {
        assert_eq!(ran.code, Some(0), "{ran:#?}");
        assert!(ran.stdout.contains("yes"), "{ran:#?}");
    }
    for ran in site.request(&[]).await {
        assert_eq!(ran.code, Some(1), "{ran:#?}");
        let said = failure(&ran.outcome()).message.to_string();
        assert!(said.contains("UnknownIssuer"), "{said}");
        assert!(ran.stderr.contains("SSL_CERT_FILE"), "{ran:#?}");
    }
    site.end().await;
}
