"""JSON-RPC 2.0 messages as data: classify a frame, write a frame.

Owns the envelope. Never looks inside params and results, and knows nothing of Stepflow's methods.
"""

from __future__ import annotations

import json
import re
from typing import Any, Literal, NoReturn, cast

import msgspec
from msgspec import Raw, Struct

__all__ = [
    "Envelope",
    "Id",
    "Malformed",
    "RpcError",
    "Success",
    "decode",
    "error_frame",
    "request_frame",
    "sought_id",
]

Id = int | str
"""A request's id. `1` and `"1"` are two ids; both are echoed as they came."""


class RpcError(Struct, omit_defaults=True):
    """The error member of a response."""

    code: int
    message: str
    data: Any = None


class Envelope(Struct, gc=False):
    """Any one well-formed message; `method` tells a request or notification from a response."""

    jsonrpc: Literal["2.0"]
    id: int | str | None = None
    method: str | None = None
    params: Raw = Raw()
    result: Raw = Raw()
    error: Raw = Raw()


class Malformed(Struct):
    """A frame that is no message.

    `answer` says whether whoever sent it can be answered: text that is not JSON never is, or two programs that
    misunderstand each other would answer errors with errors for ever.
    """

    reason: str
    id: int | str | None = None
    answer: bool = False
    is_json: bool = True
    """Whether it is JSON at all; over HTTP, where every POST is answered, that decides the error's code."""


class Success(Struct, tag_field="jsonrpc", tag="2.0", gc=False):
    """A response with a result, ready to be encoded."""

    id: int | str
    result: Any


class _Failure(Struct, tag_field="jsonrpc", tag="2.0"):
    id: int | str | None
    error: RpcError


class _Outgoing(Struct, tag_field="jsonrpc", tag="2.0", omit_defaults=True):
    method: str
    params: Any
    id: int | str | None = None


_decode_envelope = msgspec.json.Decoder(Envelope).decode
_encode = msgspec.json.Encoder().encode


def decode(frame: bytes) -> Envelope | Malformed:
    """Reads one frame; never raises. A byte order mark and white space around it are tolerated."""
    try:
        return _decode_envelope(frame)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        if frame.startswith(_BOM):
            return decode(frame[len(_BOM) :])
        return _diagnose(frame, error)


def error_frame(id: Id | None, error: RpcError) -> bytes:
    """Writes a response that carries an error; data that JSON cannot hold is left out, so this cannot fail."""
    try:
        return _encode(_Failure(id, error))
    except (TypeError, ValueError, OverflowError, RecursionError):
        # A lone surrogate in a message or an object in data must not cost the answer.
        message = error.message.encode("utf-8", "replace").decode("utf-8")
        return _encode(_Failure(id, RpcError(error.code, message)))


def request_frame(method: str, params: Any, id: Id | None = None) -> bytes:
    """Writes a request, or a notification where there is no id."""
    return _encode(_Outgoing(method, params, id))


def _diagnose(frame: bytes, error: BaseException) -> Malformed:
    """Finds out what is wrong with a frame the fast decoder refused."""
    try:
        message = json.loads(frame.decode(), parse_constant=_refuse_constant)
    except RecursionError:
        return Malformed(
            "it is nested too deeply", sought_id(frame[:4096], frame[-4096:]), answer=True
        )
    except ValueError:
        return Malformed(f"it is not JSON: {error}", is_json=False)
    if isinstance(message, list):
        return Malformed(
            "batches are not part of this protocol: send one message a frame", answer=True
        )
    if not isinstance(message, dict):
        return Malformed("it is JSON, but no JSON-RPC message (an object)")
    fields = cast("dict[str, Any]", message)
    id = fields.get("id")
    is_response = "method" not in fields and ("result" in fields or "error" in fields)
    if not _is_id(id):
        return Malformed("its id is neither a string nor an integer", answer=not is_response)
    answer = id is not None and not is_response
    return Malformed(f"it is no JSON-RPC 2.0 message: {error}", id, answer=answer)


def _is_id(value: Any) -> bool:
    """Tells whether a value can be an id, or none; a text with a lone surrogate could not be echoed."""
    if isinstance(value, str):
        return _is_sendable(value)
    return value is None or (isinstance(value, int) and not isinstance(value, bool))


def _is_sendable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_BOM = b"\xef\xbb\xbf"
_ID = r'"id"\s*:\s*("(?:[^"\\]|\\.)*"|-?\d+)'
_SCALAR = r'"(?:jsonrpc|method)"\s*:\s*"(?:[^"\\]|\\.)*"'
_HEAD = re.compile(rf"\A\s*\{{\s*(?:{_SCALAR}\s*,\s*)*{_ID}\s*[,}}]".encode())
_TAIL = re.compile(rf"[,{{]\s*{_ID}\s*(?:,\s*{_SCALAR}\s*)*\}}\s*\Z".encode())


def sought_id(head: bytes, tail: bytes) -> Id | None:
    """Looks for the id of a message of which only the first and the last bytes are kept.

    Only members that stand beside `jsonrpc` and `method` at either end count: an id inside params is not the message's.
    """
    found = _HEAD.search(head) or _TAIL.search(tail)
    if found is None:
        return None
    try:
        return msgspec.json.decode(found.group(1), type=int | str)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
