"""A server over HTTP in a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading

from http_runtime import Client, Events
from runtime import PATIENCE


class Process(Client):
    """A server in a process of its own; where it serves is read from its stderr."""

    def __init__(self, folder, *arguments: str, **env: str) -> None:
        self.opened: list[Events] = []
        self.stderr = b""
        self._said = threading.Condition()
        self.process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder,
            env={**os.environ, **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()
        self.port = int(self.said(rb"http://[^ ]*:(\d+)")[1])

    def _read(self) -> None:
        while data := self.process.stderr.read1(1 << 16):
            with self._said:
                self.stderr += data
                self._said.notify_all()
        with self._said:
            self._said.notify_all()

    def said(self, pattern: bytes) -> re.Match[bytes]:
        """Waits until its stderr matches."""
        with self._said:
            self._said.wait_for(
                lambda: re.search(pattern, self.stderr) or not self.thread.is_alive(), PATIENCE
            )
            found = re.search(pattern, self.stderr)
        assert found, self.stderr.decode()
        return found

    def wait(self) -> tuple[int, bytes]:
        out, _ = self.process.stdout.read(), self.thread.join(PATIENCE)
        return self.process.wait(PATIENCE), out

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        for it in self.opened:
            it.close()
        self.thread.join()
        self.process.stdout.close()
        self.process.stderr.close()


def run(folder, *arguments):
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
