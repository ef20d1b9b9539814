//! The JSON Schema of the protocol, for people who write servers in other languages and for their tools. Owns which methods
//! there are and who sends them; what their params and results are is said by their types.

use schemars::JsonSchema;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::Map;
use serde_json::Value as Json;
use serde_json::json;
use stepflow_flow::error::ErrorCode;
use stepflow_rpc::Method;
use stepflow_rpc::Notice;
use stepflow_rpc::peer::Cancel;

use crate::PROTOCOL_VERSION;
use crate::blob;
use crate::component;
use crate::flow;
use crate::lifecycle;
use crate::notice;

/// The JSON Schema (draft 2020-12) of one message. Its definitions have the params and the result of every method, and
/// `x-methods` says which belong together: an answer alone does not tell which method it is of.
pub fn json_schema() -> Json {
    let mut messages = Messages {
        generator: SchemaSettings::draft2020_12().into_generator(),
        requests: Vec::new(),
        notifications: Vec::new(),
        methods: Map::new(),
    };
    messages.collect();
    let mut definitions = messages.generator.take_definitions(true);
    definitions.insert(
        "Request".to_owned(),
        one_of("A request: it is answered exactly once.", messages.requests),
    );
    definitions.insert(
        "Notification".to_owned(),
        one_of(
            "A notification: it is never answered.",
            messages.notifications,
        ),
    );
    definitions.insert("Response".to_owned(), response());
    definitions.insert("Error".to_owned(), error());
    definitions.insert("ErrorCode".to_owned(), error_codes());
    definitions.insert("Id".to_owned(), json!({"description": "Names a request; its answer repeats it exactly.", "type": ["string", "integer"]}));
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": format!("Stepflow protocol, version {PROTOCOL_VERSION}"),
        "description": "One message: JSON-RPC 2.0 without batches.",
        "oneOf": [
            {"$ref": "#/$defs/Request"},
            {"$ref": "#/$defs/Notification"},
            {"$ref": "#/$defs/Response"},
        ],
        "x-methods": messages.methods,
        "$defs": definitions,
    })
}

/// Who sends a request or a notification.
#[derive(Clone, Copy)]
enum From {
    Runtime,
    Server,
    Both,
}

impl From {
    fn name(self) -> &'static str {
        match self {
            From::Runtime => "runtime",
            From::Server => "server",
            From::Both => "both",
        }
    }
}

struct Messages {
    generator: SchemaGenerator,
    requests: Vec<Json>,
    notifications: Vec<Json>,
    methods: Map<String, Json>,
}

impl Messages {
    fn collect(&mut self) {
        self.method::<lifecycle::Initialize>(From::Runtime);
        self.notice::<lifecycle::Initialized>(From::Runtime);
        self.method::<component::List>(From::Runtime);
        self.method::<component::Info>(From::Runtime);
        self.method::<component::Execute>(From::Runtime);
        self.method::<blob::Put>(From::Server);
        self.method::<blob::Get>(From::Server);
        self.method::<flow::Evaluate>(From::Server);
        self.method::<flow::GetMetadata>(From::Server);
        self.method::<flow::SubmitBatch>(From::Server);
        self.method::<flow::GetBatch>(From::Server);
        self.method::<lifecycle::Ping>(From::Both);
        // What is cancelled is for the transport alone to know, so its params have no type here.
        let cancel = json!({
            "type": "object",
            "properties": {"id": {"$ref": "#/$defs/Id"}, "reason": {"type": ["string", "null"]}},
            "required": ["id"],
        });
        self.notification(Cancel::NAME, From::Both, &cancel);
        self.notice::<notice::Progress>(From::Server);
        self.notice::<notice::Log>(From::Server);
    }

    fn method<M: Method<Params: JsonSchema, Result: JsonSchema>>(&mut self, from: From) {
        let params = self.generator.subschema_for::<M::Params>().to_value();
        let result = self.generator.subschema_for::<M::Result>().to_value();
        let id = json!({"$ref": "#/$defs/Id"});
        let mut request = message(M::NAME, &params, Some(id));
        // Missing params are an empty object, which not every method takes.
        if serde_json::from_str::<M::Params>("{}").is_err() {
            request["required"] = json!(["jsonrpc", "method", "id", "params"]);
        }
        self.requests.push(request);
        let entry = json!({"from": from.name(), "params": params, "result": result});
        self.methods.insert(M::NAME.to_owned(), entry);
    }

    fn notice<N: Notice<Params: JsonSchema>>(&mut self, from: From) {
        let params = self.generator.subschema_for::<N::Params>().to_value();
        self.notification(N::NAME, from, &params);
    }

    fn notification(&mut self, name: &str, from: From, params: &Json) {
        self.notifications.push(message(name, params, None));
        let entry = json!({"from": from.name(), "params": params});
        self.methods.insert(name.to_owned(), entry);
    }
}

/// A request, or a notification where there is no id. Missing params are an empty object.
fn message(method: &str, params: &Json, id: Option<Json>) -> Json {
    let mut properties = json!({
        "jsonrpc": {"const": "2.0"},
        "method": {"const": method},
        "params": params,
    });
    let mut required = vec!["jsonrpc", "method"];
    match id {
        Some(id) => {
            properties["id"] = id;
            required.push("id");
        }
        None => properties["id"] = json!(false),
    }
    json!({"title": method, "type": "object", "properties": properties, "required": required})
}

fn one_of(description: &str, kinds: Vec<Json>) -> Json {
    json!({"description": description, "oneOf": kinds})
}

fn response() -> Json {
    json!({
        "description": "An answer: it has a result or an error.",
        "type": "object",
        "properties": {
            "jsonrpc": {"const": "2.0"},
            "method": false,
        },
        "required": ["jsonrpc", "id"],
        "oneOf": [
            {"properties": {"id": {"$ref": "#/$defs/Id"}, "error": {"type": "null"}}, "required": ["result"]},
            {"properties": {"id": {"anyOf": [{"$ref": "#/$defs/Id"}, {"type": "null"}]}, "error": {"$ref": "#/$defs/Error"}, "result": {"type": "null"}}, "required": ["error"]},
        ],
    })
}

fn error() -> Json {
    json!({
        "description": "Why a request has no result.",
        "type": "object",
        "properties": {
            "code": {"$ref": "#/$defs/ErrorCode"},
            "message": {"description": "For people.", "type": "string"},
            "data": {"description": "More, as the code has it."},
        },
        "required": ["code", "message"],
    })
}

/// The codes that have a meaning; servers may use others.
fn error_codes() -> Json {
    let known = ErrorCode::ALL.iter().map(|code| {
        json!({"const": code.number(), "title": code.name(), "description": code.default_text()})
    });
    let known: Vec<_> = known.collect();
    let other =
        json!({"title": "other", "description": "A code of the server's own.", "type": "integer"});
    json!({"description": "What kind of failure it is.", "anyOf": [{"oneOf": known}, other]})
}
