"""One POST whose answer is not there yet.

Owns what becomes of it: JSON, or a stream where something has to be said before the answer; and its sender's leaving.
Knows frames, not what is in them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from stepflow_sdk.transport.http.mailbox import Mailbox, Signal
from stepflow_sdk.transport.http.session import MAX_UNREAD_FRAMES

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from starlette.types import Receive

    from stepflow_sdk.transport.workers import Workers

__all__ = ["DirectLink", "Exchange", "wait_for_disconnect"]

_WATCH_AFTER = 0.05
"""Whoever leaves sooner is noticed then; quick calls are spared the watching."""


class Exchange:
    """Brings one call's frames to the task that answers its POST.

    Args:
        mailbox: The way to that task's loop.
        on_answer: Called on the loop when the answer is there; gets it where the POST is not there any more.
    """

    def __init__(self, mailbox: Mailbox, on_answer: Callable[[bytes | None], None]) -> None:
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
        self._timer: asyncio.TimerHandle | None = None
        self._watch: asyncio.Task[None] | None = None

    # From any thread

    def put(self, frame: bytes) -> None:
        """Hands over the answer."""
        self._mailbox.post(self.settle, frame)

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

    async def news(self, seconds: float | None = None) -> bool:
        """Waits for something to do; returns whether there is, before the time was over."""
        return await self._signal.wait(seconds)

    def watch(self, receive: Receive) -> None:
        """Notices, from soon on, when whoever sent the POST leaves."""
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(_WATCH_AFTER, self._start_watch, loop, receive)

    def leave(self) -> None:
        """Notes that whoever sent the POST is gone."""
        self.has_left = True
        self._signal.set()

    def unwatch(self) -> None:
        """Ends the watching."""
        if self._timer is not None:
            self._timer.cancel()
        if self._watch is not None:
            self._watch.cancel()

    def _start_watch(self, loop: asyncio.AbstractEventLoop, receive: Receive) -> None:
        self._watch = loop.create_task(wait_for_disconnect(receive, self.leave))


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
