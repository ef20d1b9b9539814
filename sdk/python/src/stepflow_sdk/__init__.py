"""Write Stepflow components as typed Python functions.

>>> from stepflow_sdk import StepflowServer
>>> server = StepflowServer()
>>> @server.component
... def greet(name: str) -> str:
...     "Greets someone."
...     return f"Hello, {name}!"
"""

__version__ = "0.1.0"

from stepflow_sdk.context import Context, StepflowContext, SyncContext
from stepflow_sdk.errors import (
    CallCancelled,
    ComponentDefinitionError,
    ErrorCode,
    FlowFailed,
    FlowSkipped,
    InvalidInput,
    NoBackChannel,
    PeerClosed,
    RemoteError,
    SkipStep,
    StepflowError,
)
from stepflow_sdk.server import StepflowServer
from stepflow_sdk.transport.http.options import HttpLimits

__all__ = [
    "CallCancelled",
    "ComponentDefinitionError",
    "Context",
    "ErrorCode",
    "FlowFailed",
    "FlowSkipped",
    "HttpLimits",
    "InvalidInput",
    "NoBackChannel",
    "PeerClosed",
    "RemoteError",
    "SkipStep",
    "StepflowContext",
    "StepflowError",
    "StepflowServer",
    "SyncContext",
    "__version__",
]
