"""Every wait speaks: what takes more than five seconds tells on standard error what it is, how far, how long yet.

    with waiting("reading pictures", len(files)) as wait:
        for number, file in enumerate(files, 1):
            ...
            wait.step(number)

On a terminal there is a bar with a rate and the time left, elsewhere a line every ten seconds. A thread speaks, so that
a single long call is no silence either. Waits may lie in each other: the terminal shows them all, a line is of the
innermost. Nobody is told by processes that torchrun started beside the first one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

from core.runtime import first_process

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID

T = TypeVar("T")

QUIET = 5.0
"""Seconds of which nothing is said."""
BETWEEN = 10.0
"""Seconds between lines where there is no terminal."""


class Wait:
    """Work that takes a while, of which `done` of `total` parts are done; a `total` of 0 is not known."""

    def __init__(self, what: str, total: int = 0) -> None:
        self.what, self.total, self.done = what, total, 0
        self.started = time.monotonic()
        self._before = 0

    def step(self, done: int, total: int | None = None) -> None:
        """So many parts are done, of so many where that is news."""
        self.done = done
        if total is not None:
            self.total = total

    def skip(self, done: int) -> None:
        """So many parts were done before: they do not count for the rate."""
        self.done = self._before = done

    @property
    def rate(self) -> float:
        """Parts a second since it began."""
        return (self.done - self._before) / max(1e-9, time.monotonic() - self.started)

    @property
    def line(self) -> str:
        """All of it in a line."""
        if self.total <= 1:
            return f"{self.what}: {_spoken(time.monotonic() - self.started)} so far"
        speed = f"{self.rate:,.0f} a second" if self.rate >= 1 else f"{_spoken(1 / max(1e-9, self.rate))} each"
        left = f", {speed}, {_spoken((self.total - self.done) / self.rate)} left" if self.rate else ""
        return f"{self.what}: {self.done:,} of {self.total:,}{left}"


def _spoken(seconds: float) -> str:
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.{int(seconds < 10 * size)}f} {unit}"
    return f"{seconds:.{int(seconds < 2)}f} s"


_waits: list[Wait] = []
"""Those that are on, the outermost first."""


@contextmanager
def waiting(what: str, total: int = 0) -> Iterator[Wait]:
    """What takes a while: "reading pictures", of so many parts (0: that is not known)."""
    wait, ended = Wait(what, total), threading.Event()
    speaker = None
    if not _waits and first_process():
        speaker = threading.Thread(target=_speak, args=(ended,), daemon=True)
        speaker.start()
    _waits.append(wait)
    try:
        yield wait
    finally:
        _waits.remove(wait)
        if speaker is not None:
            ended.set()
            speaker.join()


def followed(items: Iterable[T], what: str) -> Iterator[T]:
    """The items, one after the other, as a wait."""
    with waiting(what, len(items) if isinstance(items, Sized) else 0) as wait:
        for number, item in enumerate(items, 1):
            yield item
            wait.step(number)


def _speak(ended: threading.Event) -> None:
    """Speak of the waits that are on until they have ended."""
    if ended.wait(QUIET):
        return
    from rich.console import Console

    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    with suppress(OSError, ValueError):  # nobody reads any more
        if console.is_terminal:
            _show(console, ended)
            return
        while True:
            if on := _lasting():
                console.print(on[-1].line)
            if ended.wait(BETWEEN):
                return


def _lasting() -> list[Wait]:
    """The waits that have been on for a while; the outermost at least."""
    now = time.monotonic()
    return [wait for place, wait in enumerate(list(_waits)) if place == 0 or now - wait.started > 1]


def _show(console: Console, ended: threading.Event) -> None:
    """A bar for each wait."""
    from rich.errors import LiveError
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(bar_width=24))
    with suppress(LiveError), Progress(*columns, console=console, auto_refresh=False, transient=True,
                                       redirect_stdout=False) as bars:
        shown: dict[Wait, TaskID] = {}
        while not ended.wait(0.25):
            on = _lasting()
            for wait in on:
                if wait not in shown:
                    shown[wait] = bars.add_task(wait.line, total=None)
                bars.update(shown[wait], description=wait.line, completed=wait.done, total=wait.total or None)
            for wait in shown.keys() - set(on):
                bars.remove_task(shown.pop(wait))
            bars.refresh()
