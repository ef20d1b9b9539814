"""Serving over stdin and stdout.

Owns the process's standard descriptors while it serves: the protocol keeps private copies, and what is left behind
under the old numbers cannot reach the wire.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

from stepflow_sdk.invocation import current
from stepflow_sdk.loop import EventLoop
from stepflow_sdk.output import StepOutput, to_stderr
from stepflow_sdk.peer import Peer
from stepflow_sdk.transport.crew import DEFAULT_MAX_THREADS, Crew
from stepflow_sdk.transport.lines import LineReader, LineWriter

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from stepflow_sdk.router import Router

__all__ = ["Wire", "claim", "serve"]

_DRAIN_SECONDS = 0.25
"""How long calls may go on after the end of stdin: enough for those about to answer, and for `printf … | server`."""


class Wire:
    """The private copies of stdin and stdout."""

    def __init__(self, reads: int, writes: int) -> None:
        self.reads = reads
        self.writes = writes


_claimed: Wire | None = None


def claim() -> Wire:
    """Takes stdin and stdout for the protocol, once; done before a user's module is imported.

    Afterwards descriptor 0 is empty and descriptor 1 is stderr, so that prints, C code and subprocesses are harmless.
    """
    global _claimed  # noqa: PLW0603 - a process has one stdin and one stdout
    if _claimed is not None:
        return _claimed
    if sys.stdin is not None and sys.stdin.isatty():
        to_stderr(
            "stepflow_sdk: serving JSON-RPC on stdin and stdout, one message a line. A Stepflow runtime usually "
            "starts this; Ctrl-D ends it, and --help tells more."
        )
    # Numbers 0 to 2 that were closed at the start are taken first, so that no copy lands on one of them.
    while (nothing := os.open(os.devnull, os.O_RDWR)) <= 2:
        continue
    # dup gives copies that subprocesses do not inherit.
    wire = Wire(os.dup(0), os.dup(1))
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    os.close(nothing)
    if sys.stdout is not None:
        # What was printed before but not written yet goes to stderr with the rest.
        sys.stdout.flush()
    sys.stdout = StepOutput(1)
    os.register_at_fork(after_in_child=_leave_wire_to_parent)
    _claimed = wire
    return wire


def _leave_wire_to_parent() -> None:
    """In a forked child (multiprocessing): the parent speaks, the child's prints go to stderr."""
    current.set(None)
    if _claimed is None:
        return
    nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    os.dup2(nothing, _claimed.reads, inheritable=False)
    os.dup2(nothing, _claimed.writes, inheritable=False)
    os.close(nothing)


class _StdioLink:
    """A peer's link over a writer and a crew."""

    def __init__(self, writer: LineWriter, crew: Crew) -> None:
        self.post = writer.post
        self.send = writer.send
        self._crew = crew

    def blocking(self) -> AbstractContextManager[None]:
        """Gives up the calling thread's place while it waits."""
        return self._crew.blocking()


def serve(
    router: Router, *, max_message_bytes: int, max_threads: int = DEFAULT_MAX_THREADS
) -> NoReturn:
    """Serves the runtime at the other end of stdin and stdout, then ends the process.

    It ends when stdin does, whatever components are doing then: the runtime is gone, and so is everyone who could
    want their results.
    """
    wire = claim()
    if threading.current_thread() is threading.main_thread():
        # Ctrl-C ends the server, and is no exception inside whichever component happens to run.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    writer = LineWriter(wire.writes, on_broken=lambda: _exit(0))
    loop = EventLoop(writer.flush)

    def on_oversized(size: int, head: bytes, tail: bytes) -> None:
        if not peer.discard(size, max_message_bytes, head, tail):
            to_stderr(
                f"stepflow_sdk: a message of {size} bytes is over the limit of {max_message_bytes} and has no id that "
                f"could be answered; ending, so that nobody waits for it"
            )
            _exit(1)

    def on_end(code: int) -> None:
        peer.close()
        _within(_DRAIN_SECONDS, lambda: (peer.wait_drained(_DRAIN_SECONDS), writer.flush()))
        _exit(code)

    crew = Crew(
        LineReader(wire.reads, max_message_bytes, on_oversized), writer, loop, on_end, max_threads
    )
    peer = Peer(router, _StdioLink(writer, crew))
    crew.start(peer)
    loop.run()
    raise AssertionError("this loop runs until the process ends: nobody stops it")


def _within(seconds: float, act: Callable[[], object]) -> None:
    """Does something that may never come to its end, such as writing to someone who does not read."""
    thread = threading.Thread(target=act, name="stepflow-end", daemon=True)
    thread.start()
    thread.join(seconds)


def _exit(code: int) -> NoReturn:
    """Ends the process at once: threads of components and their exit handlers cannot keep it."""
    _within(_DRAIN_SECONDS, _flush_streams)
    os._exit(code)


def _flush_streams() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            continue
