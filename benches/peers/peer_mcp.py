"""The SDK of the Model Context Protocol: over stdio, over HTTP+SSE with its session, and over streamable HTTP."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from work import INPUT, ended, serve, started, timed

Measure = Callable[[int, int], Awaitable[float]]


@asynccontextmanager
async def opened(name: str) -> AsyncIterator[Measure]:
    """A client of a server of its own."""
    from mcp import Client, StdioServerParameters, stdio_client
    from mcp.client.sse import sse_client

    transport = name.removeprefix("mcp-")
    process = None
    if transport == "stdio":
        server = StdioServerParameters(command=sys.executable, args=[__file__, "stdio"])
        client = Client(stdio_client(server))
    else:
        process, url = await started(__file__, transport)
        client = Client(sse_client(url), mode="legacy") if transport == "sse" else Client(url)
    try:
        async with client:

            async def call() -> None:
                result = await client.call_tool("echo", INPUT)
                assert result.structured_content == INPUT, result

            async def measure(operations: int, in_flight: int) -> float:
                return await timed(call, operations, in_flight)

            yield measure
    finally:
        if process is not None:
            await ended(process)


def main(transport: str) -> None:
    """Serves."""
    from mcp.server.mcpserver import MCPServer
    from pydantic import BaseModel

    class Input(BaseModel):
        text: str
        number: int

    server = MCPServer("bench", log_level="WARNING")

    def echo(text: str, number: int) -> Input:
        """Returns its input."""
        return Input(text=text, number=number)

    # The annotation is text here, and its class is not to be found by it.
    echo.__annotations__["return"] = Input
    server.tool()(echo)
    if transport == "stdio":
        server.run("stdio")
    elif transport == "sse":
        serve(server.sse_app(), "/sse")
    else:
        serve(server.streamable_http_app(), "/mcp")


if __name__ == "__main__":
    main(sys.argv[1])
