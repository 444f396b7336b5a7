"""Designing molecules: valid, different, new if asked, and near a wanted property."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Unpack

import numpy as np
import torch
from torch import Tensor

from apps.molecules import chemistry
from apps.molecules.data import MoleculeModel, prepare
from core.errors import FourfoldError, did_you_mean, require
from core.families.family import SettingChanges
from core.runs.tasks import Progress
from core.seeds import derive

MOST_DRAWS = 50  # samples drawn for each molecule asked for, before giving up


@dataclass(frozen=True)
class Molecule:
    """A designed molecule: canonical SMILES and its properties, in the units of `chemistry.PROPERTIES`."""

    smiles: str
    properties: Mapping[str, float]


def design(
    model: MoleculeModel, n: int, *, targets: Mapping[str, float] | None = None, known: Collection[str] = (),
    choose_from: int = 4, seed: int = 0, progress: Progress | None = None, **changes: Unpack[SettingChanges],
) -> list[Molecule]:
    """`n` different valid molecules, none of them in `known` (canonical SMILES).

    With `targets` (property -> wanted value), a conditional model is asked for them as far as it knows them; then of
    `choose_from * n` candidates the `n` nearest are kept, nearest first, each property measured in its own spread.

    Raises:
        FourfoldError: an unknown property, or the model gives too few such molecules.
    """
    require(n >= 1, "the number of molecules", n, "must be at least 1")
    require(choose_from >= 1, "choose_from", choose_from, "must be at least 1")
    targets = targets or {}
    chemistry.check_properties(list(targets))
    wanted = n * choose_from if targets else n
    found = _candidates(model, wanted, n, known, targets, seed, progress or Progress(), changes)
    designed = described(found)
    if targets:
        columns = np.array([[molecule.properties[name] for name in targets] for molecule in designed])
        spread = columns.std(0).clip(min=1e-6)
        distance = np.abs((columns - list(targets.values())) / spread).sum(1)
        designed = [designed[i] for i in distance.argsort(kind="stable")]
    return designed[:n]


def described(smiles: Sequence[str]) -> list[Molecule]:
    """Valid molecules with their properties."""
    names = list(chemistry.PROPERTIES)
    values = chemistry.properties(chemistry.valid_molecules(smiles), names)
    return [Molecule(text, dict(zip(names, row.tolist(), strict=True)))
            for text, row in zip(smiles, values, strict=True)]


def _candidates(
    model: MoleculeModel, wanted: int, needed: int, known: Collection[str], targets: Mapping[str, float], seed: int,
    progress: Progress, changes: SettingChanges,
) -> list[str]:
    """Up to `wanted` different valid new molecules, at least `needed`, in the order they were drawn."""
    found: dict[str, None] = {}
    limit, drawn, rounds = MOST_DRAWS * wanted, 0, 0
    while len(found) < wanted and drawn < limit:
        size = min(256, max(16, wanted - len(found)))
        # Every round has a seed of its own: the same seed again would draw the same molecules.
        items = model.sample(size, seed=derive(seed, rounds), condition=condition_for(model, targets, size), **changes)
        drawn, rounds = drawn + size, rounds + 1
        found |= dict.fromkeys(text for text in chemistry.valid_canonical(items) if text not in known)
        progress.step(min(len(found), wanted), wanted)
    if len(found) < needed:
        kind = "different valid new molecules" if known else "different valid molecules"
        raise FourfoldError(f"only {len(found)} of {drawn} samples are {kind}, {needed} were asked for: "
                            "train the model longer, or ask for fewer")
    return list(found)[:wanted]


def condition_for(model: MoleculeModel, targets: Mapping[str, float], n: int) -> dict[str, Tensor] | None:
    """The model's condition for `targets` in real units; properties it knows that are not wanted stay at their mean.

    None (unconditional) where the model knows none of the targets.
    """
    spec = model.codec.properties
    if spec is None or not set(spec.names) & set(targets):
        return None
    row = [
        (targets[name] - mean) / std if name in targets else 0.0
        for name, mean, std in zip(spec.names, spec.mean, spec.std, strict=True)
    ]
    return {"property": torch.tensor(row, dtype=torch.float32).expand(n, -1)}


def parse_targets(text: str | None) -> dict[str, float]:
    """ "logp=2.5,qed=0.8" -> {"logp": 2.5, "qed": 0.8}.

    Raises:
        FourfoldError: a part that is not name=number, an unknown property, or one given twice.
    """
    targets: dict[str, float] = {}
    for part in filter(None, (text or "").split(",")):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        try:
            number = float(value)
        except ValueError:
            number = float("nan")
        if not equals or not np.isfinite(number):
            raise FourfoldError(f"--property is {part!r}: must look like logp=2.5")
        if name not in chemistry.PROPERTIES:
            raise FourfoldError(f"--property {name!r}: {did_you_mean(name, chemistry.PROPERTIES)}")
        if name in targets:
            raise FourfoldError(f"--property names {name!r} twice: give each property once")
        targets[name] = number
    return targets


def training_molecules(model: MoleculeModel) -> set[str]:
    """The (canonical) SMILES the model was trained on, read again from its data."""
    prepared = prepare(model.recipe.data, None if model.recipe.start is None else model.codec)
    return set(prepared.codec.strings(prepared.train.x))
