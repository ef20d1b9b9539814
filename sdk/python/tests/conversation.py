"""A peer without a wire: frames in, frames out, in this thread."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

from runtime import ALL, execute
from stepflow_sdk import StepflowServer
from stepflow_sdk.peer import Peer


class Conversation:
    """Runs a server's components at once, answering call backs from `answers`."""

    def __init__(self, server: StepflowServer, *, handshake_required: bool = False) -> None:
        self.peer = Peer(server.router(handshake_required=handshake_required), self)
        self.sent: list[dict[str, Any]] = []
        self.answers: dict[str, Any] = {}
        self.n = 0

    def post(self, frame: bytes) -> None:
        message = json.loads(frame)
        self.sent.append(message)
        if "method" in message and "id" in message and message["method"] in self.answers:
            answer = self.answers[message["method"]]
            self.tell(
                id=message["id"], **(answer(message["params"]) if callable(answer) else answer)
            )

    def send(self, frame: bytes, *, droppable: bool = False) -> None:
        self.post(frame)

    def blocking(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def raw(self, frame: bytes) -> list[dict[str, Any]]:
        """Hands over one frame; returns what was sent because of it."""
        before = len(self.sent)
        invocation = self.peer.receive(frame)
        if invocation is not None:
            answer = None if invocation.component.is_async else invocation.run()
            if answer is None:
                answer = asyncio.run(invocation.run_async())
            self.peer.answer(invocation, answer, self.post)
        return self.sent[before:]

    def tell(self, **message: Any) -> list[dict[str, Any]]:
        return self.raw(json.dumps({"jsonrpc": "2.0", **message}).encode())

    def request(self, method: str, params: Any = None) -> dict[str, Any]:
        self.n += 1
        answers = self.tell(
            id=self.n, method=method, **({} if params is None else {"params": params})
        )
        (answer,) = [it for it in answers if it.get("id") == self.n and "method" not in it]
        return answer

    def call(self, component: str, input: Any = None, **extra: Any) -> dict[str, Any]:
        return self.request(
            "components/execute", execute(component, input, capabilities=ALL, **extra)
        )

    def output(self, component: str, input: Any = None, **extra: Any) -> Any:
        answer = self.call(component, input, **extra)
        assert "result" in answer, answer
        return answer["result"]["output"]

    def error(self, component: str, input: Any = None, **extra: Any) -> dict[str, Any]:
        answer = self.call(component, input, **extra)
        assert "error" in answer, answer
        return answer["error"]


def over(*functions: Any, **options: Any) -> Conversation:
    """A conversation with a server of these functions."""
    server = StepflowServer(udf=False, **options)
    for function in functions:
        server.component(function)
    return Conversation(server)
