"""The test server over HTTP with one thing wrong, named by the first argument."""

import sys
from collections.abc import Callable

from stepflow_sdk.transport.http.gate import Gate
from stepflow_sdk.transport.http.session import Session, Sessions
from test_server import server


def newest(sessions: Sessions, id: bytes) -> Session:
    """Whatever session was asked for, the last that was opened."""
    return list(sessions._by_id.values())[-1]


def counted() -> Callable[[], str]:
    """Names of sessions that anyone can count up to."""
    numbers = iter(range(1_000_000))
    return lambda: f"{next(numbers):032}"


def guessable(sessions: Sessions) -> Session:
    session = sessions._make()
    session.id = names()
    sessions._by_id[session.id] = session
    sessions._by_secret[session.secret] = session
    return session


names = counted()
MUTANTS: dict[str, tuple[type, str, Callable]] = {
    "none": (object, "", None),
    "shares-sessions": (Sessions, "find", newest),
    "names-sessions-by-number": (Sessions, "open", guessable),
    "forgets-streams": (Sessions, "resumed", lambda *_: None),
    "never-ends-sessions": (Sessions, "end", lambda *_: None),
    "serves-foreign-pages": (Gate, "_is_own_origin", lambda *_: True),
    "serves-any-host": (Gate, "_is_own_name", lambda *_: True),
    "takes-any-type": (Gate, "check_form", lambda *_: None),
}

mutated, name, instead = MUTANTS[sys.argv[1]]
if name:
    setattr(mutated, name, instead)
server.run(sys.argv[2:])
