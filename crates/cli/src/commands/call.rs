//! `stepflow call`: one component, as the only step of a flow made for it.

use stepflow_engine::Request;
use stepflow_flow::diagnostic::Diagnostic;
use stepflow_flow::diagnostic::Severity;
use stepflow_flow::document::Source;
use stepflow_flow::value::Value;

use super::Context;
use super::load_config;
use super::run;
use crate::args::Call;
use crate::args::TextFormat;
use crate::config::Config;
use crate::drive::Show;
use crate::flow_file;
use crate::input;
use crate::report::CliError;
use crate::report::Exit;

/// Runs the component.
pub async fn call(args: Call, context: &Context) -> Result<Exit, CliError> {
    let (request, config) = tokio::select! {
        signal = context.signals.first() => return Err(CliError::interrupted(signal)),
        prepared = prepare(&args, context) => prepared?,
    };
    run::execute(
        request,
        config,
        Show::Progress,
        args.output.output.as_deref(),
        context,
    )
    .await
}

async fn prepare(args: &Call, context: &Context) -> Result<(Request, Config), CliError> {
    let config = load_config(&args.config, None, context)?;
    let source = Source::new("the call", flow_of(&args.component));
    let checked = flow_file::check(&source, Some(&config), &context.screen.secrets);
    let plan = checked
        .plan
        .ok_or_else(|| refused(checked.found.diagnostics))?;
    let input = match &args.json {
        Some(text) => input::parse(input::ARGUMENT, text, TextFormat::Json)?,
        None => input::read(&args.input, context).await?.unwrap_or_default(),
    };
    Ok((Request::new(plan, input), config))
}

/// The flow is ours: what is wrong with it is told without its text.
fn refused(diagnostics: Vec<Diagnostic>) -> CliError {
    let mut errors = diagnostics
        .into_iter()
        .filter(|found| found.severity == Severity::Error);
    let Some(error) = errors.next() else {
        return CliError::internal("the call can neither be made nor refused");
    };
    let refused = CliError::usage(error.message);
    error.hint.into_iter().fold(refused, CliError::hint)
}

/// A flow of one step, which has its component's name, since that is all that its user knows:
/// `{"steps":[{"id":…,"component":…,"input":{"$input":"$"}}],"output":{"$step":…}}`
fn flow_of(component: &str) -> String {
    let id = match component.starts_with('/') {
        true => component.to_owned(),
        false => format!("/builtin/{component}"),
    };
    let reference = |key: &str, to: &str| Value::object([(key, Value::string(to))]);
    let step = Value::object([
        ("id", Value::string(&id)),
        ("component", Value::string(component)),
        ("input", reference("$input", "$")),
    ]);
    let flow = Value::object([
        ("steps", Value::list([step])),
        ("output", reference("$step", &id)),
    ]);
    flow.as_text().to_owned()
}
