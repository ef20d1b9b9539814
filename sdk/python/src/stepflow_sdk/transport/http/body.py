"""The body of a POST, within its limit.

Owns how much is read and kept. Knows nothing of what the bytes mean, but where an id may stand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stepflow_sdk import message
from stepflow_sdk.errors import ErrorCode
from stepflow_sdk.transport.http.gate import Refused

if TYPE_CHECKING:
    from starlette.types import Receive

    from stepflow_sdk.message import Id

__all__ = ["TooLarge", "read", "skip"]

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
            headers=((b"connection", b"close"),),
            data={"max_message_bytes": limit},
        )
        self.id = id


async def read(receive: Receive, limit: int) -> bytes | None:
    """Reads a whole body; None where the sender left before its end.

    Raises:
        TooLarge: It has more bytes than the limit.
    """
    event = await receive()
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
            size, id = await _skip(receive, head, more=event.get("more_body", False))
            raise TooLarge(size, limit, id)
        if not event.get("more_body", False):
            return b"".join(parts)
        event = await receive()


async def skip(receive: Receive) -> Id | None:
    """Reads a body that will not be served, in constant memory; returns the id of its message, where it is found."""
    _, id = await _skip(receive, b"", more=True)
    return id


async def _skip(receive: Receive, start: bytes, *, more: bool) -> tuple[int, Id | None]:
    size = len(start)
    head, tail = start[:_KEPT], start[-_KEPT:]
    while more and size < _MOST_SKIPPED + len(start):
        event = await receive()
        if event["type"] == "http.disconnect":
            break
        part: bytes = event.get("body", b"")
        size += len(part)
        if len(head) < _KEPT:
            head += part[: _KEPT - len(head)]
        tail = (tail + part)[-_KEPT:]
        more = event.get("more_body", False)
    return size, message.sought_id(head, tail)
