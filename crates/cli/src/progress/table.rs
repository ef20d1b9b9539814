//! The steps of a run as a table: what each does, how often it was tried, how long it took. Redrawn on a terminal; where
//! there is none, a line for each change. Owns the words; what happened comes from the events of the run.

use std::fmt::Write;
use std::time::Duration;
use std::time::Instant;

use indicatif::ProgressBar;
use indicatif::ProgressStyle;
use stepflow_engine::Event;
use stepflow_flow::outcome::Outcome;
use stepflow_flow::plan::Plan;
use stepflow_flow::plan::StepIdx;
use stepflow_store::journal::Entry;

use crate::screen::Screen;

/// How many steps are shown at once: a table longer than the terminal cannot be redrawn.
const MOST_ROWS: usize = 20;

/// How much of an id is shown.
const LONGEST: usize = 32;

/// The table of a run.
#[derive(Debug)]
pub struct Table {
    plan: Plan,
    rows: Vec<Row>,
    began: Instant,
    screen: Screen,
    /// Where it is drawn; nothing without a terminal.
    drawn: Option<ProgressBar>,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    state: State,
    attempts: u32,
    /// When its first attempt began.
    began: Duration,
    /// When it ended.
    ended: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Running,
    Retrying,
    Failed,
    Done,
    Skipped,
    Waiting,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            State::Running => "running",
            State::Retrying => "retrying",
            State::Failed => "failed",
            State::Done => "done",
            State::Skipped => "skipped",
            State::Waiting => "waiting",
        }
    }
}

impl Table {
    /// The table of a run that begins now.
    pub fn start(plan: &Plan, screen: &Screen) -> Table {
        let row = Row {
            state: State::Waiting,
            attempts: 0,
            began: Duration::ZERO,
            ended: Duration::ZERO,
        };
        let drawn = super::is_visible(screen).then(|| {
            let bar = screen.bars.add(ProgressBar::new_spinner());
            let style = ProgressStyle::with_template("{msg}");
            bar.set_style(style.expect("the template is a constant"));
            bar
        });
        let table = Table {
            plan: plan.clone(),
            rows: vec![row; plan.steps().len()],
            began: Instant::now(),
            screen: screen.clone(),
            drawn,
        };
        table.draw();
        table
    }

    /// Takes note of what happened.
    pub fn apply(&mut self, event: &Event) {
        let (entry, elapsed) = match event {
            Event::Recorded { entry, elapsed, .. } => (entry, elapsed),
            Event::Waiting { step, .. } => {
                self.rows[step.place()].state = State::Retrying;
                return self.draw();
            }
            Event::Missed { .. } => return,
        };
        let changed = match entry {
            Entry::StepStarted { step, attempt } => {
                let row = &mut self.rows[step.place()];
                row.state = State::Running;
                row.attempts = *attempt;
                if *attempt == 1 {
                    row.began = *elapsed;
                }
                *step
            }
            // A warning tells of it, and what follows is told too.
            Entry::StepFailed { step, .. } => {
                self.rows[step.place()].state = State::Failed;
                return self.draw();
            }
            Entry::StepFinished { step, outcome } => {
                let row = &mut self.rows[step.place()];
                row.ended = *elapsed;
                if row.attempts == 0 {
                    row.began = *elapsed;
                }
                row.state = match outcome {
                    Outcome::Success(_) => State::Done,
                    Outcome::Skipped { .. } => State::Skipped,
                    Outcome::Failed(_) => State::Failed,
                };
                *step
            }
            _ => return,
        };
        match self.drawn {
            Some(_) => self.draw(),
            None => self.tell(changed),
        }
    }

    /// Draws it as it is now.
    pub fn draw(&self) {
        if let Some(drawn) = &self.drawn {
            let text = self.text(self.began.elapsed());
            drawn.set_message(self.screen.secrets.scrub(&text).into_owned());
            drawn.tick();
        }
    }

    /// Leaves the last state of it on the terminal.
    pub fn finish(self) {
        if let Some(drawn) = &self.drawn {
            drawn.finish_and_clear();
            self.screen.tell(&self.text(self.began.elapsed()));
        }
    }

    /// A line about one step, where nothing can be redrawn.
    fn tell(&self, step: StepIdx) {
        let row = &self.rows[step.place()];
        let id = &self.plan.step(step).id;
        let attempt = match row.attempts {
            0 | 1 => String::new(),
            attempt => format!(", attempt {attempt}"),
        };
        let took = match row.state {
            State::Done | State::Failed | State::Skipped => {
                format!(" after {}", time(row.ended.saturating_sub(row.began)))
            }
            State::Running | State::Retrying | State::Waiting => String::new(),
        };
        self.screen
            .tell(&format!("step `{id}`: {}{took}{attempt}", row.state.word()));
    }

    /// In the order of the flow, if all fit; else those first that something is going on with.
    fn text(&self, now: Duration) -> String {
        let mut steps: Vec<_> = self.plan.steps().iter().zip(&self.rows).collect();
        if steps.len() > MOST_ROWS {
            steps.sort_by_key(|(_, row)| row.state);
        }
        let shown = &steps[..steps.len().min(MOST_ROWS)];
        let width = shown.iter().map(|(step, _)| step.id.chars().count());
        let width = width.max().unwrap_or(0).clamp(4, LONGEST);
        let mut text = format!("{:width$}  state     attempt     time", "step");
        for (step, row) in shown {
            let id: String = step.id.chars().take(LONGEST).collect();
            let (attempt, took) = match row.state {
                State::Waiting => (String::new(), String::new()),
                State::Running | State::Retrying => (
                    row.attempts.to_string(),
                    time(now.saturating_sub(row.began)),
                ),
                State::Done | State::Failed | State::Skipped => (
                    row.attempts.to_string(),
                    time(row.ended.saturating_sub(row.began)),
                ),
            };
            let state = row.state.word();
            let _ = write!(text, "\n{id:width$}  {state:8}  {attempt:>7}  {took:>7}");
        }
        let more = steps.len() - shown.len();
        if more > 0 {
            let _ = write!(text, "\n… and {more} more");
        }
        text
    }
}

fn time(time: Duration) -> String {
    match time.as_millis() {
        short @ ..1000 => format!("{short} ms"),
        _ => format!("{:.1} s", time.as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use stepflow_flow::document::Source;
    use stepflow_flow::plan;
    use stepflow_flow::value::Value;

    use super::*;
    use crate::screen::Loudness;

    #[test]
    fn a_table_tells_what_each_step_does() {
        let flow = "steps: [{id: first, component: noop}, {id: b, component: noop}, {id: c, component: noop}]\n\
                    output: [{$step: first}, {$step: b}, {$step: c}]";
        let plan = plan::check(&Source::new("t", flow)).plan.unwrap();
        let mut table = Table::start(&plan, &Screen::new(Loudness::Silent));
        let step = StepIdx::new;
        let entries = [
            (
                0,
                Entry::StepStarted {
                    step: step(0),
                    attempt: 1,
                },
            ),
            (
                0,
                Entry::StepStarted {
                    step: step(1),
                    attempt: 1,
                },
            ),
            (
                20,
                Entry::StepFinished {
                    step: step(0),
                    outcome: Outcome::Success(Value::null()),
                },
            ),
            (
                30,
                Entry::StepStarted {
                    step: step(1),
                    attempt: 2,
                },
            ),
        ];
        for (at, entry) in entries {
            let elapsed = Duration::from_millis(at);
            table.apply(&Event::Recorded {
                sequence: 0,
                elapsed,
                entry,
            });
        }
        let expected = "\
step   state     attempt     time
first  done            1    20 ms
b      running         2    2.5 s
c      waiting                   ";
        assert_eq!(table.text(Duration::from_millis(2500)), expected);
    }
}
