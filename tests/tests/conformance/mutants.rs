//! Servers with one thing wrong, made from correct ones: each is caught by the requirements that are about that thing, and by
//! few others. What is not caught would be a check that cannot fail.

use std::collections::BTreeSet;

use stepflow_tests::environment;
use stepflow_tests::environment::Python;
use stepflow_tests::http::Server;
use stepflow_tests::program::Folder;
use stepflow_tests::runtime::Program;

use crate::suite;
use crate::suite::Report;

/// What must be found, and what else may be.
struct Caught {
    by: &'static [&'static str],
    also: &'static [&'static str],
}

fn check(report: &Report, caught: &Caught) {
    let failed = report.failed();
    let by: BTreeSet<_> = caught.by.iter().copied().collect();
    let may: BTreeSet<_> = caught.also.iter().copied().chain(by.clone()).collect();
    assert!(by.is_subset(&failed), "not caught: {failed:?}");
    assert!(failed.is_subset(&may), "{failed:?}: {}", report.faults());
}

/// The example server without an SDK, with one text replaced by another.
async fn over_stdio(from: &str, to: &str, caught: Caught) {
    let original = environment::example("component-server/python/server.py");
    let text = std::fs::read_to_string(original).unwrap();
    assert_eq!(
        text.matches(from).count(),
        1,
        "the example has changed: {from}"
    );
    let folder = Folder::default().file("server.py", &text.replace(from, to));
    let mut command = folder.stepflow(&["conformance", "--format", "json", "--timeout", "4s"]);
    command
        .args(["--env", stepflow_tests::process::VARIABLE, "--"])
        .arg(Python::Project.interpreter())
        .arg("server.py");
    let report = suite::run(command).await.into();
    check(&report, &caught);
    folder.mark().all_gone().await;
}

async fn over_http(arguments: &'static [&'static str], caught: Caught) {
    let folder = Folder::default();
    let program = Program::File("mutant_http.py", arguments);
    let server = Server::start(program, folder.path(), folder.mark()).await;
    let options = ["--mode", "session", "--timeout", "4s"];
    let report = suite::reached(&folder, &server.url, &options).await;
    server.kill().await;
    check(&report, &caught);
    folder.mark().all_gone().await;
}

macro_rules! over_stdio {
    ($($name:ident: $from:literal => $to:literal, [$($by:literal)*] [$($also:literal)*])*) => {
        $(#[tokio::test]
        async fn $name() {
            let caught = Caught { by: &[$($by),*], also: &[$($also),*] };
            over_stdio($from, $to, caught).await;
        })*
    };
}

macro_rules! over_http {
    ($($name:ident: $mutant:literal, [$($by:literal)*] [$($also:literal)*])*) => {
        $(#[tokio::test]
        async fn $name() {
            let caught = Caught { by: &[$($by),*], also: &[$($also),*] };
            over_http(&[$mutant, "--http"], caught).await;
        })*
    };
}

over_stdio! {
    the_original_has_nothing_wrong: "the end of stdin" => "the end of stdin,", [] []

    answers_twice: "try: send(id=id, result=calls.pop(id).result())" =>
        "try: result = calls.pop(id).result(); send(id=id, result=result); send(id=id, result=result)",
        ["messages.one-answer"] []

    makes_texts_of_ids: "case {\"id\": str() | int() as id}:" => "case {\"id\": str() | int() as id} if [id := str(id)]:",
        ["messages.ids" "messages.typed-ids"] ["messages.one-answer" "cancelling.typed"]

    prints_to_the_wire: "    line = json.dumps(" => "    print(\"sending\", file=wire); line = json.dumps(",
        ["framing.clean"] []

    lives_on_without_stdin: "os._exit(0)" => "threading.Event().wait()",
        ["shutdown.end-of-input" "shutdown.busy" "shutdown.before-greeting"] ["shutdown.status"]

    ends_with_a_wrong_status: "os._exit(0)" => "os._exit(3)", ["shutdown.status"] []

    has_another_code_for_unknown_methods: "raise Failure(-32601, f\"there is no method" => "raise Failure(-32000, f\"there is no method",
        ["messages.unknown-method"] []

    has_another_code_for_unknown_components: "raise Failure(-32001" => "raise Failure(-32602",
        ["execution.unknown-component" "execution.info-unknown"] []

    speaks_any_version: "{\"runtime_protocol_version\": 1}" => "{\"runtime_protocol_version\": _}", ["handshake.version"] []

    needs_no_greeting: "not runtime.get(\"ready\")" => "False",
        ["handshake.before-initialize" "handshake.before-initialized" "handshake.again"] []

    does_one_thing_at_a_time: "await asyncio.sleep(input" => "__import__(\"time\").sleep(input",
        ["execution.concurrent" "execution.many"] ["cancelling.answered" "cancelling.typed" "shutdown.busy"]

    answers_to_noise: "except (ValueError, RecursionError): return" =>
        "except (ValueError, RecursionError): return send(id=None, error={\"code\": -32700, \"message\": \"noise\"})",
        ["framing.not-json" "framing.invalid-utf8" "framing.blank-lines"] ["framing.byte-order-mark"]

    dies_of_noise: "except (ValueError, RecursionError): return" => "except (ValueError, RecursionError): os._exit(1)",
        ["framing.not-json" "framing.invalid-utf8" "framing.blank-lines"] ["framing.byte-order-mark"]

    does_not_answer_what_is_cancelled: "except asyncio.CancelledError: send(id=id, error={\"code\": -32012, \"message\": \"cancelled\"})" =>
        "except asyncio.CancelledError: pass",
        ["cancelling.answered" "cancelling.typed"] []

    calls_back_with_one_id_for_all: "id := str(uuid.uuid4())" => "id := \"call\"", ["callbacks.ids"] ["callbacks.answered-twice"]

    does_not_say_whose_call_back_it_is: "{\"execution\": id, \"observability\": params.get(\"observability\")}" => "{}",
        ["callbacks.execution" "callbacks.observability"] []

    takes_a_refusal_for_an_answer: "if answer.get(\"error\"): raise Failure(**answer[\"error\"])" => "answer = {\"result\": {\"blob_id\": \"sha256:\", \"data\": 1}, **answer}",
        ["callbacks.refused"] []

    cuts_long_messages: "print(line, file=wire" => "print(line[:65536], file=wire",
        ["sizes.pipe" "sizes.half-megabyte" "sizes.megabytes"] ["framing.clean" "messages.envelope"]

    exceeds_the_limit_of_the_runtime: "runtime.get(\"max_message_bytes\") or 1e99" => "1e99", ["sizes.runtime-limit"] []

    lists_paths_without_a_slash: "{\"component\": name} for name" => "{\"component\": name[1:]} for name",
        ["execution.list" "execution.info"] []

    tells_progress_to_all: "call = {\"execution\": id" =>
        "send(method=\"$/progress\", params={\"id\": id}); call = {\"execution\": id",
        ["messages.unwanted"] []

    asks_before_it_is_greeted: "runtime.update({" => "send(id=\"early\", method=\"blobs/get\", params={}); runtime.update({",
        ["handshake.patient"] []

    forgets_the_version_of_json_rpc: "{\"jsonrpc\": \"2.0\", **message}" => "message", ["messages.envelope"]
        ["callbacks.blob" "callbacks.params" "callbacks.execution" "callbacks.observability" "callbacks.ids"
         "callbacks.concurrent" "callbacks.refused" "callbacks.answered-twice" "messages.unwanted"]

    answers_to_notifications: "runtime[\"ready\"] = True" =>
        "runtime[\"ready\"] = True; send(id=None, error={\"code\": -32600, \"message\": \"no id\"})",
        ["handshake.initialized-silent"] []

    has_no_null: "\"output\": await components[find(path)](input, call)}" =>
        "\"output\": (await components[find(path)](input, call)) or {}}",
        ["execution.null-value"] []
}

over_http! {
    has_nothing_wrong_over_http: "none", [] []

    shares_sessions: "shares-sessions", ["sessions.callbacks" "sessions.unknown"]
        ["sessions.isolated" "sessions.ended" "sessions.resumed" "sessions.greeted-each" "handshake.again"]

    names_sessions_by_number: "names-sessions-by-number", ["sessions.unguessable"] []

    forgets_streams: "forgets-streams", ["sessions.resumed"] []

    never_ends_sessions: "never-ends-sessions", ["sessions.ended"] []

    serves_foreign_pages: "serves-foreign-pages", ["security.origin"] ["security.cors"]

    serves_any_host: "serves-any-host", ["security.host"] []

    takes_any_type: "takes-any-type", ["posts.media-type" "posts.refusals"] []
}
