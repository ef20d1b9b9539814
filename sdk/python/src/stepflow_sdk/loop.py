"""The event loop of async components, kept apart from whoever reads.

Owns one asyncio loop and the tasks on it. asyncio is loaded with the first async call, so a server without any starts
faster.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

    from stepflow_sdk.invocation import Invocation
    from stepflow_sdk.peer import Put

__all__ = ["EventLoop"]


def _nothing() -> None:
    """Flushes a transport whose answers are out as soon as they are put."""


class EventLoop:
    """Runs async components in the thread that calls `run`.

    Args:
        flush: Writes what was put; called once after everything that was ready has run.
    """

    def __init__(self, flush: Callable[[], None] = _nothing) -> None:
        self._flush = flush
        self._inbox: deque[tuple[Invocation, Put]] = deque()
        self._awake = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._told = False
        self._flushing = False
        self._stopped = False

    def submit(self, invocation: Invocation, put: Put) -> None:
        """Starts an invocation on the loop, its answer to go to `put`; callable from any thread, never waits."""
        self._inbox.append((invocation, put))
        if self._told:
            return
        self._told = True
        loop = self._loop
        if loop is None:
            self._awake.set()
        else:
            loop.call_soon_threadsafe(self._start_all)

    def run(self) -> None:
        """Runs the loop in this thread, until `stop`."""
        self._awake.wait()
        if self._stopped:
            return
        import asyncio  # noqa: PLC0415 - see the module's first lines

        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        self._loop = loop
        loop.call_soon(self._start_all)
        while not self._stopped:
            try:
                loop.run_forever()
            except (SystemExit, KeyboardInterrupt):
                # A task that a component started raised it: that ends the task, not the server.
                continue
        _cancel_all(loop)
        loop.close()

    def stop(self) -> None:
        """Ends `run` and cancels what is left on the loop; callable from any thread, does not wait."""
        self._stopped = True
        self._awake.set()
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(loop.stop)

    def _start_all(self) -> None:
        self._told = False
        loop = self._loop
        assert loop is not None, "only run, which sets the loop, schedules this"  # noqa: S101 - for the type checker
        while self._inbox:
            invocation, put = self._inbox.popleft()
            if invocation.cancelled is not None:
                self._answer(invocation, invocation.abandoned(), put)
                continue
            task = loop.create_task(invocation.run_async())
            task.add_done_callback(lambda done, it=invocation, put=put: self._done(done, it, put))
            invocation.task = (loop, task)
            if invocation.cancelled is not None:
                task.cancel()

    def _done(self, task: asyncio.Task[bytes], invocation: Invocation, put: Put) -> None:
        frame = invocation.abandoned() if task.cancelled() else task.result()
        self._answer(invocation, frame, put)

    def _answer(self, invocation: Invocation, frame: bytes, put: Put) -> None:
        invocation.peer.answer(invocation, frame, put)
        if not self._flushing and self._loop is not None:
            self._flushing = True
            self._loop.call_soon(self._flush_all)

    def _flush_all(self) -> None:
        self._flushing = False
        self._flush()


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    """Lets every task that is left run its `finally` blocks."""
    import asyncio  # noqa: PLC0415 - loaded by now

    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    with contextlib.suppress(SystemExit, KeyboardInterrupt):
        loop.run_until_complete(asyncio.wait(left, timeout=_LAST_WORDS) if left else _soon())


async def _soon() -> None:
    """Gives what was scheduled last its turn."""


_LAST_WORDS = 1.0
"""Seconds for tasks that are cancelled at the end."""
