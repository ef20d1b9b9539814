"""The event loop of async components, kept apart from whoever reads.

Owns one asyncio loop and the tasks on it. asyncio is loaded with the first async call, so a server without any starts
faster.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    import asyncio

    from stepflow_sdk.invocation import Invocation

__all__ = ["EventLoop"]


class EventLoop:
    """Runs async components in the thread that calls `run`, for as long as the process lives.

    Args:
        post: Queues an answer without waiting.
        flush: Writes what is queued; called once after everything that was ready has run.
    """

    def __init__(self, post: Callable[[bytes], None], flush: Callable[[], None]) -> None:
        self._post = post
        self._flush = flush
        self._inbox: deque[Invocation] = deque()
        self._awake = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._told = False
        self._flushing = False

    def submit(self, invocation: Invocation) -> None:
        """Starts an invocation on the loop; callable from any thread, never waits."""
        self._inbox.append(invocation)
        if self._told:
            return
        self._told = True
        loop = self._loop
        if loop is None:
            self._awake.set()
        else:
            loop.call_soon_threadsafe(self._start_all)

    def run(self) -> NoReturn:
        """Runs the loop in this thread."""
        self._awake.wait()
        import asyncio  # noqa: PLC0415 - see the module's first lines

        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        self._loop = loop
        loop.call_soon(self._start_all)
        while True:
            try:
                loop.run_forever()
            except (SystemExit, KeyboardInterrupt):
                # A task that a component started raised it: that ends the task, not the server.
                continue

    def _start_all(self) -> None:
        self._told = False
        loop = self._loop
        assert loop is not None, "only run, which sets the loop, schedules this"  # noqa: S101 - for the type checker
        while self._inbox:
            invocation = self._inbox.popleft()
            if invocation.cancelled is not None:
                self._answer(invocation, invocation.abandoned())
                continue
            task = loop.create_task(invocation.run_async())
            task.add_done_callback(lambda done, it=invocation: self._done(done, it))
            invocation.task = (loop, task)
            if invocation.cancelled is not None:
                task.cancel()

    def _done(self, task: asyncio.Task[bytes], invocation: Invocation) -> None:
        self._answer(invocation, invocation.abandoned() if task.cancelled() else task.result())

    def _answer(self, invocation: Invocation, frame: bytes) -> None:
        invocation.peer.answer(invocation, frame, self._post)
        if not self._flushing and self._loop is not None:
            self._flushing = True
            self._loop.call_soon(self._flush_all)

    def _flush_all(self) -> None:
        self._flushing = False
        self._flush()
