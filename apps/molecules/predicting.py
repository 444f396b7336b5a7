"""Predicting a property of molecules from a table of one's own: descriptors, trees, honest intervals.

RDKit's descriptors and extremely randomised trees (Geurts et al. 2006, scikit-learn's) are hard to beat on the few
hundred to some ten thousand molecules that people have measured. Errors are those of molecules whose scaffold was left
out; from them come the intervals (normalised split conformal prediction, Lei et al. 1604.04173), and a molecule that is
unlike all training molecules is said to be.

A model is a folder of model.json and trees.safetensors; loading executes nothing.
"""

from __future__ import annotations

import logging
import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from apps.molecules import chemistry
from apps.molecules import moses_metrics as metrics
from apps.molecules.data import are_numbers, read_targets
from core.data.unfinished import Part, in_memory
from core.errors import FourfoldError, did_you_mean, require
from core.files import read_json, write_atomically, write_json
from core.runtime import cpu_count
from core.serialization import from_dict, to_dict
from core.waiting import waiting

if TYPE_CHECKING:
    from rdkit.Chem import Mol
    from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor

TREES = 300
FOLDS = 5
FEWEST = 50  # molecules that a model can be fitted to
COVERED = 0.9  # of molecules, by their intervals
UNLIKE = 0.05  # of training molecules are less like the others than this share: so is what is called outside
LARGEST = 1e6  # of a descriptor's values; larger ones are cut
AT_ONCE = 100  # molecules of a job
SLOW = ("Ipc", "AvgIpc")  # descriptors without bound, which say nothing more
FACTS, ARRAYS = "model.json", "trees.safetensors"

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a property model is, besides its trees.

    Attributes:
        target: the column; classes: its classes in order, none of numbers.
        descriptors: RDKit's, by name; molecules: that it was fitted to.
        factor, least: an interval is the prediction, give or take factor * (spread of the trees + least); of classes,
            all whose share of trees is at least 1 - factor.
        low, high, deviation: of training values: the 5th and the 95th percentile, and their standard deviation.
        outside: nearest Tanimoto similarity to training molecules below which a molecule is unlike them.
        measured: by name, on molecules whose scaffolds were left out, beside the "baseline" that knows no molecule.
    """

    target: str
    classes: tuple[str, ...]
    descriptors: tuple[str, ...]
    molecules: int
    factor: float
    least: float
    low: float
    high: float
    deviation: float
    outside: float
    measured: dict[str, float]


@dataclass(frozen=True)
class Trees:
    """A forest as arrays, nodes of all trees one after the other.

    Attributes:
        roots: `[T]`; left, right: `[M]`, the node itself where it is a leaf.
        feature, threshold: `[M]`: left is where the feature is at most the threshold.
        value: `[M, K]`: a number, or shares of K classes.
    """

    roots: np.ndarray
    left: np.ndarray
    right: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    value: np.ndarray

    @classmethod
    def of(cls, forest: ExtraTreesRegressor | ExtraTreesClassifier) -> Trees:
        """Those of a fitted forest of scikit-learn's."""
        parts: dict[str, list[np.ndarray]] = {name: [] for name in ("left", "right", "feature", "threshold", "value")}
        roots, start = [], 0
        for one in forest.estimators_:
            tree = one.tree_
            nodes, leaf = np.arange(tree.node_count), tree.children_left < 0
            parts["left"].append(start + np.where(leaf, nodes, tree.children_left))
            parts["right"].append(start + np.where(leaf, nodes, tree.children_right))
            parts["feature"].append(np.where(leaf, 0, tree.feature))
            parts["threshold"].append(tree.threshold)
            parts["value"].append(tree.value[:, 0])
            roots.append(start)
            start += tree.node_count
        made = {name: np.concatenate(some) for name, some in parts.items()}
        return cls(np.array(roots, np.int32), made["left"].astype(np.int32), made["right"].astype(np.int32),
                   made["feature"].astype(np.int32), made["threshold"], made["value"])

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """What each tree says of x `[N, D]`: `[T, N, K]`."""
        x = x.astype(np.float32)  # as scikit-learn compares
        node = np.repeat(self.roots[:, None], len(x), 1)
        rows = np.arange(len(x))
        while True:
            goes = x[rows, self.feature[node]] <= self.threshold[node]
            after = np.where(goes, self.left[node], self.right[node])
            if (after == node).all():
                return np.asarray(self.value[node])
            node = after


@dataclass(frozen=True)
class Prediction:
    """Of a molecule: a number with its interval, or a class with its share and all classes that may be; how like the
    nearest training molecule it is (Tanimoto), and whether that is too little to trust the prediction."""

    value: float | str
    low: float
    high: float
    possible: tuple[str, ...]
    nearest: float
    outside: bool


@dataclass(frozen=True)
class PropertyModel:
    """A fitted model; `prints`: fingerprints of its training molecules, uint8 `[M, 1024]`."""

    facts: Facts
    trees: Trees
    prints: np.ndarray

    def __call__(self, mols: Sequence[Mol]) -> list[Prediction]:
        """Predictions for valid molecules."""
        if not mols:
            return []
        facts = self.facts
        said = self.trees(describe(mols, facts.descriptors))
        like = metrics.nearest_similarity(chemistry.fingerprints(mols), self.prints)
        means, found = said.mean(0), []
        for row, (mean, near) in enumerate(zip(means, like, strict=True)):
            outside = bool(near < facts.outside)
            if facts.classes:
                possible = tuple(name for name, share in zip(facts.classes, mean, strict=True)
                                 if share >= 1 - facts.factor)
                best = int(mean.argmax())
                found.append(Prediction(facts.classes[best], float(mean[best]), 1.0, possible, float(near), outside))
                continue
            reach = facts.factor * (float(said[:, row, 0].std()) + facts.least)
            value = float(mean[0])
            found.append(Prediction(value, value - reach, value + reach, (), float(near), outside))
        return found

    def goal(self, wanted: str) -> Callable[[Sequence[Mol]], np.ndarray]:
        """What an objective asks of it, from 0 to 1: by default more of the number, or the last class; "2.5" or "2..3":
        a number near, or within; the name of a class.

        Raises:
            FourfoldError: `wanted` is no number, or no such class.
        """
        facts = self.facts
        if facts.classes:
            if wanted and wanted not in facts.classes:
                raise FourfoldError(f"{facts.target} has no class {wanted!r}: {did_you_mean(wanted, facts.classes)}")
            place = facts.classes.index(wanted) if wanted else -1
            return lambda mols: self._means(mols)[:, place].clip(0, 1)
        if not wanted:
            return lambda mols: ((self._means(mols)[:, 0] - facts.low) / (facts.high - facts.low)).clip(0, 1)
        low, high = ends(wanted)
        return lambda mols: near(self._means(mols)[:, 0], low, high, facts.deviation / 2)

    def _means(self, mols: Sequence[Mol]) -> np.ndarray:
        return np.asarray(self.trees(describe(mols, self.facts.descriptors)).mean(0))


def ends(text: str) -> tuple[float, float]:
    """ "2..4" -> (2, 4); "3" -> (3, 3).

    Raises:
        FourfoldError: it is neither.
    """
    parts = text.split("..")
    try:
        low, high = float(parts[0]), float(parts[-1])
    except ValueError:
        low = high = math.nan
    if len(parts) > 2 or not math.isfinite(low + high) or low > high:
        raise FourfoldError(f"{text!r} must be a number, or a range such as 2..4")
    return low, high


def near(values: np.ndarray, low: float, high: float, width: float) -> np.ndarray:
    """1 within [low, high], and a bell of that width beside it."""
    outside = np.maximum(np.maximum(low - values, values - high), 0)
    return np.asarray(np.exp(-0.5 * (outside / width) ** 2))


def rows(model: PropertyModel, smiles: Sequence[str]) -> list[dict[str, float | str]]:
    """Predictions of valid molecules as rows of a table."""
    made: list[dict[str, float | str]] = []
    for start in range(0, len(smiles), 1000):
        some = smiles[start : start + 1000]
        for text, one in zip(some, model(chemistry.valid_molecules(some)), strict=True):
            certain: dict[str, float | str] = (
                {"share": one.low, "possible": " ".join(one.possible)} if model.facts.classes else
                {"low": one.low, "high": one.high})
            made.append({"smiles": text, model.facts.target: one.value, **certain, "nearest": one.nearest,
                         "outside": "yes" if one.outside else "no"})
    return made


# ------------------------------------------------------------------------------------------------------- descriptors


def descriptor_names() -> tuple[str, ...]:
    """RDKit's descriptors that are used."""
    from rdkit.Chem import Descriptors

    return tuple(name for name, _ in Descriptors.descList if name not in SLOW)


def describe(mols: Sequence[Mol], names: Sequence[str]) -> np.ndarray:
    """Descriptors float32 `[N, D]`; what is not a number is 0, what is very large is cut.

    Raises:
        FourfoldError: this RDKit lacks one.
    """
    from rdkit import rdBase
    from rdkit.Chem import Descriptors

    functions = dict(Descriptors.descList)
    lost = [name for name in names if name not in functions]
    if lost:
        raise FourfoldError(f"this RDKit has no descriptor {lost[0]!r}: fit the model again")
    rows = np.zeros((len(mols), len(names)))
    with rdBase.BlockLogs():
        for row, mol in zip(rows, mols, strict=True):
            for place, name in enumerate(names):
                try:
                    row[place] = functions[name](mol)
                except Exception:  # of odd molecules some descriptors fail, each in its own way
                    row[place] = 0
    return np.nan_to_num(rows, nan=0, posinf=LARGEST, neginf=-LARGEST).clip(-LARGEST, LARGEST).astype(np.float32)


def _described(names: Sequence[str], smiles: Sequence[str]) -> Part:
    return {"x": describe(chemistry.valid_molecules(smiles), names)}, {}


def described(smiles: Sequence[str], names: Sequence[str]) -> np.ndarray:
    """`describe` of valid molecules, in all cores where it takes long."""
    jobs = [list(smiles[at : at + AT_ONCE]) for at in range(0, len(smiles), AT_ONCE)]
    arrays, _ = in_memory(partial(_described, names), jobs, what="computing descriptors",
                          sizes=[len(job) for job in jobs])
    return arrays["x"]


# ----------------------------------------------------------------------------------------------------------- fitting


def fit(path: Path, target: str, *, column: str | None = None, seed: int = 0) -> PropertyModel:
    """A model of a table's column: of numbers, or of classes where it has words or at most ten different numbers.

    Rows that cannot be read or lack a value are left out, molecules that come again are one; both are said.

    Raises:
        FourfoldError: no such column, fewer than 50 molecules, or a single value.
    """
    smiles, cells = _merged(path, target, column)
    if are_numbers(cells):
        return fitted(smiles, np.array([float(cell) for cell in cells]), target, seed=seed)
    classes = sorted(set(cells))
    return fitted(smiles, np.array([classes.index(cell) for cell in cells]), target, tuple(classes), seed=seed)


def _merged(path: Path, target: str, column: str | None) -> tuple[list[str], list[str]]:
    """Canonical SMILES of a table, each once, and their cells of `target`."""
    values: dict[str, list[str]] = {}
    rows = read_targets(path, target, column)
    invalid, empty = [], 0
    for (line, text, cell), smiles in zip(rows, chemistry.canonical([text for _, text, _ in rows]), strict=True):
        if smiles is None:
            invalid.append(f"line {line:,}: {text!r}")
        elif not cell:
            empty += 1
        else:
            values.setdefault(smiles, []).append(cell)
    if invalid:
        log.warning("%s: skipped %s rows that are no valid SMILES (%s%s)", path.name, f"{len(invalid):,}",
                    "; ".join(invalid[:3]), " ..." if len(invalid) > 3 else "")
    if empty:
        log.warning("%s: skipped %s rows without a value of %s", path.name, f"{empty:,}", target)
    again = sum(len(cells) > 1 for cells in values.values())
    numbers = are_numbers([cell for cells in values.values() for cell in cells])
    if numbers:
        merged = {text: str(np.mean([float(cell) for cell in cells])) for text, cells in values.items()}
    else:
        merged = {text: cells[0] for text, cells in values.items() if len(set(cells)) == 1}
    if again:
        log.warning("%s: %s molecules come more than once: %s", path.name, f"{again:,}",
                    "they have the mean of their values" if numbers else
                    f"{len(values) - len(merged):,} of them, of different classes, are left out")
    require(len(merged) >= FEWEST, "the number of molecules with a value", len(merged), f"must be at least {FEWEST}")
    require(len(set(merged.values())) > 1, f"column {target}", next(iter(merged.values())), "is the same everywhere")
    return list(merged), list(merged.values())


def fitted(
    smiles: Sequence[str], y: np.ndarray, target: str, classes: tuple[str, ...] = (), *, seed: int = 0
) -> PropertyModel:
    """A model of different valid canonical molecules and their values `[N]`, or numbers of their `classes`."""
    from sklearn.model_selection import GroupKFold

    names = descriptor_names()
    x = described(smiles, names)
    mols = chemistry.valid_molecules(smiles)
    prints = chemistry.fingerprints(mols).astype(np.uint8)
    groups = scaffold_groups(mols)
    width = len(classes) or 1
    out, spread = np.zeros((len(y), width)), np.zeros(len(y))
    with waiting("fitting trees", FOLDS + 1) as wait:
        for done, (train, test) in enumerate(GroupKFold(FOLDS).split(x, groups=groups), 1):
            said = _grown(x[train], y[train], width, seed)(x[test])
            out[test], spread[test] = said.mean(0), said[:, :, 0].std(0)
            wait.step(done)
        trees = _grown(x, y, width, seed)
    facts = Facts(
        target=target, classes=classes, descriptors=names, molecules=len(y), factor=0.0, least=0.0,
        low=float(np.quantile(y, 0.05)), high=float(np.quantile(y, 0.95)), deviation=float(y.std()),
        outside=_usual(prints), measured={},
    )
    facts = _calibrated_classes(facts, out, y) if classes else _calibrated(facts, out[:, 0], spread, y)
    if facts.low >= facts.high:
        facts = replace(facts, low=float(y.min()), high=float(y.max()))
    return PropertyModel(facts, trees, prints)


def scaffold_groups(mols: Sequence[Mol]) -> np.ndarray:
    """A number `[N]` for each Murcko scaffold; molecules without rings are each alone."""
    names = [next(iter(chemistry.scaffolds([mol], min_rings=1)), f"no ring {index}") for index, mol in enumerate(mols)]
    return np.unique(names, return_inverse=True)[1]


def _grown(x: np.ndarray, y: np.ndarray, width: int, seed: int) -> Trees:
    """A forest for numbers (`width` 1), or for classes numbered below `width`, which may not all be there."""
    from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor

    if width == 1:
        return Trees.of(ExtraTreesRegressor(TREES, random_state=seed, n_jobs=cpu_count()).fit(x, y))
    forest = ExtraTreesClassifier(TREES, random_state=seed, n_jobs=cpu_count()).fit(x, y)
    trees = Trees.of(forest)
    value = np.zeros((len(trees.value), width))
    value[:, forest.classes_.astype(int)] = trees.value / trees.value.sum(1, keepdims=True)
    return replace(trees, value=value)


def _usual(prints: np.ndarray) -> float:
    """The nearest similarity that 5 % of molecules are below, each compared with all others."""
    alike = []
    for start in range(0, len(prints), 1000):
        some = metrics.tanimoto(prints[start : start + 1000].astype(np.float32), prints.astype(np.float32))
        some[np.arange(len(some)), start + np.arange(len(some))] = 0
        alike.append(some.max(1))
    return float(np.quantile(np.concatenate(alike), UNLIKE))


def _quantile(scores: np.ndarray) -> float:
    """What `COVERED` of new scores are below, by those of as good as new molecules."""
    place = math.ceil((len(scores) + 1) * COVERED)
    return float(np.sort(scores)[min(place, len(scores)) - 1])


def _calibrated(facts: Facts, mean: np.ndarray, spread: np.ndarray, y: np.ndarray) -> Facts:
    error, least = np.abs(y - mean), float(np.median(spread))
    factor = _quantile(error / (spread + least))
    measured = {
        "rmse": float(np.sqrt((error**2).mean())), "rmse_baseline": float(y.std()), "mae": float(error.mean()),
        "r2": float(1 - (error**2).mean() / y.var()), "mean_interval": float(2 * factor * (spread + least).mean()),
    }
    return replace(facts, factor=factor, least=least, measured=measured)


def _calibrated_classes(facts: Facts, shares: np.ndarray, y: np.ndarray) -> Facts:
    from sklearn.metrics import roc_auc_score

    measured = {"accuracy": float((shares.argmax(1) == y).mean()),
                "accuracy_baseline": float(np.bincount(y).max() / len(y))}
    if len(facts.classes) == 2:
        measured["roc_auc"] = float(roc_auc_score(y, shares[:, 1]))
    return replace(facts, factor=_quantile(1 - shares[np.arange(len(y)), y]), measured=measured)


# ------------------------------------------------------------------------------------------------------------- files


def save(model: PropertyModel, folder: Path) -> list[Path]:
    """Write a model folder."""
    from safetensors.numpy import save as packed

    content = packed({name: np.ascontiguousarray(value) for name, value in vars(model.trees).items()} | {
        "prints": np.packbits(model.prints, axis=1)})
    write_atomically(folder / ARRAYS, content)
    write_json(folder / FACTS, {"format": 1, "checksum": zlib.crc32(content), "facts": to_dict(model.facts)})
    return [folder / FACTS, folder / ARRAYS]


def load(folder: Path) -> PropertyModel:
    """The model in a folder that `save` wrote; nothing that is read is executed.

    Raises:
        FourfoldError: it is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load as unpacked

    if not (folder / FACTS).is_file():
        raise FourfoldError(f"{folder} holds no property model: `fourfold molecules fit` makes one")
    told = read_json(folder / FACTS)
    try:
        content = (folder / ARRAYS).read_bytes()
        require(zlib.crc32(content) == told.get("checksum"), str(folder / ARRAYS), len(content), "bytes are damaged")
        arrays = dict(unpacked(content))
        prints = np.unpackbits(arrays.pop("prints"), axis=1)
        return PropertyModel(from_dict(Facts, told["facts"], "facts"), Trees(**arrays), prints)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise FourfoldError(f"{folder} is damaged ({type(error).__name__}): fit the model again") from error
