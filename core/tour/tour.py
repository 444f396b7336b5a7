"""The tour: every domain times every family, trained, sampled and judged from scratch, into one report.

Each cell is a process of its own (`core.tour.jobs`), so all cores are busy. This module needs no torch until the report
is written.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from datetime import date
from pathlib import Path

from core.errors import FourfoldError, did_you_mean
from core.files import one_writer, read_json, remove_leftovers, write_atomically, write_json
from core.runtime import environment
from core.serialization import Json
from core.tour.jobs import Job, card, headline, refuse_foreign, run_jobs, usual_workers

RECORD = "tour.json"
FAMILIES = {
    "vae": "decodes a random point of a latent space, learned together with the way there",
    "gan": "a generator, taught by a critic that tells its samples from data",
    "diffusion": "begins with noise, or with masks, and removes them step by step",
    "autoregressive": "one token after another, each drawn given those before it",
}
TRAIN_SECONDS, OTHER_SECONDS = 29.0, 7.0
"""What a cell spends on one core on training, and on all else, measured; `--minutes` scales the first."""


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
    workers = workers or usual_workers()
    scale = 1.0 if minutes is None else _scale(minutes, workers, len(domains) * len(families))

    def cell(domain: str, family: str) -> Job:
        own = folder / domain / family
        return Job(domain, family, own, lambda: [
            *command(domain, f"tour-{family}"), "--run", str(own), "--seed", str(seed), "--scale", str(scale)])

    # Families are the outer loop so that cells side by side do not prepare the same data.
    jobs = [cell(domain, family) for family in families for domain in domains]
    refuse_foreign(folder, RECORD, "a tour")
    with one_writer(folder):
        remove_leftovers(folder)
        spent = _may_hold(folder, seed, scale, fresh)
        _run(jobs, folder, seed, scale, spent, workers)
    return all(job.error is None for job in jobs)


def _run(jobs: Sequence[Job], folder: Path, seed: int, scale: float, spent: float, workers: int) -> None:
    """Run the cells that are not finished; tour.json and the report grow with each."""
    started = time.monotonic()

    def save() -> None:
        facts = {"seed": seed, "scale": scale, "minutes": round(spent + (time.monotonic() - started) / 60, 2)}
        finished = any(job.error is not None or job.result() is not None for job in jobs)
        machine = _report(jobs, folder, facts) if finished else {}
        write_json(folder / RECORD, {**facts, "cells": _cells(jobs), **machine})

    run_jobs(jobs, workers, save)


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


def _cells(jobs: Sequence[Job]) -> dict[str, Json]:
    """tour.json's cells: domain -> family -> headline, or {"error": why}; cells that have not run are left out."""
    cells: dict[str, Json] = {}
    for job in jobs:
        result = job.result()
        if result is not None:
            cells.setdefault(job.domain, {})[job.family] = {**headline(result), "measures": result["measures"]}
        elif job.error is not None:
            cells.setdefault(job.domain, {})[job.family] = {"error": job.error}
    return cells


def _report(jobs: Sequence[Job], folder: Path, record: Json) -> Json:
    """Write the wall of results so far; returns the environment, as tour.json has it."""
    from core.tour.wall import wall

    cells = [card(job, folder, job.domain, job.family) for job in jobs]
    shows = {job.domain: str(result.get("shows", "")) for job in jobs if (result := job.result()) is not None}
    facts = {**environment(), "seed": record["seed"], "minutes": record["minutes"], "date": date.today().isoformat()}
    words = "Every model was trained from scratch on this machine, then sampled and measured."
    page = wall("Fourfold: the tour", words, cells, facts, columns=shows, rows=FAMILIES)
    write_atomically(folder / "report.html", page.encode())
    return {"environment": facts}
