from __future__ import annotations

import json

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepflow_sdk.schema import MAX_VIOLATIONS, pointer_of, violations


@pytest.mark.parametrize(
    ("schema", "value", "pointers"),
    [
        ({}, 1, []),
        (False, 1, [""]),
        ({"type": "integer"}, 1.0, [""]),
        ({"type": "number"}, 1, []),
        ({"type": ["string", "null"]}, None, []),
        ({"type": ["string", "null"]}, 1, [""]),
        ({"type": "boolean"}, 0, [""]),
        ({"const": 1}, True, [""]),
        ({"enum": [1, "a"]}, "a", []),
        ({"enum": [1, "a"]}, "b", [""]),
        ({"minimum": 3, "maximum": 5}, 6, [""]),
        ({"exclusiveMinimum": 3}, 3, [""]),
        ({"exclusiveMaximum": 3}, 3, [""]),
        ({"multipleOf": 3}, 4, [""]),
        ({"minLength": 2}, "é", [""]),
        ({"maxLength": 2}, "abc", [""]),
        ({"pattern": "^a"}, "ba", [""]),
        ({"minItems": 1}, [], [""]),
        ({"items": {"type": "integer"}}, [1, "a", 2, None], ["/1", "/3"]),
        (
            {"prefixItems": [{"type": "string"}], "items": {"type": "integer"}},
            [1, 2, "a"],
            ["/0", "/2"],
        ),
        ({"items": False, "prefixItems": [{}]}, [1, 2], ["/1"]),
        ({"required": ["a", "b/c"]}, {}, ["/a", "/b~1c"]),
        ({"properties": {"a": {"type": "null"}}}, {"a": 1}, ["/a"]),
        ({"properties": {"a": {}}, "additionalProperties": False}, {"a": 1, "b~": 1}, ["/b~0"]),
        ({"additionalProperties": {"type": "integer"}}, {"a": 1, "b": "x"}, ["/b"]),
        ({"patternProperties": {"^x": {"type": "integer"}}}, {"xa": "x", "b": "x"}, ["/xa"]),
        ({"minProperties": 1}, {}, [""]),
        ({"anyOf": [{"type": "integer"}, {"type": "object", "required": ["a"]}]}, {}, ["/a"]),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, None, []),
        ({"oneOf": [{"type": "integer"}, {"minimum": 1}]}, 5, [""]),
        ({"allOf": [{"type": "integer"}, {"minimum": 1}]}, 0, [""]),
        ({"not": {"type": "integer"}}, 1, [""]),
        ({"$ref": "#/$defs/it", "$defs": {"it": {"type": "integer"}}}, "a", [""]),
        ({"$ref": "#/$defs/nowhere"}, "a", []),
        ({"$ref": "#"}, {"a": 1}, []),
        (
            {"properties": {"next": {"$ref": "#"}, "n": {"type": "integer"}}, "required": ["n"]},
            {"n": 1, "next": {"n": 2, "next": {"n": "x"}}},
            ["/next/next/n"],
        ),
    ],
)
def test_every_place_that_does_not_fit_is_named(schema, value, pointers):
    assert [it.pointer for it in violations(schema, value)] == pointers


def test_there_are_not_more_violations_than_anyone_reads():
    assert len(violations({"items": {"type": "integer"}}, ["x"] * 10_000)) == MAX_VIOLATIONS


values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text("ab", max_size=3),
    lambda it: (
        st.lists(it, max_size=3) | st.dictionaries(st.text("ab", max_size=2), it, max_size=3)
    ),
    max_leaves=8,
)
schemas = st.recursive(
    st.sampled_from(
        [
            {},
            {"minimum": 0},
            {"maxLength": 1},
            {"enum": ["a", 1, None]},
            {"minItems": 2},
            {"required": ["a"]},
        ]
    )
    | st.sampled_from(["object", "array", "string", "integer", "boolean", "null"]).map(
        lambda it: {"type": it}
    ),
    lambda it: st.one_of(
        st.builds(lambda a, b: {"properties": {"a": a}, "additionalProperties": b}, it, it),
        st.builds(lambda a: {"items": a}, it),
        st.builds(lambda a, b: {"anyOf": [a, b]}, it, it),
        st.builds(lambda a, b: {"allOf": [a, b]}, it, it),
        st.builds(lambda a: {"not": a}, it),
    ),
    max_leaves=6,
)


@given(schemas, values)
def test_what_fits_is_what_a_full_validator_says(schema, value):
    assert (violations(schema, value) == []) == jsonschema.Draft202012Validator(schema).is_valid(
        value
    ), json.dumps(schema)


@pytest.mark.parametrize(
    ("message", "pointer", "text"),
    [
        ("Expected `int`, got `str` - at `$.a[0].b`", "/a/0/b", "Expected `int`, got `str`"),
        ("Expected `int`, got `str` - at `$`", "", "Expected `int`, got `str`"),
        ("Expected `int`, got `str` - at `$.a[...]`", "/a/...", "Expected `int`, got `str`"),
        ("Odd", "", "Odd"),
    ],
)
def test_msgspecs_paths_become_pointers(message, pointer, text):
    assert pointer_of(message) == (pointer, text)
