"""Where a component's prints go: to the log of its step, never to the wire.

Owns `sys.stdout` while a server runs. Knows invocations, not transports.
"""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING

from stepflow_sdk.invocation import current

if TYPE_CHECKING:
    from typing import TextIO

__all__ = ["StepOutput", "to_stderr"]


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


def to_stderr(text: str, stream: TextIO | None = None) -> None:
    """Writes one line to stderr, which the runtime keeps and shows; a closed stderr is nothing to die of."""
    try:
        print(text, file=stream or sys.stderr, flush=True)
    except (OSError, ValueError):
        return
