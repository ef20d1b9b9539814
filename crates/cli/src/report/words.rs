//! The words for errors of other crates, and what to do about them: all in one place, so that they sound alike.

use std::io;
use std::path::Path;

use stepflow_engine::FailedStep;
use stepflow_engine::RunError;
use stepflow_engine::StartError;
use stepflow_engine::Subject;
use stepflow_flow::document::nearest;
use stepflow_flow::error::ErrorCode;
use stepflow_flow::error::FlowError;
use stepflow_flow::value::Kind;
use stepflow_flow::value::Value;

use super::CliError;

/// A file that an argument names cannot be read.
pub fn unreadable(what: &str, path: &Path, error: io::Error) -> CliError {
    let hint = match error.kind() {
        io::ErrorKind::NotFound if path.is_absolute() => "is the path spelled right?".to_owned(),
        io::ErrorKind::NotFound => {
            "is the path spelled right? it starts at the current folder".to_owned()
        }
        io::ErrorKind::PermissionDenied => {
            format!("may you read it? look at `ls -l {}`", path.display())
        }
        io::ErrorKind::IsADirectory => "name a file, not a folder".to_owned(),
        io::ErrorKind::InvalidData => "it must be text in UTF-8".to_owned(),
        _ => {
            return CliError::usage(format!("{what} {} cannot be read", path.display()))
                .because(error);
        }
    };
    CliError::usage(format!("{what} {} cannot be read", path.display()))
        .because(error)
        .hint(hint)
}

/// A result cannot be written.
pub fn unwritable(place: &str, error: io::Error) -> CliError {
    CliError::internal(format!("the result cannot be written to {place}")).because(error)
}

impl From<StartError> for CliError {
    fn from(error: StartError) -> CliError {
        match error {
            StartError::Invalid {
                subject,
                violations,
            } => {
                let mut message = match subject {
                    Subject::Input => "the input does not fit the flow's schema".to_owned(),
                    Subject::Variables => "the variables do not fit the flow's schema".to_owned(),
                };
                for violation in &violations {
                    message.push_str(&format!("\n  {violation}"));
                }
                let hint = match subject {
                    Subject::Input => "see `inputSchema` in the flow",
                    Subject::Variables => {
                        "see `variables` in the flow; give values with --variables, or --env-variables"
                    }
                };
                CliError::invalid(message).hint(hint)
            }
            other => CliError::invalid(other.to_string()),
        }
    }
}

/// A run that was not started, as a failure where one run of many is refused.
pub fn refusal(error: &StartError) -> FlowError {
    let mut refusal = ErrorCode::INVALID_INPUT.error(error.to_string());
    if let StartError::Invalid { violations, .. } = error {
        let data = Value::from_serialize(violations);
        refusal.data = data
            .ok()
            .map(|violations| Value::object([("violations", violations)]));
    }
    refusal
}

impl From<RunError> for CliError {
    fn from(error: RunError) -> CliError {
        CliError::internal("the run could not go on").because(error)
    }
}

/// How a step is called. That of `stepflow call` has no name but its component's.
pub fn step(id: &str, component: &str) -> String {
    if id == component {
        format!("`{component}`")
    } else {
        format!("step `{id}`")
    }
}

/// What a component said of its failure, without the name that only its server knows it by.
pub fn without_component<'m>(message: &'m str, component: &str) -> &'m str {
    let split = message
        .strip_prefix('/')
        .and_then(|rest| rest.split_once(" failed: "));
    match split {
        Some((name, rest)) if component.ends_with(&format!("/{name}")) => rest,
        _ => message,
    }
}

/// That there is no such component, in the names that flows use; its server knows only its own.
pub fn not_found(error: &FlowError, component: &str) -> Option<String> {
    if ErrorCode::from_number(error.code) != Some(ErrorCode::COMPONENT_NOT_FOUND) {
        return None;
    }
    let data = error.data.as_ref()?;
    let name = data.get("component")?.as_str()?.into_owned();
    let plugin = component.strip_suffix(&name)?;
    let known = data.get("nearest").unwrap_or_default();
    let known: Vec<_> = known.items().iter().filter_map(|it| it.as_str()).collect();
    let near = nearest(&name, known.iter().map(|it| &**it));
    let hint = near.map_or_else(String::new, |near| {
        format!("; did you mean {plugin}{near}?")
    });
    Some(format!("there is no component {component}{hint}"))
}

/// What to do about a failure that a step ended with.
pub fn advice(error: &FlowError, step: Option<&FailedStep>) -> Option<String> {
    let component = step.map_or("", |step| &*step.component);
    let advice = match ErrorCode::from_number(error.code)? {
        ErrorCode::COMPONENT_NOT_FOUND => {
            "`stepflow list-components` shows what there is".to_owned()
        }
        ErrorCode::INVALID_INPUT if component.is_empty() => return None,
        ErrorCode::INVALID_INPUT if error.message.starts_with("the output") => {
            "an output is checked against the step's `outputSchema` and what the component says of itself"
                .to_owned()
        }
        ErrorCode::INVALID_INPUT => {
            let takes = format!("`stepflow list-components --schemas` shows what {component} takes");
            match step.and_then(|step| misshapen(error, step)) {
                Some(why) => format!("{why}; {takes}"),
                None => takes,
            }
        }
        ErrorCode::TIMEOUT => {
            "give the step or the plugin a longer `timeout`, or the step an `onError`".to_owned()
        }
        ErrorCode::UNAVAILABLE if error.message.contains("its last output") => {
            "mend what its last output says, or run the command by hand in that folder".to_owned()
        }
        ErrorCode::UNAVAILABLE if error.message.contains("the component server at http") => {
            out_of_reach(&error.message).to_owned()
        }
        // What a built-in asks has no plugin whose config could name an authority.
        ErrorCode::UNAVAILABLE
            if error.message.starts_with("cannot connect to")
                && error.message.contains("UnknownIssuer") =>
        {
            "name a PEM file with the authority that signed its certificate in the environment: SSL_CERT_FILE=FILE"
                .to_owned()
        }
        ErrorCode::UNAVAILABLE if error.message.starts_with("the plugin") => {
            let look = "look at the plugin's `command`, `args` and `cwd` in the config";
            match step {
                Some(_) => format!("{look}; `stepflow list-components` tries every plugin"),
                None => look.to_owned(),
            }
        }
        ErrorCode::OUTCOME_UNKNOWN => {
            "look whether it did its work before you run it again".to_owned()
        }
        _ => return None,
    };
    Some(advice)
}

/// What to do about a server that runs on its own and cannot be talked to.
fn out_of_reach(message: &str) -> &'static str {
    if message.contains("UnknownIssuer") {
        "name the authority that signed its certificate in the plugin's `tls.ca`, a PEM file"
    } else if message.contains("Connection refused") || message.contains("dns error") {
        "is the server running, and are host and port of the plugin's `url` right?"
    } else if message.contains("the server answered 401 ") {
        "the plugin's `bearerToken` must be the token that the server was started with: its `--token-file`, or STEPFLOW_TOKEN"
    } else if message.contains("is not known as 0.0.0.0") {
        "write `localhost` in the plugin's `url`: 0.0.0.0 says where to listen, not whom to reach"
    } else if message.contains("this server is not known as ") {
        "name the server in the plugin's `url` as it knows itself, or start it with `--allow-host`"
    } else if message.contains("InvalidContentType") {
        "what listens there speaks no TLS: is it `http://` instead of `https://` in the plugin's `url`?"
    } else if message.contains("502 Bad Gateway") || message.contains("504 Gateway") {
        "a proxy answers there, and reaches no server behind it: is one running, and where the proxy looks for it?"
    } else if message.contains("`session: required`") {
        "leave `session: required` out if no component calls back, or use a server that has sessions"
    } else {
        "look at the plugin's `url` in the config, and at what the server itself says on stderr"
    }
}

/// The same where no config names the server, but flags do.
pub fn out_of_reach_by_url(message: &str) -> Option<&'static str> {
    let hint = if message.contains("UnknownIssuer") {
        "name the authority that signed its certificate with --ca, a PEM file"
    } else if message.contains("Connection refused") || message.contains("dns error") {
        "is the server running, and are host and port of --url right?"
    } else if message.contains("the server answered 401 ") {
        "--bearer-token-file must hold the token that the server was started with: its `--token-file`, or STEPFLOW_TOKEN"
    } else if message.contains("InvalidContentType") {
        "what listens there speaks no TLS: is it `http://` instead of `https://`?"
    } else if message.contains("`session: required`") {
        "leave --session out, or use a server that has sessions"
    } else if message.contains("the server answered 404 ")
        || message.contains("the server answered 405 ")
    {
        "is there a component server behind the path of --url?"
    } else {
        return None;
    };
    Some(hint)
}

/// What is wrong with an input as a whole.
fn misshapen(error: &FlowError, step: &FailedStep) -> Option<String> {
    let violations = error.data.as_ref()?.get("violations")?;
    let whole = violations.items().iter().find_map(|it| {
        let is_whole = it.get("pointer")?.as_str()?.is_empty();
        let expected = it.get("expected")?.as_str()?.into_owned();
        is_whole.then_some(expected)
    })?;
    let input = step.input.as_ref()?;
    match input.kind() {
        Kind::Null => Some("the input is null, as it is when none is given".to_owned()),
        // A function with one parameter takes that value itself, which its author need not know.
        Kind::Object if whole != "object" && input.len() == 1 => {
            let (_, value) = input.entries().next()?;
            Some(format!(
                "the input is the value itself, without a name: {}",
                super::shortened(value.as_text(), 60)
            ))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_calls_its_component_is_left_out() {
        let check = |message, expected| {
            assert_eq!(without_component(message, "/shop/price"), expected);
        };
        check("/price failed: ValueError: none", "ValueError: none");
        check("/shop/price failed: none", "none");
        check("/ice failed: none", "/ice failed: none");
        check("it failed: none", "it failed: none");
        check("", "");
    }

    #[test]
    fn what_is_not_found_is_named_as_flows_name_it() {
        let check = |name: &str, nearest: &[&str], expected: Option<&str>| {
            let data = serde_json::json!({ "component": name, "nearest": nearest });
            let error = ErrorCode::COMPONENT_NOT_FOUND
                .error("there is none")
                .with_data(data.into());
            assert_eq!(not_found(&error, "/trip/csot").as_deref(), expected);
        };
        let near = "there is no component /trip/csot; did you mean /trip/cost?";
        check("/csot", &["/cost"], Some(near));
        let none = "there is no component /trip/csot";
        check("/csot", &["/nap"], Some(none));
        check("/csot", &[], Some(none));
        check("/elsewhere", &["/cost"], None);
    }

    #[test]
    fn a_server_out_of_reach_is_no_matter_of_its_command() {
        let check = |why: &str, expected: &str| {
            let server = "the plugin `p` is not available: the component server at http";
            let error = ErrorCode::UNAVAILABLE.error(format!("{server}s://h/: {why}"));
            let advice = advice(&error, None).unwrap();
            assert!(advice.contains(expected), "{why}: {advice}");
            assert!(!advice.contains("command"), "{why}: {advice}");
        };
        check("invalid peer certificate: UnknownIssuer", "`tls.ca`");
        check(
            "tcp connect error: Connection refused",
            "is the server running",
        );
        check("dns error: no such name", "is the server running");
        check("the server answered 401 Unauthorized", "`bearerToken`");
        check(
            "the server answered 403 Forbidden: this server is not known as 0.0.0.0:1 on this machine",
            "`localhost`",
        );
        check(
            "the server answered 403 Forbidden: this server is not known as evil.example on this machine",
            "`--allow-host`",
        );
        check(
            "received corrupt message of type InvalidContentType",
            "`http://`",
        );
        check("the server answered 502 Bad Gateway: <html>", "a proxy");
        check(
            "the server offers no session, which `session: required` asks for",
            "leave `session: required` out",
        );
        check("the server answered 404 Not Found", "`url`");
    }
}
