//! What is looked for after each run: the table of checks, one for each requirement of runtimes.

use serde_json::Value;
use serde_json::json;

use super::Seen;
use super::server;
use super::server::Scenario;
use crate::verdict::Stop;
use crate::verdict::Verdict;
use crate::verdict::brief;
use crate::verdict::ensure;
use crate::verdict::same;

/// What the server does, and what has to come of it.
pub(super) struct Check {
    id: &'static str,
    pub scenario: Scenario,
    pub judge: fn(&Seen) -> Verdict,
}

macro_rules! table {
    ($($id:literal $scenario:ident $judge:expr;)*) => {
        &[$(Check { id: $id, scenario: Scenario::$scenario, judge: $judge }),*]
    };
}

static TABLE: &[Check] = table! {
    "runtime.greeting" Ordinary greeting;
    "runtime.version" Version version;
    "runtime.params" Ordinary params;
    "runtime.execute-fields" Ordinary execute_fields;
    "runtime.null-output" NullOutput null_output;
    "runtime.component-error" Failure component_error;
    "runtime.noise" Noise Seen::succeeds;
    "runtime.unknown-answers" UnknownAnswers Seen::succeeds;
    "runtime.answered-twice" AnswersTwice Seen::succeeds;
    "runtime.callbacks" CallsBack Seen::succeeds;
    "runtime.callbacks-together" CallsTogether callbacks_together;
    "runtime.unknown-method" UnknownMethod unknown_method;
    "runtime.stderr" Flood Seen::succeeds;
    "runtime.restart" Exit restart;
    "runtime.end" Ordinary end;
};

/// The check of a requirement.
pub(super) fn find(id: &str) -> Option<&'static Check> {
    TABLE.iter().find(|it| it.id == id)
}

/// Fails unless a process was greeted as the protocol says.
fn greeted(got: &[Value]) -> Verdict {
    let first = got.first().cloned().unwrap_or_default();
    same("the first method", &json!("initialize"), &first["method"])?;
    let version = &first["params"]["runtime_protocol_version"];
    same("the version of the protocol", &json!(1), version)?;
    let second = got.get(1).cloned().unwrap_or_default();
    same(
        "the second method",
        &json!("initialized"),
        &second["method"],
    )?;
    ensure(
        second.get("id").is_none(),
        "`initialized` has an id",
        "a notification",
        second.to_string(),
    )
}

fn greeting(seen: &Seen) -> Verdict {
    greeted(&seen.record.got(0))?;
    seen.succeeds()
}

fn version(seen: &Seen) -> Verdict {
    let got = seen.record.all();
    let later = got.iter().find(|it| it["method"] != "initialize");
    if let Some(later) = later {
        let reason = "the runtime goes on after the answer to `initialize`";
        return Err(Stop::fail(
            reason,
            "nothing more",
            brief(&later.to_string()),
        ));
    }
    let said = format!("{}\n{}", seen.stdout, seen.stderr);
    let other = server::OTHER_VERSION.to_string();
    let names_both = said.lines().any(|line| {
        let numbers: Vec<_> = line
            .split(|letter: char| !letter.is_ascii_digit())
            .collect();
        numbers.contains(&other.as_str()) && numbers.contains(&"1")
    });
    let expected = format!("an error with {other} and 1 in it");
    ensure(
        names_both,
        "no error names both versions",
        expected,
        brief(&said),
    )?;
    let is_success = seen.outcome["outcome"] == "success";
    ensure(
        !is_success,
        "the run succeeds",
        "an error",
        brief(&seen.stdout),
    )
}

fn params(seen: &Seen) -> Verdict {
    for message in seen.record.all() {
        same("`jsonrpc`", &json!("2.0"), &message["jsonrpc"])?;
        let is_right = message.get("method").is_none() || message["params"].is_object();
        let seen = brief(&message.to_string());
        ensure(is_right, "a message has no params", "an object", seen)?;
    }
    seen.succeeds()
}

fn execute_fields(seen: &Seen) -> Verdict {
    let executes = seen.executes();
    let count = executes.len().to_string();
    ensure(
        executes.len() == 2,
        "the server is not called for each step",
        "2 calls",
        count,
    )?;
    for (params, step) in executes.iter().zip(["first", "second"]) {
        let texts = ["component", "step_id", "run_id", "flow_id"];
        let missing = texts.into_iter().find(|name| !params[*name].is_string());
        let seen = brief(&params.to_string());
        if let Some(name) = missing {
            return Err(Stop::fail(format!("no `{name}`"), "a string", seen));
        }
        let has_observability = params["observability"].is_object();
        ensure(has_observability, "no `observability`", "an object", seen)?;
        same(
            "`component`",
            &json!(format!("/{step}")),
            &params["component"],
        )?;
        same("`step_id`", &json!(step), &params["step_id"])?;
        same("`input`", &json!({"value": 7}), &params["input"])?;
        same("`attempt`", &json!(1), &params["attempt"])?;
    }
    seen.succeeds()
}

fn null_output(seen: &Seen) -> Verdict {
    let has_result = seen.outcome.get("result").is_some();
    let stdout = brief(&seen.stdout);
    ensure(has_result, "the outcome has no result", "null", stdout)?;
    seen.outcome_is(&json!({"outcome": "success", "result": null}))
}

fn component_error(seen: &Seen) -> Verdict {
    let failure = server::failure();
    same("the outcome", &json!("failed"), &seen.outcome["outcome"])?;
    let error = &seen.outcome["error"];
    same("the error's code", &failure["code"], &error["code"])?;
    same(
        "the error's message",
        &failure["message"],
        &error["message"],
    )?;
    same("the error's data", &failure["data"], &error["data"])
}

/// The answers to one id, in the first process.
fn answers(seen: &Seen, id: &Value) -> Vec<Value> {
    let got = seen.record.got(0).into_iter();
    got.filter(|it| it.get("method").is_none() && it["id"] == *id)
        .collect()
}

fn callbacks_together(seen: &Seen) -> Verdict {
    seen.succeeds()?;
    for id in server::ids_together() {
        // Each step calls back once with each id.
        let answers = answers(seen, &id);
        let blobs = answers
            .iter()
            .filter(|it| it["result"]["blob_id"].is_string());
        let seen = brief(&Value::from(answers.clone()).to_string());
        let reason = format!("the call {id} is not answered once a step");
        ensure(
            blobs.count() == 2 && answers.len() == 2,
            reason,
            "two blob ids",
            seen,
        )?;
    }
    Ok(())
}

fn unknown_method(seen: &Seen) -> Verdict {
    let answers = answers(seen, &json!("unknown"));
    let code = answers.first().map(|it| &it["error"]["code"]);
    same(
        "the error's code",
        &json!(-32601),
        code.unwrap_or(&Value::Null),
    )?;
    seen.succeeds()
}

fn restart(seen: &Seen) -> Verdict {
    let count = seen.record.processes().to_string();
    let is_two = seen.record.processes() == 2;
    ensure(
        is_two,
        "the server is not started again once",
        "2 processes",
        count,
    )?;
    greeted(&seen.record.got(1))?;
    let executes = seen.executes();
    let [lost, again, ..] = executes.as_slice() else {
        let count = executes.len().to_string();
        return Err(Stop::fail("the call is not made again", "2 calls", count));
    };
    same("the step", &lost["step_id"], &again["step_id"])?;
    same("`attempt`", &json!(2), &again["attempt"])?;
    let key = &lost["idempotency_key"];
    let text = key.to_string();
    ensure(key.is_string(), "no `idempotency_key`", "a string", text)?;
    same("`idempotency_key`", key, &again["idempotency_key"])?;
    seen.succeeds()
}

fn end(seen: &Seen) -> Verdict {
    seen.succeeds()?;
    let reason = "the server's input did not end, or the server was ended before it could see that";
    ensure(seen.record.has_ended(), reason, "the end of stdin", "none")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::requirements;

    #[test]
    fn every_requirement_has_a_check_and_every_check_a_requirement() {
        let checks: BTreeSet<_> = TABLE.iter().map(|it| it.id).collect();
        let required = requirements::of_runtimes().iter().map(|it| it.id.as_str());
        assert_eq!(checks, required.collect());
        assert_eq!(checks.len(), TABLE.len());
    }
}
