"""Measures the SDK over HTTP against the floor of the same machine and minute: a bare ASGI echo under the same uvicorn.

    python benches/http.py            # prints one table

Absolute figures move with the machine; the ratios in one run are what counts.
"""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

SERVE = """
import socket, sys, uvicorn
# Without the protocol's number asyncio would leave Nagle's algorithm on.
listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
listening.bind(("127.0.0.1", 0))
listening.listen()
print(listening.getsockname()[1], flush=True)
config = uvicorn.Config(app, log_level="warning", access_log=False)
uvicorn.Server(config).run([listening])
"""

ECHO = (
    """
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        event = await receive()
        body += event["body"]
        more = event["more_body"]
    headers = [(b"content-type", b"application/json; charset=utf-8"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
"""
    + SERVE
)

SERVER = (
    """
from stepflow_sdk import Context, StepflowServer, SyncContext
server = StepflowServer()
@server.component
def add(a: int, b: int) -> int:
    return a + b
@server.component
async def add_async(a: int, b: int) -> int:
    return a + b
@server.component
def put(a: int, b: int, context: SyncContext) -> str:
    return context.put_blob(a)
app = server.create_http_app()
"""
    + SERVE
)


class Connection:
    """One keep-alive connection, read as far as it must be and no further."""

    def __init__(self, port: int, path: str = "/") -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json; charset=utf-8\r\n"
            "Accept: application/json, text/event-stream\r\nContent-Length: "
        ).encode()

    def post(self, body: bytes) -> bytes:
        self.socket.sendall(b"%b%d\r\n\r\n%b" % (self.head, len(body), body))
        data = b""
        while b"\r\n\r\n" not in data:
            data += self.socket.recv(1 << 16)
        head, _, answer = data.partition(b"\r\n\r\n")
        length = int(re.search(rb"content-length: (\d+)", head.lower())[1])
        while len(answer) < length:
            answer += self.socket.recv(1 << 16)
        return answer


class Session:
    """A session whose call backs are answered by a thread."""

    def __init__(self, port: int) -> None:
        self.events = socket.create_connection(("127.0.0.1", port))
        self.events.sendall(
            b"GET /runtime/events HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAccept: text/event-stream\r\n\r\n"
            % port
        )
        data = b""
        while not (found := re.search(rb'"endpoint":"([^"]+)"', data)):
            data += self.events.recv(1 << 16)
        self.path = found[1].decode()
        self.port = port
        threading.Thread(target=self._answer, daemon=True).start()

    def connection(self) -> Connection:
        return Connection(self.port, self.path)

    def _answer(self) -> None:
        answers = self.connection()
        while data := self.events.recv(1 << 16):
            for id in re.findall(rb'"method":"blobs/put".*"id":"([^"]+)"', data):
                answers.post(b'{"jsonrpc":"2.0","id":"%b","result":{"blob_id":"sha256:0"}}' % id)


def request(id: int, component: str) -> bytes:
    return (
        b'{"jsonrpc":"2.0","id":%d,"method":"components/execute","params":{"component":"/%s","input":{"a":%d,"b":2},'
        b'"attempt":1,"step_id":"step","run_id":"01997d5c-7a1e-7000-8000-000000000000","flow_id":"sha256:0",'
        b'"observability":{}}}' % (id, component.encode(), id)
    )


@contextmanager
def server(source: str, folder: str) -> Iterator[int]:
    process = subprocess.Popen(
        [sys.executable, "-c", source], stdout=subprocess.PIPE, cwd=folder, text=True
    )
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()


def round_trip(connection: Connection, component: str, n: int) -> float:
    """Seconds a call, one after the other."""
    started = time.perf_counter()
    for id in range(n):
        connection.post(request(id, component))
    return (time.perf_counter() - started) / n


def initialize(session: Session) -> None:
    connection = session.connection()
    connection.post(
        b'{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"runtime_protocol_version":1}}'
    )
    connection.post(b'{"jsonrpc":"2.0","method":"initialized","params":{}}')


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        server(ECHO, folder) as echo,
        server(SERVER, folder) as sdk,
    ):
        session = Session(sdk)
        initialize(session)
        rows = {
            "floor: bare ASGI echo": (Connection(echo), "add"),
            "plain component, no session": (Connection(sdk), "add"),
            "async component, no session": (Connection(sdk), "add_async"),
            "plain component, session": (session.connection(), "add"),
            "async component, session": (session.connection(), "add_async"),
            "plain, one call back, session": (session.connection(), "put"),
        }
        trips: dict[str, list[float]] = {name: [] for name in rows}
        # In turns, so that a machine that is busy for a while slows all of them.
        for turn in range(8):
            for name, (connection, component) in rows.items():
                seconds = round_trip(connection, component, 300)
                if turn > 0:
                    trips[name].append(seconds)
        floor = sorted(trips["floor: bare ASGI echo"])[3]
        print(f"{'':34}{'round trip':>12}{'of floor':>10}")
        for name, found in trips.items():
            trip = sorted(found)[3]
            print(f"{name:34}{trip * 1e6:9.1f} µs{trip / floor:10.2f}")


if __name__ == "__main__":
    main()
