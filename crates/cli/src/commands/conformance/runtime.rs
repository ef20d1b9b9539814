//! `stepflow conformance --runtime`: from flags to a run of the checks of runtimes, and the server that it has them start.

use stepflow_conformance::runtimes;
use stepflow_conformance::runtimes::Options;

use crate::args::Conformance;
use crate::args::ConformanceServer;
use crate::commands::Context;
use crate::commands::server;
use crate::report::CliError;
use crate::report::Exit;

/// What is run. The scripted server is this very program.
pub fn options(args: &Conformance, context: &Context) -> Result<Options, CliError> {
    let program = server::program(&args.command, &args.start, context)?;
    for name in [runtimes::FLOW, runtimes::CONFIG] {
        let mut texts = program.arguments.iter().map(|it| it.to_string_lossy());
        if !texts.any(|it| it.contains(name)) {
            let error = CliError::usage(format!("the command of the runtime has no {name}"));
            let example = "stepflow conformance --runtime -- stepflow run {flow} --config {config}";
            return Err(error.hint(format!("write it where the path belongs: {example}")));
        }
    }
    let server = std::env::current_exe()
        .map_err(|error| CliError::internal("the path of this program").because(error))?;
    Ok(Options {
        command: program.command,
        arguments: program.arguments,
        environment: program.environment,
        folder: program.folder,
        server,
        timeout: args.timeout,
        only: args.only.clone(),
    })
}

/// Is the scripted server until its input ends.
pub fn serve(args: &ConformanceServer) -> Result<Exit, CliError> {
    runtimes::serve(&args.scenario, &args.record)
        .map_err(|error| CliError::internal("the scripted server broke").because(error))?;
    Ok(Exit::Success)
}
