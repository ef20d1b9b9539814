"""The helpers for users' tests."""

from __future__ import annotations

import asyncio

import pytest

from runtime import needs_program
from stepflow_sdk import (
    Context,
    ErrorCode,
    FlowFailed,
    SkipStep,
    StepflowError,
    StepflowServer,
    SyncContext,
)
from stepflow_sdk.flow import FlowBuilder
from stepflow_sdk.testing import Runtime


async def store(words: list[str], context: Context) -> str:
    context.log("info", "storing", n=len(words))
    context.progress(0.5, "half")
    return await context.put_blob(words)


def twice(n: int, context: SyncContext) -> int:
    return context.evaluate_flow("sha256:1", n) if n else context.attempt


def test_a_component_is_called_as_the_runtime_would(stepflow_call):
    called = stepflow_call(store, ["a"])
    assert called.blobs == {called.output: ["a"]}
    assert called.logs == [{"level": "info", "message": "storing", "data": {"n": 1}}]
    assert called.progress == [{"fraction": 0.5, "message": "half"}]
    with pytest.raises(StepflowError) as refused:
        stepflow_call(store, [1])
    assert refused.value.code == ErrorCode.INVALID_INPUT
    assert stepflow_call(twice, 0, attempt=3).output == 3


def test_inside_a_running_loop(stepflow_call):
    async def test() -> str:
        return stepflow_call(store, []).output

    assert asyncio.run(test()).startswith("sha256:")


def test_call_backs_are_answered_by_the_test(stepflow_call):
    asked = []

    def evaluate(flow, input):
        asked.append((flow, input))
        return input * 2

    assert stepflow_call(twice, 4, runtime=Runtime(evaluate=evaluate)).output == 8
    assert asked == [("sha256:1", 4)]

    def broken(flow, input):
        assert flow == {"output": 1}
        raise StepflowError(4242, "closed")

    constant = FlowBuilder()
    constant.output(1)

    def failed(n: int, context: SyncContext) -> str:
        with pytest.raises(FlowFailed, match="closed"):
            context.evaluate_flow(constant, n)
        return context.metadata().step_metadata["owner"]

    runtime = Runtime(evaluate=broken, metadata={"step_metadata": {"owner": "me"}})
    assert stepflow_call(failed, 1, runtime=runtime).output == "me"
    with pytest.raises(StepflowError, match="flows/evaluate"):
        stepflow_call(twice, 1)


def test_blobs_that_are_there_and_those_that_are_not(stepflow_call):
    def read(id: str, context: SyncContext) -> int:
        return context.get_blob(id)

    assert stepflow_call(read, "b1", runtime=Runtime(blobs={"b1": 7})).output == 7
    with pytest.raises(StepflowError) as missing:
        stepflow_call(read, "b2")
    assert missing.value.code == ErrorCode.BLOB_NOT_FOUND


def test_skips_are_skips(stepflow_call):
    def idle() -> None:
        raise SkipStep("no orders")

    with pytest.raises(SkipStep, match="no orders"):
        stepflow_call(idle)


@needs_program
def test_a_flow_runs_with_the_components_of_the_test(stepflow_run, monkeypatch):
    server = StepflowServer()
    seen = []

    @server.component
    def add(a: int, b: int) -> int:
        seen.append((a, b))
        return a + b

    flow = FlowBuilder()
    key = flow.variable("extra", int)
    flow.output({"sum": flow.step("add", "/lab/add", {"a": flow.input["a"], "b": key})})
    ran = stepflow_run(flow, {"a": 1}, variables={"extra": 2}, lab=server)
    assert (ran.outcome, ran.result, seen) == ("success", {"sum": 3}, [(1, 2)])
    failed = stepflow_run(flow, {"a": "x"}, variables={"extra": 2}, lab=server)
    assert (failed.outcome, failed.error.code) == ("failed", ErrorCode.INVALID_INPUT)
    with pytest.raises(ValueError, match="E0"):
        stepflow_run({"output": {"$step": "nobody"}})
    monkeypatch.setenv("STEPFLOW", "no-such-program")
    with pytest.raises(FileNotFoundError, match="no-such-program"):
        stepflow_run(flow)
