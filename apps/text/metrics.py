"""Measures of text: bits per byte of held-out text, samples' n-grams against real text's, BLEU and ROUGE of pairs."""

from __future__ import annotations

import logging
import lzma
import re
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import torch

from apps.text import sources
from apps.text.code_metrics import parsed_definitions
from apps.text.codec import TextCodec
from apps.text.data import TextModel
from apps.text.pairs import summarize
from apps.text.sample_metrics import (
    SPAN,
    copied_spans,
    distinct,
    has_words,
    memorization,
    perplexity,
    reverse_nats,
    sample_bleu,
    self_bleu,
    share,
)
from apps.text.summary_metrics import CentroidExtractor, lead_one, rouge
from apps.text.translation_metrics import corpus_bleu, corpus_chrf
from core.batches import Batch
from core.data.arrays import ArrayData
from core.data.cache import cached
from core.metrics.intervals import bootstrap
from core.metrics.memorization import FEWEST
from core.metrics.ngrams import NGramModel, ngram_divergence
from core.runs.domain import Prepared
from core.runs.measures import Measure, against_real

ORDERS = (1, 2, 3, 4)
LIKELIHOOD_WINDOWS = 256  # windows, spread over the held-out text
BASELINES = {"unigram": 1, "trigram": 3}
RESAMPLES = 30  # behind the interval of the n-gram divergence, which counts all n-grams anew each time
BASELINE_TOKENS = 4_000_000  # of training text behind the baselines, enough for trigrams of characters
PRIMED_BYTES = 1_000_000  # of training text that compressors read first: some seconds of theirs
VERSION = 1  # of what compressors make, which is cached

log = logging.getLogger(__name__)


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


def baselines(prepared: Prepared[TextCodec]) -> dict[str, NGramModel]:
    """Interpolated unigram and trigram models of the training text's tokens, cut into windows as the models' are."""
    some, vocab = _side_by_side(prepared.train), prepared.codec.space.vocab
    return {name: NGramModel.fit(some.x, order, vocab, some.lengths) for name, order in BASELINES.items()}


def _side_by_side(train: ArrayData) -> ArrayData:
    """Training windows that do not overlap, up to `BASELINE_TOKENS`; of lines and targets, the first ones."""
    length = train.x.shape[1]
    return train.subset(slice(0, BASELINE_TOKENS, length) if train.lengths is None
                        else slice(0, BASELINE_TOKENS // length))


def compressors() -> dict[str, Callable[[bytes], bytes]]:
    """xz, and PPMd (Shkarin 2002) where pyppmd is installed."""
    found: dict[str, Callable[[bytes], bytes]] = {"xz": lzma.compress}
    try:
        import pyppmd
    except ImportError:
        log.warning("pyppmd is not installed: bits per byte are not compared with PPMd's, the best cheap baseline")
    else:
        found["ppmd"] = lambda content: pyppmd.compress(content, max_order=8, mem_size=2**28)
    return found


def primed_bits(compress: Callable[[bytes], bytes], train: bytes, text: bytes) -> float:
    """Bits that a compressor needs for a text once it has read the training text: what compressing both takes more than
    compressing the training text alone. No training gives a model of text so good for so little."""
    return 8.0 * (len(compress(train + text)) - len(compress(train)))


def evaluate(model: TextModel, prepared: Prepared[TextCodec], n: int, seed: int) -> list[Measure]:
    """Bits per byte where there is a likelihood, else n-gram divergence, first; then the others.

    Samples, baselines' samples and floor are `n` windows or lines each, against `n` of held-out text. A model of
    pairs is measured by what it makes of the sources of `n` held-out pairs.
    """
    codec, data, simple = prepared.codec, model.recipe.data, baselines(prepared)
    measures = _likelihoods(model, prepared, simple, seed)
    if codec.source_length:
        return measures + _pair_measures(model, n)
    texts = _compared(model, prepared, simple, n, seed)
    measures += _divergences(texts, seed)
    if has_words(texts["real"]):
        measures.append(_known_words(prepared, texts, seed))
        if codec.histogram is not None:
            measures += _line_measures(prepared, texts, seed)
    else:
        log.warning("the text has no spaces between words: measures that count words are left out")
    measures.append(_copies(prepared, texts, seed))
    if data.source == "stdlib" and data.folder is None:
        measures.append(_parse_rate(texts, seed))
    return [against_real(measure) for measure in measures]


def _pair_measures(model: TextModel, n: int) -> list[Measure]:
    """BLEU and chrF of translations against copies of their sources, ROUGE of summaries against extracted sentences.

    Pairs of unknown kind get both.
    """
    data = model.recipe.data
    pairs = sources.pairs(data)
    some = pairs["test"][:n]
    given, wanted = [source for source, _ in some], [target for _, target in some]
    made = summarize(model, given)
    summaries = data.folder is None and (data.source == "docstrings" or data.pair.endswith("-summary"))
    measures = []
    if not summaries:
        for name, score_of in (("bleu", corpus_bleu), ("chrf", corpus_chrf)):
            score = score_of(made, wanted)
            measures.append(Measure(
                name=name, value=score.value, better="higher", count=len(some), interval=score.interval,
                baseline=score_of(given, wanted, resamples=1).value, baseline_name="copy of the source",
            ))
    if summaries or data.folder is not None:
        scores, lead = rouge(made, wanted), rouge([lead_one(text) for text in given], wanted)
        extractor = CentroidExtractor.fit([source for source, _ in pairs["train"]])
        extracted = rouge(extractor.summarize(given), wanted)
        for name, values in scores.items():
            for suffix, words, baseline in (("", "first sentence", lead), ("_against_tf_idf", "tf-idf", extracted)):
                measures.append(Measure(
                    name=name + suffix, value=float(values.mean()), better="higher", count=len(some),
                    interval=bootstrap(np.mean, values), baseline=float(baseline[name].mean()), baseline_name=words,
                ))
    return measures


def spread(data: ArrayData, n: int, offset: float = 0.0) -> ArrayData:
    """Up to `n` examples, evenly spread over all; `offset` in [0, 1) shifts them by so much of their distance."""
    n = min(n, len(data))
    return data.subset(((np.arange(n) + offset) * len(data) / n).astype(np.int64))


def _likelihoods(
    model: TextModel, prepared: Prepared[TextCodec], simple: dict[str, NGramModel], seed: int
) -> list[Measure]:
    """Bits per byte of held-out windows, beside as many of the training text's, against n-gram models and compressors;
    nothing of a family without a likelihood."""
    kind = model.family.likelihood
    if kind == "none":
        return []
    data, train = (spread(some, LIKELIHOOD_WINDOWS) for some in (prepared.test, prepared.train))
    sizes, train_sizes = (model.codec.byte_counts[some.x].sum(1) for some in (data, train))
    nats, train_nats = (model.bound(some, seed=seed, batch_size=128).numpy() for some in (data, train))
    interval = bootstrap(bits_per_byte, nats, sizes, seed=seed)
    found = {name: bits_per_byte(baseline.nll(data.x, data.lengths), sizes) for name, baseline in simple.items()}
    text = _stream_text(prepared.train, prepared.codec, PRIMED_BYTES).encode()
    first = text[:PRIMED_BYTES]
    held = _joined(data, prepared.codec).encode()
    able = compressors()
    bits = cached("primed compressors", VERSION, [first, held, sorted(able)], lambda: {
        name: np.array(primed_bits(compress, first, held)) for name, compress in able.items()})
    found |= {name: float(bits[name] / sizes.sum()) for name in able}
    # Masked diffusion learns slowest by far: its headline is against the unigram, the trigram stands beside it.
    headline, other = ("unigram", "trigram") if model.recipe.family.kind == "diffusion" else ("trigram", "unigram")
    primed = f"primed with {len(first):,} bytes of training text"
    return [
        Measure(name=f"bits_per_byte_against_{baseline}" if baseline != headline else "bits_per_byte",
                value=bits_per_byte(nats, sizes), better="lower", kind=kind, count=len(nats), interval=interval,
                baseline=found[baseline], baseline_name=baseline, remark=primed if baseline in able else "",
                train_value=bits_per_byte(train_nats, train_sizes) if baseline == headline else None)
        for baseline in (headline, other, *able)
    ]


def _compared(
    model: TextModel, prepared: Prepared[TextCodec], simple: dict[str, NGramModel], n: int, seed: int
) -> dict[str, list[str]]:
    """As many texts of the model, of each baseline, and of two halves of the held-out text: "floor" and "real"."""
    codec = prepared.codec
    n = min(n, max(1, len(prepared.test) // 2))
    real = spread(prepared.test, n)
    labels = dict(real.batch(np.arange(n)).condition) or None
    texts = {"samples": model.sample(n, seed=seed, condition=labels), "real": _texts(real, codec),
             "floor": _texts(spread(prepared.test, n, 0.5), codec)}
    for name, ngrams in simple.items():
        texts[name] = codec.decode(Batch(torch.from_numpy(ngrams.sample(n, codec.length, seed, codec.space.eos)[0])))
    return texts


def _divergences(texts: dict[str, list[str]], seed: int) -> list[Measure]:
    real = texts["real"]
    value = divergence(texts["samples"], real)
    interval = bootstrap(
        lambda made, real: divergence(made.tolist(), real.tolist()), np.array(texts["samples"], object),
        np.array(real, object), n=RESAMPLES, seed=seed, paired=False, around=value)
    floor = divergence(texts["floor"], real)
    return [
        Measure(name=name, value=value, better="lower", count=len(real), interval=interval, floor=floor,
                floor_is="least", baseline=divergence(texts[baseline], real), baseline_name=baseline)
        for name, baseline in (("ngram_divergence", "unigram"), ("ngram_divergence_against_trigram", "trigram"))
    ]


def _known_words(prepared: Prepared[TextCodec], texts: dict[str, list[str]], seed: int) -> Measure:
    words = _training_words(prepared)
    counts = {name: known_words(some, words) for name, some in texts.items()}
    return Measure(
        name="known_words", value=share(counts["samples"]), better="higher", count=len(texts["samples"]),
        interval=bootstrap(share, counts["samples"], seed=seed), baseline=share(counts["trigram"]),
        baseline_name="trigram", floor=share(counts["floor"]),
    )


def _copies(prepared: Prepared[TextCodec], texts: dict[str, list[str]], seed: int) -> Measure:
    """The share of the samples' runs of `SPAN` bytes that the training text has too; the floor is held-out text's.

    Held-out texts that are mostly copies are counted; where they are most, there is no floor and no verdict.
    """
    train = _stream_text(prepared.train, prepared.codec)
    made, held = copied_spans(texts["samples"], texts["real"], train)
    twins = int((2 * held[:, 0] > held[:, 1]).sum())
    left = int((held[:, 1] > 0).sum()) - twins
    remark = f"of {len(held):,} held-out texts, {twins:,} mostly copied from training text" if twins else ""
    judged = left >= max(FEWEST, twins)
    if not judged:
        remark = f"no verdict: {left:,} held-out texts of {SPAN} bytes not mostly copied from training text, too few"
    return Measure(
        name=f"copied_{SPAN}_bytes", value=share(made), better="lower", count=len(made), floor_is="copies",
        interval=bootstrap(share, made, seed=seed), floor=share(held) if judged else None, remark=remark,
    )


def _line_measures(prepared: Prepared[TextCodec], texts: dict[str, list[str]], seed: int) -> list[Measure]:
    """Texygen's quality and diversity, and what is copied from the training text; the floor is real text's own."""
    real, train = (_texts(some, prepared.codec) for some in (prepared.test, _side_by_side(prepared.train)))
    compared = {name: texts[name] for name in ("samples", "trigram", "floor")}
    quality = {name: sample_bleu(some, real if name != "floor" else train, (4,))[4] for name, some in compared.items()}
    alike = {name: self_bleu(some, (4,))[4] for name, some in compared.items()}
    reverse = {name: reverse_nats(some, real) for name, some in compared.items()}
    copied = {name: memorization(some, texts["real"], train, (8,))[8][0] for name, some in compared.items()}
    found: list[tuple[str, Literal["lower", "higher"], Callable[..., float], dict[str, tuple[np.ndarray, ...]]]] = [
        ("bleu4", "higher", np.mean, {name: (values,) for name, values in quality.items()}),
        ("self_bleu4", "lower", np.mean, {name: (values,) for name, values in alike.items()}),
        ("reverse_perplexity", "lower", perplexity, {**reverse}),
        ("copied_8_grams", "lower", share, {name: (values,) for name, values in copied.items()}),
    ]
    return [
        Measure(name=name, value=float(of(*parts["samples"])), better=better, count=len(texts["samples"]),
                interval=bootstrap(of, *parts["samples"], seed=seed), baseline=float(of(*parts["trigram"])),
                baseline_name="trigram", floor=float(of(*parts["floor"])),
                floor_is="copies" if name == "copied_8_grams" else "reached")
        for name, better, of, parts in found
    ] + [Measure(
        name="distinct2", value=distinct(texts["samples"]), better="higher", count=len(texts["samples"]),
        baseline=distinct(texts["trigram"]), baseline_name="trigram", floor=distinct(texts["floor"]),
    )]


def _parse_rate(texts: dict[str, list[str]], seed: int) -> Measure:
    """The share of whole top-level definitions that Python can parse."""
    counts = {name: parsed_definitions(texts[name]) for name in ("samples", "trigram", "floor")}
    return Measure(
        name="definitions_that_parse", value=share(counts["samples"]), better="higher",
        count=int(counts["samples"][:, 1].sum()), interval=bootstrap(share, counts["samples"], seed=seed),
        baseline=share(counts["trigram"]), baseline_name="trigram", floor=share(counts["floor"]),
    )


def _texts(data: ArrayData, codec: TextCodec) -> list[str]:
    return codec.decode(data.batch(np.arange(len(data))))


def _joined(data: ArrayData, codec: TextCodec) -> str:
    """The text of windows, one after the other; of lines and targets, one a line."""
    if codec.histogram is None:
        return codec.text(data.x.ravel().tolist())
    return "\n".join(_texts(data, codec))


def _stream_text(train: ArrayData, codec: TextCodec, tokens: int = BASELINE_TOKENS) -> str:
    """The training text up to so many tokens, from the cache."""
    some = _side_by_side(train)
    some = some.subset(slice(0, -(-tokens // train.x.shape[1])))
    parts = [np.asarray(some.x), some.lengths, codec]
    arrays = cached("training text", VERSION, parts, lambda: {
        "text": np.frombuffer(_joined(some, codec).encode(), np.uint8)})
    return arrays["text"].tobytes().decode()


def _training_words(prepared: Prepared[TextCodec]) -> set[str]:
    """The words of the training text."""
    return set(whole_words(_stream_text(prepared.train, prepared.codec)))
