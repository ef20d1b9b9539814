"""A Python callable read as a component: which parameter is the context, what its input and output are.

Owns the rule of how a component's input reaches its parameters. Calls nothing and knows nothing of the wire.
"""

from __future__ import annotations

import functools
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, cast

import msgspec
from msgspec import Struct

from stepflow_sdk.errors import ComponentDefinitionError

__all__ = ["ContextKind", "Signature", "read"]

ContextKind = typing.Literal["async", "sync"]
"""Which of the two contexts a component takes."""

_CONTEXT_NAMES: dict[str, ContextKind] = {
    "Context": "async",
    "StepflowContext": "async",
    "SyncContext": "sync",
}


class Signature(Struct, frozen=True):
    """How to call one component.

    The rule: **one** parameter (besides the context) takes the whole input; **several** take the fields of an input
    object by their names; **none** ignores the input.
    """

    name: str
    """The callable's own name."""
    description: str | None
    """Its docstring."""
    is_async: bool
    """Whether calling it gives an awaitable."""
    input_type: Any
    """What the input is decoded to; a generated struct where several parameters share it."""
    output_type: Any
    """What it returns, `Any` where it does not say."""
    input_name: str | None
    """The one parameter that takes the whole input."""
    field_names: tuple[str, ...] | None
    """The parameters that take the input's fields."""
    positional: tuple[str, ...]
    """Parameters passed by position, in order; the others go by name."""
    context_name: str | None
    """The parameter that takes the context."""
    context_kind: ContextKind | None
    """Which of the two contexts it takes."""


def read(function: Callable[..., Any]) -> Signature:
    """Reads a callable: a function, method, partial or an object with `__call__`.

    Raises:
        ComponentDefinitionError: It cannot be a component as it is written.
    """
    inner, bound = _unwrapped(function)
    name = getattr(inner, "__name__", None) or type(inner).__name__
    target = inner if inspect.isroutine(inner) else type(inner).__call__
    if inspect.isgeneratorfunction(target) or inspect.isasyncgenfunction(target):
        raise ComponentDefinitionError(
            f"{name} yields; a component returns one value: return a list instead"
        )
    parameters = _parameters(function, name, bound)
    hints = _Hints(target, name)
    context_name, context_kind = _context_of(parameters, hints, name)
    is_async = inspect.iscoroutinefunction(target)
    if is_async and context_kind == "sync":
        raise ComponentDefinitionError(
            f"{name} is async, so its context blocks the event loop: annotate {context_name} as Context"
        )
    if not is_async and context_kind == "async" and not hasattr(target, "__wrapped__"):
        raise ComponentDefinitionError(
            f"{name} is a plain function and cannot await its context: annotate {context_name} as SyncContext, "
            f"or make it async"
        )
    fields = [it for it in parameters if it.name != context_name]
    input_name = fields[0].name if len(fields) == 1 else None
    return Signature(
        name=name,
        description=_description(inner, target),
        is_async=is_async,
        input_type=_input_type(name, fields, hints),
        output_type=_shown(hints.of_return()),
        input_name=input_name,
        field_names=tuple(it.name for it in fields) if len(fields) > 1 else None,
        positional=tuple(
            it.name for it in parameters if it.kind is not inspect.Parameter.KEYWORD_ONLY
        ),
        context_name=context_name,
        context_kind=context_kind,
    )


def _unwrapped(function: Callable[..., Any]) -> tuple[Callable[..., Any], set[str]]:
    """Looks through partials; returns what they call and the names they already gave."""
    if not callable(function):
        raise ComponentDefinitionError(f"{function!r} is not callable, so it cannot be a component")
    bound: set[str] = set()
    while isinstance(function, functools.partial):
        bound.update(function.keywords)
        function = cast("Callable[..., Any]", function.func)
    return function, bound


def _parameters(
    function: Callable[..., Any], name: str, bound: set[str]
) -> list[inspect.Parameter]:
    try:
        signature = inspect.signature(function)
    except ValueError as error:
        raise ComponentDefinitionError(
            f"{name} has no readable signature; wrap it in a def"
        ) from error
    found: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        if parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
            raise ComponentDefinitionError(
                f"{name} takes {parameter}, so its input cannot be described; name its parameters "
                f"(a decorator around it should use functools.wraps)"
            )
        if parameter.name not in bound:
            found.append(parameter)
    return found


class _Hints:
    """Annotations of one callable, resolved one by one so that one bad name does not hide the others."""

    def __init__(self, target: Callable[..., Any], name: str) -> None:
        function = inspect.unwrap(target)
        function = getattr(function, "__func__", function)
        self._name = name
        self._annotations = cast("dict[str, Any]", getattr(function, "__annotations__", {}))
        self._globals = cast("Mapping[str, Any]", getattr(function, "__globals__", {}))
        self._locals = _closure(function)

    def of(self, parameter: str) -> Any:
        """Returns the type of a parameter, `Any` where it has none."""
        annotation = self._annotations.get(parameter, Any)
        return self._resolved(annotation, f"parameter {parameter}")

    def of_return(self) -> Any:
        """Returns the type of the result, `Any` where it says none."""
        return self._resolved(self._annotations.get("return", Any), "the result")

    def context_kind(self, parameter: str) -> ContextKind | None:
        """Returns which context a parameter asks for; names alone suffice, as under `if TYPE_CHECKING`."""
        annotation = self._annotations.get(parameter)
        if isinstance(annotation, str):
            words = [part.strip(" '\"[]").rpartition(".")[2] for part in _split_union(annotation)]
        else:
            members = typing.get_args(annotation) if _is_union(annotation) else (annotation,)
            words = [
                str(getattr(it, "__name__", ""))
                for it in members
                if getattr(it, "__module__", "") == "stepflow_sdk.context"
            ]
        return next((_CONTEXT_NAMES[word] for word in words if word in _CONTEXT_NAMES), None)

    def _resolved(self, annotation: Any, where: str) -> Any:
        if annotation is None:
            return type(None)
        if not isinstance(annotation, str):
            return annotation
        try:
            return eval(annotation, {**self._globals}, self._locals)  # noqa: S307 - the author's own annotation
        except Exception as error:
            raise ComponentDefinitionError(
                f"the annotation {annotation!r} of {where} of {self._name} cannot be resolved ({error}): "
                f"define or import its names at the top of the module"
            ) from error


def _closure(function: Any) -> dict[str, Any]:
    """Returns what a nested function sees of the functions around it."""
    try:
        return dict(inspect.getclosurevars(function).nonlocals)
    except (TypeError, ValueError):
        return {}


def _split_union(annotation: str) -> list[str]:
    text = annotation.strip(" '\"")
    for prefix in ("Optional[", "typing.Optional[", "Union[", "typing.Union["):
        if text.startswith(prefix):
            text = text[len(prefix) : -1].replace(",", "|")
    return text.split("|")


def _is_union(annotation: Any) -> bool:
    return typing.get_origin(annotation) in (typing.Union, types.UnionType)


def _context_of(
    parameters: list[inspect.Parameter], hints: _Hints, name: str
) -> tuple[str | None, ContextKind | None]:
    found: list[tuple[str, ContextKind]] = [
        (it.name, kind) for it in parameters if (kind := hints.context_kind(it.name)) is not None
    ]
    if len(found) > 1:
        raise ComponentDefinitionError(f"{name} asks for the context more than once")
    return found[0] if found else (None, None)


def _input_type(name: str, fields: list[inspect.Parameter], hints: _Hints) -> Any:
    if not fields:
        return Any
    if len(fields) == 1:
        return _shown(hints.of(fields[0].name))
    # Required fields may follow optional ones in a signature with keyword-only parameters; in a struct all go by name.
    members: list[Any] = [
        (it.name, _shown(hints.of(it.name)))
        if it.default is inspect.Parameter.empty
        else (it.name, _shown(hints.of(it.name)), _default(it.default))
        for it in fields
    ]
    # As in any call of the function, a name it does not have is a mistake.
    return msgspec.defstruct(f"{name}_input", members, kw_only=True, forbid_unknown_fields=True)


def _default(value: Any) -> Any:
    """Returns a struct's default; plain ones appear in the schema, others are only used."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return msgspec.field(default=value)
    return msgspec.field(default_factory=lambda: value)


def _shown(kind: Any) -> Any:
    """Looks through `Awaitable[T]` and friends, which a plain function that returns a coroutine may declare."""
    origin = typing.get_origin(kind)
    if isinstance(origin, type) and issubclass(origin, typing.Awaitable):
        arguments = typing.get_args(kind)
        return arguments[-1] if arguments else Any
    return Any if kind in (typing.NoReturn, inspect.Parameter.empty) else kind


def _description(inner: Callable[..., Any], target: Callable[..., Any]) -> str | None:
    text = inner.__doc__ if inspect.isroutine(inner) else type(inner).__doc__ or target.__doc__
    return inspect.cleandoc(text) if text else None
