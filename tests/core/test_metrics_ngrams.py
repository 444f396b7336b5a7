"""The n-gram model and divergence: exactness on small vocabularies, and against counting by hand."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest

from core.errors import FourfoldError
from core.metrics.ngrams import NGramModel, ngram_counts, ngram_divergence

random = np.random.default_rng(0)
RAGGED = [random.integers(0, 3, size=n) for n in random.integers(1, 9, size=40)]


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_probabilities_sum_to_one_over_all_sequences(order):
    model = NGramModel.fit(RAGGED, order, vocab=3)
    every = np.array(list(itertools.product(range(3), repeat=6)))
    assert np.exp(-model.nll(every)).sum() == pytest.approx(1, abs=1e-12)


def test_probabilities_sum_to_one_over_all_sequences_that_end():
    """Token 0 ends: all ended sequences of up to 6 tokens, and those of 6 that have not."""
    ended = [np.append(row[row != 0], 0) for row in RAGGED]
    model = NGramModel.fit(ended, 3, vocab=3)
    every = [(*body, 0) for n in range(6) for body in itertools.product((1, 2), repeat=n)]
    every += list(itertools.product((1, 2), repeat=6))
    assert np.exp(-model.nll(every)).sum() == pytest.approx(1, abs=1e-12)


def by_hand(sequences, order, vocab, sequence):
    """Witten-Bell as it is written in the books."""
    follow: dict[tuple, Counter] = {}
    for row in sequences:
        padded = [None] * (order - 1) + [int(t) for t in row]
        for i in range(order - 1, len(padded)):
            for size in range(order):
                follow.setdefault(tuple(padded[i - size : i]), Counter())[padded[i]] += 1

    def probability(word, context):
        lower = probability(word, context[1:]) if context else 1 / vocab
        seen = follow.get(context)
        if not seen:
            return lower
        return (seen[word] + len(seen) * lower) / (sum(seen.values()) + len(seen))

    padded = [None] * (order - 1) + [int(t) for t in sequence]
    return -sum(math.log(probability(padded[i], tuple(padded[i - order + 1 : i])))
                for i in range(order - 1, len(padded)))


@pytest.mark.parametrize("order", [1, 2, 4])
def test_nll_equals_counting_by_hand(order):
    model = NGramModel.fit(RAGGED[:20], order, vocab=5)
    expected = [by_hand(RAGGED[:20], order, 5, row) for row in RAGGED]
    np.testing.assert_allclose(model.nll(RAGGED), expected, rtol=1e-12)


def test_padded_arrays_equal_lists():
    lengths = np.array([len(row) for row in RAGGED])
    padded = np.full((len(RAGGED), 10), 2)
    for row, values in zip(padded, RAGGED, strict=True):
        row[: len(values)] = values
    ragged, array = NGramModel.fit(RAGGED, 3, 3), NGramModel.fit(padded.astype(np.uint8), 3, 3, lengths)
    np.testing.assert_array_equal(ragged.nll(RAGGED), array.nll(padded, lengths))
    for ours, other in zip(ngram_counts(RAGGED, 2, 3), ngram_counts(padded, 2, 3, lengths), strict=True):
        np.testing.assert_array_equal(ours, other)


def test_samples_follow_the_model():
    """Frequencies of all sequences of three tokens against their probabilities, chi-squared."""
    from scipy.stats import chisquare

    ended = [np.append(row[row != 0], 0) for row in RAGGED]
    model = NGramModel.fit(ended, 3, vocab=3)
    tokens, lengths = model.sample(20_000, 3, seed=1, eos=0)
    seen = Counter(tuple(row[:n]) for row, n in zip(tokens.tolist(), lengths, strict=True))
    every = [(0,), *((a, 0) for a in (1, 2)), *((a, b, c) for a in (1, 2) for b in (1, 2) for c in (0, 1, 2))]
    expected = np.exp(-model.nll(every)) * 20_000
    assert expected.sum() == pytest.approx(20_000)
    assert chisquare([seen[s] for s in every], expected).pvalue > 0.001
    assert (tokens[np.arange(3) >= lengths[:, None]] == 0).all()
    np.testing.assert_array_equal(tokens, model.sample(20_000, 3, seed=1, eos=0)[0])
    assert (tokens != model.sample(20_000, 3, seed=2, eos=0)[0]).any()


def test_context_helps_where_there_is_structure():
    """A noisy cycle over 50 tokens: a bigram comes near the entropy, a unigram cannot."""
    noise = np.where(random.random((500, 40)) < 0.1, random.integers(0, 50, (500, 40)), 0)
    rows = (np.cumsum(np.ones((500, 40), np.int64), axis=1) + noise + random.integers(0, 50, (500, 1))) % 50
    one, two, four = (NGramModel.fit(rows[:400], order, 50).nll(rows[400:]).mean() / 40 for order in (1, 2, 4))
    assert one > 3.8 and two < 1.6 and four < 1.15 * two


def test_counts_and_divergence_equal_counting_by_hand():
    a, b = RAGGED[:20], RAGGED[20:]
    for order in (1, 2, 3):
        p, q = (Counter(tuple(row[i : i + order].tolist()) for row in rows for i in range(len(row) - order + 1))
                for rows in (a, b))
        grams, counts = ngram_counts(a, order, 3)
        assert {tuple(g): c for g, c in zip(grams.tolist(), counts.tolist(), strict=True)} == p
        assert grams.tolist() == sorted(grams.tolist())
        total = 0.0
        for gram in p | q:
            x, y = p[gram] / p.total(), q[gram] / q.total()
            total += sum(v / 2 * math.log2(v / ((x + y) / 2)) for v in (x, y) if v)
        assert ngram_divergence(a, b, order, 3) == pytest.approx(total, abs=1e-12)


def test_divergence_ends():
    assert ngram_divergence(RAGGED, RAGGED, 2, 3) == 0
    assert ngram_divergence([[0, 1, 0, 1]], [[2, 3, 2, 3]], 2, 4) == pytest.approx(1)


def test_orders_whose_ngrams_would_overflow_a_packed_integer_are_exact():
    rows = random.integers(0, 30_000, (20, 12))
    rows[:, 1] = 29_999  # (30,000 + 1)^8 is far above 2^63
    counts = ngram_counts(rows, 8, 30_000)[1]
    assert len(counts) == 20 * 5 and (counts == 1).all()
    model = NGramModel.fit(rows, 8, 30_000)
    np.testing.assert_allclose(model.nll(rows[:3]), [by_hand(rows, 8, 30_000, row) for row in rows[:3]], rtol=1e-12)


BAD = [
    (lambda: NGramModel.fit([[0, 5]], 2, 5), r"tokens go from 0 to 5: must be in \[0, 5\)"),
    (lambda: NGramModel.fit([[0.5]], 2, 5), "must be integers"),  # type: ignore[arg-type]
    (lambda: NGramModel.fit([], 2, 5), "empty"),
    (lambda: NGramModel.fit([[0, 1]], 0, 5), "order of an n-gram model is 0"),
    (lambda: NGramModel.fit(np.zeros((2, 3), int), 1, 5, np.array([1, 4])), "lengths do not fit"),
    (lambda: ngram_divergence([[1]], [[1, 2]], 2, 5), "no 2-grams to compare"),
]


@pytest.mark.parametrize(("call", "line"), BAD)
def test_bad_sequences_are_refused_in_one_line(call, line):
    with pytest.raises(FourfoldError, match=line):
        call()
