"""One POST whose answer is not there yet.

Owns what becomes of it: JSON, or a stream where something has to be said before the answer; and its sender's leaving.
Knows frames, not what is in them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from stepflow_sdk.transport.http.deadlines import Deadlines
from stepflow_sdk.transport.http.mailbox import Mailbox, Signal
from stepflow_sdk.transport.http.session import MAX_UNREAD_FRAMES

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from starlette.types import Receive

    from stepflow_sdk.transport.workers import Workers

__all__ = ["WATCH_AFTER", "DirectLink", "Exchange", "wait_for_disconnect"]

WATCH_AFTER = 0.05
"""Whoever leaves sooner is noticed then; quick calls are spared the watching."""


class Exchange:
    """Brings one call's frames to the task that answers its POST.

    Args:
        mailbox: The way to that task's loop.
        receive: Tells when whoever sent the POST is gone.
        on_answer: Called on the loop when the answer is there; gets it where the POST is not there any more.
    """

    __slots__ = (
        "_mailbox", "_on_answer", "_receive", "_signal", "_watch", "answer", "began", "has_left", "told",
    )  # fmt: skip

    def __init__(
        self, mailbox: Mailbox, receive: Receive, on_answer: Callable[[bytes | None], None]
    ) -> None:
        self.answer: bytes | None = None
        """The answer, once it is there."""
        self.told: deque[bytes] = deque()
        """Frames that come before it."""
        self.has_left = False
        """Whether whoever sent the POST is gone."""
        self.began = 0.0
        """When its component began, by the clock of performance."""
        self._mailbox = mailbox
        self._on_answer = on_answer
        self._signal = Signal()
        self._receive = receive
        self._watch: asyncio.Task[None] | None = None

    # From any thread

    def put(self, frame: bytes) -> None:
        """Hands over the answer; the loop is woken by whoever runs components."""
        self._mailbox.put(self.settle, frame)

    def tell(self, frame: bytes, *, droppable: bool) -> None:
        """Hands over a frame that comes before the answer."""
        if droppable and len(self._mailbox) + len(self.told) >= MAX_UNREAD_FRAMES:
            return
        self._mailbox.post(self._told, frame)

    # On the loop

    def settle(self, frame: bytes) -> None:
        """Takes the answer, unless there is one already."""
        if self.answer is not None:
            return
        self.answer = frame
        self._on_answer(frame if self.has_left else None)
        self._signal.set()

    def _told(self, frame: bytes) -> None:
        if self.answer is None and not self.has_left:
            self.told.append(frame)
            self._signal.set()

    async def news(self, silences: Deadlines[Signal] | None = None) -> bool:
        """Waits for something to do; returns whether there is, before the silence was too long."""
        if silences is None:
            return await self._signal.wait()
        return await self._signal.wait_beside(silences)

    def watch(self) -> None:
        """Notices, from now on, when whoever sent the POST leaves."""
        watching = wait_for_disconnect(self._receive, self.leave)
        self._watch = asyncio.get_running_loop().create_task(watching)

    def leave(self) -> None:
        """Notes that whoever sent the POST is gone."""
        self.has_left = True
        self._signal.set()

    def unwatch(self) -> None:
        """Ends the watching."""
        if self._watch is not None:
            self._watch.cancel()


class DirectLink:
    """The link of a peer that lives for one POST."""

    def __init__(self, exchange: Exchange, workers: Workers) -> None:
        self._exchange = exchange
        self._workers = workers

    def post(self, frame: bytes) -> None:
        """Sends a frame ahead of the answer."""
        self._exchange.tell(frame, droppable=False)

    def send(self, frame: bytes, *, droppable: bool = False) -> None:
        """Sends a frame ahead of the answer; callable from any thread."""
        self._exchange.tell(frame, droppable=droppable)

    def blocking(self) -> AbstractContextManager[None]:
        """Gives up the calling thread's place while it waits."""
        return self._workers.blocking()


async def wait_for_disconnect(receive: Receive, then: Callable[[], None]) -> None:
    """Calls `then` once the other end of a connection is gone."""
    while (await receive())["type"] != "http.disconnect":
        continue
    then()
