"""What every peer is given to do."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

INPUT = {"text": "hello", "number": 1}
"""What the components of ours get and return too."""


async def timed(call: Callable[[], Awaitable[None]], operations: int, in_flight: int) -> float:
    """Seconds for so many calls, so many at once."""
    for _ in range(in_flight):
        await call()
    left = iter(range(operations))

    async def caller() -> None:
        for _ in left:
            await call()

    start = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(in_flight)))
    return time.perf_counter() - start


def steps(n: int, in_flight: int, component: str) -> dict[str, Any]:
    """A flow of so many steps: one after the other, or all at once."""

    def source(step: int) -> dict[str, Any]:
        return {"$input": "$"} if in_flight > 1 or step == 0 else {"$step": f"s{step - 1}"}

    every = [{"$step": f"s{step}"} for step in range(n)]
    return {
        "steps": [
            {"id": f"s{step}", "component": component, "input": source(step)} for step in range(n)
        ],
        # All of them are wanted: what nobody wants need not run.
        "output": every if in_flight > 1 else every[-1],
    }


def serve(app: Any, path: str) -> None:
    """Serves an ASGI application at a free port, as uvicorn does by itself; says where; ends with stdin."""
    import uvicorn

    # Named, so that asyncio sets TCP_NODELAY, as for sockets of its own.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    end_with_stdin()
    print(f"http://127.0.0.1:{listening.getsockname()[1]}{path}", flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run([listening])


def end_with_stdin() -> None:
    """Ends this process with whoever started it."""

    def wait() -> None:
        sys.stdin.buffer.read()
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()


async def started(*arguments: str) -> tuple[asyncio.subprocess.Process, str]:
    """A server in a process of its own, and the line by which it says where it is."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    line = (await process.stdout.readline()).decode().strip()
    if not line:
        raise RuntimeError("the server ended without saying where it is")
    return process, line


async def ended(process: asyncio.subprocess.Process) -> None:
    """Ends a server."""
    process.kill()
    await process.wait()
