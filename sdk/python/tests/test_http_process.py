from __future__ import annotations

import json
import re
import signal
import socket
import sys
import threading
import time
from contextlib import ExitStack

import pytest

from http_process import Process, run
from http_runtime import BOTH, Later, Session, call, served
from runtime import PATIENCE
from stepflow_sdk.transport.http import command

SOURCE = """
import sys, threading
from stepflow_sdk import *
server = StepflowServer(udf=False)
@server.component
def echo(input): return input
@server.component
def put(input, context: SyncContext): return context.put_blob(input)
@server.component
def forever(input, context: SyncContext):
    context.put_blob(1)
    print("went on", file=sys.stderr, flush=True)
    threading.Event().wait()
"""
SEED = (
    SOURCE
    + """
import uvicorn
app = server.create_http_app({options})
if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=0)
"""
)


@pytest.fixture
def start(tmp_path):
    (tmp_path / "my_server.py").write_text(SOURCE)
    with ExitStack() as processes:

        def run(*arguments: str, source: str = "", **env: str) -> Process:
            if source:
                (tmp_path / "script.py").write_text(source)
            return processes.enter_context(Process(tmp_path, *arguments, **env))

        yield run


CLI = ("-m", "stepflow_sdk", "my_server:server", "--http", "--port", "0")


def test_the_command_serves_and_says_where(start):
    server = start(*CLI)
    assert server.said(rb"serving 3 components over HTTP at http://127.0.0.1:\d+\n")
    assert server.post(call("/echo", 1))[1]["result"]["output"] == 1
    with Session(server) as session:
        assert session.call("/echo", 2)["result"]["output"] == 2
    assert b"WARNING" not in server.stderr


def test_the_command_without_a_server_offers_udf(start):
    server = start("-m", "stepflow_sdk", "--http", "--port", "0", "--host", "localhost")
    listed = server.post({"jsonrpc": "2.0", "id": 1, "method": "components/list"})[1]
    assert [it["component"] for it in listed["result"]["components"]] == ["/udf"]


PARTS = """
import sys
{before}
from stepflow_sdk import *
server = StepflowServer(udf=False)
@server.component
def parts(input):
    return [it for it in ("httptools", "uvloop") if sys.modules.get(it) is not None]
server.run(["--http", "--port", "0"])
"""


@pytest.mark.parametrize(
    ("before", "used"),
    [
        ("", ["httptools", "uvloop"]),
        # What the import of a module that is not there looks like.
        ("sys.modules.update(httptools=None, uvloop=None)", []),
    ],
)
def test_the_fast_parts_of_the_server_are_used_where_they_are_installed(start, before, used):
    if used:
        for name in used:
            pytest.importorskip(name)
    server = start("script.py", source=PARTS.format(before=before))
    assert server.post(call("/parts"))[1]["result"]["output"] == used
    with Session(server) as session:
        assert session.call("/parts")["result"]["output"] == used


def test_a_script_serves_over_http_when_told_to(start):
    source = SOURCE + "\nif __name__ == '__main__':\n    server.run()\n"
    server = start("script.py", "mine", "--http", "--port", "0", "--verbose", source=source)
    assert server.post(call("/echo", 1))[1]["result"]["output"] == 1


def test_a_listener_on_the_network_warns(start):
    server = start(*CLI, "--host", "0.0.0.0")
    assert server.said(
        rb"WARNING: listening on 0.0.0.0 without a token.*any address of this machine.*/udf is refused"
    )
    assert server.post(call("/echo", 1))[0] == 200


def test_the_token_file_and_the_other_options(start, tmp_path):
    (tmp_path / "token").write_text("secret\n")
    server = start(
        *CLI,
        *("--token-file", "token", "--instance-id", "r1", "--advertise-url", "http://10.0.0.7:1"),
        *("--allow-host", "tools.example", "--host", "0.0.0.0"),
    )
    assert server.post(call("/echo", 1))[0] == 401
    known = {"Authorization": "Bearer secret", "Host": "tools.example"}
    assert server.post(call("/echo", 1), **known)[0] == 200
    events = server.open(**known)
    endpoint = json.loads(events.next()["data"])["endpoint"]
    assert re.fullmatch(r"http://10\.0\.0\.7:1/\?sessionId=[\w-]+&instance=r1", endpoint)
    assert b"WARNING" not in server.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--token-file", "missing"], "cannot read the token file missing"),
        (["--token-file", "empty"], "stepflow_sdk: empty: the token is empty: give one"),
        (["--token-file", "folder/broken"], "folder/broken: the token has characters"),
        (["--host", "192.0.2.1"], "cannot listen on 192.0.2.1"),
        (["--instance-id", "a b"], "letters, digits"),
        (["--port", "x"], "invalid int value"),
    ],
)
def test_what_cannot_be_served_says_why(tmp_path, arguments, words):
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "broken").write_text("a b")
    it = run(tmp_path, "-m", "stepflow_sdk", "--http", *arguments)
    assert it.returncode == 2
    assert words in it.stderr
    assert "Traceback" not in it.stderr


def test_a_port_that_is_taken(tmp_path):
    with served() as server:
        it = run(tmp_path, "-m", "stepflow_sdk", "--http", "--port", str(server.port))
    assert it.returncode == 2
    assert f"port {server.port}" in it.stderr
    assert "--port 0" in it.stderr


def test_every_address_of_the_hosts_name_is_listened_on(monkeypatch):
    # As localhost may be: two addresses, of which clients take either one first.
    def two(_host, port, **_):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"127.0.0.{n}", port)) for n in (2, 1)]

    with monkeypatch.context() as patch:
        patch.setattr(command.socket, "getaddrinfo", two)
        sockets = command._listen("twofold", 0)
    try:
        names = [it.getsockname() for it in sockets]
        assert [address for address, _ in names] == ["127.0.0.2", "127.0.0.1"]
        assert len({port for _, port in names}) == 1
        for name in names:
            socket.create_connection(name, timeout=PATIENCE).close()
    finally:
        for it in sockets:
            it.close()


def test_without_the_extra_the_hint_says_how_to_install_it(tmp_path):
    (tmp_path / "fastapi.py").write_text("raise ModuleNotFoundError('no', name='fastapi')\n")
    it = run(tmp_path, "-m", "stepflow_sdk", "--http")
    assert it.returncode == 2
    assert "needs the module 'fastapi'" in it.stderr
    assert "[http]" in it.stderr
    assert "Traceback" not in it.stderr


def test_the_stdio_server_needs_nothing_of_http(tmp_path):
    it = run(
        tmp_path,
        "-c",
        "import sys, stepflow_sdk.__main__, stepflow_sdk.server\n"
        "print([it for it in ('fastapi', 'uvicorn', 'starlette', 'asyncio') if it in sys.modules])",
    )
    assert it.stdout == "[]\n"


# Under a plain uvicorn


def test_the_usual_script_works_and_its_log_hides_sessions(start):
    server = start("script.py", source=SEED.format(options="token='secret-token'"))
    known = {"Authorization": "Bearer secret-token"}
    events = server.open(**known)
    endpoint = json.loads(events.next()["data"])["endpoint"]
    ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    assert server.post(ping, endpoint, BOTH, **known)[0] == 200
    assert server.post(ping, "/?sessionId=unknown-id", **known)[0] == 404
    assert server.post(ping, endpoint)[0] == 401
    assert server.request("DELETE", endpoint, **known)[0] == 202
    server.process.terminate()
    _, out = server.wait()
    log = out + server.stderr
    assert log.count(b"POST /?sessionId=(hidden) HTTP/1.1") == 3
    for secret in (endpoint.partition("=")[2], "unknown-id", "secret-token"):
        assert secret.encode() not in log


# The end


def ways(*, options: str = ""):
    return pytest.mark.parametrize(
        "how", [pytest.param(CLI, id="command"), pytest.param(("script.py",), id="uvicorn")]
    )


@ways()
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_an_idle_server_with_open_streams(start, how, number):
    server = start(*how, source=SEED.format(options=""))
    session = Session(server)
    server.process.send_signal(number)
    assert session.events.next() is None
    code, _ = server.wait()
    # A process that was told to end ends as one; an interrupt is the command's or uvicorn's own business.
    assert code == -number if number == signal.SIGTERM else code in (0, 130, -number)
    assert b"Traceback" not in server.stderr


@ways()
def test_a_signal_ends_the_wait_for_half_a_body(start, how):
    server = start(*how, source=SEED.format(options=""))
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as connection:
        connection.sendall(
            b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Expect: 100-continue\r\nContent-Length: 99\r\n\r\n"
        )
        # From here on the server waits for the body.
        assert b" 100 " in connection.recv(1 << 16)
        connection.sendall(b"{")
        server.process.terminate()
        answer = b""
        while part := connection.recv(1 << 16):
            answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    assert json.loads(body)["error"]["code"] == -32011
    assert server.wait()[0] == -signal.SIGTERM
    assert b"Traceback" not in server.stderr
    assert b"Cancel" not in server.stderr


@ways()
def test_calls_that_run_finish_and_may_still_call_back(start, how):
    server = start(*how, source=SEED.format(options=""))
    session = Session(server)
    called = session.begin("/put", "kept")
    streamed = server.stream(call("/put", "too", id="s"))
    asked, also = session.message(), streamed.message()
    server.process.terminate()
    assert server.said(rb"stepflow_sdk: ending")
    # Nothing new is begun, and everyone is told so.
    status, answer = server.post(call("/echo", id="n"))
    assert (status, answer["id"], answer["error"]["code"]) == (503, "n", -32011)
    assert server.open().status == 503
    assert server.request("GET", "/health")[0] == 503
    assert session.request("ping")["result"] == {}
    assert server.post({"jsonrpc": "2.0", "id": also["id"], "result": {"blob_id": "c"}})[0] == 202
    assert streamed.message()["result"]["output"] == "c"
    # The last one: when it is answered, the server may end before this POST has its own answer.
    Later(lambda: session.post(id=asked["id"], result={"blob_id": "b"}))
    assert called.result()["result"]["output"] == "b"
    assert session.events.next() is None
    assert server.wait()[0] == -signal.SIGTERM


def test_calls_that_do_not_finish_are_cancelled_after_the_grace(start):
    options = "limits=HttpLimits(drain_grace=0.05)"
    server = start("script.py", source=SEED.format(options=options))
    session = Session(server)
    asks, stays = session.begin("/put"), session.begin("/forever")
    for _ in range(2):
        if (it := session.message())["params"]["data"] == 1:
            session.post(id=it["id"], result={"blob_id": "b"})
    server.said(rb"went on")
    server.process.terminate()
    # The one that waits for its call back is woken; the one that looks at nothing is answered for.
    for it in (asks, stays):
        error = it.result()["error"]
        assert error["code"] == -32012
        assert "ending" in error["message"]
    assert server.wait()[0] == -signal.SIGTERM


def test_a_second_signal_does_not_wait_for_the_grace(start):
    server = start("script.py", source=SEED.format(options="limits=HttpLimits(drain_grace=3600)"))
    session = Session(server)
    called = session.begin("/put")
    session.message()
    server.process.terminate()
    server.said(rb"stepflow_sdk: ending")
    server.process.send_signal(signal.SIGINT)
    assert called.result()["error"]["code"] == -32012
    assert server.wait()[0] == -signal.SIGTERM


def test_stdout_is_given_back(capsys):
    before = sys.stdout
    with served(), served() as server:
        server.request("GET", "/health")
        assert sys.stdout is not before
        assert sys.stdout.encoding == before.encoding
        print("not a component's")
        sys.stdout.writelines(["a", "b"])
    assert sys.stdout is before
    assert capsys.readouterr().out == "not a component's\nab"


def test_nothing_is_left_of_a_server_that_ended():
    async def quick(input):
        return input

    before = {it.name for it in threading.enumerate()}
    with served(quick, lambda: 1) as server:
        server.post(call("/quick", 1))
        assert {it.name for it in threading.enumerate()} > before
    end = time.monotonic() + PATIENCE
    while {it.name for it in threading.enumerate()} - before:
        assert time.monotonic() < end
