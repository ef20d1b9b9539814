"""One call of a component: its input, its cancellation, its prints, its one answer.

Owns the boundary between a component's exceptions and the wire. Does not choose the thread or loop it runs on.
"""

from __future__ import annotations

import contextvars
import inspect
import time
import traceback
from pathlib import Path
from types import CoroutineType, TracebackType
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Raw

from stepflow_sdk import jsontext, message, protocol
from stepflow_sdk.errors import CallCancelled, ErrorCode, SkipStep, StepflowError
from stepflow_sdk.message import Id

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable

    from stepflow_sdk.component import Component
    from stepflow_sdk.peer import Peer
    from stepflow_sdk.protocol import ExecuteParams

__all__ = ["Invocation", "current"]

current: contextvars.ContextVar[Invocation | None] = contextvars.ContextVar(
    "stepflow_invocation", default=None
)
"""The invocation whose component runs here; how a `print` finds its step."""

_PACKAGE = str(Path(__file__).parent)
_LONGEST_PRINTED_LINE = 64 * 1024


class _Executed(msgspec.Struct, gc=False):
    output: Any


class Invocation:
    """One `components/execute` request being served.

    A transport calls `run` in a thread. Where that returns None the component is asynchronous, and the transport runs
    `run_async` on an event loop. Each returns the one frame that answers the request.
    """

    __slots__ = (
        "_awaitable", "_calls", "_printed", "cancelled", "component", "id", "params", "peer", "received",
        "task",
    )  # fmt: skip

    def __init__(self, peer: Peer, component: Component, id: Id, params: ExecuteParams) -> None:
        self.peer = peer
        self.component = component
        self.id = id
        self.params = params
        self.received = time.time() if params.deadline_ms is not None else 0.0
        """When it came, as seconds since the epoch; only kept where a deadline counts from it."""
        self.cancelled: CallCancelled | None = None
        """Set when the runtime no longer wants the result."""
        self.task: tuple[asyncio.AbstractEventLoop, asyncio.Task[bytes]] | None = None
        """The task that runs it, once it has one."""
        self._awaitable: Awaitable[Any] | None = None
        self._calls: set[Id] | None = None
        self._printed = ""

    # Running

    def run(self) -> bytes | None:
        """Runs the component in this thread; returns the answer, or None where `run_async` has to give it."""
        token = current.set(self)
        try:
            result = self._start()
            if type(result) is CoroutineType or inspect.isawaitable(result):
                self._awaitable = result
                return None
            frame = self._answer(result)
        except BaseException as error:  # noqa: BLE001 - SystemExit too ends the call, not the process
            frame = self._failure(error)
        finally:
            current.reset(token)
        self._flush_printed()
        return frame

    async def run_async(self) -> bytes:
        """Runs the component on this event loop; returns the answer."""
        current.set(self)
        try:
            awaitable = self._awaitable
            if awaitable is None:
                awaitable = self._start()
            frame = self._answer(await awaitable)
        except BaseException as error:  # noqa: BLE001 - as in run; a cancelled task answers as well
            frame = self._failure(error)
        self._flush_printed()
        return frame

    def abandoned(self) -> bytes:
        """Returns the answer of a task that was cancelled before it began."""
        if inspect.iscoroutine(self._awaitable):
            self._awaitable.close()
        return self.peer.error_frame(self.id, self.cancelled or CallCancelled())

    def _start(self) -> Any:
        component = self.component
        value = component.decode(self.params.input)
        kind = component.signature.context_kind
        return component.invoke(value, self._context(kind) if kind is not None else None)

    def _context(self, kind: str) -> Any:
        from stepflow_sdk.context import Context, SyncContext  # noqa: PLC0415 - the two know each other

        return Context(self) if kind == "async" else SyncContext(self)

    # Answering

    def _answer(self, result: Any) -> bytes:
        if self.cancelled is not None:
            return self.peer.error_frame(self.id, self.cancelled)
        wrapped = message.Success(self.id, _Executed(result))
        try:
            frame = jsontext.encode(result, what=self.component.result_name, wrapped=wrapped)
        except jsontext.NotJson as error:
            data = {"exception_type": "NotJson"}
            return self.peer.error_frame(
                self.id, StepflowError(ErrorCode.COMPONENT_FAILED, str(error), data)
            )
        return self.peer.fitting(self.id, frame)

    def _failure(self, error: BaseException) -> bytes:
        if self.cancelled is not None:
            return self.peer.error_frame(self.id, self.cancelled)
        if isinstance(error, SkipStep):
            skipped = {"reason": error.reason} if error.reason else {}
            return self.peer.fitting(
                self.id,
                jsontext.encode(
                    message.Success(self.id, {"skipped": skipped}), what="the skip reason"
                ),
            )
        if not isinstance(error, StepflowError):
            error = _component_failed(self.component.path, error)
        return self.peer.error_frame(self.id, error)

    def _flush_printed(self) -> None:
        if self._printed:
            self.print("\n")

    # Cancelling

    def cancel(self, reason: str | None) -> list[Id]:
        """Marks it cancelled and stops its task; returns the call backs it waits for."""
        self.cancelled = CallCancelled(reason)
        task = self.task
        if task is not None:
            loop, running = task
            loop.call_soon_threadsafe(running.cancel)
        return list(self._calls or ())

    def waiting(self, call: Id) -> None:
        """Notes that a blocking call back waits, so that a cancellation wakes it."""
        if self._calls is None:
            self._calls = set()
        self._calls.add(call)
        # A cancellation that came first did not see this call.
        if self.cancelled is not None:
            raise self.cancelled

    def answered(self, call: Id) -> None:
        """Notes that a blocking call back waits no more."""
        if self._calls is not None:
            self._calls.discard(call)

    # Telling

    def accepts(self, capability: str) -> bool:
        """Tells whether the runtime named a capability, in this request or in its handshake."""
        named = self.params.capabilities
        if named is None:
            named = self.peer.session.capabilities if self.peer.session else {}
        return capability in named

    def log(self, level: str, text: str, data: dict[str, Any] | None) -> None:
        """Sends a log line of this step; the caller has asked `accepts`."""
        params: dict[str, Any] = {"id": self.id, "level": level, "message": jsontext.cleaned(text)}
        if data:
            try:
                params["data"] = Raw(jsontext.encode(data))
            except jsontext.NotJson:
                params["data"] = {key: repr(value) for key, value in data.items()}
        self.peer.notify(protocol.LOG, params)

    def print(self, text: str) -> None:
        """Takes what the component printed; whole lines become logs."""
        lines = (self._printed + text).split("\n")
        self._printed = lines.pop()
        if len(self._printed) > _LONGEST_PRINTED_LINE:
            lines.append(self._printed)
            self._printed = ""
        for line in lines:
            self.log("info", line.removesuffix("\r"), {"stream": "stdout"})


def _component_failed(path: str, error: BaseException) -> StepflowError:
    kind = type(error)
    name = (
        kind.__qualname__
        if kind.__module__ == "builtins"
        else f"{kind.__module__}.{kind.__qualname__}"
    )
    try:
        text = str(error)
        trace = "".join(traceback.format_exception(kind, error, _own_frames(error.__traceback__)))
    except Exception:  # noqa: BLE001 - an exception's own __str__ may raise
        text, trace = "(its message cannot be shown)", ""
    summary = f"{path} failed: {kind.__name__}" + (f": {text}" if text else "")
    return StepflowError(
        ErrorCode.COMPONENT_FAILED, summary, {"exception_type": name, "traceback": trace}
    )


def _own_frames(trace: TracebackType | None) -> TracebackType | None:
    """Leaves out the SDK's own frames above the component's."""
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_PACKAGE):
        trace = trace.tb_next
    return trace
