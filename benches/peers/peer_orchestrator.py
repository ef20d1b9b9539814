"""The upstream orchestrator and its Python worker, state in memory, with their own client."""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from google.protobuf.json_format import MessageToDict
from stepflow_py import StepflowClient
from stepflow_py.config import StepflowConfig
from stepflow_py.config._generated_config import GrpcPluginConfig, RouteRule
from work import INPUT, steps


@asynccontextmanager
async def opened(_name: str) -> AsyncIterator[Callable[[int, int], Awaitable[float]]]:
    """Starts both; the worker is the one that the package has for measuring."""
    worker = GrpcPluginConfig(
        command=sys.executable,
        args=["-m", "stepflow_py.worker.main"],
        queueName="python",
        env={"STEPFLOW_LOG_LEVEL": "ERROR", "STEPFLOW_TRACE_ENABLED": "false"},
    )
    config = StepflowConfig(
        plugins={"python": worker}, routes={"/python": [RouteRule(plugin="python")]}
    )
    flows: dict[tuple[int, int], str] = {}
    async with StepflowClient.local(config, log_level="error") as client:

        async def stored(n: int, in_flight: int) -> str:
            if (n, in_flight) not in flows:
                answer = await client.store_flow(steps(n, in_flight, "/python/echo"))
                flows[n, in_flight] = answer.flow_id
            return flows[n, in_flight]

        async def run(flow: str, output: object) -> None:
            response = await client.run(flow, INPUT)
            assert MessageToDict(response.results[0])["output"] == output, response

        async def measure(n: int, in_flight: int) -> float:
            flow = await stored(n, in_flight)
            # Waits for the worker to be there.
            await run(await stored(1, 1), INPUT)
            start = time.perf_counter()
            await run(flow, INPUT if in_flight == 1 else [INPUT] * n)
            return time.perf_counter() - start

        yield measure
