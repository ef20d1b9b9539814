//! How far a run is, on one line of a terminal. Hidden where stderr is none, or where quiet is wanted.

use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use indicatif::ProgressBar;
use indicatif::ProgressDrawTarget;
use indicatif::ProgressStyle;
use stepflow_engine::Event;
use stepflow_flow::plan::Plan;
use stepflow_flow::plan::StepIdx;
use stepflow_store::journal::Entry;

use crate::screen::Loudness;
use crate::screen::Screen;

/// How many running steps are named.
const NAMED: usize = 4;

/// The line.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    plan: Plan,
    running: IndexMap<StepIdx, u32>,
    ended: usize,
}

impl Progress {
    /// A line for a run of this plan.
    pub fn start(plan: &Plan, screen: &Screen) -> Progress {
        let bar = spinner(screen);
        bar.set_message(format!("0/{} steps", plan.steps().len()));
        Progress {
            bar,
            plan: plan.clone(),
            running: IndexMap::new(),
            ended: 0,
        }
    }

    /// Whether anybody sees it.
    pub fn is_visible(&self) -> bool {
        !self.bar.is_hidden()
    }

    /// Shows what happened.
    pub fn show(&mut self, event: &Event) {
        let Event::Recorded { entry, .. } = event else {
            return;
        };
        match entry {
            Entry::StepStarted { step, attempt } => {
                self.running.insert(*step, *attempt);
            }
            Entry::StepFinished { step, .. } => {
                self.running.shift_remove(step);
                self.ended += 1;
            }
            _ => return,
        }
        self.bar.set_message(self.line());
    }

    fn line(&self) -> String {
        let name = |(step, attempt): (&StepIdx, &u32)| {
            let id: &Arc<str> = &self.plan.step(*step).id;
            if *attempt > 1 {
                format!("{id} (attempt {attempt})")
            } else {
                id.to_string()
            }
        };
        let named: Vec<_> = self.running.iter().take(NAMED).map(name).collect();
        let more = self.running.len().saturating_sub(NAMED);
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        format!(
            "{}/{} steps  {}{more}",
            self.ended,
            self.plan.steps().len(),
            named.join(", ")
        )
    }

    /// Takes the line away.
    pub fn end(&self) {
        self.bar.finish_and_clear();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// A turning mark with a message and the time.
pub fn spinner(screen: &Screen) -> ProgressBar {
    let bar = screen.bars.add(ProgressBar::new_spinner());
    if screen.loudness < Loudness::Normal {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    let style = ProgressStyle::with_template("{spinner} {elapsed} {wide_msg}");
    bar.set_style(style.expect("the template is a constant"));
    if !bar.is_hidden() {
        bar.enable_steady_tick(Duration::from_millis(100));
    }
    bar
}
