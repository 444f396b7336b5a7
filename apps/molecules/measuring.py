"""MOSES' whole table of measures of any generated SMILES, against its published references or others."""

from __future__ import annotations

import logging
import pickle
import zipfile
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from apps.molecules import chemistry, chemnet
from apps.molecules import moses_metrics as metrics
from apps.molecules.data import moses_file, moses_smiles
from core.data.arrays import order
from core.data.unfinished import Part, in_memory
from core.errors import FourfoldError
from core.metrics.frechet import Moments
from core.metrics.memorization import memorization_test
from core.waiting import waiting

MOSES = {"Test": "test_stats.npz", "TestSF": "test_scaffolds_stats.npz"}
"""MOSES' test set, and that of scaffolds which training has not: files of published statistics."""
PROPERTIES = {"logP": "logp", "SA": "sa", "QED": "qed", "weight": "weight"}
"""Properties whose distributions are compared: MOSES' name, and ours."""
STANDARD = 30_000
"""Samples that published rows are of: the FCD of fewer is higher."""
TRAINING = {
    "FCD/Test": 0.008, "FCD/TestSF": 0.4755, "SNN/Test": 0.6419, "SNN/TestSF": 0.5859, "Frag/Test": 1.0,
    "Frag/TestSF": 0.9986, "Scaf/Test": 0.9907, "Scaf/TestSF": 0.0, "IntDiv": 0.8567, "IntDiv2": 0.8508, "Filters": 1.0,
}
"""What MOSES publishes of its own training molecules, all of them: 30,000 of these have a larger FCD and less Scaf."""
AT_ONCE = 250
"""Molecules of a job: about two seconds' work."""
COMPARED = 10_000
"""Training molecules among which near copies are looked for."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reference:
    """What is compared of V molecules.

    Attributes:
        moments: of their ChemNet features; None of fewer than two molecules.
        bits: of their Morgan fingerprints, uint8 `[V, 1024]`.
        fragments, scaffolds: how often each BRICS fragment, and each scaffold of two rings or more, occurs.
        values: float `[V]` of each of `PROPERTIES`, by MOSES' names.
    """

    moments: Moments | None
    bits: np.ndarray
    fragments: Counter[str]
    scaffolds: Counter[str]
    values: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Samples(Reference):
    """The same of generated molecules: `canonical`, their SMILES, and `passes` `[V]`, whether filters let them pass."""

    canonical: Sequence[str]
    passes: np.ndarray


def measure(
    samples: Sequence[str], *, references: Mapping[str, Sequence[str]] | None = None,
    train: Collection[str] | None = None, unique_at: Sequence[int] = (1_000, 10_000),
) -> dict[str, float]:
    """MOSES' measures of generated SMILES, valid or not, as they were drawn: nothing filtered, none left out.

    "FCD/Test" is the distance to the reference "Test"; those of properties are Wasserstein distances in their units.
    "copies" is the share of valid molecules that training molecules equal, "near_copies" that of those as near to some
    `COMPARED` of them as few held-out molecules are (of the first reference), and "near_copies_expected" the share
    that honest samples have; all three and "Novelty" need training molecules.

    Args:
        references: held-out SMILES by name; None: MOSES' own two, of which published statistics are read.
        train: canonical training SMILES; None: MOSES' where the references are, else none.
        unique_at: "unique@1000" is of the first 1,000 valid molecules.

    Raises:
        FourfoldError: no samples, a reference without valid molecules, or MOSES' files are not there.
    """
    if not len(samples):
        raise FourfoldError("no samples: nothing to measure")
    if references is None:
        # read first: what is missing is told before minutes are spent
        against = {name: published(file) for name, file in MOSES.items()}
        train = moses_smiles(moses_file("train.csv.gz")) if train is None else train
    else:
        against = {name: _reference(name, smiles) for name, smiles in references.items()}
    made = describe(samples)
    found = {"valid": len(made.canonical) / len(samples)}
    found |= {f"unique@{k}": metrics.unique(made.canonical, k) for k in unique_at}
    for name, value in _compared(made, against).items():
        found |= {f"{name}/{reference}": distance for reference, distance in value.items()}
    found["IntDiv"], found["IntDiv2"] = metrics.internal_diversity(made.bits.astype(np.float32), (1, 2))
    found["Filters"] = float(made.passes.mean()) if len(made.passes) else 0.0
    if train is not None:
        found |= _copied(made, train, next(iter(against.values())))
    return found


def _compared(made: Reference, against: Mapping[str, Reference]) -> dict[str, dict[str, float]]:
    """Each measure's name -> each reference's -> its value."""
    values = {
        "FCD": {name: made.moments.distance(other.moments) if made.moments and other.moments else float("inf")
                for name, other in against.items()},
        "SNN": {name: _nearest(made.bits, other.bits) for name, other in against.items()},
        "Frag": {name: metrics.cosine(made.fragments, other.fragments) for name, other in against.items()},
        "Scaf": {name: metrics.cosine(made.scaffolds, other.scaffolds) for name, other in against.items()},
    }
    return values | {
        key: {name: metrics.wasserstein(made.values[key], other.values[key]) for name, other in against.items()}
        for key in PROPERTIES
    }


def _nearest(bits: np.ndarray, others: np.ndarray) -> float:
    """SNN; 0 without molecules."""
    with waiting("looking for the nearest reference molecules"):
        return float(metrics.nearest_similarity(bits.astype(np.float32), others).mean()) if len(bits) else 0.0


def _copied(made: Samples, train: Collection[str], held: Reference) -> dict[str, float]:
    """Novelty, and what was copied."""
    known = set(train)
    found = {"Novelty": metrics.novel(made.canonical, known)}
    if made.canonical:
        found["copies"] = float(np.mean([text in known for text in made.canonical]))
    some = list(train) if len(train) <= COMPARED else [
        list(train)[i] for i in np.sort(order(0, 0, len(train))[:COMPARED])]
    bits = chemistry.fingerprints(chemistry.valid_molecules(some)).astype(bool)
    if min(len(made.bits), len(held.bits), len(bits)) >= 2:
        test = memorization_test(made.bits.astype(bool), bits, held.bits[: 2 * COMPARED].astype(bool))
        found |= {"near_copies": test["share"], "near_copies_expected": test["control_share"]}
    return found


def describe(smiles: Sequence[str], filters: bool = True) -> Samples:
    """What is measured of those SMILES that are valid; worked out in all cores where it takes long.

    `filters`: whether to try these; without, all molecules pass.
    """
    jobs = [list(smiles[at : at + AT_ONCE]) for at in range(0, len(smiles), AT_ONCE)]
    arrays, notes = in_memory(partial(_part, filters), jobs, what="measuring molecules",
                              sizes=[len(job) for job in jobs])
    fragments, scaffolds = Counter[str](), Counter[str]()
    for note in notes:
        fragments.update(note["fragments"])
        scaffolds.update(note["scaffolds"])
    features = arrays["features"]
    return Samples(
        moments=Moments.fit(features) if len(features) > 1 else None, bits=arrays["bits"], fragments=fragments,
        scaffolds=scaffolds, values={name: arrays["values"][:, i] for i, name in enumerate(PROPERTIES)},
        canonical=[text for note in notes for text in note["canonical"]], passes=arrays["passes"],
    )


def _part(filters: bool, smiles: Sequence[str]) -> Part:
    """What `describe` puts together, of some molecules."""
    canonical = chemistry.valid_canonical(smiles)
    mols = chemistry.valid_molecules(canonical)
    passes = metrics.passes_filters(mols) if filters else [True] * len(mols)
    arrays = {
        "features": chemnet.features(canonical), "bits": chemistry.fingerprints(mols).astype(np.uint8),
        "values": chemistry.properties(mols, list(PROPERTIES.values())), "passes": np.array(passes, bool),
    }
    return arrays, {"canonical": canonical, "fragments": dict(chemistry.fragments(mols)),
                    "scaffolds": dict(chemistry.scaffolds(mols))}


def _reference(name: str, smiles: Sequence[str]) -> Reference:
    found = describe(smiles, filters=False)
    if not found.canonical:
        raise FourfoldError(f"the reference {name!r} holds no valid molecules: nothing to compare with")
    return found


def table(found: Mapping[str, float], count: int, published: bool) -> str:
    """Measures as lines for a person; `published`: of MOSES' references, whose training molecules' row is beside."""
    lines = [f"{count:,} samples" + (f"; published rows are of {STANDARD:,}, and the FCD of fewer is higher"
                                     if published and count != STANDARD else "")]
    lines.append(f"{'measure':22}{'value':>10}" + (f"{'training data':>16}" if published else ""))
    for name, value in found.items():
        beside = f"{TRAINING[name]:16.4f}" if published and name in TRAINING else ""
        lines.append(f"{name:22}{value:10.4f}{beside}")
    return "\n".join(lines)


def finite(found: Mapping[str, float]) -> dict[str, float | None]:
    """Measures as JSON values, which know nothing infinite."""
    return {name: value if np.isfinite(value) else None for name, value in found.items()}


class _Statistics(pickle.Unpickler):
    """Reads arrays and counts; anything else that would import or call code is refused."""

    def find_class(self, module: str, name: str) -> object:
        allowed: dict[tuple[str, str], object] = {
            ("numpy.core.multiarray", "_reconstruct"): np.zeros(0).__reduce__()[0], ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype, ("collections", "Counter"): Counter, ("_codecs", "encode"): str.encode,
        }
        if (module, name) not in allowed:
            raise FourfoldError(f"MOSES' statistics ask for {module}.{name}: they are not those of molsets 0.3.1")
        return allowed[module, name]


def published(file: str) -> Reference:
    """Statistics that MOSES publishes of one of its sets, those that published rows were measured against.

    Raises:
        FourfoldError: the file is missing or damaged.
    """
    path = moses_file(file)
    try:
        with zipfile.ZipFile(path) as archive, archive.open("stats.npy") as stream:
            np.lib.format.read_magic(stream)
            np.lib.format.read_array_header_1_0(stream)
            read = _Statistics(stream).load().item()
        return Reference(
            moments=Moments.of(read["FCD"]["mu"], read["FCD"]["sigma"]), bits=read["SNN"]["fps"],
            fragments=read["Frag"]["frag"], scaffolds=read["Scaf"]["scaf"],
            values={name: np.array(read[name]["values"], float) for name in PROPERTIES},
        )
    except FourfoldError:
        raise
    except Exception as error:  # a damaged archive or pickle raises many kinds
        raise FourfoldError(f"MOSES' statistics {path} cannot be read ({type(error).__name__}): they are in the wheel "
                            "molsets==0.3.1") from error
