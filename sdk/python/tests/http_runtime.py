"""Plays the runtime over HTTP: a real server in a thread, connections of the standard library, streams read in threads."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import itertools
import json
import queue
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import uvicorn

from runtime import ALL, PATIENCE, execute
from stepflow_sdk import HttpLimits, StepflowServer

JSON = "application/json"
BOTH = "application/json, text/event-stream"
STREAM = "text/event-stream"
PARTS: dict[str, Any] = {}
"""What uvicorn is told of the parser and loop to use; by itself it takes the fastest that is installed."""


class _Server(uvicorn.Server):
    """A uvicorn that ends when it is told to, and not at its next look."""

    async def main_loop(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        self.running.set()
        await self.on_tick(0)
        await self._ended.wait()

    def end(self) -> None:
        assert self.running.wait(PATIENCE)
        self._loop.call_soon_threadsafe(self._ended.set)

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.running = threading.Event()


class Client:
    """Speaks to a server on this machine."""

    port: int
    opened: list[Events]

    def request(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            given = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, given)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, found, answer.read()
        finally:
            connection.close()

    def post(
        self, message: Any, path: str = "/", accept: str = JSON, **headers: str
    ) -> tuple[int, Any]:
        """Posts a message; returns the status and the JSON of the answer."""
        body = message if isinstance(message, bytes) else json.dumps(message).encode()
        given = {"Content_Type": JSON, "Accept": accept, **headers}
        status, _, answer = self.request("POST", path, body, **given)
        return status, json.loads(answer) if answer else None

    def open(self, root: str = "", **headers: str) -> Events:
        return Events(self, "GET", f"{root}/runtime/events", None, {"Accept": STREAM, **headers})

    def stream(self, message: Any, **headers: str) -> Events:
        """Posts a message whose answer may be a stream."""
        return Events(
            self,
            "POST",
            "/",
            json.dumps(message).encode(),
            {"Content-Type": JSON, "Accept": BOTH, **headers},
        )


class Served(Client):
    """An app under uvicorn on a free port, in a thread."""

    def __init__(self, app: Any, **config: Any) -> None:
        self.app = app
        self.opened: list[Events] = []
        # As in the server's own command: without the protocol's number, TCP_NODELAY stays off.
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.listen(2048)
        self.port: int = self.socket.getsockname()[1]
        self.uvicorn = _Server(
            uvicorn.Config(
                app,
                log_level="warning",
                log_config=None,
                timeout_graceful_shutdown=1,
                **PARTS,
                **config,
            )
        )
        self.thread = threading.Thread(
            target=self.uvicorn.run, args=([self.socket],), name="uvicorn"
        )
        self.thread.start()

    @property
    def host(self) -> Any:
        return self.app.state.stepflow

    def on_loop(self, act: Any) -> Any:
        """Runs something on the server's loop and returns what it gives; a way to look at it between two steps."""
        done: queue.Queue[Any] = queue.Queue()
        self.host._loop.call_soon_threadsafe(lambda: done.put(act()))
        return done.get(timeout=PATIENCE)

    def until(self, done: Any) -> None:
        """Looks, turn after turn of the server's loop, until something is so."""
        end = time.monotonic() + PATIENCE
        while not self.on_loop(done):
            assert time.monotonic() < end, "it did not come to that"

    def stop(self) -> None:
        for it in self.opened:
            it.close()
        self.uvicorn.end()
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()


class Events:
    """An answer read as it comes, in a thread: events, or the JSON it turned out to be."""

    def __init__(
        self, served: Client, method: str, path: str, body: Any, headers: dict[str, str]
    ) -> None:
        served.opened.append(self)
        self.connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=PATIENCE)
        self.connection.request(method, path, body, headers)
        self.answer: http.client.HTTPResponse | None = None
        self.events: queue.Queue[dict[str, str] | None] = queue.Queue()
        self.comments: queue.Queue[str] = queue.Queue()
        self._answered = threading.Event()
        self.socket = self.connection.sock
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    @property
    def status(self) -> int:
        self._answered.wait(PATIENCE)
        assert self.answer is not None
        return self.answer.status

    def header(self, name: str) -> str | None:
        assert self.status
        return self.answer.getheader(name)

    def _read(self) -> None:
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
            self.answer = self.connection.getresponse()
            self._answered.set()
            if self.answer.getheader("content-type") != STREAM:
                self.events.put({"data": self.answer.read().decode()})
            event: dict[str, str] = {}
            while line := self.answer.readline().decode():
                name, _, value = line.rstrip("\n").partition(": ")
                if line == "\n" and event:
                    self.events.put(event)
                    event = {}
                elif line.startswith(":"):
                    self.comments.put(line)
                elif line != "\n":
                    event[name] = value
        self._answered.set()
        self.events.put(None)

    def next(self) -> dict[str, str] | None:
        """Returns the next event, None at the end."""
        return self.events.get(timeout=PATIENCE)

    def message(self) -> dict[str, Any]:
        event = self.next()
        assert event is not None, "the stream ended"
        assert event.get("event", "message") == "message"
        return json.loads(event["data"])

    def close(self) -> None:
        """Leaves, whatever is still to come."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.thread.join(PATIENCE)
        self.connection.close()
        if self.answer is not None:
            self.answer.close()


class Session:
    """A runtime's session: its stream, its endpoint, its handshake."""

    def __init__(self, served: Client, *, initialize: bool = True, **headers: str) -> None:
        self.served = served
        self.ids = itertools.count(1)
        self.events = served.open(**headers)
        self.attached()
        if initialize:
            self.initialize()

    def attached(self) -> None:
        """Reads a stream's first event."""
        first = self.events.next()
        assert first is not None, self.events.status
        assert first["event"] == "endpoint"
        self.endpoint = json.loads(first["data"])["endpoint"]
        self.event_id = first["id"]

    def resume(self, last_event_id: str | None = None) -> None:
        """Opens the stream again."""
        self.events = self.served.open(**{"Last-Event-ID": last_event_id or self.event_id})
        self.attached()

    def message(self) -> dict[str, Any]:
        event = self.events.next()
        assert event is not None, "the stream ended"
        self.event_id = event["id"]
        return json.loads(event["data"])

    def post(self, **message: Any) -> tuple[int, Any]:
        return self.served.post({"jsonrpc": "2.0", **message}, self.endpoint, BOTH)

    def request(self, method: str, params: Any = None, id: Any = None) -> dict[str, Any]:
        id = next(self.ids) if id is None else id
        status, answer = self.post(id=id, method=method, params=params or {})
        assert status == 200
        assert answer["id"] == id
        return answer

    def initialize(self, **params: Any) -> dict[str, Any]:
        answer = self.request(
            "initialize",
            {"runtime_protocol_version": 1, "protocol_prefix": "py", "capabilities": ALL, **params},
        )
        assert self.post(method="initialized", params={}) == (202, None)
        return answer["result"]

    def call(self, component: str, input: Any = None, id: Any = None, **extra: Any) -> Any:
        return self.request("components/execute", execute(component, input, **extra), id)

    def begin(self, component: str, input: Any = None, id: Any = None) -> Later:
        """Calls a component in a thread."""
        return Later(lambda: self.call(component, input, id))

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        self.events.close()


class Later:
    """What a thread will have found out."""

    def __init__(self, act: Any) -> None:
        self._found: queue.Queue[Any] = queue.Queue()
        threading.Thread(target=self._run, args=(act,), daemon=True).start()

    def _run(self, act: Any) -> None:
        try:
            self._found.put((act(), None))
        except BaseException as error:
            self._found.put((None, error))

    def result(self) -> Any:
        found, error = self._found.get(timeout=PATIENCE)
        if error is not None:
            raise error
        return found


def call(component: str, input: Any = None, id: Any = 1, **extra: Any) -> dict[str, Any]:
    params = {**execute(component, input), "capabilities": ALL, **extra}
    return {"jsonrpc": "2.0", "id": id, "method": "components/execute", "params": params}


@contextlib.contextmanager
def served(
    *functions: Any, limits: Any = None, config: Any = None, **options: Any
) -> Iterator[Served]:
    """A server of these functions."""
    known = {
        it: options.pop(it) for it in ("max_message_bytes", "max_threads", "udf") if it in options
    }
    server = StepflowServer(**{"udf": False, **known})
    for function in functions:
        server.component(function)
    app = server.create_http_app(limits=HttpLimits(**(limits or {})), **options)
    it = Served(app, **(config or {}))
    try:
        yield it
    finally:
        it.stop()
