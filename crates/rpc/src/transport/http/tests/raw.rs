//! Plain HTTP as a client of one's own would speak it.

use serde_json::Value;

use super::Running;

pub(super) const JSON: (&str, &str) = ("content-type", "application/json; charset=utf-8");

/// One request, all of it.
#[derive(Clone, Debug)]
pub(super) struct Ask<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) headers: Vec<(&'a str, &'a str)>,
    pub(super) body: String,
}

impl<'a> Ask<'a> {
    pub(super) fn post(path: &'a str, body: &str) -> Self {
        Ask {
            method: "POST",
            path,
            headers: vec![JSON],
            body: body.to_owned(),
        }
    }

    pub(super) fn of(method: &'a str, path: &'a str) -> Self {
        Ask {
            method,
            path,
            headers: Vec::new(),
            body: String::new(),
        }
    }

    /// Sets a header, or takes it away where the value is empty.
    pub(super) fn with(mut self, name: &'a str, value: &'a str) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        if !value.is_empty() {
            self.headers.push((name, value));
        }
        self
    }

    pub(super) async fn send(&self, server: &Running) -> reqwest::Response {
        let url = format!("http://{}{}", server.address, self.path);
        let mut request = client()
            .request(self.method.parse().unwrap(), url)
            .body(self.body.clone());
        for (name, value) in &self.headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }
}

/// A client that is not ours.
pub(super) fn client() -> reqwest::Client {
    // A process has one; whoever comes first sets it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}

/// An answer, read whole.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: reqwest::header::HeaderMap,
    pub(super) text: String,
}

impl Answer {
    pub(super) async fn of(response: reqwest::Response) -> Self {
        Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            text: response.text().await.unwrap(),
        }
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(super) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }

    /// The status, and the code of the error or nothing.
    pub(super) fn verdict(&self) -> (u16, Option<i64>) {
        let code = match self.text.as_str() {
            "" => None,
            _ => self.json()["error"]["code"].as_i64(),
        };
        (self.status, code)
    }
}

/// One event of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) data: String,
}

/// A stream of events, read as it comes.
pub(super) struct Events {
    response: reqwest::Response,
    read: Vec<u8>,
    /// Where the session is, as the first event said.
    pub(super) endpoint: String,
    /// The id of the last event.
    pub(super) last: String,
}

impl Events {
    pub(super) async fn open(server: &Running) -> Self {
        Events::resume(server, "").await
    }

    pub(super) async fn resume(server: &Running, last: &str) -> Self {
        let ask = Ask::of("GET", "/runtime/events")
            .with("accept", "text/event-stream")
            .with("last-event-id", last);
        Events::of(ask.send(server).await).await
    }

    pub(super) async fn of(response: reqwest::Response) -> Self {
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-cache");
        assert_eq!(response.headers()["x-accel-buffering"], "no");
        let mut events = Events {
            response,
            read: Vec::new(),
            endpoint: String::new(),
            last: String::new(),
        };
        let first = events.next().await.unwrap();
        assert_eq!(first.name, "endpoint");
        let data: Value = serde_json::from_str(&first.data).unwrap();
        events.endpoint = data["endpoint"].as_str().unwrap().to_owned();
        events
    }

    /// The next event, comments left out; nothing at the stream's end.
    pub(super) async fn next(&mut self) -> Option<Event> {
        loop {
            let block = self.next_block().await?;
            let mut event = Event::default();
            for line in block.lines() {
                let (name, value) = line.split_once(": ").unwrap();
                match name {
                    "id" => event.id = value.to_owned(),
                    "event" => event.name = value.to_owned(),
                    "data" => event.data = value.to_owned(),
                    _ => assert_eq!(name, "", "{line}"),
                }
            }
            if event != Event::default() {
                self.last.clone_from(&event.id);
                return Some(event);
            }
        }
    }

    /// The next event or comment.
    pub(super) async fn next_block(&mut self) -> Option<String> {
        let mut seen = 0;
        loop {
            let found = self.read[seen..]
                .windows(2)
                .position(|pair| pair == b"\n\n");
            if let Some(at) = found {
                let block: Vec<u8> = self.read.drain(..seen + at + 2).collect();
                return Some(String::from_utf8(block).unwrap().trim_end().to_owned());
            }
            seen = self.read.len().saturating_sub(1);
            let chunk = self.response.chunk().await.unwrap()?;
            self.read.extend_from_slice(&chunk);
        }
    }

    /// The next event's message.
    pub(super) async fn message(&mut self) -> Value {
        let event = self.next().await.expect("the stream goes on");
        assert_eq!(event.name, "message");
        serde_json::from_str(&event.data).unwrap()
    }
}
