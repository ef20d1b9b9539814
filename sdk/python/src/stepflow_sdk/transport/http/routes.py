"""The protocol's paths: from a request to a status, a body or a stream.

Owns what HTTP says about messages. Everything that outlives a request is the host's.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import msgspec

from stepflow_sdk import message, protocol
from stepflow_sdk.errors import ErrorCode, StepflowError
from stepflow_sdk.message import Envelope, Id, Malformed, RpcError
from stepflow_sdk.output import to_stderr
from stepflow_sdk.transport.http import body, sse
from stepflow_sdk.transport.http.exchange import Exchange, wait_for_disconnect
from stepflow_sdk.transport.http.gate import Gate, Head, Refused
from stepflow_sdk.udf import Udf

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from stepflow_sdk.invocation import Invocation
    from stepflow_sdk.transport.http.host import Host
    from stepflow_sdk.transport.http.session import Session

__all__ = ["Routes"]

_JSON = (b"content-type", b"application/json; charset=utf-8")
_CLOSE = (b"connection", b"close")
_METHODS = {"": b"POST, DELETE", "/runtime/events": b"GET", "/health": b"GET, HEAD"}


class Routes:
    """An ASGI application of the protocol's paths."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._gate = Gate(host.options)
        self._instance = (b"stepflow-instance-id", host.options.instance_id.encode())
        self._has_warned = False

    def path_of(self, scope: Scope) -> str | None:
        """Returns which of the protocol's paths a request is for, without the slash at its end; None for none."""
        path: str = scope["path"]
        if path == "/":
            return ""
        for root in (scope.get("root_path", ""), self._host.options.root_path):
            if root and (path == root or path.startswith(root + "/")):
                path = path[len(root) :]
        path = path.removesuffix("/")
        return path if path in _METHODS else None

    async def serve(self, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves a request for one of the protocol's paths."""
        self._host.start()
        head = Head(scope)
        try:
            self._gate.check_source(head)
            match path, scope["method"]:
                case "", "POST":
                    await self._post(head, receive, send)
                case "", "DELETE":
                    await self._delete(head, send)
                case "/runtime/events", "GET":
                    await self._events(scope, head, receive, send)
                case "/health", "GET" | "HEAD":
                    await self._health(send)
                case _, method:
                    raise _wrong_method(method, _METHODS[path])
        except Refused as refusal:
            await self._refuse_unread(refusal, scope, head, receive, send)

    async def not_found(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request for a path that nobody serves."""
        self._host.start()
        root = self._root(scope)
        problem = (
            f"nothing is served here: messages go to {root}/, events come from {root}/runtime/events; "
            f"a proxy's prefix is named by root_path or --root-path"
        )
        refusal = Refused(404, ErrorCode.INVALID_REQUEST, problem)
        await self._refuse_unread(refusal, scope, Head(scope), receive, send)

    async def _refuse_unread(
        self, refusal: Refused, scope: Scope, head: Head, receive: Receive, send: Send
    ) -> None:
        """Refuses a request for its head alone; what comes of its body tells its id, unless it is not even to come."""
        id, is_whole = None, True
        if _waits_to_be_asked(head):
            # A look at the body would ask for it. What its sender does now is up to it, so the connection ends.
            is_whole = False
        elif scope["method"] == "POST":
            id, is_whole = await body.skip(receive, self._host.patience)
        await _refuse(send, refusal, id, closes=not is_whole)

    # Small ones

    async def _health(self, send: Send) -> None:
        if self._host.is_draining:
            await _send_json(send, 503, b'{"status":"draining"}')
        else:
            await _send_json(send, 200, b'{"status":"ok"}')

    async def _delete(self, head: Head, send: Send) -> None:
        self._check(head)
        if head.session_id is None:
            raise Refused(
                400, ErrorCode.INVALID_REQUEST, "name the session to end, as its endpoint does"
            )
        session = self._host.sessions.find(head.session_id)
        self._host.sessions.end(session, "its runtime ended it")
        await _send_accepted(send)

    # Messages

    async def _post(self, head: Head, receive: Receive, send: Send) -> None:
        self._check(head)
        self._gate.check_form(head)
        sessions = self._host.sessions
        session = sessions.find(head.session_id) if head.session_id is not None else None
        limit = self._host.server.max_message_bytes
        if _waits_to_be_asked(head) and (length := head.headers.get(b"content-length", b"")):
            _check_length(length, limit)
        try:
            data = await body.read(receive, limit, self._host.patience)
        except Refused as refusal:
            id = refusal.id if isinstance(refusal, body.TooLarge) else None
            await _refuse(send, refusal, id, closes=True)
            return
        if data is None:
            return
        envelope = message.decode(data)
        try:
            if session is not None:
                # It may have ended while the body came.
                sessions.check(session)
            if isinstance(envelope, Malformed):
                self._take_malformed(envelope, session)
            elif envelope.method is None:
                self._take_answer(envelope, session)
            elif envelope.id is not None:
                await self._request(envelope, head, session, receive, send)
                return
            elif session is not None:
                session.peer.take(envelope, _nobody)
        except Refused as refusal:
            await _refuse(send, refusal, envelope.id)
            return
        await _send_accepted(send)

    def _take_malformed(self, envelope: Malformed, session: Session | None) -> None:
        """Fails whoever waits for such an answer, and tells its sender."""
        self._take_answer(envelope, session)
        code = ErrorCode.INVALID_REQUEST if envelope.is_json else ErrorCode.PARSE
        raise Refused(400, code, f"not a valid message: {envelope.reason}")

    def _take_answer(self, envelope: Envelope | Malformed, session: Session | None) -> None:
        """Hands an answer to the call back that waits for it; one that comes late is nobody's."""
        peer = session.peer if session is not None else None
        if session is None and envelope.id is not None:
            channel = self._host.calls_back.get(envelope.id)
            if channel is not None:
                channel.forget(envelope.id)
                peer = channel.peer
        if peer is not None:
            peer.take(envelope, _nobody)
        if isinstance(envelope, Envelope) and not (bytes(envelope.result) or bytes(envelope.error)):
            problem = "not a valid message: it has neither method, result nor error"
            raise Refused(400, ErrorCode.INVALID_REQUEST, problem)

    async def _request(
        self, envelope: Envelope, head: Head, session: Session | None, receive: Receive, send: Send
    ) -> None:
        if envelope.method == protocol.COMPONENTS_EXECUTE:
            self._host.admit_call()
        exchange = self._host.exchange(session, receive)
        streams = session is None and head.streams()
        channel = None
        if session is not None:
            peer = session.peer
        else:
            peer, channel = self._host.direct_peer(exchange, streams=streams)
        answers: list[bytes] = []
        invocation = peer.take(envelope, answers.append)
        if invocation is not None and (refusal := self._refused_udf(invocation, head)) is not None:
            peer.answer(invocation, peer.error_frame(invocation.id, refusal), answers.append)
        if answers or invocation is None:
            await _send_json(send, 200, answers[0])
            return
        if session is None and not streams:
            # Whatever the runtime understands, there is no way to tell it.
            invocation.params.capabilities = {}
        self._host.begin(exchange, invocation)
        if exchange.answer is None:
            self._host.watches.begin(exchange)
        try:
            await self._answer(exchange, send)
        finally:
            self._host.watches.end(exchange)
            exchange.unwatch()
            if session is None:
                if exchange.answer is None:
                    peer.cancel(invocation.id, "its caller left")
                if channel is not None:
                    channel.close()
                peer.close()
            elif exchange.answer is None:
                exchange.leave()

    async def _answer(self, exchange: Exchange, send: Send) -> None:
        """Answers a POST: with JSON, or with a stream where something else comes before the answer."""
        while exchange.answer is None and not exchange.told and not exchange.has_left:
            await exchange.news()
        if exchange.told:
            await self._stream(exchange, send)
        elif exchange.answer is not None and not exchange.has_left:
            await _send_json(send, 200, exchange.answer)

    async def _stream(self, exchange: Exchange, send: Send) -> None:
        await _send_start(send, 200, [*sse.HEADERS, self._instance])
        while not exchange.has_left:
            events = [
                sse.event(b"message", exchange.told.popleft()) for _ in range(len(exchange.told))
            ]
            if exchange.answer is not None:
                events.append(sse.event(b"message", exchange.answer))
                await _send_body(send, b"".join(events))
                return
            if events:
                await _send_body(send, b"".join(events), more=True)
            elif not await exchange.news(self._host.silences):
                await _send_body(send, sse.KEEP_ALIVE, more=True)

    # Sessions

    async def _events(self, scope: Scope, head: Head, receive: Receive, send: Send) -> None:
        self._check(head)
        self._gate.check_stream(head)
        sessions = self._host.sessions
        last_event_id = head.headers.get(b"last-event-id", b"").decode("latin-1")
        session = sessions.resumed(last_event_id) if last_event_id else None
        if session is None:
            self._host.admit_session()
            session = sessions.open()
            session.endpoint = self._endpoint(scope, session.id)
        stream = sessions.attach(session)
        events = session.events
        watch = asyncio.ensure_future(wait_for_disconnect(receive, stream.close))
        try:
            await _send_start(send, 200, [*sse.HEADERS, self._instance])
            # Its id is where the runtime stands, so that losing this stream too would lose nothing.
            id = events.id_of(events.sent)
            await _send_body(send, sse.event(b"endpoint", session.endpoint, id), more=True)
            while not stream.is_closed:
                chunk = events.take()
                if chunk:
                    await _send_body(send, chunk, more=True)
                elif not await stream.signal.wait_beside(self._host.silences):
                    await _send_body(send, sse.KEEP_ALIVE, more=True)
            await _send_body(send, b"")
        finally:
            watch.cancel()
            sessions.detach(session, stream)

    def _endpoint(self, scope: Scope, id: str) -> bytes:
        root = self._host.options.advertise_url or self._root(scope)
        endpoint = f"{root}/?sessionId={id}{self._host.options.endpoint_suffix}"
        return msgspec.json.encode({"endpoint": endpoint})

    def _root(self, scope: Scope) -> str:
        root: str = self._host.options.root_path or scope.get("root_path", "")
        return root.rstrip("/")

    # Who is let in

    def _check(self, head: Head) -> None:
        self._gate.check_token(head)
        self._gate.check_instance(head)
        if self._gate.is_open and not self._has_warned and head.is_exposed():
            self._has_warned = True
            to_stderr(
                "stepflow_sdk: WARNING: this server is reachable from other machines and asks for no token, so "
                "everyone there can run its components. Give it one: create_http_app(token=…), --token-file or "
                "STEPFLOW_TOKEN."
            )

    def _refused_udf(self, invocation: Invocation, head: Head) -> StepflowError | None:
        """Refuses to run anybody's code: /udf, on the network, without a token."""
        if not isinstance(invocation.component.function, Udf):
            return None
        if not self._gate.is_open or self._host.options.allow_udf or not head.is_exposed():
            return None
        return StepflowError(
            ErrorCode.PERMISSION_DENIED,
            f"{invocation.component.path} runs whatever code it is given, and this server asks for no token: give it "
            f"one, or allow this with --allow-udf or create_http_app(allow_udf=True)",
        )


def _nobody(_frame: bytes) -> None:
    """Takes answers to what is no request."""


def _waits_to_be_asked(head: Head) -> bool:
    """Tells whether a body comes only once the server asks for it, which it does by looking for it."""
    return head.headers.get(b"expect", b"").lower() == b"100-continue"


def _check_length(length: bytes, limit: int) -> None:
    if length.isdigit() and (size := int(length[:18])) > limit:
        raise body.TooLarge(size, limit, None)


def _wrong_method(method: str, allowed: bytes) -> Refused:
    return Refused(
        405,
        ErrorCode.INVALID_REQUEST,
        f"{method} is not served here, but {allowed.decode()}",
        headers=((b"allow", allowed),),
    )


async def _refuse(send: Send, refusal: Refused, id: Id | None, *, closes: bool = False) -> None:
    """Says why a request is not served; the connection ends where the rest of a body would stand in its way."""
    error = RpcError(int(refusal.code), refusal.message, refusal.data)
    headers = (*refusal.headers, _CLOSE) if closes else refusal.headers
    await _send_json(send, refusal.status, message.error_frame(id, error), headers)


async def _send_json(
    send: Send, status: int, text: bytes, headers: tuple[tuple[bytes, bytes], ...] = ()
) -> None:
    length = (b"content-length", b"%d" % len(text))
    start = {"type": "http.response.start", "status": status, "headers": [_JSON, length, *headers]}
    try:
        await send(start)
        await send({"type": "http.response.body", "body": text})
    except OSError:
        # Whoever is gone is noticed by who waits for it to go.
        return


async def _send_accepted(send: Send) -> None:
    await _send_start(send, 202, [(b"content-length", b"0")])
    await _send_body(send, b"")


async def _send_start(send: Send, status: int, headers: list[tuple[bytes, bytes]]) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def _send_body(send: Send, data: bytes, *, more: bool = False) -> None:
    # Whoever is gone is noticed by who waits for it to go.
    with contextlib.suppress(OSError):
        await send({"type": "http.response.body", "body": data, "more_body": more})
