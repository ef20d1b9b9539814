//! A connection over HTTP: POSTs as they are told, and streams of events. Owns the three ways to talk, each as raw as a check
//! wants it; nothing is sent twice, followed or forgiven.

use std::sync::Mutex;
use std::sync::PoisonError;

use futures_util::StreamExt;
use reqwest::Method;
use reqwest::Response;
use reqwest::header::ACCEPT;
use reqwest::header::CONTENT_TYPE;
use reqwest::header::HeaderMap;
use reqwest::header::HeaderName;
use reqwest::header::HeaderValue;
use serde::Deserialize;
use sse_stream::SseByteStream;
use stepflow_rpc::Id;
use stepflow_rpc::Message;
use stepflow_rpc::transport::http as names;
use stepflow_rpc::transport::http::client::Options;
use stepflow_rpc::transport::http::client::Url;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Heard;
use super::What;
use crate::lab::Lab;
use crate::target::Way;
use crate::transcript::Direction;
use crate::transcript::Recorder;
use crate::verdict::Stop;
use crate::verdict::brief;

/// What a client takes that reads JSON alone.
const JSON_ALONE: &str = "application/json";

/// A request as a check wants it.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its method.
    pub method: Method,
    /// Where it goes.
    pub url: Url,
    /// Headers that are added, or replace those that a runtime sends; an empty value takes one away.
    pub headers: Vec<(HeaderName, String)>,
    /// Its body.
    pub body: String,
}

impl Request {
    /// With a header instead of the usual one.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: &str) -> Request {
        self.headers.push((name, value.to_owned()));
        self
    }
}

/// What came back, read to its end; of a stream, the head alone.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body; empty for a stream.
    pub text: String,
}

impl Reply {
    /// A header, or nothing.
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).and_then(|it| it.to_str().ok());
        value.unwrap_or_default()
    }

    /// The code of the error in the body.
    pub fn code(&self) -> Option<i64> {
        let body: serde_json::Value = serde_json::from_str(&self.text).ok()?;
        body.get("error")?.get("code")?.as_i64()
    }

    /// It, for people.
    pub fn seen(&self) -> String {
        format!("{} {}", self.status, brief(&self.text))
    }
}

/// The HTTP side of a connection.
#[derive(Debug)]
pub struct Http {
    client: reqwest::Client,
    /// Where the server is.
    pub base: Url,
    /// Where messages go: the endpoint of the session, or `base`.
    pub target: Url,
    /// The events of the session: where they come from, and the id of the first.
    pub events: Option<Events>,
    pub(super) way: Way,
    headers: HeaderMap,
    recorder: Recorder,
    number: u32,
    inbox: mpsc::Sender<Heard>,
    tasks: Mutex<JoinSet<()>>,
}

/// A stream of events that was opened.
#[derive(Clone, Debug)]
pub struct Events {
    /// The head of the answer.
    pub headers: HeaderMap,
    /// The data of the event `endpoint`.
    pub endpoint: String,
    /// The id of that event, if it has one.
    pub id: Option<String>,
}

type Stream =
    SseByteStream<futures_util::stream::BoxStream<'static, reqwest::Result<bytes::Bytes>>>;

impl Http {
    pub(super) async fn open(
        lab: &Lab,
        options: &Options,
        way: Way,
        number: u32,
        inbox: mpsc::Sender<Heard>,
    ) -> Result<Http, Stop> {
        let mut http = Http {
            client: client(options)?,
            target: options.url.clone(),
            base: options.url.clone(),
            events: None,
            way,
            headers: options.headers.clone(),
            recorder: lab.recorder.clone(),
            number,
            inbox,
            tasks: Mutex::default(),
        };
        if way == Way::Session {
            let stream = http.open_session().await?;
            http.listen(stream, None);
        }
        Ok(http)
    }

    /// Where the server streams its events.
    pub fn events_url(&self) -> Url {
        let mut url = self.base.clone();
        let path = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{path}{}", names::EVENTS_PATH));
        url
    }

    /// A POST of a message as a runtime sends it.
    pub fn post(&self, body: &str) -> Request {
        Request {
            method: Method::POST,
            url: self.target.clone(),
            headers: Vec::new(),
            body: body.to_owned(),
        }
    }

    /// The request for the stream of events.
    pub fn get_events(&self) -> Request {
        Request {
            method: Method::GET,
            url: self.events_url(),
            headers: vec![(ACCEPT, names::EVENT_STREAM.to_owned())],
            body: String::new(),
        }
    }

    /// Makes an exchange, and reads the answer unless it is a stream.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn exchange(&self, request: Request) -> Result<Reply, Stop> {
        let response = self.begin(&request).await?;
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let text = match is_stream(&headers) {
            true => String::new(),
            false => read(response).await?,
        };
        self.note_reply(status, &text);
        Ok(Reply {
            status,
            headers,
            text,
        })
    }

    /// Posts a message in a task of its own; what comes back is heard.
    pub(super) fn send(&self, text: &str) {
        let exchange = Exchange {
            client: self.client.clone(),
            request: self.request(&self.post(text)),
            shown: self.shown(&self.post(text)),
            id: id_of(text),
            recorder: self.recorder.clone(),
            number: self.number,
            inbox: self.inbox.clone(),
        };
        self.note(Direction::Out, &exchange.shown.clone(), text);
        self.spawn(exchange.run());
    }

    /// Posts a message that gets no answer, and waits until it was taken.
    pub(super) async fn deliver(&self, text: &str, instance: Option<&str>) -> Result<(), Stop> {
        let mut request = self.post(text);
        if let Some(instance) = instance {
            request = request.with(HeaderName::from_static(names::INSTANCE_HEADER), instance);
        }
        let reply = self.exchange(request).await?;
        let heard = Heard {
            text: reply.text,
            instance: None,
            what: What::Posted {
                status: reply.status,
                id: None,
            },
        };
        if reply.status != 202 {
            // Nobody listens: then nobody wants to know.
            let _ = self.inbox.send(heard).await;
        }
        Ok(())
    }

    /// Opens a stream of events and waits for its endpoint.
    ///
    /// # Errors
    /// When the server has no session to offer.
    pub async fn subscribe(&self, last: Option<&str>) -> Result<(Events, Stream), Stop> {
        let mut request = self.get_events();
        if let Some(last) = last {
            request = request.with(HeaderName::from_static("last-event-id"), last);
        }
        let response = self.begin(&request).await?;
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let expected = "200 with text/event-stream";
        if status != 200 || !is_stream(&headers) {
            let kind = headers.get(CONTENT_TYPE).and_then(|it| it.to_str().ok());
            let seen = format!("{status} with {}", kind.unwrap_or("no content type"));
            self.note(Direction::In, &status.to_string(), "");
            return Err(Stop::fail("there is no stream of events", expected, seen));
        }
        self.note(Direction::In, "200", "(a stream of events)");
        let mut stream = SseByteStream::new(response.bytes_stream().boxed());
        let first = stream.next().await;
        let Some(Ok(event)) = first else {
            return Err(Stop::fail(
                "the stream of events ends before it has begun",
                "the event `endpoint`",
                "the end",
            ));
        };
        let (kind, data) = (
            event.event.unwrap_or_default(),
            event.data.unwrap_or_default(),
        );
        self.note(Direction::In, &format!("event {kind}"), &data);
        if kind != "endpoint" {
            let seen = format!("the event `{kind}`: {}", brief(&data));
            let reason = "the stream does not begin with where the session is";
            return Err(Stop::fail(reason, "the event `endpoint`", seen));
        }
        let events = Events {
            headers,
            endpoint: data,
            id: event.id,
        };
        Ok((events, stream))
    }

    async fn open_session(&mut self) -> Result<Stream, Stop> {
        let (events, stream) = self.subscribe(None).await?;
        self.target = self.resolve(&events.endpoint)?;
        self.events = Some(events);
        Ok(stream)
    }

    /// Where an endpoint is: JSON, or a bare reference.
    ///
    /// # Errors
    /// When it is neither.
    pub fn resolve(&self, data: &str) -> Result<Url, Stop> {
        #[derive(Deserialize)]
        struct Endpoint {
            endpoint: String,
        }
        let reference = serde_json::from_str::<Endpoint>(data).map(|it| it.endpoint);
        let reference = reference.unwrap_or_else(|_| data.trim().to_owned());
        self.events_url().join(&reference).map_err(|error| {
            let seen = format!("{} ({error})", brief(data));
            Stop::fail(
                "the endpoint is no URI reference",
                "{\"endpoint\": \"…\"}",
                seen,
            )
        })
    }

    /// Hears what a stream brings, from now on.
    pub fn listen(&self, stream: Stream, instance: Option<String>) {
        let hearing = Hearing {
            recorder: self.recorder.clone(),
            number: self.number,
            inbox: self.inbox.clone(),
            instance,
        };
        self.spawn(async move {
            let why = hearing.all(stream).await;
            let ended = Heard {
                text: String::new(),
                instance: None,
                what: What::Ended(why),
            };
            // Nobody listens: then nobody wants to know.
            let _ = hearing.inbox.send(ended).await;
        });
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.spawn(task);
    }

    /// Closes everything that is open: streams, and POSTs without an answer.
    pub fn hang_up(&self) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.abort_all();
        self.note(Direction::Note, "", "the connections are closed");
    }

    async fn begin(&self, request: &Request) -> Result<Response, Stop> {
        self.note(Direction::Out, &self.shown(request), &request.body);
        let sent = self.client.execute(self.request(request)).await;
        sent.map_err(|error| {
            let seen = chain(&error);
            self.note(Direction::Note, "", &seen);
            Stop::fail(
                "the server gives no answer",
                "an answer to the request",
                seen,
            )
        })
    }

    fn request(&self, request: &Request) -> reqwest::Request {
        let mut made = reqwest::Request::new(request.method.clone(), request.url.clone());
        let accept = match self.way {
            Way::Plain => JSON_ALONE,
            _ => names::ACCEPT,
        };
        *made.headers_mut() = self.headers.clone();
        if request.method == Method::POST {
            let headers = made.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(names::JSON));
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
            *made.body_mut() = Some(request.body.clone().into());
        }
        for (name, value) in &request.headers {
            match HeaderValue::from_str(value) {
                Ok(value) if !value.is_empty() => made.headers_mut().insert(name, value),
                _ => made.headers_mut().remove(name),
            };
        }
        made
    }

    fn shown(&self, request: &Request) -> String {
        let url = &request.url;
        let query = url.query().map(|it| format!("?{it}")).unwrap_or_default();
        let mut shown = format!("{} {}{query}", request.method, url.path());
        for (name, value) in &request.headers {
            shown.push_str(&format!(" [{name}: {value}]"));
        }
        shown
    }

    fn note(&self, direction: Direction, head: &str, text: &str) {
        self.recorder
            .note(self.number, direction, head, text.as_bytes());
    }

    fn note_reply(&self, status: u16, text: &str) {
        self.note(Direction::In, &status.to_string(), text);
    }
}

/// One POST and all that it is answered by.
struct Exchange {
    client: reqwest::Client,
    request: reqwest::Request,
    shown: String,
    id: Option<Id>,
    recorder: Recorder,
    number: u32,
    inbox: mpsc::Sender<Heard>,
}

impl Exchange {
    async fn run(self) {
        let heard = match self.client.execute(self.request).await {
            Ok(response) if is_stream(response.headers()) => {
                let instance = response.headers().get(names::INSTANCE_HEADER);
                let instance = instance.and_then(|it| it.to_str().ok()).map(str::to_owned);
                let hearing = Hearing {
                    recorder: self.recorder,
                    number: self.number,
                    inbox: self.inbox,
                    instance,
                };
                let note = &hearing.recorder;
                note.note(self.number, Direction::In, "200", b"(a stream of events)");
                hearing
                    .all(SseByteStream::new(response.bytes_stream().boxed()))
                    .await;
                return;
            }
            Ok(response) => {
                let status = response.status().as_u16();
                let text = read(response).await.unwrap_or_default();
                let head = status.to_string();
                self.recorder
                    .note(self.number, Direction::In, &head, text.as_bytes());
                answered(status, text, self.id)
            }
            Err(error) => {
                let why = chain(&error);
                self.recorder
                    .note(self.number, Direction::Note, &self.shown, why.as_bytes());
                Heard {
                    text: why,
                    instance: None,
                    what: What::Posted {
                        status: 0,
                        id: self.id,
                    },
                }
            }
        };
        // Nobody listens: then nobody wants to know.
        let _ = self.inbox.send(heard).await;
    }
}

/// What the body of an answer says.
fn answered(status: u16, text: String, id: Option<Id>) -> Heard {
    let what = match Message::decode(&text) {
        Ok(message) => What::Message(Ok(message)),
        Err(_) => What::Posted { status, id },
    };
    Heard {
        text,
        instance: None,
        what,
    }
}

/// Hears the messages of a stream.
struct Hearing {
    recorder: Recorder,
    number: u32,
    inbox: mpsc::Sender<Heard>,
    instance: Option<String>,
}

impl Hearing {
    /// Until its end, and why that came.
    async fn all(&self, mut stream: Stream) -> String {
        loop {
            let event = match stream.next().await {
                None => return "the stream of events has ended".to_owned(),
                Some(Err(error)) => return format!("the stream of events is broken: {error}"),
                Some(Ok(event)) => event,
            };
            let Some(text) = event.data else { continue };
            let kind = event.event.unwrap_or_else(|| "message".to_owned());
            self.recorder.note(
                self.number,
                Direction::In,
                &format!("event {kind}"),
                text.as_bytes(),
            );
            if kind != "message" {
                continue;
            }
            let heard = Heard {
                what: What::Message(Message::decode(&text)),
                text,
                instance: self.instance.clone(),
            };
            if self.inbox.send(heard).await.is_err() {
                return "nobody listens".to_owned();
            }
        }
    }
}

fn id_of(text: &str) -> Option<Id> {
    match Message::decode(text) {
        Ok(Message::Request(request)) => Some(request.id),
        _ => None,
    }
}

fn is_stream(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|it| it.to_str().ok());
    kind.is_some_and(|it| it.starts_with(names::EVENT_STREAM))
}

async fn read(response: Response) -> Result<String, Stop> {
    let bytes = response
        .bytes()
        .await
        .map_err(|error| Stop::fail("the answer breaks off", "a whole answer", chain(&error)))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// An error and what lies behind it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text.push_str(&format!(": {error}"));
        next = error.source();
    }
    text
}

fn client(options: &Options) -> Result<reqwest::Client, Stop> {
    // A second installation is refused, and changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .tcp_nodelay(true)
        .no_proxy();
    let unusable = |what: &str, error: reqwest::Error| {
        Stop::fail(
            format!("{what} cannot be used"),
            "a usable one",
            chain(&error),
        )
    };
    if let Some(proxy) = &options.proxy {
        let proxy = reqwest::Proxy::all(proxy.clone());
        client = client.proxy(proxy.map_err(|error| unusable("the proxy", error))?);
    }
    for pem in &options.authorities {
        let bundle = reqwest::Certificate::from_pem_bundle(pem);
        let bundle = bundle.map_err(|error| unusable("the certificate authority", error))?;
        client = client.tls_certs_merge(bundle);
    }
    client
        .build()
        .map_err(|error| unusable("the HTTP client", error))
}
