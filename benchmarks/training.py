"""Training for benchmarks: a recipe for so many minutes, in a run folder that the same command continues."""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path

from core.families.diffusion import DiffusionConfig
from core.families.family import Family
from core.runs.domain import Domain
from core.runs.model import CodecT, DataT, Item, Model
from core.runs.pretrained import build, load
from core.runs.recipe import Recipe
from core.runs.run import Run, train
from core.runtime import resolve_device
from core.training.log import Event, console
from core.training.loop import train as fit

PROBE = 24  # steps that tell a recipe's speed, the first third of which warms up


def seconds_a_step(domain: Domain[DataT, CodecT, Item], recipe: Recipe[DataT]) -> float:
    """How long an optimiser step of the recipe takes here, where every player steps."""
    prepared = domain.prepare(recipe.data)
    times: list[float] = []

    def note(event: Event) -> None:
        if "loss" in event:
            times.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as scratch:
        model = build(domain, recipe, prepared.codec, resolve_device())
        config = replace(recipe.train, steps=PROBE, log_every=1, checkpoint_every=PROBE)
        fit(model.family, prepared.train, config, Path(scratch), log=note)
    return (times[-1] - times[PROBE // 3]) / (len(times) - 1 - PROBE // 3)


def shortened(recipe: Recipe[DataT]) -> Recipe[DataT]:
    """The recipe for two steps of a few examples, sampled and judged in few: enough to see that a benchmark runs."""
    if isinstance(recipe.family, DiffusionConfig):
        recipe = replace(recipe, family=replace(recipe.family, likelihood_steps=1))
    sample = replace(recipe.sample, num_steps=None if recipe.sample.num_steps is None else 2)
    return replace(recipe, train=replace(recipe.train, steps=2, batch_size=4), sample=sample)


def trained(
    domain: Domain[DataT, CodecT, Item], recipe: Recipe[DataT], folder: Path, minutes: float | None = None
) -> tuple[Model[DataT, CodecT, Item], float]:
    """The recipe's model from `folder`, trained there if it is not yet, and the seconds that its training took.

    `minutes`: train so long, by the speed of a few steps, instead of for the recipe's own steps.
    """
    run = Run(folder)
    if run.recipe_file.exists():
        recipe = run.recipe(domain)
    elif minutes is not None:
        steps = max(2, round(60 * minutes / seconds_a_step(domain, recipe)))
        recipe = replace(recipe, train=replace(recipe.train, steps=steps))
    with console(f"{domain.name} {recipe.name}") as log:
        result = train(domain, recipe, run, log=log)
    return load(folder, domain), result.seconds


def parameter_count(family: Family) -> int:
    """Numbers that a family learns."""
    return sum(parameter.numel() for parameter in family.parameters())
