"""JSON Schemas: made from Python types, and a small validator that says where and why a value does not fit.

Owns the words of "invalid input". Decoding by type is msgspec's or pydantic's work; this module only explains its
refusals, and checks the `input_schema` of user-defined functions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, cast

import msgspec
from msgspec import Struct

from stepflow_sdk.jsontext import is_pydantic_model

__all__ = ["Violation", "of_type", "pointer_of", "violations"]

MAX_VIOLATIONS = 20
"""How many violations are reported for one value; the rest is noise."""

Schema = dict[str, Any]


class Violation(Struct):
    """One place of a value that does not fit its schema."""

    pointer: str
    """JSON pointer of the place; empty for the whole value."""
    message: str
    """What is wrong there."""
    expected: Any = None
    """The part of the schema that it breaks, as `{keyword: value}`."""

    def __str__(self) -> str:
        return f"{self.pointer or 'the whole input'}: {self.message}"


def of_type(kind: Any, *, mode: str = "validation") -> Schema | None:
    """Returns the JSON Schema of a type, or None where it says nothing (`Any`) or cannot be described."""
    if kind is Any:
        return None
    try:
        if is_pydantic_model(kind):
            return kind.model_json_schema(mode=mode)
        schema = msgspec.json.schema(kind, schema_hook=lambda it: _foreign_schema(it, mode))
    except (TypeError, RuntimeError):
        return None
    return _flattened(schema)


def _foreign_schema(kind: type, mode: str) -> Schema:
    if is_pydantic_model(kind):
        return kind.model_json_schema(mode=mode)
    return {}


def _flattened(schema: Schema) -> Schema:
    """Makes a lone reference to a definition the definition itself, and moves nested `$defs` to the top."""
    definitions: Schema = {}

    def hoist(node: Any) -> Any:
        if isinstance(node, list):
            return [hoist(it) for it in cast("list[Any]", node)]
        if not isinstance(node, dict):
            return node
        fields = cast("Schema", node)
        for name, definition in cast("Schema", fields.get("$defs", {})).items():
            definitions[name] = hoist(definition)
        return {key: hoist(value) for key, value in fields.items() if key != "$defs"}

    flat: Schema = hoist(schema)
    reference = flat.get("$ref")
    if len(flat) == 1 and isinstance(reference, str):
        name = reference.removeprefix("#/$defs/")
        flat = dict(definitions[name])
        if f'"{reference}"'.encode() not in msgspec.json.encode([flat, definitions]):
            del definitions[name]
    if definitions:
        flat["$defs"] = definitions
    return flat


def pointer_of(message: str) -> tuple[str, str]:
    """Splits msgspec's ``Expected `int` - at `$.a[0]``` into the JSON pointer and the words before it."""
    text, marker, path = message.rpartition(" - at `")
    if not marker:
        return "", message
    tokens = re.findall(r"\.([^.\[\]`]+)|\[(\d+|\.\.\.)\]", path)
    return "".join(f"/{name or index}" for name, index in tokens), text


def violations(schema: Schema, value: Any) -> list[Violation]:
    """Checks `value` against `schema` and returns what does not fit, at most `MAX_VIOLATIONS`.

    Knows the keywords that describe data: types, properties, items, combinations, enumerations, bounds, lengths,
    patterns and local references. Others are ignored, so a value it accepts may still break an exotic schema.
    """
    found: list[Violation] = []
    for violation in _check(schema, value, "", _Scope(schema)):
        found.append(violation)
        if len(found) == MAX_VIOLATIONS:
            break
    return found


class _Scope:
    """The schema that local references point into, and how deep the check has gone."""

    def __init__(self, root: Schema) -> None:
        self.root = root
        self.depth = 0

    def resolve(self, reference: str) -> Any:
        node: Any = self.root
        for token in reference.removeprefix("#").split("/")[1:]:
            name = token.replace("~1", "/").replace("~0", "~")
            if not isinstance(node, dict) or name not in node:
                return True
            node = cast("Schema", node)[name]
        return node


_TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda it: isinstance(it, dict),
    "array": lambda it: isinstance(it, list),
    "string": lambda it: isinstance(it, str),
    # 1.0 is no integer here: numbers keep their kind from the flow to the component.
    "integer": lambda it: isinstance(it, int) and not isinstance(it, bool),
    "number": lambda it: isinstance(it, (int, float)) and not isinstance(it, bool),
    "boolean": lambda it: isinstance(it, bool),
    "null": lambda it: it is None,
}


def _kind_of(value: Any) -> str:
    if isinstance(value, float):
        return "number"
    return next((name for name, fits in _TYPES.items() if fits(value)), type(value).__name__)


def _check(schema: Any, value: Any, at: str, scope: _Scope) -> Iterator[Violation]:
    if schema is False:
        yield Violation(at, "nothing is allowed here")
    if not isinstance(schema, dict) or scope.depth > 64:
        return
    rules = cast("Schema", schema)
    scope.depth += 1
    try:
        if isinstance(reference := rules.get("$ref"), str):
            yield from _check(scope.resolve(reference), value, at, scope)
        if (wanted := rules.get("type")) is not None and not _fits(wanted, value):
            names = cast("list[str]", wanted) if isinstance(wanted, list) else [str(wanted)]
            yield Violation(
                at, f"expected {' or '.join(names)}, got {_kind_of(value)}", {"type": wanted}
            )
            return
        yield from _check_values(rules, value, at)
        yield from _check_combinations(rules, value, at, scope)
        if isinstance(value, dict):
            yield from _check_object(rules, cast("Schema", value), at, scope)
        elif isinstance(value, list):
            yield from _check_array(rules, cast("list[Any]", value), at, scope)
    finally:
        scope.depth -= 1


def _fits(wanted: Any, value: Any) -> bool:
    names = cast("list[Any]", wanted) if isinstance(wanted, list) else [wanted]
    return any(_TYPES.get(name, lambda _: True)(value) for name in names)


def _same(left: Any, right: Any) -> bool:
    return type(left) is type(right) and left == right


def _check_values(rules: Schema, value: Any, at: str) -> Iterator[Violation]:
    if "const" in rules and not _same(rules["const"], value):
        yield Violation(at, f"expected {rules['const']!r}", {"const": rules["const"]})
    if "enum" in rules and not any(_same(it, value) for it in rules["enum"]):
        choices = ", ".join(repr(it) for it in rules["enum"][:12])
        yield Violation(at, f"expected one of {choices}", {"enum": rules["enum"]})
    if isinstance(value, str):
        yield from _check_bounds(rules, len(value), at, ("minLength", "maxLength"), "characters")
        if isinstance(pattern := rules.get("pattern"), str) and not re.search(pattern, value):
            yield Violation(at, f"does not match the pattern {pattern}", {"pattern": pattern})
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield from _check_number(rules, value, at)


def _check_number(rules: Schema, value: float, at: str) -> Iterator[Violation]:
    yield from _check_bounds(rules, value, at, ("minimum", "maximum"), "")
    if (low := rules.get("exclusiveMinimum")) is not None and value <= low:
        yield Violation(at, f"expected more than {low}", {"exclusiveMinimum": low})
    if (high := rules.get("exclusiveMaximum")) is not None and value >= high:
        yield Violation(at, f"expected less than {high}", {"exclusiveMaximum": high})
    if (step := rules.get("multipleOf")) and value % step:
        yield Violation(at, f"expected a multiple of {step}", {"multipleOf": step})


def _check_bounds(
    rules: Schema, size: float, at: str, keywords: tuple[str, str], unit: str
) -> Iterator[Violation]:
    low, high = keywords
    if (least := rules.get(low)) is not None and size < least:
        yield Violation(at, f"expected at least {least} {unit}".rstrip(), {low: least})
    if (most := rules.get(high)) is not None and size > most:
        yield Violation(at, f"expected at most {most} {unit}".rstrip(), {high: most})


def _check_combinations(rules: Schema, value: Any, at: str, scope: _Scope) -> Iterator[Violation]:
    for part in rules.get("allOf", ()):
        yield from _check(part, value, at, scope)
    for keyword in ("anyOf", "oneOf"):
        options: list[Any] = rules.get(keyword, [])
        if not options:
            continue
        attempts = [list(_check(option, value, at, scope)) for option in options]
        fitting = sum(1 for attempt in attempts if not attempt)
        if fitting == 0:
            # The option that went furthest into the value is the one its author had in mind.
            yield from max(attempts, key=lambda it: max(len(violation.pointer) for violation in it))
        elif keyword == "oneOf" and fitting > 1:
            yield Violation(at, f"fits {fitting} of the alternatives, expected exactly one")
    if "not" in rules and not list(_check(rules["not"], value, at, scope)):
        yield Violation(at, "fits what is ruled out here", {"not": rules["not"]})


def _check_object(rules: Schema, value: Schema, at: str, scope: _Scope) -> Iterator[Violation]:
    properties: Schema = rules.get("properties", {})
    for name in rules.get("required", ()):
        if name not in value:
            known = f" (it has {', '.join(sorted(value)[:12])})" if value else ""
            yield Violation(f"{at}/{_token(name)}", f"is missing{known}", {"required": name})
    yield from _check_bounds(rules, len(value), at, ("minProperties", "maxProperties"), "fields")
    extra = rules.get("additionalProperties", True)
    patterns: Schema = rules.get("patternProperties", {})
    for name, child in value.items():
        place = f"{at}/{_token(name)}"
        matching = [sub for pattern, sub in patterns.items() if re.search(pattern, name)]
        if name in properties:
            matching.append(properties[name])
        for sub in matching:
            yield from _check(sub, child, place, scope)
        if matching:
            continue
        if extra is False:
            yield Violation(place, "is not a known field", {"additionalProperties": False})
        else:
            yield from _check(extra, child, place, scope)


def _check_array(rules: Schema, value: list[Any], at: str, scope: _Scope) -> Iterator[Violation]:
    yield from _check_bounds(rules, len(value), at, ("minItems", "maxItems"), "items")
    prefix: list[Any] = rules.get("prefixItems", [])
    rest = rules.get("items", True)
    for index, child in enumerate(value):
        yield from _check(
            prefix[index] if index < len(prefix) else rest, child, f"{at}/{index}", scope
        )


def _token(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
