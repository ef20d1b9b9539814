//! Inputs and variables: from flags, files, stdin and the environment to values.

use std::io;
use std::io::IsTerminal;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use indexmap::IndexMap;
use stepflow_flow::diagnostic::Diagnostics;
use stepflow_flow::document;
use stepflow_flow::document::Node;
use stepflow_flow::document::Source;
use stepflow_flow::document::Span;
use stepflow_flow::document::nearest;
use stepflow_flow::plan::Plan;
use stepflow_flow::value::Kind;
use stepflow_flow::value::Value;
use stepflow_flow::value::ValueError;

use crate::args::InputArgs;
use crate::args::OverrideArgs;
use crate::args::TextFormat;
use crate::args::VariableArgs;
use crate::commands::Context;
use crate::environment::Environment;
use crate::output::is_yaml;
use crate::paint;
use crate::report::CliError;
use crate::report::Found;
use crate::report::words;
use crate::screen::Screen;
use crate::secrets::of_flow;

/// How messages call an input that is an argument, and one that comes through a pipe.
pub const ARGUMENT: &str = "the input";
const STDIN: &str = "stdin";

/// How long stdin may be silent before the user is told that it is read.
const PATIENCE: Duration = Duration::from_secs(2);

/// The input, from whichever flag gives it, else from stdin; `None` where none was given.
pub async fn read(args: &InputArgs, context: &Context) -> Result<Option<Value>, CliError> {
    let is_stdin = args.input.as_deref() == Some(Path::new("-"));
    if let Some(file) = args.input.as_ref().filter(|_| !is_stdin) {
        return from_file("the input", file).await.map(Some);
    }
    if let Some(text) = &args.input_json {
        return parse("--input-json", text, TextFormat::Json).map(Some);
    }
    if let Some(text) = &args.input_yaml {
        return parse("--input-yaml", text, TextFormat::Yaml).map(Some);
    }
    if io::stdin().is_terminal() && !is_stdin {
        return Ok(None);
    }
    let text = read_stdin(&context.screen).await?;
    if text.trim().is_empty() {
        return Ok(None);
    }
    parse(STDIN, &text, args.stdin_format).map(Some)
}

/// The input of a run that was given none: null, if its flow takes that.
pub fn none(plan: &Plan) -> Result<Value, CliError> {
    let input = Value::null();
    match plan.input_schema().map(|schema| schema.validate(&input)) {
        None | Some(Ok(())) => Ok(input),
        Some(Err(_)) => Err(
            CliError::invalid("the flow needs an input, and none was given")
                .hint("give it with --input FILE or --input-json JSON, or on stdin; `inputSchema` in the flow says what it is"),
        ),
    }
}

/// A text that was given as an argument.
pub fn parse(name: &str, text: &str, format: TextFormat) -> Result<Value, CliError> {
    match format {
        TextFormat::Json => parse_json(name, text),
        TextFormat::Yaml => parse_yaml(name, text),
    }
}

/// An input given in one word: JSON, `@` and a file, or `-` for stdin.
pub async fn from_word(name: &str, word: &str, screen: &Screen) -> Result<Value, CliError> {
    if let Some(file) = word.strip_prefix('@') {
        return from_file("the input", Path::new(file)).await;
    }
    let (name, text) = match word {
        "-" => (STDIN, read_stdin(screen).await?),
        text => (name, text.to_owned()),
    };
    json(name, &text).map_err(|why| {
        why.hint(
            "strings and keys need double quotes, and a shell wants single quotes around the whole",
        )
    })
}

async fn read_stdin(screen: &Screen) -> Result<String, CliError> {
    let mut reading = tokio::task::spawn_blocking(|| {
        let mut text = String::new();
        io::stdin().lock().read_to_string(&mut text).map(|_| text)
    });
    let read = match tokio::time::timeout(PATIENCE, &mut reading).await {
        Ok(read) => read,
        Err(_) => {
            screen
                .tell("reading the input from stdin until it ends; use --input-json null for none");
            reading.await
        }
    };
    let read = read.map_err(|error| CliError::internal("stdin cannot be read").because(error))?;
    read.map_err(|error| CliError::usage("stdin cannot be read").because(error))
}

async fn from_file(what: &str, path: &Path) -> Result<Value, CliError> {
    // A pipe may keep a reader waiting for ever; signals must be heard meanwhile.
    let text = tokio::fs::read_to_string(path).await.map_err(|error| {
        match (error.kind(), data_flag(what, path)) {
            (io::ErrorKind::NotFound | io::ErrorKind::InvalidFilename, Some(flag)) => {
                CliError::usage(format!("there is no file {}", path.display()))
                    .hint(format!("{flag} takes {what} itself"))
            }
            _ => words::unreadable(what, path, error),
        }
    })?;
    let name = path.display().to_string();
    let is_json = path
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    // What has no telling name is read as YAML, which JSON is too.
    if is_json && !is_yaml(path) {
        parse_json(&name, &text)
    } else {
        parse_yaml(&name, &text)
    }
}

/// The option that was meant, where what should be the name of a file is data.
fn data_flag(what: &str, path: &Path) -> Option<String> {
    let text = path.to_str()?.trim_start();
    let name = what.strip_prefix("the ")?;
    text.starts_with(['{', '[', '"'])
        .then(|| format!("--{name}-json"))
}

fn parse_json(name: &str, text: &str) -> Result<Value, CliError> {
    let yaml = match name.strip_suffix("-json") {
        Some(flag) => format!("for YAML there is {flag}-yaml"),
        None if name == STDIN => "for YAML there is --stdin-format yaml".to_owned(),
        None if name == ARGUMENT => {
            "a text is written '\"so\"', and for YAML there is --input-yaml".to_owned()
        }
        None => "a file in YAML is called so: .yaml".to_owned(),
    };
    let quotes = "strings and keys need double quotes";
    json(name, text).map_err(|why| why.hint(format!("{quotes}; {yaml}")))
}

/// A JSON value, or what is wrong with its text and where.
fn json(name: &str, text: &str) -> Result<Value, CliError> {
    Value::parse(text).map_err(|error| {
        let (place, why) = match &error {
            ValueError::Syntax(error) => {
                let place = format!(":{}:{}", error.line(), error.column());
                (place, format!("not JSON: {}", without_place(error)))
            }
            ValueError::NotFinite { .. } => (String::new(), error.to_string()),
        };
        CliError::invalid(format!("{name}{place}: {why}"))
    })
}

/// What is wrong with a text that is no JSON, where the place is told already.
pub fn without_place(error: &serde_json::Error) -> String {
    let why = error.to_string();
    why.split(" at line ").next().unwrap_or_default().to_owned()
}

fn parse_yaml(name: &str, text: &str) -> Result<Value, CliError> {
    let source = Source::new(name, text);
    let mut diagnostics = Diagnostics::new(&source);
    let node = document::read(&source, &mut diagnostics);
    match node {
        Some(node) if !diagnostics.has_errors() => Ok(node.to_value()),
        _ => {
            diagnostics.sort();
            let diagnostics = diagnostics.into_iter().collect();
            Err(
                CliError::invalid(format!("{name} is not YAML")).found(Found {
                    source,
                    diagnostics,
                }),
            )
        }
    }
}

/// The variables that are given; an object, or null for none. Those that are secret are remembered as such.
pub async fn variables(
    args: &VariableArgs,
    plan: &Plan,
    context: &Context,
) -> Result<Value, CliError> {
    let given = given_variables(args).await?;
    let variables = if args.env_variables {
        with_environment(given, plan, &context.environment)?
    } else {
        given
    };
    of_flow::remember_given(plan, &variables, &context.screen.secrets);
    warn_of_misspelled(plan, &variables, context);
    Ok(variables)
}

/// Variables that a flow does not declare may be there for others, but not those that look like one that it does.
fn warn_of_misspelled(plan: &Plan, given: &Value, context: &Context) {
    let Some(declared) = plan.variables() else {
        return;
    };
    let missing = || {
        declared
            .each
            .keys()
            .filter(|name| given.get(name).is_none())
    };
    for name in given
        .keys()
        .filter(|name| !declared.each.contains_key(*name))
    {
        if let Some(near) = nearest(name, missing().map(|name| &**name)) {
            context.screen.tell(&format!(
                "{} the flow declares no variable `{name}`; did you mean `{near}`?",
                paint::label("warning")
            ));
        }
    }
}

async fn given_variables(args: &VariableArgs) -> Result<Value, CliError> {
    if let Some(file) = &args.variables {
        return from_file("the variables", file).await;
    }
    if let Some(text) = &args.variables_json {
        return parse_json("--variables-json", text);
    }
    match &args.variables_yaml {
        Some(text) => parse_yaml("--variables-yaml", text),
        None => Ok(Value::null()),
    }
}

/// The changes of steps that are given; null for none.
pub async fn overrides(args: &OverrideArgs) -> Result<Value, CliError> {
    if let Some(file) = &args.overrides {
        return from_file("the overrides", file).await;
    }
    if let Some(text) = &args.overrides_json {
        return parse_json("--overrides-json", text);
    }
    match &args.overrides_yaml {
        Some(text) => parse_yaml("--overrides-yaml", text),
        None => Ok(Value::null()),
    }
}

/// Adds what the environment has for variables that were not given.
pub fn with_environment(
    given: Value,
    plan: &Plan,
    environment: &Environment,
) -> Result<Value, CliError> {
    // What is no object is refused by the engine, with the right words.
    let (Some(declared), Kind::Object | Kind::Null) = (plan.variables(), given.kind()) else {
        return Ok(given);
    };
    let mut all: IndexMap<&str, Value> = given
        .entries()
        .map(|(name, value)| (name, value.clone()))
        .collect();
    for (name, variable) in &declared.each {
        let Some(from) = variable
            .env_var
            .as_deref()
            .filter(|_| !all.contains_key(&**name))
        else {
            continue;
        };
        let Some(text) = environment.get(from) else {
            continue;
        };
        let text = text.to_str().ok_or_else(|| {
            CliError::usage(format!(
                "the environment variable {from}, for the variable `{name}`, is not UTF-8"
            ))
        })?;
        let is_string = declared
            .schema
            .get("properties")
            .and_then(|all| all.get(name))
            .is_some_and(|schema| {
                schema
                    .get("type")
                    .and_then(|it| it.as_str().map(|it| it == "string"))
                    .unwrap_or(false)
            });
        let value = if is_string {
            Value::string(text)
        } else {
            Node::plain(text, Span::default()).to_value()
        };
        all.insert(name, value);
    }
    Ok(Value::object(all))
}
