"""Training on molecules from Python."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from apps.molecules.data import COLUMNS, MoleculeModel
from apps.molecules.domain import DOMAIN
from core.data.rows import column, items_of, peeked
from core.errors import FourfoldError
from core.runs.own import Settings, train_own
from core.training.log import Listener


def train(
    smiles: str | Path | Iterable[Any], *, columns: Mapping[str, Sequence[object]] | None = None,
    condition_on: Sequence[str] = (),
    start: str | Path | None = None, family: str | None = None, minutes: float | None = None,
    run: str | Path | None = None, seed: int = 0, device: str = "auto", settings: Settings | None = None,
    progress: Listener | None = None,
) -> MoleculeModel:
    """A model of your own molecules, trained here: `molecules.train(smiles, minutes=10).sample(100)`.

    Args:
        smiles: a file or folder; or an iterable of SMILES; or a table with a column `smiles` (`datasets`, pandas,
            dicts).
        columns: values beside an iterable of SMILES, by name, one for each.
        condition_on: the columns, and the properties (logp, qed, weight, tpsa, sa), that the model is conditioned on.
            Numbers become a part of "property", classes are "class":
            `model.sample(8, condition={"property": "activity=7.1", "class": "kinase"})`.
        start: a run, or the name of a model that ships: its training goes on with these data.
        family: "vae", "gan", "diffusion" or "autoregressive"; None picks what suits the molecules.
        minutes: how long to train, 20 unless `settings` has train.steps.
        run: the run folder, in which molecules and model are kept; None names one. The same call again resumes it.
        settings: a recipe's keys and their values, {"data.merges": 200, "train.batch_size": 32}.

    Raises:
        FourfoldError: too few molecules, or too many that are invalid, an unknown column, a refused setting, a run
            folder of something else.
    """
    from apps.molecules.chemistry import PROPERTIES

    given = {
        "data.properties": [name for name in condition_on if name in PROPERTIES],
        "data.columns": [name for name in condition_on if name not in PROPERTIES],
    } | dict(settings or {})
    items: Any
    if isinstance(smiles, str | Path):
        if columns is not None:
            raise FourfoldError("columns of a file are its own: leave them out")
        items = Path(smiles)
    else:
        items = _table(smiles, columns or {})
    return train_own(DOMAIN, items, start=start, family=family, minutes=minutes, run=run, seed=seed, device=device,
                     settings=given, progress=progress)


def _table(smiles: Iterable[Any], columns: Mapping[str, Sequence[object]]) -> Iterator[tuple[str, bytes]]:
    """The molecules as a table with a header."""
    first, every = peeked(items_of(smiles))
    if isinstance(first, dict):
        own = column(first, COLUMNS, "SMILES")
        names = ["smiles", *(str(key) for key in first if key != own)]
        rows: list[list[object]] = [[row[own], *(row[name] for name in names[1:])] for row in every]
    else:
        names = ["smiles", *columns]
        found = list(every)
        for name, values in columns.items():
            if len(values) != len(found):
                raise FourfoldError(f"column {name!r} has {len(values):,} values for {len(found):,} molecules")
        rows = [list(row) for row in zip(found, *columns.values(), strict=True)]
    for index, row in enumerate(rows):
        if not isinstance(row[0], str):
            raise FourfoldError(f"molecule {index} is of type {type(row[0]).__name__}: must be a SMILES string")
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerows([names, *rows])
    yield "molecules.csv", stream.getvalue().encode()
