"""The test server in Python: the components of `tests/src/server.rs`, with the same inputs, outputs and errors.

Four of them are there a second time, by the names under which `stepflow conformance` looks for them.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from typing import Annotated, Any

import msgspec
from stepflow_sdk import Context, SkipStep, StepflowError, StepflowServer, SyncContext

server = StepflowServer(name="test-server", udf=False)


@server.component
async def echo(input: Any) -> Any:
    """Answers with its input"""
    return input


@server.component(name="echo_in_thread")
def echo_in_thread(input: Any) -> Any:
    """Answers with its input, as a plain function"""
    return input


class Typed(msgspec.Struct):
    name: str
    count: Annotated[int, msgspec.Meta(ge=0)]
    tags: list[str] = []


@server.component
async def typed(input: Typed) -> Typed:
    """Takes a name and a count"""
    return input


class BlobInput(msgspec.Struct):
    data: Any


@server.component
async def blob(input: BlobInput, context: Context) -> dict[str, Any]:
    """Stores data and fetches it again"""
    blob_id = await context.put_blob(input.data)
    return {"blob_id": blob_id, "data": await context.get_blob(blob_id)}


@server.component
def blob_in_thread(input: BlobInput, context: SyncContext) -> dict[str, Any]:
    """Stores data and fetches it again, as a plain function"""
    blob_id = context.put_blob(input.data)
    return {"blob_id": blob_id, "data": context.get_blob(blob_id)}


class GetBlobInput(msgspec.Struct):
    blob_id: str


@server.component
async def get_blob(input: GetBlobInput, context: Context) -> Any:
    """Fetches data"""
    return await context.get_blob(input.blob_id)


class EvaluateInput(msgspec.Struct):
    flow: Any
    input: Any = None
    overrides: Any = None
    variables: Any = None
    key: str | None = None
    crash_before_attempt: int | None = None


@server.component
async def evaluate(input: EvaluateInput, context: Context) -> Any:
    """Runs a flow"""
    result = await context.evaluate_flow(
        input.flow, input.input, overrides=input.overrides, variables=input.variables, key=input.key
    )
    if input.crash_before_attempt is not None and context.attempt < input.crash_before_attempt:
        os.abort()
    return result


@server.component(name="evaluate_in_thread")
def evaluate_in_thread(input: EvaluateInput, context: SyncContext) -> Any:
    """Runs a flow, as a plain function"""
    return context.evaluate_flow(
        input.flow, input.input, overrides=input.overrides, variables=input.variables, key=input.key
    )


class BatchInput(msgspec.Struct):
    flow: Any
    inputs: list[Any]
    max_concurrency: int = 1


def described(submitted: Any, batch: Any) -> dict[str, Any]:
    """Says of a batch what the Rust server says of it."""
    return {
        "total_runs": submitted.total_runs,
        "completed_runs": batch.details.completed_runs,
        "failed_runs": batch.details.failed_runs,
        "running_runs": batch.details.running_runs,
        "results": [
            [it.batch_input_index, it.status, None if it.result is None else it.result.result]
            for it in batch.outputs
        ],
    }


@server.component
async def batch(input: BatchInput, context: Context) -> dict[str, Any]:
    """Runs a flow on many inputs"""
    submitted = await context.submit_batch(
        input.flow, input.inputs, max_concurrency=input.max_concurrency
    )
    return described(submitted, await context.get_batch(submitted.batch_id, wait=True))


@server.component(name="batch_in_thread")
def batch_in_thread(input: BatchInput, context: SyncContext) -> dict[str, Any]:
    """Runs a flow on many inputs, as a plain function"""
    submitted = context.submit_batch(
        input.flow, input.inputs, max_concurrency=input.max_concurrency
    )
    return described(submitted, context.get_batch(submitted.batch_id, wait=True))


@server.component
async def metadata(input: Any, context: Context) -> list[Any]:
    """Says what is written about its step"""
    found = await context.metadata()
    return [found.flow_metadata, found.step_metadata]


@server.component(name="metadata_in_thread")
def metadata_in_thread(input: Any, context: SyncContext) -> list[Any]:
    """Says what is written about its step, as a plain function"""
    found = context.metadata()
    return [found.flow_metadata, found.step_metadata]


class Sleep(msgspec.Struct):
    ms: int


@server.component
async def sleep(input: Sleep) -> Sleep:
    """Answers after a while"""
    await asyncio.sleep(input.ms / 1000)
    return input


@server.component
def block(input: Sleep) -> Sleep:
    """Answers after a while, and takes its thread for it"""
    time.sleep(input.ms / 1000)
    return input


class GateInput(msgspec.Struct):
    path: str
    name: str
    until_attempt: int | None = None


@server.component
async def gate(input: GateInput, context: Context) -> dict[str, Any]:
    """Waits to be let through"""
    arrived: dict[str, Any] = {
        "name": input.name,
        "attempt": context.attempt,
        "key": context.idempotency_key,
        "pid": os.getpid(),
    }
    if input.until_attempt is not None and context.attempt >= input.until_attempt:
        return arrived
    reader, writer = await asyncio.open_unix_connection(input.path)
    try:
        writer.write(json.dumps(arrived).encode() + b"\n")
        # A cancelled call closes the socket, which is how the test sees that it was cancelled.
        said = await reader.readline()
    finally:
        writer.close()
    return {**arrived, "said": said.decode().rstrip()}


class Fail(msgspec.Struct):
    message: str
    code: int | None = None
    data: Any = None
    before_attempt: int | None = None


class Failure(Exception):
    """What a component without a code of its own fails with."""


@server.component
async def fail(input: Fail, context: Context) -> int:
    """Fails"""
    if not is_before(context, input.before_attempt):
        return context.attempt
    if input.code is None:
        raise Failure(input.message)
    raise StepflowError(input.code, input.message, input.data)


def is_before(context: Context, attempt: int | None) -> bool:
    """Tells whether to misbehave in this attempt: in each, or in those before the one given."""
    return attempt is None or context.attempt < attempt


class Skip(msgspec.Struct):
    reason: str | None = None


@server.component
async def skip(input: Skip) -> Any:
    """Skips itself"""
    raise SkipStep(input.reason)


class Exit(msgspec.Struct):
    code: int
    before_attempt: int | None = None


@server.component
async def exit(input: Exit, context: Context) -> int:
    """Ends its process"""
    if is_before(context, input.before_attempt):
        os._exit(input.code)
    return context.attempt


class Crash(msgspec.Struct):
    before_attempt: int | None = None


@server.component
async def crash(input: Crash, context: Context) -> int:
    """Crashes its process"""
    if is_before(context, input.before_attempt):
        os.abort()
    return context.attempt


class Noise(msgspec.Struct):
    stdout: str = ""
    stderr: str = ""
    stderr_bytes: int = 0


@server.component
def noise(input: Noise) -> int:
    """Prints to stdout and stderr"""
    print(input.stdout, end="", flush=True)
    os.write(1, input.stdout.encode())
    sys.stderr.write(input.stderr)
    line = "e" * 99 + "\n"
    for _ in range(input.stderr_bytes // len(line)):
        sys.stderr.write(line)
    sys.stderr.flush()
    return input.stderr_bytes


class Run(msgspec.Struct):
    command: list[str]


@server.component
def run(input: Run) -> int:
    """Runs a program with the handles that it inherits"""
    return subprocess.run(input.command, check=False).returncode


class Tell(msgspec.Struct):
    count: int


@server.component
async def tell(input: Tell, context: Context) -> int:
    """Tells logs and progress"""
    for number in range(1, input.count + 1):
        context.log("info", f"line {number}", number=number)
        context.progress(number / input.count, f"step {number}")
    return input.count


@server.component
async def call(input: Any, context: Context) -> dict[str, Any]:
    """Says what it knows of its call"""
    return {
        "attempt": context.attempt,
        "key": context.idempotency_key,
        "run_id": context.run_id,
        "step_id": context.step_id,
        "flow_id": context.flow_id,
        "pid": os.getpid(),
    }


class Big(msgspec.Struct):
    bytes: int
    padding: str = ""


@server.component
async def big(input: Big) -> dict[str, Any]:
    """Answers with much text"""
    return {"received": len(input.padding), "text": "x" * input.bytes}


for component in (echo, blob, sleep, fail):
    server.component(component, name=f"conformance/{component.__name__}")


if __name__ == "__main__":
    server.run()
