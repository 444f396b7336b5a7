"""A run is a folder: what is in it, and what is done with it (train, evaluate), the same for every domain.

recipe.json    what was asked for; `train` resumes only what it describes
model/         weights, config.json, codec and model card: what `core.runs.pretrained.load` reads
state/         checkpoints to resume from;  log.jsonl, events/: the training curve
data/          what was trained on, if that came from Python's memory
samples/       a few samples;  metrics.json: what `evaluate` measured;  report.html: all of it to look at
"""

from __future__ import annotations

import json
import logging
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from core.data.arrays import ArrayData
from core.errors import FourfoldError
from core.files import (
    is_vacant,
    new_folder,
    one_writer,
    read_json,
    remove,
    remove_leftovers,
    to_json,
    write_atomically,
    write_if_changed,
    write_json,
    writing,
)
from core.runs.domain import Domain, Prepared
from core.runs.measures import Measure, markdown_table, measure_from_dict, measure_to_dict
from core.runs.media import are_whole, save_media
from core.runs.migrations import FORMAT
from core.runs.model import CodecT, DataT, Item, Model
from core.runs.pretrained import (
    CARD,
    CODEC,
    CONFIG,
    begin,
    build,
    load,
    load_codec,
    load_recipe,
    load_shared,
    model_card,
    prepared_for,
    read_recipe,
    save_description,
)
from core.runs.recipe import Recipe
from core.runtime import environment, first_process, resolve_device
from core.serialization import Json, differences, to_dict
from core.training import checkpoint
from core.training.distributed import barrier, connect
from core.training.log import LOG, Listener
from core.training.loop import UNDECISIVE, TrainResult
from core.training.loop import train as fit
from core.waiting import waiting

DATA = "data"
"""Where a run folder holds its own data, if they came from Python's memory; they stay with --fresh."""
PREVIEW = 16
"""Samples that a run keeps to look at."""
logger = logging.getLogger(__name__)


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
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def is_run(self) -> bool:
        """Whether it is a run with a model; a model folder alone is only read."""
        return (self.model / CONFIG).is_file()

    @property
    def samples(self) -> Path:
        return self.folder / "samples"

    @property
    def preview(self) -> Path:
        return self.samples / "preview"

    @property
    def metrics_file(self) -> Path:
        return self.folder / "metrics.json"

    @property
    def cell_file(self) -> Path:
        return self.folder / "cell.json"

    @property
    def report(self) -> Path:
        return self.folder / "report.html"

    def recipe(self, domain: Domain[DataT, CodecT, Item]) -> Recipe[DataT]:
        """The recipe this run was started with.

        Raises:
            FourfoldError: there is none, it is damaged, or of another domain.
        """
        if not self.recipe_file.is_file():
            what = "is not a run (it has no recipe.json)" if self.folder.exists() else "does not exist"
            raise FourfoldError(f"{self.folder} {what}: give a folder that `train` wrote")
        return load_recipe_file(self.recipe_file, domain)


def load_recipe_file(path: Path, domain: Domain[DataT, CodecT, Item]) -> Recipe[DataT]:
    """A recipe from a JSON file, checked against its domain.

    Raises:
        FourfoldError: the file is missing or damaged, a key is unknown or refused, or the domain is another.
    """
    value = read_json(path)
    return read_recipe(value, value.pop("format", 0), domain, path)


def write_recipe(run: Run, recipe: Recipe[DataT]) -> None:
    """Write recipe.json: the folder is this recipe's run from now on."""
    write_if_changed(run.recipe_file, to_json(_values(recipe)))


def recipe_to_json(recipe: Recipe[DataT]) -> str:
    """The recipe as indented JSON, complete enough to run again from it alone."""
    return json.dumps(_values(recipe), indent=2)


def _values(recipe: Recipe[DataT]) -> Json:
    return {"format": FORMAT, **to_dict(recipe)}


def may_hold(run: Run, recipe: Recipe[DataT], domain: Domain[DataT, CodecT, Item], *, fresh: bool = False) -> bool:
    """Check that the folder may hold this recipe; returns whether it already does. Nothing is written.

    Raises:
        FourfoldError: it is a file, holds something else, or another recipe (the difference is listed).
    """
    if not run.folder.exists():
        return False
    if not run.folder.is_dir():
        raise FourfoldError(f"{run.folder} is a file: give a folder with --run")
    if fresh:
        _refuse_others(run)
        return False
    held = _held(run, domain)
    if held is None:
        if not is_vacant(run.folder, DATA):
            raise FourfoldError(f"{run.folder} is not empty and not a run: choose another folder with --run")
        return False
    free = {f"train.{name}" for name in UNDECISIVE}
    changed = [line for line in differences(to_dict(held), to_dict(recipe)) if line.partition(":")[0] not in free]
    if changed:
        longer = ("" if len(changed) > 1 or held.train.steps >= recipe.train.steps else
                  f"learning rates follow the planned steps, so a longer run is another one; train on from its weights "
                  f"with --from {run.folder}, ")
        raise FourfoldError(f"{run.folder} holds another recipe ({'; '.join(changed)}): {longer}start it again with "
                            "--fresh, or choose another folder with --run")
    return True


def _held(run: Run, domain: Domain[DataT, CodecT, Item]) -> Recipe[DataT] | None:
    """The recipe that a folder holds: of recipe.json or, where that is lost or damaged, of its model; None without."""
    if not run.recipe_file.exists() and not (run.model / CONFIG).exists():
        return None
    try:
        return run.recipe(domain)
    except FourfoldError:
        try:
            return load_recipe(run.model, domain)
        except FourfoldError:
            pass
        raise


def _refuse_others(run: Run) -> None:
    """Raise a `FourfoldError` where the folder holds what is not a run's."""
    if not run.recipe_file.exists() and not is_vacant(run.folder, DATA):
        raise FourfoldError(f"{run.folder} is not a run, so --fresh leaves it alone: choose another folder with --run")


def clear(run: Run) -> None:
    """Remove what a run writes, and nothing else, from its folder.

    Raises:
        FourfoldError: the folder is not a run, or cannot be written.
    """
    if not run.folder.exists():
        return
    _refuse_others(run)
    with writing(run.folder):
        # recipe.json goes last: it says that the rest is ours to remove.
        for name in ("model", "state", "samples", "events", LOG):
            remove(run.folder / name)
        for path in (run.metrics_file, run.report, run.cell_file, run.recipe_file):
            remove(path)


def train(
    domain: Domain[DataT, CodecT, Item],
    recipe: Recipe[DataT],
    run: Run,
    *,
    device: str = "auto",
    fresh: bool = False,
    log: Listener | None = None,
    prepared: Prepared[CodecT] | None = None,
) -> TrainResult:
    """Train the recipe in a run folder, or go on with it, and keep a few samples; what is damaged or lost is mended.

    Raises:
        FourfoldError: bad data, another recipe or another process in the folder, a folder that cannot be written.
    """
    may_hold(run, recipe, domain, fresh=fresh)
    with ExitStack() as held:
        early = first_process() and run.folder.exists()
        if early:  # a new folder is made only when the data are there
            held.enter_context(one_writer(run.folder))
        place = resolve_device(device)
        prepared = _ready(domain, recipe, run, prepared, fresh=fresh)
        for name, split in (("training", prepared.train), ("test", prepared.test)):
            if len(split) == 0:
                raise FourfoldError(f"the data leave no {name} examples: give more of them")
        model = build(domain, recipe, prepared.codec, place)
        model.settings()  # refuses sample settings the family does not take before an hour of training, not after
        if recipe.start is not None and (fresh or not checkpoint.found(run.state)):
            begin(domain, model, recipe.start)
        world, place = connect(place)
        if world.writes:
            if not early:
                held.enter_context(one_writer(run.folder))
                may_hold(run, recipe, domain, fresh=fresh)
            for folder in (run.folder, run.model):
                remove_leftovers(folder)
            if fresh:
                clear(run)
            write_recipe(run, recipe)
            save_description(model, run.model, markdown_table(load_measures(run)))
        barrier(world)  # before any process looks for a checkpoint, --fresh has removed the old ones
        result = fit(model.family, prepared.train, recipe.train, run.folder, seed=recipe.seed, device=place, log=log,
                     validation=prepared.validation if len(prepared.validation) else None)
        if result.finished and world.writes and not are_whole(run.preview):
            keep_samples(domain, load(run.folder, domain, device), prepared, run)
        return result


def _ready(
    domain: Domain[DataT, CodecT, Item], recipe: Recipe[DataT], run: Run, prepared: Prepared[CodecT] | None, *,
    fresh: bool,
) -> Prepared[CodecT]:
    """The data of a run; of one that began with a trained model, as its own codec has them, if it has one by now."""
    own = None
    if recipe.start is not None and not fresh and (run.model / CODEC).is_file():
        try:
            own = load_codec(run.model, domain.codec_types, domain.codec_migrations)
        except FourfoldError as error:
            logger.warning("%s: it is made again", error)
    if own is not None and (prepared is None or prepared.codec != own):
        return domain.ready(recipe.data, own)
    return prepared or prepared_for(domain, recipe)


def test_conditions(data: ArrayData, n: int) -> dict[str, Tensor] | None:
    """Conditions of `n` examples `[n, ...]` by name, around again when there are fewer; None where data have none."""
    return dict(data.batch(np.arange(n) % len(data)).condition) or None


def keep_samples(
    domain: Domain[DataT, CodecT, Item], model: Model[DataT, CodecT, Item], prepared: Prepared[CodecT], run: Run
) -> None:
    """Write a few samples into the run's samples/ as files, and as media for reports.

    A conditional model's are drawn for the first conditions of the test split.
    """
    seed = model.recipe.seed
    if domain.draw is not None:
        items = domain.draw(model, PREVIEW, seed, {})
    else:
        items = model.sample(PREVIEW, seed=seed, condition=test_conditions(prepared.test, PREVIEW))
    with new_folder(run.samples) as ready:
        domain.write(items, ready)
        save_media(domain.preview(items), ready / run.preview.name)


def evaluate(
    domain: Domain[DataT, CodecT, Item], run: Run, *, n: int | None = None, seed: int = 0, device: str = "auto",
    model: Model[DataT, CodecT, Item] | None = None, prepared: Prepared[CodecT] | None = None,
) -> list[Measure]:
    """Measure the run's model and keep the result in metrics.json and the model card (of a run, not of a model folder).

    Processes that torchrun started share the drawing of samples; each measures them all.

    Raises:
        FourfoldError: no trained model, or its data are missing.
    """
    started = time.perf_counter()
    model = model or load_shared(run.folder, domain, device)
    prepared = prepared or domain.ready_for(model)
    with waiting(f"evaluating {model.recipe.name}"):
        measures = domain.evaluate(model, prepared, n or domain.default_samples, seed)
    if not (run.is_run and model.world.writes):
        return measures
    result = {
        "recipe": model.recipe.name, "family": type(model.family).__name__, "seed": seed,
        "seconds": round(time.perf_counter() - started, 1), "environment": environment(),
        "measures": [measure_to_dict(measure) for measure in measures],
    }
    write_json(run.metrics_file, result)
    write_atomically(run.model / CARD, model_card(model, markdown_table(measures)).encode())
    return measures


def load_measures(run: Run) -> list[Measure]:
    """What `evaluate` wrote into metrics.json; nothing where it never ran, and a warning where it is damaged."""
    if not run.metrics_file.is_file():
        return []
    try:
        return [measure_from_dict(row) for row in read_json(run.metrics_file).get("measures", [])]
    except (FourfoldError, TypeError) as error:
        logger.warning("%s is left out (%s): run `evaluate` again", run.metrics_file, error)
        return []
