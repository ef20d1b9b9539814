"""A server that tells all it knows, over stdin and stdout: a component server, or an MCP server if it is asked as one.

What it was started with (`KEY_*`) and what it is called with is in its stderr, its noise on stdout, its list, its logs,
its progress and its errors, in every way in which a program writes text.
"""

import html
import json
import os
import sys
import urllib.parse


def forms(text: str) -> list[str]:
    return [
        text,
        json.dumps(text),
        json.dumps(text, ensure_ascii=False),
        json.dumps(json.dumps({"nested": text}, ensure_ascii=False), ensure_ascii=False),
        html.escape(text),
        urllib.parse.quote(text),
        urllib.parse.quote(text, safe=""),
        urllib.parse.quote_plus(text),
    ]


KEYS = [value for name, value in sorted(os.environ.items()) if name.startswith("KEY_")]
KNOWN = [form for key in KEYS for form in forms(key)]


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def send(**message: object) -> None:
    print(json.dumps({"jsonrpc": "2.0", **message}, ensure_ascii=False), flush=True)


def told(params: dict) -> list[str]:
    """All it knows, and much of it, so that whoever cuts it cuts through a secret."""
    given = json.dumps(params.get("input", params.get("arguments")), ensure_ascii=False)
    return [*KNOWN, given, *(f"{key} " * 30 for key in KEYS if len(key) < 100)]


def call(id: object, name: str, params: dict, is_mcp: bool) -> None:
    all = told(params)
    say("called with " + " ".join(all))
    print("noise on stdout: " + " ".join(all), flush=True)
    if is_mcp:
        send(
            method="notifications/message",
            params={"level": "error", "logger": "leaky", "data": {"all": all}},
        )
    token = params.get("_meta", {}).get("progressToken")
    if token is not None:
        send(
            method="notifications/progress",
            params={"progressToken": token, "progress": 0.5, "message": all[0]},
        )
    if name == "quiet":
        output = {"content": [{"type": "text", "text": "done"}]} if is_mcp else {"output": "done"}
        send(id=id, result=output)
    elif name == "end":
        sys.exit(3)
    elif name == "result" and is_mcp:
        send(
            id=id,
            result={"isError": True, "content": [{"type": "text", "text": text} for text in all]},
        )
    else:
        data = {"all": all, "traceback": "\n".join(all), "text": json.dumps(all)}
        send(id=id, error={"code": -32000, "message": "refused: " + " ".join(all), "data": data})


def answer(message: dict) -> None:
    id, method, params = message.get("id"), message.get("method"), message.get("params") or {}
    is_mcp = "protocolVersion" in params or method.startswith(("tools/", "ping"))
    if method == "initialize" and is_mcp:
        capabilities = {"tools": {}, "logging": {}}
        info = {"name": "leaky", "version": "1"}
        send(
            id=id,
            result={
                "protocolVersion": params["protocolVersion"],
                "capabilities": capabilities,
                "serverInfo": info,
            },
        )
    elif method == "initialize":
        send(id=id, result={"server_protocol_version": 1})
    elif method == "tools/list":
        names = ["fail", "result", "quiet", "end"]
        tools = [
            {"name": name, "description": " ".join(KNOWN), "inputSchema": {"type": "object"}}
            for name in names
        ]
        send(id=id, result={"tools": tools})
    elif method == "components/list":
        names = ["/fail", "/quiet", "/end"]
        send(
            id=id,
            result={
                "components": [
                    {"component": name, "description": " ".join(KNOWN)} for name in names
                ]
            },
        )
    elif method == "tools/call":
        call(id, params["name"], params, is_mcp=True)
    elif method == "components/execute":
        call(id, params["component"].strip("/"), params, is_mcp=False)
    elif id is not None:
        send(id=id, error={"code": -32601, "message": f"{method} is not known; known is {KNOWN}"})


say("started with " + " ".join(KNOWN))
for line in sys.stdin:
    answer(json.loads(line))
