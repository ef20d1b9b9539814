//! A meeting point of a test and a component, in whatever process that runs: a socket in a folder of the test. A component
//! that arrives says who it is and waits to be let through, so a test knows what is under way without asking a clock.

use std::path::Path;
use std::path::PathBuf;

use serde::Deserialize;
use stepflow_flow::value::Value;
use tokio::io::AsyncBufReadExt;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::io::BufReader;
use tokio::net::UnixListener;
use tokio::net::UnixStream;

use crate::soon;
use crate::value;

/// Where components wait for the test.
#[derive(Debug)]
pub struct Gate {
    listener: UnixListener,
    path: PathBuf,
}

/// What a component says when it arrives.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Hello {
    /// The name that its input gave it.
    pub name: String,
    /// Its attempt.
    pub attempt: u32,
    /// Its idempotency key.
    pub key: Option<String>,
    /// The process it runs in.
    pub pid: u32,
}

/// A component that waits.
#[derive(Debug)]
pub struct Visitor {
    /// Who it is.
    pub hello: Hello,
    stream: BufReader<UnixStream>,
}

impl Gate {
    /// Opens a gate in a folder.
    pub fn open(folder: &Path) -> Gate {
        let path = folder.join("gate");
        let listener = UnixListener::bind(&path).unwrap();
        Gate { listener, path }
    }

    /// The input for a `/gate` component that waits here in every attempt.
    pub fn input(&self, name: &str) -> Value {
        value(&serde_json::json!({"path": self.path, "name": name}).to_string())
    }

    /// The same for one that walks through from an attempt on.
    pub fn input_until(&self, name: &str, attempt: u32) -> Value {
        let input = serde_json::json!({"path": self.path, "name": name, "until_attempt": attempt});
        value(&input.to_string())
    }

    /// The next component to arrive.
    pub async fn next(&self) -> Visitor {
        soon("a component arrives at the gate", async {
            let (stream, _) = self.listener.accept().await.unwrap();
            let mut stream = BufReader::new(stream);
            let mut line = String::new();
            stream.read_line(&mut line).await.unwrap();
            let hello = serde_json::from_str(&line)
                .unwrap_or_else(|error| panic!("{error} in the greeting {line:?}"));
            Visitor { hello, stream }
        })
        .await
    }

    /// The next components to arrive.
    pub async fn take(&self, count: usize) -> Vec<Visitor> {
        let mut visitors = Vec::with_capacity(count);
        while visitors.len() < count {
            visitors.push(self.next().await);
        }
        visitors
    }
}

impl Visitor {
    /// Lets it through with a word; its process may be gone already.
    pub async fn release(mut self, word: &str) {
        let _ = self.stream.write_all(format!("{word}\n").as_bytes()).await;
    }

    /// Waits until it leaves without being let through, and returns its last words.
    pub async fn gone(mut self) -> String {
        let mut words = String::new();
        soon(
            "the component leaves",
            self.stream.read_to_string(&mut words),
        )
        .await
        .map_or_else(|_| String::new(), |_| words)
    }
}
