"""The built-in `/udf` component: code that travels with the flow, in a blob.

Owns how such code is read, compiled and cached. **It is not a sandbox**: the code runs in this process with all its
rights. Leave it out (`StepflowServer(udf=False)`) where flows come from people who may not run code here.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, cast

import msgspec
from msgspec import Struct

from stepflow_sdk import schema
from stepflow_sdk.component import invalid_input
from stepflow_sdk.context import Context, SyncContext
from stepflow_sdk.errors import ErrorCode, StepflowError

__all__ = ["Record", "Udf", "UdfInput"]

MAX_CACHED = 256
"""How many compiled functions are kept; the one not used for longest goes first."""


class UdfInput(Struct):
    """What `/udf` takes."""

    blob_id: str
    """The blob with the code."""
    input: Any = None
    """What the code gets as `input`."""


class UdfBlob(Struct):
    """What the blob holds."""

    code: str
    """An expression (`input.a + 1`), a lambda, a body with `return`, or functions."""
    input_schema: dict[str, Any] | None = None
    """Checked before the code runs."""
    function_name: str | None = None
    """Which of the functions in `code` to call."""


class Record(dict[str, Any]):
    """A JSON object whose fields can also be read as attributes: `input.user.name`."""

    def __getattr__(self, name: str) -> Any:
        """Returns a field."""
        try:
            return _readable(self[name])
        except KeyError:
            known = ", ".join(sorted(self)) or "none"
            raise AttributeError(f"the input has no field {name!r}; it has {known}") from None


class Udf:
    """Runs Python code stored as a blob with `{code, input_schema?, function_name?}`.

    The code is an expression over `input`, a lambda, a body that returns, or a module with a function. A function with
    one parameter gets the input, with several the input's fields by name; one called `context` gets the context.
    Not a sandbox.
    """

    def __init__(self) -> None:
        self._cache: OrderedDict[str, _Compiled] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, call: UdfInput, context: SyncContext) -> Any:
        """Runs the code of a blob; async code gives an awaitable."""
        compiled = self._compiled(call.blob_id, context)
        if compiled.input_schema is not None:
            found = schema.violations(compiled.input_schema, call.input)
            if found:
                raise invalid_input(f"/udf (blob {call.blob_id})", found)
        return compiled.call(_readable(call.input), context)

    def _compiled(self, blob_id: str, context: SyncContext) -> _Compiled:
        with self._lock:
            known = self._cache.get(blob_id)
            if known is not None:
                self._cache.move_to_end(blob_id)
                return known
        compiled = _compile(blob_id, _blob(blob_id, context.get_blob(blob_id)))
        with self._lock:
            self._cache[blob_id] = compiled
            if len(self._cache) > MAX_CACHED:
                self._cache.popitem(last=False)
        return compiled


class _Compiled:
    """A function made from a blob, and how to call it."""

    def __init__(self, function: Callable[..., Any], input_schema: dict[str, Any] | None) -> None:
        self.input_schema = input_schema
        self._function = function
        names = [
            it.name
            for it in inspect.signature(function).parameters.values()
            if it.default is it.empty
        ]
        self._wants_context = "context" in inspect.signature(function).parameters
        self._fields = [name for name in names if name != "context"]
        self._is_async = inspect.iscoroutinefunction(function)

    def call(self, input: Any, context: SyncContext) -> Any:
        named: dict[str, Any] = {}
        if self._wants_context:
            named["context"] = Context.of(context) if self._is_async else context
        if len(self._fields) <= 1:
            return self._function(**dict.fromkeys(self._fields, input), **named)
        if not isinstance(input, Mapping):
            raise TypeError(
                f"the code takes the fields {', '.join(self._fields)}, but its input is no object"
            )
        fields = cast("Mapping[str, Any]", input)
        accepted = inspect.signature(self._function).parameters
        return self._function(**{key: fields[key] for key in fields if key in accepted}, **named)


def _blob(blob_id: str, data: Any) -> UdfBlob:
    try:
        return msgspec.convert(data, UdfBlob)
    except msgspec.ValidationError as error:
        raise _bad_code(
            blob_id, f"it has no {{code, input_schema?, function_name?}}: {error}"
        ) from error


def _compile(blob_id: str, blob: UdfBlob) -> _Compiled:
    place = f"<udf {blob_id}>"
    try:
        function = _function(blob, place)
    except SyntaxError as error:
        line = f" in line {error.lineno}" if error.lineno else ""
        raise _bad_code(blob_id, f"its code is not valid Python{line}: {error.msg}") from error
    except (ValueError, LookupError) as error:
        raise _bad_code(blob_id, str(error)) from error
    return _Compiled(function, blob.input_schema)


def _function(blob: UdfBlob, place: str) -> Callable[..., Any]:
    # Read as an expression the code may be indented or spread over lines without parentheses of its own.
    text = blob.code.strip()
    if blob.function_name is None and text:
        try:
            expression = ast.parse(f"({text}\n)", place, "eval").body
        except SyntaxError:
            expression = None
        if isinstance(expression, ast.Lambda):
            return cast("Callable[..., Any]", _evaluated(ast.Expression(expression), place))
        if expression is not None:
            return _wrapped([ast.Return(expression)], place)
    module = ast.parse(textwrap.dedent(blob.code.strip("\n")), place)
    if blob.function_name is not None:
        return _named(_executed(module, place), blob.function_name)
    last = module.body[-1] if module.body else None
    if _returns(module):
        return _wrapped(module.body, place)
    if isinstance(last, ast.Expr):
        if isinstance(last.value, ast.Name) and (found := _defined(module, last.value.id)):
            return _named(_executed(module, place), found)
        return _wrapped([*module.body[:-1], ast.Return(last.value)], place)
    functions = [
        it.name for it in module.body if isinstance(it, (ast.FunctionDef, ast.AsyncFunctionDef))
    ]
    if len(functions) == 1:
        return _named(_executed(module, place), functions[0])
    if functions:
        raise ValueError(
            f"its code has several functions ({', '.join(functions)}): say which in function_name"
        )
    raise ValueError("its code has neither a return, nor a function, nor an expression at its end")


def _defined(module: ast.Module, name: str) -> str | None:
    """Returns the name if the module defines a function by it."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return name if any(isinstance(it, kinds) and it.name == name for it in module.body) else None


def _returns(module: ast.Module) -> bool:
    """Tells whether there is a `return` outside of any function."""
    pending: list[ast.AST] = list(module.body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Return):
            return True
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            pending.extend(ast.iter_child_nodes(node))
    return False


def _awaits(body: list[ast.stmt]) -> bool:
    pending: list[ast.AST] = list(body)
    while pending:
        node = pending.pop()
        if isinstance(node, (ast.Await, ast.AsyncFor, ast.AsyncWith)):
            return True
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            pending.extend(ast.iter_child_nodes(node))
    return False


def _wrapped(body: list[ast.stmt], place: str) -> Callable[..., Any]:
    """Makes statements the body of a function of `input` and `context`."""
    kind = "async def" if _awaits(body) else "def"
    module = ast.parse(f"{kind} udf(input, context): pass", place)
    cast("ast.FunctionDef", module.body[0]).body = body
    return _named(_executed(ast.fix_missing_locations(module), place), "udf")


def _executed(module: ast.Module, place: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "stepflow_udf"}
    exec(compile(module, place, "exec"), names)  # noqa: S102 - running code is what this component is for
    return names


def _evaluated(expression: ast.Expression, place: str) -> Any:
    names = {"__name__": "stepflow_udf"}
    return eval(compile(ast.fix_missing_locations(expression), place, "eval"), names)  # noqa: S307 - as above


def _named(names: dict[str, Any], name: str) -> Callable[..., Any]:
    found = names.get(name)
    if not callable(found):
        known = [key for key, value in names.items() if inspect.isfunction(value)]
        there = ", ".join(known) or "none"
        raise LookupError(f"its code defines no function {name!r}; it defines {there}")  # noqa: TRY004 - it is absent
    return cast("Callable[..., Any]", found)


def _readable(value: Any) -> Any:
    """Makes the fields of an object readable as attributes."""
    if isinstance(value, dict) and not isinstance(value, Record):
        return Record(cast("dict[str, Any]", value))
    return value


def _bad_code(blob_id: str, problem: str) -> StepflowError:
    return StepflowError(
        ErrorCode.INVALID_INPUT,
        f"the blob {blob_id} cannot be run: {problem}",
        {"blob_id": blob_id},
    )
