//! What a flow may ask for without taking the whole machine.

use crate::support::Sandbox;
use crate::support::ended;

/// Runs a flow, by its id, that runs itself twice.
const TWICE: &str = "\
steps:
  - id: put
    component: put_blob
    input:
      blob_type: flow
      data:
        $literal:
          name: twice
          steps:
            - { id: left, component: eval, input: { flow_id: { $input: $ }, input: { $input: $ } } }
            - { id: right, component: eval, input: { flow_id: { $input: $ }, input: { $input: $ } } }
          output: [{ $step: left }, { $step: right }]
  - id: go
    component: eval
    input: { flow_id: { $step: put, path: blob_id }, input: { $step: put, path: blob_id } }
output: { $step: go }
";

#[test]
fn a_flow_that_runs_itself_twice_ends_in_little_memory() {
    let sandbox = Sandbox::new();
    sandbox.write("flow.yaml", TWICE);
    let mut command = sandbox.within_memory(2_000_000, &["run", "flow.yaml"]);
    let ended = ended(&mut command, &sandbox.path("."));
    assert_eq!(ended.code, 1, "{ended:?}");
    for part in [
        "10000 runs are alive",
        "`limits.alive`",
        "twice/left",
        "/go",
    ] {
        assert!(ended.stdout.contains(part), "{part}: {ended:?}");
    }
    // The key that it names is one of the config.
    sandbox.write("stepflow-config.yml", "limits: { alive: 50 }\n");
    let ended = sandbox.run(&["run", "flow.yaml"]);
    assert!(ended.stdout.contains("50 runs are alive"), "{ended:?}");
}
