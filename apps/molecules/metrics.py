"""How molecule models are measured: MOSES' distances, likelihood, shares, and how well a wanted property is met."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from apps.molecules import chemistry, chemnet, moses_metrics
from apps.molecules.baselines import Trigram
from apps.molecules.codec import SmilesCodec
from apps.molecules.data import MoleculeModel
from core.conditions import VectorCondition
from core.data.arrays import ArrayData
from core.data.cache import cached
from core.metrics.intervals import bootstrap, wilson
from core.metrics.memorization import memorization_test
from core.runs.domain import Prepared
from core.runs.measures import Measure, against_real, near_copies

LIKELIHOOD_EXAMPLES = 256
RESAMPLES = 30  # behind the intervals of distances: each is a decomposition of 512 features
COMPARED_TRAINING = 10_000  # training molecules that near copies are looked for among; equal ones are, among all
VERSION = 3  # of what `describe` computes

Described = Mapping[str, np.ndarray]  # what `describe` returns
Sets = Mapping[str, tuple[int, Described]]  # "samples", "trigram" and "real": strings drawn, and what they are


def describe(smiles: Sequence[str]) -> Described:
    """What measures need of a set of SMILES: `canonical` (bytes `[V]`, V valid ones), ChemNet `features` `[V, 512]`,
    `diversity` `[1]`, `bits` of fingerprints `[V, B]`, and the properties `[V]` of `moses_metrics.COMPARED` by name."""
    valid = chemistry.valid_canonical(smiles)
    mols = chemistry.valid_molecules(valid)
    values, prints = chemistry.properties(mols, moses_metrics.COMPARED), chemistry.fingerprints(mols)
    return {
        "canonical": np.array(valid, dtype=bytes),
        "features": chemnet.features(valid),
        "diversity": np.array(moses_metrics.internal_diversity(prints)),
        "bits": prints.astype(bool),
        **{name: values[:, i] for i, name in enumerate(moses_metrics.COMPARED)},
    }


def _described(smiles: Sequence[str]) -> Described:
    """The same from the cache: for molecules that are measured again and again."""
    return cached("described molecules", VERSION, smiles, lambda: describe(smiles))


def evaluate(model: MoleculeModel, prepared: Prepared[SmilesCodec], n: int, seed: int) -> list[Measure]:
    """FCD (the headline), likelihood where there is one, and MOSES' measures, of `n` samples.

    Half the test split is the reference; `n` of the other half and of the validation split, measured as if they were
    samples, give the floor, and as many samples of a trigram model of single SMILES tokens give the baseline. Where
    the floor has fewer than `n` molecules, distances are of as many samples. A conditional model is asked for the
    properties of that other half, so that its samples should be distributed as they are.
    """
    codec = prepared.codec
    half = len(prepared.test) // 2
    reference, other = prepared.test.subset(slice(0, half)), prepared.test.subset(slice(half, None))
    train = codec.strings(prepared.train.x)
    rows = np.arange(n) % len(other)
    condition = dict(other.batch(rows).condition) or None
    trigram = Trigram.fit(train)
    drawn = model.sample(n, seed=seed, condition=condition)
    real, simple = [*codec.strings(other.x), *codec.strings(prepared.validation.x)][:n], trigram.sample(n, seed)
    sets = {"samples": (n, describe(drawn)), "trigram": (n, _described(simple)), "real": (len(real), _described(real))}
    count = len(real)
    fewer = {name: (count, _first(sets[name][1], strings[:count]))
             for name, strings in (("samples", drawn), ("trigram", simple), ("real", real))}
    remark = f"of {count:,} of {n:,} samples, as many as there are real molecules for the floor" if count < n else ""
    target = _described(codec.strings(reference.x))
    measures = _distances(fewer, target, remark, seed)
    if model.family.likelihood != "none":
        # A string has other segmentations into merged tokens as well: the one that is taken bounds its likelihood.
        kind = "bound" if codec.merges else model.family.likelihood
        few = other.subset(slice(0, LIKELIHOOD_EXAMPLES))
        measures += _likelihoods(model, few, prepared.train, kind, trigram, seed)
    measures += _shares(sets, set(train)) + _near_copies(sets, train)
    if codec.properties is not None and condition is not None and "property" in condition:
        measures += _correlations(codec.properties, drawn, condition["property"].numpy())
    return [against_real(measure) for measure in measures]


def _first(described: Described, strings: Sequence[str]) -> Described:
    """Of a described set that begins with `strings`, what these are."""
    valid = len(chemistry.valid_canonical(strings))
    return {name: values[:valid] for name, values in described.items()}


def _distances(sets: Sets, target: Described, remark: str, seed: int) -> list[Measure]:
    def measure(name: str, distance: Callable[..., float], key: str) -> Measure:
        real, made = target[key], sets["samples"][1][key]
        value = distance(made, real)
        interval = None  # of what is infinite
        if np.isfinite(value):
            interval = bootstrap(distance, made, real, n=RESAMPLES, seed=seed, paired=False, around=value)
        return Measure(
            name=name, value=value, better="lower", count=sets["samples"][0], interval=interval,
            baseline=distance(sets["trigram"][1][key], real), baseline_name="trigram",
            floor=distance(sets["real"][1][key], real), floor_is="least", remark=remark,
        )

    return [measure("fcd", moses_metrics.fcd, "features")] + [
        measure(f"wasserstein_{name}", moses_metrics.wasserstein, name) for name in moses_metrics.COMPARED
    ]


def _shares(sets: Sets, train: set[str]) -> list[Measure]:
    """Novelty and diversity have no baseline: random strings have most of both. Read them against the floor."""

    def shares(drawn: int, made: Described) -> dict[str, tuple[float, int]]:
        valid = [text.decode() for text in made["canonical"]]
        return {
            "valid": (len(valid) / drawn, drawn),
            "unique": (moses_metrics.unique(valid), len(valid)),
            "novel": (moses_metrics.novel(valid, train), len(set(valid))),
            "internal_diversity": (float(made["diversity"][0]), len(valid)),
        }

    found = {name: shares(drawn, made) for name, (drawn, made) in sets.items()}
    return [
        Measure(name=name, value=value, better="higher", count=count,
                interval=wilson(round(value * count), count) if count and name != "internal_diversity" else None,
                baseline=found["trigram"][name][0] if name in ("valid", "unique") else None, baseline_name="trigram",
                floor=found["real"][name][0], floor_is="copies" if name == "novel" else "reached")
        for name, (value, count) in found["samples"].items()
    ]


def _near_copies(sets: Sets, train: Sequence[str]) -> list[Measure]:
    """Whether samples' fingerprints are nearer to those of training molecules than held-out ones' are; nothing of
    fewer than two valid samples."""
    made, held = sets["samples"][1]["bits"], sets["real"][1]["bits"]
    if min(len(made), len(held)) < 2:
        return []
    rows = np.sort(np.random.default_rng(0).permutation(len(train))[:COMPARED_TRAINING])
    some = [train[i] for i in rows]
    known = cached("fingerprints", VERSION, some, lambda: {
        "bits": chemistry.fingerprints(chemistry.valid_molecules(some)).astype(bool)})["bits"]
    found = near_copies(memorization_test(made, known, held), len(made))
    if len(train) <= COMPARED_TRAINING:
        return [found]
    said = f"among {len(some):,} of {len(train):,} training molecules"
    return [replace(found, remark="; ".join(filter(None, [said, found.remark])))]


def _likelihoods(
    model: MoleculeModel, data: ArrayData, train: ArrayData, kind: Literal["exact", "bound", "estimate"],
    trigram: Trigram, seed: int,
) -> list[Measure]:
    """Nats a molecule and bits a single token, eos included, beside those of as many training molecules; without
    conditions, as the trigram has none."""
    known = train.subset(np.arange(len(data)) * len(train) // len(data))
    nats, known_nats = (model.bound(replace(some, condition={}), seed=seed).numpy() for some in (data, known))
    simple, tokens = trigram.nll(model.codec.strings(data.x))
    _, known_tokens = trigram.nll(model.codec.strings(known.x))
    interval = bootstrap(np.mean, nats, seed=seed)
    bit = float(np.log(2))
    scales = {"nats_per_molecule": (1.0, 1.0), "bits_per_token": (bit * tokens.mean(), bit * known_tokens.mean())}
    return [
        Measure(name=name, value=float(nats.mean() / scale), better="lower", kind=kind, count=len(nats),
                interval=(interval[0] / scale, interval[1] / scale), baseline=float(simple.mean() / scale),
                baseline_name="trigram", train_value=float(known_nats.mean() / known_scale))
        for name, (scale, known_scale) in scales.items()
    ]


def _correlations(spec: VectorCondition, drawn: Sequence[str], asked: np.ndarray) -> list[Measure]:
    """Pearson's correlation of each property of the valid samples with what was asked for; 0 without any control."""
    kept = [i for i, text in enumerate(chemistry.canonical(drawn)) if text is not None]
    known = [name for name in spec.names if name in chemistry.PROPERTIES]  # a user's own columns cannot be computed
    values = chemistry.properties(chemistry.valid_molecules(drawn), known)
    measures = []
    for index, name in enumerate(known):
        column = spec.names.index(name)
        pairs = np.stack([values[:, index], asked[kept, column]])
        usable = len(kept) > 2 and bool((pairs.std(1) > 0).all())
        measures.append(Measure(
            name=f"correlation_{name}", value=float(np.corrcoef(pairs)[0, 1]) if usable else 0.0, better="higher",
            count=len(kept), baseline=0.0, baseline_name="ignoring the request", floor=1.0,
        ))
    return measures
