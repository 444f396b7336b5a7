"""How music and sounds are measured: nats per note, overlaps of musical histograms, distances of sounds."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Literal

import numpy as np
import torch

from apps.audio.class_metrics import am_score, inception_score, modified_inception_score
from apps.audio.codec import FIRST_PITCH, LEVELS, AudioCodec, ChoraleCodec, NoteCodec, pitches_of
from apps.audio.data import AudioModel
from apps.audio.sound import griffin_lim, log_mel
from apps.audio.vocoder import spectral_distance
from apps.audio.vocoding import vocode
from apps.audio.waveforms import WaveCodec
from core.data.arrays import ArrayData
from core.data.cache import cached
from core.extras import needed
from core.metrics.classifier import Classifier, train_classifier
from core.metrics.frechet import frechet_distance
from core.metrics.gaussian import FittedGaussian, Histogram
from core.metrics.intervals import bootstrap, wilson
from core.metrics.memorization import memorization_test
from core.metrics.ngrams import NGramModel
from core.runs.domain import Prepared
from core.runs.measures import Measure, against_real, near_copies
from core.runs.run import test_conditions

VERSION = 1  # of the baselines below, which are cached
Judge = Callable[[np.ndarray, np.ndarray], float]
RECORDINGS = 100  # that a vocoder is judged by
BOUND_EXAMPLES, ODE_EXAMPLES = 256, 8  # the likelihood of a diffusion of arrays solves an ODE

# Krumhansl & Kessler (1982): how well each degree fits a major and a minor key.
MAJOR = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
MINOR = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)
LARGEST_INTERVAL = 12


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Overlapping area of two histograms, sums of counts `[N, bins]` over N: 1 when equal, 0 when disjoint."""
    p, q = a.sum(0, dtype=np.float64), b.sum(0, dtype=np.float64)
    return float(np.minimum(p / max(p.sum(), 1), q / max(q.sum(), 1)).sum())


def pitch_class_counts(pitches: np.ndarray) -> np.ndarray:
    """Time that each pitch class sounds, counted from the window's tonic: `[N, T, 4]` -> `[N, 12]`.

    The tonic is the one of the best-correlated of the 24 keys (Krumhansl 1990), so that a piece counts the
    same in every transposition.
    """
    counts = np.stack([((pitches % 12 == c) & (pitches > 0)).sum((1, 2)) for c in range(12)], axis=1)
    profiles = np.array([np.roll(profile, tonic) for profile in (MAJOR, MINOR) for tonic in range(12)])
    centred = counts - counts.mean(1, keepdims=True)
    tonic = (centred @ (profiles - profiles.mean(1, keepdims=True)).T).argmax(1) % 12
    return np.take_along_axis(counts, (tonic[:, None] + np.arange(12)) % 12, axis=1)


def interval_counts(pitches: np.ndarray, struck: np.ndarray) -> np.ndarray:
    """Melodic intervals in semitones, larger than an octave counted as an octave: `[N, T, 4]` -> `[N, 25]`."""
    counts = np.zeros((len(pitches), 2 * LARGEST_INTERVAL + 1))
    for voice in range(pitches.shape[2]):
        for row, (line, begins) in enumerate(zip(pitches[:, :, voice], struck[:, :, voice], strict=True)):
            steps = np.diff(line[begins].astype(np.int64)).clip(-LARGEST_INTERVAL, LARGEST_INTERVAL)
            counts[row] += np.bincount(steps + LARGEST_INTERVAL, minlength=counts.shape[1])
    return counts


def chord_counts(pitches: np.ndarray) -> np.ndarray:
    """Chords by their pitch classes above the bass: `[N, T, 4]` -> `[N, 4096]` counts of sets."""
    full: np.ndarray = np.all(pitches > 0, axis=2)
    above = (pitches - pitches.min(2, keepdims=True)) % 12
    sets = np.bitwise_or.reduce(1 << above.astype(np.int64), axis=2)
    counts = np.zeros((len(pitches), 4096), dtype=np.float32)
    for row in range(len(pitches)):
        counts[row] = np.bincount(sets[row][full[row]], minlength=4096)
    return counts


def music_counts(tokens: np.ndarray, low: int) -> dict[str, np.ndarray]:
    """The histograms of windows, by the name of their overlap; tokens `[N, 4 T]`, `low`: the lowest pitch."""
    grid = np.asarray(tokens).reshape(len(tokens), -1, 4).astype(np.int64)
    pitches, struck = pitches_of(grid, low), grid >= FIRST_PITCH
    return {
        "melodic_interval_overlap": interval_counts(pitches, struck),
        "chord_overlap": chord_counts(pitches),
        "pitch_class_overlap": pitch_class_counts(pitches),
    }


def music_overlaps(tokens: np.ndarray, reference: np.ndarray, low: int) -> dict[str, float]:
    """Overlapping areas, in [0, 1], of two sets of windows `[N, 4 T]`, `[M, 4 T]` (tokens of `ChoraleCodec`)."""
    a, b = music_counts(tokens, low), music_counts(reference, low)
    return {name: overlap(a[name], b[name]) for name in a}


def evaluate(model: AudioModel, prepared: Prepared[AudioCodec], n: int, seed: int) -> list[Measure]:
    """The domain's measures of a model, against `n` of its samples; see `evaluate_music` and `evaluate_notes`."""
    codec = prepared.codec
    if isinstance(codec, ChoraleCodec):
        return evaluate_music(model, codec, prepared, n, seed)
    if isinstance(codec, WaveCodec):
        return evaluate_vocoder(model, codec, prepared, n, seed)
    return evaluate_notes(model, codec, prepared, n, seed)


def evaluate_music(
    model: AudioModel, codec: ChoraleCodec, prepared: Prepared[AudioCodec], n: int, seed: int
) -> list[Measure]:
    """Nats per note token, and three overlaps of `n` windows with the test split's.

    The baseline is an interpolated bigram of the same token stream; the floor is `n` training windows, which are
    other tunes than the test split's. Copies are looked for note by note, in the keys of the training windows.
    """
    test, train = np.asarray(prepared.test.x), np.asarray(prepared.train.x)
    n = min(n, len(train))
    bigram = NGramModel.fit(train[np.random.default_rng(0).permutation(len(train))[:20_000]], 2, codec.space.vocab)
    measures = _likelihood("nats_per_note", model, prepared, 1 / test.shape[1], bigram.nll, "bigram", seed)
    rows = np.random.default_rng(seed).permutation(len(train))[:n]
    drawn, _ = bigram.sample(n, test.shape[1], seed)
    sets = {"model": model.sample_batch(n, seed=seed).x.numpy(), "bigram": drawn, "floor": train[rows]}
    counts = {name: music_counts(tokens, codec.low) for name, tokens in sets.items()}
    for name, real in music_counts(test, codec.low).items():
        used = real.any(0) | counts["model"][name].any(0)
        a, b = counts["model"][name][:, used], real[:, used]
        measures.append(Measure(
            name=name, value=overlap(a, b), better="higher", count=n,
            interval=bootstrap(overlap, a, b, seed=seed, n=200, paired=False),
            baseline=overlap(counts["bigram"][name], real), baseline_name="bigram",
            floor=overlap(counts["floor"][name], real),
        ))
    sounded, known, held = (sounding(tokens, codec.low) for tokens in (sets["model"], train, test))
    copies = memorization_test(sounded, known, held)
    return [*map(against_real, measures), near_copies(copies, n)]


def sounding(tokens: np.ndarray, low: int) -> np.ndarray:
    """The pitch that sounds at each step in each voice, uint8 `[N, 4 T]`, of windows `[N, 4 T]`; `low`: the lowest."""
    parts = [tokens[at : at + 8192] for at in range(0, len(tokens), 8192)]
    return np.concatenate([
        pitches_of(part.reshape(len(part), -1, 4).astype(np.int64), low).reshape(len(part), -1).astype(np.uint8)
        for part in parts
    ])


def _likelihood(
    name: str, model: AudioModel, prepared: Prepared[AudioCodec], unit: float,
    nll: Callable[[np.ndarray], np.ndarray], baseline: str, seed: int,
) -> list[Measure]:
    """The model's nats per test example times `unit`, beside those of as many training examples and `nll` of the
    baseline; nothing where it has no likelihood."""
    kind = model.family.likelihood
    if kind == "none":
        return []
    # A family that samples by solving an ODE also needs one for its likelihood, which is slow.
    data = prepared.test.subset(slice(0, ODE_EXAMPLES if "solver" in model.family.options else BOUND_EXAMPLES))
    spread = np.arange(len(data)) * len(prepared.train) // len(data)  # of chorales, neighbours are the same piece
    values, trained = (model.bound(some, seed=seed).numpy() * unit for some in (data, prepared.train.subset(spread)))
    return [Measure(
        name=name, value=float(values.mean()), better="lower", kind=kind, count=len(values),
        baseline=float(nll(np.asarray(data.x)).mean() * unit), baseline_name=baseline,
        interval=bootstrap(np.mean, values, seed=seed), train_value=float(trained.mean()),
    )]


def evaluate_notes(
    model: AudioModel, codec: NoteCodec, prepared: Prepared[AudioCodec], n: int, seed: int
) -> list[Measure]:
    """Fréchet distance of `n` sounds to the test split, whether they are of the class asked for, bits per mel level.

    The samples have the test split's classes. The floor is `n` training sounds, the baseline a Gaussian with full
    covariance fitted to the training spectrograms.
    """
    test, train = prepared.test, prepared.train
    n = min(n, len(train))
    condition = test_conditions(test, n)
    drawn = model.sample_batch(n, seed=seed, condition=condition).x.clamp(-1, 1).numpy()
    classifier = note_classifier(codec, prepared)
    features = _features(classifier)
    real, made = features(_arrays(test)), features(drawn)
    rows = np.random.default_rng(seed).permutation(len(train))[:n]
    distance = frechet_distance(made, real)
    measures = [Measure(
        name="fd_notes_cnn" if classifier else "fd_mel_statistics", better="lower", count=n, value=distance,
        interval=bootstrap(frechet_distance, made, real, n=100, seed=seed, paired=False, around=distance),
        baseline=frechet_distance(features(_gaussian_samples(train, n, seed)), real),
        baseline_name="fitted Gaussian", floor=frechet_distance(features(_arrays(train.subset(rows))), real),
        floor_is="least",
    )]
    if classifier is not None and condition is not None:
        gaussian = classifier.probabilities(_gaussian_samples(train, n, seed))
        judged, known = classifier.probabilities(drawn), classifier.probabilities(_arrays(train.subset(rows)))
        shares = np.bincount(np.asarray(test.condition["instrument"]), minlength=len(codec.names)) / len(test)
        right = int((judged.argmax(1) == condition["instrument"].numpy()).sum())
        measures.append(Measure(
            name="class_accuracy", value=right / n, better="higher", count=n, interval=wilson(right, n),
            baseline=1 / len(codec.names), baseline_name="chance", floor=classifier.test_accuracy,
        ))
        scores: list[tuple[str, Literal["lower", "higher"], Callable[[np.ndarray], float]]] = [
            ("inception_score", "higher", inception_score),
            ("modified_inception_score", "higher", modified_inception_score),
            ("am_score", "lower", lambda p: am_score(p, shares)),
        ]
        measures += [Measure(
            name=name, better=better, count=n, value=score(judged), interval=bootstrap(score, judged, n=200, seed=seed),
            baseline=score(gaussian), baseline_name="fitted Gaussian", floor=score(known),
        ) for name, better, score in scores]
    histogram, bits = Histogram.fit(np.asarray(train.x), LEVELS), 1 / (np.log(2) * codec.space.dims)
    measures += _likelihood("bits_per_level", model, prepared, bits, histogram.nll, "histogram of each level", seed)
    levels = ((drawn + 1) / 2 * (LEVELS - 1)).round()
    copies = memorization_test(levels, np.asarray(train.x), np.asarray(test.x), near=np.sqrt(codec.space.dims))
    return [*map(against_real, measures), near_copies(copies, n)]


def evaluate_vocoder(
    model: AudioModel, codec: WaveCodec, prepared: Prepared[AudioCodec], n: int, seed: int
) -> list[Measure]:
    """The distance of spectra of held-out recordings, made audible again, to themselves; PESQ where it is installed.

    The baseline is Griffin-Lim from the same spectrograms.
    """
    mel = codec.mel
    rows = np.random.default_rng(seed).permutation(len(prepared.test))[: min(n, RECORDINGS)]
    real = (np.asarray(prepared.test.x)[np.sort(rows), 0] * (2 / (2**16 - 1)) - 1).astype(np.float32)
    decibels = log_mel(real, mel)
    made = {"model": vocode(model.family, mel, decibels),
            "Griffin-Lim": griffin_lim(decibels, mel, iterations=32)}
    real = real[:, : made["model"].shape[1]]

    def measure(name: str, better: Literal["lower", "higher"], of: Judge) -> Measure:
        values = {who: np.array([of(a, b) for a, b in zip(sounds, real, strict=True)]) for who, sounds in made.items()}
        return Measure(name=name, better=better, value=float(np.nanmean(values["model"])), count=len(real),
                       interval=bootstrap(np.nanmean, values["model"], seed=seed),
                       baseline=float(np.nanmean(values["Griffin-Lim"])), baseline_name="Griffin-Lim")

    measures = [measure("spectral_distance", "lower", lambda a, b: float(
        spectral_distance(torch.from_numpy(a)[None], torch.from_numpy(b)[None])))]
    if mel.rate in (8000, 16_000) and importlib.util.find_spec("pesq") is not None:
        measures.append(measure("pesq", "higher", lambda a, b: pesq(a, b, mel.rate)))
    return [against_real(found) for found in measures]


def pesq(made: np.ndarray, real: np.ndarray, rate: int) -> float:
    """PESQ (ITU-T P.862, at 16 kHz wide band P.862.2) of a waveform; NaN where the real one holds no speech.

    Raises:
        FourfoldError: the package pesq is not installed.
    """
    judge = needed("pesq", "speech")
    try:
        return float(judge.pesq(rate, real, made, "wb" if rate == 16_000 else "nb"))
    except (judge.NoUtterancesError, judge.BufferTooShortError):
        return float("nan")


def note_classifier(codec: NoteCodec, prepared: Prepared[AudioCodec]) -> Classifier | None:
    """A classifier of the training split's classes, from the cache; None where sounds have no classes."""
    if len(codec.names) < 2:
        return None
    return train_classifier(
        _arrays(prepared.train), np.asarray(prepared.train.condition["instrument"]),
        _arrays(prepared.test), np.asarray(prepared.test.condition["instrument"]),
    )


def _features(classifier: Classifier | None) -> Callable[[np.ndarray], np.ndarray]:
    """Spectrograms `[N, 1, mels, frames]` -> features; without a classifier, means and deviations over time."""
    if classifier is not None:
        return classifier.features
    return lambda x: np.concatenate([x[:, 0].mean(2), x[:, 0].std(2)], axis=1)


def _arrays(data: ArrayData) -> np.ndarray:
    return data.batch(np.arange(len(data))).x.numpy()


def _gaussian_samples(train: ArrayData, n: int, seed: int) -> np.ndarray:
    arrays = cached("fitted Gaussian", VERSION, [np.asarray(train.x), n, seed],
                    lambda: {"x": FittedGaussian.fit(_arrays(train), LEVELS).sample(n, seed)})
    return np.array(arrays["x"])
