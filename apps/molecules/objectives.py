"""What molecules are optimised for: a weighted product of objectives, each from 0 to 1, written in a few words.

    qed                      drug-likeness as it is; sa: ease of synthesis, 1 for the easiest
    logp=2.5  weight=300..400   a property near a value, or within a range (logp, qed, weight, tpsa, sa)
    similar:SMILES           Tanimoto similarity of Morgan fingerprints to a molecule
    has:SMARTS  lacks:SMARTS    a substructure that must, or must not, be there
    model:FOLDER             what a `predict` model says, from 0 to 1 over its training values; model:FOLDER=-2 near one
    call:MODULE:FUNCTION     a function of yours of a SMILES string, in a process of its own
    2*qed                    twice the weight
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from apps.molecules import chemistry, predicting
from apps.molecules.codec import shortened
from core.data.unfinished import quiet
from core.errors import FourfoldError, did_you_mean, require
from core.files import one_line

if TYPE_CHECKING:
    from joblib.externals.loky import ProcessPoolExecutor
    from rdkit.Chem import Mol

Score = Callable[[Sequence[str], "Sequence[Mol]"], np.ndarray]
"""Canonical SMILES and their molecules -> scores `[N]` in [0, 1]."""
WIDTHS = {"logp": 1.0, "qed": 0.1, "weight": 50.0, "tpsa": 20.0, "sa": 1.0}
"""How far from what is wanted a property has lost two fifths of its score."""
KINDS = ("similar", "has", "lacks", "model", "call")
STARTING = 60.0
"""Seconds that a user's module may take to be imported."""


@dataclass(frozen=True)
class Objective:
    """One of several that are multiplied: its words, its weight, its scores."""

    text: str
    weight: float
    score: Score


def parse(text: str, seconds: float = 60.0) -> Objective:
    """An objective from a user's words; `seconds` that a function of the user's may take for a molecule.

    Raises:
        FourfoldError: the words are none of those above, a molecule or pattern is not valid, a model or function is
            not there.
    """
    found = re.match(r"(\d+(?:\.\d+)?)\*(?=[A-Za-z])", text)
    weight, words = (float(found[1]), text[found.end():]) if found else (1.0, text)
    require(0 < weight <= 1e6, "the weight of an objective", weight, "must be more than 0")
    kind, colon, rest = words.partition(":")
    if colon:
        makers: dict[str, Callable[[str], Score]] = {
            "similar": _similar, "has": _has, "lacks": _lacks, "model": _model, "call": lambda to: Call(to, seconds)}
        if kind not in makers:
            raise FourfoldError(f"objective {shortened(text)!r}: {did_you_mean(kind, KINDS)}")
        return Objective(text, weight, makers[kind](rest))
    return Objective(text, weight, _property(words, text))


def product(objectives: Sequence[Objective], smiles: Sequence[str]) -> np.ndarray:
    """The weighted geometric mean `[N]` of the objectives' scores of valid canonical SMILES.

    Raises:
        FourfoldError: a score is no number from 0 to 1, or a user's function failed.
    """
    mols = chemistry.valid_molecules(smiles)
    total = np.zeros(len(smiles))
    for objective in objectives:
        scores = np.asarray(objective.score(smiles, mols), float)
        wrong = np.flatnonzero(~((scores >= 0) & (scores <= 1)))  # NaN is neither
        if len(wrong):
            raise FourfoldError(f"objective {shortened(objective.text)!r} gives {scores[wrong[0]]:g} for "
                                f"{smiles[wrong[0]]}: must be a number from 0 to 1")
        with np.errstate(divide="ignore"):
            total += objective.weight * np.log(scores)
    return np.asarray(np.exp(total / sum(objective.weight for objective in objectives)))


def _property(words: str, text: str) -> Score:
    name, equals, value = (part.strip() for part in words.partition("="))
    if name not in WIDTHS:
        known = [*WIDTHS, *(f"{kind}:" for kind in KINDS)]
        raise FourfoldError(f"objective {shortened(text)!r}: {did_you_mean(name, known)}")
    if not equals and name in ("qed", "sa"):
        return lambda smiles, mols: (
            chemistry.properties(mols, ["qed"])[:, 0] if name == "qed" else
            ((10 - chemistry.properties(mols, ["sa"])[:, 0]) / 9).clip(0, 1))
    try:
        low, high = predicting.ends(value)
    except FourfoldError as error:
        raise FourfoldError(f"objective {shortened(text)!r}: {error}") from None
    return lambda smiles, mols: predicting.near(chemistry.properties(mols, [name])[:, 0], low, high, WIDTHS[name])


def _similar(smiles: str) -> Score:
    from rdkit.Chem import rdFingerprintGenerator
    from rdkit.DataStructs import BulkTanimotoSimilarity

    (wanted,) = chemistry.molecules([smiles])
    if wanted is None:
        raise FourfoldError(f"objective similar: {shortened(smiles)!r} is not valid SMILES")
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    bits = generator.GetFingerprint(wanted)
    return lambda smiles, mols: np.array(BulkTanimotoSimilarity(bits, [generator.GetFingerprint(mol) for mol in mols]))


def _has(smarts: str) -> Score:
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():
        pattern = Chem.MolFromSmarts(smarts)
    if pattern is None or not pattern.GetNumAtoms():
        raise FourfoldError(f"objective has: or lacks: {shortened(smarts)!r} is not valid SMARTS")
    return lambda smiles, mols: np.array([float(mol.HasSubstructMatch(pattern)) for mol in mols])


def _lacks(smarts: str) -> Score:
    has = _has(smarts)
    return lambda smiles, mols: 1 - has(smiles, mols)


def _model(words: str) -> Score:
    folder, _, wanted = words.partition("=")
    goal = predicting.load(Path(folder)).goal(wanted)
    return lambda smiles, mols: goal(mols)


class Call:
    """A function of the user's, "module:function", of a SMILES string, in a process of its own, which is ended when it
    hangs; modules are looked for in the current folder too.

    Raises:
        FourfoldError: it cannot be imported.
    """

    def __init__(self, target: str, seconds: float) -> None:
        module, colon, function = target.partition(":")
        if not (module and colon and function):
            raise FourfoldError(f"objective call:{shortened(target)}: must look like call:module:function")
        self.module, self.function, self.seconds = module, function, seconds
        self.executor: ProcessPoolExecutor | None = None
        self._ask("", STARTING, "to be imported")

    def __call__(self, smiles: Sequence[str], mols: Sequence[Mol]) -> np.ndarray:
        return np.array([self._ask(text, self.seconds, f"for {text}") for text in smiles])

    def _ask(self, smiles: str, seconds: float, what: str) -> float:
        from concurrent.futures import TimeoutError as Late

        from joblib.externals.loky import ProcessPoolExecutor

        if self.executor is None:
            self.executor = ProcessPoolExecutor(1, initializer=quiet, env={"OMP_NUM_THREADS": "1"})
        name = f"objective call:{self.module}:{self.function}"
        try:
            asked = self.executor.submit(_called, os.getcwd(), self.module, self.function, smiles)
            value, problem = asked.result(seconds)
        except Late:
            self._end()
            raise FourfoldError(f"{name} took more than {seconds:g} seconds {what}: make it faster, or give it more "
                                "with --timeout") from None
        except Exception as error:  # the process died: loky raises several kinds
            self._end()
            raise FourfoldError(f"{name} ended its process {what} ({type(error).__name__})") from None
        if problem:
            self._end()
            raise FourfoldError(f"{name} {problem}{f' {what}' if smiles else ''}")
        return float(value)

    def _end(self) -> None:
        if self.executor is not None:
            self.executor.shutdown(kill_workers=True)
            self.executor = None


def _called(folder: str, module: str, function: str, smiles: str) -> tuple[float, str]:
    """In the other process: what the function returns for a molecule, or what went wrong; nothing is asked of ""."""
    import importlib
    import sys

    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        called = getattr(importlib.import_module(module), function)
    except Exception as error:  # whatever a user's module does as it is imported
        return math.nan, f"cannot be imported: {type(error).__name__}: {one_line(error)}"
    if not callable(called):
        return math.nan, "is no function"
    if not smiles:
        return 0.0, ""
    try:
        return float(called(smiles)), ""
    except Exception as error:  # whatever a user's function does
        return math.nan, f"raised {type(error).__name__}: {one_line(error)}"
