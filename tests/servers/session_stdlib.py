"""A component server over HTTP without an SDK, on the standard library alone: threads, blocking sockets, and the habits asked for.

Arguments are `name=value` habits; what they do stands where they are used. Every request is written to stderr, so that a test
can see what was tried and in which order.
"""

import json
import queue
import sys
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

PORT = int(sys.argv[sys.argv.index("--port") + 1])
HABITS = dict(it.split("=", 1) for it in sys.argv[1:] if "=" in it)
BREAK = {"crlf": "\r\n", "cr": "\r"}.get(HABITS.get("breaks", ""), "\n")

sessions: dict[str, queue.Queue] = {}
n_gets = 0
lock = threading.Lock()


def say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def endpoint(session: str, port: int) -> str:
    """The endpoint as it stands in the event's data."""
    forms = {
        "path": f"/session/{session}",
        "root": f"/?sessionId={session}",
        "relative": f"../session/{session}",
        "query": f"?sessionId={session}",
        "absolute": f"http://127.0.0.1:{port}/session/{session}",
        "foreign": f"http://127.0.0.2:{port}/session/{session}",
        "nonsense": "http://[",
    }
    reference = forms[HABITS.get("form", "path")]
    return reference if HABITS.get("data") == "bare" else json.dumps({"endpoint": reference})


def session_of(path: str) -> str:
    """The session that a POST belongs to, whatever form its endpoint had."""
    parts = urlsplit(path)
    return parse_qs(parts.query).get("sessionId", [""])[0] or parts.path.rpartition("/")[2]


def event(kind: str, text: str) -> str:
    """An event as the habits have it."""
    lines = [text]
    if HABITS.get("framing") == "lines" and kind == "message":
        # JSON may be broken wherever it may have white space.
        lines = ["", text[0], *text[1:].split(", "), ""]
        lines[2:-2] = [it + "," for it in lines[2:-2]]
    fields = [f"data: {it}" for it in lines]
    if HABITS.get("framing") == "tight":
        fields = [f"data:{it}" for it in lines]
    if kind == "endpoint" or HABITS.get("framing") == "named":
        fields.insert(0, f"event: {kind}")
    if HABITS.get("framing") == "comments":
        fields = [
            ": a comment",
            *[line for it in fields for line in (it, ":")],
            "colour: blue",
            "id",
            "retry: soon",
        ]
    return BREAK.join(fields) + 2 * BREAK


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def answer(
        self, status: int, body: str, kind: str = "application/json", **headers: str
    ) -> None:
        data = body.encode()
        self.send_response(status)
        if data:
            self.send_header("Content-Type", kind)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        global n_gets
        say(f"GET {self.path}")
        with lock:
            n_gets += 1
            turn = n_gets
        events = HABITS.get("events", "")
        if events == "html":
            return self.answer(200, "<html>Welcome!</html>", "text/html")
        if events.startswith("500-then") and turn > 2:
            events = ""
        if events == "silent":
            threading.Event().wait()
        if events == "late":
            # Not even the head of the answer comes before the endpoint does, as with servers that write both at once.
            late.wait()
            events = ""
        if events:
            return self.answer(int(events[:3]), f"<html>{events}</html>", "text/html")
        self.send_response(200)
        self.send_header("Content-Type", HABITS.get("type", "text/event-stream"))
        self.end_headers()
        self.close_connection = True
        self.stream()

    def stream(self) -> None:
        session = uuid.uuid4().hex
        mine = sessions[session] = queue.Queue()
        start = {"bom": "\ufeff", "comments": f": welcome{BREAK}{BREAK}"}.get(
            HABITS.get("framing", ""), ""
        )
        self.write(start)
        if HABITS.get("endpoint") == "never":
            threading.Event().wait()
        if HABITS.get("endpoint") == "late":
            # Until a call without a session is under way, and so the other side has given up waiting.
            late.wait()
        if HABITS.get("endpoint") == "after-others":
            self.write(event("weather", "rain"))
        self.write(event("endpoint", endpoint(session, self.server.server_address[1])))
        while True:
            text = mine.get()
            if HABITS.get("framing") == "keep-alives":
                self.write(f": keep-alive{BREAK}{BREAK}")
            self.write(event("message", text))

    def write(self, text: str) -> None:
        data = text.encode()
        step = int(HABITS.get("pieces", len(data) or 1))
        for at in range(0, len(data), step):
            self.wfile.write(data[at : at + step])
            self.wfile.flush()

    def do_DELETE(self) -> None:
        say(f"DELETE {self.path}")
        self.answer(202, "")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        message = json.loads(body)
        mine = sessions.get(session_of(self.path))
        where = "session" if mine else "direct"
        say(f"POST {where} {message.get('method', 'answer')}")
        if self.headers["Content-Type"] != "application/json; charset=utf-8":
            return self.answer(415, "")
        if "method" not in message:
            answers.pop(message["id"]).put(message)
            return self.answer(202, "")
        if "id" not in message:
            return self.answer(202, "")
        late.set() if message["method"] == "components/execute" else None
        result = self.result_of(message, mine)
        answer = {"jsonrpc": "2.0", "id": message["id"], "result": result}
        text = json.dumps(answer, ensure_ascii=False)
        if mine and HABITS.get("answers") != "posts":
            mine.put(text)
            return self.answer(202, "")
        self.answer(200, text)

    def result_of(self, message: dict, mine: "queue.Queue | None") -> object:
        method = message["method"]
        if method == "initialize":
            return {"server_protocol_version": 1}
        if method == "components/list":
            return {"components": []}
        if method == "components/execute":
            if message["params"]["component"] == "/blob" and mine:
                data = message["params"]["input"]
                put = ask(mine, "blobs/put", {"data": data, "blob_type": "data"})
                return {"output": ask(mine, "blobs/get", {"blob_id": put["blob_id"]})["data"]}
            if message["params"]["component"] == "/where":
                return {"output": "session" if mine else "direct"}
            return {"output": message["params"]["input"]}
        return {}


answers: dict[str, queue.Queue] = {}
late = threading.Event()


def ask(events: queue.Queue, method: str, params: object) -> dict:
    """Asks the runtime, and waits for its answer."""
    id = uuid.uuid4().hex
    answers[id] = queue.Queue()
    waiting = answers[id]
    events.put(json.dumps({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))
    return waiting.get()["result"]


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 100


server = Server(("127.0.0.1", PORT), Handler)
say(f"serving on http://127.0.0.1:{server.server_address[1]}")
server.serve_forever()
