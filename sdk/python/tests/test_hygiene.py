from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

NOISE = {
    "print": "print('noise')",
    "write": "sys.stdout.write('noi'); sys.stdout.write('se\\n')",
    "buffer": "sys.stdout.buffer.write(b'noise\\n'); sys.stdout.flush()",
    "original": "sys.__stdout__.write('noise\\n'); sys.__stdout__.flush()",
    "os": "os.write(1, b'noise\\n')",
    "c": "ctypes.CDLL(None).puts(b'noise'); ctypes.CDLL(None).fflush(None)",
    "subprocess": "subprocess.run(['echo', 'noise'], check=True)",
    "system": "os.system('echo noise')",
    "python": "subprocess.run([sys.executable, '-c', 'print(\"noise\")'], check=True)",
}


@pytest.mark.parametrize("noise", NOISE.values(), ids=NOISE)
@pytest.mark.parametrize("keyword", ["def", "async def"])
def test_nothing_a_component_writes_reaches_the_wire(serve, keyword, noise):
    child = serve(
        f"""
        import ctypes, os, subprocess, sys
        @server.component
        {keyword} noisy(input):
            {noise}
            return input
        """,
        capabilities={},
    )
    assert child.output("/noisy", 1) == 1
    assert child.output("/noisy", 2) == 2
    assert child.end() == 0
    # Every line the driver read was a message, or it would have failed; the noise is on stderr.
    assert child.notifications == []
    assert child.stderr.count(b"noise") == 2


def test_subprocesses_find_an_empty_stdin_and_no_wire(serve):
    child = serve(
        """
        import os, subprocess
        @server.component
        def cat(input): return subprocess.run(["cat"], capture_output=True, check=True).stdout.decode()
        @server.component
        def descriptors(input):
            return subprocess.run(["ls", "/proc/self/fd"], capture_output=True, check=True).stdout.decode().split()
        """
    )
    assert child.output("/cat") == ""
    # Its own three, and the folder that ls reads.
    assert set(child.output("/descriptors")) == {"0", "1", "2", "3"}


def test_reading_stdin_ends_at_once(serve):
    child = serve(
        "import sys\n@server.component\ndef read(input): return sys.stdin.read() + repr(input)\n"
    )
    assert child.output("/read", 1) == "1"


def test_multiprocessing_works_and_its_prints_are_harmless(serve):
    child = serve(
        """
        import multiprocessing, sys
        def square(n):
            print("from a fork", n)
            sys.stdout.flush()
            return n * n
        @server.component
        def squares(input: list) -> list:
            with multiprocessing.get_context("fork").Pool(2) as pool:
                return pool.map(square, input)
        """
    )
    assert child.output("/squares", [1, 2, 3]) == [1, 4, 9]
    assert child.request("ping")["result"] == {}
    assert child.end() == 0
    assert child.stderr.count(b"from a fork") == 3


def test_a_fork_does_not_keep_the_wire_open(serve):
    child = serve(
        """
        import os
        @server.component
        def fork(input):
            pid = os.fork()
            if pid == 0:
                os.execvp("sleep", ["sleep", "60"])
            return pid
        """
    )
    pid = child.output("/fork")
    child.process.stdin.close()
    # The end of stdout reaches the runtime although the fork lives on.
    assert child.frame() is None
    assert child.process.wait(20) == 0
    assert Path(f"/proc/{pid}").exists()
    subprocess.run(["kill", str(pid)], check=True)


def test_banners_of_an_import_go_to_stderr(serve):
    child = serve(
        "import os\nprint('banner')\nos.write(1, b'low banner\\n')\nserver.component(lambda: 1, name='one')"
    )
    assert child.output("/one") == 1
    assert child.end() == 0
    assert b"low banner" in child.stderr
    assert child.stderr.count(b"banner") == 2


def test_what_a_script_prints_before_run_stays_off_the_wire(tmp_path):
    from runtime import Runtime

    (tmp_path / "script.py").write_text(
        "from stepflow_sdk import StepflowServer\nserver = StepflowServer()\nprint('banner')\n"
        "if __name__ == '__main__':\n    server.run()\n"
    )
    with Runtime(tmp_path, "script.py", env={"PYTHONUNBUFFERED": ""}) as child:
        child.initialize()
        assert child.request("ping")["result"] == {}
        assert child.end() == 0
        assert child.stderr == b"banner\n"


# Prints as logs


def logs(child):
    return [it["params"] for it in child.notifications if it["method"] == "$/log"]


@pytest.mark.parametrize("keyword", ["def", "async def"])
def test_prints_become_logs_of_their_step(serve, keyword):
    child = serve(
        f"""
        @server.component
        {keyword} talk(input):
            print("one", input)
            print("two\\nthree")
            print("no end", end="")
            return input
        """
    )
    id = child.start("/talk", 1)
    child.response(id)
    # All of them came before the answer.
    assert [it["message"] for it in logs(child)] == ["one 1", "two", "three", "no end"]
    assert all(it["id"] == id and it["level"] == "info" for it in logs(child))
    assert all(it["data"] == {"stream": "stdout"} for it in logs(child))


def test_prints_of_calls_at_once_keep_apart(serve):
    child = serve(
        """
        import asyncio, threading
        barrier = threading.Barrier(4)
        @server.component
        def plain(input):
            print(input, end="")
            barrier.wait()
            print("", input)
        waiting = []
        @server.component
        async def later(input):
            print(input, end="")
            await asyncio.sleep(0)
            await asyncio.to_thread(print, "", input)
        """
    )
    ids = {child.start("/plain", n): n for n in range(4)} | {
        child.start("/later", n): n for n in range(4, 8)
    }
    for id in ids:
        child.response(id)
    assert {it["id"]: it["message"] for it in logs(child)} == {
        id: f"{n} {n}" for id, n in ids.items()
    }


def test_a_runtime_that_takes_no_logs_gets_none(serve):
    child = serve(
        """
        @server.component
        def talk(input, context: SyncContext):
            print("printed")
            context.log("warning", "logged", rows=3)
            context.progress(0.5, "half")
        """,
        capabilities=None,
    )
    assert child.output("/talk") is None
    assert child.end() == 0
    assert child.notifications == []
    assert child.stderr == b"printed\nwarning: logged {'rows': 3}\n"


def test_capabilities_of_a_request_count_before_those_of_the_handshake(serve):
    child = serve("@server.component\ndef talk(input): print(input)\n", capabilities={})
    child.call("/talk", "heard", capabilities={"log": {}})
    child.call("/talk", "unheard", capabilities={})
    assert [it["message"] for it in logs(child)] == ["heard"]


def test_logs_nobody_reads_are_dropped_and_answers_are_not(serve):
    child = serve(
        """
        import threading
        gate = threading.Event()
        @server.component
        def chatter(n: int, context: SyncContext) -> int:
            for i in range(n): context.log("info", "x" * 1000)
            return n
        """
    )
    child.reads.clear()
    id = child.start("/chatter", 100_000)
    ping = "p"
    child.send(id=ping, method="ping")
    child.reads.set()
    assert child.response(id)["result"]["output"] == 100_000
    assert child.response(ping)["result"] == {}


def test_stderr_is_left_alone(serve):
    child = serve(
        "import sys\n@server.component\ndef talk(input): print('for the operator', file=sys.stderr)\n"
    )
    child.call("/talk")
    assert child.end() == 0
    assert child.stderr == b"for the operator\n"


def test_a_closed_stderr_is_no_problem(tmp_path):
    (tmp_path / "closed.py").write_text(
        "from stepflow_sdk import *\nserver = StepflowServer()\n@server.component\ndef talk(input):\n"
        "    import os; print('x', flush=True); os.write(1, b'x'); return input\n"
    )
    frames = (
        '{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"runtime_protocol_version":1}}\n'
        '{"jsonrpc":"2.0","method":"initialized"}\n'
        '{"jsonrpc":"2.0","id":2,"method":"components/execute","params":{"component":"talk","input":3}}\n'
    )
    run = subprocess.run(
        ["sh", "-c", f"exec {sys.executable} -m stepflow_sdk closed:server 2>&-"],
        cwd=tmp_path,
        input=frames.encode(),
        stdout=subprocess.PIPE,
        timeout=20,
        check=False,
    )
    assert run.stdout.splitlines()[1:] == [b'{"jsonrpc":"2.0","id":2,"result":{"output":3}}']
    assert run.returncode == 0
