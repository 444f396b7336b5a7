"""What people come for: `design`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.runs.tasks import Progress, Result, Task, changes, num_option, option, seed_option, temperature_option

if TYPE_CHECKING:
    from apps.molecules.data import MoleculeModel


@dataclass(frozen=True, kw_only=True)
class Design:
    """What `design` takes."""

    num: int = num_option(20)
    targets: str | None = option(
        None, "Targets in real units: logp=2.5,qed=0.8 (logp, qed, weight, tpsa, sa).", "--property"
    )
    novel: bool = option(False, "Leave out molecules of the training set.")
    choose_from: int = option(4, "Candidates for each molecule, the nearest to the targets win.", minimum=1,
                             maximum=10_000)
    temperature: float | None = temperature_option()
    seed: int = seed_option()


def design(model: MoleculeModel, parameters: Design, progress: Progress) -> Result:
    """Molecules near the targets, as a table and a picture."""
    from apps.molecules import designing
    from apps.molecules.media import preview, write

    targets = designing.parse_targets(parameters.targets)
    known = designing.training_molecules(model) if parameters.novel else set()
    found = designing.design(
        model, parameters.num, targets=targets, known=known, choose_from=parameters.choose_from, seed=parameters.seed,
        progress=progress, **changes(parameters),
    )
    smiles = [molecule.smiles for molecule in found]
    return Result(
        data={"molecules": [{"smiles": molecule.smiles, **molecule.properties} for molecule in found]},
        write=lambda folder: write(smiles, folder), media=lambda: preview(smiles),
    )


TASKS = (
    Task(name="design", summary="Design valid, different molecules, near wanted properties: a CSV and a picture.",
         parameters=Design, run=design, result="molecules", output="designed",
         example="-n 20 --property logp=2.5,qed=0.8"),
)
