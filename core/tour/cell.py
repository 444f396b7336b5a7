"""One cell of a tour or a comparison, in a process of its own: train, sample, evaluate."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import replace

from core.files import write_json
from core.runs import run as runs
from core.runs.domain import Domain
from core.runs.measures import Measure, measure_to_dict
from core.runs.model import CodecT, DataT, Item
from core.runs.pretrained import load
from core.runs.recipe import Recipe
from core.runs.report import write_run_report
from core.runs.run import Run
from core.serialization import Json
from core.tour.jobs import STARTED_BY
from core.tour.others import is_function, other_model
from core.training.log import console


def run_cell(domain: Domain[DataT, CodecT, Item], recipe: Recipe[DataT], run: Run, *, device: str, scale: float,
             started: float) -> bool:
    """Train, sample and evaluate one cell into its run folder; cell.json is written last, and says it is complete.

    Args:
        scale: of the recipe's training steps.
        started: `time.perf_counter()` when the worker began, before its imports.

    Returns:
        False when interrupted: state is saved, the same call continues.
    """
    steps = max(1, round(recipe.train.steps * scale))
    checkpoints = min(recipe.train.checkpoint_every, max(1, steps // 3))
    recipe = replace(recipe, train=replace(recipe.train, steps=steps, checkpoint_every=checkpoints))
    runs.may_hold(run, recipe, domain)
    prepared = domain.ready(recipe.data)
    prepared_at = time.perf_counter()
    with console(f"{domain.name} {recipe.name}") as log:
        result = runs.train(domain, recipe, run, device=device, log=log, prepared=prepared)
    if not result.finished:
        return False
    trained_at = time.perf_counter()
    model = load(run.folder, domain, device)
    measures = runs.evaluate(domain, run, seed=recipe.seed, model=model, prepared=prepared)
    write_run_report(domain, run)
    ended = time.perf_counter()
    # Training counts all its starts; the rest is of this process, which did all of it.
    seconds = (prepared_at - started) + result.seconds + (ended - trained_at)
    write_json(run.cell_file, _facts(domain, recipe, measures, domain.next_commands(recipe, run.folder)) | {
        "scale": scale, "minutes": recipe.train.minutes, "steps": result.step, "seconds": round(seconds, 2),
        "train_seconds": round(result.seconds, 2), "evaluate_seconds": round(ended - trained_at, 2),
        "core_seconds": round(time.process_time(), 2),
    })
    return True


def judge(domain: Domain[DataT, CodecT, Item], recipe: Recipe[DataT], run: Run, what: str, *, device: str,
          started: float) -> None:
    """Sample and evaluate what was not trained here, a run or a user's function, on the data of `recipe`; as `run_cell`
    into a folder."""
    prepared = domain.ready(recipe.data)
    model = other_model(domain, recipe, prepared, what, device)
    measures = runs.evaluate(domain, run, seed=recipe.seed, model=model, prepared=prepared)
    runs.keep_samples(domain, model, prepared, run)
    commands = [] if is_function(what, domain) else domain.next_commands(model.recipe, domain.find(what))
    write_json(run.cell_file, _facts(domain, model.recipe, measures, commands) | {
        "seconds": round(time.perf_counter() - started, 2), "train_seconds": 0.0})


def _facts(
    domain: Domain[DataT, CodecT, Item], recipe: Recipe[DataT], measures: Sequence[Measure], commands: Sequence[str]
) -> Json:
    return {
        "domain": domain.name, "recipe": recipe.name, "seed": recipe.seed,
        "measures": [measure_to_dict(measure) for measure in measures],
        "shows": domain.shows, "commands": list(commands),
    }


def stop_with_parent() -> None:
    """Save and stop when the tour that started this process is gone, however it ended: its next start is not to find
    the run folder in use. A cell that is started by hand goes on."""
    parent = os.environ.get(STARTED_BY, "")
    if not parent.isdigit() or sys.platform == "win32":  # where a process may have another between it and its parent
        return

    def watch() -> None:
        while os.getppid() == int(parent):
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
