//! `openai`: asks a language model behind an endpoint that is compatible with OpenAI's. The key goes into one header and
//! nowhere else.

use std::time::Duration;

use reqwest::Method;
use reqwest::header;
use reqwest::header::HeaderMap;
use reqwest::header::HeaderValue;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;
use stepflow_engine::Failure;
use stepflow_flow::error::ErrorCode;
use stepflow_flow::value::Value;

use super::Builtin;
use super::web;
use super::web::Answer;
use super::web::Hop;
use super::web::Request;
use super::web::Web;
use super::web::misfit;

/// Where to ask when the input does not say.
const BASE_URL: &str = "https://api.openai.com/v1";

/// A model may think for long; the step's own time limit is the one to set.
const TIMEOUT: Duration = Duration::from_secs(600);

/// How much of an answer is taken.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// How much of an answer that is no error of a provider is shown.
const SNIPPET_CHARS: usize = 200;

/// What to ask. Any further parameter is passed through.
#[derive(Deserialize, JsonSchema)]
struct Input {
    /// What was said so far, as `create_messages` makes it.
    #[serde(rename = "messages")]
    _messages: Vec<Value>,
    /// The model's name; the endpoint's own default when missing.
    #[serde(default, rename = "model")]
    _model: Option<String>,
    /// The longest answer, in tokens.
    #[serde(default, rename = "max_tokens")]
    _max_tokens: Option<u64>,
    /// How varied the answers are.
    #[serde(default, rename = "temperature")]
    _temperature: Option<f64>,
    /// The endpoint, up to `/chat/completions`; OpenAI's own when missing.
    #[serde(default)]
    base_url: Option<String>,
    /// Sent as a bearer token; best taken from a secret variable.
    #[serde(default)]
    api_key: Option<String>,
    /// Must not be asked for: a step has one answer.
    #[serde(default)]
    stream: Option<bool>,
}

/// What the model says.
#[derive(Serialize, JsonSchema)]
struct Output {
    /// The text of the first choice.
    response: String,
    /// How many tokens it took, as the endpoint says; null when it does not.
    usage: Value,
}

pub(super) fn builtin(web: Web) -> Builtin {
    Builtin::failing(
        "/openai",
        "Asks a language model at an endpoint compatible with OpenAI's",
        move |context, input: Input| {
            let web = web.clone();
            async move { run(&web, &context.invocation.input, input).await }
        },
    )
}

async fn run(web: &Web, given: &Value, input: Input) -> Result<Output, Failure> {
    if input.stream == Some(true) {
        return Err(misfit(
            "`stream` must be left out: a step has one whole answer",
        ));
    }
    let key = input.api_key.unwrap_or_default();
    let base_url = input.base_url.as_deref().unwrap_or(BASE_URL);
    let base_url = base_url.trim_end_matches('/');
    let url = web::url(&format!("{base_url}/chat/completions"))?;
    let origin = web::origin(&url);
    let request = Request {
        timeout: TIMEOUT,
        max_bytes: MAX_BYTES,
        // Asking a model twice changes nothing.
        repeatable: true,
        hop: Hop {
            method: Method::POST,
            url,
            headers: headers(&key)?,
            body: Some(parameters(given).as_text().to_owned()),
        },
    };
    let answer = web.send(request).await?;
    let body = String::from_utf8_lossy(&answer.body);
    if !answer.status.is_success() {
        return Err(refusal(&origin, &answer, &body, &key));
    }
    let read = Value::parse(&body).ok().as_ref().and_then(read);
    read.ok_or_else(|| {
        let message = format!("{origin} answered without a text in its first choice");
        let message = message + &snippet(&hide(&body, &key));
        ErrorCode::COMPONENT_FAILED.error(message).into()
    })
}

fn headers(key: &str) -> Result<HeaderMap, Failure> {
    let json = HeaderValue::from_static("application/json");
    let mut headers = HeaderMap::from_iter([(header::CONTENT_TYPE, json)]);
    if !key.is_empty() {
        let mut value = HeaderValue::from_str(&format!("Bearer {key}")).map_err(|error| {
            misfit(&format!(
                "`api_key` cannot be sent: {error}; does it end in a line break?"
            ))
        })?;
        value.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, value);
    }
    Ok(headers)
}

/// What is for the model: all but what is for us. A known parameter that is null was not given.
fn parameters(given: &Value) -> Value {
    let is_sent = |(name, value): &(&str, &Value)| match *name {
        "base_url" | "api_key" => false,
        "model" | "max_tokens" | "temperature" | "stream" => !value.is_null(),
        _ => true,
    };
    let entries = given.entries().filter(is_sent);
    Value::object(entries.map(|(name, value)| (name, value.clone())))
}

fn read(body: &Value) -> Option<Output> {
    let first = body.get("choices")?.index(0)?;
    let text = first.get("message")?.get("content")?;
    Some(Output {
        response: text.as_str()?.into_owned(),
        usage: body.get("usage").unwrap_or_else(Value::null),
    })
}

/// A status that is no success, with what the provider says about it.
fn refusal(origin: &str, answer: &Answer, body: &str, key: &str) -> Failure {
    let said = Value::parse(body).ok().and_then(|body| {
        let error = body.get("error").unwrap_or(body);
        let message = error.get("message").unwrap_or(error);
        Some(message.as_str()?.into_owned())
    });
    let said = said.as_deref().unwrap_or(body);
    let status = answer.status;
    let (class, code) = web::of_status(answer);
    let said = snippet(&hide(said, key));
    let error = code.error(format!("{origin} answered {status}{said}"));
    let number = serde_json::Value::from(status.as_u16());
    let data = Value::object([("status", Value::from(number))]);
    Failure::new(class, error.with_data(data))
}

/// Providers quote the key they refuse.
fn hide(text: &str, key: &str) -> String {
    if key.is_empty() {
        text.to_owned()
    } else {
        text.replace(key, "***")
    }
}

/// The start of a text, on one line.
fn snippet(text: &str) -> String {
    let words: Vec<_> = text.split_whitespace().collect();
    let text = words.join(" ");
    match text.char_indices().nth(SNIPPET_CHARS) {
        _ if text.is_empty() => String::new(),
        Some((end, _)) => format!(": {}…", &text[..end]),
        None => format!(": {text}"),
    }
}
