//! One flow, many inputs: a line of JSON for each, in the order of the inputs, whichever run ends first.
//!
//! Owns the file of inputs, the file of outcomes and how far a batch is. What is written is a whole line or nothing, so
//! that a batch that was stopped can go on where it ended.

mod inputs;
mod outcomes;
mod window;

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use stepflow_engine::Engine;
use stepflow_engine::Request;
use stepflow_flow::blob::BlobId;
use stepflow_flow::outcome::Outcome;
use stepflow_flow::value::Value;

use self::inputs::Input;
use self::inputs::Inputs;
use self::outcomes::Sink;
use self::window::Window;
use super::without_secrets;
use crate::args::BatchArgs;
use crate::assemble::assemble;
use crate::commands::Context;
use crate::config::Config;
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
    let n_inputs = Inputs::count(path)?;
    let runtime = assemble(config)?;
    let batch = Batch {
        flow: Hash::of(template.plan.flow_id()),
        template,
        engine: &runtime.engine,
        at_once: usize::from(args.max_concurrency),
        n_inputs,
        context,
    };
    // What the file of outcomes holds is lost now, and not before everything else is there.
    let ran = match batch.open(path, args, file) {
        Ok((sink, inputs, before)) => batch.run(sink, inputs, before).await,
        Err(error) => Err(error),
    };
    runtime.shut_down().await;
    let counts = ran?;
    tell_end(&counts, n_inputs, args, context);
    Ok(match context.signals.seen() {
        Some(signal) => Exit::Signal(signal),
        // Fewer were done than there were when the batch began: somebody has shortened the file.
        None if counts.failed > 0 || counts.done < n_inputs => Exit::Failed,
        None => Exit::Success,
    })
}

/// The first digits of a content id: enough to tell a flow or an input from another one that is taken for it by mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hash([u8; 6]);

impl Hash {
    fn of(id: BlobId) -> Hash {
        let mut first = [0; 6];
        first.copy_from_slice(&id.as_bytes()[..6]);
        Hash(first)
    }

    /// Whether this is how it is written.
    fn is(self, written: &Value) -> bool {
        written.as_str().as_deref() == Some(&*self.to_string())
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
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

/// Inputs are read more than once, to know of a bad line before anything runs; so they must be there twice, and not be what is written.
fn check_files(inputs: &Path, outcomes: Option<&Path>) -> Result<(), CliError> {
    if let Some(outcomes) = outcomes.filter(|file| output::is_yaml(file)) {
        let message = format!(
            "a batch writes JSON, an outcome a line, and {} is named as YAML",
            outcomes.display()
        );
        let hint = format!("name it {}", outcomes.with_extension("jsonl").display());
        return Err(CliError::usage(message).hint(hint));
    }
    let unreadable = |error| words::unreadable("the inputs", inputs, error);
    let file = inputs.metadata().map_err(unreadable)?;
    if !file.is_file() {
        let message = format!(
            "the inputs must be in a file, and {} is none",
            inputs.display()
        );
        return Err(CliError::usage(message).hint(
            "they are read more than once, and a pipe can be read once: write them to a file first",
        ));
    }
    // A file may have several names.
    let is_same = outcomes
        .and_then(|outcomes| outcomes.metadata().ok())
        .is_some_and(|outcomes| (outcomes.dev(), outcomes.ino()) == (file.dev(), file.ino()));
    if is_same {
        let message = format!(
            "{} holds the inputs, and would be written over",
            inputs.display()
        );
        return Err(CliError::usage(message).hint("name another file for the outcomes"));
    }
    Ok(())
}

/// What all runs have in common.
struct Batch<'a> {
    template: Request,
    flow: Hash,
    engine: &'a Engine,
    at_once: usize,
    n_inputs: usize,
    context: &'a Context,
}

/// A run that has ended, or could not be started.
struct Ended {
    index: usize,
    /// The number of the input's line.
    line: usize,
    outcome: Outcome,
    /// The id and the component of the step whose failure ended it.
    failed_step: Option<(Arc<str>, Arc<str>)>,
    /// What is written of it.
    text: String,
}

impl Batch<'_> {
    /// Opens what is written, and the inputs after those that a batch before this one had done.
    fn open(
        &self,
        path: &Path,
        args: &BatchArgs,
        file: Option<&Path>,
    ) -> Result<(Sink, Inputs, Counts), CliError> {
        let mut inputs = Inputs::open(path)?;
        let Some(resumed) = file.filter(|_| args.resume) else {
            return Ok((Sink::create(file)?, inputs, Counts::default()));
        };
        let (sink, before) = Sink::resume(resumed, &mut inputs, self.flow)?;
        if before.done > 0 {
            let (n_done, n_inputs) = (before.done, self.n_inputs);
            let text = format!("going on after {n_done} of {n_inputs}");
            self.context.screen.tell(&text);
        }
        Ok((sink, inputs, before))
    }

    /// Runs the flow on the inputs, and writes what becomes of them in their order.
    async fn run(
        &self,
        mut sink: Sink,
        inputs: Inputs,
        mut counts: Counts,
    ) -> Result<Counts, CliError> {
        let signals = &self.context.signals;
        let bar = progress::Bar::start(&self.context.screen, self.n_inputs, counts.done);
        // After a signal nothing new begins; what runs is finished.
        let inputs = inputs.take_while(|_| signals.seen().is_none());
        let mut inputs = (counts.done..).zip(inputs);
        let mut window = Window::starting_at(counts.done, self.at_once);
        let mut flight = FuturesUnordered::new();
        loop {
            while flight.len() < self.at_once
                && !window.is_full()
                && let Some((index, input)) = inputs.next()
            {
                flight.push(self.run_one(index, input?));
            }
            let Some(ended) = flight.next().await else {
                return Ok(counts);
            };
            let ended = ended?;
            // The outcome and its text.
            let n_bytes = 2 * ended.text.len();
            window.add(ended.index, ended, n_bytes);
            while let Some(ended) = window.next() {
                sink.write(&ended.text)?;
                counts.add(&ended.outcome);
                self.tell(&ended, &counts);
                bar.set(counts.done, counts.failed);
            }
        }
    }

    /// An input that the flow's schema refuses is one that failed: the others can still run.
    async fn run_one(&self, index: usize, input: Input) -> Result<Ended, CliError> {
        let hash = input.hash();
        let line = input.line;
        let request = Request {
            input: input.value,
            ..self.template.clone()
        };
        let (outcome, failed_step) = match self.engine.run(request) {
            Err(refused) => (Outcome::Failed(words::refusal(&refused)), None),
            Ok(run) => {
                let finished = run.await?;
                // Its outcome is written, and nobody can ask for more.
                let forgotten = self.engine.store().forget(&finished.run_id).await;
                forgotten.map_err(|error| CliError::internal("the store failed").because(error))?;
                // Runs of quick steps never wait, and signals are to come through all the same.
                tokio::task::consume_budget().await;
                let at = finished.failed_step.map(|it| (it.step_id, it.component));
                (finished.outcome, at)
            }
        };
        let outcome = without_secrets(&outcome, &self.context.screen.secrets);
        let text = outcomes::line(index, &outcome, self.flow, hash)?;
        Ok(Ended {
            index,
            line,
            outcome,
            failed_step,
            text,
        })
    }

    /// The first failures are told at once.
    fn tell(&self, ended: &Ended, counts: &Counts) {
        if let Outcome::Failed(error) = &ended.outcome
            && counts.failed <= MOST_TOLD
        {
            let (index, line) = (ended.index, ended.line);
            let (what, message) = match &ended.failed_step {
                Some((id, component)) => (
                    format!("{}: ", words::step(id, component)),
                    words::without_component(&error.message, component),
                ),
                None => (String::new(), &*error.message),
            };
            let first = message.lines().next().unwrap_or_default();
            let code = failure::code(error);
            let text = format!("input {index} (line {line}) failed: {what}{first}; {code}");
            self.context.screen.tell(&text);
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
