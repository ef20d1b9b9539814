"""The events of one session: those to be sent, and those sent last, for a runtime that lost its stream.

Owns their numbers and the bounds of what is kept. Knows nothing of connections.
"""

from __future__ import annotations

from stepflow_sdk.transport.http import sse

__all__ = ["EventLog"]

_MOST_AT_ONCE = 256 * 1024


class EventLog:
    """Numbers events and keeps them: all that were not sent, and a bounded number of those that were.

    Args:
        secret: What the ids of events begin with, so that nobody else can ask for them.
        max_events: How many sent events are kept.
        max_bytes: How many bytes of them.
    """

    def __init__(self, secret: str, max_events: int, max_bytes: int) -> None:
        self._secret = secret
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._events: dict[int, bytes] = {}
        self._first = 1
        self._n_bytes = 0
        self.last = 0
        """The number of the newest event."""
        self.sent = 0
        """The number of the newest event that was handed out."""
        self.n_unwritten_bytes = 0
        """How many bytes wait to be written: what was handed out last counts until its writer comes for more."""
        self._n_in_hand = 0

    @property
    def n_unsent(self) -> int:
        """How many events wait to be sent."""
        return self.last - self.sent

    def __len__(self) -> int:
        return len(self._events)

    def id_of(self, number: int) -> str:
        """Returns the id of an event."""
        return f"{self._secret}.{number}"

    def append(self, frame: bytes) -> None:
        """Adds a message."""
        self.last += 1
        event = sse.event(b"message", frame, self.id_of(self.last))
        self._events[self.last] = event
        self._n_bytes += len(event)
        self.n_unwritten_bytes += len(event)
        self._trim()

    def take(self) -> bytes:
        """Hands out what was not sent yet, as much as fits well into one write; empty where there is nothing."""
        self.n_unwritten_bytes -= self._n_in_hand
        events: list[bytes] = []
        size = 0
        while self.sent < self.last and size < _MOST_AT_ONCE:
            self.sent += 1
            events.append(self._events[self.sent])
            size += len(events[-1])
        self._n_in_hand = size
        self._trim()
        return b"".join(events)

    def rewind(self, number: int) -> bool:
        """Goes back to just after an event; returns whether everything since then is still there."""
        if not self._first - 1 <= number <= self.last:
            return False
        self.sent = min(self.sent, number)
        self._n_in_hand = 0
        waiting = range(self.sent + 1, self.last + 1)
        self.n_unwritten_bytes = sum(len(self._events[it]) for it in waiting)
        return True

    def clear(self) -> None:
        """Forgets all events: nobody will ask for them."""
        self._events.clear()
        self.sent, self._first = self.last, self.last + 1
        self._n_bytes = self.n_unwritten_bytes = self._n_in_hand = 0

    def _trim(self) -> None:
        while self._first <= self.sent and (
            len(self._events) > self._max_events or self._n_bytes > self._max_bytes
        ):
            self._n_bytes -= len(self._events.pop(self._first))
            self._first += 1
