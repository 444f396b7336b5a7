"""Ctrl-C and SIGTERM as a request to stop after the current step."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType

Handler = Callable[[int, FrameType | None], object] | int | None


class Interrupt:
    """While entered, the first Ctrl-C or SIGTERM sets `requested`; a second one acts as it did before.

    Outside the main thread, where Python allows no handlers, nothing is caught.

    `passed_on`: a signal may come twice, since torchrun passes on what the terminal sends to each process too; a second
    one then does nothing, and who cannot wait ends torchrun, which kills after 30 seconds.
    """

    def __init__(self, passed_on: bool = False) -> None:
        self.requested, self.passed_on = False, passed_on
        self._previous: dict[int, Handler] = {}

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._request)
        return self

    def _request(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        if not self.passed_on:
            self._restore()

    def _restore(self) -> None:
        while self._previous:
            number, handler = self._previous.popitem()
            # None: the handler was not installed from Python and cannot be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def __exit__(self, *exception: object) -> None:
        self._restore()
