//! One flow, many inputs: a line of JSON for each, in the order of the inputs, whichever run ends first.
//!
//! Owns the file of inputs, the file of outcomes and how far a batch is. What is written is a whole line or nothing, so
//! that a batch that was stopped can go on where it ended.

use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Seek;
use std::io::Write;
use std::path::Path;

use futures_util::StreamExt;
use futures_util::stream;
use stepflow_engine::Engine;
use stepflow_engine::Request;
use stepflow_flow::outcome::Outcome;
use stepflow_flow::value::Value;

use super::without_secrets;
use crate::args::BatchArgs;
use crate::assemble::assemble;
use crate::commands::Context;
use crate::config::Config;
use crate::json_text;
use crate::output;
use crate::progress;
use crate::report::CliError;
use crate::report::Exit;
use crate::report::failure;
use crate::report::words;

/// How many failures are told while the batch runs; all are in its result.
const MOST_TOLD: usize = 10;

/// Runs the flow on every input.
pub async fn run(
    template: Request,
    config: Config,
    args: &BatchArgs,
    file: Option<&Path>,
    context: &Context,
) -> Result<Exit, CliError> {
    let path = args.inputs.as_deref().unwrap_or(Path::new(""));
    check_files(path, file)?;
    let n_inputs = count(path)?;
    let (mut sink, before) = Sink::open(file, args.resume)?;
    let n_done = before.done;
    if n_done > n_inputs {
        let message = format!("there are {n_done} outcomes already, and only {n_inputs} inputs");
        return Err(CliError::usage(message)
            .hint("is this the file of outcomes that belongs to these inputs?"));
    }
    if n_done > 0 {
        context
            .screen
            .tell(&format!("going on after {n_done} of {n_inputs}"));
    }
    let runtime = assemble(config)?;
    let ran = run_all(
        &template,
        &runtime.engine,
        args,
        (before, n_inputs),
        &mut sink,
        context,
    )
    .await;
    runtime.shut_down().await;
    let counts = ran?;
    tell_end(&counts, n_inputs, args, context);
    Ok(match context.signals.seen() {
        Some(signal) => Exit::Signal(signal),
        None if counts.failed > 0 => Exit::Failed,
        None => Exit::Success,
    })
}

/// What became of the inputs so far.
#[derive(Debug, Default)]
struct Counts {
    /// Those that a batch before this one had done, too.
    done: usize,
    succeeded: usize,
    skipped: usize,
    failed: usize,
}

impl Counts {
    fn add(&mut self, outcome: &Outcome) {
        self.done += 1;
        *match outcome {
            Outcome::Success(_) => &mut self.succeeded,
            Outcome::Skipped { .. } => &mut self.skipped,
            Outcome::Failed(_) => &mut self.failed,
        } += 1;
    }
}

/// Inputs are read twice, to know of a bad line before anything runs; so they must be there twice, and not be what is written.
fn check_files(inputs: &Path, outcomes: Option<&Path>) -> Result<(), CliError> {
    let unreadable = |error| words::unreadable("the inputs", inputs, error);
    if !inputs.metadata().map_err(unreadable)?.is_file() {
        let message = format!(
            "the inputs must be in a file, and {} is none",
            inputs.display()
        );
        return Err(CliError::usage(message)
            .hint("they are read twice, and a pipe can be read once: write them to a file first"));
    }
    let same = outcomes
        .and_then(|outcomes| outcomes.canonicalize().ok())
        .is_some_and(|outcomes| inputs.canonicalize().is_ok_and(|inputs| inputs == outcomes));
    if same {
        let message = format!(
            "{} holds the inputs, and would be written over",
            inputs.display()
        );
        return Err(CliError::usage(message).hint("name another file for the outcomes"));
    }
    Ok(())
}

async fn run_all(
    template: &Request,
    engine: &Engine,
    args: &BatchArgs,
    (mut counts, n_inputs): (Counts, usize),
    sink: &mut Sink,
    context: &Context,
) -> Result<Counts, CliError> {
    let path = args.inputs.as_deref().unwrap_or(Path::new(""));
    let n_done = counts.done;
    let bar = progress::Bar::start(&context.screen, n_inputs, n_done);
    // After a signal nothing new begins; what runs is finished.
    let inputs = inputs(path)?.skip(n_done).enumerate();
    let inputs = inputs.take_while(|_| context.signals.seen().is_none());
    let runs = stream::iter(inputs).map(|(place, input)| async move {
        let outcome = run_one(template, engine, input?.1).await?;
        Ok::<_, CliError>((n_done + place, outcome))
    });
    let mut runs = runs.buffered(usize::from(args.max_concurrency));
    while let Some(ran) = runs.next().await {
        let (index, outcome) = ran?;
        let outcome = without_secrets(&outcome, &context.screen.secrets);
        sink.write(index, &outcome)?;
        counts.add(&outcome);
        if let Outcome::Failed(error) = &outcome
            && counts.failed <= MOST_TOLD
        {
            let first = error.message.lines().next().unwrap_or_default();
            let code = failure::code(error);
            context
                .screen
                .tell(&format!("input {index} failed: {first} {code}"));
        }
        bar.set(counts.done, counts.failed);
    }
    Ok(counts)
}

/// An input that the flow's schema refuses is one that failed: the others can still run.
async fn run_one(template: &Request, engine: &Engine, input: Value) -> Result<Outcome, CliError> {
    let request = Request {
        input,
        ..template.clone()
    };
    match engine.run(request) {
        Err(refused) => Ok(Outcome::Failed(words::refusal(&refused))),
        Ok(run) => {
            let outcome = run.await?.outcome;
            // Runs of quick steps never wait, and signals are to come through all the same.
            tokio::task::consume_budget().await;
            Ok(outcome)
        }
    }
}

fn tell_end(counts: &Counts, n_inputs: usize, args: &BatchArgs, context: &Context) {
    let Counts {
        done,
        succeeded,
        skipped,
        failed,
    } = counts;
    let mut text = format!(
        "{done} of {n_inputs} inputs done: {succeeded} succeeded, {skipped} skipped, {failed} failed"
    );
    if *done < n_inputs {
        text.push_str(&format!("; {} are left", n_inputs - done));
        if args.resume {
            text.push_str(", the same command goes on with them");
        }
    }
    context.screen.tell(&text);
}

/// The inputs, with the numbers of their lines; a line without anything on it is none.
fn inputs(path: &Path) -> Result<impl Iterator<Item = Result<(usize, Value), CliError>>, CliError> {
    let unreadable = |error| words::unreadable("the inputs", path, error);
    let lines = BufReader::new(File::open(path).map_err(unreadable)?).lines();
    let path = path.to_owned();
    Ok(lines.enumerate().filter_map(move |(place, line)| {
        let line = match line {
            Ok(line) if line.trim().is_empty() => return None,
            Ok(line) => line,
            Err(error) => return Some(Err(words::unreadable("the inputs", &path, error))),
        };
        let number = place + 1;
        let value = Value::parse(&line).map_err(|error| {
            let message = format!("{}:{number}: not JSON", path.display());
            CliError::invalid(message)
                .because(error)
                .hint("each line is one input, as JSON")
        });
        Some(value.map(|value| (number, value)))
    }))
}

/// How many inputs there are; one that cannot be read is found before anything runs.
fn count(path: &Path) -> Result<usize, CliError> {
    let mut n_inputs = 0;
    for input in inputs(path)? {
        input?;
        n_inputs += 1;
    }
    Ok(n_inputs)
}

/// Where outcomes go, one a line.
enum Sink {
    Stdout,
    File { file: File, name: String },
}

impl Sink {
    /// Opens it, and says how many outcomes it holds already.
    fn open(file: Option<&Path>, resume: bool) -> Result<(Sink, Counts), CliError> {
        let Some(path) = file else {
            return Ok((Sink::Stdout, Counts::default()));
        };
        let name = path.display().to_string();
        let unwritable = |error| words::unwritable(&name, error);
        let mut file = OpenOptions::new()
            .create(true)
            .read(true)
            .write(true)
            .truncate(!resume)
            .open(path)
            .map_err(unwritable)?;
        let (counts, length) = whole_lines(&file, path)?;
        // The last line may have been cut off.
        file.set_len(length).map_err(unwritable)?;
        file.seek(io::SeekFrom::End(0)).map_err(unwritable)?;
        Ok((Sink::File { file, name }, counts))
    }

    fn write(&mut self, index: usize, outcome: &Outcome) -> Result<(), CliError> {
        let value = Value::from_serialize(outcome).map_err(|error| {
            CliError::internal("the outcome cannot be written as JSON").because(error)
        })?;
        let rest = json_text::compact(value.as_text());
        let line = format!("{{\"index\":{index},{}\n", rest.trim_start_matches('{'));
        match self {
            Sink::Stdout => output::print(&line),
            Sink::File { file, name } => file
                .write_all(line.as_bytes())
                .map_err(|error| words::unwritable(name, error)),
        }
    }
}

/// What the whole outcomes of a file come to, and how long they are together.
fn whole_lines(file: &File, path: &Path) -> Result<(Counts, u64), CliError> {
    let mut reader = BufReader::new(file);
    let (mut counts, mut length) = (Counts::default(), 0);
    let mut line = String::new();
    loop {
        line.clear();
        let n_bytes = reader
            .read_line(&mut line)
            .map_err(|error| words::unreadable("the outcomes", path, error))?;
        let read = Value::parse(&line).ok();
        let index = read.as_ref().and_then(|it| it.get("index")?.as_u64());
        let outcome = read.and_then(|it| it.deserialize::<Outcome>().ok());
        match outcome.filter(|_| index == u64::try_from(counts.done).ok()) {
            Some(outcome) if line.ends_with('\n') => counts.add(&outcome),
            // The end of the file, or what was being written when the batch was stopped.
            _ if is_cut_off(&line) => return Ok((counts, length)),
            _ => {
                let message = format!(
                    "line {} of {} is no outcome of a batch",
                    counts.done + 1,
                    path.display()
                );
                return Err(CliError::usage(message)
                    .hint("name the file that the batch wrote, or leave out --resume"));
            }
        }
        length += u64::try_from(n_bytes).unwrap_or(u64::MAX);
    }
}

/// Whether this is the beginning of an outcome, or nothing at all.
fn is_cut_off(line: &str) -> bool {
    const START: &str = "{\"index\":";
    !line.ends_with('\n') && (START.starts_with(line) || line.starts_with(START))
}
