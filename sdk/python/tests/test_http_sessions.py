from __future__ import annotations

import asyncio
import json
import re
import socket
import threading

import pytest

from http_runtime import BOTH, Events, Later, Session, call, served
from runtime import PATIENCE
from stepflow_sdk import Context, SyncContext
from stepflow_sdk.transport.http.replay import EventLog

pytestmark = pytest.mark.usefixtures("any_uvicorn")


def echo(input):
    return input


def put(input, context: SyncContext):
    return context.put_blob(input)


async def put_async(input, context: Context):
    return await context.put_blob(input)


def chatter(n: int, context: SyncContext) -> int:
    for i in range(n):
        context.log("info", str(i))
    return n


@pytest.fixture(scope="module")
def server(any_uvicorn):
    with served(echo, put, put_async, chatter, hasty) as it:
        yield it


# Opening


@pytest.mark.parametrize("path", ["/runtime/events", "/runtime/events/"])
def test_a_stream_begins_with_where_its_session_is(server, path):
    with Session(server, initialize=False) as session:
        assert session.events.status == 200
        assert session.events.header("content-type") == "text/event-stream"
        assert session.events.header("cache-control") == "no-cache"
        assert session.events.header("x-accel-buffering") == "no"
        start, _, id = session.endpoint.partition("=")
        assert start == "/?sessionId"
        assert len(id) == 32
        assert session.event_id.endswith(".0")
        assert id not in session.event_id
        # Without the slash as well.
        ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
        assert server.post(ping, session.endpoint)[0] == 200


def test_ids_are_never_the_same(server):
    sessions = [Session(server, initialize=False) for _ in range(20)]
    assert len({it.endpoint for it in sessions}) == 20
    assert len({it.event_id for it in sessions}) == 20


def test_components_are_served_after_the_handshake(server):
    with Session(server, initialize=False) as session:
        for method in ("components/list", "components/info", "components/execute"):
            params = {"component": "/echo", "input": 1}
            assert session.request(method, params)["error"]["code"] == -32002
        assert session.request("ping")["result"] == {}
        assert session.initialize()["server_protocol_version"] == 1
        assert session.call("/py/echo", 1)["result"] == {"output": 1}
    with Session(server, initialize=False) as another:
        assert another.call("/echo")["error"]["code"] == -32002


def test_another_version_is_refused_naming_both(server):
    with Session(server, initialize=False) as session:
        error = session.request("initialize", {"runtime_protocol_version": 9})["error"]
        assert error["code"] == -32002
        assert "version 9" in error["message"]


# Call backs


@pytest.mark.parametrize("component", ["/put", "/put_async"])
def test_call_backs_come_as_events_and_answers_by_post(server, component):
    with Session(server) as session:
        called = session.begin(component, [1], id=5)
        asked = session.message()
        assert asked["method"] == "blobs/put"
        assert asked["params"]["execution"] == 5
        assert session.post(id=asked["id"], result={"blob_id": "b"}) == (202, None)
        assert called.result()["result"] == {"output": "b"}
        # Late: nobody waits for it any more.
        assert session.post(id=asked["id"], result={"blob_id": "c"}) == (202, None)


async def hasty(input, context: Context):
    background.append(asyncio.ensure_future(context.put_blob(input)))
    await asyncio.sleep(0)
    return "done"


background: list[asyncio.Future[str]] = []


def test_a_call_back_may_be_answered_after_its_call(server):
    with Session(server) as session:
        assert session.call("/hasty", [1])["result"] == {"output": "done"}
        asked = session.message()
        assert asked["method"] == "blobs/put"
        assert session.post(id=asked["id"], result={"blob_id": "b"}) == (202, None)
        assert session.call("/echo", 2)["result"] == {"output": 2}


def test_sessions_with_the_same_ids_do_not_meet(server):
    sessions = [Session(server) for _ in range(4)]
    called = [it.begin("/put", n, id=1) for n, it in enumerate(sessions)]
    asked = [it.message() for it in sessions]
    assert [it["params"]["data"] for it in asked] == [0, 1, 2, 3]
    # An answer that another session gives is nobody's.
    for n, it in enumerate(sessions):
        wrong = asked[(n + 1) % 4]["id"]
        assert it.post(id=wrong, result={"blob_id": "wrong"}) == (202, None)
        assert server.post({"jsonrpc": "2.0", "id": wrong, "result": {"blob_id": "x"}})[0] == 202
    for n in (2, 0, 3, 1):
        # Cancelling in another session changes nothing.
        sessions[n - 1].post(method="$/cancelRequest", params={"id": 99})
        sessions[n].post(id=asked[n]["id"], result={"blob_id": f"b{n}"})
    assert [it.result()["result"]["output"] for it in called] == ["b0", "b1", "b2", "b3"]
    for it in sessions:
        it.events.close()


def test_many_calls_back_at_once(server):
    with Session(server) as session:
        called = [session.begin("/put", n) for n in range(100)]
        asked = [session.message() for _ in range(100)]
        for it in reversed(asked):
            session.post(id=it["id"], result={"blob_id": str(it["params"]["data"])})
        assert [it.result()["result"]["output"] for it in called] == [str(n) for n in range(100)]


def test_logs_come_in_order(server):
    with Session(server) as session:
        assert session.call("/chatter", 200)["result"]["output"] == 200
        assert [session.message()["params"]["message"] for _ in range(200)] == [
            str(n) for n in range(200)
        ]


def test_the_same_id_cannot_run_twice_at_once(server):
    with Session(server) as session:
        called = session.begin("/put", 1, id="a")
        asked = session.message()
        assert session.call("/echo", 1, id="a")["error"]["code"] == -32600
        session.post(id=asked["id"], result={"blob_id": "b"})
        assert "result" in called.result()
        assert session.call("/echo", 1, id="a")["result"]["output"] == 1


@pytest.mark.parametrize("component", ["/put", "/put_async"])
def test_cancelling_reaches_the_component(server, component):
    with Session(server) as session:
        called = session.begin(component, 1, id=1)
        session.message()
        session.post(method="$/cancelRequest", params={"id": 1, "reason": "enough"})
        error = called.result()["error"]
        assert error["code"] == -32012
        assert "enough" in error["message"]


def test_blocked_components_hold_up_nobody():
    gate = threading.Event()
    began = threading.Semaphore(0)

    def block(input):
        began.release()
        gate.wait()

    async def block_loop(input):
        began.release()
        gate.wait()

    with served(block, block_loop, echo, max_threads=4) as server, Session(server) as session:
        held = [session.begin("/block") for _ in range(3)] + [session.begin("/block_loop")]
        for _ in held:
            assert began.acquire(timeout=20)
        assert session.request("ping")["result"] == {}
        assert session.call("/echo", 1)["result"]["output"] == 1
        assert server.request("GET", "/health")[0] == 200
        gate.set()
        assert all("result" in it.result() for it in held)


def test_more_calls_than_threads_wait_and_those_that_call_back_do_not_count():
    with served(put, echo, max_threads=2) as server, Session(server) as session:
        called = [session.begin("/put", n) for n in range(10)]
        asked = [session.message() for _ in range(10)]
        assert session.call("/echo", 1)["result"]["output"] == 1
        for it in asked:
            session.post(id=it["id"], result={"blob_id": "b"})
        assert all("result" in it.result() for it in called)


def test_an_answer_does_not_wait_for_the_call_that_its_thread_runs_next():
    begun, go = threading.Event(), threading.Semaphore(0)

    def block(input):
        begun.set()
        assert go.acquire(timeout=PATIENCE)
        return input

    with served(block, max_threads=1) as server, Session(server) as session:
        first = session.begin("/block", 1)
        assert begun.wait(PATIENCE)
        second = session.begin("/block", 2)
        server.until(lambda: len(server.host.open) == 2)
        go.release()
        assert first.result()["result"]["output"] == 1
        assert len(server.host.open) == 1
        go.release()
        assert second.result()["result"]["output"] == 2


def test_a_call_that_is_cancelled_in_the_queue_never_begins():
    gate, began, ran = threading.Event(), threading.Event(), []

    def block(input):
        began.set()
        gate.wait()

    def run(input):
        ran.append(input)

    with served(block, run, max_threads=1) as server, Session(server) as session:
        held = session.begin("/block")
        assert began.wait(20)
        queued = session.begin("/run", 1, id="q")
        server.until(lambda: len(server.host.open) == 2)
        session.post(method="$/cancelRequest", params={"id": "q"})
        gate.set()
        assert "result" in held.result()
        assert queued.result()["error"]["code"] == -32012
        assert ran == []


# Losing the stream


def test_a_session_goes_on_where_its_stream_was_lost(server):
    with Session(server) as session:
        endpoint = session.endpoint
        called = [session.begin("/put", n) for n in range(3)]
        asked = [session.message()]
        session.events.close()
        session.resume()
        assert session.endpoint == endpoint
        asked += [session.message() for _ in range(2)]
        assert {it["params"]["data"] for it in asked} == {0, 1, 2}
        for it in asked:
            session.post(id=it["id"], result={"blob_id": "b"})
        assert all("result" in it.result() for it in called)


def test_what_was_missed_comes_again_in_order(server):
    with Session(server) as session:
        session.call("/chatter", 10)
        ids = []
        for n in range(10):
            assert session.message()["params"]["message"] == str(n)
            ids.append(session.event_id)
        # As if all after the fourth had been lost on their way.
        session.events.close()
        session.call("/chatter", 2)
        session.resume(ids[3])
        assert session.event_id == ids[3]
        told = [session.message()["params"]["message"] for _ in range(8)]
        assert told == ["4", "5", "6", "7", "8", "9", "0", "1"]


def test_the_newest_stream_of_a_session_counts(server):
    with Session(server) as session:
        old = session.events
        session.resume()
        assert old.next() is None
        session.call("/chatter", 1)
        assert session.message()["method"] == "$/log"


@pytest.mark.parametrize(
    "id",
    [
        "",
        "x",
        "unknown.3",
        ".",
        ".0",
        "9" * 50,
        "{secret}",
        "{secret}.",
        "{secret}.x",
        "{secret}.1",
    ],
)
def test_an_id_that_continues_nothing_opens_a_new_session(server, id):
    with Session(server) as session, Session(server) as another:
        endpoint, secret = session.endpoint, session.event_id.partition(".")[0]
        another.resume(id.format(secret=secret) or " ")
        assert another.endpoint != endpoint
        another.initialize()
        assert another.call("/echo", 1)["result"]["output"] == 1


@pytest.mark.parametrize("limits", [{"replay_events": 5}, {"replay_bytes": 750}])
def test_what_is_kept_is_bounded_and_losing_more_loses_the_session(limits):
    with served(chatter, limits=limits) as server, Session(server) as session:
        endpoint = session.endpoint
        session.call("/chatter", 20)
        ids = [session.event_id]
        for _ in range(20):
            session.message()
            ids.append(session.event_id)
        (kept,) = server.on_loop(lambda: [it.events for it in server.host.sessions._by_id.values()])
        assert len(kept) <= 5
        session.resume(ids[17])
        assert session.endpoint == endpoint
        assert session.message()["params"]["message"] == "17"
        session.resume(ids[3])
        assert session.endpoint != endpoint
        status, answer = server.post({"jsonrpc": "2.0", "id": 1, "method": "ping"}, endpoint)
        assert (status, answer["error"]["code"]) == (404, -32010)


def test_events_that_were_not_sent_are_all_kept():
    with served(chatter) as server, Session(server) as session:
        session.events.close()
        server.until(lambda: all(it.stream is None for it in server.host.sessions._by_id.values()))
        session.call("/chatter", 2000)
        session.resume()
        told = [session.message()["params"]["message"] for _ in range(2000)]
        assert told == [str(n) for n in range(2000)]


def test_progress_that_nobody_reads_is_dropped_and_calls_back_are_not():
    def both(n: int, context: SyncContext) -> str:
        for i in range(n):
            context.log("info", str(i))
        return context.put_blob(n)

    with served(both) as server, Session(server) as session:
        session.events.close()
        server.until(lambda: all(it.stream is None for it in server.host.sessions._by_id.values()))
        called = session.begin("/both", 10_000)
        server.until(lambda: any(it.peer._pending for it in server.host.sessions._by_id.values()))
        session.resume()
        while (told := session.message())["method"] == "$/log":
            assert int(told["params"]["message"]) < 10_000
        session.post(id=told["id"], result={"blob_id": "b"})
        assert called.result()["result"]["output"] == "b"
        number = int(session.event_id.rpartition(".")[2])
        assert number <= 4096 + 1


def never_read(server) -> tuple[socket.socket, str]:
    """Opens a stream, reads its first event and nothing more; returns the connection and the endpoint."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(20)
    connection.connect(("127.0.0.1", server.port))
    connection.sendall(
        b"GET /runtime/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"
    )
    text = b""
    while (found := re.search(rb'"endpoint":"([^"]+)"', text)) is None:
        text += connection.recv(1024)
    return connection, found[1].decode()


def test_a_stream_that_is_never_read_ends_its_session():
    ended = threading.Event()

    async def ask(n: int, context: Context):
        try:
            # Far more than the buffers between here and there take.
            await asyncio.gather(*[context.put_blob("x" * 1_000_000) for _ in range(n)])
        finally:
            ended.set()

    with served(ask, limits={"unwritten_bytes": 4_000_000}) as server:
        connection, endpoint = never_read(server)
        with connection:
            (kept,) = server.on_loop(lambda: list(server.host.sessions._by_id.values()))
            params = {"runtime_protocol_version": 1, "capabilities": {}}
            hello = {"jsonrpc": "2.0", "id": "i", "method": "initialize", "params": params}
            assert server.post(hello, endpoint)[0] == 200
            assert server.post({"jsonrpc": "2.0", "method": "initialized"}, endpoint)[0] == 202
            status, answer = server.post(call("/ask", 64), endpoint, BOTH)
            assert (status, answer["error"]["code"]) == (200, -32012)
            assert "4000000 bytes of its stream unread" in answer["error"]["message"]
            assert ended.wait(20)
            ping = {"jsonrpc": "2.0", "id": "x", "method": "ping"}
            status, answer = server.post(ping, endpoint)
            assert (status, answer["id"], answer["error"]["code"]) == (404, "x", -32010)
            assert server.on_loop(lambda: (len(server.host.sessions), len(server.host.open))) == (
                0,
                0,
            )
            assert server.on_loop(lambda: (len(kept.events), kept.events.n_unwritten_bytes)) == (
                0,
                0,
            )


def test_answers_that_nobody_fetches_end_their_session():
    gate, began = threading.Event(), threading.Event()

    def wait(n: int):
        began.set()
        gate.wait()
        return "x" * n

    with served(wait, limits={"unwritten_bytes": 100_000}) as server:
        session = Session(server)
        session.events.close()
        post = Events(
            server,
            "POST",
            session.endpoint,
            json.dumps(call("/wait", 100_000)).encode(),
            {"Content-Type": "application/json", "Accept": BOTH},
        )
        assert began.wait(20)
        post.close()
        server.until(lambda: all(it.has_left for it in server.host.open))
        gate.set()
        server.until(lambda: len(server.host.sessions) == 0)
        assert gone(server, session)


def test_a_stream_that_is_read_may_carry_more_than_may_wait():
    def ask(n: int, context: SyncContext):
        return [context.put_blob("x" * 50_000) for _ in range(n)]

    with (
        served(ask, limits={"unwritten_bytes": 100_000}) as server,
        Session(server) as session,
    ):
        called = session.begin("/ask", 20)
        for _ in range(20):
            session.post(id=session.message()["id"], result={"blob_id": "b"})
        assert called.result()["result"]["output"] == ["b"] * 20


def test_what_waits_to_be_written_is_counted_until_its_writer_comes_back():
    log = EventLog("secret", max_events=100, max_bytes=1_000_000)
    for _ in range(3):
        log.append(b"x" * 200_000)
    whole = log.n_unwritten_bytes
    one = whole // 3
    assert one > 200_000
    # Two events fit into one write, which is not done before the next one is asked for.
    assert len(log.take()) == 2 * one
    assert log.n_unwritten_bytes == whole
    assert len(log.take()) == one
    assert log.n_unwritten_bytes == one
    assert log.take() == b""
    assert log.n_unwritten_bytes == 0
    assert log.rewind(1)
    assert log.n_unwritten_bytes == 2 * one
    log.take()
    assert log.rewind(2)
    assert log.n_unwritten_bytes == one
    log.clear()
    assert (len(log), log.n_unwritten_bytes, log.n_unsent, log.take()) == (0, 0, 0, b"")


def test_an_answer_whose_post_is_gone_comes_as_an_event():
    gate, began = threading.Event(), threading.Event()

    def wait(input):
        began.set()
        gate.wait()
        return input

    with served(wait) as server, Session(server) as session:
        body = json.dumps(call("/wait", "kept", id="p")).encode()
        post = Events(
            server,
            "POST",
            session.endpoint,
            body,
            {"Content-Type": "application/json", "Accept": BOTH},
        )
        assert began.wait(20)
        post.close()
        server.until(lambda: all(it.has_left for it in server.host.open))
        gate.set()
        assert session.message() == {"jsonrpc": "2.0", "id": "p", "result": {"output": "kept"}}


# The end


def gone(server, session) -> bool:
    status, answer = server.post({"jsonrpc": "2.0", "id": "x", "method": "ping"}, session.endpoint)
    if status == 200:
        return False
    assert (status, answer["id"], answer["error"]["code"]) == (404, "x", -32010)
    return True


@pytest.mark.parametrize("keyword", ["async", "plain"])
@pytest.mark.parametrize("how", ["delete", "grace"])
def test_the_end_of_a_session_cancels_what_runs_in_it(keyword, how):
    ended = threading.Event()

    async def wait_async(input, context: Context):
        try:
            await context.put_blob(1)
        finally:
            ended.set()

    def wait_plain(input, context: SyncContext):
        try:
            context.put_blob(1)
        finally:
            ended.set()

    limits = {"session_grace": 0.01 if how == "grace" else 3600}
    with served(wait_async, wait_plain, limits=limits) as server:
        session = Session(server)
        called = session.begin(f"/wait_{keyword}")
        session.message()
        if how == "delete":
            status, _, body = server.request("DELETE", session.endpoint)
            assert (status, body) == (202, b"")
            assert session.events.next() is None
        else:
            session.events.close()
        assert ended.wait(20)
        assert called.result()["error"]["code"] == -32012
        assert gone(server, session)
        assert server.request("DELETE", session.endpoint)[0] == 404
        assert server.on_loop(lambda: (len(server.host.sessions), len(server.host.open))) == (0, 0)


def test_a_message_that_is_still_coming_when_its_session_ends_is_refused(server):
    session = Session(server)
    body = json.dumps({"jsonrpc": "2.0", "id": 8, "method": "ping"}).encode()
    with socket.create_connection(("127.0.0.1", server.port), 20) as connection:
        head = f"POST {session.endpoint} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        connection.sendall(
            head.encode() + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body)
        )
        # The server asks for the body once it has found the session.
        assert b" 100 " in connection.recv(1 << 16)
        server.request("DELETE", session.endpoint)
        connection.sendall(body)
        answer = connection.recv(1 << 16)
    assert b" 404 " in answer.partition(b"\r\n")[0]


def test_a_session_that_comes_back_within_the_grace_lives():
    with served(echo, limits={"session_grace": 3600}) as server, Session(server) as session:
        for _ in range(3):
            session.events.close()
            session.resume()
        assert session.call("/echo", 1)["result"]["output"] == 1


def test_an_idle_session_ends_and_a_busy_one_does_not():
    def ask(input, context: SyncContext):
        return context.put_blob(1)

    with served(ask, limits={"idle_timeout": 0.05}) as server:
        busy = Session(server)
        called = busy.begin("/ask")
        asked = busy.message()
        idle = Session(server, initialize=False)
        assert idle.events.next() is None
        assert gone(server, idle)
        busy.post(id=asked["id"], result={"blob_id": "b"})
        assert called.result()["result"]["output"] == "b"
        assert busy.events.next() is None


def test_abandoned_sessions_leave_nothing_behind():
    n = 1000
    with served(echo, limits={"session_grace": 0.001, "max_sessions": n}) as server:

        def abandon(count: int) -> None:
            for _ in range(count):
                session = Session(server, initialize=False)
                session.initialize()
                session.events.close()
                server.opened.remove(session.events)

        batches = [Later(lambda: abandon(n // 4)) for _ in range(4)]
        for it in batches:
            it.result()
        server.until(lambda: len(server.host.sessions) == 0)
        host = server.host
        assert server.on_loop(
            lambda: (len(host.sessions._by_secret), len(host.open), len(host.calls_back))
        ) == (0, 0, 0)
        import gc

        from stepflow_sdk.transport.http.session import Session as Kept

        gc.collect()
        # The last timer that fired may still hold the session it ended.
        assert (
            sum(isinstance(it, Kept) and it._mailbox is host.mailbox for it in gc.get_objects())
            <= 1
        )


def test_too_many_sessions_are_told_to_come_back():
    with served(echo, limits={"max_sessions": 2, "retry_after": 7}) as server:
        first, second = Session(server), Session(server)
        third = server.open()
        assert third.status == 503
        assert third.header("retry-after") == "7"
        error = json.loads(third.next()["data"])["error"]
        assert error["code"] == -32011
        assert error["data"] == {"retry_after_ms": 7000}
        # One that nobody listens to and that does nothing makes room.
        first.events.close()
        server.until(lambda: any(it.stream is None for it in server.host.sessions._by_id.values()))
        with Session(server) as third:
            assert third.call("/echo", 3)["result"]["output"] == 3
            assert gone(server, first)
            assert second.call("/echo", 2)["result"]["output"] == 2


def test_too_many_calls_are_told_to_come_back():
    with served(put, limits={"max_calls": 2}) as server, Session(server) as session:
        called = [session.begin("/put") for _ in range(2)]
        asked = [session.message() for _ in called]
        status, answer = server.post(call("/put", id="x"), session.endpoint)
        assert (status, answer["id"], answer["error"]["code"]) == (429, "x", -32011)
        assert session.request("ping")["result"] == {}
        for it in asked:
            session.post(id=it["id"], result={"blob_id": "b"})
        assert all("result" in it.result() for it in called)


def test_silence_is_filled_with_comments():
    with served(echo, put, limits={"keep_alive": 0.01}) as server, Session(server) as session:
        for _ in range(3):
            assert session.events.comments.get(timeout=20) == ": keep-alive\n"
        stream = server.stream(call("/put"))
        stream.message()
        for _ in range(3):
            assert stream.comments.get(timeout=20) == ": keep-alive\n"
        assert session.call("/echo", 1)["result"]["output"] == 1
