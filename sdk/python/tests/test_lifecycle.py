from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from runtime import PATIENCE, Runtime

BUSY = {
    "plain": "def busy(input, context: SyncContext): context.progress(); threading.Event().wait()",
    "spinning": "def busy(input, context: SyncContext):\n    context.progress()\n    while True: pass",
    "async": "async def busy(input, context: Context): context.progress(); await asyncio.Event().wait()",
    "blocked loop": "async def busy(input, context: Context): context.progress(); threading.Event().wait()",
    "to_thread": "async def busy(input, context: Context): context.progress(); await asyncio.to_thread(threading.Event().wait)",
    "own thread": "def busy(input, context: SyncContext):\n"
    "    context.progress(); threading.Thread(target=threading.Event().wait).start(); threading.Event().wait()",
    "call back": "def busy(input, context: SyncContext): context.progress(); context.get_blob('x')",
    "stubborn": "def busy(input, context: SyncContext):\n"
    "    context.progress()\n    while True:\n        try: context.get_blob('x')\n        except BaseException: pass",
}


@pytest.mark.parametrize("source", BUSY.values(), ids=BUSY)
def test_the_end_of_stdin_ends_the_process_whatever_components_do(serve, source):
    child = serve(f"import asyncio, threading\n@server.component\n{source}\n")
    child.start("/busy")
    child.until(lambda: child.notifications)
    assert child.end() == 0


def test_a_runtime_that_closes_stdin_and_does_not_read_does_not_keep_the_process(serve):
    child = serve("@server.component\ndef make(n: int) -> str: return 'x' * n\n")
    child.reads.clear()
    for _ in range(10):
        child.start("/make", 1_000_000)
    child.process.stdin.close()
    assert child.process.wait(PATIENCE) == 0


def test_an_idle_server_ends_with_stdin(serve):
    child = serve()
    assert child.end() == 0
    assert child.stderr == b""


def test_a_server_that_was_never_spoken_to_ends_with_stdin(serve):
    assert serve(initialize=False).end() == 0


def test_what_was_asked_before_the_end_of_stdin_is_answered(tmp_path):
    """As in `printf … | python -m stepflow_sdk`."""
    (tmp_path / "piped.py").write_text(
        "from stepflow_sdk import *\nserver = StepflowServer()\n@server.component\nasync def later(n: int) -> int: return n\n"
        "@server.component\ndef now(n: int) -> int: return n\n"
    )
    frames = [
        '{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"runtime_protocol_version":1}}',
        '{"jsonrpc":"2.0","method":"initialized"}',
        *(
            f'{{"jsonrpc":"2.0","id":{n},"method":"components/execute","params":{{"component":"{it}","input":{n}}}}}'
            for n, it in enumerate(["now", "later"] * 50, start=2)
        ),
    ]
    run = subprocess.run(
        [sys.executable, "-m", "stepflow_sdk", "piped:server"],
        cwd=tmp_path,
        input="\n".join(frames).encode() + b"\n",
        stdout=subprocess.PIPE,
        timeout=PATIENCE,
        check=False,
    )
    assert run.returncode == 0
    assert len(run.stdout.splitlines()) == 101


@pytest.mark.parametrize("keyword", ["def", "async def"])
def test_call_backs_wake_with_an_error_when_the_runtime_goes(serve, tmp_path, keyword):
    kind, wait = ("SyncContext", "") if keyword == "def" else ("Context", "await ")
    child = serve(
        f"""
        import os
        @server.component
        {keyword} get(input, context: {kind}):
            try:
                {wait}context.get_blob("x")
            except PeerClosed as error:
                os.write(2, b"woken: " + str(error).encode())
        """
    )
    child.start("/get")
    child.until(lambda: child.callbacks)
    assert child.end() == 0
    assert child.stderr.startswith(b"woken: the runtime closed the connection")


def test_a_runtime_that_stops_reading_for_good_ends_the_server_silently(serve):
    child = serve("@server.component\ndef make(n: int) -> str: return 'x' * n\n")
    child.reads.clear()
    child.send(id=0, method="ping")
    read = child.process.stdout.fileno()
    nowhere = os.open(os.devnull, os.O_RDONLY)
    while child.frames.empty():
        pass
    os.dup2(nowhere, read)
    os.close(nowhere)
    try:
        for _ in range(100):
            child.start("/make", 100_000)
    except BrokenPipeError:
        pass
    child.reads.set()
    assert child.wait() == 0
    assert child.stderr == b""


def test_os_exit_in_a_component_is_what_it_is(serve):
    child = serve("import os\n@server.component\ndef leave(code: int): os._exit(code)\n")
    child.start("/leave", 7)
    assert child.wait() == 7


def test_ctrl_c_ends_the_server(serve):
    child = serve()
    child.process.send_signal(signal.SIGINT)
    assert child.wait() == -signal.SIGINT


def test_an_idle_server_uses_no_processor(serve):
    """Counts voluntary wake-ups instead of measuring time: a thread that polls wakes again and again."""
    child = serve(
        """
        import threading
        @server.component
        def quick(input): return input
        @server.component
        async def later(input): return input
        """
    )
    for n in range(200):
        assert child.output("/quick" if n % 2 else "/later", n) == n

    def wake_ups() -> int:
        total = 0
        for task in Path(f"/proc/{child.process.pid}/task").iterdir():
            lines = (task / "status").read_text().splitlines()
            total += sum(
                int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt")
            )
        return total

    # The watch goes to sleep after a while; from then on the count stands still.
    before, now = -1, wake_ups()
    for _ in range(50):
        subprocess.run(["sleep", "0.1"], check=True)
        before, now = now, wake_ups()
        if before == now:
            break
    assert before == now


def test_a_pipe_that_does_not_block_is_served_as_well(tmp_path):
    """As some runtimes hand over: both ends of a socket pair, not blocking."""
    import socket

    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    child = subprocess.Popen(
        [sys.executable, "-m", "stepflow_sdk"], stdin=theirs, stdout=theirs, cwd=tmp_path
    )
    theirs.close()
    lines = ours.makefile("rb")
    ours.sendall(b'{"jsonrpc":"2.0","id":"' + b"x" * 3_000_000 + b'","method":"ping"}\n')
    assert len(lines.readline()) > 3_000_000
    ours.shutdown(socket.SHUT_WR)
    assert child.wait(PATIENCE) == 0
    lines.close()
    ours.close()


def test_a_script_serves_by_run(tmp_path):
    (tmp_path / "script.py").write_text(
        "from stepflow_sdk import StepflowServer\nserver = StepflowServer(name='mine', version='7')\n"
        "@server.component\ndef one() -> int: return 1\n"
        "if __name__ == '__main__':\n    server.run()\n"
    )
    with Runtime(tmp_path, "script.py") as child:
        assert child.initialize()["server"] == {"name": "mine", "version": "7"}
        assert child.output("/one") == 1
        assert child.end() == 0
