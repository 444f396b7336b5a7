"""Cells side by side: each a process of its own, so that one cell's failure is one cell's failure.

A cell trains, samples and judges into its folder (`core.tour.cell`); cell.json there says that it is complete. This
module starts cells and watches their logs; it needs no torch until there is a card to draw.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, BinaryIO

from core.errors import FourfoldError
from core.files import is_vacant, read_json
from core.runs.measures import Measure, measure_from_dict, verdict
from core.runtime import cpu_count
from core.serialization import Json

if TYPE_CHECKING:
    from rich.progress import TaskID

    from core.tour.wall import Cell

STARTED_BY = "FOURFOLD_STARTED_BY"
"""The environment variable that tells a cell which process started it."""
MOST = 4
"""Cells that run at a time unless told otherwise, at most; each has a core at least."""


@dataclass
class Job:
    """One cell: waiting, running (`process`), or done (`error` when it failed).

    Attributes:
        domain, family: what it is of; of what is no family, any other name.
        command: -> the command line of its process; asked when that starts.
    """

    domain: str
    family: str
    folder: Path
    command: Callable[[], list[str]] = field(repr=False)
    process: subprocess.Popen[bytes] | None = None
    error: str | None = None
    log: BinaryIO | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        return f"{self.domain} {self.family}"

    @property
    def output(self) -> Path:
        """What its process printed."""
        return self.folder.with_name(f"{self.folder.name}.log")

    def result(self) -> Json | None:
        """cell.json of a finished cell; None before that, and where it is damaged."""
        try:
            result = read_json(self.folder / "cell.json")
            measures_of(result)
            return {**result, "seconds": float(result["seconds"]), "train_seconds": float(result["train_seconds"])}
        except (FourfoldError, LookupError, TypeError, ValueError):
            return None

    def last_event(self) -> Json:
        """The last complete event of its training log."""
        try:
            with open(self.folder / "log.jsonl", "rb") as stream:
                stream.seek(max(0, os.fstat(stream.fileno()).st_size - 4096))
                lines = stream.read().splitlines()
        except OSError:
            return {}
        for line in reversed(lines):
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict) and "loss" in event:
                return event
        return {}

    def last_words(self) -> str:
        """The last line its process printed: why it failed."""
        lines = self.output.read_text(errors="replace").split("\n") if self.output.exists() else []
        return next((line.strip() for line in reversed(lines) if line.strip()), "no output")


def refuse_foreign(folder: Path, record: str, what: str) -> None:
    """Raise a `FourfoldError` where a folder holds something, but not the file that says that it is `what`."""
    if folder.exists() and not (folder / record).exists() and (not folder.is_dir() or not is_vacant(folder)):
        raise FourfoldError(f"{folder} is not empty and not {what}: choose another folder with --run")


def usual_workers() -> int:
    """Cells at a time unless told otherwise."""
    return min(cpu_count(), MOST)


def run_jobs(jobs: Sequence[Job], workers: int, save: Callable[[], None]) -> None:
    """Run the cells that are not finished, `workers` at a time; `save` is called at first, after each, and at last."""
    threads = max(1, cpu_count() // workers)

    def start(job: Job) -> None:
        words = job.command()
        job.folder.parent.mkdir(parents=True, exist_ok=True)
        job.log = open(job.output, "wb")  # noqa: SIM115 (closed when the process has ended)
        # A session of its own: Ctrl-C reaches this process only, which asks each worker once to save and stop.
        job.process = subprocess.Popen(words, stdout=job.log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                       env=_environment(threads), start_new_session=True)

    save()
    with _terminate_as_interrupt():
        try:
            _watch(jobs, workers, start, save)
        except KeyboardInterrupt:
            print("stopping; the same command continues", file=sys.stderr)
            raise
        finally:
            _stop(jobs)
            save()


def _environment(threads: int) -> dict[str, str]:
    """A worker's environment: its share of the cores, and this package first on its path."""
    import core

    root = str(Path(next(iter(core.__path__))).parent)
    inherited = os.environ.get("PYTHONPATH")
    count = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    path = root if not inherited else f"{root}{os.pathsep}{inherited}"
    # "1" is python's -P: a folder called core or apps where the user stands is not ours.
    return {**os.environ, **count, "PYTHONPATH": path, "PYTHONSAFEPATH": "1", STARTED_BY: str(os.getpid())}


def _watch(jobs: Sequence[Job], workers: int, start: Callable[[Job], None], save: Callable[[], None]) -> None:
    """Keep `workers` cells running until none waits, showing progress."""
    waiting = [job for job in jobs if job.result() is None]
    running: list[Job] = []
    with _progress(len(jobs)) as progress:
        for job in jobs:
            if job not in waiting:
                progress.finished(job)
        while waiting or running:
            while waiting and len(running) < workers:
                job = waiting.pop(0)
                start(job)
                running.append(job)
                progress.started(job)
            time.sleep(0.2)
            for job in list(running):
                assert job.process is not None and job.log is not None
                if job.process.poll() is None:
                    progress.update(job)
                    continue
                running.remove(job)
                job.log.close()
                if job.result() is None:
                    job.error = f"exit code {job.process.returncode}: {job.last_words()}"
                progress.finished(job)
                save()


def _stop(jobs: Sequence[Job]) -> None:
    """Ask running workers to save and stop; end those that do not within half a minute."""
    alive = [job.process for job in jobs if job.process is not None and job.process.poll() is None]
    for process in alive:
        process.terminate()
    deadline = time.monotonic() + 30
    for process in alive:
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class _terminate_as_interrupt:
    """While entered, SIGTERM is a KeyboardInterrupt, so that workers are stopped either way."""

    def __enter__(self) -> None:
        def interrupt(number: int, frame: FrameType | None) -> None:
            raise KeyboardInterrupt

        self.stack = ExitStack()
        try:
            previous = signal.signal(signal.SIGTERM, interrupt)
            self.stack.callback(signal.signal, signal.SIGTERM, previous)
        except ValueError:  # not the main thread: there is no signal to take
            pass

    def __exit__(self, *error: object) -> None:
        self.stack.close()


class _progress:
    """Cells on the terminal: a bar for each that runs; a line for each that ends, anywhere."""

    def __init__(self, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self.console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
        columns = (TextColumn("{task.description:24}", markup=False), BarColumn(), TimeElapsedColumn(),
                   TextColumn("{task.fields[note]}", markup=False))
        self.bars = Progress(*columns, console=self.console, disable=not self.console.is_terminal)
        self.tasks: dict[str, TaskID] = {}
        self.all = self.bars.add_task("all cells", total=total, note="")

    def __enter__(self) -> _progress:
        self.bars.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.bars.stop()

    def started(self, job: Job) -> None:
        """A cell's process has begun."""
        self.tasks[job.name] = self.bars.add_task(job.name, total=None, note="preparing")

    def update(self, job: Job) -> None:
        """Show how far a cell is."""
        event = job.last_event()
        if event:
            losses = ", ".join("nan" if v is None else f"{v:.4g}" for v in event["loss"].values())
            words = "evaluating" if event["step"] >= event["steps"] else f"loss {losses}"
            self.bars.update(self.tasks[job.name], completed=event["step"], total=event["steps"], note=words)

    def finished(self, job: Job) -> None:
        """Print a cell's result."""
        if job.name in self.tasks:
            self.bars.remove_task(self.tasks[job.name])
        self.bars.advance(self.all)
        self.console.print(_line(job))


def _line(job: Job) -> str:
    """A cell's result in a line."""
    result = job.result()
    if result is None:
        return f"✗ {job.name:24} failed: {job.error}"
    row = headline(result)
    against = "" if row["baseline"] is None else f" · {row['baseline_name'] or 'baseline'} {row['baseline']:.4g}"
    measures = measures_of(result)
    # What the headline says, and of the others what is suspicious.
    said = [words for measure in measures[:1] if (words := verdict(measure).words)]
    said += [f"{measure.name}: {verdict(measure).words}" for measure in measures[1:]
             if measure.too_close or measure.copied or measure.overfitted]
    sign = "✓" if row["beats_baseline"] is not False and not any(measure.copied for measure in measures) else "·"
    value = "not finite" if row["value"] is None else f"{row['value']:.4g}"
    parts = [f"{sign} {job.name:24} {row['measure']} {value}{against}", *said, f"{row['seconds']:.0f} s"]
    return " · ".join(parts)


def measures_of(result: Json) -> list[Measure]:
    """What a cell measured."""
    return [measure_from_dict(measure) for measure in result["measures"]]


def headline(result: Json) -> Json:
    """A cell's headline: its first measure, flat."""
    head = result["measures"][0] if result["measures"] else {}
    keys = ("value", "baseline", "baseline_name", "floor", "interval", "kind", "count", "better", "beats_baseline")
    return {"measure": head.get("name", "none"), **{key: head.get(key) for key in keys},
            "seconds": result["seconds"], "train_seconds": result["train_seconds"]}


def card(job: Job, home: Path, column: str, row: str) -> Cell:
    """A job on a wall that lies in `home`."""
    from core.runs.report import charts, run_media
    from core.runs.run import Run
    from core.tour.wall import Cell
    from core.training.log import read_log

    result, run, place = job.result(), Run(job.folder), job.folder.relative_to(home).as_posix()
    if result is None:
        return Cell(column=column, row=row, error=job.error, waiting=job.error is None)
    reports = {"its report": f"{place}/report.html"} if run.report.is_file() else {}
    return Cell(
        column=column, row=row, seconds=result["seconds"], measures=measures_of(result), media=run_media(run),
        charts=charts(read_log(run.folder), width=270, height=120)[-1:], links={**reports, "its folder": f"{place}/"},
        commands=[str(command) for command in result.get("commands", [])],
    )
