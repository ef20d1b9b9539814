//! How far a run is, on one line of a terminal. Hidden where stderr is none or quiet is wanted, and not shown at all for
//! what is over in a moment.

pub mod table;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use indicatif::ProgressBar;
use indicatif::ProgressStyle;
use stepflow_engine::Event;
use stepflow_flow::plan::Plan;
use stepflow_flow::plan::StepIdx;
use stepflow_store::journal::Entry;

use crate::screen::Loudness;
use crate::screen::Screen;

/// How long something takes before people want to know what it is.
pub const PATIENCE: Duration = Duration::from_millis(400);

/// How many running steps are named.
const NAMED: usize = 4;

/// A line that turns and is gone when this is.
#[derive(Debug)]
struct Line(ProgressBar);

impl Line {
    fn show(screen: &Screen, message: String) -> Line {
        let bar = screen.bars.add(ProgressBar::new_spinner());
        let style = ProgressStyle::with_template("{spinner} {elapsed} {wide_msg}");
        bar.set_style(style.expect("the template is a constant"));
        bar.set_message(message);
        bar.enable_steady_tick(Duration::from_millis(100));
        Line(bar)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// How many of many things are done, with their rate and the time that is left; gone when this is.
#[derive(Debug)]
pub struct Bar(Option<ProgressBar>);

impl Bar {
    /// A bar for so many things, of which some are done already; nothing if nobody would see it.
    pub fn start(screen: &Screen, all: usize, done: usize) -> Bar {
        let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        Bar(is_visible(screen).then(|| {
            let bar = ProgressBar::new(number(all)).with_position(number(done));
            let template = "{elapsed} [{bar:30}] {pos}/{len}  {per_sec}  {eta} left{msg}";
            let style = ProgressStyle::with_template(template);
            bar.set_style(
                style
                    .expect("the template is a constant")
                    .progress_chars("=> "),
            );
            // What was done before says nothing of the rate.
            bar.reset_eta();
            let bar = screen.bars.add(bar);
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        }))
    }

    /// Shows how many are done, and how many of them failed.
    pub fn set(&self, done: usize, failed: usize) {
        let Some(bar) = &self.0 else { return };
        bar.set_position(u64::try_from(done).unwrap_or(u64::MAX));
        if failed > 0 {
            bar.set_message(format!("  {failed} failed"));
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.iter().for_each(ProgressBar::finish_and_clear);
    }
}

/// Whether a line would be seen.
fn is_visible(screen: &Screen) -> bool {
    screen.loudness >= Loudness::Normal && !screen.bars.is_hidden()
}

/// Shows what is being waited for, for as long as it is polled.
pub async fn wait(screen: &Screen, message: &str) -> Infallible {
    tokio::time::sleep(PATIENCE).await;
    let _line = is_visible(screen).then(|| Line::show(screen, message.to_owned()));
    std::future::pending().await
}

/// What is shown of a run while it goes on.
#[derive(Debug)]
pub enum View {
    /// One line, once it takes a moment.
    Line(Option<Progress>),
    /// A table from the beginning.
    Table(table::Table),
}

impl View {
    /// Whether anything is to be told of the run.
    pub fn wants_events(&self) -> bool {
        !matches!(self, View::Line(None))
    }

    /// The run takes longer than a moment.
    pub fn show(&mut self, screen: &Screen) {
        if let View::Line(Some(progress)) = self {
            progress.show(screen);
        }
    }

    /// Takes note of what happened.
    pub fn apply(&mut self, event: &Event) {
        match self {
            View::Line(progress) => progress.iter_mut().for_each(|it| it.apply(event)),
            View::Table(table) => table.apply(event),
        }
    }

    /// Time has passed.
    pub fn tick(&self) {
        if let View::Table(table) = self {
            table.draw();
        }
    }

    /// The run has ended.
    pub fn finish(self) {
        if let View::Table(table) = self {
            table.finish();
        }
    }
}

/// The steps of a run that are running, and how many have ended.
#[derive(Debug)]
pub struct Progress {
    plan: Plan,
    running: IndexMap<StepIdx, u32>,
    ended: usize,
    line: Option<Line>,
}

impl Progress {
    /// The progress of a run that has not begun; `None` if nobody would see it.
    pub fn start(plan: &Plan, screen: &Screen) -> Option<Progress> {
        is_visible(screen).then(|| Progress {
            plan: plan.clone(),
            running: IndexMap::new(),
            ended: 0,
            line: None,
        })
    }

    /// Shows the line from now on.
    pub fn show(&mut self, screen: &Screen) {
        self.line = Some(Line::show(screen, self.text()));
    }

    /// Takes note of what happened.
    pub fn apply(&mut self, event: &Event) {
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
        if let Some(line) = &self.line {
            line.0.set_message(self.text());
        }
    }

    fn text(&self) -> String {
        let name = |(step, attempt): (&StepIdx, &u32)| {
            let id: &Arc<str> = &self.plan.step(*step).id;
            match attempt {
                1 => id.to_string(),
                attempt => format!("{id} (attempt {attempt})"),
            }
        };
        let named: Vec<_> = self.running.iter().take(NAMED).map(name).collect();
        let more = match self.running.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let all = self.plan.steps().len();
        format!("{}/{all} steps  {}{more}", self.ended, named.join(", "))
    }
}
