"""RDKit behind a few functions on lists of SMILES: validity, properties, fingerprints; its log is silenced.

RDKit is imported when first used (0.1 s).
"""

from __future__ import annotations

import gzip
import pickle
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.errors import FourfoldError, did_you_mean

if TYPE_CHECKING:
    from rdkit.Chem import Mol

# Name -> (unit, what it is); in the order they are listed to the user.
PROPERTIES = {
    "logp": ("log10 of the octanol/water partition", "Crippen's logP"),
    "qed": ("0 to 1", "quantitative estimate of drug-likeness"),
    "weight": ("g/mol", "average molecular weight"),
    "tpsa": ("square angstrom", "topological polar surface area"),
    "sa": ("1 easy to 10 hard", "synthetic accessibility"),
}


LONGEST = 5_000  # characters of a SMILES string; RDKit takes over a second for a chain of so many, and dies of 20,000


def molecules(smiles: Sequence[str]) -> list[Mol | None]:
    """RDKit molecules, None where a string is not a valid molecule (or has no atoms, or is too long to be tried).

    Raises:
        FourfoldError: RDKit is missing or cannot be loaded, with what to install.
    """
    try:
        from rdkit import Chem, rdBase
    except ImportError as error:
        raise FourfoldError(f"RDKit does not load ({error}): pip install rdkit") from None
    with rdBase.BlockLogs():
        parsed = [Chem.MolFromSmiles(text) if len(text) <= LONGEST else None for text in smiles]
    return [mol if mol is not None and mol.GetNumAtoms() else None for mol in parsed]


def valid_molecules(smiles: Sequence[str]) -> list[Mol]:
    """The RDKit molecules of those strings that are valid."""
    return [mol for mol in molecules(smiles) if mol is not None]


def canonical(smiles: Sequence[str]) -> list[str | None]:
    """Canonical SMILES, None for what is not a valid molecule."""
    found: list[str | None] = []
    for start in range(0, len(smiles), 1000):  # molecules take a hundred times the memory of their SMILES
        parsed = molecules(smiles[start : start + 1000])
        from rdkit.Chem import MolToSmiles

        found += [None if mol is None else MolToSmiles(mol) for mol in parsed]
    return found


def valid_canonical(smiles: Sequence[str]) -> list[str]:
    """Canonical SMILES of those strings that are valid molecules."""
    return [text for text in canonical(smiles) if text is not None]


def check_properties(names: Sequence[str]) -> None:
    """Refuse property names that are not known.

    Raises:
        FourfoldError: a name is unknown or given twice.
    """
    for name in names:
        if name not in PROPERTIES:
            raise FourfoldError(f"no property {name!r}: {did_you_mean(name, PROPERTIES)}")
    if len(set(names)) < len(names):
        raise FourfoldError(f"properties are {list(names)}: name each once")


@cache
def _property(name: str) -> Callable[[Mol], float]:
    from rdkit.Chem import QED, Descriptors, rdMolDescriptors

    functions: dict[str, Callable[[Mol], float]] = {
        "logp": lambda mol: rdMolDescriptors.CalcCrippenDescriptors(mol)[0],
        "qed": QED.qed,
        "weight": Descriptors.MolWt,  # type: ignore[attr-defined]  # RDKit's stubs lack what is made by lambdas
        "tpsa": rdMolDescriptors.CalcTPSA,
        "sa": synthetic_accessibility,
    }
    return functions[name]


def properties(mols: Sequence[Mol], names: Sequence[str]) -> np.ndarray:
    """Float64 `[N, len(names)]` in the units of `PROPERTIES`."""
    check_properties(names)
    functions = [_property(name) for name in names]
    return np.array([[function(mol) for function in functions] for mol in mols], float).reshape(len(mols), len(names))


class NumbersOnly(pickle.Unpickler):
    """Reads lists of numbers; anything that would import or call code is refused."""

    def find_class(self, module: str, name: str) -> object:
        raise FourfoldError(f"the table of fragment scores asks for {module}.{name}: it is not the one RDKit ships")


def synthetic_accessibility(mol: Mol) -> float:
    """SA score, 1 (easy) to 10 (hard), of Ertl & Schuffenhauer 2009, by RDKit's own contributed code."""
    return float(_sa_score()(mol))


@cache
def _sa_score() -> Callable[[Mol], float]:
    try:
        from rdkit.Contrib.SA_Score import sascorer
    except ImportError as error:
        raise FourfoldError(f"RDKit's SA_Score does not load ({error}): pip install --upgrade rdkit") from None
    # RDKit would unpickle its table; numbers are all it holds, so numbers are all that is read.
    with gzip.open(Path(sascorer.__file__).with_name("fpscores.pkl.gz")) as stream:
        table = NumbersOnly(stream).load()
    sascorer._fscores = {fragment: float(row[0]) for row in table for fragment in row[1:]}
    score: Callable[[Mol], float] = sascorer.calculateScore
    return score


def fingerprints(mols: Sequence[Mol], bits: int = 1024, radius: int = 2) -> np.ndarray:
    """Morgan fingerprints, float32 0/1 `[N, bits]`."""
    from rdkit.Chem import rdFingerprintGenerator

    generator = rdFingerprintGenerator.GetMorganGenerator(radius=radius, fpSize=bits)
    return np.array([generator.GetFingerprintAsNumPy(mol) for mol in mols], np.float32).reshape(len(mols), bits)


def fragments(mols: Sequence[Mol]) -> Counter[str]:
    """How often each BRICS fragment occurs."""
    from rdkit.Chem import FragmentOnBRICSBonds, MolToSmiles

    return Counter(part for mol in mols for part in MolToSmiles(FragmentOnBRICSBonds(mol)).split("."))


def scaffolds(mols: Sequence[Mol], min_rings: int = 2) -> Counter[str]:
    """How often each Bemis-Murcko scaffold of at least `min_rings` rings occurs."""
    from rdkit.Chem import MolToSmiles
    from rdkit.Chem.Scaffolds import MurckoScaffold

    found: Counter[str] = Counter()
    for mol in mols:
        try:
            frame = MurckoScaffold.GetScaffoldForMol(mol)  # type: ignore[no-untyped-call]
        except (ValueError, RuntimeError):  # of a few odd molecules RDKit finds none; MOSES leaves them out too
            continue
        if frame.GetRingInfo().NumRings() >= min_rings:
            found[MolToSmiles(frame)] += 1
    return found
