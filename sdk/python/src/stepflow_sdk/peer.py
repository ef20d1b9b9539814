"""One end of a conversation: who asked what, and who waits for which answer.

Owns the table of pending call backs and of running invocations. Knows nothing of bytes on a wire, threads or event
loops: frames come in by `receive`, go out by the link, and whatever runs components is the transport's business.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from random import SystemRandom
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from msgspec import Raw, Struct

from stepflow_sdk import jsontext, message
from stepflow_sdk.errors import CallCancelled, ErrorCode, PeerClosed, RemoteError, StepflowError
from stepflow_sdk.invocation import Invocation
from stepflow_sdk.message import Envelope, Id, Malformed, RpcError
from stepflow_sdk.output import to_stderr
from stepflow_sdk.protocol import DEFAULT_MAX_MESSAGE_BYTES

if TYPE_CHECKING:
    from stepflow_sdk.router import Router

__all__ = ["Link", "Peer", "Put", "Session", "Waiter", "uuid7"]

Put = Callable[[bytes], None]
"""Where one answer goes."""


class Link(Protocol):
    """Where a peer puts its frames; every transport offers one."""

    def post(self, frame: bytes) -> None:
        """Queues a frame from the reader, which must not wait: the transport writes it soon."""
        ...

    def send(self, frame: bytes, *, droppable: bool = False) -> None:
        """Queues a frame and sees to its writing; droppable ones may be lost when the other end does not read."""
        ...

    def blocking(self) -> AbstractContextManager[None]:
        """Is entered by a thread that waits for an answer, so that it holds no place others need."""
        ...


class Waiter(Protocol):
    """Somebody who waits for the answer to a call back; exactly one of the two is called, once."""

    def resolve(self, result: Raw) -> None:
        """Hands over the result."""
        ...

    def fail(self, error: StepflowError) -> None:
        """Hands over why there is none."""
        ...


class Session(Struct):
    """What the handshake said of the runtime."""

    capabilities: dict[str, Any]
    """What it understands beyond the core methods."""
    max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES
    """The largest message it takes."""
    prefix: str | None = None
    """The first part of the paths it may call our components by."""


class Peer:
    """Answers the runtime's requests by a router and carries call backs to the runtime.

    Args:
        router: The methods this end has.
        link: Where frames go.
        new_id: Makes the id of a call back, or raises why there can be none.
    """

    def __init__(self, router: Router, link: Link, new_id: Callable[[], Id] | None = None) -> None:
        self.link = link
        self.session: Session | None = None
        """Set by `initialize`."""
        self.ready = False
        """Set by `initialized`; before it, components are not served over stdio."""
        self._router = router
        self._new_id = new_id or uuid7
        self._pending: dict[Id, Waiter] = {}
        self._running: dict[Id, Invocation] = {}
        self._answering: set[Invocation] = set()
        self._is_closed = False
        self._drained: threading.Event | None = None

    # Frames from the other end

    def receive(self, frame: bytes) -> Invocation | None:
        """Takes one frame. Whatever can be done at once is done; a component to run is returned.

        Never raises and never waits, so that whoever reads goes on reading.
        """
        try:
            return self.take(message.decode(frame), self.link.post)
        except Exception as error:  # noqa: BLE001 - whatever one frame does, the next one is read
            to_stderr(f"stepflow_sdk: a message was lost to {type(error).__name__}: {error}")
            return None

    def take(self, envelope: Envelope | Malformed, put: Put) -> Invocation | None:
        """Takes one frame that has been decoded, as `receive` does; an answer that is there at once goes to `put`."""
        if isinstance(envelope, Malformed):
            self._on_malformed(envelope, put)
        elif envelope.method is None:
            self._on_response(envelope, put)
        elif envelope.id is None:
            self._router.notify(self, envelope)
        else:
            return self._on_request(envelope, envelope.id, put)
        return None

    def discard(self, size: int, limit: int, head: bytes, tail: bytes) -> bool:
        """Takes note of a frame too large to keep; returns whether whoever waits for it has been told."""
        id = message.sought_id(head, tail)
        if id is None:
            return False
        error = StepflowError(
            ErrorCode.RESOURCE_UNAVAILABLE,
            f"the message has {size} bytes, but at most {limit} are accepted: put large data in a blob",
            {"bytes": size, "max_message_bytes": limit},
        )
        waiter = self._pending.pop(id, None)
        if waiter is not None:
            waiter.fail(error)
        else:
            self.link.post(self.error_frame(id, error))
        return True

    def _on_request(self, envelope: Envelope, id: Id, put: Put) -> Invocation | None:
        try:
            result = self._router.request(self, envelope)
            if isinstance(result, Invocation):
                return self._started(id, result)
            put(self._frame(id, result))
        except StepflowError as error:
            put(self.error_frame(id, error))
        except Exception as error:  # noqa: BLE001 - one bad message costs one message
            told = StepflowError(ErrorCode.INTERNAL, f"{type(error).__name__}: {error}")
            put(self.error_frame(id, told))
        return None

    def _started(self, id: Id, invocation: Invocation) -> Invocation:
        if id in self._running:
            raise StepflowError(
                ErrorCode.INVALID_REQUEST, f"a request with the id {id!r} is still running"
            )
        self._running[id] = invocation
        return invocation

    def _on_response(self, envelope: Envelope, put: Put) -> None:
        error = b"" if bytes(envelope.error) == b"null" else bytes(envelope.error)
        result = envelope.result
        if not error and not bytes(result):
            reason = "it has neither method, result nor error"
            self._on_malformed(Malformed(reason, envelope.id, answer=envelope.id is not None), put)
            return
        waiter = self._pending.pop(envelope.id, None) if envelope.id is not None else None
        if waiter is not None and error:
            waiter.fail(_remote_error(error))
        elif waiter is not None:
            waiter.resolve(result)
        elif envelope.id is None and error:
            shown = error[:500].decode("utf-8", "replace")
            to_stderr(f"stepflow_sdk: the runtime reported an error without an id: {shown}")
        # Any other answer nobody waits for is late: its caller was cancelled, and that is no error.

    def _on_malformed(self, frame: Malformed, put: Put) -> None:
        waiter = self._pending.pop(frame.id, None) if frame.id is not None else None
        if waiter is None and frame.answer:
            reason = f"not a valid request: {frame.reason}"
            put(self.error_frame(frame.id, StepflowError(ErrorCode.INVALID_REQUEST, reason)))
        elif waiter is not None:
            waiter.fail(
                StepflowError(
                    ErrorCode.INTERNAL, f"the runtime's answer cannot be read: {frame.reason}"
                )
            )

    # Answers

    @property
    def send_limit(self) -> int:
        """The largest frame the other end takes, without its line end."""
        return self.session.max_message_bytes if self.session else DEFAULT_MAX_MESSAGE_BYTES

    def _frame(self, id: Id, result: Any) -> bytes:
        return self.fitting(id, jsontext.encode(message.Success(id, result)))

    def error_frame(self, id: Id | None, error: StepflowError) -> bytes:
        """Writes the answer that carries `error`."""
        frame = message.error_frame(id, RpcError(error.code, error.message, error.data))
        return self.fitting(id, frame)

    def fitting(self, id: Id | None, frame: bytes) -> bytes:
        """Returns a frame the other end takes: this one, or an error that says that it was too large."""
        limit = self.send_limit
        if len(frame) <= limit:
            return frame
        return message.error_frame(id, _too_large("the answer", len(frame), limit))

    def answer(self, invocation: Invocation, frame: bytes, put: Put) -> None:
        """Forgets an invocation and puts its answer where it goes: by the link's `post` or `send`."""
        self._answering.add(invocation)
        # Its id is free before the answer is out: the runtime may use it again at once.
        self._running.pop(invocation.id, None)
        put(frame)
        self._answering.discard(invocation)
        if self._drained is not None:
            self._note_drained()

    def _note_drained(self) -> None:
        drained = self._drained
        if drained is not None and not self._running and not self._answering:
            drained.set()

    def cancel(self, id: Id, reason: str | None) -> None:
        """Cancels a running invocation; it still answers. Unknown ids are ignored: it may just have ended."""
        invocation = self._running.get(id)
        if invocation is None:
            return
        waiting = invocation.cancel(reason)
        for call in waiting:
            waiter = self._pending.pop(call, None)
            if waiter is not None:
                waiter.fail(CallCancelled(reason))

    def cancel_all(self, reason: str) -> None:
        """Cancels everything that runs."""
        for id in list(self._running):
            self.cancel(id, reason)

    @property
    def n_running(self) -> int:
        """How many invocations have not been answered yet."""
        return len(self._running)

    # Calls to the other end

    def call(self, method: str, params: Any, waiter: Waiter) -> Id:
        """Sends a request; its answer, or the end of the link, reaches the waiter exactly once.

        Raises:
            StepflowError: It was not sent: the link is closed, or it is larger than the runtime takes.
        """
        id = self._new_id()
        frame = message.request_frame(method, params, id)
        if len(frame) > self.send_limit:
            error = _too_large(f"the {method} request", len(frame), self.send_limit)
            raise StepflowError(error.code, error.message, error.data)
        self._pending[id] = waiter
        if self._is_closed and self._pending.pop(id, None) is not None:
            raise PeerClosed
        self.link.send(frame)
        return id

    def notify(self, method: str, params: Any) -> None:
        """Sends a notification that may be lost when the runtime does not keep up."""
        frame = message.request_frame(method, params)
        if not self._is_closed and len(frame) <= self.send_limit:
            self.link.send(frame, droppable=True)

    def forget(self, id: Id) -> None:
        """Gives up waiting for an answer; a late one is ignored."""
        self._pending.pop(id, None)

    # The end

    def close(self) -> None:
        """Wakes everyone who waits for an answer that cannot come any more."""
        self._is_closed = True
        while self._pending:
            try:
                _, waiter = self._pending.popitem()
            except KeyError:  # pragma: no cover - another thread took the last one
                break
            waiter.fail(PeerClosed())

    def wait_drained(self, seconds: float) -> bool:
        """After `close`, waits for running invocations to end; returns whether they did."""
        self._drained = drained = threading.Event()
        self._note_drained()
        return drained.wait(seconds)


_random = SystemRandom()


def uuid7() -> str:
    """Returns a UUIDv7: unique, sortable by time in logs, and not to be guessed by whoever could forge an answer."""
    value = (time.time_ns() // 1_000_000) << 80 | _random.getrandbits(76)
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _remote_error(text: bytes) -> RemoteError:
    try:
        error = msgspec.json.decode(text, type=RpcError)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        shown = text[:500].decode("utf-8", "replace")
        return RemoteError(
            ErrorCode.INTERNAL, f"the runtime answered an error that cannot be read: {shown}"
        )
    return RemoteError(error.code, error.message, error.data)


def _too_large(what: str, size: int, limit: int) -> RpcError:
    return RpcError(
        ErrorCode.RESOURCE_UNAVAILABLE,
        f"{what} has {size} bytes, but the runtime accepts at most {limit}: put large data in a blob and pass its id",
        {"bytes": size, "max_message_bytes": limit},
    )
