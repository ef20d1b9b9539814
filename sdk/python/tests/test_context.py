from __future__ import annotations

import datetime as dt
import math

import pytest

from conversation import over
from runtime import execute
from stepflow_sdk import Context, FlowFailed, FlowSkipped, RemoteError, StepflowError, SyncContext

OBSERVABILITY = execute("", None)["observability"]


def sync_put(input, c: SyncContext):
    return c.put_blob(input)


async def async_put(input, c: Context):
    return await c.put_blob(input)


def sync_get(input, c: SyncContext):
    return c.get_blob(input)


async def async_get(input, c: Context):
    return await c.get_blob(input)


def sync_evaluate(input, c: SyncContext):
    return c.evaluate_flow(**input)


async def async_evaluate(input, c: Context):
    return await c.evaluate_flow(**input)


def sync_submit(input, c: SyncContext):
    return c.submit_batch(**input)


async def async_submit(input, c: Context):
    return await c.submit_batch(**input)


def sync_batch(input, c: SyncContext):
    return c.get_batch(**input)


async def async_batch(input, c: Context):
    return await c.get_batch(**input)


def sync_metadata(input, c: SyncContext):
    return c.metadata()


async def async_metadata(input, c: Context):
    return await c.metadata()


BLOB = "sha256:" + "0" * 64
BATCH = {"batch_id": "b1", "total_runs": 2}
DETAILS = {
    **BATCH,
    "status": "running",
    "created_at": "2026-01-01T00:00:00Z",
    "completed_runs": 1,
    "paused_runs": 0,
}


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize(
    ("what", "input", "method", "params", "result", "output"),
    [
        (
            "put",
            {"a": 1.0},
            "blobs/put",
            {"data": {"a": 1.0}, "blob_type": "data"},
            {"blob_id": BLOB},
            BLOB,
        ),
        ("put", None, "blobs/put", {"data": None, "blob_type": "data"}, {"blob_id": BLOB}, BLOB),
        (
            "get",
            BLOB,
            "blobs/get",
            {"blob_id": BLOB},
            {"data": [None, 2**70], "blob_type": "data"},
            [None, 2**70],
        ),
        (
            "evaluate",
            {"flow": BLOB, "input": None},
            "flows/evaluate",
            {"flow_id": BLOB, "input": None},
            {"result": {"outcome": "success", "result": None}},
            None,
        ),
        (
            "evaluate",
            {
                "flow": {"steps": []},
                "input": 1,
                "overrides": {"a": 1},
                "variables": {"v": 2},
                "key": "k",
            },
            "flows/evaluate",
            {
                "flow": {"steps": []},
                "input": 1,
                "overrides": {"a": 1},
                "variables": {"v": 2},
                "key": "k",
            },
            {"result": {"outcome": "success", "result": 5, "reason": None}},
            5,
        ),
        (
            "submit",
            {"flow": BLOB, "inputs": [1, 2], "max_concurrency": 3},
            "flows/submit_batch",
            {"flow_id": BLOB, "inputs": [1, 2], "max_concurrency": 3},
            BATCH,
            BATCH,
        ),
        (
            "batch",
            {"batch_id": "b1", "wait": True},
            "flows/get_batch",
            {"batch_id": "b1", "wait": True, "include_results": True},
            {
                "details": DETAILS,
                "outputs": [
                    {
                        "batch_input_index": 0,
                        "status": "completed",
                        "result": {"outcome": "success", "result": 7},
                    }
                ],
            },
            ...,
        ),
        (
            "metadata",
            None,
            "flows/get_metadata",
            {"flow_id": "sha256:f", "step_id": "step1"},
            {"flow_metadata": {"a": 1}},
            {"flow_metadata": {"a": 1}, "step_metadata": None},
        ),
    ],
)
def test_a_call_back_says_whom_it_serves_and_gives_its_result(
    kind, what, input, method, params, result, output
):
    function = globals()[f"{kind}_{what}"]
    talk = over(function)
    talk.answers[method] = {"result": result}
    got = talk.output(f"/{function.__name__}", input)
    (sent,) = [it for it in talk.sent if it.get("method") == method]
    assert sent["params"] == {**params, "execution": talk.n, "observability": OBSERVABILITY}
    assert isinstance(sent["id"], str)
    if output is ...:
        assert got["details"]["completed_runs"] == 1
        assert got["outputs"][0]["result"]["result"] == 7
    else:
        assert got == output


def test_a_batch_of_a_flow_document_stores_the_flow_first():
    talk = over(sync_submit)
    talk.answers |= {
        "blobs/put": {"result": {"blob_id": BLOB}},
        "flows/submit_batch": {"result": BATCH},
    }
    assert talk.output("/sync_submit", {"flow": {"steps": []}, "inputs": []}) == BATCH
    put, submit = (it for it in talk.sent if "method" in it)
    assert put["params"]["blob_type"] == "flow"
    assert submit["params"]["flow_id"] == BLOB


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_an_error_of_the_runtime_passes_through(kind):
    function = globals()[f"{kind}_get"]
    talk = over(function)
    talk.answers["blobs/get"] = {
        "error": {"code": -32008, "message": "no blob", "data": {"blob_id": "b"}}
    }
    assert talk.error(f"/{function.__name__}", "b") == {
        "code": -32008,
        "message": "no blob",
        "data": {"blob_id": "b"},
    }


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        ({"result": {"outcome": "failed", "error": {"code": 4242, "message": "no"}}}, 4242, "no"),
        ({"result": {"outcome": "failed"}}, -32004, "without saying why"),
        ({"result": {"outcome": "strange"}}, -32004, "'strange'"),
        ({"result": {"outcome": "skipped", "reason": "rain"}}, -32004, "skipped: rain"),
        ({"result": {"outcome": 5}}, -32603, "cannot be read"),
        ({}, -32603, "cannot be read"),
    ],
)
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_flow_without_a_result_raises(kind, answer, code, words):
    function = globals()[f"{kind}_evaluate"]
    talk = over(function)
    talk.answers["flows/evaluate"] = {"result": answer}
    error = talk.error(f"/{function.__name__}", {"flow": BLOB})
    assert error["code"] == code
    assert words in error["message"]


def test_the_errors_of_call_backs_have_types():
    seen = []

    def shop(input, c: SyncContext):
        for call in (
            lambda: c.get_blob("b"),
            lambda: c.evaluate_flow("f"),
            lambda: c.evaluate_flow("g"),
        ):
            try:
                call()
            except StepflowError as error:
                seen.append(type(error))

    talk = over(shop)
    outcomes = iter(
        [{"outcome": "skipped"}, {"outcome": "failed", "error": {"code": 1, "message": ""}}]
    )
    talk.answers["blobs/get"] = {"error": {"code": -32008, "message": "no"}}
    talk.answers["flows/evaluate"] = lambda _: {"result": {"result": next(outcomes)}}
    talk.call("/shop")
    assert seen == [RemoteError, FlowSkipped, FlowFailed]


@pytest.mark.parametrize(
    ("value", "words"),
    [({"a": math.nan}, "the blob at /a is nan"), (object(), "the blob is a object")],
)
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_what_is_no_json_is_not_sent(kind, value, words):
    def bad_sync(c: SyncContext):
        c.put_blob(value)

    async def bad_async(c: Context):
        await c.put_blob(value)

    talk = over(bad_sync, bad_async)
    assert words in talk.error(f"/bad_{kind}")["message"]
    assert not any("method" in it for it in talk.sent)


@pytest.mark.parametrize(
    "answer",
    [
        b'"error":"text"',
        b'"error":{"message":"x"}',
        b'"error":{"code":"x","message":"x"}',
        b'"error":5',
        b'"x":1',
    ],
)
def test_an_answer_of_a_wrong_shape_fails_its_call_back(answer):
    talk = over(sync_get)
    talk.answers["blobs/get"] = lambda _: {}

    def tell(id, **_):
        talk.raw(b'{"jsonrpc":"2.0","id":"' + id.encode() + b'",' + answer + b"}")

    talk.tell_, talk.tell = (
        talk.tell,
        lambda id, **rest: talk.tell_(id=id, **rest) if rest else tell(id),
    )
    error = talk.error("/sync_get", "b")
    assert error["code"] == -32603


def test_the_context_knows_its_call():
    def who(c: SyncContext):
        return {
            "run": c.run_id,
            "step": c.step_id,
            "flow": c.flow_id,
            "attempt": c.attempt,
            "key": c.idempotency_key,
            "deadline": None if c.deadline is None else c.deadline.isoformat(),
            "left": c.time_left,
            "cancelled": c.cancelled,
        }

    talk = over(who)
    before = dt.datetime.now(dt.timezone.utc)
    got = talk.output("/who", None, attempt=3, idempotency_key="k", deadline_ms=60_000)
    after = dt.datetime.now(dt.timezone.utc)
    assert (got["run"], got["step"], got["flow"], got["attempt"], got["key"]) == (
        "run1",
        "step1",
        "sha256:f",
        3,
        "k",
    )
    minute = dt.timedelta(minutes=1)
    slack = dt.timedelta(milliseconds=1)
    assert (
        before + minute - slack
        <= dt.datetime.fromisoformat(got["deadline"])
        <= after + minute + slack
    )
    assert got["left"] <= 60
    assert got["cancelled"] is False
    bare = talk.request("components/execute", {"component": "/who", "input": None})["result"][
        "output"
    ]
    assert bare == dict.fromkeys(got, None) | {"attempt": 1, "cancelled": False}


@pytest.mark.parametrize(
    ("arguments", "params"),
    [
        ((0.5,), {"fraction": 0.5}),
        ((0.5, "half"), {"fraction": 0.5, "message": "half"}),
        ((None, "half"), {"message": "half"}),
        ((7,), {"fraction": 1.0}),
        ((-1,), {"fraction": 0.0}),
        ((None, "\ud800"), {"message": "\\ud800"}),
        ((), {}),
    ],
)
def test_progress_is_a_notification_of_the_call(arguments, params):
    def work(c: SyncContext):
        c.progress(*arguments)

    talk = over(work)
    talk.output("/work")
    assert talk.sent[0] == {"jsonrpc": "2.0", "method": "$/progress", "params": {"id": 1, **params}}


def test_logs_carry_level_message_and_data():
    def work(c: SyncContext):
        c.log("warning", "low", left=3)
        c.log("info", "odd", it=object, nan=math.nan)
        c.log("info", "bare \ud800")

    talk = over(work)
    talk.output("/work")
    first, second, third, _ = (it.get("params") for it in talk.sent)
    assert first == {"id": 1, "level": "warning", "message": "low", "data": {"left": 3}}
    assert second["data"] == {"it": "<class 'object'>", "nan": "nan"}
    assert third == {"id": 1, "level": "info", "message": "bare \\ud800"}


def test_progress_and_log_come_before_the_answer_and_in_order(serve):
    child = serve(
        """
        @server.component
        def work(n: int, c: SyncContext) -> None:
            for i in range(n):
                c.progress(i / n); c.log("info", str(i)); print("p", i)
        """
    )
    id = child.start("/work", 50)
    child.response(id)
    told = [it["params"].get("message", it["params"].get("fraction")) for it in child.notifications]
    assert told == [it for i in range(50) for it in (i / 50, str(i), f"p {i}")]


def test_call_backs_over_the_wire(serve):
    child = serve(
        """
        @server.component
        def put(input, c: SyncContext) -> str: return c.get_blob(c.put_blob(input))
        @server.component
        async def put_async(input, c: Context) -> str: return await c.get_blob(await c.put_blob(input))
        """
    )
    child.blobs()
    value = {"big": 2**80, "float": 1.0, "text": "é\u2028\n", "null": None}
    for component in ("/put", "/put_async"):
        got = child.output(component, value)
        assert got == value
        assert isinstance(got["float"], float)
    assert {it["params"]["execution"] for it in child.callbacks} == {2, 3}
    assert all(it["params"]["observability"] == OBSERVABILITY for it in child.callbacks)
