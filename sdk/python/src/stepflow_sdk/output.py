"""Where a component's prints go: to the log of its step, never to the wire.

Owns `sys.stdout` while a server runs. Knows invocations, not transports.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

from stepflow_sdk.invocation import current

if TYPE_CHECKING:
    from typing import TextIO

__all__ = ["PrintCapture", "StepOutput", "to_stderr"]


class StepOutput(io.TextIOWrapper):
    """A `sys.stdout` that hands what a component prints to its invocation, and everything else to file descriptor 1.

    By then descriptor 1 is stderr, so `sys.stdout.buffer`, C code and subprocesses are safe too.
    """

    def __init__(self, descriptor: int) -> None:
        raw = os.fdopen(descriptor, "wb", closefd=False)
        super().__init__(raw, encoding="utf-8", errors="backslashreplace", line_buffering=True)

    def write(self, text: str, /) -> int:
        """Takes a text; that of a running component becomes logs where the runtime accepts them."""
        invocation = current.get()
        if invocation is None or not invocation.accepts("log"):
            return super().write(text)
        invocation.print(text)
        return len(text)


class StepPrints:
    """A `sys.stdout` in front of another one: what a component prints becomes logs where the runtime accepts them."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str, /) -> int:
        """Takes a text."""
        invocation = current.get()
        if invocation is None or not invocation.accepts("log"):
            return self.stream.write(text)
        invocation.print(text)
        return len(text)

    def writelines(self, lines: Iterable[str], /) -> None:
        """Takes several texts."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


class PrintCapture:
    """Puts `StepPrints` before `sys.stdout` for as long as anything serves in this process."""

    _n_users = 0

    @classmethod
    def begin(cls) -> None:
        """Begins, where it has not."""
        cls._n_users += 1
        if not isinstance(sys.stdout, StepPrints):
            sys.stdout = cast("TextIO", StepPrints(sys.stdout))

    @classmethod
    def end(cls) -> None:
        """Ends with its last user; a stdout that somebody else has put there since stays."""
        cls._n_users -= 1
        if cls._n_users == 0 and isinstance(sys.stdout, StepPrints):
            sys.stdout = sys.stdout.stream


def to_stderr(text: str, stream: TextIO | None = None) -> None:
    """Writes one line to stderr, which the runtime keeps and shows; a closed stderr is nothing to die of."""
    try:
        print(text, file=stream or sys.stderr, flush=True)
    except (OSError, ValueError):
        return
