"""What training a recipe costs on this machine, from steps that were measured here; else as its author measured it."""

from __future__ import annotations

import inspect
import re
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from core.data.arrays import ArrayData
from core.data.cache import content_hash
from core.data.sources import cache_folder
from core.errors import FourfoldError
from core.files import read_json, write_json
from core.runs.recipe import Recipe
from core.runtime import cpu_name
from core.serialization import Json

STEPS = 16
WORDS = {"half a": 0.5, "a": 1.0, "one": 1.0, "two": 2.0}
TOLD = re.compile(r"(\d+(?:\.\d+)?|\b(?:half a|a|one|two)) (minutes?|s|seconds|hours?)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Minutes:
    """`value`: minutes of training, None where nobody knows; `measured`: on this machine, by its own steps."""

    value: float | None
    measured: bool

    @property
    def told(self) -> str:
        """As a person reads it; "~" stands before what was measured elsewhere."""
        if self.value is None:
            return ""
        return f"{'' if self.measured else '~'}{self.value:.{0 if self.value >= 10 else 1}f}"


def minutes(make: Callable[[], Recipe[Any]]) -> Minutes:
    """What is known of a named recipe; its docstring tells what its author measured."""
    recipe = make()
    if recipe.train.minutes is not None:
        return Minutes(recipe.train.minutes, True)
    seconds = _known().get(_key(recipe))
    if isinstance(seconds, (int, float)):
        return Minutes(seconds * recipe.train.steps / 60, True)
    found = TOLD.search((inspect.getdoc(make) or "").rpartition("`")[2])
    if found is None:
        return Minutes(None, False)
    number, unit = found.groups()
    value = WORDS.get(number.lower()) or float(number)
    return Minutes(value * {"s": 1 / 60, "h": 60.0, "m": 1.0}[unit[0].lower()], False)


def remember(recipe: Recipe[Any], seconds: float) -> None:
    """Keep what a step of a recipe takes on this machine."""
    with suppress(FourfoldError):  # a cache that cannot be written makes nothing worse
        write_json(_file(), {**_known(), _key(recipe): round(seconds, 6)})


def measure(recipe: Recipe[Any], family: Any, data: ArrayData, device: Any) -> float:
    """Seconds that a step takes, from a few of them; kept for `minutes`.

    Args:
        family: an untrained one, whose weights change.
    """
    from core.training.loop import train

    config = replace(recipe.train, steps=STEPS, minutes=None, validations=0, log_every=1,
                     checkpoint_every=STEPS, compile=False)
    seen: list[float] = []

    def listen(event: Json) -> None:
        if "seconds" in event:
            seen.append(float(event["seconds"]))

    with tempfile.TemporaryDirectory() as folder:
        train(family, data, config, Path(folder), seed=recipe.seed, device=device, log=listen)
    steps = sorted(b - a for a, b in zip(seen, seen[1:], strict=False))  # the first step warms up
    # Parts of training (a quantiser, then its codes) take different times: their mean, without the slowest of all.
    seconds = sum(steps[:-1]) / max(1, len(steps) - 1)
    remember(recipe, seconds)
    return seconds


def peak_memory() -> int:
    """Bytes of memory that this process has taken at most; 0 where the system does not say."""
    if sys.platform == "win32":
        return 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _file() -> Path:
    return cache_folder() / "seconds-a-step.json"


def _known() -> Json:
    try:
        return read_json(_file())
    except FourfoldError:
        return {}


def _key(recipe: Recipe[Any]) -> str:
    """A name for what decides how long a step takes: sizes, data, batch, and the machine."""
    train = recipe.train
    return content_hash(recipe.domain, recipe.family, recipe.data, train.batch_size, train.accumulation,
                        train.precision, train.optimizer, cpu_name())
