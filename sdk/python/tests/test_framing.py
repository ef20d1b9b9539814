from __future__ import annotations

import json

import pytest

ECHO = """
@server.component
def echo(input): return input
@server.component
def size(input: str) -> int: return len(input)
@server.component
def make(n: int, twice: bool = False) -> str: return "x" * n
"""


@pytest.mark.parametrize(
    "junk",
    [
        b"hello\n",
        b"\n",
        b"\r\n",
        b"   \n",
        b'{"jsonrpc":"2.0","id":7\n',
        b"\xff\xfe\n",
        b'{"jsonrpc":"2.0","id":7,"method":"\xff"}\n',
        b"NaN\n",
        b"12\n",
        b'"text"\n',
        b"null\n",
        b'{"jsonrpc":"2.0"}\n',
        b'{"jsonrpc":"2.0","id":null,"method":"ping"}\n',
        b'{"jsonrpc":"2.0","id":"late","result":null}\n',
        b'{"jsonrpc":"2.0","id":"late","result":null}\n' * 2,
        b'{"jsonrpc":"1.0","id":"late","error":{"code":1,"message":"x"}}\n',
        b'{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"what?"}}\n',
    ],
)
def test_what_is_no_request_is_not_answered(serve, junk):
    child = serve()
    child.write(junk)
    assert child.request("ping", {})["result"] == {}
    assert child.frames.empty()


@pytest.mark.parametrize(
    ("frame", "id"),
    [
        (b'[{"jsonrpc":"2.0","id":7,"method":"ping"}]', None),
        (b"[]", None),
        (b'{"id":7,"method":"ping"}', 7),
        (b'{"jsonrpc":"1.0","id":"7","method":"ping"}', "7"),
        (b'{"jsonrpc":"2.0","id":7}', 7),
        (b'{"jsonrpc":"2.0","id":7,"error":null}', 7),
        (b'{"jsonrpc":"2.0","id":7,"method":5}', 7),
        (b'{"jsonrpc":"2.0","id":1.5,"method":"ping"}', None),
        (b'{"jsonrpc":"2.0","id":true,"method":"ping"}', None),
        (b'{"jsonrpc":"2.0","id":[1],"method":"ping"}', None),
        (b'{"jsonrpc":"2.0","id":"\\ud800","method":"ping"}', None),
        (
            b'{"jsonrpc":"2.0","id":7,"method":"ping","params":' + b"[" * 5000 + b"]" * 5000 + b"}",
            7,
        ),
    ],
)
def test_wrong_shapes_are_invalid_requests(serve, frame, id):
    child = serve()
    child.write(frame + b"\n")
    answer = child.frame()
    assert answer["error"]["code"] == -32600
    assert answer["id"] == id
    assert child.request("ping", {})["result"] == {}


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b" \t\r\n"])
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf", b"\n\n", b"\r\n"])
def test_line_ends_and_byte_order_marks_are_tolerated(serve, start, end):
    child = serve(initialize=False)
    child.write(start + b'{"jsonrpc":"2.0","id":1,"method":"ping"}' + end)
    assert child.frame() == {"jsonrpc": "2.0", "id": 1, "result": {}}


@pytest.mark.parametrize(
    "id", [1, "1", -5, 0, 2**63 - 1, 2**70, "", "a\u2028b", 'with "quotes" \\ and /', "é"]
)
def test_ids_are_echoed_exactly(serve, id):
    child = serve(initialize=False)
    child.send(id=id, method="ping")
    answer = child.frame()
    assert answer["id"] == id
    assert type(answer["id"]) is type(id)


def test_the_ids_1_and_one_as_text_are_two_ids(serve):
    child = serve(ECHO)
    frame = json.dumps(
        {
            "jsonrpc": "2.0",
            "id": 77,
            "method": "components/execute",
            "params": {"component": "echo", "input": "number"},
        }
    ).encode()
    child.write(frame + b"\n" + frame.replace(b"77", b'"77"').replace(b"number", b"text") + b"\n")
    assert child.response(77)["result"]["output"] == "number"
    assert child.response("77")["result"]["output"] == "text"


def test_a_frame_may_come_byte_by_byte(serve):
    child = serve(initialize=False)
    for byte in b'{"jsonrpc":"2.0","id":"\xc3\xa9","method":"ping"}\n':
        child.write(bytes([byte]))
    assert child.frame()["id"] == "é"


SIZES = [1, 64 * 1024 - 1, 64 * 1024, 64 * 1024 + 1, 512 * 1024 + 1, 32 * 1024 * 1024]


def test_messages_of_any_size_go_both_ways(serve):
    child = serve(ECHO)
    for size in SIZES:
        assert child.output("/size", "x" * size) == size
        assert len(child.output("/make", {"n": size})) == size


def test_an_oversized_message_is_refused_and_the_link_lives(serve):
    child = serve(ECHO + "\nserver.max_message_bytes = 1_000_000")
    child.start("/echo", "x" * 1_000_000)
    id = child.start("/size", "abc")
    assert child.response(id)["result"]["output"] == 3
    (refused,) = child.responses.values()
    assert refused["error"]["code"] == -32005
    assert "at most 1000000" in refused["error"]["message"]


@pytest.mark.parametrize(
    "frame",
    [
        '{{"jsonrpc":"2.0","id":"big","method":"components/execute","params":{{"component":"/echo","input":"{x}"}}}}',
        '{{"method":"components/execute","id":"big","jsonrpc":"2.0","params":{{"id":1,"input":"{x}"}}}}',
        '{{"params":{{"input":"{x}","id":5}},"method":"components/execute","id":"big","jsonrpc":"2.0"}}',
        '{{"params":{{"input":"{x}"}},"jsonrpc":"2.0","method":"components/execute","id":"big"}}',
    ],
)
@pytest.mark.parametrize("size", [5_000, 70_000, 3_000_000])
def test_the_id_of_an_oversized_message_is_found_at_either_end(serve, frame, size):
    child = serve(ECHO + "\nserver.max_message_bytes = 4500")
    child.write(frame.format(x="x" * size).encode() + b"\n")
    assert child.frame()["id"] == "big"
    assert child.request("ping")["result"] == {}


def test_an_oversized_message_is_discarded_in_constant_memory(serve):
    child = serve(
        """
        import resource
        @server.component
        def peak() -> int: return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        server.max_message_bytes = 1_000_000
        """
    )
    before = child.output("/peak")
    child.write(b'{"jsonrpc":"2.0","id":"big","method":"x","params":"')
    for _ in range(64):
        child.write(b"x" * 1_000_000)
    child.write(b'"}\n')
    assert child.response("big")["error"]["code"] == -32005
    assert child.output("/peak") - before < 16_000


def test_without_a_findable_id_an_oversized_message_ends_the_link(serve):
    child = serve(ECHO + "\nserver.max_message_bytes = 1000")
    child.write(b'{"params":"' + b"x" * 10_000 + b'","id":5,"params":"' + b"y" * 10_000 + b'"}\n')
    assert child.wait() == 1
    assert b"over the limit of 1000" in child.stderr


def test_an_oversized_answer_to_a_call_back_fails_that_call_back(serve):
    child = serve(
        """
        @server.component
        def get(blob_id: str, context: SyncContext): return context.get_blob(blob_id)
        server.max_message_bytes = 10_000
        """
    )
    child.answers["blobs/get"] = lambda _: {"result": {"data": "x" * 20_000}}
    error = child.error("/get", "b")
    assert error["code"] == -32005
    assert "at most 10000" in error["message"]


def test_nothing_larger_than_the_runtime_takes_is_sent(serve):
    child = serve(
        ECHO
        + """
@server.component
def fail(n: int) -> str: raise StepflowError(4242, "x" * n)
@server.component
def skip(n: int) -> str: raise SkipStep("x" * n)
@server.component
def put(n: int, context: SyncContext) -> str: return context.put_blob("x" * n)
@server.component
def log(n: int, context: SyncContext) -> None: context.log("info", "x" * n); context.progress(0.5, "x" * n)
""",
        max_message_bytes=1000,
    )
    for component, input in [
        ("/make", {"n": 2000}),
        ("/fail", 2000),
        ("/skip", 2000),
        ("/put", 2000),
    ]:
        error = child.error(component, input)
        assert error["code"] == -32005, component
        assert error["data"]["max_message_bytes"] == 1000
    assert child.output("/log", 2000) is None
    assert len(child.output("/make", {"n": 900})) == 900
    assert child.notifications == []


@pytest.mark.parametrize("component", ["/make", "/make_async"])
def test_a_runtime_that_does_not_read_gets_every_answer_whole(serve, component):
    child = serve(
        ECHO + "\n@server.component\nasync def make_async(n: int) -> str: return 'x' * n\n"
    )
    child.reads.clear()
    # Everything is written before the first answer is read: no answer may hold up the one who reads requests.
    ids = [
        child.start(component, {"n": 1_000_000} if component == "/make" else 1_000_000)
        for _ in range(60)
    ]
    last = child.start("/size", "x" * 1_000_000)
    child.reads.set()
    assert child.response(last)["result"]["output"] == 1_000_000
    for id in ids:
        assert len(child.response(id)["result"]["output"]) == 1_000_000


def test_many_calls_are_each_answered_once(serve):
    child = serve(ECHO + "\n@server.component\nasync def later(input): return input\n")
    n = 10_000
    ids = {child.start("/echo" if i % 2 else "/later", i): i for i in range(n)}
    for id, i in ids.items():
        assert child.response(id)["result"]["output"] == i
    assert child.responses == {}
