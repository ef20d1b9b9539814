"""Stands in for a language model: an endpoint that repeats what it was told.

`python model.py --port 8090` serves until its stdin ends; `python model.py COMMAND …` runs a command with the endpoint's address in
LLM_URL, and ends with it.
"""

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODELS = ["small", "large"]
turned_away: set[str] = set()


class Endpoint(BaseHTTPRequestHandler):
    """Answers POST /v1/chat/completions."""

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        asked = json.loads(self.rfile.read(length))
        system, question = (message["content"] for message in asked["messages"])
        if asked["model"] not in MODELS:
            self.answer(404, {"error": {"message": f"there is no model {asked['model']}"}})
        elif "busy" in question and question not in turned_away:
            turned_away.add(question)
            self.answer(429, {"error": {"message": "too many requests"}})
        else:
            tone = system.rstrip(".").split()[-1]
            text = f"{asked['model']}, in a {tone} tone: {question}"
            words = len(f"{system} {question}".split())
            choice = {"index": 0, "message": {"role": "assistant", "content": text}}
            self.answer(200, {"choices": [choice], "usage": {"total_tokens": words}})

    def answer(self, status: int, body: dict[str, Any]) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:
        pass


def main(arguments: list[str]) -> int:
    port = int(arguments[1]) if arguments[:1] == ["--port"] else 0
    with ThreadingHTTPServer(("127.0.0.1", port), Endpoint) as endpoint:
        threading.Thread(target=endpoint.serve_forever, daemon=True).start()
        if port:
            sys.stdin.read()
            return 0
        url = f"http://127.0.0.1:{endpoint.server_port}/v1"
        return subprocess.run(arguments, check=False, env={**os.environ, "LLM_URL": url}).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
