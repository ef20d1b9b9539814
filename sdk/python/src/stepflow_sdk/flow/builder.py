"""A flow as it is put together.

Owns the keys of flows and steps. What stands in them are expressions; whether the flow is sound, `stepflow validate`
says.
"""

from __future__ import annotations

import copy
import datetime as dt
import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec

from stepflow_sdk import jsontext, schema
from stepflow_sdk.flow import yamltext
from stepflow_sdk.flow.expression import Reference, to_data
from stepflow_sdk.flow.on_error import OnError

__all__ = ["FlowBuilder", "Step"]

T = TypeVar("T")

_ANY: Any = Any

Duration = float | str | dt.timedelta
"""Seconds, a text such as `"500ms"`, or a timedelta."""


class Step(Reference[T]):
    """A step of a flow, and the reference to its whole result: `step["field"]` is a part of that."""

    def __init__(self, id: str, *, output_schema: Any = None) -> None:
        super().__init__("$step", id, schema=output_schema)
        self.id = id
        """Its name in the flow."""


class FlowBuilder:
    """Puts a flow together, step by step.

    >>> flow = FlowBuilder(name="sum")
    >>> total = flow.step("add", "/lab/add", {"a": flow.input["a"], "b": 1}, output_type=int)
    >>> flow.output(total)
    >>> flow.to_dict()["steps"][0]["input"]
    {'a': {'$input': '$.a'}, 'b': 1}

    Args:
        name: What people call the flow.
        description: What it is for.
        version: The version its author gives it.
        input_type: The type of its input; gives the input's schema, and lets `flow.input[…]` be checked.
        output_type: The type of its result, for the output's schema.
        metadata: Whatever its author notes.
    """

    def __init__(
        self,
        *,
        name: str | None = None,
        description: str | None = None,
        version: str | None = None,
        input_type: Any = Any,
        output_type: Any = Any,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        given = {
            "name": name,
            "description": description,
            "version": version,
            "inputSchema": schema.of_type(input_type),
            "outputSchema": schema.of_type(output_type),
            "metadata": None if metadata is None else dict(metadata),
        }
        self._flow: dict[str, Any] = {key: it for key, it in given.items() if it is not None}

    @property
    def input(self) -> Reference[Any]:
        """The flow's input; `flow.input["name"]` is a part of it."""
        return Reference("$input", None, schema=_first(self._flow, "inputSchema", "input_schema"))

    def variable(
        self,
        name: str,
        type: Any = Any,
        *,
        default: Any = ...,
        is_secret: bool = False,
        env_var: str | None = None,
    ) -> Reference[Any]:
        """Declares a variable and returns the reference to it.

        Args:
            name: Its name.
            type: Its type, for its schema.
            default: Its value where none is given; none where this is left out.
            is_secret: Whether its value must not be shown.
            env_var: The environment variable its value is read from.
        """
        declared: dict[str, Any] = schema.of_type(type) or {}
        if default is not ...:
            declared["default"] = default
        if is_secret:
            declared["is_secret"] = True
        if env_var is not None:
            declared["env_var"] = env_var
        block = self._flow.setdefault("variables", {"type": "object", "properties": {}})
        block.setdefault("properties", {})[name] = declared
        return Reference("$variable", name)

    def step(
        self,
        id: str,
        component: str,
        input: Any = None,
        *,
        output_type: type[T] = _ANY,
        input_type: Any = Any,
        skip_if: Any = None,
        on_error: OnError | None = None,
        must_execute: bool = False,
        timeout: Duration | None = None,
        at_most_once: bool = False,
        metadata: Mapping[str, Any] | None = None,
    ) -> Step[T]:
        """Adds a step and returns the reference to its result.

        Args:
            id: Its name in the flow.
            component: The component that does it, such as `/python/add`; a bare name means a built-in.
            input: What goes into it: data with expressions in it.
            output_type: The type of its result; gives the schema it must fit, and lets `step[…]` be checked.
            input_type: The type of its input, for the schema it must fit.
            skip_if: A condition; if it holds, the step is left out.
            on_error: What to do when it fails.
            must_execute: Whether it runs though only places that are not reached refer to it.
            timeout: How long one attempt may take.
            at_most_once: Whether it is never run a second time when it may have run.
            metadata: Whatever its author notes.

        Raises:
            ValueError: There is a step with this id already.
        """
        steps: list[dict[str, Any]] = self._flow.setdefault("steps", [])
        if any(it.get("id") == id for it in steps):
            raise ValueError(f"a second step has the id {id!r}: give it another")
        output_schema = schema.of_type(output_type)
        given: dict[str, Any] = {
            "id": id,
            "component": component,
            "input": None if input is None else to_data(input),
            "skipIf": None if skip_if is None else to_data(skip_if),
            "onError": None if on_error is None else on_error.data,
            "mustExecute": must_execute or None,
            "timeout": timeout.total_seconds() if isinstance(timeout, dt.timedelta) else timeout,
            "atMostOnce": at_most_once or None,
            "inputSchema": schema.of_type(input_type),
            "outputSchema": output_schema,
            "metadata": None if metadata is None else dict(metadata),
        }
        steps.append({key: it for key, it in given.items() if it is not None})
        return Step(id, output_schema=output_schema)

    def existing_step(self, id: str) -> Step[Any]:
        """Returns the reference to a step that the flow has already.

        Raises:
            LookupError: There is none; the message says which may be meant.
        """
        steps = {it.get("id"): it for it in self._flow.get("steps", [])}
        if id not in steps:
            near = difflib.get_close_matches(id, [it for it in steps if it], n=1)
            hint = (
                f"did you mean {near[0]!r}?"
                if near
                else f"it has {', '.join(map(str, steps)) or 'none'}"
            )
            raise LookupError(f"the flow has no step {id!r}; {hint}")
        return Step(id, output_schema=_first(steps[id], "outputSchema", "output_schema"))

    def output(self, value: Any) -> None:
        """Sets what the flow's result is made from: data with expressions in it."""
        self._flow["output"] = to_data(value)

    def to_dict(self) -> dict[str, Any]:
        """Returns the flow as data.

        Raises:
            ValueError: It has no output yet.
        """
        if "output" not in self._flow:
            raise ValueError("the flow has no output: say what its result is with flow.output(…)")
        return copy.deepcopy(self._flow)

    def to_json(self) -> str:
        """Returns the flow as JSON text."""
        return jsontext.encode(self.to_dict(), what="the flow").decode()

    def to_yaml(self) -> str:
        """Returns the flow as YAML text; needs the extra `yaml`."""
        return yamltext.write(self.to_dict())

    def save(self, path: str | Path) -> None:
        """Writes the flow to a file: JSON if it ends in `.json`, else YAML."""
        path = Path(path)
        path.write_text(
            self.to_json() if path.suffix == ".json" else self.to_yaml(), encoding="utf-8"
        )

    @classmethod
    def from_dict(cls, flow: Mapping[str, Any]) -> FlowBuilder:
        """Returns a builder that goes on from a flow as data."""
        builder = cls()
        builder._flow = copy.deepcopy(dict(flow))
        return builder

    @classmethod
    def load(cls, path: str | Path) -> FlowBuilder:
        """Returns a builder that goes on from a file, YAML or JSON; YAML needs the extra `yaml`."""
        path = Path(path)
        text = path.read_text(encoding="utf-8")
        data = msgspec.json.decode(text) if path.suffix == ".json" else yamltext.read(text)
        if not isinstance(data, dict):
            raise TypeError(f"{path}: a flow is an object, and this is {type(data).__name__}")
        return cls.from_dict(cast("dict[str, Any]", data))


def _first(fields: Mapping[str, Any], *keys: str) -> Any:
    return next((fields[key] for key in keys if fields.get(key) is not None), None)
