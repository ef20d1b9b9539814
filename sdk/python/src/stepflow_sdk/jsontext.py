"""JSON text to typed values and back.

Owns the one decoder and encoder configuration of the SDK: exact integers, no NaN, pydantic models where pydantic
is installed. Knows nothing of JSON-RPC.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Protocol, TypeGuard, cast

import msgspec

__all__ = ["NotJson", "cleaned", "decoder", "encode", "is_pydantic_model", "text_problem"]


class NotJson(ValueError):
    """A value cannot be written as JSON; the message names the place inside it."""


class PydanticModel(Protocol):
    """The part of a pydantic model this SDK uses; pydantic itself is never imported."""

    @classmethod
    def model_validate(cls, obj: Any) -> Any: ...
    @classmethod
    def model_validate_json(cls, json_data: bytes) -> Any: ...
    @classmethod
    def model_json_schema(cls, *, mode: str = ...) -> dict[str, Any]: ...
    def model_dump(self, *, mode: str = ..., by_alias: bool = ...) -> Any: ...


def is_pydantic_model(kind: Any) -> TypeGuard[type[PydanticModel]]:
    """Tells whether `kind` is a pydantic model class, without importing pydantic."""
    return (
        isinstance(kind, type)
        and hasattr(kind, "__pydantic_validator__")
        and hasattr(kind, "model_validate")
    )


def _decode_foreign(kind: type, value: Any) -> Any:
    """Builds the types msgspec does not know from what it read."""
    if is_pydantic_model(kind):
        return kind.model_validate(value)
    raise NotImplementedError(f"{kind!r} cannot be read from JSON")


def _encode_foreign(value: Any) -> Any:
    """Turns the types msgspec does not know into ones it does: pydantic models, numpy arrays and scalars."""
    if is_pydantic_model(cast("Any", type(value))):
        return value.model_dump(mode="json", by_alias=True)
    if callable(to_list := getattr(value, "tolist", None)):
        return to_list()
    raise NotImplementedError(f"a {type(value).__qualname__} cannot be written as JSON")


_encoder = msgspec.json.Encoder(enc_hook=_encode_foreign)


def decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    """Returns a decoder for `kind`; making one is slow, using it is fast, so keep it."""
    return msgspec.json.Decoder(kind, dec_hook=_decode_foreign)


def encode(value: Any, *, what: str = "value", wrapped: Any = None) -> bytes:
    """Writes `value` as JSON text, refusing NaN and infinities.

    Args:
        value: What to write.
        what: How to call it in an error.
        wrapped: A message that contains `value` and only finite numbers else; written instead of it, so that an
            answer is encoded once.

    Raises:
        NotJson: Some part of it has no JSON form.
    """
    try:
        text = _encoder.encode(value if wrapped is None else wrapped)
    except (TypeError, ValueError, OverflowError, NotImplementedError, RecursionError) as error:
        raise NotJson(_why_not(value, what, error)) from error
    # The encoder writes NaN and infinities as null, so only a text with a null in it can hide one.
    if b"null" in text and (place := _non_finite(value)) is not None:
        pointer, number = place
        raise NotJson(f"{what}{_at(pointer)} is {number}: JSON has no such number")
    return text


def _non_finite(value: Any) -> tuple[str, float] | None:
    """Finds the first NaN or infinity in an encodable value."""
    plain = msgspec.to_builtins(value, enc_hook=_encode_foreign)
    try:
        json.dumps(plain, allow_nan=False)
    except (ValueError, TypeError):
        return _find(plain, "")
    return None


def _find(value: Any, pointer: str) -> tuple[str, float] | None:
    if isinstance(value, float):
        return None if math.isfinite(value) else (pointer, value)
    for key, child in _children(value):
        if found := _find(child, f"{pointer}/{key}"):
            return found
    return None


def _children(value: Any) -> list[tuple[str, Any]]:
    """Returns the parts of a container with their JSON pointer tokens."""
    if isinstance(value, Mapping):
        return [(_token(key), child) for key, child in cast("Mapping[Any, Any]", value).items()]
    if isinstance(value, (list, tuple, AbstractSet)):
        return [(str(index), child) for index, child in enumerate(cast("list[Any]", value))]
    if isinstance(value, msgspec.Struct):
        return [
            (name, getattr(value, name)) for name in value.__struct_fields__ if hasattr(value, name)
        ]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [(field.name, getattr(value, field.name)) for field in dataclasses.fields(value)]
    return []


def _token(key: Any) -> str:
    return str(key).replace("~", "~0").replace("/", "~1")


def _why_not(value: Any, what: str, error: BaseException) -> str:
    """Says which part of `value` has no JSON form: the deepest one that fails alone."""
    pointer, culprit, reason = "", value, error
    for _ in range(64):
        for token, child in _children(culprit):
            try:
                _encoder.encode(child)
            except (
                TypeError,
                ValueError,
                OverflowError,
                NotImplementedError,
                RecursionError,
            ) as inner:
                pointer, culprit, reason = f"{pointer}/{token}", child, inner
                break
        else:
            break
    if isinstance(reason, RecursionError):
        return f"{what} is nested too deeply or contains itself"
    return (
        f"{what}{_at(pointer)} is a {type(culprit).__qualname__}, which JSON cannot hold: {reason}"
    )


def _at(pointer: str) -> str:
    return f" at {pointer}" if pointer else ""


def text_problem(error: BaseException) -> str:
    """Words for text that could not be decoded at all (not for a wrong type)."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return f"it is not valid UTF-8: {error.reason} at byte {error.start}"
    return str(error)


def cleaned(text: str) -> str:
    """Returns text that can be sent: lone surrogates, as in undecodable file names, become escapes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text
