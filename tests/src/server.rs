//! The components of the test server. `servers/test_server.py` has the same ones in Python, with the same inputs, outputs
//! and errors: what is tested is that nobody can tell them apart. Four of them are there a second time, by the names under which
//! `stepflow conformance` looks for them.

use std::io::Write;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;
use stepflow_rpc::RpcError;
use stepflow_sdk::Context;
use stepflow_sdk::Error;
use stepflow_sdk::Flow;
use stepflow_sdk::Outcome;
use stepflow_sdk::Server;
use stepflow_sdk::Until;
use stepflow_sdk::Value;
use tokio::io::AsyncBufReadExt;
use tokio::io::AsyncWriteExt;
use tokio::io::BufReader;
use tokio::net::UnixStream;

/// The server with all components.
pub fn server() -> Server {
    Server::new("test-server")
        .component("/echo", "Answers with its input", echo)
        .component("/typed", "Takes a name and a count", typed)
        .component("/blob", "Stores data and fetches it again", blob)
        .component("/get_blob", "Fetches data", get_blob)
        .component("/evaluate", "Runs a flow", evaluate)
        .component("/batch", "Runs a flow on many inputs", batch)
        .component("/metadata", "Says what is written about its step", metadata)
        .component("/sleep", "Answers after a while", sleep)
        .component("/gate", "Waits to be let through", gate)
        .component("/fail", "Fails", fail)
        .component("/skip", "Skips itself", skip)
        .component("/exit", "Ends its process", exit)
        .component("/crash", "Crashes its process", crash)
        .component("/noise", "Prints to stdout and stderr", noise)
        .component(
            "/run",
            "Runs a program with the handles that it inherits",
            run,
        )
        .component("/tell", "Tells logs and progress", tell)
        .component("/call", "Says what it knows of its call", call)
        .component("/big", "Answers with much text", big)
        .component("/conformance/echo", "Answers with its input", echo)
        .component(
            "/conformance/blob",
            "Stores data and fetches it again",
            blob,
        )
        .component("/conformance/sleep", "Answers after a while", sleep)
        .component("/conformance/fail", "Fails", fail)
}

async fn echo(_: Context, input: Value) -> Result<Value, Error> {
    Ok(input)
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Typed {
    name: String,
    count: u32,
    #[serde(default)]
    tags: Vec<String>,
}

async fn typed(_: Context, input: Typed) -> Result<Typed, Error> {
    Ok(input)
}

#[derive(Deserialize, JsonSchema)]
struct BlobInput {
    data: Value,
}

#[derive(Serialize, JsonSchema)]
struct BlobOutput {
    blob_id: String,
    data: Value,
}

async fn blob(context: Context, input: BlobInput) -> Result<BlobOutput, Error> {
    let blob_id = context
        .put_blob(input.data)
        .await
        .map_err(Error::from_call)?;
    let data = context.get_blob(&blob_id).await.map_err(Error::from_call)?;
    Ok(BlobOutput { blob_id, data })
}

#[derive(Deserialize, JsonSchema)]
struct GetBlobInput {
    blob_id: String,
}

async fn get_blob(context: Context, input: GetBlobInput) -> Result<Value, Error> {
    let data = context.get_blob(&input.blob_id).await;
    data.map_err(Error::from_call)
}

#[derive(Deserialize, JsonSchema)]
struct EvaluateInput {
    flow: Value,
    #[serde(default)]
    input: Value,
    overrides: Option<Value>,
    variables: Option<Value>,
    key: Option<String>,
    crash_before_attempt: Option<u32>,
}

impl EvaluateInput {
    fn flow(&self) -> Flow {
        let mut flow = match self.flow.as_str() {
            Some(id) => Flow::stored(id),
            None => Flow::inline(self.flow.clone()),
        };
        if let Some(overrides) = self.overrides.clone() {
            flow = flow.overrides(overrides);
        }
        if let Some(variables) = self.variables.clone() {
            flow = flow.variables(variables);
        }
        match self.key.clone() {
            Some(key) => flow.key(key),
            None => flow,
        }
    }
}

async fn evaluate(context: Context, input: EvaluateInput) -> Result<Value, Error> {
    let outcome = context
        .evaluate_flow(&input.flow(), input.input.clone())
        .await;
    if input
        .crash_before_attempt
        .is_some_and(|attempt| context.attempt() < attempt)
    {
        std::process::abort();
    }
    match outcome.map_err(Error::from_call)? {
        Outcome::Success(value) => Ok(value),
        Outcome::Skipped { reason } => Err(Error::Failed(format!(
            "the evaluated flow was skipped: {}",
            reason.unwrap_or_default()
        ))),
        Outcome::Failed(error) => Err(Error::with_code(error.code, error.message)),
    }
}

#[derive(Deserialize, JsonSchema)]
struct BatchInput {
    flow: Value,
    inputs: Vec<Value>,
    #[serde(default = "one")]
    max_concurrency: u32,
}

fn one() -> u32 {
    1
}

#[derive(Serialize, JsonSchema)]
struct BatchAnswer {
    total_runs: u64,
    completed_runs: u64,
    failed_runs: u64,
    running_runs: u64,
    results: Vec<(u64, String, Option<Value>)>,
}

async fn batch(context: Context, input: BatchInput) -> Result<BatchAnswer, Error> {
    let flow = Flow::inline(input.flow).max_concurrency(input.max_concurrency);
    let submitted = context.submit_batch(&flow, input.inputs).await;
    let submitted = submitted.map_err(Error::from_call)?;
    let batch = context
        .get_batch(&submitted.batch_id, Until::AllEnded)
        .await;
    let batch = batch.map_err(Error::from_call)?;
    let results = batch.outputs.unwrap_or_default().into_iter().map(|output| {
        let result = output.result.and_then(|it| it.result().cloned());
        (output.batch_input_index, output.status, result)
    });
    Ok(BatchAnswer {
        total_runs: submitted.total_runs,
        completed_runs: batch.details.completed_runs,
        failed_runs: batch.details.failed_runs,
        running_runs: batch.details.running_runs,
        results: results.collect(),
    })
}

async fn metadata(context: Context, _: Value) -> Result<(Value, Option<Value>), Error> {
    let metadata = context.metadata().await.map_err(Error::from_call)?;
    Ok((metadata.flow_metadata, metadata.step_metadata))
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Sleep {
    ms: u64,
}

async fn sleep(_: Context, input: Sleep) -> Result<Sleep, Error> {
    tokio::time::sleep(Duration::from_millis(input.ms)).await;
    Ok(input)
}

#[derive(Deserialize, JsonSchema)]
struct GateInput {
    path: String,
    name: String,
    until_attempt: Option<u32>,
}

#[derive(Serialize, JsonSchema)]
struct Arrived {
    name: String,
    attempt: u32,
    key: Option<String>,
    pid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    said: Option<String>,
}

async fn gate(context: Context, input: GateInput) -> Result<Arrived, Error> {
    let mut arrived = Arrived {
        name: input.name,
        attempt: context.attempt(),
        key: context.idempotency_key().map(str::to_owned),
        pid: std::process::id(),
        said: None,
    };
    if input
        .until_attempt
        .is_some_and(|until| context.attempt() >= until)
    {
        return Ok(arrived);
    }
    let mut gate = BufReader::new(UnixStream::connect(&input.path).await?);
    let mut line = serde_json::to_string(&arrived)?;
    line.push('\n');
    gate.write_all(line.as_bytes()).await?;
    // A dropped call closes the socket, which is how the test sees that it was cancelled.
    let mut said = String::new();
    gate.read_line(&mut said).await?;
    arrived.said = Some(said.trim_end().to_owned());
    Ok(arrived)
}

#[derive(Deserialize, JsonSchema)]
struct Fail {
    message: String,
    code: Option<i64>,
    data: Option<Value>,
    before_attempt: Option<u32>,
}

async fn fail(context: Context, input: Fail) -> Result<u32, Error> {
    if !is_before(&context, input.before_attempt) {
        return Ok(context.attempt());
    }
    let Some(code) = input.code else {
        return Err(Error::Failed(input.message));
    };
    let error = RpcError::new(stepflow_rpc::ErrorCode(code), input.message);
    Err(Error::Rpc(match input.data {
        Some(data) => error.with_data(&data),
        None => error,
    }))
}

/// Whether a component is to misbehave in this attempt: in each, or in those before the one given.
fn is_before(context: &Context, attempt: Option<u32>) -> bool {
    attempt.is_none_or(|attempt| context.attempt() < attempt)
}

#[derive(Deserialize, JsonSchema)]
struct Skip {
    reason: Option<String>,
}

async fn skip(_: Context, input: Skip) -> Result<Value, Error> {
    Err(Error::Skip(input.reason))
}

#[derive(Deserialize, JsonSchema)]
struct Exit {
    code: i32,
    before_attempt: Option<u32>,
}

async fn exit(context: Context, input: Exit) -> Result<u32, Error> {
    if is_before(&context, input.before_attempt) {
        std::process::exit(input.code);
    }
    Ok(context.attempt())
}

#[derive(Deserialize, JsonSchema)]
struct Crash {
    before_attempt: Option<u32>,
}

async fn crash(context: Context, input: Crash) -> Result<u32, Error> {
    if is_before(&context, input.before_attempt) {
        std::process::abort();
    }
    Ok(context.attempt())
}

#[derive(Deserialize, JsonSchema)]
struct Noise {
    #[serde(default)]
    stdout: String,
    #[serde(default)]
    stderr: String,
    #[serde(default)]
    stderr_bytes: usize,
}

/// Prints as any code may: the protocol has other handles by now.
async fn noise(_: Context, input: Noise) -> Result<usize, Error> {
    std::io::stdout().write_all(input.stdout.as_bytes())?;
    std::io::stdout().flush()?;
    let mut stderr = std::io::stderr();
    stderr.write_all(input.stderr.as_bytes())?;
    let line = format!("{}\n", "e".repeat(99));
    for _ in 0..input.stderr_bytes / line.len() {
        stderr.write_all(line.as_bytes())?;
    }
    Ok(input.stderr_bytes)
}

#[derive(Deserialize, JsonSchema)]
struct Run {
    command: Vec<String>,
}

async fn run(_: Context, input: Run) -> Result<i32, Error> {
    let mut command = tokio::process::Command::new(&input.command[0]);
    let status = command.args(&input.command[1..]).status().await?;
    Ok(status.code().unwrap_or(-1))
}

#[derive(Deserialize, JsonSchema)]
struct Tell {
    count: u32,
}

async fn tell(context: Context, input: Tell) -> Result<u32, Error> {
    for number in 1..=input.count {
        let data = serde_json::json!({"number": number});
        context
            .log("info", &format!("line {number}"), Some(&data))
            .await
            .map_err(Error::from_call)?;
        let fraction = f64::from(number) / f64::from(input.count);
        context
            .progress(fraction, &format!("step {number}"))
            .await
            .map_err(Error::from_call)?;
    }
    Ok(input.count)
}

#[derive(Serialize, JsonSchema)]
struct Called {
    attempt: u32,
    key: Option<String>,
    run_id: Option<String>,
    step_id: Option<String>,
    flow_id: Option<String>,
    pid: u32,
}

async fn call(context: Context, _: Value) -> Result<Called, Error> {
    Ok(Called {
        attempt: context.attempt(),
        key: context.idempotency_key().map(str::to_owned),
        run_id: context.run_id().map(str::to_owned),
        step_id: context.step_id().map(str::to_owned),
        flow_id: context.flow_id().map(str::to_owned),
        pid: std::process::id(),
    })
}

#[derive(Deserialize, JsonSchema)]
struct Big {
    bytes: usize,
    #[serde(default)]
    padding: String,
}

#[derive(Serialize, JsonSchema)]
struct BigOutput {
    received: usize,
    text: String,
}

async fn big(_: Context, input: Big) -> Result<BigOutput, Error> {
    Ok(BigOutput {
        received: input.padding.len(),
        text: "x".repeat(input.bytes),
    })
}
