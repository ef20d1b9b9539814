//! One JSON-RPC 2.0 message: its kinds, its text, and what can be said of text that is none.
//! Owns the envelope only: `params`, `result` and `data` stay raw text.
//!
//! A message is classified by its shape alone, by this one function, on every channel it can arrive on.

mod salvage;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde::Deserializer;
use serde::Serialize;
pub use stepflow_json::Json;
use stepflow_json::Members;
use stepflow_json::NotJson;
use stepflow_json::Raw;

use crate::error::RpcError;
pub use salvage::EDGE_BYTES;
pub use salvage::Salvaged;
pub use salvage::salvage;

/// The longest id: ids are echoed, and must not be a way to make answers larger than what they answer.
const MAX_ID_BYTES: usize = 1024;

/// What the envelope takes besides id, method and body, give or take a few.
const ENVELOPE_BYTES: usize = 64;

/// What ties an answer to its request: a string or an integer, compared by kind and value (`"1"` is not `1`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Id {
    /// An integer id.
    Number(i64),
    /// A string id; ours are UUIDv7 texts.
    String(Arc<str>),
}

impl Id {
    fn read(raw: Raw<'_>) -> Result<Id, serde_json::Error> {
        let text = raw.get();
        match text.starts_with('"') {
            true => string(text).map(|text| Id::String(text.into())),
            false => serde_json::from_str(text),
        }
    }

    /// The id, if it is one that an answer can repeat.
    fn usable(raw: Raw<'_>) -> Result<Id, String> {
        if raw.get().len() > MAX_ID_BYTES {
            return Err(format!("its id is longer than {MAX_ID_BYTES} bytes"));
        }
        Id::read(raw).map_err(|error| format!("its id is wrong: {error}"))
    }
}

impl From<&str> for Id {
    fn from(text: &str) -> Self {
        Id::String(text.into())
    }
}

impl From<i64> for Id {
    fn from(number: i64) -> Self {
        Id::Number(number)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Id::Number(number) => write!(f, "{number}"),
            Id::String(text) => f.write_str(text),
        }
    }
}

impl Serialize for Id {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Id::Number(number) => serializer.serialize_i64(*number),
            Id::String(text) => serializer.serialize_str(text),
        }
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct IdVisitor;
        impl serde::de::Visitor<'_> for IdVisitor {
            type Value = Id;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a 64-bit integer")
            }
            fn visit_i64<E>(self, number: i64) -> Result<Id, E> {
                Ok(Id::Number(number))
            }
            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Id, E> {
                i64::try_from(number).map(Id::Number).map_err(|_| {
                    E::invalid_value(serde::de::Unexpected::Unsigned(number), &"a 64-bit integer")
                })
            }
            fn visit_str<E>(self, text: &str) -> Result<Id, E> {
                Ok(Id::String(text.into()))
            }
        }
        deserializer.deserialize_any(IdVisitor)
    }
}

/// A call that wants an answer.
#[derive(Clone, Debug)]
pub struct Request {
    /// What the answer will carry.
    pub id: Id,
    /// The method's name on the wire.
    pub method: Cow<'static, str>,
    /// Always sent, `{}` when empty.
    pub params: Json,
}

/// The answer to a [`Request`].
#[derive(Clone, Debug)]
pub struct Response {
    /// The id of the request it answers.
    pub id: Id,
    /// Exactly one of `result` (which may be `null`) and `error`.
    pub result: Result<Json, RpcError>,
}

/// A message that wants no answer and never gets one.
#[derive(Clone, Debug)]
pub struct Notification {
    /// The method's name on the wire.
    pub method: Cow<'static, str>,
    /// Always sent, `{}` when empty.
    pub params: Json,
}

/// A JSON-RPC 2.0 message.
#[derive(Clone, Debug)]
pub enum Message {
    /// A call that wants an answer.
    Request(Request),
    /// An answer.
    Response(Response),
    /// A message that wants no answer.
    Notification(Notification),
    /// An error with `id: null`, about what could not be tied to a request. It is sent, and never read as a message:
    /// see [`Malformed::Unattributed`].
    Unattributed(RpcError),
}

/// Text that is no message, sorted by what the receiver can do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// The text is not JSON; on a byte stream it is the program's own output and is never answered.
    NotJson,
    /// JSON with a usable id, but no request: answered with -32600.
    BadRequest {
        /// The id to answer to.
        id: Id,
        /// What is wrong with it.
        why: String,
    },
    /// An answer whose id is known but whose content is wrong: its waiter fails.
    BadAnswer {
        /// The id of the call it answers.
        id: Id,
        /// What is wrong with it.
        why: String,
    },
    /// A request whose id cannot be repeated: answered with -32600 and `id: null`.
    Nameless {
        /// What is wrong with it.
        why: String,
    },
    /// JSON without a usable id and without the shape of a message.
    NotAMessage {
        /// What is wrong with it.
        why: String,
    },
    /// An error with `id: null`: reported, never matched to a call.
    Unattributed(RpcError),
}

/// The members of a message, each as it stands.
#[derive(Default)]
struct Envelope<'a> {
    jsonrpc: Option<Raw<'a>>,
    id: Option<Raw<'a>>,
    method: Option<Raw<'a>>,
    params: Option<Raw<'a>>,
    result: Option<Raw<'a>>,
    error: Option<Raw<'a>>,
}

/// Why text that starts as an object has no envelope.
enum Unreadable {
    NotJson,
    /// A key of ours twice: which one counts would be a guess.
    Twice(&'static str),
}

impl From<NotJson> for Unreadable {
    fn from(_: NotJson) -> Self {
        Unreadable::NotJson
    }
}

impl<'a> Envelope<'a> {
    fn read(members: Members<'a>) -> Result<Self, Unreadable> {
        let mut envelope = Envelope::default();
        for member in members {
            let member = member?;
            let Some((name, place)) = envelope.place(member.key)? else {
                continue;
            };
            if place.replace(member.value).is_some() {
                return Err(Unreadable::Twice(name));
            }
        }
        // Here `null` is the same as nothing; elsewhere it is a value.
        for place in [&mut envelope.id, &mut envelope.params, &mut envelope.error] {
            place.take_if(|value| value.get() == "null");
        }
        Ok(envelope)
    }

    /// Where the value of a key belongs, if we know it.
    fn place(&mut self, key: &str) -> Result<Option<(&'static str, Place<'_, 'a>)>, Unreadable> {
        Ok(Some(match key {
            "jsonrpc" => ("jsonrpc", &mut self.jsonrpc),
            "id" => ("id", &mut self.id),
            "method" => ("method", &mut self.method),
            "params" => ("params", &mut self.params),
            "result" => ("result", &mut self.result),
            "error" => ("error", &mut self.error),
            escaped if escaped.contains('\\') => {
                let quoted = format!("\"{escaped}\"");
                let plain = string(&quoted).map_err(|_| Unreadable::NotJson)?;
                return match plain.contains('\\') {
                    true => Ok(None),
                    false => self.place(&plain),
                };
            }
            _ => return Ok(None),
        }))
    }
}

type Place<'e, 'a> = &'e mut Option<Raw<'a>>;

/// The string that a JSON text is.
fn string(text: &str) -> Result<Cow<'_, str>, serde_json::Error> {
    let inner = text
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    match inner.filter(|inner| !inner.contains('\\')) {
        Some(plain) => Ok(Cow::Borrowed(plain)),
        None => serde_json::from_str(text).map(Cow::Owned),
    }
}

impl Message {
    /// Reads one message from its text.
    ///
    /// # Errors
    /// [`Malformed`] says what the text is instead.
    pub fn decode(text: &str) -> Result<Message, Malformed> {
        decode(text, Json::from)
    }

    /// The same of a large text, whose params or result are not copied: they keep it alive.
    ///
    /// # Errors
    /// [`Malformed`] says what the text is instead.
    pub fn decode_shared(text: &Arc<String>) -> Result<Message, Malformed> {
        decode(text, |part| Json::of_whole(text, part))
    }

    /// Appends the message's text: one line unless `params` holds line breaks of its own.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.reserve(self.size());
        self.push_head(out);
        let body = self.body();
        for piece in body.pieces() {
            out.extend_from_slice(piece.as_bytes());
        }
        out.push(b'}');
    }

    /// What stands before the body, the body, and what stands after it, so that a large body can be written from where it is.
    pub fn parts(&self) -> (Vec<u8>, Cow<'_, Json>, &'static str) {
        let mut head = Vec::with_capacity(2 * ENVELOPE_BYTES);
        self.push_head(&mut head);
        (head, self.body(), "}")
    }

    fn body(&self) -> Cow<'_, Json> {
        match self {
            Message::Request(request) => Cow::Borrowed(&request.params),
            Message::Notification(notification) => Cow::Borrowed(&notification.params),
            Message::Unattributed(error) => Cow::Owned(error.to_json()),
            Message::Response(response) => match &response.result {
                Ok(result) => Cow::Borrowed(result),
                Err(error) => Cow::Owned(error.to_json()),
            },
        }
    }

    /// Everything before the body.
    fn push_head(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(br#"{"jsonrpc":"2.0""#);
        let (id, method, body) = match self {
            Message::Request(it) => (Some(&it.id), Some(&it.method), "params"),
            Message::Notification(it) => (None, Some(&it.method), "params"),
            Message::Response(it) if it.result.is_ok() => (Some(&it.id), None, "result"),
            Message::Response(it) => (Some(&it.id), None, "error"),
            Message::Unattributed(_) => {
                out.extend_from_slice(br#","id":null"#);
                (None, None, "error")
            }
        };
        if let Some(id) = id {
            out.extend_from_slice(br#","id":"#);
            match id {
                Id::Number(number) => out.extend_from_slice(number.to_string().as_bytes()),
                Id::String(text) => push_string(out, text),
            }
        }
        if let Some(method) = method {
            out.extend_from_slice(br#","method":"#);
            push_string(out, method);
        }
        out.extend_from_slice(b",\"");
        out.extend_from_slice(body.as_bytes());
        out.extend_from_slice(b"\":");
    }

    /// Whether it was sent because of what the other side sent, which may send more of it than it reads.
    pub fn is_answer(&self) -> bool {
        matches!(self, Message::Response(_) | Message::Unattributed(_))
    }

    /// How many bytes [`Message::encode`] would write, give or take a few for escapes.
    pub fn size(&self) -> usize {
        let id = |id: &Id| match id {
            Id::Number(_) => 20,
            Id::String(text) => text.len(),
        };
        ENVELOPE_BYTES
            + match self {
                Message::Request(it) => id(&it.id) + it.method.len() + it.params.len(),
                Message::Notification(it) => it.method.len() + it.params.len(),
                Message::Unattributed(error) => error.size(),
                Message::Response(it) => {
                    id(&it.id)
                        + match &it.result {
                            Ok(result) => result.len(),
                            Err(error) => error.size(),
                        }
                }
            }
    }
}

fn push_string(out: &mut Vec<u8>, text: &str) {
    if stepflow_json::is_plain(text) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        serde_json::to_writer(out, text).expect("a string is always JSON, and memory takes it");
    }
}

fn decode<'a>(text: &'a str, keep: impl Fn(Raw<'a>) -> Json) -> Result<Message, Malformed> {
    let Some(members) = Members::of(text) else {
        return Err(not_an_object(text));
    };
    match Envelope::read(members) {
        Ok(envelope) => envelope.classify(keep),
        Err(Unreadable::NotJson) => Err(Malformed::NotJson),
        Err(Unreadable::Twice(key)) => Err(has_twice(text, key)),
    }
}

impl<'a> Envelope<'a> {
    fn classify(self, keep: impl Fn(Raw<'a>) -> Json) -> Result<Message, Malformed> {
        let id = match self.id.map(Id::usable).transpose() {
            Ok(id) => id,
            Err(why) => return Err(self.without_usable_id(why)),
        };
        let version_is_right = self.version_is_right();
        match (self.method, self.result, self.error) {
            (Some(method), None, None) => {
                let params = self.params.map_or_else(empty_params, keep);
                classify_call(id, method, params, version_is_right)
            }
            (None, None, None) => Err(wrong(
                id,
                "it has neither a method nor a result nor an error".into(),
            )),
            (None, result, error) => classify_answer(id, result.map(keep), error),
            (Some(_), _, _) => Err(wrong(id, "it has a method and an answer at once".into())),
        }
    }
}

impl Envelope<'_> {
    fn version_is_right(&self) -> bool {
        self.jsonrpc
            .is_some_and(|version| version.get() == "\"2.0\"")
    }

    /// What only looks like a request, such as a line of a log, is not answered.
    fn without_usable_id(&self, why: String) -> Malformed {
        match self.method.is_some() && self.version_is_right() {
            true => Malformed::Nameless { why },
            false => Malformed::NotAMessage { why },
        }
    }
}

fn classify_call(
    id: Option<Id>,
    method: Raw<'_>,
    params: Json,
    version_is_right: bool,
) -> Result<Message, Malformed> {
    if !version_is_right {
        return Err(wrong(id, r#"its "jsonrpc" is not "2.0""#.into()));
    }
    let method = match string(method.get()) {
        Ok(method) => Cow::Owned(method.into_owned()),
        Err(error) => return Err(wrong(id, format!("its method is wrong: {error}"))),
    };
    if !params.get().starts_with(['{', '[']) {
        return Err(wrong(
            id,
            "its params are neither an object nor an array".into(),
        ));
    }
    Ok(match id {
        Some(id) => Message::Request(Request { id, method, params }),
        None => Message::Notification(Notification { method, params }),
    })
}

// An answer is taken whatever its "jsonrpc" says: refusing it would leave its caller waiting.
fn classify_answer(
    id: Option<Id>,
    result: Option<Json>,
    error: Option<Raw<'_>>,
) -> Result<Message, Malformed> {
    let error = error.map(|raw| {
        serde_json::from_str::<RpcError>(raw.get())
            .map_err(|error| format!("its error object is wrong: {error}"))
    });
    match (id, result, error) {
        (Some(id), Some(_), Some(_)) => Err(Malformed::BadAnswer {
            id,
            why: "it has a result and an error".into(),
        }),
        (Some(id), Some(result), None) => Ok(Message::Response(Response {
            id,
            result: Ok(result),
        })),
        (Some(id), None, Some(Ok(error))) => Ok(Message::Response(Response {
            id,
            result: Err(error),
        })),
        (Some(id), None, Some(Err(why))) => Err(Malformed::BadAnswer { id, why }),
        (None, _, Some(Ok(error))) => Err(Malformed::Unattributed(error)),
        (None, _, Some(Err(why))) => Err(Malformed::NotAMessage { why }),
        (None, _, None) => Err(Malformed::NotAMessage {
            why: "an answer without an id".into(),
        }),
        (Some(id), None, None) => Err(Malformed::BadRequest {
            id,
            why: "it has neither method nor answer".into(),
        }),
    }
}

fn wrong(id: Option<Id>, why: String) -> Malformed {
    match id {
        Some(id) => Malformed::BadRequest { id, why },
        None => Malformed::NotAMessage { why },
    }
}

fn not_an_object(text: &str) -> Malformed {
    match serde_json::from_str::<serde::de::IgnoredAny>(text) {
        Ok(_) if text.trim_start().starts_with('[') => Malformed::NotAMessage {
            why: "batches are not supported".into(),
        },
        Ok(_) => Malformed::NotAMessage {
            why: "it is not an object".into(),
        },
        Err(_) => Malformed::NotJson,
    }
}

/// Which of the two counts would be a guess. The id is known all the same where it stands once, or says the same each time.
fn has_twice(text: &str, key: &str) -> Malformed {
    let why = format!("it has the key `{key}` twice");
    let mut envelope = Envelope::default();
    let mut id: Option<Result<Option<Id>, String>> = None;
    for member in Members::of(text).into_iter().flatten() {
        let Ok(member) = member else {
            return Malformed::NotJson;
        };
        match envelope.place(member.key) {
            Ok(Some(("id", _))) => {
                let found = match member.value.get() {
                    "null" => Ok(None),
                    _ => Id::usable(member.value).map(Some),
                };
                id = Some(match id {
                    Some(known) if known != found => Err(why.clone()),
                    _ => found,
                });
            }
            Ok(Some((_, place))) => *place = Some(member.value),
            Ok(None) => {}
            Err(_) => return Malformed::NotJson,
        }
    }
    let is_answer = envelope.result.is_some() || envelope.error.is_some();
    match id {
        Some(Ok(Some(id))) if envelope.method.is_none() && is_answer => {
            Malformed::BadAnswer { id, why }
        }
        Some(Ok(Some(id))) => Malformed::BadRequest { id, why },
        Some(Err(why)) => envelope.without_usable_id(why),
        Some(Ok(None)) | None => Malformed::NotAMessage { why },
    }
}

/// Makes a message's text one line: line breaks in JSON text can only be white space between tokens.
pub fn unbreak(text: &mut [u8]) {
    let mut from = 0;
    while let Some(at) = memchr::memchr2(b'\n', b'\r', &text[from..]) {
        text[from + at] = b' ';
        from += at + 1;
    }
}

/// The params of a message that has none.
pub fn empty_params() -> Json {
    Json::from(Raw::parse("{}").expect("an empty object is JSON"))
}

#[cfg(test)]
mod tests;
