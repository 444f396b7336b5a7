"""SMILES <-> tokens: the usual regular expression, frequent pairs merged if asked, a vocabulary kept in codec.json."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from core.batches import Batch
from core.conditions import ClassCondition, ConditionSpec, VectorCondition
from core.errors import FourfoldError, require
from core.networks.carrying import Sources
from core.runs.codec import Codec
from core.serialization import Json
from core.spaces import Discrete

# Schwaller et al. 2018 (1711.04810): bracket atoms and two-letter elements are one token, so is a %nn ring bond.
# Dative bonds (-> and <-) are two.
TOKEN = re.compile(r"\[[^\]\[]+\]|Br|Cl|%\(\d+\)|%\d\d|[BCNOPSFIbcnops]|[0-9().=#$:/\\~*+\-@<>?]")
EOS = 0  # tokens[i] has id i + 1


def tokenize(smiles: str) -> list[str]:
    """The tokens of a SMILES string; joined they are the string again.

    Raises:
        FourfoldError: a character belongs to no token.
    """
    tokens: list[str] = TOKEN.findall(smiles)
    if sum(map(len, tokens)) != len(smiles) or not tokens:
        reason, position = "it is empty", 0
        while position < len(smiles) and (match := TOKEN.match(smiles, position)):
            position = match.end()
        if smiles:
            reason = f"character {position + 1} is {smiles[position]!r}"
        raise FourfoldError(f"not a SMILES string: {shortened(smiles)!r}, {reason}")
    return tokens


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
        counts = np.zeros(0, np.int64)
        for start in range(0, len(flat) - 1, 2**24):
            left, right = flat[start : start + 2**24], flat[start + 1 : start + 2**24 + 1]
            left = left[: len(right)]
            inside = (left != EOS) & (right != EOS)
            more = np.bincount(left[inside].astype(np.int64) * new + right[inside], minlength=len(counts))
            more[: len(counts)] += counts
            counts = more
        best = int(counts.argmax()) if len(counts) else 0
        if not len(counts) or counts[best] < 2:
            break
        merges.append(divmod(best, new))
        flat = merge_pair(flat, *merges[-1], new)
    return merges


@dataclass(frozen=True, kw_only=True)
class SmilesCodec(Codec[str]):
    """SMILES strings as ids: `tokens[i]` is i + 1, 0 ends a molecule and pads.

    Attributes:
        tokens: single tokens, most frequent first, then the merged ones in the order of `merges`.
        merges: pairs of ids that become one token, in the order they are applied; decoding needs none of them.
        length_histogram: shares of training molecules with 1, 2, ... tokens, eos included, up to the longest.
        properties: what the condition "property" means; None where the data config names no properties.
        class_names: the classes of the condition "class"; empty without.
    """

    tokens: tuple[str, ...]
    merges: tuple[tuple[int, int], ...]
    length_histogram: tuple[float, ...]
    properties: VectorCondition | None = None
    class_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        require(len(self.length_histogram) > 0, "length_histogram", self.length_histogram, "must not be empty")
        for pair in self.merges:
            require(all(1 <= part <= len(self.tokens) for part in pair), "merges", pair,
                    f"must be ids of its {len(self.tokens)} tokens")
        require(len(self.merges) < len(self.tokens), "merges", len(self.merges),
                f"must be fewer than its {len(self.tokens)} tokens")

    @property
    def space(self) -> Discrete:
        return Discrete(length=len(self.length_histogram), vocab=len(self.tokens) + 1, eos=EOS,
                        length_histogram=self.length_histogram)

    @property
    def conditions(self) -> Mapping[str, ConditionSpec]:
        specs: dict[str, ConditionSpec] = {} if self.properties is None else {"property": self.properties}
        return specs | ({"class": ClassCondition(names=self.class_names)} if self.class_names else {})

    def made_of(self, old: SmilesCodec) -> Mapping[str, Sources]:
        """A token that is new begins as those of its characters that are tokens: "[nH+]" as n and +."""
        known = single_ids(old.tokens, old.merges)
        single = len(self.tokens) - len(self.merges)
        alone = [(known[token],) if token in known else tuple(known[letter] for letter in token if letter in known)
                 for token in self.tokens[:single]]
        first = len(old.tokens) - len(old.merges) + 1
        return {"tokens": [(EOS,), *alone, *((first + index,) for index in range(len(self.merges)))]}

    def encode(self, items: Sequence[str]) -> Batch:
        """SMILES -> int64 `[B, T]` with a mask, T the longest of them.

        Raises:
            FourfoldError: an item is no SMILES string, has a token the training data lacked, or is too long.
        """
        known, tokenized = single_ids(self.tokens, self.merges), []
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
        rows = merged_ids(tokenized, self.tokens, self.merges)
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


def from_version_0_1_0(value: Json) -> Json:
    """A codec.json of version 0.1.0 as one of today's."""
    return {
        "kind": "SmilesCodec", "tokens": value["tokens"], "merges": value["merges"],
        "length_histogram": value["length_histogram"], "properties": value["properties"].get("property"),
    }


def fit(
    flat: np.ndarray, seen: Mapping[str, int], merges: int = 0
) -> tuple[tuple[str, ...], tuple[tuple[int, int], ...]]:
    """The vocabulary of training molecules, and the pairs to merge: a codec's `tokens` and `merges`.

    Args:
        flat: of `numbered`; seen: all tokens by their numbers there.
    """
    counts = np.bincount(flat, minlength=len(seen) + 1)
    tokens = sorted((token for token in seen if counts[seen[token]]), key=lambda t: (-counts[seen[t]], t))
    pairs = learn_merges(renumbered(flat, seen, tokens, merges), len(tokens) + 1, merges) if merges else []
    for left, right in pairs:
        tokens.append(tokens[left - 1] + tokens[right - 1])
    return tuple(tokens), tuple(pairs)


def extended(codec: SmilesCodec, flat: np.ndarray, seen: Mapping[str, int]) -> tuple[
    tuple[str, ...], tuple[tuple[int, int], ...]
]:
    """A trained model's `tokens` and `merges` with the tokens of training molecules that it lacks; see `fit`.

    They stand after its single tokens, so that the numbers of merged ones move by as many.
    """
    new, _ = fit(flat, seen)
    single = len(codec.tokens) - len(codec.merges)
    added = tuple(token for token in new if token not in codec.tokens[:single])

    def moved(index: int) -> int:
        return index + len(added) * (index > single)

    return ((*codec.tokens[:single], *added, *codec.tokens[single:]),
            tuple((moved(left), moved(right)) for left, right in codec.merges))


def numbered(smiles: Iterable[str], seen: dict[str, int]) -> np.ndarray:
    """Numbers of the tokens of all molecules in one row `[N]`, EOS after each, as few bytes as they need.

    `seen` takes a number for each token that it has not yet.
    """
    parts: list[np.ndarray] = []
    some: list[int] = []
    for text in smiles:
        some += [seen.setdefault(token, len(seen) + 1) for token in tokenize(text)]
        some.append(EOS)
        if len(some) > 2**20:
            parts.append(np.array(some, np.min_scalar_type(len(seen))))
            some = []
    return np.concatenate([*parts, np.array(some, np.min_scalar_type(len(seen)))])


def renumbered(flat: np.ndarray, seen: Mapping[str, int], tokens: Sequence[str], more: int = 0) -> np.ndarray:
    """Ids in `tokens` of a row of `numbered`, whose molecules with other tokens are left out; room for `more` ids."""
    table = np.zeros(len(seen) + 1, np.min_scalar_type(len(tokens) + more))
    for index, token in enumerate(tokens):
        if token in seen:  # a trained model may know more
            table[seen[token]] = index + 1
    known = (table > 0) | (np.arange(len(table)) == EOS)
    if not known[flat].all():
        molecule = np.cumsum(flat == EOS) - (flat == EOS)
        flat = flat[~np.isin(molecule, molecule[~known[flat]])]
    return np.asarray(table[flat])


def single_ids(tokens: Sequence[str], merges: Sequence[tuple[int, int]]) -> dict[str, int]:
    """The ids of those of a codec's `tokens` that are not merged ones."""
    return {token: index + 1 for index, token in enumerate(tokens[: len(tokens) - len(merges)])}


def merged_ids(
    tokenized: Sequence[Sequence[str]], tokens: Sequence[str], merges: Sequence[tuple[int, int]]
) -> list[np.ndarray]:
    """Ids of each molecule by a codec's `tokens` and `merges`, EOS at its end.

    Raises:
        KeyError: a token is not in the vocabulary.
    """
    flat = all_merged(flatten(tokenized, single_ids(tokens, merges)), tokens, merges)
    return np.split(flat, np.flatnonzero(flat == EOS) + 1)[:-1]


def all_merged(flat: np.ndarray, tokens: Sequence[str], merges: Sequence[tuple[int, int]]) -> np.ndarray:
    """Single ids of all molecules `[N]`, EOS after each, with a codec's pairs merged."""
    for index, (left, right) in enumerate(merges):
        flat = merge_pair(flat, left, right, len(tokens) - len(merges) + 1 + index)
    return flat


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
