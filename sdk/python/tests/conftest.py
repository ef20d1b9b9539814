from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import settings

import http_runtime
from runtime import Runtime

# The same inputs made by chance on every machine: what a check says must not depend on the day.
settings.register_profile("same", derandomize=True)
settings.load_profile("same")


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Runtime]]:
    """Starts a server with the given source; initialises it unless told not to."""
    with ExitStack() as children:

        def start(
            source: str = "", *, initialize: bool = True, name: str = "my_server", **params
        ) -> Runtime:
            (tmp_path / f"{name}.py").write_text(
                "from stepflow_sdk import *\nserver = StepflowServer(udf=False)\n"
                + textwrap.dedent(source)
            )
            child = children.enter_context(
                Runtime(tmp_path, "-m", "stepflow_sdk", f"{name}:server")
            )
            if initialize:
                child.initialize(**params)
            return child

        yield start


@pytest.fixture(
    scope="module",
    params=[{}, {"http": "h11", "loop": "asyncio"}],
    ids=["as-installed", "pure-python"],
)
def any_uvicorn(request: pytest.FixtureRequest) -> Iterator[None]:
    """Serves with the fast parts that are installed, and then with those that are always there."""
    before, http_runtime.PARTS = http_runtime.PARTS, request.param
    yield
    http_runtime.PARTS = before
