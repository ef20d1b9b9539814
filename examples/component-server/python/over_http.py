"""A component server over HTTP that only answers: no session, no stream, no calls back."""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def answer(method, params):
    match method, params:
        case "initialize", {"runtime_protocol_version": 1}:
            return {"result": {"server_protocol_version": 1}}
        case "components/list", _:
            return {"result": {"components": [{"component": "/greet"}]}}
        case "components/execute", {"component": "/greet", "input": {"name": str(name)}}:
            return {"result": {"output": {"text": f"Hello, {name}!"}}}
    return {"error": {"code": -32601, "message": f"no {method} with such params here"}}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = {"jsonrpc": "2.0", "id": message.get("id")}
        body |= answer(message["method"], message.get("params"))
        body = json.dumps(body).encode() if "id" in message else b""
        self.send_response(200 if body else 202)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
print(f"listening on http://127.0.0.1:{server.server_port}", file=sys.stderr)
server.serve_forever()
