"""Many waits of one length.

Owns one timer for all of them: a timer of its own would cost each as much as all else that is done about it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["Deadlines"]

T = TypeVar("T")


class Deadlines(Generic[T]):
    """Tells who has waited for long; to be used on the loop only.

    Args:
        loop: Whose clock counts.
        seconds: How long each of them may wait.
        on_late: Called with each that did.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, seconds: float, on_late: Callable[[T], None]
    ) -> None:
        self._loop = loop
        self._seconds = seconds
        self._on_late = on_late
        self._ends: dict[T, float] = {}
        """Those that wait, and until when. All wait equally long, so the oldest one's time is over first."""
        self._is_timed = False

    def begin(self, it: T) -> None:
        """Counts from now; does not begin again for one that waits already."""
        end = self._ends.setdefault(it, self._loop.time() + self._seconds)
        if not self._is_timed:
            self._is_timed = True
            self._loop.call_at(end, self._look)

    def end(self, it: T) -> None:
        """Forgets one that need not wait any more."""
        self._ends.pop(it, None)

    def _look(self) -> None:
        now = self._loop.time()
        late = [it for it, end in self._ends.items() if end <= now]
        for it in late:
            # What was called before may have ended its wait.
            if self._ends.pop(it, None) is not None:
                self._on_late(it)
        # The timer is not ended with the last wait, but runs out: under load there is soon another one.
        self._is_timed = bool(self._ends)
        if self._is_timed:
            self._loop.call_at(next(iter(self._ends.values())), self._look)
