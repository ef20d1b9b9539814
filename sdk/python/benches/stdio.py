"""Measures the SDK over stdio against the floor of the same machine and minute: a blocking readline and msgspec echo.

    python benches/stdio.py            # prints one table

Absolute figures move with the machine; the ratios in one run are what counts.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

ECHO = """
import sys, msgspec
class Params(msgspec.Struct):
    component: str
    input: msgspec.Raw
class Request(msgspec.Struct):
    id: int
    method: str
    params: Params
class Response(msgspec.Struct, tag_field="jsonrpc", tag="2.0"):
    id: int
    result: dict
decode = msgspec.json.Decoder(Request).decode
encode = msgspec.json.Encoder().encode
stdin, stdout = sys.stdin.buffer, sys.stdout.buffer
while line := stdin.readline():
    if b'"id"' not in line: continue
    request = decode(line)
    stdout.write(encode(Response(request.id, {"output": request.params.input})) + b"\\n")
    stdout.flush()
"""

SERVER = """
from stepflow_sdk import StepflowServer, SyncContext, Context
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
@server.component
async def put_async(a: int, b: int, context: Context) -> str:
    return await context.put_blob(a)
"""

HANDSHAKE = (
    b'{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"component":"x","input":0,"runtime_protocol_version":1}}\n'
    b'{"jsonrpc":"2.0","method":"initialized","params":{}}\n'
)


def request(id: int, component: str) -> bytes:
    return (
        b'{"jsonrpc":"2.0","id":%d,"method":"components/execute","params":{"component":"/%s","input":{"a":%d,"b":2},'
        b'"attempt":1,"step_id":"step","run_id":"01997d5c-7a1e-7000-8000-000000000000","flow_id":"sha256:0",'
        b'"observability":{}}}\n' % (id, component.encode(), id)
    )


@contextmanager
def child(arguments: list[str], folder: str) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    process = subprocess.Popen(
        [sys.executable, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=folder,
        bufsize=0,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(HANDSHAKE)
    read_line(process.stdout)
    try:
        yield process.stdin, process.stdout
    finally:
        process.stdin.close()
        process.wait()


def read_line(answers: IO[bytes]) -> bytes:
    """Reads one line in one go; only for peers that send nothing ahead."""
    line = b""
    while not line.endswith(b"\n"):
        line += os.read(answers.fileno(), 1 << 16)
    return line


def answered(requests: IO[bytes], line: bytes) -> int:
    """Answers a call back; returns 1 for the answer of a call."""
    if b'"method"' not in line:
        return 1
    id = line[line.rindex(b'"id":') + 5 : line.rindex(b"}")]
    requests.write(b'{"jsonrpc":"2.0","id":' + id + b',"result":{"blob_id":"sha256:0"}}\n')
    return 0


def round_trip(requests: IO[bytes], answers: IO[bytes], component: str, n: int) -> float:
    """Seconds a call, one after the other."""
    started = time.perf_counter()
    for id in range(1, n + 1):
        requests.write(request(id, component))
        while not answered(requests, read_line(answers)):
            pass
    return (time.perf_counter() - started) / n


def pipelined(
    requests: IO[bytes], answers: IO[bytes], component: str, n: int, window: int = 64
) -> float:
    """Calls a second with a window of calls in flight: as many new requests as answers came, in one write."""
    lines = [request(id, component) for id in range(1, n + 1)]
    started = time.perf_counter()
    requests.write(b"".join(lines[:window]))
    sent, done, rest = window, 0, b""
    while done < n:
        *frames, rest = (rest + os.read(answers.fileno(), 1 << 16)).split(b"\n")
        ready = sum(answered(requests, frame) for frame in frames)
        done += ready
        requests.write(b"".join(lines[sent : sent + ready]))
        sent += ready
    return n / (time.perf_counter() - started)


def measure(arguments: list[str], folder: str, component: str) -> tuple[float, float]:
    with child(arguments, folder) as (requests, answers):
        round_trip(requests, answers, component, 500)
        trips = sorted(round_trip(requests, answers, component, 2000) for _ in range(5))
        rates = sorted(pipelined(requests, answers, component, 20_000) for _ in range(5))
    return trips[2], rates[2]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "bench_server.py").write_text(SERVER)
        serve = ["-m", "stepflow_sdk", "bench_server:server"]
        floor_trip, floor_rate = measure(["-c", ECHO], folder, "add")
        print(
            f"{'':34}{'round trip':>12}{'of floor':>10}{'calls/s, 64 in flight':>24}{'of floor':>10}"
        )
        print(
            f"{'floor: readline + msgspec echo':34}{floor_trip * 1e6:9.1f} µs{1:10.2f}{floor_rate:24,.0f}{1:10.2f}"
        )
        rows = [
            ("plain component", "add"),
            ("async component", "add_async"),
            ("plain, one call back", "put"),
            ("async, one call back", "put_async"),
        ]
        for name, component in rows:
            trip, rate = measure(serve, folder, component)
            print(
                f"{name:34}{trip * 1e6:9.1f} µs{trip / floor_trip:10.2f}{rate:24,.0f}{rate / floor_rate:10.2f}"
            )


if __name__ == "__main__":
    main()
