"""Test components and flows in the process of the test: breakpoints, monkeypatching and coverage work.

`call` runs one component as the runtime would, through its schemas and with call backs, without a runtime. `run_flow`
runs a whole flow by the program `stepflow`, with the components of this process.

With the SDK installed, pytest offers both as the fixtures `stepflow_call` and `stepflow_run`.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any, cast

import msgspec

from stepflow_sdk import jsontext, protocol
from stepflow_sdk.errors import ErrorCode, SkipStep, StepflowError
from stepflow_sdk.flow import FlowBuilder
from stepflow_sdk.peer import Peer
from stepflow_sdk.protocol import FlowResult
from stepflow_sdk.server import StepflowServer

__all__ = ["Called", "Runtime", "call", "run_flow"]

PROGRAM_VARIABLE = "STEPFLOW"
"""The environment variable that names the program; without it, it is looked for on the PATH."""

_START_SECONDS = 10.0


class Called(msgspec.Struct):
    """What one call of a component came to."""

    output: Any
    """Its result."""
    logs: list[dict[str, Any]]
    """What it logged and printed: `level`, `message`, and `data` where there is some."""
    progress: list[dict[str, Any]]
    """How far it said it was: `fraction`, `message`."""
    blobs: dict[str, Any]
    """The blobs by their ids, those that were there before included."""


class Runtime:
    """Stands for the runtime: keeps blobs, and answers the other call backs as it is told.

    Args:
        blobs: Blobs that are there already, by id.
        evaluate: Answers `context.evaluate_flow`: takes the flow or its id and the input, returns the result; what it
            raises is the flow's failure.
        metadata: What `context.metadata()` is told.
    """

    def __init__(
        self,
        *,
        blobs: Mapping[str, Any] | None = None,
        evaluate: Callable[[Any, Any], Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        self.blobs: dict[str, Any] = dict(blobs or {})
        self._evaluate = evaluate
        self._metadata = dict(metadata or {})

    def answer(self, method: str, params: dict[str, Any]) -> Any:
        """Returns the result of a call back.

        Raises:
            StepflowError: The call back fails.
        """
        if method == protocol.BLOBS_PUT:
            blob_id = _blob_id(params["data"])
            self.blobs[blob_id] = params["data"]
            return {"blob_id": blob_id}
        if method == protocol.BLOBS_GET:
            if params["blob_id"] not in self.blobs:
                raise StepflowError(
                    ErrorCode.BLOB_NOT_FOUND, f"there is no blob {params['blob_id']} in this test"
                )
            return {"data": self.blobs[params["blob_id"]], "blob_type": "data"}
        if method == protocol.FLOWS_EVALUATE and self._evaluate is not None:
            return {"result": self._run(params)}
        if method == protocol.FLOWS_GET_METADATA:
            return {"flow_metadata": {}, **self._metadata}
        raise StepflowError(
            ErrorCode.METHOD_NOT_FOUND,
            f"this test answers no {method}: give Runtime(…) what to say",
        )

    def _run(self, params: dict[str, Any]) -> dict[str, Any]:
        evaluate = cast("Callable[[Any, Any], Any]", self._evaluate)
        try:
            result = evaluate(params.get("flow", params.get("flow_id")), params["input"])
        except SkipStep as skip:
            return {"outcome": "skipped", "reason": skip.reason}
        except StepflowError as error:
            said = {"code": error.code, "message": error.message, "data": error.data}
            return {"outcome": "failed", "error": said}
        return {"outcome": "success", "result": result}


def call(
    component: Callable[..., Any],
    input: Any = None,
    *,
    runtime: Runtime | None = None,
    attempt: int = 1,
) -> Called:
    """Calls a component as the runtime would, with its input checked and its call backs answered.

    >>> def count(words: list[str]) -> int:
    ...     return len(words)
    >>> call(count, {"words": ["a", "b"]}).output
    2

    Args:
        component: The function.
        input: Its input, as JSON data.
        runtime: Answers its call backs; by default one that keeps blobs.
        attempt: Which attempt it is told this is.

    Raises:
        StepflowError: It failed: what the runtime would be answered.
        SkipStep: It skipped itself.
    """
    server = StepflowServer(udf=False)
    server.component(component)
    (path,) = server.components
    conversation = _Conversation(server, runtime or Runtime())
    answer = _in_thread(lambda: conversation.execute(path, input, attempt))
    if "error" in answer:
        error = answer["error"]
        raise StepflowError(error["code"], error["message"], error.get("data"))
    result = answer["result"]
    if "skipped" in result:
        raise SkipStep(result["skipped"].get("reason"))
    return Called(
        result["output"], conversation.logs, conversation.progress, conversation.runtime.blobs
    )


def run_flow(
    flow: FlowBuilder | Mapping[str, Any] | str | Path,
    input: Any = None,
    *,
    variables: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
    program: str | Path | None = None,
    **servers: StepflowServer,
) -> FlowResult:
    """Runs a flow by the program `stepflow`; the components of the given servers run in this process.

    `run_flow(flow, {"a": 1}, lab=server)` serves `server` under `/lab/…`. Needs the extra `http`.

    Args:
        flow: The flow, or the path of its file.
        input: Its input, as JSON data.
        variables: Its variables.
        config: Further keys of the configuration, such as more plugins.
        program: The program; by default the environment's `STEPFLOW`, else the one on the PATH.
        servers: The servers by the first part of their components' paths.

    Raises:
        FileNotFoundError: The program cannot be found; the message says what to do.
        ValueError: The flow, its input or the configuration is refused; the message is the program's.
    """
    found = _program(program)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        plugins: dict[str, Any] = {"builtin": {"type": "builtin"}}
        for name, server in servers.items():
            url = stack.enter_context(_served(server))
            plugins[name] = {"type": "stepflow", "transport": "http", "url": url}
        whole = {**(config or {}), "plugins": {**plugins, **(config or {}).get("plugins", {})}}
        config_file = folder / "stepflow-config.yml"
        config_file.write_bytes(jsontext.encode(whole, what="the configuration"))
        arguments = [str(found), "run", str(_flow_file(flow, folder)), "--config", str(config_file)]
        if variables is not None:
            arguments += [
                "--variables-json",
                jsontext.encode(variables, what="the variables").decode(),
            ]
        ran = subprocess.run(  # noqa: S603 - the program is the caller's choice
            arguments,
            input=jsontext.encode(input, what="the input"),
            capture_output=True,
            check=False,
        )
    if ran.returncode not in {0, 1}:
        raise ValueError(ran.stderr.decode(errors="replace").strip())
    return msgspec.json.decode(ran.stdout, type=FlowResult)


def _program(given: str | Path | None) -> Path:
    wanted = str(given or os.environ.get(PROGRAM_VARIABLE) or "stepflow")
    found = shutil.which(wanted)
    if found is None:
        raise FileNotFoundError(
            f"there is no program {wanted!r}: put stepflow on the PATH, or name it by {PROGRAM_VARIABLE} or program=…"
        )
    return Path(found)


def _flow_file(flow: FlowBuilder | Mapping[str, Any] | str | Path, folder: Path) -> Path:
    if isinstance(flow, (str, Path)):
        return Path(flow)
    data = flow.to_dict() if isinstance(flow, FlowBuilder) else flow
    file = folder / "flow.json"
    file.write_bytes(jsontext.encode(data, what="the flow"))
    return file


@contextlib.contextmanager
def _served(server: StepflowServer) -> Generator[str]:
    """Serves over HTTP from a thread of this process."""
    app = server.create_http_app()
    import uvicorn  # noqa: PLC0415 - an extra, whose absence `create_http_app` explains

    listening = socket.create_server(("127.0.0.1", 0))
    serving = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
    thread = threading.Thread(target=serving.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        # It listens already, so that whoever connects before the thread is ready waits.
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        serving.should_exit = True
        thread.join(_START_SECONDS)
        listening.close()


class _Conversation:
    """A peer without a wire: what it sends is answered at once."""

    def __init__(self, server: StepflowServer, runtime: Runtime) -> None:
        self.runtime = runtime
        self.logs: list[dict[str, Any]] = []
        self.progress: list[dict[str, Any]] = []
        self._peer = Peer(server.router(handshake_required=False), self)
        self._answer: dict[str, Any] | None = None

    def execute(self, path: str, input: Any, attempt: int) -> dict[str, Any]:
        params: dict[str, Any] = {
            "component": path,
            "input": input,
            "attempt": attempt,
            "step_id": "test",
            "run_id": "test",
            "flow_id": "test",
            "idempotency_key": "test/test",
            "capabilities": {"cancel": {}, "progress": {}, "log": {}},
        }
        request: dict[str, Any] = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": protocol.COMPONENTS_EXECUTE,
            "params": params,
        }
        invocation = self._peer.receive(jsontext.encode(request, what="the input"))
        if invocation is not None:
            answer = None if invocation.component.is_async else invocation.run()
            if answer is None:
                answer = asyncio.run(invocation.run_async())
            self._peer.answer(invocation, answer, self.post)
        if self._answer is None:
            raise RuntimeError(f"{path} did not answer")
        return self._answer

    def post(self, frame: bytes) -> None:
        message = msgspec.json.decode(frame)
        method, params = message.get("method"), message.get("params", {})
        if method is None:
            self._answer = message
        elif "id" in message:
            self._reply(message["id"], method, params)
        elif method == protocol.LOG:
            self.logs.append({key: it for key, it in params.items() if key != "id"})
        elif method == protocol.PROGRESS:
            self.progress.append({key: it for key, it in params.items() if key != "id"})

    def send(self, frame: bytes, *, droppable: bool = False) -> None:  # noqa: ARG002 - the link's signature
        self.post(frame)

    def blocking(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def _reply(self, id: Any, method: str, params: dict[str, Any]) -> None:
        reply: dict[str, Any] = {"jsonrpc": "2.0", "id": id}
        try:
            reply["result"] = self.runtime.answer(method, params)
        except StepflowError as error:
            reply["error"] = {"code": error.code, "message": error.message, "data": error.data}
        self._peer.receive(jsontext.encode(reply, what=f"the answer to {method}"))


def _in_thread(work: Callable[[], Any]) -> Any:
    """Runs work in a thread of its own, where an event loop may be started whatever runs here."""
    outcome: list[Any] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(work())
        except BaseException as error:  # noqa: BLE001 - it is raised again below
            failure.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]


def _blob_id(data: Any) -> str:
    """Returns an id that is the same for the same data; only a runtime makes real ones."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
