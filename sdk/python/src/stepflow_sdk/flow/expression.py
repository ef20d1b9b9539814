"""Expressions: what a value is made from when the flow runs.

Owns the forms of the flow language's expressions and how Python data with expressions in it becomes one. Knows
nothing of steps, nor of files.
"""

from __future__ import annotations

import difflib
import json
import re
import string
from collections.abc import Mapping
from typing import Any, Generic, NoReturn, TypeVar, cast

import msgspec

__all__ = ["Expression", "Reference", "coalesce", "if_", "literal", "template", "to_data"]

T = TypeVar("T")

_MOST_REFERENCES = 32
"""How many definitions that only name another are followed."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


class Expression(Generic[T]):
    """Something that has a value of type `T` when the flow runs, and none before.

    It can be put anywhere into the data that steps and the output are made from. It cannot be looked at in Python:
    there is nothing in it yet.
    """

    def __init__(self, data: Any) -> None:
        self._data = data

    def to_data(self) -> Any:
        """Returns the expression as it stands in a flow."""
        return self._data

    def __repr__(self) -> str:
        return json.dumps(self.to_data(), ensure_ascii=False)

    def __bool__(self) -> NoReturn:
        raise TypeError(
            "an expression has no value before the flow runs: choose with if_(condition, then, otherwise)"
        )

    def __eq__(self, other: object) -> NoReturn:
        raise TypeError(
            "an expression has no value before the flow runs, and nothing compares in a flow: let a component do that"
        )

    __hash__ = object.__hash__

    def __contains__(self, item: object) -> NoReturn:
        raise TypeError(
            "an expression has no items before the flow runs, and nothing compares in a flow: let a component do that"
        )

    def __iter__(self) -> NoReturn:
        raise TypeError(
            "an expression has no items before the flow runs: take one by its place, or give the list to /builtin/map"
        )


class Reference(Expression[T]):
    """A value from the flow's input, a step or a variable; with `[…]`, a part of it.

    Where the type of the whole is known, a part that it does not have is an error at once.
    """

    def __init__(
        self,
        source: str,
        name: str | None,
        path: tuple[str | int, ...] = (),
        *,
        schema: Any = None,
        definitions: Mapping[str, Any] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(None)
        self._source = source
        self._name = name
        self._path = path
        self._schema = schema
        self._definitions = definitions if definitions is not None else _definitions(schema)
        self._extra = dict(extra or {})

    def __getitem__(self, key: str | int) -> Reference[Any]:
        return self._with(path=(*self._path, key), schema=self._part(key))

    def or_default(self, value: Any) -> Reference[T]:
        """Returns the same with a value to take instead: where the step is skipped, or the variable has none."""
        if self._source == "$step":
            extra = {"onSkip": {"action": "useDefault", "defaultValue": to_data(value)}}
        elif self._source == "$variable":
            extra = {"default": to_data(value)}
        else:
            raise TypeError(
                "only a step can be skipped, and only a variable be without a value; for what the input may lack, "
                "write coalesce(flow.input[…], default)"
            )
        return self._with(path=self._path, schema=self._schema, extra=extra)

    def _with(self, **changed: Any) -> Reference[Any]:
        kept: dict[str, Any] = {"definitions": self._definitions, "extra": self._extra}
        return Reference(self._source, self._name, **{**kept, **changed})

    def to_data(self) -> Any:
        """Returns the reference as it stands in a flow."""
        if self._source == "$input":
            return {"$input": _path_text(self._path)}
        if self._source == "$variable":
            whole = _path_text((cast("str", self._name), *self._path))
            return {"$variable": whole, **self._extra}
        path = {"path": _path_text(self._path)} if self._path else {}
        return {self._source: self._name, **path, **self._extra}

    def template_text(self) -> str:
        """Returns the reference as it stands between the braces of a template."""
        if self._extra:
            raise TypeError(
                "a template takes no defaults: put the value into a step's input, or use coalesce(template(…), …)"
            )
        named = () if self._name is None else (self._name,)
        return self._source + _path_text((*named, *self._path))[1:]

    def _part(self, key: str | int) -> Any:
        """Finds the schema of a part; None where nothing is known."""
        schema = self._resolved()
        if schema is None:
            return None
        if isinstance(key, int):
            return schema.get("items")
        known: dict[str, Any] = schema.get("properties") or {}
        others = schema.get("additionalProperties")
        if key not in known and (others or not known):
            return others
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(known)}"
            raise LookupError(f"{self!r} has no field {key!r}; {hint}")
        return known[key]

    def _resolved(self) -> dict[str, Any] | None:
        schema = self._schema
        for _ in range(_MOST_REFERENCES):
            if not isinstance(schema, dict):
                return None
            known = cast("dict[str, Any]", schema)
            reference = known.get("$ref")
            if not isinstance(reference, str):
                return known
            schema = self._definitions.get(reference.removeprefix("#/$defs/"))
        return None


def _definitions(schema: Any) -> Mapping[str, Any]:
    return cast("dict[str, Any]", schema).get("$defs", {}) if isinstance(schema, dict) else {}


def literal(value: Any) -> Expression[Any]:
    """Returns data that is taken as it is, whatever keys it has."""
    return Expression({"$literal": msgspec.to_builtins(value)})


def if_(condition: Any, then: Any, otherwise: Any = None) -> Expression[Any]:
    """Returns a choice: `then` unless the condition is false or null; only what is chosen is made."""
    data = {"$if": to_data(condition), "then": to_data(then)}
    return Expression(data if otherwise is None else {**data, "else": to_data(otherwise)})


def coalesce(*items: Any) -> Expression[Any]:
    """Returns the first item that has a value: not null, not missing, not skipped; later ones are not looked at."""
    return Expression({"$coalesce": [to_data(it) for it in items]})


def template(text: str, /, *positional: Reference[Any], **named: Reference[Any]) -> Expression[str]:
    """Returns text with values in it, with the placeholders of `str.format`: `template("Dear {}", flow.input["name"])`.

    Strings appear as they are, other values as JSON.
    """
    pieces: list[str] = []
    literal_text = ""
    following = iter(positional)
    for before, field, form, conversion in string.Formatter().parse(text):
        # A brace that is meant ends a piece, though the text goes on.
        literal_text += before
        if field is None:
            continue
        if form or conversion:
            raise ValueError(f"{{{field}}}: a template does not format; let a component do that")
        value = _argument(field, following, positional, named)
        if not isinstance(value, Reference):
            raise TypeError(
                f"{{{field}}} stands for {value!r}: only references can stand in a template"
            )
        pieces += [_escaped(literal_text), f"{{{{ {value.template_text()} }}}}"]
        literal_text = ""
    return Expression({"$template": "".join([*pieces, _escaped(literal_text)])})


def _escaped(text: str) -> str:
    return text.replace("{{", "{{{{")


def _argument(field: str, following: Any, positional: Any, named: Any) -> Any:
    try:
        if not field:
            return next(following)
        return positional[int(field)] if field.isdigit() else named[field]
    except (StopIteration, LookupError) as error:
        raise LookupError(f"{{{field}}}: no value is given for this placeholder") from error


def to_data(value: Any) -> Any:
    """Returns data with expressions in it as it stands in a flow.

    Objects and lists are walked through; Structs, dataclasses and such become objects. Plain data whose keys look like
    expressions is kept from being taken for some, and so is a whole flow.
    """
    if isinstance(value, Expression):
        return cast("Expression[Any]", value).to_data()
    if isinstance(value, Mapping):
        entries = {str(key): it for key, it in cast("Mapping[Any, Any]", value).items()}
        if not any(key.startswith("$") for key in entries):
            return {key: to_data(it) for key, it in entries.items()}
        if _has_expression(entries):
            raise ValueError(
                f"{', '.join(entries)}: keys that start with $ are expressions; build them with the functions of this "
                "module"
            )
        return {"$literal": msgspec.to_builtins(entries)}
    if isinstance(value, (list, tuple)):
        return [to_data(it) for it in cast("list[Any]", value)]
    if callable(flow := getattr(value, "to_dict", None)):
        return {"$literal": flow()}
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    fields = _fields_of(value)
    return msgspec.to_builtins(value) if fields is None else to_data(fields)


def _fields_of(value: Any) -> dict[str, Any] | None:
    """Returns the fields of a record, which may hold expressions; None for anything else."""
    names = getattr(value, "__struct_fields__", None) or getattr(
        value, "__dataclass_fields__", None
    )
    return None if names is None else {name: getattr(value, name) for name in names}


def _has_expression(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_has_expression, cast("Mapping[Any, Any]", value).values()))
    if isinstance(value, (list, tuple)):
        return any(map(_has_expression, cast("list[Any]", value)))
    return isinstance(value, Expression)


def _path_text(path: tuple[str | int, ...]) -> str:
    return "$" + "".join(map(_segment, path))


def _segment(key: str | int) -> str:
    if isinstance(key, int):
        return f"[{key}]"
    return f".{key}" if _NAME.match(key) else f"[{json.dumps(key, ensure_ascii=False)}]"
