"""Frames as lines: bytes from a file descriptor to whole frames and back.

Knows descriptors and newlines. Never looks inside a frame, except for the two ends of one that is too large to keep.
"""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from collections.abc import Callable

__all__ = ["LineReader", "LineWriter"]

_CHUNK = 256 * 1024
_KEPT = 4096
_JOINED = 256 * 1024
_MAX_UNREAD_FRAMES = 4096


class LineReader:
    """Reads lines of at most `limit` bytes from a blocking descriptor, in batches.

    A longer line is thrown away while it comes in; `on_oversized(size, head, tail)` then gets its length and both ends.
    """

    def __init__(
        self, descriptor: int, limit: int, on_oversized: Callable[[int, bytes, bytes], None]
    ) -> None:
        self._descriptor = descriptor
        self._limit = limit
        self._on_oversized = on_oversized
        self._parts: list[bytes] = []
        self._size = 0
        self._head = b""
        self._tail = b""

    def read(self) -> list[bytes] | None:
        """Waits for bytes and returns the lines they complete, perhaps none; None at the end of input."""
        data = self._read_some()
        if not data:
            return None
        lines = data.split(b"\n")
        if len(lines) == 1:
            self._keep(data)
            return []
        rest = lines.pop()
        if self._size:
            first = self._completed(lines[0])
            if first is None:
                del lines[0]
            else:
                lines[0] = first
        if rest:
            self._keep(rest)
        if self._limit < _CHUNK:
            return [line for line in lines if self._fits(line)]
        return lines

    def _read_some(self) -> bytes:
        while True:
            try:
                return os.read(self._descriptor, _CHUNK)
            except BlockingIOError:
                _wait(self._descriptor, select.POLLIN)
            except OSError:
                return b""

    def _keep(self, part: bytes) -> None:
        """Adds to the line that is not complete yet; of one that is too long only its two ends stay."""
        self._size += len(part)
        if self._size <= self._limit:
            self._parts.append(part)
            return
        if self._parts:
            part = b"".join([*self._parts, part])
            self._parts = []
        if len(self._head) < _KEPT:
            self._head = (self._head + part)[:_KEPT]
        self._tail = (self._tail + part[-_KEPT:])[-_KEPT:]

    def _fits(self, line: bytes) -> bool:
        if len(line) <= self._limit:
            return True
        self._on_oversized(len(line), line[:_KEPT], line[-_KEPT:])
        return False

    def _completed(self, last: bytes) -> bytes | None:
        """Returns the line that `last` completes, or None after one that was too long."""
        if last:
            self._keep(last)
        size, self._size = self._size, 0
        if size <= self._limit:
            line = b"".join(self._parts)
            self._parts = []
            return line
        head, tail = self._head, self._tail
        self._head = self._tail = b""
        self._on_oversized(size, head, tail)
        return None


class LineWriter:
    """Writes frames as lines to a descriptor, from many threads, each frame whole.

    Nobody waits for another's write: a thread queues its frame, and whoever holds the lock writes all there are.
    """

    def __init__(self, descriptor: int, on_broken: Callable[[], None]) -> None:
        self._descriptor = descriptor
        self._on_broken = on_broken
        self._queue: deque[bytes] = deque()
        self._lock = threading.Lock()
        self._n_dropped = 0

    def post(self, frame: bytes) -> None:
        """Queues a frame; a later `flush` writes it."""
        self._queue.append(frame)

    def send(self, frame: bytes, *, droppable: bool = False) -> None:
        """Queues a frame and writes what is queued, or leaves that to the thread that is writing."""
        if droppable and len(self._queue) >= _MAX_UNREAD_FRAMES:
            # The runtime does not read: better to lose a progress line than to grow without end.
            self._n_dropped += 1
            return
        self._queue.append(frame)
        self.flush()

    def flush(self) -> None:
        """Writes everything queued, unless another thread is at it."""
        queue = self._queue
        while queue:
            if not self._lock.acquire(blocking=False):
                # Its holder looks at the queue once more after letting go.
                return
            try:
                while queue:
                    self._write_some()
            except BlockingIOError:  # pragma: no cover - waited for in _write_all
                pass
            except OSError:
                queue.clear()
                self._on_broken()
            finally:
                self._lock.release()

    def close(self) -> None:
        """Forgets what is queued; later frames go nowhere."""
        self._queue = deque(maxlen=0)

    def _write_some(self) -> None:
        """Writes the frames that are queued now: small ones in one go, a large one by itself."""
        queue = self._queue
        if len(queue) == 1 and len(queue[0]) < _JOINED:
            self._write_all(queue.popleft() + b"\n")
            return
        parts: list[bytes] = []
        size = 0
        while queue and size < _JOINED:
            frame = queue.popleft()
            if len(frame) >= _JOINED:
                parts.append(b"")
                self._write_all(b"\n".join(parts))
                self._write_all(frame)
                parts, size = [b""], 1
                break
            parts.append(frame)
            size += len(frame) + 1
        parts.append(b"")
        self._write_all(b"\n".join(parts))

    def _write_all(self, data: bytes) -> None:
        if not data:
            return
        written = self._write(data)
        if written == len(data):
            return
        view = memoryview(data)
        while written < len(data):
            written += self._write(view[written:])

    def _write(self, data: bytes | memoryview) -> int:
        while True:
            try:
                return os.write(self._descriptor, data)
            except BlockingIOError:
                # Whoever started us shares a pipe that does not block; waiting for it is the same.
                _wait(self._descriptor, select.POLLOUT)


def _wait(descriptor: int, event: int) -> None:
    poll = select.poll()
    poll.register(descriptor, event)
    poll.poll()
