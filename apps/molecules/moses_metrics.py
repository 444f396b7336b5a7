"""The published measures of generated molecules, defined as MOSES defines them (Polykovskiy et al. 2020, 1811.12823).

A share of valid, unique or new molecules says little alone: C, CC, CCC ... is valid, unique and new. The Fréchet
ChemNet distance compares whole distributions, and is the headline.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from apps.molecules import chemistry, chemnet
from apps.molecules.data import moses_file
from core.errors import FourfoldError
from core.metrics.frechet import frechet_distance

if TYPE_CHECKING:
    from rdkit.Chem import Mol

COMPARED = ("logp", "sa", "qed", "weight")  # properties whose distributions MOSES compares
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


def internal_diversity(fingerprints: np.ndarray, powers: Sequence[int] = (1,)) -> list[float]:
    """1 - (mean over pairs, each with itself included, of Tanimoto similarity^p)^(1/p) for each p of `powers`; 0 to 1.
    """
    if not len(fingerprints):
        return [0.0] * len(powers)
    means: list[list[np.ndarray]] = [[] for _ in powers]
    for start in range(0, len(fingerprints), 1000):
        alike = tanimoto(fingerprints[start : start + 1000], fingerprints)
        for power, parts in zip(powers, means, strict=True):
            parts.append((alike**power if power > 1 else alike).mean(1))
    return [float(1 - (np.concatenate(parts) ** (1 / power)).mean())
            for power, parts in zip(powers, means, strict=True)]


def nearest_similarity(fingerprints: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Tanimoto similarity `[N]` of each fingerprint to its nearest in the reference `[M, D]`; SNN is their mean."""
    # Of references with the same number of bits, the nearest is that which shares the most: only its similarity counts.
    bits = reference.sum(1, dtype=np.int64)
    rows = bits.argsort(kind="stable")
    bits, own = bits[rows], fingerprints.sum(1, dtype=np.float32)
    nearest = np.zeros(len(fingerprints), np.float32)
    for start in range(0, len(rows), 8192):
        block, numbers = reference[rows[start : start + 8192]].astype(np.float32), bits[start : start + 8192]
        edges = np.flatnonzero(np.diff(numbers, prepend=-1, append=-1))
        for first in range(0, len(fingerprints), 2048):
            part = slice(first, first + 2048)
            common = fingerprints[part] @ block.T
            for low, high in pairwise(edges):
                most = common[:, low:high].max(1)
                union = own[part] + numbers[low] - most
                alike = np.where(union > 0, most / np.maximum(union, 1), 1)  # two empty ones are alike
                np.maximum(nearest[part], alike, out=nearest[part])
    return nearest


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


def passes_filters(mols: Sequence[Mol]) -> list[bool]:
    """Whether each molecule passes MOSES' filters: rings below 8 atoms, no charge, common elements, no MCF or PAINS.

    Raises:
        FourfoldError: the filters cannot be read.
    """
    from rdkit import Chem

    patterns, needed = _filters()

    def passes(mol: Mol) -> bool:
        if any(len(ring) >= 8 for ring in mol.GetRingInfo().AtomRings()):
            return False
        if any(atom.GetFormalCharge() or atom.GetSymbol() not in FILTER_ATOMS for atom in mol.GetAtoms()):
            return False
        full = Chem.AddHs(mol)
        # A pattern can only be where all bits of its pattern fingerprint are: 30 of 500 are left to be looked for.
        possible = np.flatnonzero(~(needed & ~_pattern_bits(full)).any(1))
        return not any(full.HasSubstructMatch(patterns[i]) for i in possible)

    return [passes(mol) for mol in mols]


@cache
def _filters() -> tuple[list[Mol], np.ndarray]:
    """The patterns, and their pattern fingerprints as packed bits."""
    from rdkit import Chem

    smarts = _smarts(moses_file("mcf.csv"), 1, header=True) + _smarts(moses_file("wehi_pains.csv"), 0, header=False)
    patterns = [Chem.MolFromSmarts(text) for text in smarts]
    return patterns, np.stack([_pattern_bits(pattern) for pattern in patterns])


def _pattern_bits(mol: Mol) -> np.ndarray:
    from rdkit.Chem import PatternFingerprint
    from rdkit.DataStructs import BitVectToBinaryText

    return np.frombuffer(BitVectToBinaryText(PatternFingerprint(mol, fpSize=2048)), np.uint8)


def _smarts(path: Path, column: int, header: bool) -> list[str]:
    try:
        with open(path, newline="", encoding="utf-8") as stream:
            rows = [row[column].strip() for row in csv.reader(stream) if len(row) > column]
    except OSError as error:
        raise FourfoldError(f"{path} cannot be read: {error.strerror}; it is in the wheel molsets==0.3.1") from None
    return rows[int(header) :]
