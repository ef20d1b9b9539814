"""A server on the published SDK for MCP servers: over stdio, or over HTTP where a port is given."""

import argparse
import json
import os
import socket
import sys
from pathlib import Path

import anyio
import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from mcp.types import TextContent
from pydantic import BaseModel

server = MCPServer("published")


class Sum(BaseModel):
    """A result with a schema of its own."""

    sum: int


@server.tool()
def add(a: int, b: int) -> Sum:
    """Adds two numbers."""
    return Sum(sum=a + b)


@server.tool(structured_output=False)
def shout(text: str) -> str:
    """Says it louder."""
    return text.upper()


@server.tool(structured_output=False)
def twice(text: str) -> list[TextContent]:
    """Says it twice."""
    return [TextContent(type="text", text=text)] * 2


@server.tool()
def fail(why: str) -> str:
    """Fails with these words."""
    from mcp.server.mcpserver.exceptions import ToolError

    raise ToolError(why)


@server.tool(structured_output=False)
async def gate(name: str, context: Context) -> str:
    """Says hello at the gate of the test and waits to be let through."""
    async with await anyio.connect_unix(str(Path(os.environ["HOME"]) / "gate")) as there:
        hello = {"name": name, "attempt": 0, "key": None, "pid": os.getpid()}
        await there.send(json.dumps(hello).encode() + b"\n")
        await context.report_progress(1, 2, "at the gate")
        return (await there.receive()).decode().rstrip()


def over_http(port: int) -> None:
    """Serves at a port, and says where that is."""
    listener = socket.create_server(("127.0.0.1", port))
    port = listener.getsockname()[1]
    config = uvicorn.Config(server.streamable_http_app(), log_level="warning")
    print(f"serving at http://127.0.0.1:{port}/mcp", file=sys.stderr, flush=True)
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int)
    port = parser.parse_args().port
    if port is None:
        server.run("stdio")
    else:
        over_http(port)
