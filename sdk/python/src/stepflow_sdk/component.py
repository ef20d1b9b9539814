"""A component: a callable with a path, schemas, and a typed way in.

Owns decoding of inputs and the words when they do not fit. Knows nothing of messages, threads or transports.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import msgspec

from stepflow_sdk import jsontext, schema, signature
from stepflow_sdk.errors import InvalidInput
from stepflow_sdk.protocol import ComponentInfo
from stepflow_sdk.schema import Violation

__all__ = ["Component", "invalid_input", "path_of"]


def path_of(name: str) -> str:
    """Returns a component's name as it stands on the wire, with one leading slash."""
    return "/" + name.strip("/")


class Component:
    """A callable that flows can use as a step."""

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        description: str | None = None,
    ) -> None:
        self.signature = signature.read(function)
        self.function = function
        self.path = path_of(name or self.signature.name)
        self.description = description or self.signature.description
        self.is_async = self.signature.is_async
        self.result_name = f"the result of {self.path}"
        """What errors call what it returns."""
        self.settled = False
        """Whether it was quick the last time; a hint for whoever schedules it, nothing else."""
        self._decode = self._decoder()
        self._plain = self.signature.input_name is not None and self.signature.context_name is None
        self._input_schema: dict[str, Any] | None = None

    def info(self) -> ComponentInfo:
        """Returns what listings show."""
        output = schema.of_type(self.signature.output_type, mode="serialization")
        return ComponentInfo(
            self.path, self.description, schema.of_type(self.signature.input_type), output
        )

    def decode(self, text: msgspec.Raw) -> Any:
        """Decodes an input to the type its function asks for.

        Raises:
            InvalidInput: It does not fit; the data lists JSON pointers and what was expected.
        """
        try:
            return self._decode(text)
        except Exception as error:
            raise self._refusal(bytes(text), error) from error

    def invoke(self, value: Any, context: Any) -> Any:
        """Calls the function with a decoded input; returns its result, or an awaitable of it."""
        if self._plain and len(self.signature.positional) == 1:
            return self.function(value)
        given = self._given(value)
        if self.signature.context_name is not None:
            given[self.signature.context_name] = context
        positional = [given.pop(name) for name in self.signature.positional if name in given]
        return self.function(*positional, **given)

    def _given(self, value: Any) -> dict[str, Any]:
        if self.signature.input_name is not None:
            return {self.signature.input_name: value}
        return {name: getattr(value, name) for name in self.signature.field_names or ()}

    def _decoder(self) -> Callable[[Any], Any]:
        kind = self.signature.input_type
        if jsontext.is_pydantic_model(kind):
            return lambda text: kind.model_validate_json(bytes(text))
        return jsontext.decoder(kind).decode

    def _refusal(self, text: bytes, error: Exception) -> InvalidInput:
        try:
            value = msgspec.json.decode(text)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as broken:
            return invalid_input(self.path, [Violation("", jsontext.text_problem(broken))])
        if (found := _pydantic_violations(error)) is not None:
            return invalid_input(self.path, found)
        if self._input_schema is None:
            self._input_schema = schema.of_type(self.signature.input_type) or {}
        found = schema.violations(self._input_schema, value)
        if not found:
            pointer, message = schema.pointer_of(str(error))
            found = [Violation(pointer, message)]
        return invalid_input(self.path, found)


def invalid_input(path: str, found: list[Violation]) -> InvalidInput:
    """Returns the error that lists what is wrong with a component's input."""
    first = "; ".join(str(it) for it in found[:3])
    more = f"; and {len(found) - 3} more" if len(found) > 3 else ""
    return InvalidInput(
        f"invalid input for {path}: {first}{more}",
        {"component": path, "violations": msgspec.to_builtins(found)},
    )


def _pydantic_violations(error: BaseException) -> list[Violation] | None:
    """Reads pydantic's own list of errors, also where msgspec wrapped it and knows only the model's place."""
    base = ""
    if isinstance(error, msgspec.ValidationError) and error.__cause__ is not None:
        base = schema.pointer_of(str(error))[0]
        error = error.__cause__
    listed = getattr(error, "errors", None)
    if not callable(listed):
        return None
    found: list[Violation] = []
    for it in cast("list[dict[str, Any]]", listed()):
        place = "".join(f"/{token}" for token in it.get("loc", ()))
        found.append(
            Violation(base + place, str(it.get("msg", "does not fit")), {"type": it.get("type")})
        )
    return found[: schema.MAX_VIOLATIONS]
