//! A real nginx in front of two servers, with the configuration of the example that people copy. Owns the process and its folder;
//! what is balanced, the configuration says.

use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::Child;
use tokio::process::Command;

use crate::environment;
use crate::http::Server;
use crate::process;
use crate::soon;

/// The configuration, whose ports alone are changed.
const CONFIG: &str = "examples/load-balancer/nginx.conf";

/// How many ports are tried: another program may take one between our look and nginx.
const MAX_PORTS: usize = 10;

/// An nginx that runs.
#[derive(Debug)]
pub struct Balancer {
    /// Where it is.
    pub url: String,
    child: Child,
    folder: TempDir,
}

impl Balancer {
    /// Starts one in front of the replicas `r1` and `r2`; `None` where tests are told to do without.
    pub async fn start(replicas: [&Server; 2]) -> Option<Balancer> {
        let nginx = environment::nginx()?;
        let folder = TempDir::new().unwrap();
        for _ in 0..MAX_PORTS {
            let free = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = free.local_addr().unwrap().port();
            drop(free);
            std::fs::write(folder.path().join("nginx.conf"), config(port, replicas)).unwrap();
            let mut child = spawn(&nginx, folder.path());
            if is_up(&mut child, port).await {
                return Some(Balancer {
                    url: format!("http://127.0.0.1:{port}"),
                    child,
                    folder,
                });
            }
        }
        let said = std::fs::read_to_string(folder.path().join("said")).unwrap_or_default();
        panic!("nginx does not start: {said}");
    }

    /// What it wrote down about the requests so far: time, method, path, status, replica.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("access.log")).unwrap()
    }

    /// Ends it, and waits until it has.
    pub async fn stop(mut self) {
        let pid = self.child.id().expect("it was not waited for before");
        process::kill(pid, rustix::process::Signal::TERM);
        soon("nginx's end", self.child.wait()).await.unwrap();
    }
}

fn config(port: u16, replicas: [&Server; 2]) -> String {
    let path = environment::workspace().join(CONFIG);
    let mut text = std::fs::read_to_string(&path).unwrap();
    let [first, second] = replicas.map(Server::port);
    for (from, to) in [(8080, port), (8081, first), (8082, second)] {
        let (from, to) = (format!("127.0.0.1:{from};"), format!("127.0.0.1:{to};"));
        assert!(text.contains(&from), "{CONFIG} names no {from}");
        text = text.replace(&from, &to);
    }
    text
}

/// One process, ours: nothing of it outlives a test that fails.
fn spawn(nginx: &Path, folder: &Path) -> Child {
    let said = std::fs::File::create(folder.join("said")).unwrap();
    Command::new(nginx)
        .arg("-p")
        .arg(folder)
        .arg("-c")
        .arg(folder.join("nginx.conf"))
        .args(["-g", "daemon off; master_process off;"])
        .env_clear()
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(said)
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// Waits until it takes connections, or has ended.
async fn is_up(child: &mut Child, port: u16) -> bool {
    let up = async {
        loop {
            if child.try_wait().unwrap().is_some() {
                return false;
            }
            if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon("nginx takes connections", up).await
}
