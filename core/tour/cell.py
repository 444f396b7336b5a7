"""One cell of the tour, in a process of its own: train, sample, evaluate."""

from __future__ import annotations

import time
from dataclasses import replace

from core.files import write_json
from core.runs import run as runs
from core.runs.domain import Domain
from core.runs.measures import measure_to_dict
from core.runs.model import CodecT, DataT, Item
from core.runs.pretrained import load
from core.runs.report import write_run_report
from core.runs.run import Run
from core.training.log import console


def run_cell(domain: Domain[DataT, CodecT, Item], recipe_name: str, run: Run, *, seed: int, device: str, scale: float,
             started: float) -> bool:
    """Train, sample and evaluate one cell into its run folder; cell.json is written last, and says it is complete.

    Args:
        scale: of the recipe's training steps.
        started: `time.perf_counter()` when the worker began, before its imports.

    Returns:
        False when interrupted: state is saved, the same call continues.
    """
    recipe = domain.recipe(recipe_name)
    steps = max(1, round(recipe.train.steps * scale))
    checkpoints = min(recipe.train.checkpoint_every, max(1, steps // 3))
    recipe = replace(recipe, seed=seed, train=replace(recipe.train, steps=steps, checkpoint_every=checkpoints))
    runs.may_hold(run, recipe, domain)
    prepared = domain.ready(recipe.data)
    prepared_at = time.perf_counter()
    with console(f"{domain.name} {recipe.name}") as log:
        result = runs.train(domain, recipe, run, device=device, log=log, prepared=prepared)
    if not result.finished:
        return False
    trained_at = time.perf_counter()
    model = load(run.folder, domain, device)
    measures = runs.evaluate(domain, run, seed=seed, model=model, prepared=prepared)
    write_run_report(domain, run)
    ended = time.perf_counter()
    # Training counts all its starts; the rest is of this process, which did all of it.
    seconds = (prepared_at - started) + result.seconds + (ended - trained_at)
    facts = {
        "domain": domain.name, "recipe": recipe.name, "seed": seed, "scale": scale, "steps": result.step,
        "seconds": round(seconds, 2), "train_seconds": round(result.seconds, 2),
        "evaluate_seconds": round(ended - trained_at, 2),
        "measures": [measure_to_dict(measure) for measure in measures],
        "shows": domain.shows, "commands": domain.next_commands(recipe, run.folder),
    }
    write_json(run.cell_file, facts)
    return True
