"""Server-sent events as bytes: <https://html.spec.whatwg.org/multipage/server-sent-events.html>.

Owns how a frame is written as an event. Knows nothing of sessions.
"""

from __future__ import annotations

__all__ = ["HEADERS", "KEEP_ALIVE", "event"]

HEADERS = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache"),
    # Asks the usual proxies not to hold events back.
    (b"x-accel-buffering", b"no"),
]
"""The headers of every stream."""

KEEP_ALIVE = b": keep-alive\n\n"
"""A comment, which every reader skips."""


def event(name: bytes, frame: bytes, id: str | None = None) -> bytes:
    """Writes one JSON text as one event."""
    if b"\n" in frame or b"\r" in frame:
        # Inside JSON strings they are escaped, so these are white space from a text that was passed through.
        frame = frame.replace(b"\r", b" ").replace(b"\n", b" ")
    head = b"" if id is None else b"id: %b\n" % id.encode()
    return b"%bevent: %b\ndata: %b\n\n" % (head, name, frame)
