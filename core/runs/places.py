"""Where runs are, and what they may be called: a path, a recipe's name, or the name of a model that ships.

A recipe's run is `runs/<domain>/<recipe>`; before version 0.2 it was `runs/<recipe>`, and is still found there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from core.errors import FourfoldError
from core.files import read_json

RUNS = Path("runs")
OF_A_RUN = ("recipe.json", "model/config.json", "config.json")
"""The files of a run folder, or of a model folder, that say of which domain it is."""


def default_folder(recipe: str, domain: str) -> Path:
    """The folder that `train` writes to unless told otherwise: the old place where only that holds such a run."""
    new, old = RUNS / domain / recipe, RUNS / recipe
    return old if not new.exists() and _domain_of(old) == domain else new


def find(name: str | Path, domain: str, models: Path | None = None) -> Path | None:
    """The run or model folder that a user calls `name`; None where there is none.

    Looked for in this order: the path itself, `runs/<domain>/<name>`, `runs/<name>`, a model of `models` (those that
    ship) or of the domain's folder in `$FOURFOLD_MODELS`.
    """
    given = Path(name).expanduser()
    if _domain_of(given) is not None:
        return given
    for path in (*_other_places(given, domain), *model_places(given, domain, models)):
        if _domain_of(path) == domain:
            return path
    return given if given.exists() else None


def is_run(name: str, domain: str, models: Path | None = None) -> bool:
    """Whether a user's word names a run or a model."""
    found = find(name, domain, models)
    return found is not None and _domain_of(found) is not None


def model_places(name: Path, domain: str, models: Path | None) -> list[Path]:
    """Where a model that ships may be."""
    if len(name.parts) != 1 or name.parts[0] in (".", ".."):
        return []
    return [folder / name for folder in model_folders(domain, models)]


def model_folders(domain: str, models: Path | None) -> list[Path]:
    """The folders of a domain's models: the user's own by `$FOURFOLD_MODELS`, then those that ship."""
    own = os.environ.get("FOURFOLD_MODELS")
    return ([Path(own).expanduser() / domain] if own else []) + ([models] if models else [])


def _other_places(given: Path, domain: str) -> Iterator[Path]:
    """Where a run may be that a user names by the recipe, or by the other of its two places."""
    match given.parts:
        case (recipe,) | (RUNS.name, recipe) if recipe not in (".", ".."):
            yield RUNS / domain / recipe
            yield RUNS / recipe
        case (RUNS.name, folder, recipe) if folder == domain:
            yield RUNS / recipe


def _domain_of(folder: Path) -> str | None:
    """The domain of the run or model in a folder; None where there is none, "" where its files are damaged."""
    for name in OF_A_RUN:
        if (folder / name).is_file():
            try:
                return str(read_json(folder / name).get("domain", ""))
            except FourfoldError:
                return ""
    return None
