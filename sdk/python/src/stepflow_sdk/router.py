"""Methods by name: decodes params, calls the handler, words the refusals.

Owns the table of methods and nothing else. The only place that looks inside params, and only of methods it knows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from stepflow_sdk import jsontext, schema
from stepflow_sdk.errors import ErrorCode, StepflowError
from stepflow_sdk.message import Envelope

if TYPE_CHECKING:
    from stepflow_sdk.peer import Peer

__all__ = ["Router"]

P = TypeVar("P")
_Entry = tuple[Callable[[Any], Any], Callable[[Any, Any, Any], Any]]


class Router:
    """What one end answers. The same router serves every peer and every transport."""

    def __init__(self) -> None:
        self._methods: dict[str, _Entry] = {}
        self._notifications: dict[str, _Entry] = {}

    def method(
        self, name: str, params: type[P], handler: Callable[[Peer, int | str, P], Any]
    ) -> None:
        """Adds a method. Its handler gets peer, id and params, and returns a result or an `Invocation`."""
        self._methods[name] = (jsontext.decoder(params).decode, handler)

    def notification(
        self, name: str, params: type[P], handler: Callable[[Peer, None, P], None]
    ) -> None:
        """Adds a notification's handler."""
        self._notifications[name] = (jsontext.decoder(params).decode, handler)

    def request(self, peer: Peer, envelope: Envelope) -> Any:
        """Answers a request: returns its result or raises the error to answer with."""
        entry = self._methods.get(envelope.method or "")
        if entry is None:
            known = ", ".join(sorted(self._methods))
            raise StepflowError(
                ErrorCode.METHOD_NOT_FOUND,
                f"there is no method {envelope.method!r}; this server has {known}",
                {"method": envelope.method},
            )
        decode, handler = entry
        try:
            params = decode(envelope.params)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
            # Absent and null params both mean none.
            if bytes(envelope.params) not in (b"", b"null"):
                raise _invalid_params(envelope, error) from error
            params = self._without_params(envelope, decode)
        return handler(peer, envelope.id, params)

    def notify(self, peer: Peer, envelope: Envelope) -> None:
        """Handles a notification; unknown and malformed ones are ignored, as nobody waits for an answer."""
        entry = self._notifications.get(envelope.method or "")
        if entry is None:
            return
        decode, handler = entry
        try:
            params = decode(
                envelope.params if bytes(envelope.params) not in (b"", b"null") else b"{}"
            )
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError):
            return
        handler(peer, None, params)

    def _without_params(self, envelope: Envelope, decode: Callable[[Any], Any]) -> Any:
        try:
            return decode(b"{}")
        except msgspec.ValidationError as error:
            raise _invalid_params(envelope, error) from error


def _invalid_params(envelope: Envelope, error: BaseException) -> StepflowError:
    if not isinstance(error, msgspec.ValidationError):
        problem = jsontext.text_problem(error)
        return StepflowError(
            ErrorCode.INVALID_PARAMS, f"the params of {envelope.method} cannot be read: {problem}"
        )
    pointer, message = schema.pointer_of(str(error))
    if missing := _missing_field(message):
        pointer = f"{pointer}/{missing}"
    return StepflowError(
        ErrorCode.INVALID_PARAMS,
        f"invalid params for {envelope.method} at {pointer or 'the top'}: {message}",
        {"pointer": pointer, "expected": message},
    )


def _missing_field(message: str) -> str | None:
    before, quote, rest = message.partition("missing required field `")
    return rest.rstrip("`") if quote and before else None
