"""The threads that serve one link: a leader that reads, and followers.

Owns who reads and where plain components run. Knows peers and invocations, not bytes: batches of frames come from a
source, answers go to a writer.

**The scheme.** The leader reads a batch of frames and works through it. A component that was quick the last time it
runs itself, between two frames, and its answer goes out with the batch: no thread is woken for it. Any other one it
runs as well, but hands the lead to a follower first. So a quick call costs no switch, and a slow one holds up nobody.

**The baton.** Before the leader does anything that may take long after all, it puts the baton down. The watch, a thread
that looks once a millisecond while there is work and sleeps otherwise, picks the baton up when the same thing takes
until its next look, and gives the lead to a follower; the former leader finds the baton gone and becomes a follower.
A baton belongs to nobody: whoever comes back from something long picks up the one that lies there, whose it ever was,
and leads. So there is always exactly one thread that leads, or one baton to be picked up; and what a leader knows of
the frames that wait it has to look up again after it has put the baton down.
"""

from __future__ import annotations

import contextlib
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from stepflow_sdk.invocation import Invocation
    from stepflow_sdk.loop import EventLoop
    from stepflow_sdk.peer import Peer
    from stepflow_sdk.transport.lines import LineWriter

__all__ = ["DEFAULT_MAX_THREADS", "Crew", "Source"]

DEFAULT_MAX_THREADS = 64
"""How many plain components run at once; those that wait for a call back do not count."""

_QUICK = 0.000_25
"""A component that took at most this many seconds runs on the leader the next time."""

_LATEST_FLUSH = 0.001
"""An answer waits at most this many seconds for others to be written together with it."""

_LOOK = 0.001
"""How often the watch looks, in seconds."""

_QUIET_LOOKS = 50
"""After how many looks without any work the watch goes to sleep."""


class Source(Protocol):
    """Where frames come from."""

    def read(self) -> list[bytes] | None:
        """Waits and returns the next frames; None at the end."""
        ...


class _Follower:
    """A thread that waits for something to do; `None` as its task means the lead."""

    __slots__ = ("task", "wake")

    def __init__(self) -> None:
        self.wake = threading.Lock()
        self.wake.acquire()
        self.task: Invocation | None = None


class Crew:
    """Serves a peer from a source until its end.

    Args:
        source: Frames to read.
        writer: Where answers go.
        loop: Runs what is asynchronous.
        on_end: Called with 0 when the source has ended, with 1 when the crew itself broke; ends the process.
        max_threads: How many plain components run at once.
    """

    def __init__(
        self,
        source: Source,
        writer: LineWriter,
        loop: EventLoop,
        on_end: Callable[[int], None],
        max_threads: int = DEFAULT_MAX_THREADS,
    ) -> None:
        self._source = source
        self._writer = writer
        self._loop = loop
        self._on_end = on_end
        self._max_threads = max_threads
        self._frames: deque[bytes] = deque()
        self._followers: deque[_Follower] = deque()
        self._slots = threading.Lock()
        self._n_running = 0
        self._backlog: deque[Invocation] = deque()
        self._baton: deque[Invocation | None] = deque()
        self._n_put_down = 0
        self._watching = False
        self._alarm = threading.Event()
        self._flushed_at = 0.0

    def start(self, peer: Peer) -> None:
        """Starts serving, in threads of its own."""
        self._peer = peer
        _spawn(self._watch, "stepflow-watch")
        self._pass_lead()

    @contextlib.contextmanager
    def blocking(self) -> Generator[None, None, None]:
        """Is entered by a component's thread that waits for an answer: it gives up its place, and the lead."""
        self._pick_up_baton()
        with self._slots:
            waiting = self._backlog.popleft() if self._backlog else None
            if waiting is None:
                self._n_running -= 1
        if waiting is not None and not self._give(waiting):
            with self._slots:
                self._n_running -= 1
                self._backlog.appendleft(waiting)
        try:
            yield
        finally:
            with self._slots:
                self._n_running += 1

    # Followers

    def _pass_lead(self) -> bool:
        return self._give(None)

    def _give(self, task: Invocation | None) -> bool:
        """Has a follower do something: an idle one, or a new one; False where the system gives no more threads."""
        try:
            follower = self._followers.pop()
        except IndexError:
            follower = _Follower()
            follower.task = task
            try:
                _spawn(lambda: self._serve_as(follower), "stepflow-worker")
            except RuntimeError:
                return False
        else:
            follower.task = task
            follower.wake.release()
        return True

    def _serve_as(self, follower: _Follower) -> None:
        try:
            self._follow(follower)
        except BaseException:  # noqa: BLE001 - a server without a leader would look alive and answer nobody
            traceback.print_exc()
            self._on_end(1)

    def _follow(self, follower: _Follower) -> None:
        while True:
            if follower.task is None:
                self._lead()
            else:
                self._run_counted(follower.task)
            while (task := self._next_of_backlog()) is not None:
                self._run_counted(task)
            follower.task = None
            if len(self._followers) >= self._max_threads:
                return
            self._followers.append(follower)
            follower.wake.acquire()

    def _run_counted(self, invocation: Invocation) -> None:
        """Runs a component that holds a place, in a thread that is free to wait."""
        started = time.perf_counter()
        frame = invocation.run()
        invocation.component.settled = time.perf_counter() - started < _QUICK
        if frame is None:
            self._loop.submit(invocation, self._writer.post)
        else:
            self._peer.answer(invocation, frame, self._writer.send)

    def _next_of_backlog(self) -> Invocation | None:
        """Gives up this thread's place, or keeps it for the next call that waits for one."""
        with self._slots:
            if self._backlog:
                return self._backlog.popleft()
            self._n_running -= 1
            return None

    # The lead

    def _lead(self) -> None:
        """Reads and serves until the lead has passed to another thread; leaves holding a place."""
        frames = self._frames
        while True:
            while frames:
                invocation = self._peer.receive(frames.popleft())
                if invocation is not None and not self._serve(invocation):
                    return
            if not self._flushed():
                return
            if frames:
                # While this thread wrote, others led and read; the baton it picked up may be theirs.
                continue
            batch = self._source.read()
            if batch is None:
                self._on_end(0)
                return
            frames.extend(batch)

    def _serve(self, invocation: Invocation) -> bool:
        """Runs a component or sees to its running; returns whether this thread still leads."""
        if invocation.component.is_async:
            self._loop.submit(invocation, self._writer.post)
            return True
        if self._n_running >= self._max_threads:
            with self._slots:
                if self._n_running >= self._max_threads:
                    self._backlog.append(invocation)
                    return True
        if invocation.component.settled:
            return self._run_leading(invocation)
        with self._slots:
            self._n_running += 1
        if not self._pass_lead():
            with self._slots:
                self._n_running -= 1
            return self._run_leading(invocation)
        self._writer.flush()
        self._run_counted(invocation)
        return False

    def _run_leading(self, invocation: Invocation) -> bool:
        self._put_down_baton(invocation)
        started = time.perf_counter()
        frame = invocation.run()
        elapsed = time.perf_counter() - started
        invocation.component.settled = elapsed < _QUICK
        if frame is None:
            self._loop.submit(invocation, self._writer.post)
        try:
            self._baton.pop()
        except IndexError:
            if frame is not None:
                self._peer.answer(invocation, frame, self._writer.send)
            return False
        if frame is not None:
            self._peer.answer(invocation, frame, self._writer.post)
        if self._frames and started + elapsed - self._flushed_at > _LATEST_FLUSH:
            return self._flushed()
        return True

    def _flushed(self) -> bool:
        """Writes the batch's answers; returns whether this thread still leads."""
        self._put_down_baton(None)
        self._writer.flush()
        self._flushed_at = time.perf_counter()
        try:
            self._baton.pop()
        except IndexError:
            return False
        return True

    # The baton

    def _put_down_baton(self, invocation: Invocation | None) -> None:
        self._n_put_down += 1
        self._baton.append(invocation)
        if not self._watching:
            self._watching = True
            self._alarm.set()

    def _pick_up_baton(self) -> None:
        """Takes the lead from a leader that is busy, if there is one, and gives it to a follower."""
        try:
            invocation = self._baton.pop()
        except IndexError:
            return
        if invocation is not None:
            invocation.component.settled = False
        # The thread that put it down goes on as a follower and holds a place from now on.
        with self._slots:
            self._n_running += 1
        if not self._pass_lead():
            # The busy leader has to stay the leader; the watch will try again.
            with self._slots:
                self._n_running -= 1
            self._baton.append(invocation)

    def _watch(self) -> None:
        while True:
            self._alarm.wait()
            self._alarm.clear()
            n_quiet = 0
            seen = -1
            while n_quiet < _QUIET_LOOKS:
                time.sleep(_LOOK)
                now = self._n_put_down
                n_quiet = n_quiet + 1 if now == seen else 0
                if now == seen and self._baton:
                    self._pick_up_baton()
                seen = now
            self._watching = False
            if self._baton:
                # Put down between the last look and the line above, whose owner still believed in the watch.
                self._watching = True
                self._alarm.set()


def _spawn(run: Callable[[], None], name: str) -> None:
    threading.Thread(target=run, name=name, daemon=True).start()
