"""Molecules as SMILES: generate, design towards a property, and measure (FCD and MOSES' other metrics).

    from apps import molecules

    model = molecules.load("runs/molecules/moses-autoregressive")
    smiles = model.sample(1000, seed=0)
    designed = molecules.design(model, 20, targets={"logp": 2.5})
    measured = molecules.get_all_metrics(smiles, reference)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.lazy import lazy

if TYPE_CHECKING:
    from apps.molecules.chemistry import PROPERTIES, canonical
    from apps.molecules.data import MoleculeData, read_smiles
    from apps.molecules.designing import Molecule, design
    from apps.molecules.domain import DOMAIN, load
    from apps.molecules.learning import train
    from apps.molecules.moses_metrics import fcd, get_all_metrics

__all__ = [
    "DOMAIN", "PROPERTIES", "MoleculeData", "Molecule", "canonical", "design", "fcd", "get_all_metrics", "load",
    "read_smiles", "train",
]

__getattr__ = lazy(__name__, {
    "DOMAIN": "apps.molecules.domain",
    "PROPERTIES": "apps.molecules.chemistry",
    "MoleculeData": "apps.molecules.data",
    "Molecule": "apps.molecules.designing",
    "canonical": "apps.molecules.chemistry",
    "design": "apps.molecules.designing",
    "fcd": "apps.molecules.moses_metrics",
    "get_all_metrics": "apps.molecules.moses_metrics",
    "load": "apps.molecules.domain",
    "read_smiles": "apps.molecules.data",
    "train": "apps.molecules.learning",
})
