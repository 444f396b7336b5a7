"""What training tells: JSON lines and TensorBoard events in the run folder, and progress for a person.

An event is a JSON object. Measured steps hold

    {"step": 40, "steps": 1000, "seconds": 3.1, "examples_per_second": 1650.0, "learning_rate": 0.001,
     "loss": {"model": 1.25}, "terms": {"model": {"kl": 0.5}}, "grad_norm": {"model": 0.7}, "skipped": 0}

with one entry per player that stepped (its loss is the mean of the finite ones since the measured step before),
`seconds` of training in all (over interruptions too) and null for numbers that are not finite.
Validations hold {"step": 100, "steps": 1000, "validation": {"loss": 1.31}, "best_step": 100}: of the averaged weights,
on held-out examples ("distance" for a GAN), and the step of the best so far.
Remarks hold {"step": 41, "message": "..."}. In the file each has a checksum beside.
"""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from core.files import sealed, unsealed, write_atomically, writing
from core.serialization import Json

if TYPE_CHECKING:
    from rich.console import Console
    from torch.utils.tensorboard import SummaryWriter

Event = Json
Listener = Callable[[Event], None]

LOG = "log.jsonl"
logger = logging.getLogger(__name__)


def read_log(folder: Path) -> list[Event]:
    """The events of `folder/log.jsonl`, oldest first; what is damaged is left out, and a warning counts it."""
    events, damaged = _read(folder)
    if damaged:
        logger.warning(_lost(damaged))
    return events


def _read(folder: Path) -> tuple[list[Event], int]:
    """Events, and how many lines are damaged. A last line that was cut short by a crash counts as not written."""
    try:
        *lines, last = (folder / LOG).read_bytes().split(b"\n")
    except FileNotFoundError:
        return [], 0
    lines += [last] if _event(last) else []
    events = [event for line in lines if (event := _event(line)) is not None]
    return events, len(lines) - len(events)


def _lost(count: int) -> str:
    return f"{count} damaged {'line' if count == 1 else 'lines'} of {LOG} left out"


def _event(line: bytes) -> Event | None:
    """An event from its line; None where it is damaged, or none."""
    try:
        event = unsealed(json.loads(line))
    except (ValueError, AttributeError, RecursionError):
        return None
    shape: dict[str, type | tuple[type, ...]] = {"step": int, "seconds": (int, float), "loss": dict, "message": str}
    fits = all(isinstance(event[key], kind) for key, kind in shape.items() if key in event) and "step" in event
    values = event.get("loss", {}).values() if fits else ()
    return event if fits and all(value is None or isinstance(value, (int, float)) for value in values) else None


class RunLog:
    """Writes events to `folder/log.jsonl` and TensorBoard, and passes them to a listener.

    Opening it at `step` drops lines beyond that step, so that a resumed run's file reads as if it never stopped.
    """

    def __init__(self, folder: Path, step: int, listener: Listener | None, writes: bool = True) -> None:
        """`writes`: False in processes other than the first, which then neither write nor speak.

        Raises:
            FourfoldError: the folder cannot be written.
        """
        self.writes, self.listener = writes, listener
        self.path = folder / LOG
        if not writes:
            return
        with writing(self.path):
            events, damaged = _read(folder)
            kept = [event for event in events if 0 < event["step"] <= step]
            write_atomically(self.path, "".join(json.dumps(sealed(event)) + "\n" for event in kept).encode())
            self.stream = open(self.path, "a", encoding="utf-8")  # noqa: SIM115
        self.board = _board(folder, step)
        if damaged:
            self.write({"step": step, "message": _lost(damaged)})

    def write(self, event: Event) -> None:
        """Record one event.

        Raises:
            FourfoldError: the disk is full.
        """
        if not self.writes:
            return
        event = _plain(event)
        with writing(self.path):
            self.stream.write(json.dumps(sealed(event)) + "\n")
            self.stream.flush()
            if self.board is not None:
                for name, value in _flat(event):
                    self.board.add_scalar(name, value, event["step"])
        if self.listener is not None:
            try:
                self.listener(event)
            except OSError:  # whoever listened has gone, such as a pipe's reader: training goes on
                self.listener = None

    def flush(self) -> None:
        """Wait until the disk has all events: a checkpoint that follows is never ahead of them.

        Raises:
            FourfoldError: the disk is full.
        """
        if self.writes:
            with writing(self.path):
                os.fsync(self.stream.fileno())

    def close(self) -> None:
        """Close the files."""
        if self.writes:
            self.stream.close()
            if self.board is not None:
                self.board.close()


def _board(folder: Path, step: int) -> SummaryWriter | None:
    """A TensorBoard writer whose later events are hidden from `step` on, or None where it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    with writing(folder):
        return SummaryWriter(str(folder / "events"), purge_step=step + 1)


def _plain(value: Json) -> Json:
    """`value` with null in place of numbers that JSON does not know."""

    def known(item: object) -> object:
        if isinstance(item, dict):
            return _plain(item)
        return None if isinstance(item, float) and not math.isfinite(item) else item

    return {key: known(item) for key, item in value.items()}


def _flat(event: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, float]]:
    """The numbers of an event, named "loss/model", "terms/model/kl" ..."""
    for key, value in event.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}/")
        elif isinstance(value, (int, float)) and key not in ("step", "steps"):
            yield f"{prefix}{key}", float(value)


def summary(event: Event) -> str:
    """An event in a few words: losses and speed, or the message."""
    if "message" in event:
        return str(event["message"])
    if "validation" in event:
        return ", ".join(f"validation {name} {'not finite' if value is None else format(value, '.4g')}"
                         for name, value in event["validation"].items())
    losses = [f"{player} {'not finite' if value is None else format(value, '.4g')}"
              for player, value in event["loss"].items()]
    label = "loss" if len(losses) == 1 else "losses"
    text = ", ".join(losses) if len(losses) > 1 else losses[0].removeprefix("model ")
    return f"{label} {text} · {event['examples_per_second']:.0f} examples/s"


@contextmanager
def console(title: str = "training", seconds_between_lines: float = 5.0) -> Iterator[Listener]:
    """A listener that shows progress on standard error: a live bar on a terminal, else a line now and then."""
    from rich.console import Console

    terminal = Console(stderr=True)
    if terminal.is_terminal:
        with _bar(title, terminal) as listener:
            yield listener
        return
    last = -math.inf

    def line(event: Event) -> None:
        nonlocal last
        final = event["step"] == event.get("steps")
        if "message" in event or "validation" in event or final or time.monotonic() - last >= seconds_between_lines:
            last = time.monotonic()
            place = f"step {event['step']}" + (f"/{event['steps']}" if "steps" in event else "")
            terminal.print(f"{title} · {place} · {summary(event)}", highlight=False, markup=False, soft_wrap=True)

    yield line


@contextmanager
def _bar(title: str, terminal: Console) -> Iterator[Listener]:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(),
        TextColumn("{task.fields[summary]}", markup=False), TimeElapsedColumn(),
        TextColumn("left"), TimeRemainingColumn(),
    )
    progress = Progress(*columns, console=terminal)
    task, validated = progress.add_task(title, total=None, summary=""), ""
    try:
        def show(event: Event) -> None:
            nonlocal validated
            progress.start()  # not before: while data are prepared, `core.waiting` has the terminal
            if "message" in event:
                progress.console.print(summary(event), highlight=False, markup=False)
            elif "validation" in event:
                validated = f" · {summary(event)}"
            else:
                progress.update(task, completed=event["step"], total=event["steps"], summary=summary(event) + validated)

        yield show
    finally:
        progress.stop()
