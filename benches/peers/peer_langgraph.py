"""LangGraph without a checkpointer: as many nodes as steps, in this process."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from operator import add
from typing import Annotated, Any, TypedDict

from langgraph.graph import END, START, StateGraph
from work import INPUT


class State(TypedDict):
    """What the nodes pass on, and what all of them have returned."""

    last: dict[str, Any]
    all: Annotated[list[dict[str, Any]], add]


def chained(state: State) -> dict[str, Any]:
    """Returns its input, for the next node."""
    return {"last": state["last"]}


def gathered(state: State) -> dict[str, Any]:
    """Returns its input, next to the others."""
    return {"all": [state["last"]]}


def graph(n: int, in_flight: int) -> Any:
    """So many nodes: one after the other, or all at once."""
    builder = StateGraph(State)
    for step in range(n):
        builder.add_node(f"s{step}", chained if in_flight == 1 else gathered)
        before = START if in_flight > 1 or step == 0 else f"s{step - 1}"
        builder.add_edge(before, f"s{step}")
    if in_flight == 1:
        builder.add_edge(f"s{n - 1}", END)
    return builder.compile()


@asynccontextmanager
async def opened(_name: str) -> AsyncIterator[Callable[[int, int], Awaitable[float]]]:
    """Compiles each graph once."""
    graphs: dict[tuple[int, int], Any] = {}

    async def measure(n: int, in_flight: int) -> float:
        if (n, in_flight) not in graphs:
            graphs[n, in_flight] = graph(n, in_flight)
        start = time.perf_counter()
        state = graphs[n, in_flight].invoke({"last": INPUT, "all": []}, {"recursion_limit": n + 10})
        elapsed = time.perf_counter() - start
        assert state["last"] == INPUT
        assert len(state["all"]) == (0 if in_flight == 1 else n)
        return elapsed

    yield measure
