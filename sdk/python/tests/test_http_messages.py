from __future__ import annotations

import json
import socket
import threading
from contextlib import ExitStack
from typing import Any

import pytest

from http_runtime import BOTH, JSON, Session, call, served
from stepflow_sdk import Context, NoBackChannel, SkipStep, StepflowError, SyncContext

pytestmark = pytest.mark.usefixtures("any_uvicorn")

# Components of these tests; what they wait for is given to each server anew.


def echo(input):
    return input


async def echo_async(input):
    return input


def put(input, context: SyncContext):
    return context.put_blob(input)


async def put_async(input, context: Context):
    return await context.put_blob(input)


def talk(input, context: SyncContext):
    context.progress(0.5, "half")
    context.log("info", "logged", rows=3)
    print("printed", input)
    return input


def bad(input):
    raise ValueError("no")


def custom(input):
    raise StepflowError(4242, "closed", {"on": "Sunday"})


def skip(input):
    raise SkipStep("rain")


def caught(input, context: SyncContext):
    try:
        context.put_blob(1)
    except NoBackChannel as error:
        return str(error)


@pytest.fixture(scope="module")
def server(any_uvicorn):
    with served(echo, echo_async, put, put_async, talk, bad, custom, skip, caught) as it:
        yield it


PING = {"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {}}


# Statuses


@pytest.mark.parametrize(
    ("body", "status", "code", "id"),
    [
        (PING, 200, None, 1),
        ({**PING, "id": "1"}, 200, None, "1"),
        ({**PING, "id": 2**60}, 200, None, 2**60),
        ({**PING, "method": "pong"}, 200, -32601, 1),
        (call("/nothing"), 200, -32001, 1),
        ({**PING, "method": "components/execute", "params": {}}, 200, -32602, 1),
        (b"", 400, -32700, None),
        (b"{", 400, -32700, None),
        (b"\xff", 400, -32700, None),
        (b"NaN", 400, -32700, None),
        (b"[]", 400, -32600, None),
        (b"5", 400, -32600, None),
        (b"{}", 400, -32600, None),
        (b'{"jsonrpc":"2.0"}', 400, -32600, None),
        (b'{"jsonrpc":"1.0","id":7,"method":"ping"}', 400, -32600, 7),
        (b'{"jsonrpc":"2.0","id":7,"method":5}', 400, -32600, 7),
        (b'{"jsonrpc":"2.0","id":1.5,"method":"ping"}', 400, -32600, None),
        (b'{"jsonrpc":"2.0","id":7}', 400, -32600, 7),
        (b'\xef\xbb\xbf {"jsonrpc":"2.0","id":7,"method":"ping"}', 200, None, 7),
    ],
)
@pytest.mark.parametrize("accept", [JSON, BOTH])
def test_a_message_has_a_status_and_a_json_rpc_answer(server, body, status, code, id, accept):
    got, answer = server.post(body, accept=accept)
    assert (got, answer["id"]) == (status, id)
    assert answer["jsonrpc"] == "2.0"
    assert answer.get("error", {}).get("code") == code
    assert ("result" in answer) == (code is None)


@pytest.mark.parametrize(
    "message",
    [
        {"jsonrpc": "2.0", "method": "initialized", "params": {}},
        {"jsonrpc": "2.0", "method": "$/unknown"},
        {"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": "nobody"}},
        {"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"wrong": 1}},
        {"jsonrpc": "2.0", "id": "late", "result": {}},
        {"jsonrpc": "2.0", "id": "late", "result": None},
        {"jsonrpc": "2.0", "id": 5, "error": {"code": 1, "message": "late"}},
        {"jsonrpc": "2.0", "id": None, "error": {"code": 1, "message": "whose?"}},
    ],
)
def test_notifications_and_answers_get_202_and_no_body(server, message):
    assert server.post(message) == (202, None)
    with Session(server) as session:
        assert server.post(message, session.endpoint, BOTH) == (202, None)


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "code"),
    [
        ("GET", "/", {}, 405, -32600),
        ("PUT", "/", {}, 405, -32600),
        ("OPTIONS", "/", {}, 405, -32600),
        ("POST", "/runtime/events", {}, 405, -32600),
        ("DELETE", "/runtime/events/", {}, 405, -32600),
        ("POST", "/health", {}, 405, -32600),
        ("GET", "/runtime/events", {"Accept": JSON}, 406, -32600),
        ("GET", "/runtime/events", {"Accept": "text/event-stream;q=0, */*"}, 406, -32600),
        ("POST", "/", {"Content-Type": JSON, "Accept": "text/event-stream"}, 406, -32600),
        ("POST", "/", {"Content-Type": JSON, "Accept": "application/json;q=0"}, 406, -32600),
        ("POST", "/", {}, 415, -32600),
        ("POST", "/", {"Content-Type": "text/plain"}, 415, -32600),
        ("POST", "/", {"Content-Type": "application/json; charset=latin-1"}, 415, -32600),
        ("POST", "/", {"Content-Type": JSON, "Content-Encoding": "gzip"}, 415, -32600),
        ("POST", "/?sessionId=unknown", {"Content-Type": JSON}, 404, -32010),
        ("POST", "/?sessionId=", {"Content-Type": JSON}, 404, -32010),
        ("DELETE", "/?sessionId=unknown", {}, 404, -32010),
        ("DELETE", "/", {}, 400, -32600),
        ("POST", "/", {"Content-Type": JSON, "Stepflow-Instance-Id": "other"}, 421, -32010),
        ("POST", "/?instance=other", {"Content-Type": JSON}, 421, -32010),
        ("GET", "/elsewhere", {}, 404, -32600),
        ("POST", "/elsewhere", {"Content-Type": JSON}, 404, -32600),
        ("GET", "/docs", {}, 404, -32600),
    ],
)
def test_what_is_refused_has_a_json_rpc_body_with_its_id(
    server, method, path, headers, status, code
):
    body = json.dumps(PING).encode() if method in {"POST", "PUT"} else None
    got, found, answer = server.request(method, path, body, **headers)
    assert got == status
    assert found["content-type"] == "application/json; charset=utf-8"
    error = json.loads(answer)
    assert error["error"]["code"] == code
    assert error["id"] == (1 if method == "POST" else None)
    assert ("allow" in found) == (status == 405)


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "application/json"},
        {"Content-Type": "application/json; charset=utf-8"},
        {"Content-Type": 'Application/JSON;charset="UTF-8"'},
        {"Content-Type": JSON, "Accept": "*/*"},
        {"Content-Type": JSON, "Accept": "application/*;q=0.5, text/html"},
        {"Content-Type": JSON, "Accept": "text/event-stream, application/json"},
    ],
)
def test_the_usual_ways_to_say_json_are_understood(server, headers):
    status, found, _ = server.request("POST", "/", json.dumps(PING).encode(), **headers)
    assert status == 200
    assert found["content-type"] == "application/json; charset=utf-8"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ["/health", "/health/"])
def test_health(server, method, path):
    status, _, body = server.request(method, path)
    assert status == 200
    assert body == (b'{"status":"ok"}' if method == "GET" else b"")


# Without a session


@pytest.mark.parametrize("accept", [JSON, BOTH])
@pytest.mark.parametrize(
    ("component", "input", "expected"),
    [
        ("/echo", {"a": 1.0, "b": 2**70, "c": None}, {"result": {"output": ...}}),
        ("/echo_async", [1, "é\u2028\n"], {"result": {"output": ...}}),
        ("echo", 1, {"result": {"output": ...}}),
        ("/skip", 1, {"result": {"skipped": {"reason": "rain"}}}),
        (
            "/custom",
            1,
            {"error": {"code": 4242, "message": "closed", "data": {"on": "Sunday"}}},
        ),
    ],
)
def test_calls_need_no_handshake_and_are_answered_as_json(
    server, accept, component, input, expected
):
    status, answer = server.post(call(component, input), accept=accept)
    assert status == 200
    if expected == {"result": {"output": ...}}:
        expected = {"result": {"output": input}}
    assert answer == {"jsonrpc": "2.0", "id": 1, **expected}


def test_exceptions_are_worded_as_over_stdio(server):
    _, answer = server.post(call("/bad"))
    assert answer["error"]["code"] == -32004
    assert answer["error"]["data"]["exception_type"] == "ValueError"
    assert "test_http_messages.py" in answer["error"]["data"]["traceback"]


@pytest.mark.parametrize(
    ("method", "params"), [("components/list", {}), ("components/info", {"component": "/echo"})]
)
def test_listings_need_no_handshake(server, method, params):
    status, answer = server.post({**PING, "method": method, "params": params})
    assert status == 200
    assert "result" in answer


@pytest.mark.parametrize("component", ["/put", "/put_async"])
@pytest.mark.parametrize("accept", [JSON, "*/*"])
def test_a_plain_post_has_no_back_channel(server, component, accept):
    status, answer = server.post(call(component), accept=accept)
    assert status == 200
    assert answer["error"]["code"] == -32005
    assert "no back channel" in answer["error"]["message"]
    assert server.on_loop(lambda: len(server.host.calls_back)) == 0


def test_no_back_channel_is_an_error_of_its_own(server):
    assert "session" in server.post(call("/caught"))[1]["result"]["output"]


# These serve for themselves: the stdout that is taken over has to be the test's own.


def test_a_plain_post_is_told_nothing_but_its_answer(capsys):
    with served(talk) as server:
        assert server.post(call("/talk", 5))[1]["result"]["output"] == 5
        out, err = capsys.readouterr()
        assert out == "printed 5\n"
        assert err == "info: logged {'rows': 3}\n"


def test_prints_progress_and_logs_turn_the_answer_into_a_stream():
    with served(talk) as server:
        stream = server.stream(call("/talk", 5, id="x"))
        assert (stream.status, stream.header("content-type")) == (200, "text/event-stream")
        assert stream.header("cache-control") == "no-cache"
        assert stream.header("x-accel-buffering") == "no"
        told = [stream.message() for _ in range(4)]
        assert [it.get("method") for it in told] == ["$/progress", "$/log", "$/log", None]
        assert told[1]["params"]["message"] == "logged"
        assert told[2]["params"]["message"] == "printed 5"
        assert all(it["params"]["id"] == "x" for it in told[:3])
        assert told[3] == {"jsonrpc": "2.0", "id": "x", "result": {"output": 5}}
        assert stream.next() is None


def test_a_runtime_that_takes_no_logs_gets_json(capsys):
    with served(talk) as server:
        stream = server.stream(call("/talk", 5, capabilities={}))
        assert json.loads(stream.next()["data"])["result"]["output"] == 5
        assert stream.header("content-type") == "application/json; charset=utf-8"
        assert "printed" in capsys.readouterr().out


@pytest.mark.parametrize("component", ["/put", "/put_async"])
def test_answers_to_call_backs_of_a_stream_come_by_posts_of_their_own(server, component):
    stream = server.stream(call(component, {"a": [1]}, id=7))
    asked = stream.message()
    assert asked["method"] == "blobs/put"
    assert asked["params"]["data"] == {"a": [1]}
    assert asked["params"]["execution"] == 7
    instance = stream.header("stepflow-instance-id")
    answer = {"jsonrpc": "2.0", "id": asked["id"], "result": {"blob_id": "b1"}}
    refused, _ = server.post(answer, **{"Stepflow-Instance-Id": "another"})
    assert refused == 421
    assert server.post(answer, **{"Stepflow-Instance-Id": instance}) == (202, None)
    assert stream.message()["result"] == {"output": "b1"}
    assert stream.next() is None
    # Late, twice, and nobody's: none of that is an error.
    assert server.post(answer) == (202, None)
    assert server.on_loop(lambda: len(server.host.calls_back)) == 0


def test_streams_with_the_same_ids_get_their_own_answers(server):
    streams = [server.stream(call("/put", n, id=1)) for n in range(5)]
    asked = [it.message() for it in streams]
    for n in (3, 0, 4, 1, 2):
        assert asked[n]["params"]["data"] == n
        server.post({"jsonrpc": "2.0", "id": asked[n]["id"], "result": {"blob_id": f"b{n}"}})
    assert [it.message()["result"]["output"] for it in streams] == [f"b{n}" for n in range(5)]


def test_an_answer_of_a_wrong_shape_fails_its_call_back_and_is_refused(server):
    stream = server.stream(call("/put"))
    id = stream.message()["id"]
    status, answer = server.post({"jsonrpc": "2.0", "id": id})
    assert (status, answer["error"]["code"], answer["id"]) == (400, -32600, id)
    assert stream.message()["error"]["code"] == -32603


def test_an_error_as_the_answer_reaches_the_component(server):
    stream = server.stream(call("/put"))
    id = stream.message()["id"]
    server.post({"jsonrpc": "2.0", "id": id, "error": {"code": -32008, "message": "full"}})
    assert stream.message()["error"] == {"code": -32008, "message": "full"}


def test_white_space_that_was_passed_through_does_not_break_an_event(server):
    text = json.dumps(call("/put", 1)).replace('"step_id": "step1"', '"step_id":\r\n\r\n"step1"')
    assert "\r\n" in text
    stream = server.stream(json.loads(text))
    stream.close()
    with Session(server) as session:
        post = text.encode().replace(b'"observability": {', b'"observability": {\r\n\n')
        later = threading.Thread(target=server.post, args=(post, session.endpoint))
        later.start()
        asked = session.message()
        assert asked["params"]["observability"]["step_id"] == "step1"
        session.post(id=asked["id"], result={"blob_id": "b"})
        later.join()


# Leaving


@pytest.mark.parametrize("keyword", ["async", "plain"])
@pytest.mark.parametrize("streams", [True, False])
def test_whoever_leaves_a_direct_call_cancels_it(keyword, streams):
    began, ended = threading.Event(), threading.Event()

    async def wait_async(input, context: Context):
        import asyncio

        began.set()
        if streams:
            context.progress(0.1)
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    def wait_plain(input, context: SyncContext):
        began.set()
        if streams:
            context.progress(0.1)
        while not context.cancelled:
            pass
        ended.set()

    with served(wait_async, wait_plain) as server:
        stream = server.stream(call(f"/wait_{keyword}"))
        assert began.wait(20)
        if streams:
            assert stream.message()["method"] == "$/progress"
        stream.close()
        assert ended.wait(20)
        server.until(lambda: not server.host.open)


def test_leaving_wakes_a_component_out_of_its_call_back():
    seen = []

    def ask(input, context: SyncContext):
        try:
            context.get_blob("b")
        except BaseException as error:
            seen.append(type(error).__name__)
            raise

    with served(ask) as server:
        stream = server.stream(call("/ask"))
        id = stream.message()["id"]
        stream.close()
        server.until(lambda: not server.host.open)
        assert seen == ["CallCancelled"]
        assert server.on_loop(lambda: len(server.host.calls_back)) == 0
        assert server.post({"jsonrpc": "2.0", "id": id, "result": {}}) == (202, None)


# Sizes


def raw(server, head: bytes, *parts: bytes) -> tuple[int, bytes]:
    """Sends bytes as they are and returns status and body of the answer."""
    with socket.create_connection(("127.0.0.1", server.port), 20) as connection:
        connection.sendall(
            b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        )
        connection.sendall(head + b"\r\n")
        for part in parts:
            connection.sendall(part)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += connection.recv(1 << 16)
        start, _, body = answer.partition(b"\r\n\r\n")
        length = int(start.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        while len(body) < length:
            body += connection.recv(1 << 16)
        return int(start.split()[1]), body


LIMIT = 100_000


@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize(("size", "status"), [(LIMIT - 1, 200), (LIMIT, 200), (LIMIT + 1, 413)])
@pytest.mark.parametrize("in_session", [True, False])
def test_the_limit_of_a_body_is_exact(limited, chunked, size, status, in_session):
    frame = json.dumps(call("/echo", "", id="big")).encode()
    body = frame.replace(b'"input": ""', b'"input": "%b"' % (b"x" * (size - len(frame))))
    assert len(body) == size
    if in_session:
        with Session(limited) as session:
            got, answer = limited.post(body, session.endpoint)
    elif chunked:
        parts = [body[at : at + 30_000] for at in range(0, size, 30_000)]
        chunks = [b"%x\r\n%b\r\n" % (len(it), it) for it in parts]
        got, text = raw(limited, b"Transfer-Encoding: chunked\r\n", *chunks, b"0\r\n\r\n")
        answer = json.loads(text)
    else:
        got, text = raw(limited, b"Content-Length: %d\r\n" % size, body)
        answer = json.loads(text)
    assert (got, answer["id"]) == (status, "big")
    if status == 413:
        assert answer["error"]["code"] == -32600
        assert answer["error"]["data"] == {"max_message_bytes": LIMIT}


@pytest.fixture(scope="module")
def limited(any_uvicorn):
    with served(echo, max_message_bytes=LIMIT) as it:
        yield it


def test_a_body_far_over_the_limit_is_refused_in_constant_memory(limited):
    n = 300
    chunk = b"%x\r\n%b\r\n" % (LIMIT, b" " * LIMIT)
    start = b'18\r\n{"jsonrpc":"2.0","id":9,\r\n'
    status, text = raw(
        limited, b"Transfer-Encoding: chunked\r\n", start, *[chunk] * n, b"0\r\n\r\n"
    )
    assert status == 413
    assert json.loads(text)["id"] == 9


def test_an_answer_larger_than_the_runtime_takes_is_an_error(server):
    with Session(server, initialize=False) as session:
        session.initialize(max_message_bytes=1000)
        error = session.call("/echo", "x" * 2000)["error"]
        assert error["code"] == -32005


def test_a_body_that_never_ends_holds_up_nobody(server):
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(
            b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"
        )
        assert server.post(PING)[0] == 200


# Bodies that do not come


def told(server, head: bytes, body: bytes = b"") -> tuple[int, bytes, dict[str, Any]]:
    """Sends what may be less than a request; returns status, headers and JSON of all that comes until the end."""
    with socket.create_connection(("127.0.0.1", server.port), 20) as connection:
        connection.sendall(head.replace(b"\n", b"\r\n") + b"Host: localhost\r\n\r\n" + body)
        answer = b""
        while part := connection.recv(1 << 16):
            answer += part
    start, _, text = answer.partition(b"\r\n\r\n")
    return int(start.split()[1]), start.lower(), json.loads(text)


@pytest.fixture(scope="module")
def impatient(any_uvicorn):
    with served(echo, limits={"body_idle": 0.05}, max_message_bytes=LIMIT) as it:
        yield it


@pytest.mark.parametrize(
    ("head", "start", "status", "id"),
    [
        (b"Content-Length: 99\n", b"", 408, None),
        (b"Content-Length: 99\n", b'{"jsonrpc":"2.0","id":7', 408, None),
        (b"Transfer-Encoding: chunked\n", b"2\r\n{}\r\n", 408, None),
        # What is wrong already stays so, and is told as soon as no more comes.
        (b"Content-Length: 999\nContent-Encoding: gzip\n", b'{"jsonrpc":"2.0","id":7,', 415, 7),
        (
            b"Content-Length: 999999\n",
            b'{"jsonrpc":"2.0","id":7,"method":"ping",' + b" " * LIMIT,
            413,
            7,
        ),
    ],
)
@pytest.mark.parametrize("in_session", [True, False])
def test_a_body_that_stands_still_is_given_up(impatient, head, start, status, id, in_session):
    with ExitStack() as sessions:
        path = b"/"
        if in_session:
            path = sessions.enter_context(Session(impatient)).endpoint.encode()
        line = b"POST %b HTTP/1.1\nContent-Type: application/json\n" % path
        got, headers, answer = told(impatient, line + head, start)
        assert (got, answer["id"], answer["error"]["code"]) == (status, id, -32600)
        assert b"\r\nconnection: close" in headers
        # Its session has nothing to do with that.
        assert impatient.post(PING, path.decode())[0] == 200
    impatient.until(lambda: len(impatient.host.patience) == 0)
    impatient.until(lambda: not impatient.uvicorn.server_state.tasks)
    impatient.until(lambda: not impatient.uvicorn.server_state.connections)


@pytest.mark.parametrize(
    ("path", "head", "status"),
    [
        (b"/", b"Content-Type: text/plain\n", 415),
        (b"/", b"Content-Type: application/json\nStepflow-Instance-Id: other\n", 421),
        (b"/", b"Content-Type: application/json\nOrigin: http://elsewhere\n", 403),
        (b"/?sessionId=unknown", b"Content-Type: application/json\n", 404),
        (b"/elsewhere", b"Content-Type: application/json\n", 404),
        (b"/runtime/events", b"Content-Type: application/json\n", 405),
        (b"/", b"Content-Type: application/json\nContent-Length: %d\n" % (LIMIT + 1), 413),
    ],
)
def test_a_body_that_will_be_refused_is_not_asked_for(limited, path, head, status):
    if b"Content-Length" not in head:
        head += b"Content-Length: 99\n"
    head = b"POST %b HTTP/1.1\nExpect: 100-continue\n%b" % (path, head)
    got, headers, answer = told(limited, head)
    assert (got, answer["id"]) == (status, None)
    assert b"\r\nconnection: close" in headers


def test_a_body_that_will_be_read_is_asked_for(limited):
    body = json.dumps(PING).encode()
    with socket.create_connection(("127.0.0.1", limited.port), 20) as connection:
        connection.sendall(
            b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body)
        )
        assert b" 100 " in connection.recv(1 << 16)
        connection.sendall(body)
        assert b" 200 " in connection.recv(1 << 16).partition(b"\r\n")[0]


def test_large_messages_go_through(server):
    text = "é" * 4_000_000
    assert server.post(call("/echo", text))[1]["result"]["output"] == text
