//! Starting and ending runtimes leaves nothing behind. Alone in its program, since it counts what the whole process holds.

use stepflow_tests::process;
use stepflow_tests::runtime::Program;
use stepflow_tests::runtime::Runtime;
use stepflow_tests::runtime::success;
use stepflow_tests::value;

async fn start_and_stop(program: Program) {
    let runtime = Runtime::of(program);
    success(&runtime.call("/it/echo", value("1")).await);
    runtime.shut_down().await;
}

// req: stdio.no-growth
#[tokio::test]
async fn fifty_starts_and_stops_leave_no_file_and_no_process() {
    // What is made once for all (signal handling, say) is there after the first.
    start_and_stop(Program::Rust).await;
    let files = process::open_files();
    for _ in 0..50 {
        start_and_stop(Program::Rust).await;
    }
    for _ in 0..5 {
        start_and_stop(Program::Python).await;
    }
    assert_eq!(process::open_files(), files, "open files");
    let left = process::descendants(std::process::id());
    assert!(left.is_empty(), "the guards too are gone: {left:?}");
}
