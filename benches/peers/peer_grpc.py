"""A unary call of gRPC, with a Python server and a Python client; messages are protobuf's own `Struct`."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import grpc
from google.protobuf.struct_pb2 import Struct
from work import INPUT, end_with_stdin, ended, started


@asynccontextmanager
async def opened(_name: str) -> AsyncIterator[Callable[[int, int], Awaitable[float]]]:
    """A client of a server of its own."""
    process, address = await started(__file__)
    try:
        with grpc.insecure_channel(address) as channel:
            echo = channel.unary_unary(
                "/bench/Echo",
                request_serializer=Struct.SerializeToString,
                response_deserializer=Struct.FromString,
            )

            async def measure(operations: int, in_flight: int) -> float:
                return await asyncio.to_thread(calls, echo, operations, in_flight)

            yield measure
    finally:
        await ended(process)


def calls(echo: grpc.UnaryUnaryMultiCallable, operations: int, in_flight: int) -> float:
    """Seconds for so many calls, so many at once."""
    request = Struct()
    request.update(INPUT)
    assert echo(request) == request
    start = time.perf_counter()
    if in_flight == 1:
        for _ in range(operations):
            assert echo(request) == request
        return time.perf_counter() - start
    free = threading.Semaphore(in_flight)
    under_way = []
    for _ in range(operations):
        free.acquire()
        future = echo.future(request)
        future.add_done_callback(lambda _: free.release())
        under_way.append(future)
    assert all(future.result() == request for future in under_way)
    return time.perf_counter() - start


def main() -> None:
    """Serves."""

    def echo(request: Struct, _context: grpc.ServicerContext) -> Struct:
        return request

    handler = grpc.unary_unary_rpc_method_handler(
        echo,
        request_deserializer=Struct.FromString,
        response_serializer=Struct.SerializeToString,
    )
    server = grpc.server(ThreadPoolExecutor(max_workers=10))
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("bench", {"Echo": handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    end_with_stdin()
    print(f"127.0.0.1:{port}", flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    sys.exit(main())
