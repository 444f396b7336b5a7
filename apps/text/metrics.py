"""How text is judged: bits per byte of held-out text, and how far samples' n-grams are from those of real text."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from apps.text.codec import TextCodec
from core.data.arrays import ArrayData
from core.domain import Measure, Prepared
from core.families.diffusion import MaskedDiffusion
from core.metrics.intervals import bootstrap
from core.metrics.ngrams import NGramModel, ngram_divergence
from core.pretrained import Model

ORDERS = (1, 2, 3, 4)
LIKELIHOOD_WINDOWS = 256  # judged windows, spread over the held-out text
BASELINES = {"unigram": 1, "trigram": 3}
BASELINE_TOKENS = 4_000_000  # of training text behind the baselines, enough for trigrams of characters


def bits_per_byte(nats: np.ndarray, sizes: np.ndarray) -> float:
    """Bits per byte of UTF-8 text: summed nats `[N]` of windows that stand for `sizes` `[N]` bytes.

    Independent of how a text is cut into tokens, so that models with different tokenisers compare. With
    sentencepiece it is a bound: the same text has other segmentations, whose probability is not counted.
    """
    return float(nats.sum() / (np.log(2) * sizes.sum()))


def divergences(samples: Sequence[str], real: Sequence[str]) -> dict[int, float]:
    """Jensen-Shannon divergence in bits of character n-grams, by n in 1..4.

    It grows as collections shrink: compare with the floor of real against real of the same size.
    """
    alphabet, rows = _coded([*samples, *real])
    a, b = rows[: len(samples)], rows[len(samples) :]
    return {n: ngram_divergence(a, b, n, alphabet) for n in ORDERS}


def divergence(samples: Sequence[str], real: Sequence[str]) -> float:
    """The mean of `divergences` over n: one number between 0 (alike) and 1 (nothing in common)."""
    return float(np.mean(list(divergences(samples, real).values())))


def _coded(texts: Sequence[str]) -> tuple[int, list[np.ndarray]]:
    """The size of the alphabet of `texts`, and each as numbers in it."""
    points = [np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32) for text in texts]
    alphabet, numbers = np.unique(np.concatenate(points), return_inverse=True)
    return len(alphabet), np.split(numbers, np.cumsum([len(p) for p in points])[:-1])


def whole_words(text: str) -> list[str]:
    """The words of three letters or more in a window, lower case; its first and last may be cut and do not count."""
    return [word.lower() for word in re.findall(r"(?<=[^\w'])[^\W\d_]{3,}(?=[^\w'])", text)]


def known_words(samples: Sequence[str], words: set[str]) -> np.ndarray:
    """Counts `[N, 2]` for each sample: words that are in `words`, and all words."""
    found = [whole_words(sample) for sample in samples]
    return np.array([[sum(word in words for word in row), len(row)] for row in found], np.float64)


def _share(counts: np.ndarray) -> float:
    return float(counts[:, 0].sum() / max(1.0, counts[:, 1].sum()))


def baselines(train: ArrayData) -> dict[str, NGramModel]:
    """Interpolated unigram and trigram models of the training text's tokens, cut into windows as the models' are."""
    length = train.x.shape[1]
    tokens = train.x[: BASELINE_TOKENS : length]
    return {name: NGramModel.fit(tokens, order, train.space.vocab) for name, order in BASELINES.items()}  # type: ignore[union-attr]


def evaluate(model: Model, prepared: Prepared, n: int, seed: int) -> list[Measure]:
    """Bits per byte where there is a likelihood, else n-gram divergence, first; then the others.

    Samples, baselines' samples and floor are `n` windows each, against `n` windows of held-out text.
    """
    codec: Any = prepared.codec
    simple = baselines(prepared.train)
    measures = []
    if model.family.likelihood != "none":
        measures += _likelihoods(model, spread(prepared.test, LIKELIHOOD_WINDOWS), simple, codec, seed)
    return measures + _sample_measures(model, prepared, simple, codec, n, seed)


def spread(data: ArrayData, n: int, offset: float = 0.0) -> ArrayData:
    """Up to `n` examples, evenly spread over all; `offset` in [0, 1) shifts them by so much of their distance."""
    n = min(n, len(data))
    return data.subset(((np.arange(n) + offset) * len(data) / n).astype(np.int64))


def _likelihoods(
    model: Model, data: ArrayData, simple: dict[str, NGramModel], codec: TextCodec, seed: int
) -> list[Measure]:
    sizes = codec.byte_counts[data.x].sum(1)
    nats = model.bound(data, seed=seed, batch_size=128).numpy()
    kind: Any = model.family.likelihood
    interval = bootstrap(bits_per_byte, nats, sizes, seed=seed)
    found = {name: bits_per_byte(baseline.nll(data.x), sizes) for name, baseline in simple.items()}
    value = bits_per_byte(nats, sizes)
    # Masked diffusion learns slowest by far: its headline is against the unigram, the trigram stands beside it.
    headline, other = ("unigram", "trigram") if isinstance(model.family, MaskedDiffusion) else ("trigram", "unigram")
    return [
        Measure(name=name, value=value, better="lower", kind=kind, count=len(nats), interval=interval,
                baseline=found[baseline], baseline_name=baseline)
        for name, baseline in (("bits_per_byte", headline), (f"bits_per_byte_against_{other}", other))
    ]


def _sample_measures(
    model: Model, prepared: Prepared, simple: dict[str, NGramModel], codec: TextCodec, n: int, seed: int
) -> list[Measure]:
    n = min(n, max(1, len(prepared.test) // 2))
    texts = {"samples": model.sample(n, seed=seed), "floor": _texts(spread(prepared.test, n, 0.5), codec)}
    for name, ngrams in simple.items():
        texts[name] = [codec.text(row) for row in ngrams.sample(n, codec.length, seed)[0]]
    real = _texts(spread(prepared.test, n), codec)
    measures = []
    compared: list[tuple[str, str, Callable[[Sequence[str]], float]]] = [
        ("ngram_divergence", "unigram", lambda made: divergence(made, real)),
        ("ngram_divergence_against_trigram", "trigram", lambda made: divergence(made, real)),
    ]
    for name, baseline, judge in compared:
        measures.append(Measure(
            name=name, value=judge(texts["samples"]), better="lower", count=n, baseline=judge(texts[baseline]),
            baseline_name=baseline, floor=judge(texts["floor"]),
        ))
    words = _training_words(prepared.train, codec)
    counts = {name: known_words(some, words) for name, some in texts.items()}
    measures.append(Measure(
        name="known_words", value=_share(counts["samples"]), better="higher", count=n,
        interval=bootstrap(_share, counts["samples"], seed=seed), baseline=_share(counts["trigram"]),
        baseline_name="trigram", floor=_share(counts["floor"]),
    ))
    return measures


def _texts(data: ArrayData, codec: TextCodec) -> list[str]:
    return [codec.text(row) for row in data.x.tolist()]


def _training_words(train: ArrayData, codec: TextCodec) -> set[str]:
    """The words of the training text: its windows side by side are its stream."""
    length = train.x.shape[1]
    return set(whole_words(codec.text(train.x[: BASELINE_TOKENS : length].ravel().tolist())))
