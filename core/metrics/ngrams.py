"""n-grams of token sequences: counts, divergence, and an interpolated n-gram model as the baseline of sequences.

Sequences are a list of integer arrays, or an array `[N, T]`, with `lengths` `[N]` where rows are padded.
n-grams are numbered without hashing: an (n+1)-gram's key is (number of its n-gram) * vocab + token, so that
int64 holds any order exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.errors import FourfoldError

Sequences = np.ndarray | Sequence[np.ndarray] | Sequence[Sequence[int]]


def ngram_counts(
    sequences: Sequences, order: int, vocab: int, lengths: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The distinct n-grams `[U, order]` of the sequences, sorted, and how often each occurs `[U]`."""
    rows = _grams(*_flat(sequences, vocab, lengths), order)
    numbers, first = _number(rows, vocab)
    return rows[first], np.bincount(numbers, minlength=len(first))


def ngram_divergence(
    a: Sequences, b: Sequences, order: int, vocab: int, *,
    a_lengths: np.ndarray | None = None, b_lengths: np.ndarray | None = None,
) -> float:
    """Jensen-Shannon divergence, in bits in [0, 1], between the n-gram distributions of two collections.

    It is larger for smaller collections: compare collections of equal size, and with two parts of real data (`floor`).

    Raises:
        FourfoldError: a collection without any n-gram, or tokens outside [0, vocab).
    """
    rows_a, rows_b = _grams(*_flat(a, vocab, a_lengths), order), _grams(*_flat(b, vocab, b_lengths), order)
    if not len(rows_a) or not len(rows_b):
        raise FourfoldError(f"no sequence has {order} tokens: no {order}-grams to compare")
    numbers, first = _number(np.concatenate([rows_a, rows_b]), vocab)
    p = np.bincount(numbers[: len(rows_a)], minlength=len(first)) / len(rows_a)
    q = np.bincount(numbers[len(rows_a) :], minlength=len(first)) / len(rows_b)
    middle = (p + q) / 2

    def divergence(x: np.ndarray) -> float:
        some = x > 0
        return float((x[some] * np.log2(x[some] / middle[some])).sum())

    return min(1.0, max(0.0, (divergence(p) + divergence(q)) / 2))


@dataclass(frozen=True)
class _Level:
    """Counts for contexts of one length. A context's number is its index in `contexts`."""

    contexts: np.ndarray  # [C] sorted keys: (number of the context one shorter) * (vocab + 1) + the token before it
    totals: np.ndarray  # [C] tokens seen after each context
    kinds: np.ndarray  # [C] distinct tokens seen after each context
    starts: np.ndarray  # [C] totals before each context, in the order of `grams`
    grams: np.ndarray  # [G] sorted keys: (number of the context) * vocab + next token
    counts: np.ndarray  # [G]
    ends: np.ndarray  # [G] running sum of counts


@dataclass(frozen=True)
class NGramModel:
    """Interpolated n-gram model, `P(w|h) = (c(hw) + T(h) P(w|h')) / (c(h) + T(h))` (Witten and Bell 1991).

    h' is the context h without its oldest token, T(h) the number of distinct tokens seen after h; below unigrams is
    the uniform distribution. The context of a sequence's first tokens is filled with start symbols. Ends are modelled
    only where sequences contain an `eos` token.
    """

    order: int
    vocab: int
    levels: tuple[_Level, ...]

    @classmethod
    def fit(cls, sequences: Sequences, order: int, vocab: int, lengths: np.ndarray | None = None) -> NGramModel:
        """Count n-grams up to `order` (1: unigrams) of tokens in [0, vocab).

        The sequences should be cut like those to be evaluated (windows of a text, or whole texts): first tokens differ.

        Raises:
            FourfoldError: no tokens, or tokens outside [0, vocab).
        """
        if order < 1:
            raise FourfoldError(f"the order of an n-gram model is {order}: must be at least 1")
        tokens, ends = _flat(sequences, vocab, lengths)
        if not len(tokens):
            raise FourfoldError("the sequences of an n-gram model are empty: nothing to count")
        levels = []
        numbers = np.zeros(len(tokens), np.int64)
        for before in range(order):
            if before:
                keys = numbers * (vocab + 1) + _earlier(tokens, ends, before, vocab)
                contexts, numbers = np.unique(keys, return_inverse=True)
            else:
                contexts = np.zeros(1, np.int64)
            grams, counts = np.unique(numbers * vocab + tokens, return_counts=True)
            totals = np.bincount(numbers, minlength=len(contexts))
            kinds = np.bincount(grams // vocab, minlength=len(contexts))
            levels.append(_Level(contexts, totals, kinds, totals.cumsum() - totals, grams, counts, counts.cumsum()))
        return cls(order, vocab, tuple(levels))

    def nll(self, sequences: Sequences, lengths: np.ndarray | None = None) -> np.ndarray:
        """Exact -log P in nats `[N]` of each sequence; 0 for an empty one."""
        tokens, ends = _flat(sequences, self.vocab, lengths)
        probability = np.full(len(tokens), 1 / self.vocab)
        numbers = np.zeros(len(tokens), np.int64)
        for before, level in enumerate(self.levels):
            if before:
                keys = numbers * (self.vocab + 1) + _earlier(tokens, ends, before, self.vocab)
                numbers = np.where(numbers >= 0, _find(level.contexts, keys), -1)
            known = numbers >= 0
            at = numbers[known]
            place = _find(level.grams, at * self.vocab + tokens[known])
            seen = np.where(place >= 0, level.counts[place], 0)
            kinds = level.kinds[at]
            probability[known] = (seen + kinds * probability[known]) / (level.totals[at] + kinds)
        sums = np.concatenate([[0.0], np.cumsum(-np.log(probability))])
        return np.diff(sums[np.concatenate([[0], ends])])

    def sample(
        self, n: int, max_length: int, seed: int = 0, eos: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """`n` sequences: tokens int64 `[n, max_length]` and lengths `[n]`, `eos` included; the padding is `eos`."""
        random = np.random.default_rng(seed)
        start = self.order - 1
        out = np.full((n, start + max_length), self.vocab, np.int64)
        lengths = np.full(n, max_length, np.int64)
        alive = np.arange(n)
        for t in range(start, start + max_length):
            token = self._draw(out[alive, t - start : t], random)
            out[alive, t] = token
            if eos is not None:
                done = token == eos
                lengths[alive[done]] = t - start + 1
                alive = alive[~done]
        tokens = out[:, start:]
        if eos is not None:
            tokens[np.arange(max_length) >= lengths[:, None]] = eos
        return tokens, lengths

    def _draw(self, context: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """The next token `[B]` after `context` `[B, order - 1]`.

        Interpolation is a mixture: with probability c(h) / (c(h) + T(h)) a token is drawn from those seen after h,
        otherwise from the distribution of the shorter context h'.
        """
        n = len(context)
        numbers = [np.zeros(n, np.int64)]
        for before, level in enumerate(self.levels[1:], 1):
            keys = numbers[-1] * (self.vocab + 1) + context[:, -before]
            numbers.append(np.where(numbers[-1] >= 0, _find(level.contexts, keys), -1))
        token = random.integers(self.vocab, size=n)
        open_ = np.ones(n, bool)
        for level, number in zip(reversed(self.levels), reversed(numbers), strict=True):
            total, kinds = level.totals[number], level.kinds[number]
            take = open_ & (number >= 0) & (random.random(n) * (total + kinds) < total)
            rank = level.starts[number[take]] + random.integers(total[take])
            token[take] = level.grams[np.searchsorted(level.ends, rank, side="right")] % self.vocab
            open_ &= ~take
        return token


def _find(table: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Index of each key in the sorted `table`, -1 where it is missing."""
    place = np.minimum(np.searchsorted(table, keys), len(table) - 1)
    return np.where(table[place] == keys, place, -1)


def _flat(sequences: Sequences, vocab: int, lengths: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """All tokens concatenated, int64 `[total]`, and the index after each sequence's last token, `[N]`."""
    if isinstance(sequences, np.ndarray) and sequences.ndim == 2:
        sizes = np.full(len(sequences), sequences.shape[1]) if lengths is None else np.asarray(lengths, np.int64)
        if len(sizes) != len(sequences) or (len(sizes) and not 0 <= sizes.min() <= sizes.max() <= sequences.shape[1]):
            raise FourfoldError(f"lengths do not fit sequences of shape {sequences.shape}")
        tokens = np.asarray(sequences)[np.arange(sequences.shape[1]) < sizes[:, None]]
    else:
        rows = [np.asarray(row) for row in sequences]
        if lengths is not None:
            rows = [row[:size] for row, size in zip(rows, lengths, strict=True)]
        sizes = np.array([len(row) for row in rows], np.int64)
        tokens = np.concatenate(rows) if rows else np.zeros(0, np.int64)
    if len(tokens) and tokens.dtype.kind not in "iub":
        raise FourfoldError(f"tokens are of type {tokens.dtype}: must be integers")
    tokens = tokens.astype(np.int64)
    if len(tokens) and not 0 <= tokens.min() <= tokens.max() < vocab:
        raise FourfoldError(f"tokens go from {tokens.min()} to {tokens.max()}: must be in [0, {vocab})")
    return tokens, np.cumsum(sizes)


def _earlier(tokens: np.ndarray, ends: np.ndarray, back: int, start_symbol: int) -> np.ndarray:
    """The token `back` positions before each, or `start_symbol` where that is before the sequence's first."""
    out = np.full(len(tokens), start_symbol, np.int64)
    out[back:] = tokens[:-back]
    begins = np.concatenate([[0], ends[:-1]])
    sizes = ends - begins
    place = np.arange(len(tokens)) - np.repeat(begins, sizes)
    out[place < back] = start_symbol
    return out


def _grams(tokens: np.ndarray, ends: np.ndarray, order: int) -> np.ndarray:
    """All n-grams `[M, order]`, none across two sequences."""
    if order < 1:
        raise FourfoldError(f"the order of n-grams is {order}: must be at least 1")
    if len(tokens) < order:
        return np.zeros((0, order), np.int64)
    windows = np.lib.stride_tricks.sliding_window_view(tokens, order)
    sequence = np.repeat(np.arange(len(ends)), np.diff(ends, prepend=0))
    return np.asarray(windows[sequence[: len(windows)] == sequence[order - 1 :]])


def _number(rows: np.ndarray, vocab: int) -> tuple[np.ndarray, np.ndarray]:
    """For each row its number `[M]` among the distinct rows in sorted order; for each number its first row `[U]`."""
    numbers, size = np.zeros(len(rows), np.int64), 1
    for column in rows.T:
        if size > 2**62 // vocab:  # another digit may overflow int64: renumber the prefixes
            different, numbers = np.unique(numbers, return_inverse=True)
            size = len(different)
        numbers, size = numbers * vocab + column, size * vocab
    _, first, numbers = np.unique(numbers, return_index=True, return_inverse=True)
    return numbers, first
