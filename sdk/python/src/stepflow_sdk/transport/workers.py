"""Threads for plain components, for a transport that reads on an event loop of its own.

Owns how many run at once. Knows invocations, not bytes: where an answer goes comes with the call.
"""

from __future__ import annotations

import contextlib
import threading
import traceback
from collections import deque
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING

from stepflow_sdk.errors import ErrorCode, StepflowError

if TYPE_CHECKING:
    from stepflow_sdk.invocation import Invocation
    from stepflow_sdk.loop import EventLoop
    from stepflow_sdk.peer import Put

    Job = tuple[Invocation, Put]

__all__ = ["Workers"]


class _Worker:
    """A thread that waits for something to do; `None` as its job means the end."""

    __slots__ = ("job", "wake")

    def __init__(self, job: Job) -> None:
        self.wake = threading.Lock()
        self.wake.acquire()
        self.job: Job | None = job


class Workers:
    """Runs components beside whoever reads.

    Args:
        max_threads: How many plain components run at once; those that wait for a call back do not count.
        loop: Runs what is asynchronous.
        flush: Sees to it that answers that were put arrive.
    """

    def __init__(self, max_threads: int, loop: EventLoop, flush: Callable[[], None]) -> None:
        self._max_threads = max_threads
        self._loop = loop
        self._flush = flush
        self._lock = threading.Lock()
        self._n_running = 0
        self._backlog: deque[Job] = deque()
        self._idle: deque[_Worker] = deque()
        self._stopped = False

    def submit(self, invocation: Invocation, put: Put) -> None:
        """Has an invocation run, its answer to go to `put`; never waits."""
        if invocation.component.is_async:
            self._loop.submit(invocation, put)
            return
        job = (invocation, put)
        with self._lock:
            if self._n_running >= self._max_threads:
                self._backlog.append(job)
                return
            self._n_running += 1
        self._start(job)

    @contextlib.contextmanager
    def blocking(self) -> Generator[None, None, None]:
        """Is entered by a component's thread that waits for an answer: it gives up its place meanwhile."""
        job = self._next()
        if job is not None:
            self._start(job)
        try:
            yield
        finally:
            with self._lock:
                self._n_running += 1

    def stop(self) -> None:
        """Ends the threads that are idle, and the others once they are; does not wait."""
        self._stopped = True
        while self._idle:
            with contextlib.suppress(IndexError):
                self._wake(self._idle.pop(), None)

    def _start(self, job: Job) -> None:
        """Has a thread run a job that holds a place: an idle one, or a new one."""
        try:
            worker = self._idle.pop()
        except IndexError:
            worker = _Worker(job)
            thread = threading.Thread(
                target=self._work, args=(worker,), name="stepflow-worker", daemon=True
            )
            try:
                thread.start()
            except RuntimeError as error:
                self._refuse(job, error)
        else:
            self._wake(worker, job)

    def _wake(self, worker: _Worker, job: Job | None) -> None:
        worker.job = job
        worker.wake.release()

    def _refuse(self, job: Job, error: RuntimeError) -> None:
        """Answers a call for which the system gives no thread."""
        with self._lock:
            self._n_running -= 1
        invocation, put = job
        busy = StepflowError(ErrorCode.BUSY, f"no thread for this call: {error}")
        invocation.peer.answer(invocation, invocation.peer.error_frame(invocation.id, busy), put)
        self._flush()

    def _work(self, worker: _Worker) -> None:
        while (job := worker.job) is not None:
            while job is not None:
                self._run(*job)
                job = self._next()
                if job is not None:
                    self._flush()
            if self._stopped or len(self._idle) >= self._max_threads:
                self._flush()
                return
            worker.job = None
            self._idle.append(worker)
            if self._stopped:
                # It may have looked for idle threads before this was one.
                self.stop()
            # As late as can be: until it sleeps, this thread has the interpreter's lock, for which the loop would wait.
            self._flush()
            worker.wake.acquire()

    def _run(self, invocation: Invocation, put: Put) -> None:
        try:
            # One that was cancelled while it waited for its turn need not begin.
            frame = invocation.run() if invocation.cancelled is None else invocation.abandoned()
            if frame is None:
                self._loop.submit(invocation, put)
            else:
                invocation.peer.answer(invocation, frame, put)
        except BaseException:  # noqa: BLE001 - a mistake of the SDK's own costs one call, not a place for ever
            traceback.print_exc()

    def _next(self) -> Job | None:
        """Gives up this thread's place, or keeps it for the next call that waits for one."""
        with self._lock:
            if self._backlog:
                return self._backlog.popleft()
            self._n_running -= 1
            return None
