from __future__ import annotations

import pytest

from stepflow_sdk import StepflowServer
from stepflow_sdk.peer import Peer
from stepflow_sdk.transport.crew import Crew

PING = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'


class EndedError(Exception):
    pass


class Script:
    """A source, a writer and a link in one; what happens when it is flushed is up to the test."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.on_flush = lambda: None
        self.crew = Crew(self, self, None, self.end)
        self.crew._peer = Peer(StepflowServer().router(handshake_required=False), self)
        self.unserved_at_read: list[int] = []

    def post(self, frame: bytes) -> None:
        self.sent.append(frame)

    def flush(self) -> None:
        self.on_flush()

    def read(self) -> None:
        self.unserved_at_read.append(len(self.crew._frames))

    def end(self, code: int) -> None:
        raise EndedError(code)


def test_a_leader_that_picks_up_anothers_baton_serves_the_frames_it_read():
    script = Script()

    def others_lead_meanwhile() -> None:
        script.on_flush = lambda: None
        # The watch took the baton, another led, read a frame, and put the baton down for something long.
        script.crew._baton.pop()
        script.crew._frames.append(PING)
        script.crew._baton.append(None)

    script.on_flush = others_lead_meanwhile
    with pytest.raises(EndedError):
        script.crew._lead()
    assert script.unserved_at_read == [0]
    assert len(script.sent) == 1


def test_a_leader_whose_baton_is_gone_stops_leading():
    script = Script()
    script.on_flush = script.crew._baton.pop
    script.crew._lead()
    assert script.unserved_at_read == []


def test_the_lead_survives_threads_that_switch_all_the_time(serve):
    child = serve(
        """
        import sys, threading
        sys.setswitchinterval(1e-6)
        gates = {}
        def gate(name): return gates.setdefault(name, threading.Event())
        @server.component
        def moody(name: str) -> str:
            if name != "quick": gate(name).wait()
            return name
        @server.component
        def release(name: str) -> None: gate(name).set()
        """
    )
    for turn in range(10):
        for _ in range(30):
            assert child.output("/moody", "quick") == "quick"
        names = [f"{turn}-{n}" for n in range(10)]
        held = [child.start("/moody", name) for name in names]
        for name in names:
            child.call("/release", name)
        assert [child.response(id)["result"]["output"] for id in held] == names


def test_a_crew_that_breaks_ends_the_server_instead_of_falling_silent(serve):
    child = serve(
        """
        from stepflow_sdk.transport import crew
        def broken(*_): raise RuntimeError("a bug")
        @server.component
        def sabotage(input): crew.Crew._serve = broken; return 1
        """
    )
    child.call("/sabotage")
    child.start("/sabotage")
    assert child.wait() == 1
    assert b"RuntimeError: a bug" in child.stderr
