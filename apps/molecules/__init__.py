"""Molecules as SMILES: generate, design, decorate, link, optimise, predict, and measure (MOSES' whole table).

    from apps import molecules

    model = molecules.load("runs/molecules/moses-autoregressive")
    smiles = model.sample(1000, seed=0)
    designed = molecules.design(model, 20, targets={"logp": 2.5})
    found = molecules.optimize(model, ["qed", "similar:CC(=O)Nc1ccc(O)cc1"])
    measured = molecules.measure(smiles)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.lazy import lazy

if TYPE_CHECKING:
    from apps.molecules.chemistry import PROPERTIES, canonical
    from apps.molecules.constrained import decorate, link, score
    from apps.molecules.data import MoleculeData, read_samples, read_smiles
    from apps.molecules.designing import Molecule, design
    from apps.molecules.domain import DOMAIN, load
    from apps.molecules.learning import train
    from apps.molecules.measuring import measure
    from apps.molecules.moses_metrics import fcd
    from apps.molecules.optimizing import optimize
    from apps.molecules.predicting import PropertyModel, fit

__all__ = [
    "DOMAIN", "PROPERTIES", "MoleculeData", "Molecule", "PropertyModel", "canonical", "decorate", "design", "fcd",
    "fit", "link", "load", "measure", "optimize", "read_samples", "read_smiles", "score", "train",
]

__getattr__ = lazy(__name__, {
    "DOMAIN": "apps.molecules.domain",
    "PROPERTIES": "apps.molecules.chemistry",
    "MoleculeData": "apps.molecules.data",
    "Molecule": "apps.molecules.designing",
    "canonical": "apps.molecules.chemistry",
    "decorate": "apps.molecules.constrained",
    "design": "apps.molecules.designing",
    "fcd": "apps.molecules.moses_metrics",
    "PropertyModel": "apps.molecules.predicting",
    "fit": "apps.molecules.predicting",
    "optimize": "apps.molecules.optimizing",
    "link": "apps.molecules.constrained",
    "load": "apps.molecules.domain",
    "measure": "apps.molecules.measuring",
    "read_samples": "apps.molecules.data",
    "read_smiles": "apps.molecules.data",
    "score": "apps.molecules.constrained",
    "train": "apps.molecules.learning",
})
