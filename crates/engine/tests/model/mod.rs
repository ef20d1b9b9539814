//! A second opinion: random flows, and an interpreter of them that is written for clarity alone.
//! It runs steps by plain recursion, knows no time, and repeats the flow page's rules.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};

use proptest::prelude::*;
use serde_json::{Value as Json, json};
use stepflow_engine::{Class, Completion, Failure};
use stepflow_flow::error::ErrorCode;
use stepflow_flow::outcome::Outcome;
use stepflow_flow::value::Value;

/// A flow of the model. Steps refer to steps before them only, so there are no cycles.
#[derive(Clone, Debug)]
pub struct Flow {
    steps: Vec<Step>,
    output: Vec<Part>,
}

#[derive(Clone, Debug)]
struct Step {
    input: Vec<Part>,
    skip_if: Option<Part>,
    must_execute: bool,
    on_error: OnError,
    /// How often it may be tried by `onError: retry`; 0 stands for no retry.
    retries: u32,
    /// What the attempts do; the last one stays.
    acts: Vec<Act>,
}

/// A part of an expression.
#[derive(Clone, Debug)]
enum Part {
    Step(usize),
    OrDefault(usize),
    Coalesce(usize, usize),
    If(usize, usize, usize),
}

#[derive(Clone, Debug)]
enum OnError {
    Fail,
    Skip,
    Default(usize),
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Output,
    Null,
    Skip,
    Fail(Class),
}

/// What a run has to come to.
#[derive(Debug)]
pub enum Expected {
    /// The run ends with this outcome, after these steps ended.
    Ends {
        output: Outcome,
        ran: BTreeSet<usize>,
    },
    /// The run fails because one of these steps fails.
    Fails { steps: BTreeSet<usize> },
}

pub fn flow() -> impl Strategy<Value = Flow> {
    (1_usize..9).prop_flat_map(|n| {
        let steps: Vec<_> = (0..n).map(step).collect();
        (steps, prop::collection::vec(part(n), 0..3))
            .prop_map(|(steps, output)| Flow { steps, output })
    })
}

fn step(before: usize) -> impl Strategy<Value = Step> {
    let acts = prop_oneof![
        8 => Just(Act::Output),
        2 => Just(Act::Null),
        2 => Just(Act::Skip),
        1 => Just(Act::Fail(Class::Component)),
        1 => Just(Act::Fail(Class::NotSent)),
        1 => Just(Act::Fail(Class::Refused)),
    ];
    let n_parts = if before == 0 { 0..1 } else { 0..4 };
    let skip_if = if before == 0 {
        Just(None).boxed()
    } else {
        prop::option::weighted(0.2, part(before)).boxed()
    };
    let default = if before == 0 {
        Just(OnError::Skip).boxed()
    } else {
        (0..before).prop_map(OnError::Default).boxed()
    };
    (
        prop::collection::vec(part(before.max(1)), n_parts),
        skip_if,
        prop::bool::weighted(0.1),
        prop_oneof![2 => Just(OnError::Fail), 2 => Just(OnError::Skip), 1 => default],
        prop_oneof![2 => Just(0_u32), 1 => 1..3_u32],
        prop::collection::vec(acts, 1..4),
    )
        .prop_map(
            |(input, skip_if, must_execute, on_error, retries, acts)| Step {
                input,
                skip_if,
                must_execute,
                on_error,
                retries,
                acts,
            },
        )
}

fn part(n: usize) -> impl Strategy<Value = Part> {
    prop_oneof![
        3 => (0..n).prop_map(Part::Step),
        1 => (0..n).prop_map(Part::OrDefault),
        1 => (0..n, 0..n).prop_map(|(a, b)| Part::Coalesce(a, b)),
        1 => (0..n, 0..n, 0..n).prop_map(|(c, t, e)| Part::If(c, t, e)),
    ]
}

impl Part {
    fn written(&self) -> Json {
        let step = |n: &usize| json!({ "$step": format!("s{n}") });
        match self {
            Part::Step(n) => step(n),
            Part::OrDefault(n) => json!({
                "$step": format!("s{n}"),
                "onSkip": { "action": "useDefault", "defaultValue": -1 },
            }),
            Part::Coalesce(a, b) => json!({ "$coalesce": [step(a), step(b)] }),
            Part::If(c, t, e) => json!({ "$if": step(c), "then": step(t), "else": step(e) }),
        }
    }

    /// All steps it mentions; the first is needed at once.
    fn mentions(&self) -> Vec<usize> {
        match self {
            Part::Step(n) | Part::OrDefault(n) => vec![*n],
            Part::Coalesce(a, b) => vec![*a, *b],
            Part::If(c, t, e) => vec![*c, *t, *e],
        }
    }
}

impl Flow {
    /// The flow as text.
    pub fn text(&self) -> String {
        let steps: Vec<Json> = self.steps.iter().enumerate().map(written_step).collect();
        let output: Vec<Json> = self.output.iter().map(Part::written).collect();
        json!({ "steps": steps, "output": output }).to_string()
    }

    /// What the component of a step answers in an attempt.
    pub fn result(&self, step: usize, attempt: u32, input: &Value) -> Result<Completion, Failure> {
        let tree = serde_json::from_str(input.as_text()).unwrap();
        match self.act(step, attempt) {
            Act::Output => Ok(Completion::Output(sum(step, &tree).into())),
            Act::Null => Ok(Completion::Output(Value::null())),
            Act::Skip => Ok(Completion::Skipped { reason: None }),
            Act::Fail(class) => Err(Failure::new(class, ErrorCode::SERVER.error("scripted"))),
        }
    }

    fn act(&self, step: usize, attempt: u32) -> Act {
        let acts = &self.steps[step].acts;
        acts[(attempt as usize - 1).min(acts.len() - 1)]
    }

    /// What the flow page says about this flow.
    pub fn expected(&self) -> Expected {
        let run = Interpreter {
            flow: self,
            known: RefCell::default(),
            failed: RefCell::default(),
        };
        let mentioned: BTreeSet<usize> = self.steps.iter().flat_map(Step::mentions).collect();
        let in_output = self
            .output
            .iter()
            .flat_map(Part::mentions)
            .collect::<BTreeSet<_>>();
        for (n, step) in self.steps.iter().enumerate() {
            if step.must_execute || !(mentioned.contains(&n) || in_output.contains(&n)) {
                run.step(n);
            }
        }
        let output = match run.parts(&self.output) {
            Some(Some(values)) => Outcome::Success(Json::Array(values).into()),
            _ => Outcome::Skipped { reason: None },
        };
        let steps = run.failed.into_inner();
        if !steps.is_empty() {
            return Expected::Fails { steps };
        }
        let ran = run.known.into_inner().into_keys().collect();
        Expected::Ends { output, ran }
    }
}

fn written_step((n, step): (usize, &Step)) -> Json {
    let handler = match step.on_error {
        OnError::Fail => json!({ "action": "fail" }),
        OnError::Skip => json!({ "action": "skip" }),
        OnError::Default(n) => {
            json!({ "action": "useDefault", "defaultValue": { "$step": format!("s{n}") } })
        }
    };
    let on_error = match step.retries {
        0 => handler,
        max => json!({ "action": "retry", "maxRetries": max, "then": handler }),
    };
    let mut written = json!({
        "id": format!("s{n}"),
        "component": "/model/step",
        "input": step.input.iter().map(Part::written).collect::<Vec<_>>(),
        "mustExecute": step.must_execute,
        "onError": on_error,
    });
    if let Some(skip_if) = &step.skip_if {
        written["skipIf"] = skip_if.written();
    }
    written
}

/// A number that depends on the step and all of its input.
fn sum(step: usize, input: &Json) -> Json {
    let text = input.to_string();
    let sum = text.bytes().fold(step as u64, |sum, byte| {
        (sum * 31 + u64::from(byte)) % 1_000_003
    });
    json!(sum)
}

impl Step {
    fn mentions(&self) -> Vec<usize> {
        let default = match self.on_error {
            OnError::Default(n) => Some(n),
            OnError::Fail | OnError::Skip => None,
        };
        let parts = self.input.iter().chain(&self.skip_if);
        parts.flat_map(Part::mentions).chain(default).collect()
    }
}

/// `None`: it waits for a step that failed for good. `Some(None)`: skipped.
type Found<T> = Option<Option<T>>;

struct Interpreter<'f> {
    flow: &'f Flow,
    known: RefCell<HashMap<usize, Found<Json>>>,
    failed: RefCell<BTreeSet<usize>>,
}

impl Interpreter<'_> {
    /// Runs a step once and remembers what came of it.
    fn step(&self, n: usize) -> Found<Json> {
        if let Some(found) = self.known.borrow().get(&n) {
            return found.clone();
        }
        let found = self.run(n);
        self.known.borrow_mut().insert(n, found.clone());
        found
    }

    fn run(&self, n: usize) -> Found<Json> {
        let step = &self.flow.steps[n];
        for part in step.input.iter().chain(&step.skip_if) {
            self.step(part.mentions()[0]);
        }
        if let Some(skip_if) = &step.skip_if {
            match self.part(skip_if)? {
                Some(Json::Null) => {}
                _ => return Some(None),
            }
        }
        let Some(input) = self.parts(&step.input)? else {
            return Some(None);
        };
        match self.attempts(n) {
            Act::Output => Some(Some(sum(n, &Json::Array(input)))),
            Act::Null => Some(Some(Json::Null)),
            Act::Skip => Some(None),
            Act::Fail(_) => match step.on_error {
                OnError::Fail => {
                    self.failed.borrow_mut().insert(n);
                    None
                }
                OnError::Skip => Some(None),
                OnError::Default(default) => self.step(default),
            },
        }
    }

    /// What the last attempt of a step does.
    fn attempts(&self, n: usize) -> Act {
        let (mut transport, mut retries) = (3, self.flow.steps[n].retries);
        for attempt in 1.. {
            let budget = match self.flow.act(n, attempt) {
                Act::Fail(Class::NotSent) if transport > 0 => &mut transport,
                Act::Fail(Class::NotSent | Class::Component) if retries > 0 => &mut retries,
                act => return act,
            };
            *budget -= 1;
        }
        unreachable!("budgets end")
    }

    /// A list of parts: the first one that is skipped skips the whole.
    fn parts(&self, parts: &[Part]) -> Found<Vec<Json>> {
        for part in parts {
            self.step(part.mentions()[0]);
        }
        // All parts are reached, whatever becomes of the others.
        let found: Vec<_> = parts.iter().map(|part| self.part(part)).collect();
        let mut values = Vec::new();
        for found in found.into_iter().collect::<Option<Vec<_>>>()? {
            match found {
                Some(value) => values.push(value),
                None => return Some(None),
            }
        }
        Some(Some(values))
    }

    fn part(&self, part: &Part) -> Found<Json> {
        match part {
            Part::Step(n) => self.step(*n),
            Part::OrDefault(n) => Some(self.step(*n)?.or(Some(json!(-1)))),
            Part::Coalesce(a, b) => match (self.step(*a)?, *b) {
                (Some(value), _) if !value.is_null() => Some(Some(value)),
                (Some(_), b) => Some(self.step(b)?.or(Some(Json::Null))),
                (None, b) => self.step(b),
            },
            Part::If(condition, then, otherwise) => match self.step(*condition)? {
                Some(Json::Null | Json::Bool(false)) => self.step(*otherwise),
                Some(_) => self.step(*then),
                None => Some(None),
            },
        }
    }
}
