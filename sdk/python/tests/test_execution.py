from __future__ import annotations

import pytest

GATES = """
import threading, asyncio
gates = {}
@server.component
def hold(name: str) -> str:
    gates.setdefault(name, threading.Event()).wait()
    return name
@server.component
def release(name: str) -> None:
    gates.setdefault(name, threading.Event()).set()
@server.component
def quick(input): return input
@server.component
async def hold_async(name: str) -> str:
    while not gates.setdefault(name, threading.Event()).is_set():
        await asyncio.sleep(0.001)
    return name
@server.component
def spin(name: str) -> str:
    while not gates.setdefault(name, threading.Event()).is_set(): pass
    return name
"""


@pytest.mark.parametrize("component", ["/hold", "/hold_async", "/spin"])
def test_a_slow_component_holds_up_nobody(serve, component):
    child = serve(GATES)
    held = child.start(component, "a")
    assert child.request("ping", {})["result"] == {}
    assert child.output("/quick", 1) == 1
    assert len(child.request("components/list")["result"]["components"]) == 5
    child.call("/release", "a")
    assert child.response(held)["result"]["output"] == "a"


def test_a_component_that_was_quick_may_turn_slow(serve):
    child = serve(
        GATES
        + """
@server.component
def moody(name: str) -> str: return name if name == "quick" else hold(name)
"""
    )
    for _ in range(100):
        assert child.output("/moody", "quick") == "quick"
    held = [child.start("/moody", str(n)) for n in range(10)]
    assert child.output("/quick", 1) == 1
    for n in range(10):
        child.call("/release", str(n))
    assert [child.response(id)["result"]["output"] for id in held] == [str(n) for n in range(10)]
    assert child.output("/moody", "quick") == "quick"


def test_slow_components_run_at_the_same_time(serve):
    child = serve(
        """
        import threading
        barrier = threading.Barrier(20)
        @server.component
        def meet() -> int: return barrier.wait() >= 0
        """
    )
    ids = [child.start("/meet") for _ in range(20)]
    assert all(child.response(id)["result"]["output"] for id in ids)


def test_more_calls_than_threads_wait_their_turn(serve):
    child = serve(GATES + "\nserver.max_threads = 3\n")
    held = [child.start("/hold", str(n)) for n in range(10)]
    # Answered by the reader: all threads are taken.
    assert child.request("ping", {})["result"] == {}
    waiting = child.start("/quick", 1)
    assert child.request("ping", {})["result"] == {}
    assert waiting not in child.responses
    # A plain component cannot release them, for it would wait itself.
    child.process.stdin.close()
    assert child.wait() == 0
    assert not set(held) & set(child.responses)


def test_waiting_calls_run_as_threads_get_free(serve):
    child = serve(
        """
        import threading
        n, lock = [0, 0], threading.Lock()
        @server.component
        def work(input: int, ) -> int:
            with lock: n[0] += 1; n[1] = max(n)
            sum(range(20_000))
            with lock: n[0] -= 1
            return input
        @server.component
        def most() -> int: return n[1]
        server.max_threads = 4
        """
    )
    ids = [child.start("/work", i) for i in range(300)]
    assert [child.response(id)["result"]["output"] for id in ids] == list(range(300))
    # The leader may run one beside the four, and one more that turned out slow.
    assert 1 <= child.output("/most") <= 6


@pytest.mark.parametrize("component", ["/put", "/put_async"])
def test_more_components_than_threads_may_wait_for_call_backs(serve, component):
    child = serve(
        """
        @server.component
        def put(n: int, context: SyncContext) -> str: return context.put_blob(n)
        @server.component
        async def put_async(n: int, context: Context) -> str: return await context.put_blob(n)
        server.max_threads = 2
        """
    )
    ids = [child.start(component, n) for n in range(200)]
    # Nothing is answered until all 200 wait.
    child.until(lambda: len(child.callbacks) == 200)
    for callback in reversed(child.callbacks):
        child.send(id=callback["id"], result={"blob_id": f"blob {callback['params']['data']}"})
    assert [child.response(id)["result"]["output"] for id in ids] == [
        f"blob {n}" for n in range(200)
    ]


def test_a_component_may_call_back_after_others_filled_the_threads(serve):
    child = serve(
        """
        import threading
        gate = threading.Event()
        @server.component
        def hold(n: int) -> None: gate.wait()
        @server.component
        def put(n: int, context: SyncContext) -> str:
            gate.set()
            return context.put_blob(n)
        server.max_threads = 3
        """
    )
    child.blobs()
    ids = [
        child.start("/hold", 1),
        child.start("/hold", 2),
        *[child.start("/put", n) for n in range(50)],
    ]
    for id in ids:
        assert "result" in child.response(id)


def test_async_components_run_at_the_same_time(serve):
    child = serve(
        """
        import asyncio
        waiting = []
        @server.component
        async def meet() -> int:
            future = asyncio.get_running_loop().create_future()
            waiting.append(future)
            if len(waiting) == 50:
                for it in waiting: it.set_result(len(waiting))
            return await future
        """
    )
    ids = [child.start("/meet") for _ in range(50)]
    assert all(child.response(id)["result"]["output"] == 50 for id in ids)


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("raise SystemExit(3)", "SystemExit"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("import sys; sys.exit()", "SystemExit"),
        ("raise GeneratorExit", "GeneratorExit"),
        ("1 / 0", "ZeroDivisionError"),
        ("raise BaseException('x')", "BaseException"),
        ("f = lambda: f()\n    f()", "RecursionError"),
    ],
)
@pytest.mark.parametrize("keyword", ["def", "async def"])
def test_whatever_a_component_raises_ends_its_call_only(serve, keyword, source, kind):
    child = serve(f"@server.component\n{keyword} bad(input):\n    {source}\n")
    for _ in range(3):
        error = child.error("/bad", 1)
        assert error["code"] == -32004
        assert error["data"]["exception_type"] == kind
        assert "my_server.py" in error["data"]["traceback"]
    assert child.request("ping")["result"] == {}


def test_a_task_that_raises_system_exit_does_not_end_the_server(serve):
    child = serve(
        """
        import asyncio, sys
        async def leave(): sys.exit(1)
        @server.component
        async def spawn() -> str:
            asyncio.ensure_future(leave())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            return "here"
        """
    )
    assert child.output("/spawn") == "here"
    assert child.output("/spawn") == "here"


def test_the_same_id_cannot_run_twice_at_once(serve):
    child = serve(GATES)
    held = child.start("/hold", "a")
    child.send(id=held, method="components/execute", params={"component": "/hold", "input": "a"})
    assert child.response(held)["error"]["code"] == -32600
    child.call("/release", "a")
    assert child.response(held)["result"]["output"] == "a"
    child.send(id=held, method="components/execute", params={"component": "/hold", "input": "a"})
    assert child.response(held)["result"]["output"] == "a"


# Cancelling


def test_cancelling_an_async_component_cancels_its_task(serve):
    child = serve(
        """
        import asyncio
        ended = []
        @server.component
        async def forever(input, context: Context):
            context.progress(message="began")
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                ended.append("cancelled")
                raise
        @server.component
        def seen() -> list: return ended
        """
    )
    id = child.start("/forever")
    child.until(lambda: child.notifications)
    child.send(method="$/cancelRequest", params={"id": id, "reason": "enough"})
    error = child.response(id)["error"]
    assert error["code"] == -32012
    assert "enough" in error["message"]
    assert child.output("/seen") == ["cancelled"]


def test_an_async_component_cancelled_before_it_began_answers_too(serve):
    child = serve("@server.component\nasync def quick(input): return 1\n")
    ids = [child.start("/quick") for _ in range(50)]
    frames = b"".join(
        b'{"jsonrpc":"2.0","id":%d,"method":"components/execute","params":{"component":"quick","input":1}}\n'
        b'{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":%d}}\n' % (id, id)
        for id in range(1000, 1200)
    )
    child.write(frames)
    for id in [*ids, *range(1000, 1200)]:
        answer = child.response(id)
        assert "result" in answer or answer["error"]["code"] == -32012


def test_cancelling_a_plain_component_sets_its_flag(serve):
    child = serve(
        """
        @server.component
        def forever(input, context: SyncContext):
            context.progress(message="began")
            while not context.cancelled: pass
            return "left"
        """
    )
    id = child.start("/forever")
    child.until(lambda: child.notifications)
    child.send(method="$/cancelRequest", params={"id": id})
    assert child.response(id)["error"]["code"] == -32012


@pytest.mark.parametrize("keyword", ["def", "async def"])
def test_cancelling_wakes_a_component_out_of_its_call_back(serve, keyword):
    kind, wait = ("SyncContext", "") if keyword == "def" else ("Context", "await ")
    child = serve(
        f"""
        seen = []
        @server.component
        {keyword} get(input, context: {kind}):
            try:
                {wait}context.get_blob("b")
            except BaseException as error:
                seen.append(type(error).__name__)
                raise
        @server.component
        def what() -> list: return seen
        """
    )
    id = child.start("/get")
    child.until(lambda: child.callbacks)
    child.send(method="$/cancelRequest", params={"id": id})
    assert child.response(id)["error"]["code"] == -32012
    assert child.output("/what") == ["CallCancelled" if keyword == "def" else "CancelledError"]
    # The answer that comes late is ignored.
    child.send(id=child.callbacks[0]["id"], result={"data": 1, "blob_type": "data"})
    assert child.request("ping")["result"] == {}


def test_a_result_that_came_before_the_cancel_stands(serve):
    child = serve("@server.component\ndef quick(input): return 1\n")
    id = child.start("/quick")
    assert child.response(id)["result"]["output"] == 1
    child.send(method="$/cancelRequest", params={"id": id})
    assert child.output("/quick") == 1
    assert child.responses == {}
