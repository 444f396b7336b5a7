"""Training from Python on what a user holds in memory: written as files into the run folder, then trained on as those.

So resuming, reports, evaluation and the command line work as for any folder. An app's `train` names the files.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from core.errors import FourfoldError
from core.files import DAY, TEMPORARY, new_folder, remove_leftovers, write_atomically, writing
from core.runs.domain import Domain, Prepared
from core.runs.model import CodecT, DataT, Item, Model
from core.runs.places import RUNS, default_folder
from core.runs.pretrained import load
from core.runs.run import DATA, Run
from core.runs.run import train as fit
from core.runs.sizing import name_of, own_recipe
from core.runs.tuning import tuned_name, tuned_recipe
from core.training.log import Listener

log = logging.getLogger(__name__)
Files = Iterable[tuple[str, bytes]]
"""Paths under a folder, and what the files hold."""
Settings = Mapping[str, object]
"""Values of a recipe's keys, {"train.steps": 500, "data.size": 32}."""


def train_own(
    domain: Domain[DataT, CodecT, Item], items: Path | Files, *, start: str | Path | None, family: str | None,
    minutes: float | None, run: str | Path | None, seed: int, device: str, settings: Settings | None,
    progress: Listener | None,
) -> Model[DataT, CodecT, Item]:
    """Train on a folder or file, or on files that are written into the run folder; returns the trained model.

    The same call again resumes what was interrupted, and returns the model of what is finished.

    Args:
        items: the user's path, or files in their order.
        start: a run or model whose training goes on with these data; None begins with random weights.
        family: "vae", "gan", "diffusion" or "autoregressive"; None picks the one that suits the data.
        minutes: how long to train; None leaves it at `settings`' train.steps, or 20 minutes.
        run: the run folder; None names one after the data, or after what they hold.
        progress: is told of every step; see `core.training.log`.

    Raises:
        FourfoldError: bad data or settings, another recipe or other data in the run folder, or training was stopped.
    """
    if start is not None and family is not None:
        raise FourfoldError(f"family is {family!r}: with start it is the family of that model; leave it out")
    begun = None if start is None else str(start)
    home = None if run is None else Path(run)
    if isinstance(items, Path):
        path = items
    else:
        home = _stored(items, home, RUNS / domain.name, family if begun is None else f"from-{name_of(Path(begun))}")
        path = home / DATA
    name = name_of(path if isinstance(items, Path) else path.parent)
    assignments = [f"{key}={json.dumps(value)}" for key, value in (settings or {}).items()]
    prepared: Prepared[CodecT] | None
    if begun is not None:
        target = Run(home or default_folder(tuned_name(begun, path), domain.name))
        recipe, prepared, why = tuned_recipe(domain, begun, path, target, assignments, minutes=minutes)
    else:
        recipe, prepared, why = own_recipe(domain, path, family, assignments, minutes=minutes, name=name)
        target = Run(home or default_folder(recipe.name, domain.name))
    recipe = replace(recipe, seed=seed)
    log.warning(why)
    result = fit(domain, recipe, target, device=device, prepared=prepared, log=progress)
    if not result.finished:
        raise KeyboardInterrupt(f"stopped and saved at step {result.step}: the same call continues")
    log.warning("trained into %s", target.folder)
    return load(target.folder, domain, device)


def _stored(files: Files, home: Path | None, runs: Path, kind: str | None) -> Path:
    """The run folder that holds just these files in its data/; a new one, named after their contents, if not given.

    Raises:
        FourfoldError: the folder holds other data, no files, or it cannot be written.
    """
    parent = home or runs
    if parent.is_dir():
        remove_leftovers(parent, DAY)
    ready = parent / f"{TEMPORARY}{os.getpid()}-own"
    with new_folder(ready) as new:
        for name, content in files:
            write_atomically(new / name, content)
    digest = _digest(ready)
    try:
        if home is None:
            home = runs / "-".join(filter(None, ["own", digest, kind]))
        held = home / DATA
        if not held.exists():
            with writing(held):
                home.mkdir(parents=True, exist_ok=True)
                os.rename(ready, held)
        elif _digest(held) != digest:
            raise FourfoldError(f"{held} holds other data: give another folder as run, or remove {home}")
    finally:
        shutil.rmtree(ready, ignore_errors=True)
    return home


def _digest(folder: Path) -> str:
    """Eight hexadecimal digits for the files in a folder: their names and what they hold."""
    digest = hashlib.blake2b(digest_size=4)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(folder).as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()
