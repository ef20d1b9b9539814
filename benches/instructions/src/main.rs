//! One workload, done a given number of times, for `cargo xtask instructions` to count the instructions of. Owns the workloads;
//! knows nothing of how instructions are counted or compared.
//!
//! Everything runs in one thread and without IO, so that the same work is the same instructions.

mod calls;
#[path = "../../src/flows.rs"]
mod flows;
#[path = "../../src/pure.rs"]
mod pure;
mod runs;

use std::hint::black_box;

use anyhow::Context;
use stepflow_flow::plan::Plan;
use stepflow_rpc::Message;

use flows::Shape;

/// How many steps the flows have.
const STEPS: usize = 10_000;

/// Something to do again and again.
struct Workload {
    name: String,
    /// How often it is done for a count; the difference to twice as often leaves out what comes before and after.
    repeats: usize,
    /// How many operations there are each time.
    operations: usize,
    /// Does it so many times.
    work: Box<dyn Fn(usize) -> anyhow::Result<()>>,
}

impl Workload {
    fn new(
        name: impl Into<String>,
        (repeats, operations): (usize, usize),
        work: impl Fn(usize) -> anyhow::Result<()> + 'static,
    ) -> Self {
        Workload {
            name: name.into(),
            repeats,
            operations,
            work: Box::new(work),
        }
    }
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let workloads = workloads();
    match &arguments[..] {
        [] => {
            list(&workloads);
            Ok(())
        }
        [name, repeats] => {
            let workload = workloads.iter().find(|workload| workload.name == *name);
            let workload = workload.with_context(|| format!("there is no workload {name:?}"))?;
            (workload.work)(repeats.parse().context("how often is a number")?)
        }
        _ => anyhow::bail!("wants a workload and how often; without arguments it lists them"),
    }
}

/// What there is, a line each: how often, how many operations each time, the name.
#[expect(clippy::print_stdout, reason = "the list is the result")]
fn list(workloads: &[Workload]) {
    for workload in workloads {
        let (repeats, operations) = (workload.repeats, workload.operations);
        println!("{repeats}\t{operations}\t{}", workload.name);
    }
}

fn workloads() -> Vec<Workload> {
    let mut workloads = calls::workloads();
    workloads.extend(decoding());
    workloads.push(reading());
    workloads.push(compiling());
    for (shape, word) in SHAPES {
        workloads.push(scheduling(shape, word));
    }
    for (shape, word) in SHAPES {
        workloads.push(runs::workload(shape, word));
    }
    workloads
}

const SHAPES: [(Shape, &str); 2] = [
    (Shape::Sequential, "sequential"),
    (Shape::Parallel, "parallel"),
];

fn decoding() -> impl Iterator<Item = Workload> {
    pure::corpus().into_iter().map(|(name, text)| {
        let repeats = if text.len() > 10_000 { 20 } else { 10_000 };
        Workload::new(
            format!("message decode, {name}"),
            (repeats, 1),
            move |repeats| {
                for _ in 0..repeats {
                    let message = Message::decode(black_box(&text));
                    black_box(message).ok().context("the corpus is sound")?;
                }
                Ok(())
            },
        )
    })
}

fn reading() -> Workload {
    const STEPS: usize = 1_000;
    Workload::new(
        "flow parse, a step of 1 000 sequential",
        (4, STEPS),
        |repeats| {
            for _ in 0..repeats {
                black_box(pure::flow(Shape::Sequential, black_box(STEPS)));
            }
            Ok(())
        },
    )
}

fn compiling() -> Workload {
    Workload::new(
        "plan compile, a step of 10 000 sequential",
        (1, STEPS),
        |repeats| {
            let flow = pure::flow(Shape::Sequential, STEPS);
            for _ in 0..repeats {
                black_box(Plan::compile(black_box(&flow)).expect("the flow is sound"));
            }
            Ok(())
        },
    )
}

fn scheduling(shape: Shape, word: &str) -> Workload {
    Workload::new(
        format!("scheduler, a step of 10 000 {word}"),
        (2, STEPS),
        move |repeats| {
            let plan = Plan::compile(&pure::flow(shape, STEPS)).expect("the flow is sound");
            for _ in 0..repeats {
                pure::schedule(black_box(&plan));
            }
            Ok(())
        },
    )
}
