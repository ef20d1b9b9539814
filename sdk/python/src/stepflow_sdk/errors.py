"""Errors a component may raise and errors it may meet.

Owns the exceptions of the SDK and the protocol's error numbers. Knows nothing of messages or transports.
"""

from __future__ import annotations

import enum
from typing import Any

__all__ = [
    "CallCancelled",
    "ComponentDefinitionError",
    "ErrorCode",
    "FlowFailed",
    "FlowSkipped",
    "InvalidInput",
    "NoBackChannel",
    "PeerClosed",
    "RemoteError",
    "SkipStep",
    "StepflowError",
]


class ErrorCode(enum.IntEnum):
    """The protocol's error numbers: what a server or the runtime says went wrong."""

    PARSE = -32700
    INVALID_REQUEST = -32600
    METHOD_NOT_FOUND = -32601
    INVALID_PARAMS = -32602
    INTERNAL = -32603
    SERVER = -32000
    COMPONENT_NOT_FOUND = -32001
    NOT_INITIALIZED = -32002
    INVALID_INPUT = -32003
    COMPONENT_FAILED = -32004
    RESOURCE_UNAVAILABLE = -32005
    TIMEOUT = -32006
    PERMISSION_DENIED = -32007
    BLOB_NOT_FOUND = -32008
    EXPRESSION_FAILED = -32009
    SESSION_EXPIRED = -32010
    BUSY = -32011
    CANCELLED = -32012
    OUTCOME_UNKNOWN = -32013


class StepflowError(Exception):
    """An error with a protocol code; raised by a component it reaches the flow's result untouched.

    >>> raise StepflowError(4242, "the upstream service is closed on Sundays", {"retry_on": "Monday"})
    Traceback (most recent call last):
    stepflow_sdk.errors.StepflowError: the upstream service is closed on Sundays
    """

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code = int(code)
        """The number a flow's `onError` and a reader of the result see."""
        self.message = message
        """One sentence: what happened and what to do about it."""
        self.data = data
        """Any JSON value with the details, or None."""


class InvalidInput(StepflowError):
    """The component's input does not have the shape its signature asks for (-32003)."""

    def __init__(self, message: str, data: Any = None) -> None:
        super().__init__(ErrorCode.INVALID_INPUT, message, data)


class RemoteError(StepflowError):
    """The runtime answered a call back with an error; code, message and data are the runtime's."""


class PeerClosed(StepflowError):
    """The runtime went away while a call back waited for its answer."""

    def __init__(
        self, message: str = "the runtime closed the connection before it answered"
    ) -> None:
        super().__init__(ErrorCode.RESOURCE_UNAVAILABLE, message)


class NoBackChannel(StepflowError):
    """The call came in a way that leaves no way back: a plain POST whose sender reads no stream."""

    def __init__(self) -> None:
        super().__init__(
            ErrorCode.RESOURCE_UNAVAILABLE,
            "no back channel: this call came by a plain POST, so the runtime cannot be asked anything; it has to open "
            "a session (GET …/runtime/events) or accept text/event-stream",
        )


class CallCancelled(StepflowError):
    """The runtime cancelled the call this component is working on; raised out of blocking call backs."""

    def __init__(self, reason: str | None = None) -> None:
        message = "the call was cancelled" + (f": {reason}" if reason else "")
        super().__init__(ErrorCode.CANCELLED, message, {"reason": reason} if reason else None)


class FlowFailed(StepflowError):
    """A flow evaluated by `evaluate_flow` failed; code, message and data are the flow's own."""


class FlowSkipped(StepflowError):
    """A flow evaluated by `evaluate_flow` was skipped, so it has no result."""

    def __init__(self, reason: str | None = None) -> None:
        message = "the evaluated flow was skipped" + (f": {reason}" if reason else "")
        super().__init__(
            ErrorCode.COMPONENT_FAILED, message, {"reason": reason} if reason else None
        )
        self.reason = reason
        """Why it was skipped, where the flow said so."""


class SkipStep(Exception):
    """Raised by a component to skip its step instead of producing an output.

    >>> raise SkipStep("no new orders")
    Traceback (most recent call last):
    stepflow_sdk.errors.SkipStep: no new orders
    """

    def __init__(self, reason: str | None = None) -> None:
        super().__init__(*([reason] if reason else []))
        self.reason = reason
        """Why there is nothing to do; shown beside the step."""


class ComponentDefinitionError(TypeError):
    """A function cannot be a component as it is written; the message says what to change."""
