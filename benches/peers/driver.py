"""Drives the peers in Python: one of them, named by the first argument, with its own client.

Reads lines of two numbers, how many operations and how many at once, and answers each with the seconds that they took.
Ends with its stdin.
"""

from __future__ import annotations

import asyncio
import importlib
import sys

MODULES = {
    "grpc": "peer_grpc",
    "langgraph": "peer_langgraph",
    "mcp-http": "peer_mcp",
    "mcp-sse": "peer_mcp",
    "mcp-stdio": "peer_mcp",
    "orchestrator": "peer_orchestrator",
}


async def main(name: str) -> None:
    """Measures as often as stdin says."""
    peer = importlib.import_module(MODULES[name])
    async with peer.opened(name) as measure:
        while line := await asyncio.to_thread(sys.stdin.readline):
            operations, in_flight = (int(it) for it in line.split())
            print(await measure(operations, in_flight), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
