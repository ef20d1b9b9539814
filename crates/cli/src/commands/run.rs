//! `stepflow run`: a flow, from its file to its outcome on stdout.

mod batch;

use stepflow_engine::Request;
use stepflow_flow::document::Source;
use stepflow_flow::error::FlowError;
use stepflow_flow::outcome::Outcome;
use stepflow_flow::plan::Plan;
use stepflow_flow::value::Value;

use super::Context;
use super::load_config;
use super::tell_warnings;
use crate::args::Run;
use crate::assemble::assemble;
use crate::config::Config;
use crate::drive;
use crate::drive::Ended;
use crate::drive::Show;
use crate::drive::drive;
use crate::flow_file;
use crate::input;
use crate::output;
use crate::report::CliError;
use crate::report::Exit;
use crate::secrets::Secrets;

/// Runs the flow.
pub async fn run(args: Run, context: &Context) -> Result<Exit, CliError> {
    let (request, config) = tokio::select! {
        signal = context.signals.first() => return Err(CliError::interrupted(signal)),
        prepared = prepare(&args, context) => prepared?,
    };
    let file = args.output.output.as_deref();
    match args.batch.inputs {
        Some(_) => batch::run(request, config, &args.batch, file, context).await,
        None => {
            let show = match args.watch {
                true => Show::Table,
                false => Show::Progress,
            };
            execute(request, config, show, file, context).await
        }
    }
}

/// Everything that can be refused before anything is started.
async fn prepare(args: &Run, context: &Context) -> Result<(Request, Config), CliError> {
    let path = args.flow();
    let source = flow_file::read(&path)?;
    let config = load_config(&args.config, Some(&path), context)?;
    let (plan, found) =
        flow_file::check(&source, Some(&config), &context.screen.secrets).into_plan()?;
    tell_warnings(found, context);
    let flow_id = plan.flow_id();
    let overrides = input::overrides(&args.overrides).await?;
    let plan = with_overrides(plan, &source, &overrides, &config, &context.screen.secrets)?;
    let variables = input::variables(&args.variables, &plan, context).await?;
    let input = match &args.batch.inputs {
        Some(_) => Value::null(),
        None => match input::read(&args.input, context).await? {
            Some(input) => input,
            None => input::none(&plan)?,
        },
    };
    let request = Request {
        flow_id,
        variables,
        overrides,
        ..Request::new(plan, input)
    };
    Ok((request, config))
}

/// The plan of the flow as it is changed for this run. Its warnings were told already, with the places in the file.
fn with_overrides(
    plan: Plan,
    source: &Source,
    overrides: &Value,
    config: &Config,
    secrets: &Secrets,
) -> Result<Plan, CliError> {
    if overrides.is_null() {
        return Ok(plan);
    }
    let source = flow_file::with_overrides(&plan, source.name(), overrides)?;
    let (plan, _) = flow_file::check(&source, Some(config), secrets).into_plan()?;
    Ok(plan)
}

/// Runs a request, writes its outcome, and leaves nothing running.
pub(super) async fn execute(
    request: Request,
    config: Config,
    show: Show,
    file: Option<&std::path::Path>,
    context: &Context,
) -> Result<Exit, CliError> {
    let runtime = assemble(config)?;
    let ended = drive(&runtime.engine, request, show, context).await;
    let exit = ended.and_then(|ended| write(&ended, file, &context.screen.secrets));
    runtime.shut_down().await;
    exit
}

fn write(
    ended: &Ended,
    file: Option<&std::path::Path>,
    secrets: &Secrets,
) -> Result<Exit, CliError> {
    let finished = match ended {
        Ended::Interrupted(signal) => return Ok(Exit::Signal(*signal)),
        Ended::Finished(finished) => finished,
    };
    let outcome = without_secrets(&finished.outcome, secrets);
    output::outcome(&outcome, file)?;
    Ok(drive::exit(&outcome))
}

/// What a flow returns is its author's business; what the runtime says about a failure may quote a command or a log.
pub(super) fn without_secrets(outcome: &Outcome, secrets: &Secrets) -> Outcome {
    match outcome {
        Outcome::Failed(error) => Outcome::Failed(error_without_secrets(error, secrets)),
        Outcome::Success(_) | Outcome::Skipped { .. } => outcome.clone(),
    }
}

/// The same for an error by itself.
pub(super) fn error_without_secrets(error: &FlowError, secrets: &Secrets) -> FlowError {
    let clean = |data: &Value| {
        let text = secrets.scrub(data.as_text());
        // Without a number that is a secret it is JSON no more, and is kept as text.
        Value::parse(&text).unwrap_or_else(|_| Value::string(&text))
    };
    FlowError {
        code: error.code,
        message: secrets.scrub(&error.message).into_owned(),
        data: error.data.as_ref().map(clean),
    }
}
