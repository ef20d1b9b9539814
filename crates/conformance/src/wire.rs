//! One connection to the server, on which a check says every word itself and hears every word that comes back, whichever way
//! it takes. Owns what belongs together: answers to their requests, and call backs to their answers.

pub mod host;
pub mod http;
pub mod stdio;

use std::collections::HashMap;

use serde_json::Value;
use serde_json::json;
use stepflow_protocol::PROTOCOL_VERSION;
use stepflow_protocol::lifecycle::Capabilities;
use stepflow_rpc::Id;
use stepflow_rpc::Message;
use stepflow_rpc::Request;
use stepflow_rpc::RpcError;
use stepflow_rpc::message::Malformed;
use tokio::sync::mpsc;

use crate::lab::Clock;
use crate::lab::Lab;
use crate::lab::Oddities;
use crate::lab::Oddity;
use crate::lab::PREFIX;
use crate::lab::QUIET;
use crate::target::Target;
use crate::verdict::Stop;
use crate::verdict::brief;
use host::Host;
use http::Http;
use stdio::Pipes;

/// How much may wait to be looked at.
const INBOX: usize = 4096;

/// Something that came.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) text: String,
    /// The process it came from, where the stream it came by says so.
    pub(crate) instance: Option<String>,
    pub(crate) what: What,
}

/// What it is.
#[derive(Debug)]
pub(crate) enum What {
    /// A line, a body or an event: a message, or what there is instead.
    Message(Result<Message, Malformed>),
    /// The answer to a POST is no message.
    Posted { status: u16, id: Option<Id> },
    /// Nothing more comes.
    Ended(String),
}

/// The answer to a request.
#[derive(Clone, Debug)]
pub struct Answer {
    /// What it is about.
    pub id: Id,
    /// As it came.
    pub text: String,
    /// The result, or the error.
    pub result: Result<Value, RpcError>,
}

impl Answer {
    /// The result.
    ///
    /// # Errors
    /// When it is an error.
    pub fn ok(self) -> Result<Value, Stop> {
        self.result
            .map_err(|_| Stop::fail("the answer is an error", "a result", brief(&self.text)))
    }

    /// The output of a component.
    ///
    /// # Errors
    /// When there is none.
    pub fn output(self) -> Result<Value, Stop> {
        let text = self.text.clone();
        let mut result = self.ok()?;
        match result.get_mut("output") {
            Some(output) => Ok(output.take()),
            None => Err(Stop::fail(
                "the result has no output",
                "{\"output\": …}",
                brief(&text),
            )),
        }
    }

    /// The error.
    ///
    /// # Errors
    /// When it is a result.
    pub fn error(&self, expected: &str) -> Result<&RpcError, Stop> {
        match &self.result {
            Err(error) => Ok(error),
            Ok(_) => Err(Stop::fail(
                "the answer is a result",
                expected,
                brief(&self.text),
            )),
        }
    }

    /// Goes on when it is an error with a code.
    ///
    /// # Errors
    /// When it is not.
    pub fn refused(&self, code: i64) -> Result<&RpcError, Stop> {
        let expected = format!("the error {code}");
        let error = self.error(&expected)?;
        match error.code.0 == code {
            true => Ok(error),
            false => Err(Stop::fail(
                "the error has another code",
                expected,
                brief(&self.text),
            )),
        }
    }
}

/// A request of the server.
#[derive(Clone, Debug)]
pub struct Called {
    /// The request.
    pub request: Request,
    /// Its params.
    pub params: Value,
    instance: Option<String>,
}

/// How a connection is made.
#[derive(Debug)]
enum Line {
    Stdio(Pipes),
    Http(Box<Http>),
}

/// An open connection.
#[derive(Debug)]
pub struct Wire {
    line: Line,
    inbox: mpsc::Receiver<Heard>,
    clock: Clock,
    oddities: Oddities,
    host: Host,
    /// How many answers each request has.
    asked: HashMap<Id, u32>,
    answers: Vec<(Id, Result<Answer, Stop>)>,
    /// Call backs that wait for an answer, while they are not answered at once.
    pub(crate) calls: Vec<Called>,
    holds_calls: bool,
    /// Answers that nobody waits for, since the check began.
    strays: Vec<String>,
    is_greeted: bool,
    named: Capabilities,
    ended: Option<String>,
    fresh_from: u32,
    n_asked: u32,
}

impl Wire {
    pub(crate) async fn open(lab: &Lab) -> Result<Wire, Stop> {
        let number = lab.connection();
        let (send, inbox) = mpsc::channel(INBOX);
        let line = match &lab.target {
            Target::Stdio { command, guard } => {
                Line::Stdio(Pipes::open(lab, command, guard.as_ref(), number, send)?)
            }
            Target::Http { options, .. } => {
                let http = Http::open(lab, options, lab.way, number, send);
                let opened = tokio::time::timeout_at(lab.clock.deadline(), http).await;
                let opened = opened
                    .map_err(|_| Stop::fail("no connection in time", "a connection", "nothing"))?;
                Line::Http(Box::new(opened?))
            }
        };
        Ok(Wire {
            line,
            inbox,
            clock: lab.clock.clone(),
            oddities: lab.oddities.clone(),
            host: Host::default(),
            asked: HashMap::new(),
            answers: Vec::new(),
            calls: Vec::new(),
            holds_calls: false,
            strays: Vec::new(),
            is_greeted: !lab.way.has_session(),
            named: Capabilities::default(),
            ended: None,
            fresh_from: lab.fresh(),
            n_asked: 0,
        })
    }

    /// The HTTP side of it.
    ///
    /// # Errors
    /// When there is none.
    pub fn http(&self) -> Result<&Http, Stop> {
        match &self.line {
            Line::Http(http) => Ok(http),
            Line::Stdio(_) => Err(Stop::skip("there is no HTTP here")),
        }
    }

    /// The pipes of it.
    ///
    /// # Errors
    /// When there are none.
    pub fn pipes(&mut self) -> Result<&mut Pipes, Stop> {
        match &mut self.line {
            Line::Stdio(pipes) => Ok(pipes),
            Line::Http(_) => Err(Stop::skip("there are no pipes here")),
        }
    }

    /// Why nothing more comes, if so.
    pub fn ended(&self) -> Option<&str> {
        self.ended.as_deref()
    }

    /// An id that was not used before.
    pub fn id(&mut self) -> Id {
        self.n_asked += 1;
        Id::String(format!("c{}-{}", self.fresh_from, self.n_asked).into())
    }

    /// Makes known that an answer with this id is awaited, where the request is not sent by [`Wire::send`].
    pub fn expect(&mut self, id: Id) {
        self.asked.entry(id).or_default();
    }

    /// Makes an id good for another request.
    pub fn release(&mut self, id: &Id) {
        self.asked.remove(id);
    }

    /// Sends a text as it is: a line, or the body of a POST.
    ///
    /// # Errors
    /// When it cannot be written in time.
    pub async fn send(&mut self, text: &str) -> Result<(), Stop> {
        let is_request = match Message::decode(text) {
            Ok(Message::Request(request)) => {
                self.asked.entry(request.id).or_default();
                true
            }
            Ok(_) => false,
            Err(Malformed::BadRequest { id, .. } | Malformed::BadAnswer { id, .. }) => {
                self.asked.entry(id).or_default();
                true
            }
            Err(_) => true,
        };
        let deadline = self.clock.deadline();
        let sent = async {
            match &mut self.line {
                Line::Stdio(pipes) => pipes.write_line(text).await,
                Line::Http(http) if is_request => {
                    http.send(text);
                    Ok(())
                }
                Line::Http(http) => http.deliver(text, None).await,
            }
        };
        match tokio::time::timeout_at(deadline, sent).await {
            Ok(sent) => sent,
            Err(_) => Err(Stop::fail(
                "the server does not take what is sent",
                "that it reads",
                "nothing is read any more",
            )),
        }
    }

    /// Sends a request with an id of its own.
    ///
    /// # Errors
    /// When it cannot be sent.
    pub async fn request(&mut self, method: &str, params: &Value) -> Result<Id, Stop> {
        let id = self.id();
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        self.send(&request.to_string()).await?;
        Ok(id)
    }

    /// Sends a request and waits for its answer; call backs are served meanwhile.
    ///
    /// # Errors
    /// When none comes, or none that can be read.
    pub async fn ask(&mut self, method: &str, params: Value) -> Result<Answer, Stop> {
        let id = self.request(method, &params).await?;
        self.answer_to(&id).await
    }

    /// Sends a notification.
    ///
    /// # Errors
    /// When it cannot be sent.
    pub async fn notify(&mut self, method: &str, params: Value) -> Result<(), Stop> {
        let text = json!({"jsonrpc": "2.0", "method": method, "params": params}).to_string();
        self.send(&text).await
    }

    /// The params of an execute request, as the runtime sends them.
    pub fn params(&self, component: &str, input: Value) -> Value {
        let mut params = json!({
            "component": component,
            "input": input,
            "attempt": 1,
            "step_id": "conformance",
            "run_id": "0198f2a0-7d1e-7b3c-9c55-2f1d3a4b5c6d",
            "flow_id": "sha256:c828c335088738ca34bbf92d492a56450e2a28d7a93a2b8c4c049bb15949ba7f",
            "observability": {
                "trace_id": "0af7651916cd43dd8448eb211c80319c",
                "span_id": "b7ad6b7169203331",
                "run_id": "0198f2a0-7d1e-7b3c-9c55-2f1d3a4b5c6d",
                "step_id": "conformance",
            },
            "idempotency_key": "0198f2a0-7d1e-7b3c-9c55-2f1d3a4b5c6d/conformance",
        });
        if let Line::Http(http) = &self.line
            && !http.way.has_session()
        {
            params["capabilities"] = json!(self.named);
        }
        params
    }

    /// Starts a component.
    ///
    /// # Errors
    /// When the request cannot be sent.
    pub async fn start(&mut self, component: &str, input: Value) -> Result<Id, Stop> {
        let params = self.params(component, input);
        self.request("components/execute", &params).await
    }

    /// Runs a component.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn run(&mut self, component: &str, input: Value) -> Result<Answer, Stop> {
        let id = self.start(component, input).await?;
        self.answer_to(&id).await
    }

    /// The params of `initialize`, as the runtime sends them.
    pub fn hello() -> Value {
        json!({
            "runtime_protocol_version": PROTOCOL_VERSION,
            "protocol_prefix": PREFIX,
            "runtime": {"name": "stepflow-conformance", "version": env!("CARGO_PKG_VERSION")},
        })
    }

    /// Shakes hands.
    ///
    /// # Errors
    /// When the server does not.
    pub async fn greet(&mut self) -> Result<Value, Stop> {
        let result = self.ask("initialize", Wire::hello()).await?.ok()?;
        self.initialized().await?;
        Ok(result)
    }

    /// Says that the handshake is complete.
    ///
    /// # Errors
    /// When that cannot be sent.
    pub async fn initialized(&mut self) -> Result<(), Stop> {
        self.is_greeted = true;
        self.notify("initialized", json!({})).await
    }

    /// Goes on when the server still answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn alive(&mut self, after: &str) -> Result<(), Stop> {
        let answer = self.ask("components/list", json!({})).await;
        let because = |fault: Stop| match fault {
            Stop::Fail(mut fault) => {
                fault.reason = format!("{after}, the next request is not served: {}", fault.reason);
                Stop::Fail(fault)
            }
            skip => skip,
        };
        answer.and_then(Answer::ok).map_err(because)?;
        Ok(())
    }

    /// The answer to a request.
    ///
    /// # Errors
    /// When none comes, or none that can be read.
    pub async fn answer_to(&mut self, id: &Id) -> Result<Answer, Stop> {
        loop {
            if let Some(at) = self.answers.iter().position(|(of, _)| of == id) {
                return self.answers.remove(at).1;
            }
            self.turn(&format!("an answer to {}", json!(id))).await?;
        }
    }

    /// Whether a request has an answer by now.
    pub fn is_answered(&self, id: &Id) -> bool {
        self.asked.get(id).is_some_and(|count| *count > 0)
    }

    /// Leaves call backs without an answer from now on, or answers those that come.
    pub fn hold_calls(&mut self, hold: bool) {
        self.holds_calls = hold;
    }

    /// The next call back of those that are held.
    ///
    /// # Errors
    /// When none comes.
    pub async fn call(&mut self) -> Result<Called, Stop> {
        while self.calls.is_empty() {
            self.turn("a call back").await?;
            if let Some(at) = self.answers.iter().position(|(_, it)| it.is_ok())
                && self.calls.is_empty()
            {
                let text = self.answers[at].1.as_ref().map(|it| brief(&it.text));
                return Err(Stop::fail(
                    "the component ended instead of calling back",
                    "a call back",
                    text.unwrap_or_default(),
                ));
            }
        }
        Ok(self.calls.remove(0))
    }

    /// Answers a call back as a runtime would.
    ///
    /// # Errors
    /// When it cannot be sent.
    pub async fn serve(&mut self, call: &Called) -> Result<(), Stop> {
        let result = self.host.serve(&call.request.method, &call.params);
        self.answer(call, result).await
    }

    /// Answers a call back.
    ///
    /// # Errors
    /// When it cannot be sent.
    pub async fn answer(
        &mut self,
        call: &Called,
        result: Result<Value, (i64, String)>,
    ) -> Result<(), Stop> {
        let id = &call.request.id;
        let answer = match result {
            Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
            Err((code, message)) => {
                json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}})
            }
        };
        let text = answer.to_string();
        match &mut self.line {
            Line::Stdio(_) => self.send(&text).await,
            Line::Http(http) => http.deliver(&text, call.instance.as_deref()).await,
        }
    }

    /// Listens for a while, and gives all answers that came and that nobody waits for.
    ///
    /// # Errors
    /// When a call back that came cannot be answered.
    pub async fn quiet(&mut self) -> Result<&[String], Stop> {
        let until = tokio::time::Instant::now() + QUIET;
        while let Ok(Some(heard)) = tokio::time::timeout_at(until, self.inbox.recv()).await {
            self.file(heard).await?;
        }
        Ok(&self.strays)
    }

    /// Lets what was provoked until now come, and forgets it.
    ///
    /// # Errors
    /// When a call back that came cannot be answered.
    pub async fn settle(&mut self) -> Result<(), Stop> {
        self.quiet().await?;
        self.strays.clear();
        Ok(())
    }

    /// Begins a check: what was said before is not its business.
    pub(crate) fn forget(&mut self) {
        self.strays.clear();
        self.calls.clear();
        self.answers.clear();
        self.holds_calls = false;
    }

    /// Hears one thing and puts it where it belongs.
    async fn turn(&mut self, awaited: &str) -> Result<(), Stop> {
        if let Some(why) = &self.ended {
            let reason = format!("{awaited} cannot come any more");
            return Err(Stop::fail(reason, awaited, why.clone()));
        }
        let heard = tokio::time::timeout_at(self.clock.deadline(), self.inbox.recv()).await;
        match heard {
            Ok(Some(heard)) => self.file(heard).await,
            Ok(None) => {
                self.ended = Some("the connection is over".to_owned());
                Ok(())
            }
            Err(_) => {
                let seen = match self.strays.last() {
                    Some(stray) => format!("nothing; last came: {}", brief(stray)),
                    None => "nothing".to_owned(),
                };
                let reason = format!("{awaited} did not come in time");
                Err(Stop::fail(reason, awaited, seen))
            }
        }
    }

    async fn file(&mut self, heard: Heard) -> Result<(), Stop> {
        let Heard {
            text,
            instance,
            what,
        } = heard;
        match what {
            What::Message(Ok(Message::Response(response))) => {
                if !has_version(&text) {
                    self.oddities.add(Oddity::BadEnvelope, &text);
                }
                let result = response
                    .result
                    .map(|it| serde_json::from_str(it.get()).unwrap_or(Value::Null));
                let id = response.id.clone();
                let answer = Answer { id, text, result };
                self.file_answer(response.id, Ok(answer));
            }
            What::Message(Ok(Message::Request(request))) => {
                self.look_at_call(&request.method, &text);
                let params = serde_json::from_str(request.params.get()).unwrap_or(Value::Null);
                let call = Called {
                    request,
                    params,
                    instance,
                };
                match self.holds_calls {
                    true => self.calls.push(call),
                    false => self.serve(&call).await?,
                }
            }
            What::Message(Ok(Message::Unattributed(_))) => self.strays.push(text),
            What::Message(Ok(Message::Notification(notice))) => {
                self.look_at_call(&notice.method, &text);
            }
            What::Message(Err(malformed)) => self.file_malformed(malformed, text),
            What::Posted { status, id } => self.file_posted(status, id, text),
            What::Ended(why) => self.ended = Some(why),
        }
        Ok(())
    }

    fn file_answer(&mut self, id: Id, answer: Result<Answer, Stop>) {
        let text = answer.as_ref().map_or("", |it| it.text.as_str()).to_owned();
        match self.asked.get_mut(&id) {
            Some(count) => {
                *count += 1;
                if *count > 1 {
                    self.oddities.add(Oddity::SecondAnswer, &text);
                    return;
                }
            }
            None => {
                self.oddities.add(Oddity::StrayAnswer, &text);
                self.strays.push(text);
                return;
            }
        }
        self.answers.push((id, answer));
    }

    fn file_malformed(&mut self, malformed: Malformed, text: String) {
        match malformed {
            Malformed::BadAnswer { id, why } => {
                self.oddities.add(Oddity::BadEnvelope, &text);
                let fault = Stop::fail("the answer cannot be read", "a result or an error", why);
                self.file_answer(id, Err(fault));
            }
            Malformed::BadRequest { .. } | Malformed::Nameless { .. } => {
                self.oddities.add(Oddity::BadEnvelope, &text)
            }
            Malformed::NotJson | Malformed::NotAMessage { .. } => {
                self.oddities.add(Oddity::Noise, &text);
            }
            // An error with `id: null` belongs to nobody: whoever provoked it knows.
            Malformed::Unattributed(_) => self.strays.push(text),
        }
    }

    fn file_posted(&mut self, status: u16, id: Option<Id>, text: String) {
        let is_session = matches!(&self.line, Line::Http(http) if http.way.has_session());
        if let Some(id) = id
            && !(status == 202 && is_session)
        {
            let seen = format!("{status} {}", brief(&text));
            let fault = Stop::fail("a POST has no answer that is one", "an answer", seen);
            self.file_answer(id, Err(fault));
        }
        if status != 202 {
            self.strays.push(format!("{status} {text}"));
        }
    }

    /// Takes down what the server must not say yet, or not to us.
    fn look_at_call(&mut self, method: &str, text: &str) {
        if !self.is_greeted && method != "ping" {
            self.oddities.add(Oddity::Early, text);
        }
        let needs = match method {
            "ping" => "ping",
            "$/progress" => "progress",
            "$/log" => "log",
            _ => return,
        };
        if !self.named.has(needs) {
            self.oddities.add(Oddity::Unwanted, text);
        }
    }
}

fn has_version(text: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct Version {
        jsonrpc: String,
    }
    serde_json::from_str::<Version>(text).is_ok_and(|it| it.jsonrpc == "2.0")
}
