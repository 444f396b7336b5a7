"""PMO: goal-directed design in 10,000 calls (Gao et al. 2206.12411), the 20 tasks that need RDKit only.

    python -m benchmarks.pmo --run runs/molecules/zinc

The tasks' definitions are read, as data, from the wheel `molscore` (but for valsartan's pattern, which is another
task's there). Each task is searched by `optimize` with the run as its prior, and by a genetic algorithm that learns
nothing: molecules of ZINC-250k, crossed at single bonds and changed atom by atom. Writes benchmarks/results/pmo.json:
the AUC-top10 of each task and seed, and sums of tasks' means over seeds, beside published ones.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from apps.molecules import chemistry
from apps.molecules.domain import load
from apps.molecules.optimizing import Oracle, SearchConfig, auc_top_10, optimize
from benchmarks.results_file import FOLDER, write_result
from core.data.sources import in_data, package_files, read_text
from core.errors import FourfoldError
from core.seeds import derive

if TYPE_CHECKING:
    from rdkit.Chem import Mol

TRAINED = ("DRD2", "GSK3B", "JNK3")  # tasks whose oracle is a trained model
VALSARTAN = "CN(C=O)Cc1ccc(c2ccccc2)cc1"  # GuacaMol's (Brown et al. 1811.09621)
PUBLISHED = {"REINVENT (23 tasks)": 14.196, "Mol GA (these 20)": 12.23, "Genetic GFN (these 20)": 13.6}
POPULATION, OFFSPRING, MUTATED = 120, 70, 0.5

Measure = Callable[[Sequence[str], "Sequence[Mol]"], np.ndarray]


# ------------------------------------------------------------------------------------------------------------ tasks


@cache
def definitions() -> dict[str, dict[str, Any]]:
    """The 20 tasks by name."""
    folder = package_files("molscore", "1.9.5") / "configs" / "MolOpt"
    read = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}
    return {name: value for name, value in read.items() if name not in TRAINED}


def oracle(name: str) -> Oracle:
    """A task's scores of valid SMILES, 0 to 1."""
    task = definitions()[name]
    measures: dict[str, Measure] = {}
    for part in task["scoring_functions"]:
        if part["run"]:
            measures |= _measures(part["name"], part["parameters"])
    wanted = [(measures[metric["name"]], metric["modifier"], metric["parameters"])
              for metric in task["scoring"]["metrics"]]

    def scores(smiles: Sequence[str]) -> np.ndarray:
        mols = chemistry.valid_molecules(smiles)
        values = np.array([modified(measure(smiles, mols), modifier, settings)
                           for measure, modifier, settings in wanted])
        if task["scoring"]["method"] == "gmean":
            with np.errstate(divide="ignore"):
                return np.asarray(np.exp(np.log(values).mean(0)))
        return np.asarray(values.mean(0))  # "amean", and "single" of one

    return scores


def modified(x: np.ndarray, name: str, settings: dict[str, Any]) -> np.ndarray:
    """molscore's transformations "raw", "lin_thresh" (of what is to be maximised) and "gauss"."""
    if name == "raw":
        return x
    if name == "lin_thresh" and settings["objective"] == "maximize":
        return np.asarray(((x - settings["upper"]) / settings["buffer"] + 1).clip(0, 1))
    if name == "gauss":
        bell = np.exp(-0.5 * ((x - settings["mu"]) / settings["sigma"]) ** 2)
        good = {"range": x != x, "maximize": x >= settings["mu"], "minimize": x <= settings["mu"]}
        return np.where(good[settings["objective"]], 1.0, bell)
    raise FourfoldError(f"molscore's modifier {name!r} of {settings} is not known here")


def _measures(kind: str, settings: dict[str, Any]) -> dict[str, Measure]:
    """What one of molscore's scoring functions gives, by the names of its metrics."""
    from rdkit import Chem

    prefix = settings["prefix"]
    if kind in ("TanimotoSimilarity", "MolecularSimilarity"):
        return {f"{prefix}_Sim": _similarity(settings)}
    if kind in ("RDKitDescriptors", "MolecularDescriptors"):
        return {f"{prefix}_{name}": _each(function) for name, function in _descriptors().items()}
    if kind == "Isomer":
        wanted = _elements(settings["molecular_formula"])
        return {f"{prefix}_isomer_score": _each(lambda mol: isomer(mol, wanted))}
    if kind in ("SubstructureMatch", "SubstructureFilters"):
        match = kind == "SubstructureMatch"
        smarts = settings["smarts" if match else "custom_filters"][0]
        # molscore has another tilde, and a single bond in an aromatic ring, which not even the task's own molecule has
        smarts = smarts.replace("\u223c", "~").replace("]-c12", "]c12")
        pattern = Chem.MolFromSmarts(VALSARTAN if prefix == "s2" else smarts)
        name = f"{prefix}_substruct_{'match' if match else 'filt'}"
        return {name: _each(lambda mol: float(mol.HasSubstructMatch(pattern) == match))}
    raise FourfoldError(f"molscore's function {kind!r} is not known here")


def _each(function: Callable[[Mol], float]) -> Measure:
    return lambda smiles, mols: np.array([function(mol) for mol in mols], float)


def _descriptors() -> dict[str, Callable[[Mol], float]]:
    from rdkit.Chem import QED, Crippen, GraphDescriptors, rdMolDescriptors

    return {
        "RingCount": rdMolDescriptors.CalcNumRings, "TPSA": rdMolDescriptors.CalcTPSA, "CLogP": Crippen.MolLogP,  # type: ignore[attr-defined]  # made by a lambda
        "NumAromaticRings": rdMolDescriptors.CalcNumAromaticRings, "QED": QED.qed, "Bertz": GraphDescriptors.BertzCT,
        "FlourineCount": lambda mol: sum(atom.GetAtomicNum() == 9 for atom in mol.GetAtoms()),
    }


def _similarity(settings: dict[str, Any]) -> Measure:
    from rdkit.DataStructs import BulkTanimotoSimilarity

    prints = _prints(settings)
    (reference,) = chemistry.valid_molecules(settings["ref_smiles"])
    own = prints(reference)
    return lambda smiles, mols: np.array(BulkTanimotoSimilarity(own, [prints(mol) for mol in mols]))


def _prints(settings: dict[str, Any]) -> Callable[[Mol], Any]:
    """Counts of circular fragments or atom pairs, or 2-D pharmacophores."""
    from rdkit.Chem import rdFingerprintGenerator
    from rdkit.Chem.Pharm2D import Generate, Gobbi_Pharm2D

    if settings.get("fp") == "PHCO":
        return lambda mol: Generate.Gen2DFingerprint(mol, Gobbi_Pharm2D.factory)
    if settings.get("fp") == "AP":
        return rdFingerprintGenerator.GetAtomPairGenerator(maxDistance=10).GetSparseCountFingerprint
    invariants = {"atomInvariantsGenerator": rdFingerprintGenerator.GetMorganFeatureAtomInvGen()} if (
        settings["features"]) else {}
    return rdFingerprintGenerator.GetMorganGenerator(
        radius=settings["radius"], **invariants).GetSparseCountFingerprint


def _elements(formula: str) -> dict[str, int]:
    """ "C9H10N2" -> {"C": 9, "H": 10, "N": 2}."""
    return {element: int(count or 1) for element, count in re.findall(r"([A-Z][a-z]*)(\d*)", formula)}


def isomer(mol: Mol, wanted: dict[str, int]) -> float:
    """How near a molecule's formula is to another: the geometric mean of bells of each element's and of all atoms."""
    from rdkit.Chem.rdMolDescriptors import CalcMolFormula

    found = _elements(CalcMolFormula(mol))
    gaps = [found.get(element, 0) - wanted.get(element, 0) for element in {*found, *wanted}]
    bells = [np.exp(-0.5 * gap**2) for gap in gaps]
    bells.append(np.exp(-0.5 * ((sum(found.values()) - sum(wanted.values())) / 2) ** 2))
    return float(np.exp(np.mean(np.log(np.maximum(bells, 1e-6)))))


# ------------------------------------------------------------------------------------------------------- the baseline


def genetic(scores_of: Oracle, first: Sequence[str], calls: int, seed: int) -> list[float]:
    """A genetic algorithm on graphs, in the manner of Jensen (2019): scores in the order of the calls."""
    draws, scores = np.random.default_rng(seed), dict[str, float]()

    def score(texts: Sequence[str]) -> None:
        new = [text for text in dict.fromkeys(texts) if text not in scores][: calls - len(scores)]
        if new:
            scores.update(zip(new, scores_of(new).tolist(), strict=True))

    score(chemistry.valid_canonical(first))
    dry = 0
    while len(scores) < calls and dry < 50:
        best = sorted(scores, key=lambda text: -scores[text])[:POPULATION]
        mols = chemistry.valid_molecules(best)
        chances = np.array([scores[text] for text in best]) + 1e-6
        chances /= chances.sum()
        children = []
        for _ in range(OFFSPRING):
            mother, father = draws.choice(len(mols), 2, p=chances)
            child = crossed(mols[mother], mols[father], draws)
            if child is not None and draws.random() < MUTATED:
                child = mutated(child, draws)
            children.append(child)
        before = len(scores)
        score(chemistry.valid_canonical([text for text in map(_text, children) if text]))
        dry = dry + 1 if len(scores) == before else 0
    return list(scores.values())


def _text(mol: Mol | None) -> str:
    """A small molecule in one part, as SMILES; nothing of others."""
    from rdkit.Chem import MolToSmiles

    if mol is None or not 5 <= mol.GetNumAtoms() <= 60:
        return ""
    text = MolToSmiles(mol)
    return "" if "." in text else text


def crossed(a: Mol, b: Mol, draws: np.random.Generator) -> Mol | None:
    """A half of each, joined where they were cut: at single bonds between atoms that share no ring."""
    from rdkit.Chem import BondType, CombineMols, FragmentOnBonds, GetMolFrags, RWMol, SanitizeMol

    halves = []
    for mol in (a, b):
        bonds = [bond.GetIdx() for bond in mol.GetBonds()
                 if not bond.IsInRing() and bond.GetBondType() == BondType.SINGLE]
        if not bonds:
            return None
        pieces = GetMolFrags(FragmentOnBonds(mol, [int(draws.choice(bonds))]), asMols=True)
        halves.append(pieces[int(draws.integers(len(pieces)))])
    joined = RWMol(CombineMols(*halves))
    points = [atom.GetIdx() for atom in joined.GetAtoms() if atom.GetAtomicNum() == 0]
    ends = [joined.GetAtomWithIdx(point).GetNeighbors()[0].GetIdx() for point in points]
    joined.AddBond(ends[0], ends[1], BondType.SINGLE)
    for point in sorted(points, reverse=True):
        joined.RemoveAtom(point)
    return joined.GetMol() if not SanitizeMol(joined, catchErrors=True) else None


def mutated(mol: Mol, draws: np.random.Generator) -> Mol | None:
    """An atom changed, added or removed, or a bond's order changed, at random."""
    from rdkit.Chem import Atom, BondType, RWMol, SanitizeMol

    made = RWMol(mol)
    atom = made.GetAtomWithIdx(int(draws.integers(made.GetNumAtoms())))
    element = int(draws.choice([6, 6, 6, 7, 8, 9, 16, 17]))
    kind = draws.integers(4)
    if kind == 0:
        atom.SetAtomicNum(element)
        atom.SetNumExplicitHs(0)
    elif kind == 1:
        made.AddBond(atom.GetIdx(), made.AddAtom(Atom(element)), BondType.SINGLE)
    elif kind == 2 and atom.GetDegree() == 1:
        made.RemoveAtom(atom.GetIdx())
    elif kind == 3 and made.GetNumBonds():
        bond = made.GetBondWithIdx(int(draws.integers(made.GetNumBonds())))
        if not bond.GetIsAromatic():
            bond.SetBondType([BondType.SINGLE, BondType.DOUBLE][int(draws.integers(2))])
    return made.GetMol() if not SanitizeMol(made, catchErrors=True) else None


# --------------------------------------------------------------------------------------------------------------- all


def zinc(count: int, seed: int) -> list[str]:
    """Molecules of ZINC-250k."""
    path = in_data("molecules/zinc250k.smi.gz")
    if path is None:
        raise FourfoldError("molecules/zinc250k.smi.gz is not in $FOURFOLD_DATA: put wenhao-gao/mol_opt's file there")
    rows = read_text(path).split()
    return [rows[i] for i in np.random.default_rng(seed).permutation(len(rows))[:count]]


def main() -> None:
    """Search each task by both, print, write."""
    parser = argparse.ArgumentParser(description="PMO's 20 tasks.")
    parser.add_argument("--run", type=Path, help="the prior; without it, only the genetic baseline is measured")
    parser.add_argument("--tasks", nargs="*", help="names; all by default")
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--output", type=Path, default=FOLDER / "pmo.json")
    parser.add_argument("--quick", action="store_true", help="a task, 150 calls, no prior: checks the benchmark")
    options = parser.parse_args()
    names = options.tasks or list(definitions())
    if options.quick:
        names, options.calls, options.run = ["Perindopril_MPO"], 150, None
    unknown = set(names) - set(definitions())
    if unknown:
        parser.error(f"no such tasks: {', '.join(sorted(unknown))}; known: {', '.join(definitions())}")
    started = time.time()
    model = None if options.run is None else load(options.run)
    found: dict[str, dict[str, list[float]]] = {}
    for name in names:
        row: dict[str, list[float]] = {"genetic": [], **({} if model is None else {"optimize": []})}
        for seed in range(options.seeds):
            scores = genetic(oracle(name), zinc(POPULATION, derive(seed, 0)), options.calls, derive(seed, 1))
            row["genetic"].append(auc_top_10(scores, options.calls))
            if model is not None:
                config = SearchConfig(calls=options.calls, seed=seed, bucket=0)
                search = optimize(model, oracle(name), config)
                row["optimize"].append(auc_top_10(list(search.scores.values()), options.calls))
        found[name] = row
        print(name, {method: [round(value, 3) for value in values] for method, values in row.items()})
    sums = {f"sum_{method}": sum(float(np.mean(row[method])) for row in found.values())
            for method in next(iter(found.values()))}
    write_result(options.output, {
        "tasks": found, "calls": options.calls, "seeds": options.seeds, "published": PUBLISHED,
        "prior": None if model is None else model.recipe.name, **sums,
    }, started)


if __name__ == "__main__":
    main()
