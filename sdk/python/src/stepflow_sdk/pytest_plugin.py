"""pytest's fixtures for components and flows; pytest finds them by itself where the SDK is installed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

__all__ = ["stepflow_call", "stepflow_run"]


@pytest.fixture
def stepflow_call() -> Callable[..., Any]:
    """Calls a component in this process: `stepflow_sdk.testing.call`."""
    from stepflow_sdk import testing  # noqa: PLC0415 - only tests that use it pay for it

    return testing.call


@pytest.fixture
def stepflow_run() -> Callable[..., Any]:
    """Runs a flow whose components are in this process: `stepflow_sdk.testing.run_flow`."""
    from stepflow_sdk import testing  # noqa: PLC0415 - as above

    return testing.run_flow
