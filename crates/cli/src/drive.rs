//! One run to its end: shows how far it is, stops it when a signal comes, and explains its failure.

use std::pin::pin;
use std::time::Duration;

use futures_util::FutureExt;
use stepflow_engine::Engine;
use stepflow_engine::Event;
use stepflow_engine::Events;
use stepflow_engine::Finished;
use stepflow_engine::Request;
use stepflow_flow::outcome::Outcome;
use stepflow_flow::plan::Plan;
use stepflow_flow::plan::StepIdx;
use stepflow_store::journal::Entry;
use stepflow_store::journal::Record;

use crate::commands::Context;
use crate::progress;
use crate::progress::Progress;
use crate::progress::View;
use crate::progress::table::Table;
use crate::report::CliError;
use crate::report::Exit;
use crate::report::failure;
use crate::report::failure::Attempt;
use crate::signals::Signal;

/// How a run ended.
#[derive(Debug)]
pub enum Ended {
    /// By itself.
    Finished(Box<Finished>),
    /// By a signal; its work has stopped.
    Interrupted(Signal),
}

/// What a user wants to see of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// How far it is, on one line.
    Progress,
    /// Every step, all the time.
    Table,
}

/// How often running times are drawn anew.
const REDRAW: Duration = Duration::from_millis(200);

/// Runs the request and waits for its end. A failure is explained on stderr.
pub async fn drive(
    engine: &Engine,
    request: Request,
    show: Show,
    context: &Context,
) -> Result<Ended, CliError> {
    let plan = request.plan.clone();
    let run = engine.run(request)?;
    tracing::info!(run_id = %run.id(), flow_id = %plan.flow_id(), "the run starts");
    let handle = run.handle();
    let mut view = match show {
        Show::Progress => View::Line(Progress::start(&plan, &context.screen)),
        Show::Table => View::Table(Table::start(&plan, &context.screen)),
    };
    let mut events = view.wants_events().then(|| run.events());
    let mut redraw = tokio::time::interval(REDRAW);
    let mut run = pin!(run);
    let mut patience = pin!(tokio::time::sleep(progress::PATIENCE));
    let mut is_shown = false;
    let mut interrupted = None;
    let finished = loop {
        tokio::select! {
            signal = context.signals.first(), if interrupted.is_none() => {
                interrupted = Some(signal);
                handle.cancel(format!("stopped by {}", signal.name()));
            }
            () = &mut patience, if !is_shown => {
                is_shown = true;
                view.show(&context.screen);
            }
            _ = redraw.tick(), if show == Show::Table => view.tick(),
            event = next(&mut events), if events.is_some() => match event {
                Some(event) => view.apply(&event),
                None => events = None,
            },
            finished = &mut run => break finished,
        }
    };
    // The last events may not have been read yet.
    while let Some(Some(event)) = next(&mut events).now_or_never() {
        view.apply(&event);
    }
    view.finish();
    let finished = finished?;
    if let Some(signal) = interrupted {
        return Ok(Ended::Interrupted(signal));
    }
    if matches!(finished.outcome, Outcome::Failed(_)) {
        explain(engine, &plan, &finished, context).await;
    }
    Ok(Ended::Finished(Box::new(finished)))
}

async fn next(events: &mut Option<Events>) -> Option<Event> {
    events.as_mut()?.next().await
}

/// The exit code of an outcome.
pub fn exit(outcome: &Outcome) -> Exit {
    match outcome {
        Outcome::Success(_) | Outcome::Skipped { .. } => Exit::Success,
        Outcome::Failed(_) => Exit::Failed,
    }
}

async fn explain(engine: &Engine, plan: &Plan, finished: &Finished, context: &Context) {
    let Outcome::Failed(error) = &finished.outcome else {
        return;
    };
    let failed = finished.failed_step.as_ref();
    let step = failed.and_then(|failed| plan.step_idx(&failed.step_id));
    let attempts = match step {
        // Without its journal the failure is told in fewer words.
        Some(step) => attempts(
            &engine
                .store()
                .load(&finished.run_id)
                .await
                .unwrap_or_default(),
            step,
        ),
        None => Vec::new(),
    };
    context
        .screen
        .say(&failure::render(error, failed, &attempts));
}

/// The failed attempts of a step, in order.
fn attempts(journal: &[Record], wanted: StepIdx) -> Vec<Attempt> {
    let mut started = None;
    let mut attempts = Vec::new();
    for record in journal {
        match &record.entry {
            Entry::StepStarted { step, .. } if *step == wanted => started = Some(record.at.0),
            Entry::StepFailed {
                step,
                attempt,
                error,
                ..
            } if *step == wanted => attempts.push(Attempt {
                number: *attempt,
                milliseconds: started.map(|start| record.at.0.saturating_sub(start)),
                error: error.clone(),
            }),
            _ => {}
        }
    }
    attempts
}
