from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import functools
import math
from typing import Annotated, Any, Literal, Optional, TypedDict

import msgspec
import pydantic
import pytest

import stepflow_sdk
from conversation import over
from stepflow_sdk import (
    ComponentDefinitionError,
    Context,
    SkipStep,
    StepflowContext,
    StepflowError,
    StepflowServer,
    SyncContext,
)


class Color(enum.Enum):
    RED = "red"


class Point(msgspec.Struct):
    """A place."""

    x: int
    y: float = 0.0


@dataclasses.dataclass
class Size:
    width: int
    height: int = 1


class Options(TypedDict, total=False):
    verbose: bool


class Model(pydantic.BaseModel):
    name: str
    age: int = pydantic.Field(ge=0, alias="years")


class Weight(pydantic.BaseModel):
    kilograms: float


class Nested(msgspec.Struct):
    model: Model
    points: dict[str, list[Point]]


# What reaches a function, and what comes out


def whole_struct(input: Point) -> Point:
    return Point(input.x + 1, input.y)


def whole_dataclass(input: Size) -> Size:
    return Size(input.width * 2, input.height)


def whole_typed_dict(input: Options) -> Options:
    return {"verbose": not input.get("verbose", False)}


def whole_model(input: Model) -> Model:
    return Model(name=input.name.upper(), years=input.age + 1)


def nested(input: Nested) -> Nested:
    return input


def plain(input: int) -> int:
    return input + 1


def anything(input):
    return input


def nothing() -> str:
    return "nothing"


def fields(a: int, b: float = 1.5, *, c: list[int] | None = None, d: tuple = (1, 2)) -> list:
    return [a, b, c, d]


def fields_of_structs(point: Point, model: Model) -> dict:
    return {"x": point.x, "name": model.name}


def enumerated(input: Color) -> Color:
    return input


def dated(input: dt.datetime) -> dt.date:
    return input.date()


async def waits(input: Point) -> float:
    return input.x + input.y


def positional_only(a: int, b: int, /) -> int:
    return a - b


class Adder:
    """Adds a number."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __call__(self, input: int) -> int:
        return input + self.n


class AsyncCallable:
    async def __call__(self, input: int) -> int:
        return input * 2


class Holder:
    def method(self, input: int) -> int:
        return input * 3


def wrapping(function):
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


@pytest.mark.parametrize(
    ("function", "input", "output"),
    [
        (whole_struct, {"x": 1}, {"x": 2, "y": 0.0}),
        (whole_struct, {"x": 1, "y": 2, "unknown": 1}, {"x": 2, "y": 2.0}),
        (whole_dataclass, {"width": 2}, {"width": 4, "height": 1}),
        (whole_typed_dict, {}, {"verbose": True}),
        (whole_model, {"name": "a", "years": 1}, {"name": "A", "years": 2}),
        (
            nested,
            {"model": {"name": "a", "years": 1}, "points": {"p": [{"x": 1, "y": 2.5}]}},
            {"model": {"name": "a", "years": 1}, "points": {"p": [{"x": 1, "y": 2.5}]}},
        ),
        (plain, 1, 2),
        (anything, {"a": [None, 1.0, 1]}, {"a": [None, 1.0, 1]}),
        (anything, None, None),
        (nothing, {"ignored": 1}, "nothing"),
        (fields, {"a": 1}, [1, 1.5, None, [1, 2]]),
        (fields, {"a": 1, "b": 2, "c": [3], "d": [4]}, [1, 2.0, [3], [4]]),
        (
            fields_of_structs,
            {"point": {"x": 1}, "model": {"name": "n", "years": 3}},
            {"x": 1, "name": "n"},
        ),
        (enumerated, "red", "red"),
        (dated, "2026-01-02T03:04:05Z", "2026-01-02"),
        (waits, {"x": 1, "y": 0.5}, 1.5),
        (positional_only, {"a": 5, "b": 3}, 2),
        (Adder(5), 1, 6),
        (AsyncCallable(), 2, 4),
        (Holder().method, 2, 6),
        (functools.partial(positional_only, 10), 3, 7),
        (functools.partial(fields, b=9.0), {"a": 1}, [1, 9.0, None, [1, 2]]),
        (functools.partial(waits), {"x": 1}, 1.0),
        (wrapping(plain), 1, 2),
        (wrapping(waits), {"x": 1}, 1.0),
        (lambda input: input, "x", "x"),
        (lambda: {1}, None, [1]),
    ],
)
def test_input_reaches_the_function_and_its_result_comes_back(function, input, output):
    server = StepflowServer(udf=False)
    server.component(function, name="it")
    from conversation import Conversation

    got = Conversation(server).output("/it", input)
    assert got == output
    assert str(got) == str(output)


# Numbers keep their kind


@pytest.mark.parametrize(
    "text",
    [
        "1",
        "1.0",
        "-0.0",
        "1e22",
        "9007199254740993",
        "18446744073709551616",
        "-" + "9" * 300,
        "1.5e-7",
        "0.1",
    ],
)
@pytest.mark.parametrize("typed", [False, True])
def test_numbers_keep_their_kind_and_every_digit(text, typed):
    kind = (int if text.lstrip("-").isdigit() else float) if typed else Any

    def same(input):
        return input

    same.__annotations__ = {"input": kind, "return": kind}
    talk = over(same)
    frame = f'{{"jsonrpc":"2.0","id":1,"method":"components/execute","params":{{"component":"same","input":{text}}}}}'
    (answer,) = talk.raw(frame.encode())
    number = answer["result"]["output"]
    assert repr(number) == repr(float(text) if "." in text or "e" in text else int(text))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (math.nan, "/bad is nan"),
        (math.inf, "/bad is inf"),
        ({"a": [1.0, {"b/c": -math.inf}]}, "at /a/1/b~1c is -inf"),
        ([Point(1, math.nan)], "at /0/y is nan"),
        (Weight(kilograms=math.nan), "at /kilograms is nan"),
        (object(), "is a object, which JSON cannot hold"),
        ({"a": {"b": [1, object()]}}, "at /a/b/1 is a object"),
        (Size(object(), 1), "at /width is a object"),
        ({(1, 2): 3}, "is a dict, which JSON cannot hold"),
        ("\ud800", "which JSON cannot hold"),
        ({"x": lambda: 1}, "at /x is a function"),
    ],
)
def test_a_result_that_is_no_json_names_the_place(value, words):
    def bad():
        return value

    error = over(bad).error("/bad")
    assert error["code"] == -32004
    assert words in error["message"]
    assert error["message"].startswith("the result of /bad")


def test_a_result_that_contains_itself_is_refused():
    def loop():
        it = []
        it.append(it)
        return it

    assert "contains itself" in over(loop).error("/loop")["message"]


def test_nulls_and_the_word_null_in_a_result_are_fine():
    def fine():
        return {"a": None, "b": "null", "c": [1.5, None]}

    assert over(fine).output("/fine") == fine()


# Invalid input


@pytest.mark.parametrize(
    ("function", "input", "pointers"),
    [
        (whole_struct, {"x": "1"}, ["/x"]),
        (whole_struct, {"y": "z"}, ["/x", "/y"]),
        (whole_struct, [], [""]),
        (whole_struct, None, [""]),
        (plain, 1.0, [""]),
        (plain, True, [""]),
        (fields, {}, ["/a"]),
        (fields, {"a": 1, "c": [1, "2", 3, None]}, ["/c/1", "/c/3"]),
        (whole_dataclass, {"width": None}, ["/width"]),
        (whole_typed_dict, {"verbose": 1}, ["/verbose"]),
        (whole_model, {"name": 1, "years": -1}, ["/name", "/years"]),
        (nested, {"model": {"name": "a"}, "points": {}}, ["/model/years"]),
        (
            nested,
            {"model": {"name": "a", "years": 1}, "points": {"a/b": [{"x": 1}, {"x": "1"}]}},
            ["/points/a~1b/1/x"],
        ),
        (enumerated, "blue", [""]),
    ],
)
def test_invalid_input_names_every_place(function, input, pointers):
    error = over(function).error(f"/{function.__name__}", input)
    assert error["code"] == -32003
    assert [it["pointer"] for it in error["data"]["violations"]] == pointers
    assert all(it["message"] for it in error["data"]["violations"])
    assert error["data"]["component"] == f"/{function.__name__}"


def test_what_only_the_decoder_knows_is_reported_as_well():
    error = over(dated).error("/dated", "yesterday")
    assert error["code"] == -32003
    assert "RFC3339" in error["message"]


@pytest.mark.parametrize(
    "input",
    [b'"\xff"', b'{"a":' + b"[" * 900 + b"]" * 900 + b"}", b"9" * 5000],
    ids=["utf-8", "deep", "digits"],
)
def test_text_that_cannot_be_decoded_is_invalid_input(input):
    talk = over(anything)
    frame = (
        b'{"jsonrpc":"2.0","id":1,"method":"components/execute","params":{"component":"anything","input":'
        + input
        + b"}}"
    )
    (answer,) = talk.raw(frame)
    if "error" in answer:
        assert answer["error"]["code"] in (-32003, -32600)
    assert talk.output("/anything", 1) == 1


@pytest.mark.parametrize(
    ("params", "pointer"),
    [
        ({"input": 1}, "/component"),
        ({"component": "/plain"}, "/input"),
        ({"component": 1, "input": 1}, "/component"),
        ({"component": "/plain", "input": 1, "attempt": "x"}, "/attempt"),
        ([], ""),
    ],
)
def test_bad_params_of_execute_name_their_path(params, pointer):
    error = over(plain).request("components/execute", params)["error"]
    assert error["code"] == -32602
    assert error["data"]["pointer"] == pointer


# Errors


def test_an_exception_becomes_component_failed_with_type_and_traceback():
    class OutOfCheese(Exception):
        pass

    def shop():
        try:
            raise ValueError("no cow")
        except ValueError as error:
            raise OutOfCheese("sorry") from error

    error = over(shop).error("/shop")
    assert error["code"] == -32004
    assert error["message"] == "/shop failed: OutOfCheese: sorry"
    assert error["data"]["exception_type"].endswith("OutOfCheese")
    assert "no cow" in error["data"]["traceback"]
    assert "invocation.py" not in error["data"]["traceback"]


def test_an_exception_whose_text_fails_is_reported_too():
    class Mute(Exception):
        def __str__(self):
            raise RuntimeError

    def shop():
        raise Mute

    assert over(shop).error("/shop")["code"] == -32004


@pytest.mark.parametrize("data", [None, {"a": 1}, [1], "x", 0])
def test_a_stepflow_error_passes_through(data):
    def shop():
        raise StepflowError(4242, "out of cheese", data)

    expected = {"code": 4242, "message": "out of cheese"} | ({} if data is None else {"data": data})
    assert over(shop).error("/shop") == expected


@pytest.mark.parametrize(
    ("reason", "skipped"), [(None, {}), ("no orders", {"reason": "no orders"})]
)
@pytest.mark.parametrize("is_async", [False, True])
def test_skip_step_skips(reason, skipped, is_async):
    def skip():
        raise SkipStep(reason) if reason else SkipStep

    async def skip_async():
        skip()

    answer = over(skip, skip_async).call("/skip_async" if is_async else "/skip")
    assert answer["result"] == {"skipped": skipped}


@pytest.mark.parametrize("path", ["/math/add", "math/add", "/py/math/add", "py/math/add"])
def test_a_component_is_found_with_and_without_slash_and_prefix(path):
    server = StepflowServer(udf=False)
    server.component(plain, name="math/add")
    from conversation import Conversation

    talk = Conversation(server)
    talk.request("initialize", {"runtime_protocol_version": 1, "protocol_prefix": "py"})
    assert talk.output(path, 1) == 2
    assert (
        talk.request("components/info", {"component": path})["result"]["info"]["component"]
        == "/math/add"
    )


@pytest.mark.parametrize("method", ["components/execute", "components/info"])
def test_an_unknown_component_comes_with_the_nearest_names(method):
    error = over(plain, fields, anything).request(method, {"component": "/plane", "input": 1})[
        "error"
    ]
    assert error["code"] == -32001
    assert error["data"] == {"component": "/plane", "nearest": ["/plain"]}
    assert "did you mean /plain?" in error["message"]
    error = over(plain).request(method, {"component": "/zzz", "input": 1})["error"]
    assert error["data"]["nearest"] == []
    assert "this server has /plain" in error["message"]


# Listings


def described(function, **options):
    server = StepflowServer(udf=False)
    server.component(function, **options)
    from conversation import Conversation

    (info,) = Conversation(server).request("components/list")["result"]["components"]
    return info


def test_names_and_descriptions_come_from_the_function_or_the_decorator():
    server = StepflowServer(udf=False)

    @server.component
    def one(input: int) -> int:
        """Does one thing.

        Well.
        """
        return input

    @server.component()
    def two(): ...

    @server.component(name="deep/three", description="The third.")
    def three():
        """Not shown."""

    server.component(Adder(1), name="four")
    assert one(1) == 1
    infos = server.components
    assert list(infos) == ["/one", "/two", "/deep/three", "/four"]
    assert infos["/one"].description == "Does one thing.\n\nWell."
    assert infos["/two"].description is None
    assert infos["/deep/three"].description == "The third."
    assert infos["/four"].description == "Adds a number."


@pytest.mark.parametrize(
    ("function", "input", "output"),
    [
        (plain, {"type": "integer"}, {"type": "integer"}),
        (anything, None, None),
        (nothing, None, {"type": "string"}),
        (
            whole_struct,
            {
                "title": "Point",
                "description": "A place.",
                "type": "object",
                "properties": {"x": {"type": "integer"}, "y": {"type": "number", "default": 0.0}},
                "required": ["x"],
            },
            ...,
        ),
        (
            functools.partial(fields, 1, d=5),
            {
                "title": "fields_input",
                "type": "object",
                "properties": {
                    "b": {"type": "number", "default": 1.5},
                    "c": {
                        "anyOf": [
                            {"type": "array", "items": {"type": "integer"}},
                            {"type": "null"},
                        ],
                        "default": None,
                    },
                },
                "required": [],
                "additionalProperties": False,
            },
            {"type": "array"},
        ),
    ],
)
def test_schemas_come_from_the_signature(function, input, output):
    info = described(function)
    assert info.get("input_schema") == input
    if output is not ...:
        assert info.get("output_schema") == output


def test_schemas_of_nested_models_have_their_definitions_at_the_top():
    import jsonschema

    schema = described(nested)["input_schema"]
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate({"model": {"name": "a", "years": 1}, "points": {"p": [{"x": 1}]}}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(
            {"model": {"name": "a", "years": 1}, "points": {"p": [{"x": "1"}]}}, schema
        )


def test_constraints_are_described_and_held():
    def small(
        input: Annotated[int, msgspec.Meta(ge=0, le=10)], kind: Literal["a", "b"] = "a"
    ) -> int:
        return input

    talk = over(small)
    assert talk.output("/small", {"input": 10}) == 10
    (violation, other) = talk.error("/small", {"input": 11, "kind": "c"})["data"]["violations"]
    assert violation == {
        "pointer": "/input",
        "message": "expected at most 10",
        "expected": {"maximum": 10},
    }
    assert other["pointer"] == "/kind"


# The context parameter


async def first(context: Context, input: int) -> list:
    return [input, context.step_id]


async def last(input: int, context: Context) -> list:
    return [input, context.step_id]


async def keyword(input: int, *, ctx: Context | None = None) -> list:
    return [input, ctx.step_id]


async def optional(input: int, ctx: Optional[Context] = None) -> list:  # noqa: UP045
    return [input, ctx.step_id]


async def alias(input: int, c: StepflowContext) -> list:
    return [input, c.step_id]


async def dotted(input: int, c: stepflow_sdk.Context) -> list:
    return [input, c.step_id]


def plain_context(input: int, c: SyncContext) -> list:
    return [input, c.step_id]


def plain_middle(a: int, c: SyncContext, b: int) -> list:
    return [a - b, c.step_id]


def only_context(c: SyncContext) -> list:
    return [1, c.step_id]


async def unimported(input: int, c: "Somewhere.Context | None") -> list:  # noqa: F821, UP037
    return [input, c.step_id]


@pytest.mark.parametrize(
    "function",
    [first, last, keyword, optional, alias, dotted, plain_context, only_context, unimported],
    ids=lambda it: it.__name__,
)
def test_the_context_is_found_by_its_annotation(function):
    assert over(function).output(f"/{function.__name__}", 1) == [1, "step1"]


def test_the_context_may_stand_between_fields():
    assert over(plain_middle).output("/plain_middle", {"a": 3, "b": 1}) == [2, "step1"]


def test_the_context_is_found_without_postponed_annotations():
    namespace: dict[str, Any] = {}
    source = (
        "from stepflow_sdk import Context, SyncContext\n"
        "from typing import Optional\n"
        "async def a(x: int, c: Context): return c.step_id\n"
        "async def b(x: int, c: Optional[Context]): return c.step_id\n"
        "def c(x: int, c: SyncContext | None = None): return c.step_id\n"
    )
    exec(compile(source, "<source>", "exec", dont_inherit=True), namespace)
    talk = over(namespace["a"], namespace["b"], namespace["c"])
    assert [talk.output(f"/{name}", 1) for name in "abc"] == ["step1"] * 3


# What cannot be a component


def starred(*args): ...


def keywords(**kwargs): ...


def yields():
    yield 1


async def yields_async():
    yield 1


def wrong_context(input: int, context: Context): ...


async def wrong_sync_context(input: int, context: SyncContext): ...


def two_contexts(a: SyncContext, b: SyncContext): ...


def unresolvable(input: Nowhere): ...  # noqa: F821


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (starred, "takes *args"),
        (keywords, "takes **kwargs"),
        (yields, "return a list instead"),
        (yields_async, "return a list instead"),
        (wrong_context, "annotate context as SyncContext"),
        (wrong_sync_context, "annotate context as Context"),
        (two_contexts, "more than once"),
        (unresolvable, "'Nowhere' of parameter input of unresolvable"),
        (5, "not callable"),
    ],
)
def test_what_cannot_be_a_component_says_why(function, words):
    with pytest.raises(ComponentDefinitionError) as caught:
        StepflowServer().component(function)
    assert words in str(caught.value)


def test_a_name_can_be_taken_once():
    server = StepflowServer()
    server.component(plain)
    with pytest.raises(ComponentDefinitionError, match="/plain already"):
        server.component(plain)
    with pytest.raises(ComponentDefinitionError, match="/udf already"):
        server.component(plain, name="udf")


def test_a_type_of_the_function_around_is_understood():
    class Inner(msgspec.Struct):
        n: int

    def local(input: Inner) -> int:
        assert Inner
        return input.n

    assert over(local).output("/local", {"n": 2}) == 2


def test_a_field_that_no_parameter_has_is_a_mistake() -> None:
    def price(net: float, discount: float = 0.0) -> float:
        return net * (1 - discount)

    error = over(price).error("/price", {"net": 1.0, "dsicount": 0.1})
    assert error["code"] == -32003
    assert error["data"]["violations"][0]["pointer"] == "/dsicount"
    assert described(price)["input_schema"]["additionalProperties"] is False
