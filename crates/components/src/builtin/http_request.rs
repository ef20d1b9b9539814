//! `http_request`: one request over HTTP and its answer.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::Method;
use reqwest::Url;
use reqwest::header;
use reqwest::header::HeaderMap;
use reqwest::header::HeaderName;
use reqwest::header::HeaderValue;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;
use stepflow_engine::Failure;
use stepflow_flow::error::ErrorCode;
use stepflow_flow::value::Kind;
use stepflow_flow::value::Value;

use super::Builtin;
use super::web;
use super::web::Answer;
use super::web::Hop;
use super::web::Request;
use super::web::Web;
use super::web::misfit;

/// How much of an answer is taken when the input does not say.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// How long a request may take when the input does not say.
const TIMEOUT: Duration = Duration::from_secs(60);

/// What to ask, and whom.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Input {
    /// Where to: http or https.
    url: String,
    /// `GET` when missing, or `POST` where there is a body.
    #[serde(default)]
    method: Option<String>,
    /// Headers by name.
    #[serde(default)]
    headers: Option<BTreeMap<String, String>>,
    /// Added to the URL: texts, numbers and booleans by name, or lists of them; null is left out.
    #[serde(default)]
    query: Option<BTreeMap<String, Value>>,
    /// A body, sent as JSON. Either this or `body`.
    #[serde(default)]
    json: Option<Value>,
    /// A body, sent as it stands.
    #[serde(default)]
    body: Option<String>,
    /// How long all of it may take, in milliseconds; 60000 when missing.
    #[serde(default)]
    #[schemars(range(min = 1))]
    timeout_ms: Option<u64>,
    /// The longest body of an answer that is taken; 16 MiB when missing.
    #[serde(default)]
    max_bytes: Option<usize>,
    /// Whether a status of 400 and more fails the step.
    #[serde(default)]
    fail_on_status: Option<bool>,
}

/// The answer.
#[derive(Serialize, JsonSchema)]
struct Output {
    /// The status, such as 200.
    status: u16,
    /// The headers by their names in lower case; several of one name are joined with commas.
    headers: BTreeMap<String, String>,
    /// The body: a value where it is JSON, else text.
    body: Value,
}

pub(super) fn builtin(web: Web) -> Builtin {
    Builtin::failing(
        "/http_request",
        "Sends a request over HTTP and returns the answer",
        move |_context, input: Input| {
            let web = web.clone();
            async move { run(&web, input).await }
        },
    )
}

async fn run(web: &Web, input: Input) -> Result<Output, Failure> {
    let fails = input.fail_on_status.unwrap_or(false);
    let request = request(input)?;
    let what = format!("{} {}", request.hop.method, web::origin(&request.hop.url));
    let answer = web.send(request).await?;
    if !fails || answer.status.as_u16() < 400 {
        return Ok(output(&answer));
    }
    let (class, code) = web::of_status(&answer);
    let error = code.error(format!("{what} was answered {}", answer.status));
    let data = Value::from_serialize(&output(&answer)).map_err(|error| {
        ErrorCode::COMPONENT_FAILED.error(format!("the answer is not JSON: {error}"))
    })?;
    Err(Failure::new(class, error.with_data(data)))
}

fn request(input: Input) -> Result<Request, Failure> {
    let mut url = web::url(&input.url)?;
    add_query(&mut url, &input.query.unwrap_or_default())?;
    let mut headers = headers(&input.headers.unwrap_or_default())?;
    let body = match (input.json, input.body) {
        (Some(_), Some(_)) => return Err(misfit("there can be `json` or `body`, not both")),
        (Some(json), None) => {
            headers
                .entry(header::CONTENT_TYPE)
                .or_insert(HeaderValue::from_static("application/json"));
            Some(json.as_text().to_owned())
        }
        (None, body) => body,
    };
    let method = match input.method {
        Some(name) => method(&name)?,
        None if body.is_some() => Method::POST,
        None => Method::GET,
    };
    Ok(Request {
        timeout: input.timeout_ms.map_or(TIMEOUT, Duration::from_millis),
        max_bytes: input.max_bytes.unwrap_or(MAX_BYTES),
        repeatable: method.is_idempotent(),
        hop: Hop {
            method,
            url,
            headers,
            body,
        },
    })
}

fn method(name: &str) -> Result<Method, Failure> {
    match Method::from_bytes(name.to_ascii_uppercase().as_bytes()) {
        // A tunnel has no answer that a step could use.
        Ok(method) if method != Method::CONNECT => Ok(method),
        _ => Err(misfit("`method` must be one such as GET, POST or DELETE")),
    }
}

fn headers(given: &BTreeMap<String, String>) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        let wrong = |what: &str| misfit(&format!("header `{name}`: {what}"));
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|error| wrong(&format!("this name cannot be sent: {error}")))?;
        if matches!(
            name,
            header::CONTENT_LENGTH | header::TRANSFER_ENCODING | header::CONNECTION
        ) {
            return Err(wrong("this is set by the client; leave it out"));
        }
        let mut value = HeaderValue::from_str(value)
            .map_err(|error| wrong(&format!("its value cannot be sent: {error}")))?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}

fn add_query(url: &mut Url, query: &BTreeMap<String, Value>) -> Result<(), Failure> {
    for (name, value) in query {
        let one = std::slice::from_ref(value);
        let values = if value.kind() == Kind::List {
            value.items()
        } else {
            one
        };
        for value in values {
            let text = match value.kind() {
                Kind::Null => continue,
                Kind::List | Kind::Object => {
                    let message = format!("query `{name}`: {} has no text", value.kind());
                    return Err(misfit(&message));
                }
                _ => value
                    .as_str()
                    .unwrap_or_else(|| value.as_text().into())
                    .into_owned(),
            };
            url.query_pairs_mut().append_pair(name, &text);
        }
    }
    Ok(())
}

fn output(answer: &Answer) -> Output {
    let mut headers = BTreeMap::new();
    for name in answer.headers.keys() {
        let values = answer.headers.get_all(name).iter();
        let values: Vec<_> = values
            .map(|value| String::from_utf8_lossy(value.as_bytes()))
            .collect();
        headers.insert(name.to_string(), values.join(", "));
    }
    let text = String::from_utf8_lossy(&answer.body);
    let body = Some(&text).filter(|_| is_json(&headers));
    // What calls itself JSON and is none is still an answer, with a status to look at.
    let body = body.and_then(|text| Value::parse(text).ok());
    Output {
        status: answer.status.as_u16(),
        headers,
        body: body.unwrap_or_else(|| Value::string(&text)),
    }
}

fn is_json(headers: &BTreeMap<String, String>) -> bool {
    let content_type = headers.get("content-type").map_or("", String::as_str);
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    let media_type = media_type.to_ascii_lowercase();
    media_type == "application/json" || media_type.ends_with("+json")
}
