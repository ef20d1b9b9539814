from __future__ import annotations

import pytest

from conversation import Conversation
from stepflow_sdk import StepflowServer
from stepflow_sdk.udf import MAX_CACHED


class Udfs:
    """A server with udf and blobs to run."""

    def __init__(self) -> None:
        self.talk = Conversation(StepflowServer())
        self.n_read = 0

    def call(self, blob, input=None, blob_id="b"):
        def get(params):
            self.n_read += 1
            return {"result": {"data": blob, "blob_type": "data"}}

        self.talk.answers["blobs/get"] = get
        return self.talk.call("/udf", {"blob_id": blob_id, "input": input})

    def run(self, code, input=None, **blob):
        answer = self.call({"code": code, **blob}, input)
        assert "result" in answer, answer
        return answer["result"]["output"]


FUNCTIONS = "def one(input):\n    return 1\n\ndef two(input):\n    return one(input) + 1\n"


@pytest.mark.parametrize(
    ("code", "input", "output"),
    [
        ("1 + 1", None, 2),
        ("input['a'] + input['b']", {"a": 1, "b": 2}, 3),
        ("input.a.b", {"a": {"b": 5}}, 5),
        ("\n   input.a\n", {"a": 1}, 1),
        ("input.a +\n  input.a", {"a": 1}, 2),
        ("[x * 2 for x in input]", [1, 2], [2, 4]),
        ("lambda input: input * 2", 4, 8),
        ("lambda: 7", 4, 7),
        ("lambda a, b: a - b", {"a": 3, "b": 1, "c": 9}, 2),
        ("lambda a, b=5: a - b", 3, -2),
        ("lambda input, context: [input, context.step_id]", 4, [4, "step1"]),
        ("return input.a", {"a": 1}, 1),
        ("if input > 2:\n    return 'big'\nreturn 'small'", 3, "big"),
        ("import math\nreturn math.floor(input)", 2.5, 2),
        ("import math\nmath.floor(input)", 2.5, 2),
        ("    x = input\n    return x", 2, 2),
        ("x = [n for n in range(input)]\nsum(x)", 4, 6),
        ("def double(input):\n    return input * 2", 4, 8),
        ("def double(input):\n    return input * 2\ndouble", 4, 8),
        ("def double(input):\n    return input * 2\ndouble(input) + 1", 4, 9),
        ("def fact(n):\n    return 1 if n < 2 else n * fact(n - 1)", 5, 120),
        ("async def later(input):\n    return input + 1", 1, 2),
        ("import asyncio\nawait asyncio.sleep(0)\nreturn input", 1, 1),
        ("async def later(input, context):\n    return type(context).__name__", 1, "Context"),
        ("def now(input, context):\n    return type(context).__name__", 1, "SyncContext"),
        ("'# not a comment'", None, "# not a comment"),
        ("input # a comment", 3, 3),
    ],
)
def test_code_is_an_expression_a_lambda_a_body_or_a_function(code, input, output):
    assert Udfs().run(code, input) == output


@pytest.mark.parametrize(("name", "output"), [("one", 1), ("two", 2)])
def test_the_function_can_be_named(name, output):
    assert Udfs().run(FUNCTIONS, None, function_name=name) == output


@pytest.mark.parametrize(
    ("blob", "words"),
    [
        ({"code": "def f(:"}, "not valid Python"),
        ({"code": "x = 1"}, "neither a return"),
        ({"code": ""}, "neither a return"),
        ({"code": FUNCTIONS}, "several functions (one, two)"),
        ({"code": FUNCTIONS, "function_name": "three"}, "no function 'three'; it defines one, two"),
        ({"cod": "1"}, "missing required field `code`"),
        ("1 + 1", "Expected `object`"),
        ({"code": 5}, "Expected `str`"),
    ],
)
def test_code_that_cannot_be_run_says_why(blob, words):
    error = Udfs().call(blob)["error"]
    assert error["code"] == -32003
    assert words in error["message"]
    assert error["data"] == {"blob_id": "b"}


def test_input_is_checked_against_the_blobs_schema():
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer", "minimum": 1}},
        "required": ["n"],
    }
    udfs = Udfs()
    blob = {"code": "input.n", "input_schema": schema}
    assert udfs.call(blob, {"n": 3})["result"]["output"] == 3
    for input, pointer in [({"n": 0}, "/n"), ({}, "/n"), ([], "")]:
        error = udfs.call(blob, input)["error"]
        assert error["code"] == -32003
        assert [it["pointer"] for it in error["data"]["violations"]] == [pointer]


def test_exceptions_of_the_code_show_its_lines():
    error = Udfs().call({"code": "x = 1\nreturn input / 0"}, 1)["error"]
    assert error["code"] == -32004
    assert 'File "<udf b>", line 2' in error["data"]["traceback"]


def test_a_missing_field_names_those_there_are():
    error = Udfs().call({"code": "input.nmae"}, {"name": 1, "age": 2})["error"]
    assert "no field 'nmae'; it has age, name" in error["message"]


def test_code_may_skip_and_call_back():
    udfs = Udfs()
    code = "from stepflow_sdk import SkipStep\nraise SkipStep('enough')\nreturn 1"
    assert udfs.call({"code": code})["result"] == {"skipped": {"reason": "enough"}}
    udfs.talk.answers["blobs/put"] = {"result": {"blob_id": "stored"}}
    answer = udfs.call({"code": "context.put_blob(input)"}, 1, blob_id="c")
    assert answer["result"]["output"] == "stored"


def test_compiled_code_is_kept_by_blob_id_up_to_a_limit():
    udfs = Udfs()
    for _ in range(3):
        udfs.run("input", 1)
    assert udfs.n_read == 1
    for n in range(MAX_CACHED):
        udfs.call({"code": "1"}, blob_id=str(n))
    assert udfs.n_read == 1 + MAX_CACHED
    udfs.run("input", 1)
    assert udfs.n_read == 2 + MAX_CACHED


def test_a_blob_that_is_not_there_is_the_runtimes_error():
    udfs = Udfs()
    udfs.talk.answers["blobs/get"] = {"error": {"code": -32008, "message": "no blob"}}
    assert udfs.talk.error("/udf", {"blob_id": "b"})["code"] == -32008


def test_udf_can_be_left_out():
    assert StepflowServer(udf=False).components == {}


def test_udf_over_the_wire(tmp_path):
    from runtime import Runtime

    with Runtime(tmp_path, "-m", "stepflow_sdk") as child:
        child.initialize()
        stored = child.blobs()
        stored["plain"] = {"code": "input * 2"}
        stored["later"] = {
            "code": "import asyncio\nawait asyncio.sleep(0)\nreturn await context.put_blob(input)"
        }
        for n in range(3):
            assert child.output("/udf", {"blob_id": "plain", "input": n}) == n * 2
            assert stored[child.output("/udf", {"blob_id": "later", "input": n})] == n
        assert sum(it["method"] == "blobs/get" for it in child.callbacks) == 2
