"""A component server without an SDK: one thread, blocking reads and writes, and every bad habit that is asked for.

The first argument names a habit; the components below are there in each.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

HOME = Path(os.environ["HOME"])
HABIT = sys.argv[1] if len(sys.argv) > 1 else "none"

NOISE = [
    b"hello\n",
    b"\r\n",
    b"\n",
    b"\xef\xbb\xbf",
    b"\xff\xfe broken \xc3\n",
    b'{"jsonrpc":"2.0","id":\n',
    b'{"half": "json\n',
    b"42\n",
    b"null\n",
    b'"text"\n',
    b'{"a":1}\n',
    b"[]\n",
    b"loading 10% ",
    b"\xff\xff without a line break ",
]


def write(data: bytes) -> None:
    """Writes to stdout to the last byte, and reads nothing meanwhile."""
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def answer(id: object, **what: object) -> None:
    write(json.dumps({"jsonrpc": "2.0", "id": id, **what}, ensure_ascii=False).encode() + b"\n")


def gate(name: str) -> str:
    """Says hello at the gate of the test and waits to be let through."""
    with socket.socket(socket.AF_UNIX) as there:
        there.connect(str(HOME / "gate"))
        hello = {"name": name, "attempt": 0, "key": None, "pid": os.getpid()}
        there.sendall(json.dumps(hello).encode() + b"\n")
        return there.makefile().readline().rstrip()


def exact(id: object, size: int, place: str) -> None:
    """Answers in a line of an exact size, with the id in front, at the end or in the middle."""
    texts = {
        "front": ('{"jsonrpc":"2.0","id":%s,"result":{"output":"', '"}}'),
        "end": ('{"jsonrpc":"2.0","result":{"output":"', '"},"id":%s}'),
        "middle": ('{"result":{"output":"%s"},"id":%%s,"result":{"output":"' % ("x" * 9000), '"}}'),
    }
    head, tail = (text.replace("%s", json.dumps(id)) for text in texts[place])
    write((head + "x" * (size - len(head) - len(tail)) + tail + "\n").encode())


def execute(id: object, params: dict) -> None:
    component, given = params["component"], params["input"]
    if component == "/echo":
        answer(id, result={"output": given})
    elif component == "/pid":
        answer(id, result={"output": os.getpid()})
    elif component == "/gate":
        said = gate(given["name"])
        answer(id, result={"output": {"said": said, "pid": os.getpid()}})
    elif component == "/exact":
        exact(id, given["size"], given["place"])
    elif component == "/line":
        write((given["text"].replace("THE_ID", json.dumps(id)) + "\n").encode())
    elif component == "/stderr":
        sys.stderr.write("e" * given["bytes"])
        sys.stderr.flush()
        answer(id, result={"output": given["bytes"]})
    elif component == "/close_stdout":
        os.close(1)
        threading.Event().wait()
    elif component == "/close_stdin":
        os.close(0)
        threading.Event().wait()
    elif component == "/leave_child":
        subprocess.Popen(["sleep", "1000"])
        os._exit(0)
    else:
        answer(id, error={"code": -32001, "message": f"no component {component}"})


def handle(message: dict) -> None:
    id, method = message.get("id"), message.get("method")
    if method == "initialize":
        version = 2 if HABIT == "other-version" else 1
        limits = {"max_message_bytes": 10_000} if HABIT == "small" else {}
        answer(id, result={"server_protocol_version": version, **limits})
    elif method == "components/list":
        answer(id, result={"components": []})
    elif method == "components/execute":
        execute(id, message["params"])
    elif id is not None:
        answer(id, error={"code": -32601, "message": f"no method {method}"})


def main() -> None:
    with (HOME / "starts").open("a") as starts:
        starts.write(f"{os.getpid()}\n")
    if HABIT == "dies":
        sys.exit("the licence has run out")
    if HABIT == "writes-first":
        # More than any pipe holds, in both directions, before the first byte is read.
        write(b"".join(b"banner %d\n" % line for line in range(200_000)))
        sys.stderr.write("warning\n" * 200_000)
    if HABIT == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if HABIT == "slow":
        gate("start")
    turn = 0
    for line in sys.stdin.buffer:
        if HABIT == "noisy":
            write(NOISE[turn % len(NOISE)])
            turn += 1
        message = json.loads(line)
        if HABIT == "silent":
            continue
        handle(message)
        if HABIT == "dies-after-handshake" and message.get("method") == "initialized":
            sys.exit("that was all")
    if HABIT == "stubborn":
        threading.Event().wait()


main()
