"""The body of a POST, within its limits.

Owns how much is read and kept, and how long the rest is waited for. Knows nothing of what the bytes mean, but where an
id may stand.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from stepflow_sdk import message
from stepflow_sdk.errors import ErrorCode
from stepflow_sdk.transport.http.deadlines import Deadlines
from stepflow_sdk.transport.http.gate import Refused

if TYPE_CHECKING:
    from starlette.types import Message, Receive

    from stepflow_sdk.message import Id

__all__ = ["Patience", "TooLarge", "read", "skip"]

_KEPT = 4096
_MOST_SKIPPED = 64 * 1024 * 1024
"""How much of a body that is too large is read: most senders look for an answer only once they have written all."""


class TooLarge(Refused):
    """The body is over the limit; `id` is its message's, where it could be found."""

    def __init__(self, size: int, limit: int, id: Id | None) -> None:
        super().__init__(
            413,
            ErrorCode.INVALID_REQUEST,
            f"the message has {size} bytes or more, but at most {limit} are accepted: put large data in a blob",
            data={"max_message_bytes": limit},
        )
        self.id = id


class Patience:
    """How long the parts of bodies are waited for: each for a while, and none once the server ends.

    Args:
        loop: The one they are waited for on.
        seconds: How long a body may stand still.
        ending: Makes the refusal of those that are still coming when the server ends.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, seconds: float, ending: Callable[[], Refused]
    ) -> None:
        self._loop = loop
        self._seconds = seconds
        self._ending = ending
        self._deadlines = Deadlines[_Wait](loop, seconds, _Wait.give_up)
        self._waits: set[_Wait] = set()
        self._is_over = False

    def __len__(self) -> int:
        return len(self._waits)

    def end(self) -> None:
        """Gives up all bodies that are still coming, and those to come that are not there already."""
        self._is_over = True
        for wait in list(self._waits):
            wait.give_up()

    async def part(self, receive: Receive) -> Message:
        """Waits for the next part of a body.

        Raises:
            Refused: It did not come in time.
        """
        wait = _Wait()
        if self._is_over:
            self._loop.call_soon(wait.give_up)
        self._deadlines.begin(wait)
        self._waits.add(wait)
        try:
            return await receive()
        except asyncio.CancelledError:
            if not wait.was_given_up():
                raise
            raise (self._ending() if self._is_over else _stalled(self._seconds)) from None
        finally:
            wait.end()
            self._deadlines.end(wait)
            self._waits.discard(wait)


class _Wait:
    """The running task's wait, which can be given up: there is no other way out of an ASGI server's `receive`."""

    __slots__ = ("_is_given_up", "_task")

    def __init__(self) -> None:
        self._task = asyncio.current_task()
        self._is_given_up = False

    def end(self) -> None:
        """Notes that it is over: nobody gives it up any more."""
        self._task = None

    def give_up(self) -> None:
        """Ends the wait, unless it is over."""
        if self._task is not None and not self._is_given_up:
            self._is_given_up = True
            self._task.cancel()

    def was_given_up(self) -> bool:
        """Tells whether it was this that cancelled the task, and nobody else did as well."""
        if not self._is_given_up or self._task is None:
            return False
        return sys.version_info < (3, 11) or self._task.uncancel() == 0


def _stalled(seconds: float) -> Refused:
    return Refused(
        408,
        ErrorCode.INVALID_REQUEST,
        f"nothing more of the body came for {seconds:g} s: send the message again, on another connection",
    )


async def read(receive: Receive, limit: int, patience: Patience) -> bytes | None:
    """Reads a whole body; None where the sender left before its end.

    Raises:
        TooLarge: It has more bytes than the limit.
        Refused: Its end did not come in time.
    """
    event = await patience.part(receive)
    data: bytes = event.get("body", b"")
    if not event.get("more_body", False) and len(data) <= limit and event["type"] == "http.request":
        return data
    parts: list[bytes] = []
    size = 0
    while True:
        if event["type"] == "http.disconnect":
            return None
        part: bytes = event.get("body", b"")
        size += len(part)
        parts.append(part)
        if size > limit:
            head = b"".join(parts)
            parts.clear()
            size, id, _ = await _skip(receive, patience, head, more=event.get("more_body", False))
            raise TooLarge(size, limit, id)
        if not event.get("more_body", False):
            return b"".join(parts)
        event = await patience.part(receive)


async def skip(receive: Receive, patience: Patience) -> tuple[Id | None, bool]:
    """Reads a body that will not be served, in constant memory.

    Returns:
        The id of its message, where it is found, and whether the body was read to its end.
    """
    _, id, is_whole = await _skip(receive, patience, b"", more=True)
    return id, is_whole


async def _skip(
    receive: Receive, patience: Patience, start: bytes, *, more: bool
) -> tuple[int, Id | None, bool]:
    size = len(start)
    head, tail = start[:_KEPT], start[-_KEPT:]
    while more and size < _MOST_SKIPPED + len(start):
        try:
            event = await patience.part(receive)
        except Refused:
            # It is refused already, for a better reason.
            break
        if event["type"] == "http.disconnect":
            break
        part: bytes = event.get("body", b"")
        size += len(part)
        if len(head) < _KEPT:
            head += part[: _KEPT - len(head)]
        tail = (tail + part)[-_KEPT:]
        more = event.get("more_body", False)
    return size, message.sought_id(head, tail), not more
