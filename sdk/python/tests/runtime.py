"""Plays the runtime for a real child process: sends frames, answers call backs, keeps what comes back."""

from __future__ import annotations

import itertools
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PATIENCE = 20.0
needs_program = pytest.mark.skipif(
    "STEPFLOW" not in os.environ, reason="STEPFLOW does not name the program to run flows with"
)
ALL = {"cancel": {}, "progress": {}, "log": {}, "ping": {}}


class Runtime:
    """A child process and the other end of its pipes. Use as a context manager; it never leaves the child behind."""

    def __init__(self, folder: Path, *arguments: str, env: dict[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONFAULTHANDLER": "1", **(env or {})},
        )
        self.frames: queue.Queue[bytes | None] = queue.Queue()
        self.stderr = b""
        self.notifications: list[dict[str, Any]] = []
        self.callbacks: list[dict[str, Any]] = []
        self.answers: dict[str, Callable[[dict[str, Any]], Any]] = {}
        self.responses: dict[Any, dict[str, Any]] = {}
        self.ids = itertools.count(1)
        self.reads = threading.Event()
        """Cleared by a test whose runtime stops reading for a while."""
        self.reads.set()
        self.threads = [
            threading.Thread(target=it, daemon=True)
            for it in (self._read_frames, self._read_stderr)
        ]
        for thread in self.threads:
            thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self.reads.set()
        for thread in self.threads:
            thread.join()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            try:
                pipe.close()
            except BrokenPipeError:
                pass

    def _read_frames(self) -> None:
        while self.reads.wait() and (line := self.process.stdout.readline()):
            self.frames.put(line)
        self.frames.put(None)

    def _read_stderr(self) -> None:
        while data := self.process.stderr.read1(1 << 16):
            self.stderr += data

    # Sending

    def write(self, data: bytes) -> None:
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def send(self, **message: Any) -> None:
        self.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")

    def start(self, component: str, input: Any = None, **extra: Any) -> int:
        """Sends an execute request and returns its id."""
        id = next(self.ids)
        self.send(id=id, method="components/execute", params=execute(component, input, **extra))
        return id

    # Receiving

    def frame(self) -> dict[str, Any] | None:
        """Returns the next message, None at the end of stdout; every line has to be one whole message."""
        try:
            line = self.frames.get(timeout=PATIENCE)
        except queue.Empty:
            # Its dying words say where every thread stands.
            self.process.send_signal(signal.SIGABRT)
            self.wait()
            pytest.fail(f"no message in {PATIENCE} s; stderr: {self.stderr.decode()}")
        if line is None:
            return None
        assert line.endswith(b"\n")
        message = json.loads(line)
        assert message["jsonrpc"] == "2.0"
        return message

    def take(self) -> bool:
        """Takes one message and puts it where it belongs, answering call backs; False at the end."""
        message = self.frame()
        if message is None:
            return False
        if "method" not in message:
            assert message["id"] not in self.responses, f"answered twice: {message}"
            self.responses[message["id"]] = message
        elif "id" not in message:
            self.notifications.append(message)
        else:
            self.callbacks.append(message)
            answer = self.answers.get(message["method"])
            if answer is not None:
                self.send(id=message["id"], **answer(message["params"]))
        return True

    def until(self, done: Callable[[], Any]) -> Any:
        """Takes messages until `done` gives something."""
        while not (found := done()):
            assert self.take(), f"stdout ended; stderr: {self.stderr.decode()}"
        return found

    def response(self, id: Any) -> dict[str, Any]:
        self.until(lambda: id in self.responses)
        return self.responses.pop(id)

    def request(self, method: str, params: Any = None) -> dict[str, Any]:
        id = next(self.ids)
        self.send(id=id, method=method, **({} if params is None else {"params": params}))
        return self.response(id)

    def call(self, component: str, input: Any = None, **extra: Any) -> dict[str, Any]:
        return self.response(self.start(component, input, **extra))

    def output(self, component: str, input: Any = None, **extra: Any) -> Any:
        answer = self.call(component, input, **extra)
        assert "result" in answer, answer
        return answer["result"]["output"]

    def error(self, component: str, input: Any = None, **extra: Any) -> dict[str, Any]:
        answer = self.call(component, input, **extra)
        assert "error" in answer, answer
        return answer["error"]

    def initialize(self, **params: Any) -> dict[str, Any]:
        answer = self.request(
            "initialize",
            {"runtime_protocol_version": 1, "protocol_prefix": "py", "capabilities": ALL, **params},
        )
        self.send(method="initialized", params={})
        return answer["result"]

    def blobs(self) -> dict[str, Any]:
        """Answers blobs/put and blobs/get out of a dict, which it returns."""
        stored: dict[str, Any] = {}

        def put(params: dict[str, Any]) -> dict[str, Any]:
            id = f"sha256:{len(stored):064x}"
            stored[id] = params["data"]
            return {"result": {"blob_id": id}}

        def get(params: dict[str, Any]) -> dict[str, Any]:
            if params["blob_id"] not in stored:
                return {"error": {"code": -32008, "message": "no such blob"}}
            return {"result": {"data": stored[params["blob_id"]], "blob_type": "data"}}

        self.answers |= {"blobs/put": put, "blobs/get": get}
        return stored

    # The end

    def end(self) -> int:
        """Closes stdin and returns the exit code."""
        self.process.stdin.close()
        return self.wait()

    def wait(self) -> int:
        code = self.process.wait(PATIENCE)
        for thread in self.threads:
            thread.join()
        return code


def execute(component: str, input: Any, **extra: Any) -> dict[str, Any]:
    return {
        "component": component,
        "input": input,
        "attempt": 1,
        "step_id": "step1",
        "run_id": "run1",
        "flow_id": "sha256:f",
        "observability": {"trace_id": "0af7651916cd43dd8448eb211c80319c", "step_id": "step1"},
        **extra,
    }
