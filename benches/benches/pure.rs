//! The pure parts, each by itself: reading messages, compiling flows, scheduling, paths.
//!
//! `cargo bench --package stepflow-benches`, and a name for one of them.

#[path = "../src/flows.rs"]
mod flows;
#[path = "../src/pure.rs"]
mod pure;

use std::hint::black_box;

use criterion::BenchmarkId;
use criterion::Criterion;
use criterion::Throughput;
use stepflow_flow::path::Path;
use stepflow_flow::plan::Plan;
use stepflow_flow::value::Value;
use stepflow_rpc::Message;

use flows::Shape;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    messages(&mut criterion);
    compiling(&mut criterion);
    scheduling(&mut criterion);
    paths(&mut criterion);
    criterion.final_summary();
}

/// What travels most, and what is large.
fn messages(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("message decode");
    for (name, text) in pure::corpus() {
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| Message::decode(black_box(&text)).expect("the corpus is sound"));
        });
    }
    group.finish();
}

fn compiling(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("plan compile");
    for n_steps in [10, 1_000, 10_000] {
        let flow = pure::flow(Shape::Sequential, n_steps);
        group.throughput(Throughput::Elements(n_steps as u64));
        group.bench_with_input(
            BenchmarkId::from_parameter(n_steps),
            &flow,
            |bencher, flow| {
                bencher.iter(|| Plan::compile(black_box(flow)).expect("the flow is sound"));
            },
        );
    }
    group.finish();
}

/// A whole run of instant steps, without components or a journal.
fn scheduling(criterion: &mut Criterion) {
    const STEPS: usize = 10_000;
    let mut group = criterion.benchmark_group("scheduler, 10 000 steps");
    group.throughput(Throughput::Elements(STEPS as u64));
    for (name, shape) in [
        ("sequential", Shape::Sequential),
        ("parallel", Shape::Parallel),
    ] {
        let plan = Plan::compile(&pure::flow(shape, STEPS)).expect("the flow is sound");
        group.bench_function(name, |bencher| {
            bencher.iter(|| pure::schedule(black_box(&plan)))
        });
    }
    group.finish();
}

fn paths(criterion: &mut Criterion) {
    const TEXT: &str = "$.orders[2][\"unit price\"].amount";
    let value =
        r#"{"orders":[{},{},{"name":"tea","unit price":{"currency":"EUR","amount":2.50}}]}"#;
    let value = Value::parse(value).expect("it is JSON");
    let path = Path::parse(TEXT).expect("it is a path");
    let mut group = criterion.benchmark_group("path");
    group.bench_function("parse", |bencher| {
        bencher.iter(|| Path::parse(black_box(TEXT)).expect("it is a path"));
    });
    group.bench_function("select", |bencher| {
        bencher.iter(|| path.select(black_box(&value)).expect("it is there"));
    });
    group.finish();
}
