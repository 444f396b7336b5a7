"""A run is a folder: what is in it, and what is done with it (train, evaluate), the same for every domain.

recipe.json    what was asked for; `train` resumes only what it describes
model/         weights, config.json, codec and model card: what `core.pretrained.load` reads
state/         checkpoints to resume from;  log.jsonl, events/: the training curve
samples/       a few samples;  metrics.json: what `evaluate` measured;  report.html: all of it to look at
"""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from core.data.arrays import ArrayData
from core.runs.domain import Domain, Prepared
from core.runs.measures import Measure
from core.runs.media import Media
from core.errors import FourfoldError
from core.files import read_json
from core.runs.model import Model
from core.runs.pretrained import CARD, build, load, model_card, model_folder, save_description
from core.runs.recipe import Recipe, recipe_from_dict, recipe_to_json
from core.serialization import to_dict
from core.runtime import environment, resolve_device
from core.files import write_atomically, writing
from core.training.checkpoint import load_weights
from core.training.distributed import barrier, connect
from core.training.log import LOG, Listener
from core.training.loop import TrainResult
from core.training.loop import train as fit

PREVIEW = 16
"""Samples that a run keeps to look at."""


@dataclass(frozen=True)
class Run:
    """The files of a run folder."""

    folder: Path

    @property
    def recipe_file(self) -> Path:
        return self.folder / "recipe.json"

    @property
    def model(self) -> Path:
        return self.folder / "model"

    @property
    def samples(self) -> Path:
        return self.folder / "samples"

    @property
    def metrics_file(self) -> Path:
        return self.folder / "metrics.json"

    @property
    def cell_file(self) -> Path:
        return self.folder / "cell.json"

    @property
    def report(self) -> Path:
        return self.folder / "report.html"

    def recipe(self, domain: Domain) -> Recipe:
        """The recipe this run was started with.

        Raises:
            FourfoldError: there is none, it is damaged, or of another domain.
        """
        if not self.recipe_file.is_file():
            what = "is not a run (it has no recipe.json)" if self.folder.exists() else "does not exist"
            raise FourfoldError(f"{self.folder} {what}: give a folder that `train` wrote")
        return read_recipe(self.recipe_file, domain)


def read_recipe(path: Path, domain: Domain) -> Recipe:
    """A recipe from a JSON file, checked against its domain.

    Raises:
        FourfoldError: the file is missing or damaged, a key is unknown or refused, or the domain is another.
    """
    try:
        recipe = recipe_from_dict(read_json(path), domain.data_type)
    except FourfoldError as error:
        raise error if str(path) in str(error) else FourfoldError(f"{path}: {error}") from error
    if recipe.domain != domain.name:
        raise FourfoldError(f"{path} is a recipe of the domain {recipe.domain!r}, not {domain.name!r}")
    return recipe


def differences(old: Any, new: Any, key: str = "") -> list[str]:
    """Where two recipes (as `to_dict` gives them) differ: lines "train.steps: 500 -> 1000"."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        names = [*old, *(name for name in new if name not in old)]
        prefix = f"{key}." if key else ""
        return [
            line for name in names if name != "kind" or old.get(name) != new.get(name)
            for line in differences(old.get(name), new.get(name), f"{prefix}{name}")
        ]
    return [] if _plain(old) == _plain(new) else [f"{key}: {json.dumps(old)} -> {json.dumps(new)}"]


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value))


def claim(run: Run, recipe: Recipe, domain: Domain, *, fresh: bool = False) -> bool:
    """Check that the folder may hold this recipe; returns whether it already does. Nothing is written.

    Raises:
        FourfoldError: it is a file, holds something else, or another recipe (the difference is listed).
    """
    if fresh or not run.folder.exists():
        return False
    if not run.folder.is_dir():
        raise FourfoldError(f"{run.folder} is a file: give a folder with --run")
    if not run.recipe_file.exists():
        if any(run.folder.iterdir()):
            raise FourfoldError(f"{run.folder} is not empty and not a run: choose another folder with --run")
        return False
    changed = differences(to_dict(run.recipe(domain)), to_dict(recipe))
    if changed:
        raise FourfoldError(f"{run.folder} holds another recipe ({'; '.join(changed)}): start it again with --fresh, "
                            "or choose another folder with --run")
    return True


def clear(run: Run) -> None:
    """Remove what a run writes, and nothing else, from its folder.

    Raises:
        FourfoldError: the folder is not a run, or cannot be written.
    """
    if not run.folder.exists():
        return
    if not run.folder.is_dir() or (any(run.folder.iterdir()) and not run.recipe_file.exists()):
        raise FourfoldError(f"{run.folder} is not a run, so --fresh leaves it alone: choose another folder with --run")
    with writing(run.folder):
        # recipe.json goes last: it says that the rest is ours to remove.
        for name in ("model", "state", "samples", "events"):
            shutil.rmtree(run.folder / name, ignore_errors=True)
        for path in (run.folder / LOG, run.metrics_file, run.report, run.cell_file, run.recipe_file):
            path.unlink(missing_ok=True)


def train(
    domain: Domain,
    recipe: Recipe,
    run: Run,
    *,
    device: str = "auto",
    fresh: bool = False,
    log: Listener | None = None,
    prepared: Prepared | None = None,
) -> TrainResult:
    """Train the recipe in a run folder, or go on with it, and keep a few samples.

    Raises:
        FourfoldError: bad data, another recipe in the folder, a folder that cannot be written.
    """
    claim(run, recipe, domain, fresh=fresh)
    place = resolve_device(device)
    prepared = prepared or domain.prepare(recipe.data)
    for name, split in (("training", prepared.train), ("test", prepared.test)):
        if len(split) == 0:
            raise FourfoldError(f"the data leave no {name} examples: give more of them")
    model = build(domain, recipe, prepared.codec, place)
    model.settings()  # refuses sample settings the family does not take before an hour of training, not after
    if recipe.start is not None:
        load_weights(model_folder(Path(recipe.start)), model.family)
    world, place = connect(place)
    if world.writes:
        if fresh:
            clear(run)
        write_atomically(run.recipe_file, (recipe_to_json(recipe) + "\n").encode())
        save_description(model, run.model)
    barrier(world)  # nobody looks for a checkpoint before an old one is gone
    result = fit(model.family, prepared.train, recipe.train, run.folder, seed=recipe.seed, device=place, log=log)
    if result.finished and world.writes and not run.samples.exists():
        keep_samples(load(run.folder, domain, device), prepared, run)
    return result


def test_conditions(data: ArrayData, n: int) -> dict[str, Tensor] | None:
    """Conditions of `n` examples `[n, ...]` by name, around again when there are fewer; None where data have none."""
    return dict(data.batch(np.arange(n) % len(data)).condition) or None


def preview_items(model: Model, prepared: Prepared, n: int = PREVIEW, seed: int = 0) -> list[Any]:
    """A few samples; a conditional model's are drawn for the first conditions of the test split."""
    condition = test_conditions(prepared.test, n) if model.domain.draw is None else None
    return model.sample(n, seed=seed, condition=condition)


def keep_samples(model: Model, prepared: Prepared, run: Run) -> list[Media]:
    """Write a few samples into the run's samples/ as files, and as media for reports."""
    items = preview_items(model, prepared, seed=model.recipe.seed)
    with writing(run.samples):
        shutil.rmtree(run.samples, ignore_errors=True)
        run.samples.mkdir(parents=True)
        model.domain.write(items, run.samples)
    media = model.domain.preview(items)
    save_media(media, run.samples / "preview")
    return media


def evaluate(
    domain: Domain, run: Run, *, n: int | None = None, seed: int = 0, device: str = "auto",
    model: Model | None = None, prepared: Prepared | None = None,
) -> list[Measure]:
    """Measure the run's model and keep the result in metrics.json and the model card.

    Raises:
        FourfoldError: no trained model, or its data are missing.
    """
    started = time.perf_counter()
    model = model or load(run.folder, domain, device)
    prepared = prepared or domain.prepare(model.recipe.data)
    measures = domain.evaluate(model, prepared, n or domain.default_samples, seed)
    result = {
        "recipe": model.recipe.name, "family": type(model.family).__name__, "seed": seed,
        "seconds": round(time.perf_counter() - started, 1), "environment": environment(),
        "measures": [measure_to_dict(measure) for measure in measures],
    }
    write_atomically(run.metrics_file, (json.dumps(result, indent=2) + "\n").encode())
    write_atomically(run.model / CARD, model_card(model, markdown_table(measures)).encode())
    return measures


def load_measures(run: Run) -> list[Measure]:
    """What `evaluate` wrote into metrics.json; nothing where it never ran."""
    if not run.metrics_file.is_file():
        return []
    known = {f.name for f in dataclasses.fields(Measure)}
    rows = read_json(run.metrics_file).get("measures", [])
    return [_measure({name: value for name, value in row.items() if name in known}) for row in rows]


def _measure(row: dict[str, Any]) -> Measure:
    row["value"] = math.nan if row["value"] is None else row["value"]
    row["interval"] = tuple(row["interval"]) if row["interval"] else None
    return Measure(**row)


