"""The published measures of generated molecules, defined as MOSES defines them (Polykovskiy et al. 2020, 1811.12823).

A share of valid, unique or new molecules says little alone: C, CC, CCC ... is valid, unique and new. The Fréchet
ChemNet distance compares whole distributions, and is the headline.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from apps.molecules import chemistry, chemnet
from core.errors import FourfoldError
from core.metrics.frechet import frechet_distance

if TYPE_CHECKING:
    from rdkit.Chem import Mol

COMPARED = ("logp", "sa", "qed", "weight")  # properties whose distributions MOSES compares
PUBLISHED = ("logP", "SA", "QED", "weight")  # what it calls them
FILTER_ATOMS = {"C", "N", "S", "O", "F", "Cl", "Br", "H"}


def valid(samples: Sequence[str]) -> float:
    """Share of `samples` that RDKit parses, empty ones excluded; 0 to 1."""
    return float(np.mean([smiles is not None for smiles in chemistry.canonical(samples)])) if len(samples) else 0.0


def unique(canonical: Sequence[str], k: int | None = None) -> float:
    """Share of different molecules among the first `k` valid (canonical) ones."""
    first = canonical[:k]
    return len(set(first)) / len(first) if first else 0.0


def novel(canonical: Sequence[str], train: Sequence[str] | set[str]) -> float:
    """Share of the different valid molecules that the training set (canonical SMILES) does not hold."""
    different = set(canonical)
    return len(different - set(train)) / len(different) if different else 0.0


def tanimoto(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Similarities `[N, M]` of fingerprints `[N, D]` and `[M, D]`; two empty ones are alike."""
    common = a @ b.T
    union = a.sum(1)[:, None] + b.sum(1)[None] - common
    return np.where(union > 0, common / np.maximum(union, 1), 1.0)


def internal_diversity(fingerprints: np.ndarray, p: int = 1) -> float:
    """1 - (mean over pairs, each with itself included, of Tanimoto similarity^p)^(1/p); 0 to 1."""
    if not len(fingerprints):
        return 0.0
    parts = (fingerprints[i : i + 2000] for i in range(0, len(fingerprints), 2000))
    means = np.concatenate([(tanimoto(part, fingerprints) ** p).mean(1) for part in parts])
    return float(1 - (means ** (1 / p)).mean())


def nearest_similarity(fingerprints: np.ndarray, reference: np.ndarray) -> float:
    """SNN: mean Tanimoto similarity of each molecule to its nearest in the reference."""
    parts = [tanimoto(fingerprints[i : i + 1000], reference).max(1) for i in range(0, len(fingerprints), 1000)]
    return float(np.concatenate(parts).mean()) if parts else 0.0


def cosine(a: Counter[str], b: Counter[str]) -> float:
    """Cosine similarity of two counts; NaN where one is empty."""
    dot = sum(count * b[key] for key, count in a.items())
    norm = np.sqrt(float(sum(c * c for c in a.values())) * sum(c * c for c in b.values()))
    return float(dot / norm) if norm else float("nan")


def fcd(samples: Sequence[str] | np.ndarray, reference: Sequence[str] | np.ndarray) -> float:
    """Fréchet ChemNet distance of valid molecules, given as SMILES or as `chemnet.features`.

    It is biased upward in small samples: compare only values of equal counts, beside their floor. Fewer than two
    molecules have no spread to compare: infinite.
    """
    a, b = (
        x if isinstance(x, np.ndarray) else chemnet.features(chemistry.valid_canonical(x)) for x in (samples, reference)
    )
    return frechet_distance(a, b) if min(len(a), len(b)) >= 2 else float("inf")


def wasserstein(samples: np.ndarray, reference: np.ndarray) -> float:
    """Earth mover's distance of two samples `[N]`, `[M]` of a property, in its unit; infinite where one is empty."""
    from scipy.stats import wasserstein_distance

    return float(wasserstein_distance(samples, reference)) if len(samples) and len(reference) else float("inf")


def get_all_metrics(
    samples: Sequence[str], reference: Sequence[str], train: Sequence[str] | None = None, *,
    k: Sequence[int] = (1_000, 10_000), filters: Path | None = None,
) -> dict[str, float]:
    """MOSES' metrics under MOSES' names, of any SMILES against any reference set.

    Args:
        samples: generated SMILES, valid or not.
        reference: held-out molecules (MOSES: its test set).
        train: training molecules in canonical SMILES; without them there is no "Novelty".
        k: "unique@k" for each.
        filters: folder of MOSES' mcf.csv and wehi_pains.csv; without it there is no "Filters".

    Raises:
        FourfoldError: no samples, or no valid reference molecules.
    """
    if not len(samples):
        raise FourfoldError("no samples: nothing to measure")
    chosen, real = chemistry.valid_canonical(samples), chemistry.valid_canonical(reference)
    if not real:
        raise FourfoldError("the reference holds no valid molecules: nothing to compare with")
    mols, real_mols = chemistry.valid_molecules(chosen), chemistry.valid_molecules(real)
    prints, real_prints = chemistry.fingerprints(mols), chemistry.fingerprints(real_mols)
    found: dict[str, float] = {"valid": len(chosen) / len(samples)}
    found |= {f"unique@{size}": unique(chosen, size) for size in k}
    found |= {
        "FCD/Test": fcd(chosen, real),
        "SNN/Test": nearest_similarity(prints, real_prints),
        "Frag/Test": cosine(chemistry.fragments(mols), chemistry.fragments(real_mols)),
        "Scaf/Test": cosine(chemistry.scaffolds(mols), chemistry.scaffolds(real_mols)),
        "IntDiv": internal_diversity(prints),
        "IntDiv2": internal_diversity(prints, 2),
    }
    if filters is not None:
        found["Filters"] = float(np.mean(passes_filters(mols, filters))) if mols else 0.0
    values, real_values = chemistry.properties(mols, COMPARED), chemistry.properties(real_mols, COMPARED)
    found |= {name: wasserstein(values[:, i], real_values[:, i]) for i, name in enumerate(PUBLISHED)}
    if train is not None:
        found["Novelty"] = novel(chosen, train)
    return found


def passes_filters(mols: Sequence[Mol], folder: Path) -> list[bool]:
    """Whether each molecule passes MOSES' filters: rings below 8 atoms, no charge, common elements, no MCF or PAINS.

    Raises:
        FourfoldError: a filter file is missing.
    """
    from rdkit import Chem

    patterns = [Chem.MolFromSmarts(smarts) for smarts in _smarts(folder / "mcf.csv", 1, header=True)]
    patterns += [Chem.MolFromSmarts(smarts) for smarts in _smarts(folder / "wehi_pains.csv", 0, header=False)]

    def passes(mol: Mol) -> bool:
        if any(len(ring) >= 8 for ring in mol.GetRingInfo().AtomRings()):
            return False
        if any(atom.GetFormalCharge() or atom.GetSymbol() not in FILTER_ATOMS for atom in mol.GetAtoms()):
            return False
        full = Chem.AddHs(mol)
        return not any(full.HasSubstructMatch(pattern) for pattern in patterns)

    return [passes(mol) for mol in mols]


def _smarts(path: Path, column: int, header: bool) -> list[str]:
    try:
        with open(path, newline="", encoding="utf-8") as stream:
            rows = [row[column].strip() for row in csv.reader(stream) if len(row) > column]
    except OSError as error:
        raise FourfoldError(f"{path} cannot be read: {error.strerror}; it is in the wheel molsets==0.3.1") from None
    return rows[int(header) :]
