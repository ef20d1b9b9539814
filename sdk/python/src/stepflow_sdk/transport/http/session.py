"""Sessions: one runtime's peer each, the stream of events to it, and the end of all that at once.

Owns who has a session and for how long. Knows nothing of requests, but hands frames to a stream's writer.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING

from stepflow_sdk.errors import ErrorCode
from stepflow_sdk.peer import Peer
from stepflow_sdk.transport.http.gate import Refused
from stepflow_sdk.transport.http.mailbox import Mailbox, Signal
from stepflow_sdk.transport.http.replay import EventLog

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from stepflow_sdk.router import Router
    from stepflow_sdk.transport.http.options import HttpLimits
    from stepflow_sdk.transport.workers import Workers

__all__ = ["MAX_UNREAD_FRAMES", "Session", "Sessions", "Stream"]

MAX_UNREAD_FRAMES = 4096
"""How many frames may wait before those that may be lost are."""


class Stream:
    """One connection that carries a session's events; the newest one counts."""

    def __init__(self) -> None:
        self.signal = Signal()
        self.is_closed = False

    def close(self) -> None:
        """Has its writer come to an end."""
        self.is_closed = True
        self.signal.set()


class Session:
    """What there is of one runtime; used on the loop, but for `send`.

    Args:
        router: The methods it has.
        workers: The threads its components run in.
        mailbox: The way to its loop.
        limits: How much is kept for it.
        on_unread: Called when more waits to be written than may.
    """

    def __init__(
        self,
        router: Router,
        workers: Workers,
        mailbox: Mailbox,
        limits: HttpLimits,
        on_unread: Callable[[Session], None],
    ) -> None:
        self.id = secrets.token_urlsafe(24)
        """What the endpoint carries; whoever knows it is the session's runtime."""
        self.secret = secrets.token_urlsafe(18)
        """What the ids of its events begin with; whoever knows it may resume."""
        self.endpoint = b""
        """The `endpoint` event's data; the same whenever the stream is resumed."""
        self.events = EventLog(self.secret, limits.replay_events, limits.replay_bytes)
        self.peer = Peer(router, self)
        self.used = 0.0
        """When it was used last, by the loop's clock."""
        self.stream: Stream | None = None
        self.timer: asyncio.TimerHandle | None = None
        """Ends it: after the grace where it has no stream, else when it was idle for long."""
        self.is_ended = False
        self._mailbox = mailbox
        self._workers = workers
        self._max_unwritten_bytes = limits.unwritten_bytes
        self._on_unread = on_unread

    # Its peer's link

    def post(self, frame: bytes) -> None:
        """Sends a frame as an event."""
        self.send(frame)

    def send(self, frame: bytes, *, droppable: bool = False) -> None:
        """Sends a frame as an event; callable from any thread."""
        if droppable and len(self._mailbox) + self.events.n_unsent >= MAX_UNREAD_FRAMES:
            return
        self._mailbox.post(self.push, frame)

    def blocking(self) -> AbstractContextManager[None]:
        """Gives up the calling thread's place while it waits."""
        return self._workers.blocking()

    # Its events

    def push(self, frame: bytes) -> None:
        """Adds an event and wakes the stream's writer; more than may wait is the end of the session."""
        if self.is_ended:
            return
        self.events.append(frame)
        if self.events.n_unwritten_bytes > self._max_unwritten_bytes:
            self._on_unread(self)
        elif self.stream is not None:
            self.stream.signal.set()


class Sessions:
    """All sessions of a server, by their ids and by what their events' ids begin with."""

    def __init__(
        self, make: Callable[[], Session], limits: HttpLimits, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._make = make
        self._limits = limits
        self._loop = loop
        self._by_id: dict[str, Session] = {}
        self._by_secret: dict[str, Session] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def open(self) -> Session:
        """Returns a new session.

        Raises:
            Refused: There are too many.
        """
        if len(self) >= self._limits.max_sessions:
            self._make_room()
        session = self._make()
        self._by_id[session.id] = session
        self._by_secret[session.secret] = session
        return session

    def find(self, id: bytes) -> Session:
        """Returns a session for a request to its endpoint.

        Raises:
            Refused: There is none, or none any more.
        """
        session = self._by_id.get(id.decode("latin-1"))
        if session is None:
            raise _no_session()
        session.used = self._loop.time()
        return session

    def check(self, session: Session) -> None:
        """Makes sure that a session is still there.

        Raises:
            Refused: It has ended.
        """
        if session.is_ended:
            raise _no_session()

    def resumed(self, last_event_id: str) -> Session | None:
        """Returns the session whose stream an event id continues, None where a new one is due."""
        secret, _, number = last_event_id.rpartition(".")
        session = self._by_secret.get(secret)
        if session is None:
            return None
        if number.isascii() and number.isdigit() and session.events.rewind(int(number[:18])):
            return session
        # Some of what was missed is gone, so the session cannot go on, and its runtime knows no other way to it.
        self.end(session, "events that its runtime missed are no longer kept")
        return None

    def attach(self, session: Session) -> Stream:
        """Gives a session its stream; one it had before ends."""
        if session.stream is not None:
            session.stream.close()
        session.stream = stream = Stream()
        session.used = self._loop.time()
        self._end_after(self._limits.idle_timeout, session, self._end_if_idle)
        return stream

    def detach(self, session: Session, stream: Stream) -> None:
        """Notes that a stream is gone; its session waits a while for another."""
        if session.stream is stream and not session.is_ended:
            session.stream = None
            self._end_after(self._limits.session_grace, session, self._end_abandoned)

    def end(self, session: Session, reason: str) -> None:
        """Ends a session: all there is of it goes together, and its calls are cancelled."""
        if session.is_ended:
            return
        session.is_ended = True
        del self._by_id[session.id], self._by_secret[session.secret]
        if session.timer is not None:
            session.timer.cancel()
        session.peer.cancel_all(f"its session ended: {reason}")
        session.peer.close()
        # A call that goes on all the same, or a writer whose reader does not read, would keep them.
        session.events.clear()
        if session.stream is not None:
            session.stream.close()

    def end_unread(self, session: Session) -> None:
        """Ends a session whose runtime reads too little of what it is sent."""
        limit = self._limits.unwritten_bytes
        self.end(session, f"its runtime left more than {limit} bytes of its stream unread")

    def end_all(self, reason: str) -> None:
        """Ends every session."""
        for session in list(self._by_id.values()):
            self.end(session, reason)

    def _make_room(self) -> None:
        """Ends the oldest session that nobody listens to and that does nothing."""
        for session in self._by_id.values():
            if session.stream is None and session.peer.n_running == 0:
                self.end(session, "there were too many")
                return
        wait = self._limits.retry_after
        raise Refused(
            503,
            ErrorCode.BUSY,
            f"there are {len(self)} sessions, and no more are served at once",
            headers=((b"retry-after", b"%d" % wait),),
            data={"retry_after_ms": wait * 1000},
        )

    def _end_after(self, seconds: float, session: Session, end: Callable[[Session], None]) -> None:
        if session.timer is not None:
            session.timer.cancel()
        session.timer = self._loop.call_later(seconds, end, session)

    def _end_abandoned(self, session: Session) -> None:
        self.end(session, "its runtime did not come back")

    def _end_if_idle(self, session: Session) -> None:
        left = session.used + self._limits.idle_timeout - self._loop.time()
        if session.peer.n_running or left > 0:
            wait = self._limits.idle_timeout if session.peer.n_running else left
            self._end_after(wait, session, self._end_if_idle)
        else:
            self.end(session, "it was idle")


def _no_session() -> Refused:
    return Refused(
        404,
        ErrorCode.SESSION_EXPIRED,
        "there is no such session, or not any more: open one with GET …/runtime/events",
    )
