from __future__ import annotations

import os
import threading

from hypothesis import given, settings
from hypothesis import strategies as st

from stepflow_sdk.transport.lines import LineReader, LineWriter


def read(chunks: list[bytes], limit: int) -> tuple[list[bytes], list[tuple[int, bytes, bytes]]]:
    """Reads chunks, each by one read of its own."""
    oversized: list[tuple[int, bytes, bytes]] = []
    reads, writes = os.pipe()
    reader = LineReader(reads, limit, lambda *it: oversized.append(it))
    lines: list[bytes] = []
    for chunk in chunks:
        os.write(writes, chunk)
        lines += reader.read() or []
    os.close(writes)
    assert reader.read() is None
    os.close(reads)
    return lines, oversized


@given(st.lists(st.binary(min_size=1, max_size=30), max_size=20), st.integers(1, 20))
@settings(deadline=None)
def test_lines_come_whole_however_the_bytes_are_cut(chunks, limit):
    lines, oversized = read(chunks, limit)
    *expected, _rest = b"".join(chunks).split(b"\n")
    assert lines == [it for it in expected if len(it) <= limit]
    assert oversized == [(len(it), it[:4096], it[-4096:]) for it in expected if len(it) > limit]


@given(st.integers(4000, 20_000), st.integers(1, 3000), st.integers(10, 5000))
@settings(deadline=None, max_examples=50)
def test_of_a_line_too_long_both_ends_are_kept(size, chunk, limit):
    line = bytes(i % 241 + 11 for i in range(size))
    whole = line + b"\nnext\n"
    lines, oversized = read([whole[i : i + chunk] for i in range(0, len(whole), chunk)], limit)
    expected = [line] if size <= limit else []
    assert [it for it in lines if it != b"next"] == expected
    if size > limit:
        assert oversized[0] == (size, line[:4096], line[-4096:])


def test_the_writer_writes_every_frame_whole_from_many_threads():
    reads, writes = os.pipe()
    writer = LineWriter(writes, on_broken=lambda: None)
    frames = {f"{n}:{'x' * (n * 997 % 300_000)}".encode() for n in range(200)}
    pending = list(frames)

    def send():
        while pending:
            try:
                writer.send(pending.pop())
            except IndexError:
                break

    threads = [threading.Thread(target=send) for _ in range(8)]
    for it in threads:
        it.start()
    with os.fdopen(reads, "rb") as pipe:
        got = [pipe.readline().removesuffix(b"\n") for _ in range(200)]
    for it in threads:
        it.join()
    os.close(writes)
    assert set(got) == frames


def test_a_broken_pipe_is_reported_once_and_later_frames_go_nowhere():
    broken: list[bool] = []
    reads, writes = os.pipe()
    os.close(reads)
    writer = LineWriter(writes, on_broken=lambda: broken.append(True))
    writer.send(b"x")
    assert broken == [True]
    os.close(writes)
