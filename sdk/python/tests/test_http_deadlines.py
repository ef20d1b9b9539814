from __future__ import annotations

from stepflow_sdk.transport.http.deadlines import Deadlines


class Loop:
    """The clock of a loop and the calls it was asked for."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls = []

    def time(self):
        return self.now

    def call_at(self, when, act):
        self.calls.append((when, act))

    def run(self, until):
        """Does what is due until then."""
        while self.calls and min(self.calls)[0] <= until:
            due = min(self.calls)
            self.calls.remove(due)
            self.now = max(self.now, due[0])
            due[1]()
        self.now = until


def test_each_wait_ends_at_its_own_time_by_one_timer():
    loop, late = Loop(), []
    deadlines = Deadlines(loop, 10, lambda it: late.append((it, loop.now)))
    for start, name in [(0, "a"), (1, "b"), (2, "c"), (3, "d")]:
        loop.run(start)
        deadlines.begin(name)
        assert len(loop.calls) == 1
    deadlines.end("b")
    deadlines.end("never began")
    loop.run(11.9)
    assert late == [("a", 10)]
    loop.run(20)
    assert late == [("a", 10), ("c", 12), ("d", 13)]
    assert loop.calls == []
    deadlines.begin("a")
    loop.run(30)
    assert late[3:] == [("a", 30)]


def test_one_that_is_late_may_end_others_and_begin_again():
    loop, late = Loop(), []

    def on_late(it):
        late.append((it, loop.now))
        deadlines.end("b")
        if len(late) == 1:
            deadlines.begin(it)

    deadlines = Deadlines(loop, 10, on_late)
    deadlines.begin("a")
    deadlines.begin("b")
    loop.run(100)
    assert late == [("a", 10), ("a", 20)]
    assert loop.calls == []
