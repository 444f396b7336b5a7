"""The molecules domain as a value, and how its models are judged, written and shown."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from core.runs.model import Model

from apps.molecules import chemistry, chemnet, drawing, metrics
from apps.molecules.codec import EOS, flatten, load_codec, padded, tokenize
from apps.molecules.data import MoleculeData, prepare
from apps.molecules.recipes import RECIPES
from core.data.arrays import ArrayData
from core.data.cache import cached
from core.files import write_atomically
from core.metrics.intervals import bootstrap, wilson
from core.metrics.ngrams import NGramModel
from core.runs import pretrained
from core.runs.domain import Domain, Prepared
from core.runs.measures import Measure
from core.runs.media import Media

SAMPLES = 1_000  # behind every sample measure, for all families alike: the FCD depends on the count
LIKELIHOOD_EXAMPLES = 256
RESAMPLES = 30  # behind the intervals of distances: each is a decomposition of 512 features
VERSION = 1  # of what `describe` computes

Described = Mapping[str, np.ndarray]  # what `describe` returns
Sets = Mapping[str, tuple[int, Described]]  # "samples", "trigram" and "real": strings drawn, and what they are


def load(path: str | Path, device: str = "auto") -> Model:
    """The trained model in a run or model folder."""
    return pretrained.load(path, DOMAIN, device)


def describe(smiles: Sequence[str]) -> Described:
    """What measures need of a set of SMILES: `canonical` (bytes `[V]`, V valid ones), ChemNet `features` `[V, 512]`,
    `values` `[V, 4]` of `metrics.COMPARED`, `diversity` `[1]`."""
    valid = [text for text in chemistry.canonical(smiles) if text is not None]
    mols = chemistry.molecules(valid)
    return {
        "canonical": np.array(valid, dtype=bytes),
        "features": chemnet.features(valid),
        "values": chemistry.properties(mols, metrics.COMPARED),
        "diversity": np.array([metrics.internal_diversity(chemistry.fingerprints(mols))]),
    }


def _described(smiles: Sequence[str]) -> Described:
    """The same from the cache: for molecules that are measured again and again."""
    return cached((VERSION, "describe", tuple(smiles)), lambda: describe(smiles))


def evaluate(model: Model, prepared: Prepared, n: int, seed: int) -> list[Measure]:
    """FCD (the headline), likelihood where there is one, and MOSES' measures, of `n` samples.

    Half the test split is the reference; `n` of the other half, measured as if they were samples, give the floor, and
    as many samples of a trigram model of single SMILES tokens give the baseline. A conditional model is asked for the
    properties of that other half, so that its samples should be distributed as they are.
    """
    codec: Any = prepared.codec
    half = len(prepared.test) // 2
    reference, other = prepared.test.subset(slice(0, half)), prepared.test.subset(slice(half, None))
    train = codec.strings(prepared.train.x)
    rows = np.arange(n) % len(other)
    condition = dict(other.batch(rows).condition) or None
    trigram = Trigram.fit(train)
    drawn = model.sample(n, seed=seed, condition=condition)
    sets = {
        "samples": (n, describe(drawn)),
        "trigram": (n, _described(trigram.sample(n, seed))),
        "real": (min(n, len(other)), _described(codec.strings(other.x[:n]))),
    }
    target = _described(codec.strings(reference.x))
    measures = _distances(sets, target, seed)
    if model.family.likelihood != "none":
        measures += _likelihoods(model, other.subset(slice(0, LIKELIHOOD_EXAMPLES)), trigram, seed)
    measures += _shares(sets, set(train))
    if condition is not None:
        measures += _correlations(model, drawn, condition["property"].numpy())
    return measures


def _distances(sets: Sets, target: Described, seed: int) -> list[Measure]:
    def measure(name: str, distance: Callable[..., float], column: Callable[[Described], np.ndarray]) -> Measure:
        real, made = column(target), column(sets["samples"][1])
        value = distance(made, real)
        interval = None  # of what is infinite
        if np.isfinite(value):
            interval = bootstrap(distance, made, real, n=RESAMPLES, seed=seed, paired=False, around=value)
        return Measure(
            name=name, value=value, better="lower", count=sets["samples"][0], interval=interval,
            baseline=distance(column(sets["trigram"][1]), real), baseline_name="trigram",
            floor=distance(column(sets["real"][1]), real),
        )

    return [measure("fcd", metrics.fcd, lambda some: some["features"])] + [
        measure(f"wasserstein_{name}", metrics.wasserstein, lambda some, i=i: some["values"][:, i])  # type: ignore[misc]
        for i, name in enumerate(metrics.COMPARED)
    ]


def _shares(sets: Sets, train: set[str]) -> list[Measure]:
    """Novelty and diversity have no baseline: random strings have most of both. Read them against the floor."""

    def shares(drawn: int, made: Described) -> dict[str, tuple[float, int]]:
        valid = [text.decode() for text in made["canonical"]]
        return {
            "valid": (len(valid) / drawn, drawn),
            "unique": (metrics.unique(valid), len(valid)),
            "novel": (metrics.novel(valid, train), len(set(valid))),
            "internal_diversity": (float(made["diversity"][0]), len(valid)),
        }

    found = {name: shares(drawn, made) for name, (drawn, made) in sets.items()}
    return [
        Measure(name=name, value=value, better="higher", count=count,
                interval=wilson(round(value * count), count) if count and name != "internal_diversity" else None,
                baseline=found["trigram"][name][0] if name in ("valid", "unique") else None, baseline_name="trigram",
                floor=found["real"][name][0])
        for name, (value, count) in found["samples"].items()
    ]


def _likelihoods(model: Model, data: ArrayData, trigram: Trigram, seed: int) -> list[Measure]:
    """Nats a molecule and bits a single token, eos included; without conditions, as the trigram has none."""
    codec: Any = model.codec
    nats = model.bound(replace(data, condition={}), seed=seed).numpy()
    simple, tokens = trigram.nll(codec.strings(data.x))
    kind: Any = "bound" if len(codec.merges) else model.family.likelihood  # a string has other segmentations as well
    interval = bootstrap(np.mean, nats, seed=seed)
    scales = {"nats_per_molecule": 1.0, "bits_per_token": float(np.log(2) * tokens.mean())}
    return [
        Measure(name=name, value=float(nats.mean()) / scale, better="lower", kind=kind, count=len(nats),
                interval=(interval[0] / scale, interval[1] / scale), baseline=float(simple.mean()) / scale,
                baseline_name="trigram")
        for name, scale in scales.items()
    ]


def _correlations(model: Model, drawn: Sequence[str], asked: np.ndarray) -> list[Measure]:
    """Pearson's correlation of each property of the valid samples with what was asked for; 0 without any control."""
    spec: Any = model.codec.conditions["property"]
    mols = chemistry.molecules(drawn)
    kept = [i for i, mol in enumerate(mols) if mol is not None]
    values = chemistry.properties([mols[i] for i in kept], spec.names)
    measures = []
    for column, name in enumerate(spec.names):
        pairs = np.stack([values[:, column], asked[kept, column]])
        usable = len(kept) > 2 and bool((pairs.std(1) > 0).all())
        measures.append(Measure(
            name=f"correlation_{name}", value=float(np.corrcoef(pairs)[0, 1]) if usable else 0.0, better="higher",
            count=len(kept), baseline=0.0, baseline_name="ignoring the request", floor=1.0,
        ))
    return measures


@dataclass(frozen=True)
class Trigram:
    """The baseline: what two single tokens of a SMILES string say about the next, whatever tokens the model has."""

    vocabulary: Mapping[str, int]
    model: NGramModel
    longest: int

    @classmethod
    def fit(cls, smiles: Sequence[str]) -> Trigram:
        """Count the trigrams of training molecules."""
        tokenized = [tokenize(text) for text in smiles]
        table = {token: index + 1 for index, token in enumerate(sorted({t for tokens in tokenized for t in tokens}))}
        x, lengths = cls.ids(table, tokenized)
        return cls(table, NGramModel.fit(x, order=3, vocab=len(table) + 1, lengths=lengths), x.shape[1])

    @staticmethod
    def ids(table: Mapping[str, int], tokenized: Sequence[Sequence[str]]) -> tuple[np.ndarray, np.ndarray]:
        """Ids `[N, T]`, each molecule ended and padded with EOS, and lengths `[N]`, EOS included."""
        flat = flatten(tokenized, table)
        rows = np.split(flat, np.flatnonzero(flat == EOS) + 1)[:-1]
        return padded(rows, max(map(len, rows)))

    def nll(self, smiles: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Exact nats `[N]` of molecules, and their numbers of single tokens `[N]`, EOS included."""
        x, lengths = self.ids(self.vocabulary, [tokenize(text) for text in smiles])
        return self.model.nll(x, lengths), lengths

    def sample(self, n: int, seed: int) -> list[str]:
        """`n` strings."""
        texts = ["", *self.vocabulary]
        drawn, lengths = self.model.sample(n, self.longest, seed, eos=EOS)
        return ["".join(texts[i] for i in row[:length]) for row, length in zip(drawn, lengths, strict=True)]


def write(items: Sequence[str], folder: Path) -> list[Path]:
    """samples.csv (every sample; properties of the valid ones) and samples.png (the first 48 valid ones)."""
    names = list(chemistry.PROPERTIES)
    stream = io.StringIO(newline="")
    table = csv.writer(stream, lineterminator="\n")
    table.writerow(["smiles", "valid", "canonical", *names])
    canonical = chemistry.canonical(items)
    for item, text in zip(items, canonical, strict=True):
        values = [] if text is None else chemistry.properties(chemistry.molecules([text]), names)[0]
        table.writerow([item, int(text is not None), text or "", *(f"{value:.4g}" for value in values)])
    valid = [text for text in canonical if text is not None][:48]
    paths = [folder / "samples.csv", folder / "samples.png"]
    write_atomically(paths[0], stream.getvalue().encode())
    write_atomically(paths[1], drawing.grid(valid, _captions(valid)))
    return paths


def preview(items: Sequence[str]) -> list[Media]:
    """The first valid molecules as a drawn grid, and the first few as text."""
    valid = [text for text in chemistry.canonical(items) if text is not None]
    caption = f"{len(valid)} of {len(items)} samples are valid molecules"
    shown = valid[:12]
    return [
        Media(kind="png", content=drawing.grid(shown, _captions(shown), columns=4), caption=caption),
        Media(kind="text", content="\n".join(items[:8]), caption="as sampled"),
    ]


def _captions(valid: Sequence[str]) -> list[str]:
    values = chemistry.properties(chemistry.molecules(valid), ["logp", "qed"])
    return [f"logP {logp:.1f}  QED {qed:.2f}" for logp, qed in values]


DOMAIN = Domain(
    name="molecules",
    recipes=RECIPES,
    data_type=MoleculeData,
    prepare=prepare,
    load_codec=load_codec,
    evaluate=evaluate,
    write=write,
    preview=preview,
    condition_options={"property": "property"},
    default_samples=SAMPLES,
)
