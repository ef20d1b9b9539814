"""The components of the example: one runs inside the stored flow, the other runs the flow."""

import asyncio
from typing import Any

import msgspec
from stepflow_sdk import Context, StepflowServer

server = StepflowServer()


class Priced(msgspec.Struct):
    """What the flow makes of an offer."""

    shop: str
    total: float


@server.component
def add(a: float, b: float) -> float:
    """Adds two amounts."""
    return a + b


@server.component
async def cheapest(flow_id: str, offers: list[dict[str, Any]], context: Context) -> Priced:
    """Runs the flow on all offers at once. The key lets a later attempt of this step join the runs that there are."""
    runs = (
        context.evaluate_flow(flow_id, offer, key=f"offer {n}") for n, offer in enumerate(offers)
    )
    priced = [msgspec.convert(result, Priced) for result in await asyncio.gather(*runs)]
    return min(priced, key=lambda it: it.total)


if __name__ == "__main__":
    server.run()
