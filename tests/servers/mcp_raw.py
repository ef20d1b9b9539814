"""An MCP server without an SDK: one thread for reading, one a call, and every bad habit that is asked for.

The first argument names a habit; the tools below are there in each.
"""

import json
import os
import socket
import sys
import threading
from pathlib import Path

HOME = Path(os.environ["HOME"])
HABIT = sys.argv[1] if len(sys.argv) > 1 else "none"
NOISE = [b"npm notice a new version\n", b"\xff\xfe broken\n", b'{"half": "json\n', b"42\n", b"[]\n"]

lock = threading.Lock()
tools = ["echo", "text", "many", "nothing", "fail", "error", "gate", "die", "progress", "ask"]
tools += ["grow", "odd", "signs/in.the_[name]?", "with a blank"]
waiting: dict[object, socket.socket] = {}
asked: dict[object, dict] = {}
answers: dict[object, threading.Event] = {}
client: dict = {}


def write(data: bytes) -> None:
    with lock:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


def send(**message: object) -> None:
    line = json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n"
    write(b"".join(NOISE) + line if HABIT == "noise" else line)


def gate(id: object, name: str) -> str:
    """Says hello at the gate of the test and waits to be let through."""
    with socket.socket(socket.AF_UNIX) as there:
        there.connect(str(HOME / "gate"))
        waiting[id] = there
        hello = {"name": name, "attempt": 0, "key": None, "pid": os.getpid()}
        there.sendall(json.dumps(hello).encode() + b"\n")
        return there.makefile().readline().rstrip()


def ask(method: str) -> dict:
    """Asks the client for something, and returns the whole answer."""
    id = f"ours-{method}"
    answers[id] = threading.Event()
    send(id=id, method=method, params={})
    answers[id].wait()
    return {key: asked[id][key] for key in ("result", "error") if key in asked[id]}


def texts(*all: str) -> list[dict]:
    return [{"type": "text", "text": text} for text in all]


def call(id: object, name: str, arguments: dict, meta: dict) -> dict:
    match name:
        case "text":
            return {"content": texts("a text")}
        case "many":
            return {"content": texts("one", "two")}
        case "nothing":
            return {"content": []}
        case "fail":
            return {"content": texts("it went wrong"), "isError": True}
        case "gate":
            return {"content": texts(gate(id, arguments["name"]))}
        case "die":
            print("these are my last words", file=sys.stderr, flush=True)
            os._exit(3)
        case "progress":
            ask("ping")
            params = {"progressToken": meta["progressToken"], "progress": 1, "total": 4}
            send(method="notifications/progress", params={**params, "message": "a quarter"})
            log = {"level": "warning", "data": "the server's own words"}
            send(method="notifications/message", params=log)
            return {"content": texts("done")}
        case "ask":
            methods = ["ping", "sampling/createMessage", "elicitation/create", "roots/list"]
            return {"content": [], "structuredContent": {it: ask(it) for it in [*methods, "x/y"]}}
        case "grow":
            tools.append("grown")
            send(method="notifications/tools/list_changed")
            return {"content": texts("one more")}
        case "odd":
            return {"content": "not a list"}
        case _:
            about = {"tool": name, "arguments": arguments, "client": client["capabilities"]}
            return {"content": [], "structuredContent": about}


def work(id: object, params: dict) -> None:
    if params["name"] == "error":
        error = {"code": -32099, "message": "a code of its own", "data": {"a": 1}}
        return send(id=id, error=error)
    result = call(id, params["name"], params.get("arguments", {}), params.get("_meta", {}))
    send(id=id, result=result)


def page(cursor: str | None) -> dict:
    """The tools: all at once, in pages, or in pages without an end."""
    number = {"type": "string" if "grown" in tools else "integer"}
    schema = {"type": "object", "properties": {"number": number}}
    listed = [{"name": name, "description": name, "inputSchema": schema} for name in tools]
    match HABIT, cursor:
        case "loop", _:
            return {"tools": listed[:1], "nextCursor": "again"}
        case "pages", None:
            return {"tools": listed[:3], "nextCursor": "second"}
        case "pages", "second":
            return {"tools": listed[3:6], "nextCursor": "third"}
        case "pages", _:
            return {"tools": listed[6:]}
        case _:
            return {"tools": listed}


def initialize(params: dict) -> dict:
    client.update(params)
    version = "1999-12-31" if HABIT == "version" else params["protocolVersion"]
    capabilities = {} if HABIT == "tool-less" else {"tools": {"listChanged": True}}
    about = {"name": "raw", "version": "1"}
    return {"protocolVersion": version, "capabilities": capabilities, "serverInfo": about}


def main() -> None:
    if HABIT == "dies":
        sys.exit("there is no such folder")
    if HABIT == "loud":
        for _ in range(160):
            sys.stderr.write("x" * 65535 + "\n")
        sys.stderr.flush()
    for line in sys.stdin.buffer:
        message = json.loads(line)
        id, method, params = message.get("id"), message.get("method"), message.get("params", {})
        match method:
            case None:
                asked[id] = message
                answers[id].set()
            case "initialize" if HABIT == "refuses":
                send(id=id, error={"code": -32600, "message": "not today"})
            case "initialize" if HABIT != "silent":
                send(id=id, result=initialize(params))
            case "tools/list":
                send(id=id, result=page(params.get("cursor")))
            case "tools/call":
                threading.Thread(target=work, args=(id, params), daemon=True).start()
            case "notifications/cancelled":
                waiting[params["requestId"]].sendall(b"cancelled")
                waiting[params["requestId"]].shutdown(socket.SHUT_RDWR)


if __name__ == "__main__":
    main()
