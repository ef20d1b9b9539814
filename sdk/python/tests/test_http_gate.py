from __future__ import annotations

import asyncio
import json

import pytest
from fastapi import FastAPI

from http_runtime import BOTH, JSON, Served, Session, call, served
from stepflow_sdk import StepflowServer

HERE, THERE = ("127.0.0.1", 8080), ("192.0.2.7", 8080)
PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}


def ask(app, message=PING, *, server=HERE, method="POST", path="/", query="", **headers):
    """One request without a network, so that the connection's local address can be any; returns status and body."""
    given = {"host": f"{server[0]}:{server[1]}", "content-type": JSON, "accept": BOTH, **headers}
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "root_path": "",
        "query_string": query.encode(),
        "headers": [
            (name.replace("_", "-").encode(), value.encode())
            for name, value in given.items()
            if value is not None
        ],
        "server": server,
        "client": ("127.0.0.1", 5),
        "scheme": "http",
        "http_version": "1.1",
        "asgi": {"version": "3.0"},
    }
    sent = []

    async def run():
        body = [{"type": "http.request", "body": json.dumps(message).encode()}]

        async def receive():
            if body:
                return body.pop()
            return await asyncio.get_running_loop().create_future()

        async def send(event):
            sent.append(event)

        await app(scope, receive, send)

    try:
        asyncio.run(run())
    finally:
        app.state.stepflow.stop()
    body = b"".join(it.get("body", b"") for it in sent[1:])
    return sent[0]["status"], json.loads(body) if body else None


def app(**options):
    server = StepflowServer()
    server.component(lambda: 1, name="one")
    return server.create_http_app(**options)


# Host and Origin


@pytest.mark.parametrize(
    ("server", "host", "allowed", "status"),
    [
        (HERE, "127.0.0.1:8080", [], 200),
        (HERE, "127.0.0.1", [], 200),
        (HERE, "127.1.2.3", [], 200),
        (HERE, "localhost:8080", [], 200),
        (HERE, "LOCALHOST", [], 200),
        (HERE, "localhost.", [], 200),
        (HERE, "[::1]:8080", [], 200),
        (("::1", 8080), "[::1]:8080", [], 200),
        (("::ffff:127.0.0.1", 8080), "evil.com", [], 403),
        (HERE, "evil.com", [], 403),
        (HERE, "evil.com:8080", [], 403),
        (HERE, "localhost.evil.com", [], 403),
        (HERE, "127.0.0.1.evil.com", [], 403),
        (HERE, "192.0.2.7", [], 403),
        (HERE, "", [], 403),
        (HERE, None, [], 403),
        (HERE, "evil.com", ["good.com"], 403),
        (HERE, "Good.com:80", ["good.com"], 200),
        (HERE, "a.good.com", ["*.good.com"], 200),
        (HERE, "good.com", ["*.good.com"], 403),
        (HERE, "notgood.com", ["*.good.com"], 403),
        (HERE, "any.com", ["*"], 200),
        (("/run/a.sock", None), "anything", [], 200),
        (THERE, "anything", [], 200),
        (THERE, None, [], 200),
    ],
)
def test_the_host_counts_where_the_connection_came_through_loopback(server, host, allowed, status):
    got, answer = ask(app(allow_hosts=allowed), server=server, host=host)
    assert got == status
    if status == 403:
        assert (answer["error"]["code"], answer["id"]) == (-32007, 1)
        assert "--allow-host" in answer["error"]["message"]


@pytest.mark.parametrize(
    ("server", "host", "origin", "status"),
    [
        (HERE, "localhost:8080", "http://localhost:8080", 200),
        (HERE, "localhost:8080", "http://LOCALHOST:8080", 200),
        (HERE, "localhost:8080", "http://localhost:3000", 403),
        (HERE, "localhost:8080", "http://127.0.0.1:8080", 403),
        (HERE, "localhost:8080", "https://evil.com", 403),
        (HERE, "localhost:8080", "null", 403),
        (HERE, "localhost:8080", "", 403),
        (HERE, "localhost:8080", "http://[", 403),
        (HERE, "localhost", "http://localhost:80", 200),
        (HERE, "good.com", "https://good.com", 200),
        (THERE, "192.0.2.7:8080", "http://192.0.2.7:8080", 200),
        (THERE, "192.0.2.7:8080", "https://evil.com", 403),
        (THERE, "good.com", "https://good.com", 200),
        # A name that its owner pointed here later.
        (THERE, "evil.com:8080", "http://evil.com:8080", 403),
    ],
)
@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
def test_pages_from_elsewhere_are_never_served(server, host, origin, status, method):
    path = {"GET": "/health"}.get(method, "/")
    got, answer = ask(
        app(allow_hosts=["good.com"]),
        server=server,
        host=host,
        origin=origin,
        method=method,
        path=path,
    )
    if status == 403:
        assert (got, answer["error"]["code"]) == (403, -32007)
    else:
        assert got == {"POST": 200, "GET": 200, "DELETE": 400}[method]


def test_no_page_may_read_answers_from_elsewhere():
    with served() as server:
        _, found, _ = server.request("OPTIONS", "/", None, Origin="https://evil.com")
        assert not any(it.startswith("access-control") for it in found)


# The token


@pytest.mark.parametrize(
    ("given", "status"),
    [
        (None, 401),
        ("", 401),
        ("Bearer", 401),
        ("Bearer wrong", 401),
        ("Bearer secre", 401),
        ("Bearer secrett", 401),
        ("Basic secret", 401),
        ("secret", 401),
        ("Bearer secret", 200),
        ("bearer  secret ", 200),
    ],
)
@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
def test_the_token_is_asked_for_on_every_verb(given, status, method):
    path = "/runtime/events" if method == "GET" else "/"
    query = "sessionId=x" if method == "DELETE" else ""
    if method == "GET" and status == 200:
        return
    got, answer = ask(
        app(token="secret"), method=method, path=path, query=query, authorization=given
    )
    if status == 401:
        assert (got, answer["error"]["code"]) == (401, -32007)
        assert "secret" not in json.dumps(answer)
    else:
        assert got == {"POST": 200, "DELETE": 404}[method]


def test_a_session_with_a_token():
    with served(token="secret") as server:
        status, found, _ = server.request("GET", "/runtime/events")
        assert (status, found["www-authenticate"]) == (401, "Bearer")
        with Session(server, initialize=False, Authorization="Bearer secret") as session:
            assert server.post(PING, session.endpoint)[0] == 401
            assert server.post(PING, session.endpoint, Authorization="Bearer secret")[0] == 200
            assert server.request("DELETE", session.endpoint)[0] == 401
        assert server.request("GET", "/health")[0] == 200


def test_the_token_of_the_environment(monkeypatch):
    monkeypatch.setenv("STEPFLOW_TOKEN", "other")
    assert ask(app())[0] == 401
    assert ask(app(), authorization="Bearer other")[0] == 200
    assert ask(app(token="own"), authorization="Bearer own")[0] == 200
    monkeypatch.setenv("STEPFLOW_TOKEN", " ")
    with pytest.raises(ValueError, match="STEPFLOW_TOKEN: the token is empty"):
        app()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"token": ""}, "empty"),
        ({"token": "a b"}, "visible ASCII"),
        ({"token": "ä"}, "visible ASCII"),
        ({"advertise_url": "somewhere"}, "write it like"),
        ({"advertise_url": "ftp://x"}, "write it like"),
        ({"advertise_url": "http://x/?a"}, "write it like"),
        ({"instance_id": "a b"}, "letters, digits"),
    ],
)
def test_options_that_cannot_be_meant_are_refused_at_once(options, words):
    with pytest.raises(ValueError, match=words):
        app(**options)


# /udf, and the warning


@pytest.mark.parametrize(
    ("server", "options", "headers", "refused"),
    [
        (HERE, {}, {}, False),
        (THERE, {}, {}, True),
        (("0.0.0.0", 80), {}, {}, True),
        (THERE, {"token": "t"}, {"authorization": "Bearer t"}, False),
        (THERE, {"allow_udf": True}, {}, False),
    ],
)
def test_udf_is_refused_to_the_network_without_a_token(server, options, headers, refused, capsys):
    message = call("/udf", {"blob_id": "b", "input": 1})
    made = app(**options)
    _, answer = ask(made, message, server=server, accept=JSON, **headers)
    # Where it is served it fails later: there is no way to ask for the blob.
    assert answer["error"]["code"] == (-32007 if refused else -32005)
    _, answer = ask(made, call("/one"), server=server, **headers)
    assert answer["result"] == {"output": 1}
    warnings = capsys.readouterr().err.count("asks for no token")
    assert warnings == (1 if server != HERE and "token" not in options else 0)


@pytest.mark.parametrize(
    ("server", "headers", "refused"),
    [
        (HERE, {"host": "tools.example"}, True),
        (HERE, {"host": "127.0.0.1", "x-forwarded-for": "192.0.2.9"}, True),
        (HERE, {"host": "localhost", "forwarded": "for=192.0.2.9"}, True),
        (("/run/a.sock", None), {"host": "tools.example"}, True),
        (("/run/a.sock", None), {"host": "localhost", "via": "1.1 proxy"}, True),
        (("/run/a.sock", None), {"host": "localhost"}, False),
        (HERE, {"host": "127.0.0.1:8080"}, False),
    ],
)
def test_udf_is_refused_to_the_network_behind_a_proxy_on_this_machine(
    server, headers, refused, capsys
):
    made = app(allow_hosts=["tools.example"])
    message = call("/udf", {"blob_id": "b", "input": 1})
    _, answer = ask(made, message, server=server, accept=JSON, **headers)
    assert answer["error"]["code"] == (-32007 if refused else -32005)
    assert capsys.readouterr().err.count("asks for no token") == refused


# Names of its own


@pytest.mark.parametrize(
    ("options", "config", "endpoint"),
    [
        ({}, {}, "/?sessionId={id}"),
        ({}, {"root_path": "/api/py"}, "/api/py/?sessionId={id}"),
        ({"root_path": "api/py/"}, {}, "/api/py/?sessionId={id}"),
        ({"instance_id": "r1"}, {}, "/?sessionId={id}&instance=r1"),
        ({"advertise_url": "http://10.0.0.7:9/x/"}, {}, "http://10.0.0.7:9/x/?sessionId={id}"),
    ],
)
def test_the_endpoint_says_where_the_session_is(options, config, endpoint):
    with served(config=config, **options) as server, Session(server, initialize=False) as session:
        id = session.endpoint.partition("sessionId=")[2].partition("&")[0]
        assert session.endpoint == endpoint.format(id=id)


@pytest.mark.parametrize(
    ("options", "config"), [({}, {"root_path": "/api"}), ({"root_path": "/api"}, {})]
)
@pytest.mark.parametrize("prefix", ["", "/api"])
def test_behind_a_prefix_that_the_proxy_strips_or_not(options, config, prefix):
    if prefix and config:
        prefix = ""  # uvicorn puts it before every path, so the proxy has to strip it
    with served(lambda: 1, config=config, **options) as server:
        for path in (f"{prefix}/runtime/events", f"{prefix}/runtime/events/"):
            assert server.request("HEAD", path)[0] == 405
        for path in ([prefix] if prefix else []) + [prefix + "/"]:
            assert server.post(PING, path)[0] == 200
        assert server.request("GET", f"{prefix}/health")[0] == 200


def test_mounted_in_another_application():
    parent = FastAPI()
    child = app()
    parent.mount("/tools", child)
    parent.state.stepflow = child.state.stepflow
    server = Served(parent)
    try:
        with Session(server, initialize=False, root="/tools") as session:
            assert session.endpoint.startswith("/tools/?sessionId=")
            session.initialize()
            assert session.call("/one")["result"]["output"] == 1
        assert server.post(call("/one"), "/tools/")[1]["result"]["output"] == 1
    finally:
        server.stop()
        # A mounted application is told neither of the start nor of the end.
        child.state.stepflow.stop()


def test_instances_know_what_is_theirs():
    with served(instance_id="r1") as server, Session(server) as session:
        assert session.events.header("stepflow-instance-id") == "r1"
        assert session.request("ping")["result"] == {}
        for headers in ({}, {"Stepflow-Instance-Id": "r1"}):
            assert server.post(PING, session.endpoint, **headers)[0] == 200
        status, answer = server.post(PING, session.endpoint.replace("=r1", "=r2"))
        assert (status, answer["error"]["code"]) == (421, -32010)
        assert server.post(PING, **{"Stepflow-Instance-Id": "r2"})[0] == 421
        status, _, _ = server.request("DELETE", session.endpoint.replace("=r1", "=r2"))
        assert status == 421


def test_routes_of_ones_own_live_beside_the_protocols():
    made = app()

    @made.get("/hello")
    def hello() -> str:
        return "hi"

    server = Served(made)
    try:
        assert server.request("GET", "/hello")[2] == b'"hi"'
        assert server.post(call("/one"))[1]["result"]["output"] == 1
    finally:
        server.stop()


def test_a_route_before_the_protocols_is_served_first():
    made = app()

    @made.get("/health")
    def health() -> str:
        return "mine"

    assert ask(made, None, method="GET", path="/health") == (200, {"status": "ok"})
    first = app()
    first.get("/health")(health)
    first.router.routes.insert(0, first.router.routes.pop())
    assert ask(first, None, method="GET", path="/health") == (200, "mine")
    assert ask(first)[0] == 200


def test_a_middleware_sees_the_protocols_requests():
    made = app()

    @made.middleware("http")
    async def mark(request, follow):
        answer = await follow(request)
        answer.headers["x-mark"] = "seen"
        return answer

    server = Served(made)
    try:
        assert server.request("GET", "/health")[1]["x-mark"] == "seen"
        with Session(server) as session:
            assert session.call("/one")["result"]["output"] == 1
    finally:
        server.stop()
