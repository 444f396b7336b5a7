"""The tour: every domain times every family, trained, sampled and judged from scratch, into one report.

Each cell is a process of its own (`core.tour.cell`), so that one cell's failure is one cell's failure, and all cores
are busy. This module starts them and watches their logs; it needs no torch until the report is written.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, BinaryIO

from core.errors import FourfoldError, did_you_mean
from core.files import is_vacant, one_writer, read_json, remove_leftovers, write_atomically, write_json
from core.runs.measures import measure_from_dict, verdict
from core.runtime import cpu_count, environment
from core.serialization import Json

if TYPE_CHECKING:
    from rich.progress import TaskID

RECORD = "tour.json"
FAMILIES = {
    "vae": "decodes a random point of a latent space, learned together with the way there",
    "gan": "a generator, taught by a critic that tells its samples from data",
    "diffusion": "begins with noise, or with masks, and removes them step by step",
    "autoregressive": "one token after another, each drawn given those before it",
}
TRAIN_SECONDS, OTHER_SECONDS = 29.0, 7.0
"""What a cell spends on one core on training, and on all else, measured; `--minutes` scales the first."""


@dataclass
class Job:
    """One cell as the tour sees it: waiting, running (`process`), or done (`error` when it failed)."""

    domain: str
    family: str
    folder: Path
    process: subprocess.Popen[bytes] | None = None
    error: str | None = None
    began: float = 0.0
    log: BinaryIO | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        return f"{self.domain} {self.family}"

    def result(self) -> Json | None:
        """cell.json of a finished cell; None before that, and where it is damaged."""
        try:
            result = read_json(self.folder / "cell.json")
            for measure in result["measures"]:
                measure_from_dict(measure)
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
        path = self.folder.with_suffix(".log")
        lines = path.read_text(errors="replace").split("\n") if path.exists() else []
        return next((line.strip() for line in reversed(lines) if line.strip()), "no output")


def choose(given: str | None, known: Collection[str], option: str) -> list[str]:
    """A comma-separated option's names, in the order known; all when not given.

    Raises:
        FourfoldError: a name is unknown.
    """
    if given is None:
        return list(known)
    names = [name.strip() for name in given.split(",")]
    for name in names:
        if name not in known:
            raise FourfoldError(f"{option} has {name!r}: {did_you_mean(name, known)}")
    return [name for name in known if name in names]


def tour(
    domains: Sequence[str],
    families: Sequence[str],
    folder: Path,
    command: Callable[[str, str], list[str]],
    *,
    seed: int = 0,
    minutes: float | None = None,
    workers: int | None = None,
    fresh: bool = False,
) -> bool:
    """Run the cells, `workers` at a time, and write report.html and tour.json; whether every cell succeeded.

    Finished cells are kept, interrupted ones continue.

    Args:
        command: (domain, recipe) -> the start of a worker's command line.
        minutes: time to aim at; None trains as the recipes say.
        workers: cells at a time; by default one for each core, at most four.

    Raises:
        FourfoldError: the folder cannot be written or holds a tour of another seed or length.
    """
    cores = cpu_count()
    workers = workers or min(cores, 4)
    # Families are the outer loop so that cells side by side do not prepare the same data.
    jobs = [Job(domain, family, folder / domain / family) for family in families for domain in domains]
    scale = 1.0 if minutes is None else _scale(minutes, workers, len(jobs))
    if folder.exists() and not (folder / RECORD).exists() and (not folder.is_dir() or not is_vacant(folder)):
        raise FourfoldError(f"{folder} is not empty and not a tour: choose another folder with --run")
    with one_writer(folder):
        remove_leftovers(folder)
        spent = _may_hold(folder, seed, scale, fresh)
        _run(jobs, folder, command, seed, scale, spent, workers, cores)
    return all(job.error is None for job in jobs)


def _run(
    jobs: Sequence[Job], folder: Path, command: Callable[[str, str], list[str]], seed: int, scale: float,
    spent: float, workers: int, cores: int,
) -> None:
    """Run the cells that are not finished; tour.json and the report grow with each."""
    started = time.monotonic()

    def save() -> None:
        facts = {"seed": seed, "scale": scale, "minutes": round(spent + (time.monotonic() - started) / 60, 2)}
        finished = any(job.error is not None or job.result() is not None for job in jobs)
        machine = _report(jobs, folder, facts) if finished else {}
        write_json(folder / RECORD, {**facts, "cells": _cells(jobs), **machine})

    def start(job: Job) -> None:
        words = [*command(job.domain, f"tour-{job.family}"), "--run", str(job.folder), "--seed", str(seed),
                 "--scale", str(scale)]
        job.folder.parent.mkdir(parents=True, exist_ok=True)
        job.log = open(job.folder.with_suffix(".log"), "wb")  # noqa: SIM115 (closed when the process has ended)
        job.began = time.monotonic()
        # A session of its own: Ctrl-C reaches this process only, which asks each worker once to save and stop.
        job.process = subprocess.Popen(words, stdout=job.log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                       env=_environment(max(1, cores // workers)), start_new_session=True)

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


def _scale(minutes: float, workers: int, cells: int) -> float:
    """The factor on training steps with which `cells` take about `minutes`."""
    if not 0 < minutes < float("inf"):
        raise FourfoldError(f"--minutes is {minutes}: must be above 0")
    each = minutes * 60 * workers / cells
    return round(max(0.02, (each - OTHER_SECONDS) / TRAIN_SECONDS), 3)


def _may_hold(folder: Path, seed: int, scale: float, fresh: bool) -> float:
    """Check that `folder`, a tour or empty, may hold this one; returns the minutes it has already taken."""
    record = folder / RECORD
    if not record.exists():
        write_json(record, {"seed": seed, "scale": scale, "minutes": 0.0, "cells": {}})
        return 0.0
    try:
        old = read_json(record)
        before = {"seed": old["seed"], "scale": old["scale"]}
        spent = float(old["minutes"])
    except (FourfoldError, ValueError, KeyError, TypeError):
        if not fresh:
            raise FourfoldError(f"{record} is damaged: start again with --fresh") from None
        before, spent = {}, 0.0
    if fresh:
        _remove_cells(folder)
        return 0.0
    if before != {"seed": seed, "scale": scale}:
        old_words = f"--seed {before['seed']}, {before['scale']:g} times the training"
        raise FourfoldError(f"{folder} holds a tour of {old_words}, not --seed {seed}, {scale:g} times: "
                            "start it again with --fresh, or choose another folder with --run")
    return spent


def _remove_cells(folder: Path) -> None:
    """Remove the cells of a tour; each says that it is one by its recipe.json."""
    from core.runs.run import Run, clear

    for path in folder.glob("*/*/recipe.json"):
        clear(Run(path.parent))


def _environment(threads: int) -> dict[str, str]:
    """A worker's environment: its share of the cores, and this package first on its path."""
    import core

    root = str(Path(next(iter(core.__path__))).parent)
    inherited = os.environ.get("PYTHONPATH")
    count = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    path = root if not inherited else f"{root}{os.pathsep}{inherited}"
    # "1" is python's -P: a folder called core or apps where the user stands is not ours.
    return {**os.environ, **count, "PYTHONPATH": path, "PYTHONSAFEPATH": "1"}


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
    row = _row(result)
    against = "" if row["baseline"] is None else f" · {row['baseline_name'] or 'baseline'} {row['baseline']:.4g}"
    measures = [measure_from_dict(measure) for measure in result["measures"]]
    # What the headline says, and of the others what is suspicious.
    said = [words for measure in measures[:1] if (words := verdict(measure).words)]
    said += [f"{measure.name}: {verdict(measure).words}" for measure in measures[1:]
             if measure.too_close or measure.copied or measure.overfitted]
    sign = "✓" if row["beats_baseline"] is not False and not any(measure.copied for measure in measures) else "·"
    value = "not finite" if row["value"] is None else f"{row['value']:.4g}"
    parts = [f"{sign} {job.name:24} {row['measure']} {value}{against}", *said, f"{row['seconds']:.0f} s"]
    return " · ".join(parts)


def _row(result: Json) -> Json:
    """A cell's headline: its first measure, flat."""
    head = result["measures"][0] if result["measures"] else {}
    keys = ("value", "baseline", "baseline_name", "floor", "interval", "kind", "count", "better", "beats_baseline")
    return {"measure": head.get("name", "none"), **{key: head.get(key) for key in keys},
            "seconds": result["seconds"], "train_seconds": result["train_seconds"]}


def _cells(jobs: Sequence[Job]) -> dict[str, Json]:
    """tour.json's cells: domain -> family -> headline, or {"error": why}; cells that have not run are left out."""
    cells: dict[str, Json] = {}
    for job in jobs:
        result = job.result()
        if result is not None:
            cells.setdefault(job.domain, {})[job.family] = {**_row(result), "measures": result["measures"]}
        elif job.error is not None:
            cells.setdefault(job.domain, {})[job.family] = {"error": job.error}
    return cells


def _report(jobs: Sequence[Job], folder: Path, record: Json) -> Json:
    """Write the wall of results so far; returns the environment, as tour.json has it."""
    from core.runs.report import charts, run_media
    from core.runs.run import Run, load_measures
    from core.tour.wall import Cell, wall
    from core.training.log import read_log

    cells, shows = [], {}
    for job in jobs:
        result, run, place = job.result(), Run(job.folder), f"{job.domain}/{job.family}"
        if result is None:
            cells.append(Cell(column=job.domain, row=job.family, error=job.error, waiting=job.error is None))
            continue
        shows[job.domain] = str(result.get("shows", ""))
        cells.append(Cell(
            column=job.domain, row=job.family, seconds=result["seconds"], measures=load_measures(run),
            media=run_media(run), charts=charts(read_log(run.folder), width=270, height=120)[-1:],
            links={"its report": f"{place}/report.html", "its folder": f"{place}/"},
            commands=[str(command) for command in result.get("commands", [])],
        ))
    facts = {**environment(), "seed": record["seed"], "minutes": record["minutes"], "date": date.today().isoformat()}
    words = "Every model was trained from scratch on this machine, then sampled and measured."
    page = wall("Fourfold: the tour", words, cells, facts, columns=shows, rows=FAMILIES)
    write_atomically(folder / "report.html", page.encode())
    return {"environment": facts}
