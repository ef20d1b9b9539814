"""Flows written in Python."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import needs_program
from stepflow_sdk.flow import (
    Backoff,
    Expression,
    FlowBuilder,
    coalesce,
    fail,
    if_,
    literal,
    retry,
    skip,
    template,
    use_default,
    yamltext,
)
from stepflow_sdk.flow.expression import to_data
from stepflow_sdk.testing import run_flow


@dataclass
class Item:
    name: str
    price: float


class Order(msgspec.Struct):
    customer: str
    items: list[Item]
    extra: dict[str, int] = {}
    parent: Order | None = None


def steps_of(flow: FlowBuilder) -> list[dict]:
    flow.output(None)
    return flow.to_dict()["steps"]


def test_references_into_the_input():
    flow = FlowBuilder()
    assert to_data(flow.input) == {"$input": "$"}
    assert to_data(flow.input["a"]["b c"][0][-1]) == {"$input": '$.a["b c"][0][-1]'}
    assert to_data(flow.input['"'][""]) == {"$input": '$["\\""][""]'}


def test_references_to_steps():
    flow = FlowBuilder()
    a = flow.step("a", "/x/a")
    assert to_data(a) == {"$step": "a"}
    assert to_data(a["x"]) == {"$step": "a", "path": "$.x"}
    expected = {
        "$step": "a",
        "path": "$.x",
        "onSkip": {"action": "useDefault", "defaultValue": {"$step": "a"}},
    }
    assert to_data(a["x"].or_default(a)) == expected
    assert to_data(a.or_default(3)["x"])["onSkip"]["defaultValue"] == 3, "a part keeps the default"


def test_references_to_variables_declare_them():
    flow = FlowBuilder()
    key = flow.variable("key", str, is_secret=True, env_var="KEY")
    port = flow.variable("db", default={"port": 1})["port"]
    assert to_data([key, port]) == [{"$variable": "$.key"}, {"$variable": "$.db.port"}]
    assert to_data(key.or_default("x")) == {"$variable": "$.key", "default": "x"}
    flow.output(None)
    assert flow.to_dict()["variables"]["properties"] == {
        "key": {"type": "string", "is_secret": True, "env_var": "KEY"},
        "db": {"default": {"port": 1}},
    }


def test_choices():
    flow = FlowBuilder()
    x = flow.input["x"]
    assert to_data(if_(x, 1)) == {"$if": to_data(x), "then": 1}
    assert to_data(if_(x, 1, [x])) == {"$if": to_data(x), "then": 1, "else": [to_data(x)]}
    assert to_data(coalesce(x, 1)) == {"$coalesce": [to_data(x), 1]}


def test_templates():
    flow = FlowBuilder()
    s = flow.step("a b", "/x/a")
    text = template("{} and {name}: {0}, {{x}} {{{{", flow.input["n"], name=s["y"])
    expected = '{{ $input.n }} and {{ $step["a b"].y }}: {{ $input.n }}, {x} {{{{'
    assert to_data(text) == {"$template": expected}
    for wrong, error in [
        (lambda: template("{}"), LookupError),
        (lambda: template("{}", 3), TypeError),
        (lambda: template("{:>3}", s), ValueError),
        (lambda: template("{}", s.or_default(1)), TypeError),
    ]:
        with pytest.raises(error):
            wrong()


def test_data_that_looks_like_an_expression_is_none():
    flow = FlowBuilder()
    assert to_data({"a": {"$step": "x"}}) == {"a": {"$literal": {"$step": "x"}}}
    assert to_data(literal({"$x": 1})) == {"$literal": {"$x": 1}}
    with pytest.raises(ValueError, match=r"\$step"):
        to_data({"$step": flow.input})
    assert to_data(Item("a", flow.input["p"])) == {"name": "a", "price": {"$input": "$.p"}}
    assert to_data((1, dt.date(2026, 11, 22))) == [1, "2026-11-22"]


def test_a_flow_inside_a_flow_is_taken_as_it_is():
    inner = FlowBuilder()
    inner.output(inner.input["x"])
    outer = FlowBuilder()
    (step,) = steps_of_one(outer, {"flow": inner, "items": outer.input})
    assert step["input"]["flow"] == {"$literal": inner.to_dict()}


def steps_of_one(flow: FlowBuilder, input) -> list[dict]:
    flow.step("one", "map", input)
    return steps_of(flow)


def test_an_expression_cannot_be_looked_at():
    x: Expression = FlowBuilder().input["x"]
    for wrong in [lambda: bool(x), lambda: x == 1, lambda: x != 1, lambda: list(x), lambda: 1 in x]:
        with pytest.raises(TypeError, match="before the flow runs"):
            wrong()
    with pytest.raises(TypeError, match="coalesce"):
        x.or_default(1)


def test_parts_of_known_types_are_checked():
    flow = FlowBuilder(input_type=Order)
    assert to_data(flow.input["items"][0]["price"]) == {"$input": "$.items[0].price"}
    assert to_data(flow.input["extra"]["any"]) == {"$input": "$.extra.any"}
    flow.input["parent"]["whatever"]
    with pytest.raises(LookupError, match="did you mean 'customer'"):
        flow.input["custmer"]
    with pytest.raises(LookupError, match="it has name, price"):
        flow.input["items"][0]["x"]
    price = flow.step("p", "/x/p", output_type=Item)
    with pytest.raises(LookupError, match="did you mean 'price'"):
        price["prise"]


def test_every_key_of_a_step():
    flow = FlowBuilder()
    x = flow.input["x"]
    flow.step(
        "a",
        "/x/a",
        {"x": x},
        skip_if=x,
        on_error=retry(2, backoff=Backoff(min_delay="5ms"), then=use_default(x)),
        must_execute=True,
        timeout=dt.timedelta(minutes=1),
        at_most_once=True,
        input_type=dict[str, int],
        output_type=int,
        metadata={"owner": "me"},
    )
    data = {"$input": "$.x"}
    assert steps_of(flow) == [
        {
            "id": "a",
            "component": "/x/a",
            "input": {"x": data},
            "skipIf": data,
            "onError": {
                "action": "retry",
                "maxRetries": 2,
                "backoff": {
                    "type": "exponential",
                    "minDelay": "5ms",
                    "maxDelay": 10,
                    "factor": 2.0,
                    "jitter": True,
                },
                "then": {"action": "useDefault", "defaultValue": data},
            },
            "mustExecute": True,
            "timeout": 60.0,
            "atMostOnce": True,
            "inputSchema": {"type": "object", "additionalProperties": {"type": "integer"}},
            "outputSchema": {"type": "integer"},
            "metadata": {"owner": "me"},
        }
    ]
    assert [it.data["action"] for it in (fail(), skip())] == ["fail", "skip"]
    with pytest.raises(ValueError, match="no further retry"):
        retry(then=retry())


def test_mistakes():
    flow = FlowBuilder()
    with pytest.raises(ValueError, match="no output"):
        flow.to_dict()
    flow.step("load", "/x/a")
    with pytest.raises(ValueError, match="second step"):
        flow.step("load", "/x/a")
    with pytest.raises(LookupError, match="did you mean 'load'"):
        flow.existing_step("laod")
    assert to_data(flow.existing_step("load")) == {"$step": "load"}


def test_a_flow_is_not_shared_with_its_builder():
    flow = FlowBuilder()
    flow.output([1])
    flow.to_dict()["output"].append(2)
    assert flow.to_dict()["output"] == [1]


@pytest.mark.parametrize("name", ["flow.yaml", "flow.json"])
def test_files_go_round(tmp_path, name):
    flow = FlowBuilder(name="order", input_type=Order)
    flow.step("a", "/x/a", {"n": 10**30, "f": 1.0, "t": "line\nline", "no": "no"})
    flow.output([flow.existing_step("a"), "2026-11-22", "1e3", "0x10", "", "~", None, True])
    flow.save(tmp_path / name)
    again = FlowBuilder.load(tmp_path / name)
    assert again.to_dict() == flow.to_dict()
    again.step("b", "/x/b")


def test_yaml_is_read_as_the_runtime_reads_it():
    text = "a: no\nb: 0x1F\nc: 0o17\nd: 2026-11-22\ne: 1_000\nf: 1e3\ng: 12:30:45\nh: ~\ni: &x {j: 1}\nk: {<<: *x}"
    expected = {
        "a": "no", "b": 31, "c": 15, "d": "2026-11-22", "e": "1_000", "f": 1000.0, "g": "12:30:45", "h": None,
        "i": {"j": 1}, "k": {"j": 1},
    }  # fmt: skip
    assert yamltext.read(text) == expected


def test_a_file_that_is_no_flow(tmp_path):
    (tmp_path / "flow.yaml").write_text("- 1")
    with pytest.raises(TypeError, match="a flow is an object"):
        FlowBuilder.load(tmp_path / "flow.yaml")


TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
DATA = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
    max_leaves=20,
)


@given(DATA)
def test_any_data_goes_through_yaml(data):
    assert yamltext.read(yamltext.write(data)) == data


@needs_program
def test_the_runtime_reads_what_is_written(tmp_path):
    """The words that YAML readers disagree about, as values and as keys."""
    words = ["no", "y", "on", "~", "", "null", "1e3", "0x1F", "0o7", "010", "1_000", ".5", "+1", ".inf", "2026-11-22", "12:30:45",
             "<<", "=", "a: b", "- a", "#x", "a #b", "'", '"', "\n", "a\n\nb\n", " a ", "\t", "é𝄞\u2028", "&a", "*a", "!a", "%a", "@a", "`a",
             "{a", "[a", "?", "? a", "|", ">", "---", "...", "\u0085", "\ufeff", "\x7f"]  # fmt: skip
    flow = FlowBuilder()
    data = {"words": words, "keys": {word: word for word in words if word != "<<"}}
    flow.output(literal(data))
    flow.save(tmp_path / "flow.yaml")
    assert run_flow(tmp_path / "flow.yaml").result == data


@needs_program
def test_a_flow_runs():
    flow = FlowBuilder(input_type=Order)
    first = flow.step("first", "noop", {"price": flow.input["items"][0]["price"]})
    left_out = flow.step("left_out", "noop", 1, skip_if=True)
    broken = flow.step("broken", "get_blob", {"blob_id": "x"}, on_error=use_default(0))
    many = flow.step("many", "noop", [first["price"], literal({"$step": 1})])
    flow.output(
        {
            "text": template("{} pays {}", flow.input["customer"], first["price"]),
            "default": left_out["x"].or_default("none"),
            "either": coalesce(left_out, broken),
            "choice": if_(flow.input["items"], many, "nothing"),
        }
    )
    result = run_flow(flow, {"customer": "Ada", "items": [{"name": "tea", "price": 2.5}]})
    assert json.loads(msgspec.json.encode(result.result)) == {
        "text": "Ada pays 2.5",
        "default": "none",
        "either": 0,
        "choice": [2.5, {"$step": 1}],
    }
