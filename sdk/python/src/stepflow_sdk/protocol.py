"""Stepflow's methods as data: their names, params and results, and what this SDK speaks of them.

Owns the wire shapes. Knows nothing of how they travel or who runs them.
"""

from __future__ import annotations

from typing import Any

from msgspec import Raw, Struct

__all__ = [
    "CAPABILITIES",
    "DEFAULT_MAX_MESSAGE_BYTES",
    "PROTOCOL_VERSION",
    "BatchDetails",
    "BatchOutput",
    "ComponentInfo",
    "ExecuteParams",
]

PROTOCOL_VERSION = 1
"""The one protocol version this SDK speaks; the runtime's has to be in the range 1..1."""

DEFAULT_MAX_MESSAGE_BYTES = 256 * 1024 * 1024
"""The largest message accepted, and sent to a runtime that does not name a limit of its own."""

CAPABILITIES: dict[str, dict[str, Any]] = {"cancel": {}, "progress": {}, "log": {}, "ping": {}}
"""What a server made with this SDK understands beyond the core methods."""

INITIALIZE = "initialize"
INITIALIZED = "initialized"
PING = "ping"
CANCEL = "$/cancelRequest"
PROGRESS = "$/progress"
LOG = "$/log"
COMPONENTS_LIST = "components/list"
COMPONENTS_INFO = "components/info"
COMPONENTS_EXECUTE = "components/execute"
BLOBS_PUT = "blobs/put"
BLOBS_GET = "blobs/get"
FLOWS_EVALUATE = "flows/evaluate"
FLOWS_GET_METADATA = "flows/get_metadata"
FLOWS_SUBMIT_BATCH = "flows/submit_batch"
FLOWS_GET_BATCH = "flows/get_batch"


class InitializeParams(Struct):
    """What the runtime says of itself in the handshake."""

    runtime_protocol_version: int
    protocol_prefix: str | None = None
    max_message_bytes: int | None = None
    capabilities: dict[str, Any] | None = None


class Implementation(Struct):
    """The name and version of one end."""

    name: str
    version: str


class InitializeResult(Struct):
    """What the server says of itself in the handshake."""

    server_protocol_version: int
    server: Implementation
    max_message_bytes: int
    capabilities: dict[str, Any]


class ComponentInfo(Struct, omit_defaults=True):
    """One component as listings show it."""

    component: str
    """Its path, with a leading slash."""
    description: str | None = None
    """What it does, from its docstring."""
    input_schema: dict[str, Any] | None = None
    """JSON Schema of its input."""
    output_schema: dict[str, Any] | None = None
    """JSON Schema of its output."""


class InfoParams(Struct):
    """Names the component to describe."""

    component: str


class ExecuteParams(Struct, gc=False):
    """One call of a component; everything but the component and its input may be missing."""

    component: str
    input: Raw
    attempt: int | None = None
    step_id: str | None = None
    run_id: str | None = None
    flow_id: str | None = None
    observability: Raw = Raw()
    idempotency_key: str | None = None
    deadline_ms: float | None = None
    capabilities: dict[str, Any] | None = None


class CancelParams(Struct):
    """Names the request that nobody waits for any more."""

    id: int | str
    reason: str | None = None


class PutBlobResult(Struct):
    """Where a blob was stored."""

    blob_id: str


class GetBlobResult(Struct):
    """A stored blob."""

    data: Any
    blob_type: str | None = None


class FlowError(Struct):
    """Why a flow failed."""

    code: int
    message: str
    data: Any = None


class FlowResult(Struct):
    """How a flow ended: `success`, `skipped` or `failed`, each with its own field."""

    outcome: str
    result: Any = None
    reason: str | None = None
    error: FlowError | None = None


class EvaluateResult(Struct):
    """The answer of `flows/evaluate`."""

    result: FlowResult


class Metadata(Struct):
    """What a flow's author wrote under `metadata`, for the flow and for one step of it."""

    flow_metadata: dict[str, Any] | None = None
    step_metadata: dict[str, Any] | None = None


class Batch(Struct):
    """A batch of runs that was started."""

    batch_id: str
    total_runs: int


class BatchDetails(Struct):
    """How far a batch is."""

    batch_id: str
    total_runs: int
    status: str
    flow_id: str | None = None
    flow_name: str | None = None
    created_at: Any = None
    completed_at: Any = None
    completed_runs: int = 0
    running_runs: int = 0
    failed_runs: int = 0
    cancelled_runs: int = 0
    paused_runs: int = 0


class BatchOutput(Struct):
    """How one item of a batch ended."""

    batch_input_index: int
    status: str
    result: FlowResult | None = None


class BatchStatus(Struct):
    """A batch and, where asked for, the outcome of each item in input order."""

    details: BatchDetails
    outputs: list[BatchOutput] | None = None
