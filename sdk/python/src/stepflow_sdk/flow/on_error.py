"""What becomes of a step that fails.

Owns the forms of `onError`.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from stepflow_sdk.flow.expression import to_data

__all__ = ["Backoff", "OnError", "fail", "retry", "skip", "use_default"]


class OnError(msgspec.Struct, frozen=True):
    """What to do when a step fails; made by the functions of this module."""

    data: dict[str, Any]
    """As it stands in a flow."""


class Backoff(msgspec.Struct, frozen=True, rename="camel"):
    """How long to wait before each retry; durations are seconds, or texts such as `"500ms"`."""

    type: Literal["exponential", "constant", "fibonacci"] = "exponential"
    """How waits grow."""
    min_delay: float | str = 1
    """The first wait."""
    max_delay: float | str = 10
    """The longest wait."""
    factor: float = 2.0
    """How much longer each wait is, if they grow exponentially."""
    jitter: bool = True
    """Whether waits are shortened at random, so that many who failed at once do not return at once."""


def fail() -> OnError:
    """Fails the run, which is what happens anyway."""
    return OnError({"action": "fail"})


def skip() -> OnError:
    """Lets the step count as skipped."""
    return OnError({"action": "skip"})


def use_default(value: Any = None) -> OnError:
    """Lets the step succeed with this value, which may be an expression."""
    return OnError({"action": "useDefault", "defaultValue": to_data(value)})


def retry(
    max_retries: int = 3, *, backoff: Backoff | None = None, then: OnError | None = None
) -> OnError:
    """Tries the step again, so many times after the first; then does what `then` says, or fails."""
    data: dict[str, Any] = {"action": "retry", "maxRetries": max_retries}
    if backoff is not None:
        data["backoff"] = msgspec.to_builtins(backoff)
    if then is not None:
        if then.data["action"] == "retry":
            raise ValueError("after retries there is no further retry; raise max_retries instead")
        data["then"] = then.data
    return OnError(data)
