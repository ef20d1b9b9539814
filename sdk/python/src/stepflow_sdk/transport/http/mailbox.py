"""The way onto the loop that serves HTTP, and waiting there.

Owns how other threads reach that loop. Knows nothing of requests.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable

from stepflow_sdk.transport.http.deadlines import Deadlines

__all__ = ["Mailbox", "Signal"]


class Mailbox:
    """Carries frames from any thread to one loop, in order; a burst wakes the loop once."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._inbox: deque[tuple[Callable[[bytes], None], bytes]] = deque()
        self._told = False
        self._lingering: threading.Lock | None = None

    def __len__(self) -> int:
        return len(self._inbox)

    def post(self, deliver: Callable[[bytes], None], frame: bytes) -> None:
        """Has `deliver(frame)` called on the loop; never waits."""
        self._inbox.append((deliver, frame))
        self.wake()

    def put(self, deliver: Callable[[bytes], None], frame: bytes) -> None:
        """Does the same once `wake` is called, which is left to the caller: best as the last thing before it sleeps."""
        self._inbox.append((deliver, frame))

    def wake(self) -> None:
        """Has the loop look into the box, if there is something in it."""
        # After what was put: a loop that stops lingering looks into the box after it said so.
        if not self._inbox:
            return
        lingering = self._lingering
        if lingering is not None:
            # Of several frames the first one wakes it.
            with contextlib.suppress(RuntimeError):
                lingering.release()
            return
        if self._told:
            return
        self._told = True
        # A loop that has ended has nobody left to tell.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._deliver)

    def linger(self, start: Callable[[], None], seconds: float) -> None:
        """Starts something and waits for a frame where the loop stands.

        If the wait is brief, this is half the price of going to sleep and being woken. Nothing stands between the start
        and the wait: a thread that is woken before this one waits would meet the interpreter's lock.
        """
        lingering = threading.Lock()
        lingering.acquire()
        self._lingering = lingering
        start()
        lingering.acquire(timeout=seconds)
        self._lingering = None
        self._deliver()

    def _deliver(self) -> None:
        self._told = False
        while self._inbox:
            deliver, frame = self._inbox.popleft()
            deliver(frame)


class Signal:
    """Wakes the one task that waits for it; to be used on the loop only."""

    __slots__ = ("_is_set", "_waiter")

    def __init__(self) -> None:
        self._is_set = False
        self._waiter: asyncio.Future[None] | None = None

    def set(self) -> None:
        """Wakes the task, or saves it its next wait."""
        self._is_set = True
        _wake(self._waiter)

    async def wait(self, seconds: float | None = None) -> bool:
        """Waits to be woken; returns whether it was, before the time was over."""
        if not self._is_set:
            loop = asyncio.get_running_loop()
            self._waiter = loop.create_future()
            timer = loop.call_later(seconds, _wake, self._waiter) if seconds is not None else None
            try:
                await self._waiter
            finally:
                self._waiter = None
                if timer is not None:
                    timer.cancel()
        was_set, self._is_set = self._is_set, False
        return was_set

    async def wait_beside(self, others: Deadlines[Signal]) -> bool:
        """Waits to be woken as many do, each as long; returns whether it was, before the time was over."""
        others.begin(self)
        try:
            return await self.wait()
        finally:
            others.end(self)

    def give_up(self) -> None:
        """Wakes the task for nothing, if it waits."""
        _wake(self._waiter)


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
