//! `stepflow conformance --runtime`: our runtime meets every requirement, and so does a very small one in Python, which with one
//! thing wrong is caught by the requirement that is about that thing.

use std::collections::BTreeSet;
use std::path::Path;

use stepflow_tests::environment;
use stepflow_tests::environment::Python;
use stepflow_tests::program::Folder;

use crate::suite;
use crate::suite::Report;

/// `stepflow conformance --runtime -- COMMAND`, and no process is left.
async fn judged(program: &Path, arguments: &[&str]) -> Report {
    let folder = Folder::default();
    let mut command = folder.stepflow(&["conformance", "--format", "json", "--runtime"]);
    command
        .args([
            "--timeout",
            "60s",
            "--env",
            stepflow_tests::process::VARIABLE,
        ])
        .arg("--")
        .arg(program)
        .args(arguments);
    let ran = suite::run(command).await;
    folder.mark().all_gone().await;
    ran.into()
}

// req: runtime.greeting, runtime.version, runtime.params, runtime.execute-fields, runtime.null-output, runtime.component-error
// req: runtime.noise, runtime.unknown-answers, runtime.answered-twice, runtime.callbacks, runtime.callbacks-together
// req: runtime.unknown-method, runtime.stderr, runtime.restart, runtime.end
#[tokio::test]
async fn our_runtime_meets_every_requirement() {
    let arguments = ["run", "{flow}", "--config", "{config}"];
    let report = judged(&environment::stepflow(), &arguments).await;
    assert!(report.failed().is_empty(), "{}", report.faults());
    assert_eq!(report.skipped(), BTreeSet::new());
    assert_eq!(report.findings.len(), 15);
    assert_eq!(report.code, Some(0));
}

async fn small(fault: &str, by: &[&str]) {
    let script = environment::workspace().join("tests/runtimes/small.py");
    let script = script.to_str().unwrap();
    let arguments = [script, "{flow}", "{config}", fault];
    let report = judged(&Python::Project.interpreter(), &arguments).await;
    let by: BTreeSet<_> = by.iter().copied().collect();
    assert_eq!(report.failed(), by, "{}", report.faults());
    assert_eq!(report.code, Some(i32::from(!by.is_empty())));
}

macro_rules! small {
    ($($name:ident: $fault:literal, [$($by:literal)*])*) => {
        $(#[tokio::test]
        async fn $name() {
            small($fault, &[$($by),*]).await;
        })*
    };
}

small! {
    a_small_runtime_meets_every_requirement: "", []
    one_that_forgets_initialized: "forgets-initialized", ["runtime.greeting" "runtime.restart"]
    one_that_speaks_any_version: "speaks-any-version", ["runtime.version"]
    one_that_has_no_observability: "has-no-observability", ["runtime.execute-fields"]
    one_that_has_no_null: "has-no-null", ["runtime.null-output"]
    one_that_hides_errors: "hides-errors", ["runtime.component-error" "runtime.version"]
    one_that_dies_of_noise: "dies-of-noise", ["runtime.noise"]
    one_that_takes_any_answer: "takes-any-answer", ["runtime.unknown-answers" "runtime.answered-twice"]
    one_that_answers_unknown_methods: "answers-unknown-methods", ["runtime.unknown-method"]
    one_that_counts_no_attempts: "counts-no-attempts", ["runtime.restart"]
    one_that_kills_servers: "kills-servers", ["runtime.end"]
}

#[test]
fn a_command_without_a_place_for_the_flow_is_refused() {
    let folder = Folder::default();
    let ran = folder.run(&["conformance", "--runtime", "--", "some-runtime", "{config}"]);
    assert_eq!(ran.code, Some(2), "{ran:#?}");
    assert!(ran.stderr.contains("has no {flow}"), "{ran:#?}");
}
