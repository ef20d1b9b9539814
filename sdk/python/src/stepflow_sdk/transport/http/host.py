"""What serves one app, beyond any one request: its threads, its sessions, the calls that run, and their end.

Owns their lives. Knows nothing of paths, headers and statuses.
"""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING

from stepflow_sdk.errors import CallCancelled, ErrorCode, NoBackChannel, PeerClosed
from stepflow_sdk.loop import EventLoop
from stepflow_sdk.output import PrintCapture
from stepflow_sdk.peer import Peer, uuid7
from stepflow_sdk.transport.http.body import Patience
from stepflow_sdk.transport.http.deadlines import Deadlines
from stepflow_sdk.transport.http.ending import Ending
from stepflow_sdk.transport.http.exchange import WATCH_AFTER, DirectLink, Exchange
from stepflow_sdk.transport.http.gate import Refused
from stepflow_sdk.transport.http.mailbox import Mailbox, Signal
from stepflow_sdk.transport.http.session import Session, Sessions
from stepflow_sdk.transport.workers import Workers

if TYPE_CHECKING:
    from starlette.types import Receive

    from stepflow_sdk.invocation import Invocation
    from stepflow_sdk.message import Id
    from stepflow_sdk.server import StepflowServer
    from stepflow_sdk.transport.http.options import HttpOptions

__all__ = ["BackChannel", "Host"]

_QUICK = 0.000_5
"""The loop waits this long for a component that took no longer the last time: nobody else notices."""

_LAST_WORDS = 1.0
"""Seconds that cancelled calls have to say so when the server ends."""


class Host:
    """Everything that lives as long as an app is served."""

    def __init__(self, server: StepflowServer, options: HttpOptions) -> None:
        self.server = server
        self.options = options
        self.is_draining = False
        """Set when the process was told to end: nothing new is begun."""
        self._without_session = server.router(handshake_required=False)
        self._with_session = server.router(handshake_required=True)
        self._is_hurried = False
        self._loop: asyncio.AbstractEventLoop | None = None

    # Its life

    def start(self) -> None:
        """Starts what serves, on the running loop; does nothing where it has."""
        loop = asyncio.get_running_loop()
        if loop is self._loop:
            return
        # Another loop than before: an app may be served again, as tests do.
        self.stop()
        self._loop = loop
        self.is_draining = self._is_hurried = False
        self.mailbox = Mailbox(loop)
        self._async_loop = EventLoop(self.mailbox.wake)
        threading.Thread(target=self._async_loop.run, name="stepflow-loop", daemon=True).start()
        self.workers = Workers(self.server.max_threads, self._async_loop, self.mailbox.wake)
        self.sessions = Sessions(self._new_session, self.options.limits, loop)
        self.patience = Patience(
            loop, self.options.limits.body_idle, lambda: self._busy(503, _ENDING)
        )
        self.watches = Deadlines[Exchange](loop, WATCH_AFTER, Exchange.watch)
        """The calls whose senders will be watched, if they last."""
        self.silences = Deadlines[Signal](loop, self.options.limits.keep_alive, Signal.give_up)
        """The streams whose writers wait for something to write."""
        self.open: dict[Exchange, Invocation] = {}
        """The calls that run or wait for their turn."""
        self.calls_back: dict[Id, BackChannel] = {}
        """Call backs outside of sessions that wait for their answers."""
        self._all_done = Signal()
        self._ending = Ending(self.drain, self._hurry)
        self._ending.install(loop)
        PrintCapture.begin()

    def stop(self) -> None:
        """Ends it; does not wait for components that are busy."""
        if self._loop is None:
            return
        self._loop = None
        self.sessions.end_all(_ENDING)
        self.patience.end()
        self.workers.stop()
        self._async_loop.stop()
        self._ending.uninstall()
        PrintCapture.end()

    async def drain(self) -> None:
        """Begins nothing new, lets calls finish or cancels them after the grace, and ends all streams and bodies."""
        self.is_draining = True
        await self._finished(self.options.limits.drain_grace, can_hurry=True)
        for exchange, invocation in list(self.open.items()):
            if exchange in self.open:
                invocation.peer.cancel(invocation.id, _ENDING)
        await self._finished(_LAST_WORDS)
        for exchange, invocation in list(self.open.items()):
            # It does not look whether it was cancelled. Its POST would keep the server from ending.
            exchange.settle(invocation.peer.error_frame(invocation.id, CallCancelled(_ENDING)))
        self.sessions.end_all(_ENDING)
        # Only now: what a call waited for may have been one of these bodies.
        self.patience.end()

    async def _finished(self, seconds: float, *, can_hurry: bool = False) -> None:
        """Waits until no call is open, or the time is over, or that does not matter any more."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while self.open and (left := end - loop.time()) > 0:
            await self._all_done.wait(left)
            if self._is_hurried and can_hurry:
                return

    def _hurry(self) -> None:
        self._is_hurried = True
        self._all_done.set()

    # Calls

    def admit_session(self) -> None:
        """Makes sure that one more session may begin.

        Raises:
            Refused: Not now.
        """
        if self.is_draining:
            raise self._busy(503, _ENDING)

    def admit_call(self) -> None:
        """Makes sure that one more call may begin.

        Raises:
            Refused: Not now.
        """
        self.admit_session()
        if len(self.open) >= self.options.limits.max_calls:
            raise self._busy(429, f"{len(self.open)} calls run or wait for their turn already")

    def begin(self, exchange: Exchange, invocation: Invocation) -> None:
        """Has a call run; the exchange gets its answer."""
        self.open[exchange] = invocation
        exchange.began = time.perf_counter()
        if invocation.component.settled:
            self.mailbox.linger(lambda: self.workers.submit(invocation, exchange.put), _QUICK)
        else:
            self.workers.submit(invocation, exchange.put)

    def exchange(self, session: Session | None, receive: Receive) -> Exchange:
        """Returns what will bring a call's answer to its POST, or to its session where the POST is gone."""

        def on_answer(undelivered: bytes | None) -> None:
            invocation = self.open.pop(exchange, None)
            if invocation is not None:
                took = time.perf_counter() - exchange.began
                invocation.component.settled = took < _QUICK
            if not self.open:
                self._all_done.set()
            if undelivered is not None and session is not None:
                session.push(undelivered)

        exchange = Exchange(self.mailbox, receive, on_answer)
        return exchange

    # Peers

    def direct_peer(self, exchange: Exchange, *, streams: bool) -> tuple[Peer, BackChannel | None]:
        """Returns a peer for one POST, and how answers to its call backs find it, where they can."""
        link = DirectLink(exchange, self.workers)
        if not streams:
            return Peer(self._without_session, link, _no_back_channel), None
        channel = BackChannel(self.calls_back)
        channel.peer = Peer(self._without_session, link, channel.new_id)
        return channel.peer, channel

    def _new_session(self) -> Session:
        limits, on_unread = self.options.limits, self.sessions.end_unread
        return Session(self._with_session, self.workers, self.mailbox, limits, on_unread)

    def _busy(self, status: int, reason: str) -> Refused:
        wait = self.options.limits.retry_after
        return Refused(
            status,
            ErrorCode.BUSY,
            f"{reason}: try again later, or elsewhere",
            headers=((b"retry-after", b"%d" % wait),),
            data={"retry_after_ms": wait * 1000},
        )


class BackChannel:
    """The call backs of one streamed POST, whose answers come by POSTs of their own."""

    peer: Peer

    def __init__(self, calls_back: dict[Id, BackChannel]) -> None:
        self._all = calls_back
        self._own: set[Id] = set()
        self._is_closed = False

    def new_id(self) -> Id:
        """Names a call back, so that its answer finds here; callable from any thread."""
        id = uuid7()
        self._own.add(id)
        self._all[id] = self
        if self._is_closed:
            self.forget(id)
            raise PeerClosed
        return id

    def forget(self, id: Id) -> None:
        """Notes that a call back has its answer."""
        self._all.pop(id, None)
        self._own.discard(id)

    def close(self) -> None:
        """Forgets all of them: the POST has its answer."""
        self._is_closed = True
        while self._own:
            self._all.pop(self._own.pop(), None)


_ENDING = "the server is ending"


def _no_back_channel() -> Id:
    raise NoBackChannel
