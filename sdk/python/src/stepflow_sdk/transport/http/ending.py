"""The end of a process that serves HTTP: signals reach the server behind us only once calls had time to end.

Owns the two signals while an app is served. An ASGI server stops listening when it hears of one, so a component that
waits for its runtime's answer could not get it any more, and an open stream would keep the server from ending at all.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Any

from stepflow_sdk.output import to_stderr

__all__ = ["Ending"]

_Handler = Callable[[int, FrameType | None], Any]


class Ending:
    """Stands between the system's signals and whoever handled them before.

    Args:
        drain: Lets calls end; the signal goes on when it is done.
        hurry: Has that waste no more time; called when the process is told a second time.
    """

    def __init__(self, drain: Callable[[], Awaitable[None]], hurry: Callable[[], None]) -> None:
        self._drain = drain
        self._hurry = hurry
        self._handlers: dict[int, _Handler] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._n_told = 0

    def install(self, loop: asyncio.AbstractEventLoop) -> None:
        """Takes over from handlers that are there; where there are none, nobody would end the server anyway."""
        if threading.current_thread() is not threading.main_thread():
            return
        self._loop = loop
        for number in (signal.SIGTERM, signal.SIGINT):
            handler = signal.getsignal(number)
            if callable(handler):
                self._handlers[number] = handler
                signal.signal(number, self._on_signal)

    def uninstall(self) -> None:
        """Gives the signals back."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number, handler in self._handlers.items():
            # Equal, not the same: each look at a method makes a new one.
            if signal.getsignal(number) == self._on_signal:
                signal.signal(number, handler)
        self._handlers.clear()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._n_told += 1
        if self._n_told > 2 or self._loop is None or self._loop.is_closed():
            # Told that often, whoever tells means it.
            self._handlers[number](number, frame)
        elif self._n_told == 2:
            self._loop.call_soon_threadsafe(self._hurry)
        else:
            self._loop.call_soon_threadsafe(self._begin, number)

    def _begin(self, number: int) -> None:
        self._task = asyncio.ensure_future(self._end(number))

    async def _end(self, number: int) -> None:
        to_stderr("stepflow_sdk: ending; calls that run may finish, a second signal cancels them")
        try:
            await self._drain()
        finally:
            if (handler := self._handlers.get(number)) is not None:
                handler(number, None)
