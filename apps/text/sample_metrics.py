"""Measures of samples of text as a set: BLEU, self-BLEU, reverse perplexity, distinct n-grams, what is copied.

Words are the Penn Treebank's, cut by nltk as Texygen does (1802.01886); case is kept. Text without spaces between
words has none to count: see `has_words`.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from core.errors import FourfoldError
from core.metrics.ngrams import NGramModel
from core.seeds import derive

ORDERS = (2, 3, 4, 5)
EPSILON = 0.1  # what stands for no match, as in nltk's SmoothingFunction().method1
UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN")  # how names of letters begin
SPAN = 32  # bytes that are copied as a whole or not at all: about six words; a power of two


def words(texts: Sequence[str]) -> list[list[str]]:
    """The words of each text, as `nltk.word_tokenize` cuts a sentence (its data is not needed)."""
    from nltk.tokenize import NLTKWordTokenizer

    tokenizer = NLTKWordTokenizer()
    return [tokenizer.tokenize(text) for text in texts]


def has_words(texts: Sequence[str]) -> bool:
    """Whether there are words to count: spaces at least at every 25th place, and few letters of scripts without."""
    counts = Counter("".join(texts))
    letters = {letter: n for letter, n in counts.items() if letter.isalpha()}
    unspaced = sum(n for letter, n in letters.items() if unicodedata.name(letter, "").startswith(UNSPACED))
    spaces = sum(n for letter, n in counts.items() if letter.isspace())
    return 25 * spaces >= counts.total() and 10 * unspaced <= sum(letters.values())


def sample_bleu(
    samples: Sequence[str], references: Sequence[str], orders: Sequence[int] = ORDERS, *,
    size: int | None = None, reference_size: int | None = None, seed: int = 0,
) -> dict[int, np.ndarray]:
    """BLEU-n of each sample against all references, in [0, 1]: float64 `[N]` by n, whose mean is the measure.

    As in Texygen (Zhu et al. 1802.01886) and Language GANs Falling Short (Caccia et al. 1811.02549): nltk's sentence
    BLEU with weights 1/n and smoothing method 1. It measures quality only and grows with the number of references:
    read it beside `self_bleu`, at the same sizes, and beside held-out text in the samples' place. Texygen's code takes
    500 references by default; its published table, which this reproduces, takes all (10,000 held-out captions).

    Args:
        samples: one without words scores 0.
        references: held-out real text.
        size, reference_size: how many of both are drawn at random, without replacement; None: all.

    Raises:
        FourfoldError: no samples or no references, fewer than are to be drawn, an order below 1.
    """
    hypotheses = words(_draw(samples, size, seed, "samples"))
    real = words(_draw(references, reference_size, derive(seed, 1), "references"))
    n_samples = len(hypotheses)
    matches = []
    for grams, owners in _ngrams([*hypotheses, *real], _longest(orders)):
        gram, owner, count = _counts(grams, owners)
        made = owner < n_samples
        most = np.zeros(int(gram.max(initial=-1)) + 1, np.int64)
        np.maximum.at(most, gram[~made], count[~made])
        clipped = np.minimum(count[made], most[gram[made]])
        matches.append(np.bincount(owner[made], clipped, minlength=n_samples))
    sizes, lengths = np.array([len(row) for row in hypotheses]), np.array([len(row) for row in real])
    return _bleu(np.array(matches), sizes, _closest(sizes, lengths, leave_out=False), orders)


def self_bleu(
    samples: Sequence[str], orders: Sequence[int] = ORDERS, *, size: int | None = None, seed: int = 0
) -> dict[int, np.ndarray]:
    """BLEU-n of each sample against all the others, in [0, 1]: float64 `[N]` by n; a high mean is little diversity.

    Zhu et al. 1802.01886, computed as `sample_bleu`. It grows with the number of samples: compare at the same size,
    and with real text, which is what to be close to. Of copies it is 1 (of n words at least).

    Args:
        size: how many are drawn at random, without replacement; None: all, as in Texygen's published table (its
            code's default is 500).

    Raises:
        FourfoldError: fewer than two samples, or than are to be drawn, an order below 1.
    """
    hypotheses = words(_draw(samples, size, seed, "samples"))
    if len(hypotheses) < 2:
        raise FourfoldError("self-BLEU compares samples with one another: need at least 2")
    matches = []
    for grams, owners in _ngrams(hypotheses, _longest(orders)):
        gram, owner, count = _counts(grams, owners)
        # The most that another sample has: the highest count of the n-gram or, for the first that has it, the second.
        by_count = np.lexsort((-count, gram))
        gram, owner, count = gram[by_count], owner[by_count], count[by_count]
        first = np.flatnonzero(np.diff(gram, prepend=-1))
        holders = np.diff(first, append=len(gram))
        most = np.repeat(count[first], holders)
        most[first] = np.where(holders > 1, np.append(count[1:], 0)[first], 0)
        matches.append(np.bincount(owner, np.minimum(count, most), minlength=len(hypotheses)))
    sizes = np.array([len(row) for row in hypotheses])
    return _bleu(np.array(matches), sizes, _closest(sizes, sizes, leave_out=True), orders)


def _bleu(
    matches: np.ndarray, sizes: np.ndarray, closest: np.ndarray, orders: Sequence[int]
) -> dict[int, np.ndarray]:
    """BLEU by order, of clipped matches `[n, N]`, lengths `[N]` of hypotheses and of their closest references `[N]`."""
    totals = np.maximum(1, sizes - np.arange(len(matches))[:, None])
    logs = np.log(np.where(matches > 0, matches, EPSILON) / totals)
    penalty = np.exp(np.minimum(0.0, 1 - closest / np.maximum(1, sizes)))
    any_match = matches[0] > 0
    return {n: np.where(any_match, penalty * np.exp(logs[:n].mean(axis=0)), 0.0) for n in orders}


def _closest(sizes: np.ndarray, lengths: np.ndarray, leave_out: bool) -> np.ndarray:
    """The one of `lengths` `[M]` closest to each of `sizes` `[N]`, the shorter of two; `leave_out`: but its own."""
    different, counts = np.unique(lengths, return_counts=True)
    asked, inverse = np.unique(sizes, return_inverse=True)
    distance = np.abs(asked[:, None] - different).astype(np.float64)
    if leave_out:
        distance[np.diag(counts == 1)] = np.inf
    closest: np.ndarray = different[distance.argmin(axis=1)][inverse]
    return closest


def reverse_nats(samples: Sequence[str], real: Sequence[str], order: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """What real text costs an n-gram model fitted to samples: nats `[R]` and words `[R]`, ends included, of each text.

    Zhao et al. 1706.04223 (there a recurrent model); the n-gram model is interpolated as Witten and Bell's. Both poor
    and few different samples cost. The vocabulary is that of `real`, and one word for all others, so that it does not
    depend on whose samples they are. It falls as samples grow in number: compare at the same size, and with real text
    in the samples' place. Its perplexity is `perplexity(*reverse_nats(samples, real))`.

    Raises:
        FourfoldError: no samples, no real text, or an order below 1.
    """
    made, held = words(_some(samples, "samples")), words(_some(real, "real texts"))
    numbers = {word: i for i, word in enumerate(sorted({word for row in held for word in row}), 2)}
    end, unknown = 0, 1

    def coded(rows: list[list[str]]) -> list[list[int]]:
        return [[*(numbers.get(word, unknown) for word in row), end] for row in rows]

    model = NGramModel.fit(coded(made), order, len(numbers) + 2)
    return model.nll(coded(held)), np.array([len(row) + 1 for row in held])


def perplexity(nats: np.ndarray, counts: np.ndarray) -> float:
    """`exp` of the mean nats per word, from `nats` `[N]` and words `[N]` of texts; a statistic for `bootstrap`."""
    return float(np.exp(nats.sum() / counts.sum()))


def distinct(samples: Sequence[str], n: int = 2) -> float:
    """distinct-n: different n-grams over all words of the samples, in [0, 1] (Li et al. 1510.03055).

    It falls as samples grow in number: compare at the same size. 0 if no sample has n words.

    Raises:
        FourfoldError: no samples, or n below 1.
    """
    made = words(_some(samples, "samples"))
    *_, (grams, _) = _ngrams(made, _longest([n]))
    return len(np.unique(grams)) / max(1, sum(len(row) for row in made))


def memorization(
    samples: Sequence[str], held_out: Sequence[str], train: Sequence[str], orders: Sequence[int] = (4, 8)
) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """How many n-grams of words are copied from the training text, of samples and of held-out text, by n.

    Counts int64 `[N, 2]` of samples and `[M, 2]` of held-out text, for `share` and its interval: of each text, n-grams
    that occur in one of `train`, and all n-grams. Real text has common phrases too: a share far above that of held-out
    text is copying (McCoy et al. 2111.09509).

    Raises:
        FourfoldError: one of the three is empty, or an order below 1.
    """
    parts = [words(_some(texts, name)) for texts, name in
             ((samples, "samples"), (held_out, "held-out texts"), (train, "training texts"))]
    n_samples, n_compared = len(parts[0]), len(parts[0]) + len(parts[1])
    found = {}
    for n, (grams, owners) in enumerate(_ngrams([*parts[0], *parts[1], *parts[2]], _longest(orders)), 1):
        if n not in orders:
            continue
        seen = np.zeros(int(grams.max(initial=-1)) + 1, bool)
        compared = owners < n_compared
        seen[grams[~compared]] = True
        copied = np.bincount(owners[compared], seen[grams[compared]], minlength=n_compared)
        counts = np.stack([copied, np.bincount(owners[compared], minlength=n_compared)], axis=1).astype(np.int64)
        found[n] = counts[:n_samples], counts[n_samples:]
    return found


def copied_spans(samples: Sequence[str], held_out: Sequence[str], train: str) -> tuple[np.ndarray, np.ndarray]:
    """How many runs of `SPAN` bytes are copied from the training text, of samples and of held-out text.

    Counts int64 `[N, 2]` and `[M, 2]` as of `memorization`, for text of any script, and with all its signs.
    """
    compared = [_spans(text.encode()) for text in (*samples, *held_out)]
    sizes = np.array([len(spans) for spans in compared])
    # Looking the many spans of training text up among the few is far faster than the other way round.
    different, which = np.unique(np.append(np.concatenate(compared), np.uint64(0)), return_inverse=True)
    known = _spans(train.encode())
    place = np.minimum(np.searchsorted(different, known), len(different) - 1)
    seen = np.zeros(len(different), bool)
    seen[place[different[place] == known]] = True
    copied = np.bincount(np.repeat(np.arange(len(sizes)), sizes), seen[which[:-1]], minlength=len(sizes))
    counts = np.stack([copied, sizes], axis=1).astype(np.int64)
    return counts[: len(samples)], counts[len(samples) :]


def _spans(text: bytes) -> np.ndarray:
    """A number of 64 bits, a hash, for each run of `SPAN` bytes: `[len - SPAN + 1]`."""
    numbers, size = np.frombuffer(text, np.uint8).astype(np.uint64) + 1, 1
    while size < SPAN:  # a span is two of half its size
        mixed = numbers[:-size] * np.uint64(0x9E3779B97F4A7C15)
        numbers, size = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9) + numbers[size:], 2 * size
    return numbers


def share(counts: np.ndarray) -> float:
    """The first column's sum over the second's, of counts `[N, 2]`; 0 where there is nothing; for `bootstrap`."""
    return float(counts[:, 0].sum() / max(1, counts[:, 1].sum()))


def _some(texts: Sequence[str], name: str) -> Sequence[str]:
    if not len(texts):
        raise FourfoldError(f"there are no {name}: need at least one")
    return texts


def _draw(texts: Sequence[str], size: int | None, seed: int, name: str) -> Sequence[str]:
    """`size` of the texts, at random."""
    _some(texts, name)
    if size is None:
        return texts
    if not 1 <= size <= len(texts):
        raise FourfoldError(f"{size:,} {name} are asked of {len(texts):,}: must be from 1 to as many as there are")
    return [texts[i] for i in np.random.default_rng(seed).permutation(len(texts))[:size]]


def _longest(orders: Sequence[int]) -> int:
    if not len(orders) or min(orders) < 1:
        raise FourfoldError(f"the orders of n-grams are {list(orders)}: need at least one, and none below 1")
    return max(orders)


def _ngrams(texts: Sequence[Sequence[str]], longest: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For n = 1, 2 ... `longest`: the number of each n-gram `[M]`, the same for the same, and its text `[M]`."""
    numbers: dict[str, int] = {}
    tokens = np.array([numbers.setdefault(word, len(numbers)) for row in texts for word in row], np.int64)
    owners = np.repeat(np.arange(len(texts)), [len(row) for row in texts])
    grams = tokens
    for n in range(1, longest + 1):
        if n > 1:
            # An n-gram is an (n-1)-gram and a word; those over a text's end are numbered, and not counted.
            pairs = grams[:-1] * len(numbers) + tokens[n - 1 :]
            grams = np.unique(pairs, return_inverse=True)[1]
        inside = owners[: len(grams)] == owners[n - 1 :]
        yield grams[inside], owners[: len(grams)][inside]


def _counts(grams: np.ndarray, owners: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How often each n-gram occurs in each text where it does: n-gram `[U]`, text `[U]`, count `[U]`."""
    texts = int(owners.max(initial=-1)) + 1
    pairs, count = np.unique(grams * texts + owners, return_counts=True)
    return pairs // max(1, texts), pairs % max(1, texts), count
