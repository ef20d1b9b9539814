"""A component server written with the published SDK, as its own examples write them; nothing in it knows of this runtime."""

import asyncio
import json
import os
import sys
from typing import Any

import msgspec
from stepflow_py import SkipStep, StepflowContext, StepflowStdioServer

server = StepflowStdioServer()


class AddInput(msgspec.Struct):
    a: int
    b: int


class AddOutput(msgspec.Struct):
    sum: int


@server.component
def add(input: AddInput) -> AddOutput:
    """Adds two numbers."""
    return AddOutput(sum=input.a + input.b)


@server.component(name="math/echo")
def echo(input: dict) -> dict:
    return input


class BlobInput(msgspec.Struct):
    data: Any


@server.component
async def blob(input: BlobInput, context: StepflowContext) -> dict:
    blob_id = await context.put_blob(input.data)
    return {"blob_id": blob_id, "data": await context.get_blob(blob_id)}


@server.component
async def ids(input: dict, context: StepflowContext) -> dict:
    return {
        "run_id": context.run_id,
        "step_id": context.step_id,
        "flow_id": context.flow_id,
        "attempt": context.attempt,
        "pid": os.getpid(),
    }


@server.component
async def missing(input: dict, context: StepflowContext) -> dict:
    return await context.get_blob("sha256:" + "0" * 64)


class Cheese(Exception):
    pass


@server.component
def fail(input: dict) -> dict:
    raise Cheese("out of cheese")


@server.component
def skip(input: dict) -> dict:
    raise SkipStep("nothing new")


class GateInput(msgspec.Struct):
    path: str
    name: str


@server.component
async def gate(input: GateInput, context: StepflowContext) -> dict:
    reader, writer = await asyncio.open_unix_connection(input.path)
    hello = {"name": input.name, "attempt": context.attempt, "key": None, "pid": os.getpid()}
    writer.write(json.dumps(hello).encode() + b"\n")
    said = await reader.readline()
    writer.close()
    return {"said": said.decode().rstrip()}


class BigInput(msgspec.Struct):
    bytes: int
    padding: str = ""


@server.component
def big(input: BigInput) -> dict:
    return {"received": len(input.padding), "text": "x" * input.bytes}


class SleepInput(msgspec.Struct):
    ms: int


@server.component(name="conformance/sleep")
async def sleep(input: SleepInput, context: StepflowContext) -> dict:
    await asyncio.sleep(input.ms / 1000)
    return {"ms": input.ms}


class FailInput(msgspec.Struct):
    message: str
    code: int | None = None
    data: Any = None


@server.component(name="conformance/fail")
def fail_for_conformance(input: FailInput) -> dict:
    raise Cheese(input.message)


server.component(name="conformance/echo")(echo)
server.component(name="conformance/blob")(blob)


if __name__ == "__main__":
    if "--port" in sys.argv:
        # As its own command line does it.
        from stepflow_py.http_server import StepflowHttpServer

        port = int(sys.argv[sys.argv.index("--port") + 1])
        asyncio.run(StepflowHttpServer(server._server, host="127.0.0.1", port=port).run())
    else:
        server.run()
