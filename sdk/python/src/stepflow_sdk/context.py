"""What a component can ask of the runtime while it runs.

Owns the two context types: `Context` is awaited by async components, `SyncContext` blocks the thread of plain ones.
Both are thin: one list of operations stands behind them.
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import msgspec
from msgspec import Raw, Struct

from stepflow_sdk import jsontext, protocol
from stepflow_sdk.errors import ErrorCode, FlowFailed, FlowSkipped, StepflowError
from stepflow_sdk.protocol import (
    Batch,
    BatchStatus,
    EvaluateResult,
    FlowResult,
    GetBlobResult,
    Metadata,
    PutBlobResult,
)

if TYPE_CHECKING:
    import asyncio

    from stepflow_sdk.flow import FlowBuilder
    from stepflow_sdk.invocation import Invocation

__all__ = ["Context", "StepflowContext", "SyncContext"]

T = TypeVar("T")


class _Operation(Struct, Generic[T], frozen=True):
    """One call back: what to send and how to read the answer."""

    method: str
    params: dict[str, Any]
    result: type[T]


class _ContextBase:
    """What both contexts share: who this call is, and telling the runtime about it."""

    def __init__(self, invocation: Invocation) -> None:
        self._invocation = invocation

    @property
    def run_id(self) -> str | None:
        """The run this call belongs to."""
        return self._invocation.params.run_id

    @property
    def step_id(self) -> str | None:
        """The step this call belongs to."""
        return self._invocation.params.step_id

    @property
    def flow_id(self) -> str | None:
        """The blob id of the flow this call belongs to."""
        return self._invocation.params.flow_id

    @property
    def attempt(self) -> int:
        """Which attempt at the step this is, from 1."""
        return self._invocation.params.attempt or 1

    @property
    def idempotency_key(self) -> str | None:
        """A key that stays the same over all attempts at this step and item.

        A call may run more than once (a crash, a retry): pass this key on to whatever has side effects.
        """
        return self._invocation.params.idempotency_key

    @property
    def deadline(self) -> dt.datetime | None:
        """When the runtime stops waiting for this call, in UTC; None where it does not say."""
        milliseconds = self._invocation.params.deadline_ms
        if milliseconds is None:
            return None
        moment = self._invocation.received + milliseconds / 1000
        return dt.datetime.fromtimestamp(moment, dt.timezone.utc)

    @property
    def time_left(self) -> float | None:
        """Seconds until the deadline, below zero once it has passed; None where there is none."""
        milliseconds = self._invocation.params.deadline_ms
        if milliseconds is None:
            return None
        return self._invocation.received + milliseconds / 1000 - time.time()

    @property
    def cancelled(self) -> bool:
        """Whether the runtime no longer wants the result; plain components should look and leave."""
        return self._invocation.cancelled is not None

    def progress(self, fraction: float | None = None, message: str | None = None) -> None:
        """Tells how far this call is, 0.0 to 1.0, in words, or both. Does nothing where the runtime takes none."""
        if not self._invocation.accepts("progress"):
            return
        params: dict[str, Any] = {"id": self._invocation.id}
        if fraction is not None:
            params["fraction"] = min(max(float(fraction), 0.0), 1.0)
        if message is not None:
            params["message"] = jsontext.cleaned(message)
        self._invocation.peer.notify(protocol.PROGRESS, params)

    def log(self, level: str, message: str, **data: Any) -> None:
        """Writes a log line that appears with this step: `context.log("info", "fetched", rows=12)`.

        Where the runtime takes no logs, it goes to stderr.
        """
        if self._invocation.accepts("log"):
            self._invocation.log(level, message, data)
            return
        from stepflow_sdk.output import to_stderr  # noqa: PLC0415 - only where it is needed

        to_stderr(f"{level}: {message}" + (f" {data}" if data else ""))

    # Operations: what is sent, shared by both kinds

    def _put_blob(self, data: Any, blob_type: str) -> _Operation[PutBlobResult]:
        params = {"data": _as_json(data, "the blob"), "blob_type": blob_type}
        return _Operation(protocol.BLOBS_PUT, params, PutBlobResult)

    def _get_blob(self, blob_id: str) -> _Operation[GetBlobResult]:
        return _Operation(protocol.BLOBS_GET, {"blob_id": blob_id}, GetBlobResult)

    def _evaluate(
        self, flow: Any, input: Any, overrides: Any, variables: Any, key: str | None
    ) -> _Operation[EvaluateResult]:
        which = "flow_id" if isinstance(flow, str) else "flow"
        params = {
            which: flow if isinstance(flow, str) else _as_json(_data_of(flow), "the flow"),
            "input": _as_json(input, "the flow's input"),
            "overrides": _optional(overrides, "the overrides"),
            "variables": _optional(variables, "the variables"),
            "key": key,
        }
        return _Operation(protocol.FLOWS_EVALUATE, params, EvaluateResult)

    def _submit(
        self,
        flow_id: str,
        inputs: Sequence[Any],
        overrides: Any,
        max_concurrency: int | None,
        key: str | None,
    ) -> _Operation[Batch]:
        params = {
            "flow_id": flow_id,
            "inputs": _as_json(list(inputs), "the inputs"),
            "overrides": _optional(overrides, "the overrides"),
            "max_concurrency": max_concurrency,
            "key": key,
        }
        return _Operation(protocol.FLOWS_SUBMIT_BATCH, params, Batch)

    def _get_batch(
        self, batch_id: str, *, wait: bool, include_results: bool
    ) -> _Operation[BatchStatus]:
        params = {"batch_id": batch_id, "wait": wait, "include_results": include_results}
        return _Operation(protocol.FLOWS_GET_BATCH, params, BatchStatus)

    def _metadata(self) -> _Operation[Metadata]:
        params = {"flow_id": self.flow_id, "step_id": self.step_id}
        return _Operation(protocol.FLOWS_GET_METADATA, params, Metadata)

    def _addressed(self, operation: _Operation[Any]) -> dict[str, Any]:
        """Adds whom the call back serves, and leaves out what was not given."""
        params = {key: value for key, value in operation.params.items() if value is not None}
        params["execution"] = self._invocation.id
        observability = self._invocation.params.observability
        params["observability"] = observability if bytes(observability) else {}
        return params


class Context(_ContextBase):
    """The runtime as an async component sees it. Ask for it by annotation, in any place:

    >>> async def count(input: dict, context: Context) -> str:
    ...     return await context.put_blob({"n": len(input)})
    """  # noqa: D415

    @classmethod
    def of(cls, other: _ContextBase) -> Context:
        """Returns the awaitable context of the same call."""
        return cls(other._invocation)  # noqa: SLF001 - its own base

    async def put_blob(self, data: Any, blob_type: str = "data") -> str:
        """Stores a JSON value and returns its id; equal values have equal ids."""
        return (await self._call(self._put_blob(data, blob_type))).blob_id

    async def get_blob(self, blob_id: str) -> Any:
        """Returns the value stored under an id.

        Raises:
            RemoteError: There is none (-32008).
        """
        return (await self._call(self._get_blob(blob_id))).data

    async def evaluate_flow(
        self,
        flow: str | Mapping[str, Any] | FlowBuilder,
        input: Any = None,
        *,
        overrides: Any = None,
        variables: Mapping[str, Any] | None = None,
        key: str | None = None,
    ) -> Any:
        """Runs a flow, given by its blob id or as a document, and returns its result.

        Args:
            flow: The flow's blob id, or the flow itself.
            input: What it gets.
            overrides: Steps to replace.
            variables: Its variables.
            key: The same step, attempt after attempt, joins the sub-run with the same key instead of starting another.

        Raises:
            FlowFailed: It failed, with the flow's own code and data.
            FlowSkipped: It was skipped.
        """
        return _outcome(
            (await self._call(self._evaluate(flow, input, overrides, variables, key))).result
        )

    async def submit_batch(
        self,
        flow: str | Mapping[str, Any] | FlowBuilder,
        inputs: Sequence[Any],
        *,
        overrides: Any = None,
        max_concurrency: int | None = None,
        key: str | None = None,
    ) -> Batch:
        """Starts a run of a flow for each input and returns at once."""
        flow_id = flow if isinstance(flow, str) else await self.put_blob(_data_of(flow), "flow")
        return await self._call(self._submit(flow_id, inputs, overrides, max_concurrency, key))

    async def get_batch(
        self, batch_id: str, *, wait: bool = False, include_results: bool = True
    ) -> BatchStatus:
        """Returns how far a batch is; with `wait`, once it has ended."""
        return await self._call(
            self._get_batch(batch_id, wait=wait, include_results=include_results)
        )

    async def metadata(self) -> Metadata:
        """Returns the `metadata` of this call's flow and step."""
        return await self._call(self._metadata())

    async def _call(self, operation: _Operation[T]) -> T:
        import asyncio  # noqa: PLC0415 - a server without async components never loads it

        loop = asyncio.get_running_loop()
        future: asyncio.Future[Raw] = loop.create_future()
        peer = self._invocation.peer
        call = peer.call(operation.method, self._addressed(operation), _LoopWaiter(loop, future))
        try:
            return _read(operation, await future)
        finally:
            peer.forget(call)


class SyncContext(_ContextBase):
    """The runtime as a plain component sees it; its call backs block the component's thread, and nothing else.

    >>> def count(input: dict, context: SyncContext) -> str:
    ...     return context.put_blob({"n": len(input)})
    """

    def put_blob(self, data: Any, blob_type: str = "data") -> str:
        """Stores a JSON value and returns its id; equal values have equal ids."""
        return self._call(self._put_blob(data, blob_type)).blob_id

    def get_blob(self, blob_id: str) -> Any:
        """Returns the value stored under an id.

        Raises:
            RemoteError: There is none (-32008).
        """
        return self._call(self._get_blob(blob_id)).data

    def evaluate_flow(
        self,
        flow: str | Mapping[str, Any] | FlowBuilder,
        input: Any = None,
        *,
        overrides: Any = None,
        variables: Mapping[str, Any] | None = None,
        key: str | None = None,
    ) -> Any:
        """Runs a flow and returns its result; see `Context.evaluate_flow`.

        Raises:
            FlowFailed: It failed, with the flow's own code and data.
            FlowSkipped: It was skipped.
        """
        return _outcome(self._call(self._evaluate(flow, input, overrides, variables, key)).result)

    def submit_batch(
        self,
        flow: str | Mapping[str, Any] | FlowBuilder,
        inputs: Sequence[Any],
        *,
        overrides: Any = None,
        max_concurrency: int | None = None,
        key: str | None = None,
    ) -> Batch:
        """Starts a run of a flow for each input and returns at once."""
        flow_id = flow if isinstance(flow, str) else self.put_blob(_data_of(flow), "flow")
        return self._call(self._submit(flow_id, inputs, overrides, max_concurrency, key))

    def get_batch(
        self, batch_id: str, *, wait: bool = False, include_results: bool = True
    ) -> BatchStatus:
        """Returns how far a batch is; with `wait`, once it has ended."""
        return self._call(self._get_batch(batch_id, wait=wait, include_results=include_results))

    def metadata(self) -> Metadata:
        """Returns the `metadata` of this call's flow and step."""
        return self._call(self._metadata())

    def _call(self, operation: _Operation[T]) -> T:
        invocation = self._invocation
        if invocation.cancelled is not None:
            raise invocation.cancelled
        waiter = _ThreadWaiter()
        call = invocation.peer.call(operation.method, self._addressed(operation), waiter)
        try:
            invocation.waiting(call)
            with invocation.peer.link.blocking():
                return _read(operation, waiter.wait())
        finally:
            invocation.answered(call)
            invocation.peer.forget(call)


StepflowContext = Context
"""The name published servers import; the same as `Context`."""


class _ThreadWaiter:
    """Blocks one thread until its answer is there."""

    __slots__ = ("_lock", "_outcome")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()
        self._outcome: Raw | StepflowError | None = None

    def resolve(self, result: Raw) -> None:
        self._outcome = result
        self._lock.release()

    def fail(self, error: StepflowError) -> None:
        self._outcome = error
        self._lock.release()

    def wait(self) -> Raw:
        self._lock.acquire()
        if isinstance(self._outcome, StepflowError):
            raise self._outcome
        return cast("Raw", self._outcome)


class _LoopWaiter:
    """Completes a future on its own event loop, from whichever thread reads."""

    __slots__ = ("_future", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop, future: asyncio.Future[Raw]) -> None:
        self._loop = loop
        self._future = future

    def resolve(self, result: Raw) -> None:
        self._hand_over(self._set_result, result)

    def fail(self, error: StepflowError) -> None:
        self._hand_over(self._set_exception, error)

    def _hand_over(self, deliver: Any, value: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(deliver, value)
        except RuntimeError:
            return  # The loop has ended, and whoever waited with it.

    def _set_result(self, result: Raw) -> None:
        if not self._future.done():
            self._future.set_result(result)

    def _set_exception(self, error: StepflowError) -> None:
        if not self._future.done():
            self._future.set_exception(error)


def _data_of(flow: Mapping[str, Any] | FlowBuilder) -> Mapping[str, Any]:
    return flow if isinstance(flow, Mapping) else flow.to_dict()


def _as_json(value: Any, what: str) -> Raw:
    return Raw(jsontext.encode(value, what=what))


def _optional(value: Any, what: str) -> Raw | None:
    return None if value is None else _as_json(value, what)


def _read(operation: _Operation[T], answer: Raw) -> T:
    try:
        return msgspec.json.decode(answer, type=operation.result)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise StepflowError(
            ErrorCode.INTERNAL,
            f"the runtime's answer to {operation.method} cannot be read: {error}",
        ) from error


def _outcome(result: FlowResult) -> Any:
    if result.outcome == "success":
        return result.result
    if result.outcome == "skipped":
        raise FlowSkipped(result.reason)
    if result.error is not None:
        raise FlowFailed(result.error.code, result.error.message, result.error.data)
    raise FlowFailed(
        ErrorCode.COMPONENT_FAILED, f"the flow ended as {result.outcome!r} without saying why"
    )
