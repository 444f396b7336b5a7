"""SMILES <-> tokens: the usual regular expression, a vocabulary from the training data, kept in codec.json."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from core.errors import FourfoldError
from core.space import Batch, ConditionSpec, Discrete, VectorCondition

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


@dataclass(frozen=True)
class SmilesCodec:
    """SMILES strings as ids: `tokens[i]` is i + 1, 0 ends a molecule and pads.

    Attributes:
        tokens: the vocabulary, most frequent first.
        space: tokens of variable length, with the training set's histogram of lengths (eos included).
        conditions: `{"property": VectorCondition}` when the data config names properties, else empty.
    """

    tokens: tuple[str, ...]
    space: Discrete
    conditions: Mapping[str, ConditionSpec] = field(default_factory=dict)

    @classmethod
    def fit(
        cls, tokenized: Sequence[Sequence[str]], length: int, conditions: Mapping[str, ConditionSpec]
    ) -> SmilesCodec:
        """Vocabulary and lengths of training molecules; `length` is the longest that must fit, eos included."""
        counts = Counter(token for tokens in tokenized for token in tokens)
        vocabulary = tuple(token for token, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0])))
        lengths = np.bincount([len(tokens) for tokens in tokenized], minlength=length)[:length]
        histogram = tuple((lengths / lengths.sum()).tolist())
        space = Discrete(length=length, vocab=len(vocabulary) + 1, eos=EOS, length_histogram=histogram)
        return cls(vocabulary, space, conditions)

    def ids(self, tokens: Iterable[str]) -> list[int]:
        """Ids of tokens, without eos.

        Raises:
            KeyError: a token is not in the vocabulary.
        """
        table = self._table
        return [table[token] for token in tokens]

    @property
    def _table(self) -> dict[str, int]:
        return {token: index + 1 for index, token in enumerate(self.tokens)}

    def arrays(self, tokenized: Sequence[Sequence[str]]) -> tuple[np.ndarray, np.ndarray]:
        """Ids `[N, length]` padded with eos (uint8 where they fit) and lengths `[N]`, eos included."""
        table = self._table
        x = np.full((len(tokenized), self.space.length), EOS, np.uint8 if len(table) < 256 else np.int32)
        for row, tokens in zip(x, tokenized, strict=True):
            row[: len(tokens)] = [table[token] for token in tokens]
        return x, np.array([len(tokens) + 1 for tokens in tokenized], np.int32)

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
                raise FourfoldError(f"molecule {number}, {shortened(item)!r}: the model's training data have no {strange!r}")
            if len(tokens) >= self.space.length:
                raise FourfoldError(f"molecule {number}, {shortened(item)!r}, has {len(tokens)} tokens: "
                                    f"this model takes at most {self.space.length - 1}")
            tokenized.append(tokens)
        x, lengths = self.arrays(tokenized)
        longest = int(lengths.max(initial=1))
        mask = torch.arange(longest) < torch.from_numpy(lengths)[:, None]
        return Batch(torch.from_numpy(x[:, :longest].astype(np.int64)), {}, mask)

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
        raise FourfoldError(f"{path} is damaged: {len(histogram)} lengths in the histogram of a model of {length} tokens")
    return SmilesCodec(
        tokens, Discrete(length=length, vocab=len(tokens) + 1, eos=EOS, length_histogram=histogram), conditions
    )
