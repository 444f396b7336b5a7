"""SMILES <-> tokens: the usual regular expression, frequent pairs merged if asked, a vocabulary kept in codec.json."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from core.batches import Batch
from core.conditions import ConditionSpec, VectorCondition
from core.errors import FourfoldError
from core.spaces import Discrete

# Schwaller et al. 2018 (1711.04810): bracket atoms and two-letter elements are one token, so is a %nn ring bond.
TOKEN = re.compile(r"\[[^\]\[]+\]|Br|Cl|%\(\d+\)|%\d\d|[BCNOPSFIbcnops]|[0-9().=#$:/\\~*+\-@>?]")
EOS = 0  # tokens[i] has id i + 1
FILE = "codec.json"


def tokenize(smiles: str) -> list[str]:
    """The tokens of a SMILES string; joined they are the string again.

    Raises:
        FourfoldError: a character belongs to no token.
    """
    tokens = TOKEN.findall(smiles)
    if sum(map(len, tokens)) != len(smiles) or not tokens:
        position = _first_gap(smiles)
        raise FourfoldError(
            f"not a SMILES string: {shortened(smiles)!r}, "
            + (f"character {position + 1} is {smiles[position]!r}" if smiles else "it is empty")
        )
    return tokens


def _first_gap(smiles: str) -> int:
    """Where the first character lies that no token covers."""
    position = 0
    while match := TOKEN.match(smiles, position):
        position = match.end()
    return min(position, len(smiles) - 1)


def shortened(text: str, width: int = 60) -> str:
    """`text` fit for one line of an error."""
    return text if len(text) <= width else text[: width - 3] + "..."


def merge_pair(flat: np.ndarray, left: int, right: int, merged: int) -> np.ndarray:
    """`flat` `[N]` with each `left, right` replaced by `merged`, leftmost first."""
    at = np.flatnonzero((flat[:-1] == left) & (flat[1:] == right))
    if left == right and len(at):  # of a run x x x only every other pair is free
        starts = np.flatnonzero(np.diff(at, prepend=-2) != 1)
        offset = np.arange(len(at)) - np.repeat(starts, np.diff(starts, append=len(at)))
        at = at[offset % 2 == 0]
    flat = flat.copy()
    flat[at] = merged
    return np.delete(flat, at + 1)


def learn_merges(flat: np.ndarray, vocab: int, count: int) -> list[tuple[int, int]]:
    """The `count` pairs to merge, in order, each the most frequent after those before it; fewer if pairs run out.

    Byte-pair encoding over SMILES tokens (SMILES pair encoding, Li & Fourches, J. Chem. Inf. Model. 61, 1560 (2021)).
    `flat`: ids `[N]` in [0, vocab) of all molecules, each ended by EOS, which is never merged.
    """
    merges: list[tuple[int, int]] = []
    for new in range(vocab, vocab + count):
        inside = (flat[:-1] != EOS) & (flat[1:] != EOS)
        counts = np.bincount(flat[:-1][inside].astype(np.int64) * new + flat[1:][inside])
        best = int(counts.argmax()) if len(counts) else 0
        if not len(counts) or counts[best] < 2:
            break
        merges.append(divmod(best, new))
        flat = merge_pair(flat, *merges[-1], new)
    return merges


@dataclass(frozen=True)
class SmilesCodec:
    """SMILES strings as ids: `tokens[i]` is i + 1, 0 ends a molecule and pads.

    Attributes:
        tokens: single tokens, most frequent first, then the merged ones in the order of `merges`.
        merges: pairs of ids that become one token, in the order they are applied; decoding needs none of them.
        space: tokens of variable length, with the training set's histogram of lengths (eos included).
        conditions: `{"property": VectorCondition}` when the data config names properties, else empty.
    """

    tokens: tuple[str, ...]
    merges: tuple[tuple[int, int], ...]
    space: Discrete
    conditions: Mapping[str, ConditionSpec] = field(default_factory=dict)

    @property
    def _table(self) -> dict[str, int]:
        singles = self.tokens[: len(self.tokens) - len(self.merges)]
        return {token: index + 1 for index, token in enumerate(singles)}

    def rows(self, tokenized: Sequence[Sequence[str]]) -> list[np.ndarray]:
        """Ids of each molecule, merged, without eos.

        Raises:
            KeyError: a token is not in the vocabulary.
        """
        flat = flatten(tokenized, self._table)
        first = len(self.tokens) - len(self.merges) + 1
        for index, (left, right) in enumerate(self.merges):
            flat = merge_pair(flat, left, right, first + index)
        return np.split(flat, np.flatnonzero(flat == EOS) + 1)[:-1]

    def encode(self, items: Sequence[str]) -> Batch:
        """SMILES -> int64 `[B, T]` with a mask, T the longest of them.

        Raises:
            FourfoldError: an item is no SMILES string, has a token the training data lacked, or is too long.
        """
        known, tokenized = self._table, []
        for number, item in enumerate(items, 1):
            try:
                tokens = tokenize(item)
            except FourfoldError as error:
                raise FourfoldError(f"molecule {number}: {error}") from None
            strange = next((token for token in tokens if token not in known), None)
            if strange is not None:
                raise FourfoldError(
                    f"molecule {number}, {shortened(item)!r}: the model's training data have no {strange!r}"
                )
            tokenized.append(tokens)
        rows = self.rows(tokenized)
        for number, (item, row) in enumerate(zip(items, rows, strict=True), 1):
            if len(row) > self.space.length:
                raise FourfoldError(f"molecule {number}, {shortened(item)!r}, has {len(row) - 1} tokens: "
                                    f"this model takes at most {self.space.length - 1}")
        x, lengths = padded(rows, max(map(len, rows), default=1))
        mask = torch.arange(x.shape[1]) < torch.from_numpy(lengths)[:, None]
        return Batch(torch.from_numpy(x.astype(np.int64)), {}, mask)

    def decode(self, batch: Batch) -> list[str]:
        """Ids -> strings, each up to its first eos; whether they are molecules is for RDKit to say."""
        x = batch.x if batch.mask is None else batch.x.masked_fill(~batch.mask, EOS)
        return self.strings(x.cpu().numpy())

    def strings(self, x: np.ndarray) -> list[str]:
        """The same from an array of ids `[B, T]`."""
        texts = ("", *self.tokens)
        ended = np.maximum.accumulate(x == EOS, axis=1)
        return ["".join(texts[i] for i in row[~end]) for row, end in zip(x, ended, strict=True)]

    def save(self, folder: Path) -> None:
        """Write codec.json."""
        value = {
            "tokens": self.tokens,
            "merges": self.merges,
            "length": self.space.length,
            "length_histogram": self.space.length_histogram,
            "properties": {name: vars(spec) for name, spec in self.conditions.items()},
        }
        (folder / FILE).write_text(json.dumps(value, indent=1))


def load_codec(folder: Path) -> SmilesCodec:
    """The codec that `SmilesCodec.save` wrote.

    Raises:
        FourfoldError: codec.json is missing or damaged.
    """
    path = folder / FILE
    try:
        value = json.loads(path.read_text())
        tokens = tuple(map(str, value["tokens"]))
        merges = tuple((int(left), int(right)) for left, right in value["merges"])
        histogram = tuple(map(float, value["length_histogram"]))
        conditions = {
            name: VectorCondition(
                names=tuple(spec["names"]), mean=tuple(map(float, spec["mean"])), std=tuple(map(float, spec["std"]))
            )
            for name, spec in value["properties"].items()
        }
        length = int(value["length"])
    except FileNotFoundError:
        raise FourfoldError(f"{path} is missing: this is not the model folder of a molecules run") from None
    except (ValueError, KeyError, TypeError, AttributeError, UnicodeDecodeError, OSError) as error:
        raise FourfoldError(f"{path} is damaged ({type(error).__name__}: {error}): train the model again") from None
    if len(histogram) != length:
        raise FourfoldError(f"{path} is damaged: {len(histogram)} lengths for a model of {length} tokens")
    if not all(1 <= part <= len(tokens) for pair in merges for part in pair) or len(merges) >= len(tokens):
        raise FourfoldError(f"{path} is damaged: its merges do not fit its {len(tokens)} tokens")
    return SmilesCodec(tokens, merges, token_space(len(tokens), histogram), conditions)


def fit(tokenized: Sequence[Sequence[str]], merges: int = 0) -> tuple[tuple[str, ...], tuple[tuple[int, int], ...]]:
    """The vocabulary of training molecules, and the pairs to merge: a codec's `tokens` and `merges`."""
    counts = Counter(token for tokens in tokenized for token in tokens)
    tokens = [token for token, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]
    flat = flatten(tokenized, {token: index + 1 for index, token in enumerate(tokens)})
    pairs = learn_merges(flat, len(tokens) + 1, merges)
    for left, right in pairs:
        tokens.append(tokens[left - 1] + tokens[right - 1])
    return tuple(tokens), tuple(pairs)


def token_space(tokens: int, length_histogram: tuple[float, ...]) -> Discrete:
    """The space of a codec of so many tokens."""
    return Discrete(length=len(length_histogram), vocab=tokens + 1, eos=EOS, length_histogram=length_histogram)


def flatten(tokenized: Sequence[Sequence[str]], table: Mapping[str, int]) -> np.ndarray:
    """Ids of all molecules in one row, int32 `[N]`, EOS after each."""
    return np.array([i for tokens in tokenized for i in (*(table[token] for token in tokens), EOS)], np.int32)


def padded(rows: Sequence[np.ndarray], length: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of ids that end with EOS as an array `[N, length]` padded with EOS, and their lengths `[N]`."""
    lengths = np.array([len(row) for row in rows], np.int64)
    x = np.full((len(rows), length), EOS, np.int32)
    if len(rows):
        x[np.arange(length) < lengths[:, None]] = np.concatenate(rows)
    return x, lengths
