"""The baseline of generated molecules: trigrams of single SMILES tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from apps.molecules.codec import EOS, merged_ids, padded, tokenize
from core.metrics.ngrams import NGramModel


@dataclass(frozen=True)
class Trigram:
    """What two single tokens of a SMILES string say about the next, whatever tokens the model has.

    Attributes:
        tokens: those of the training molecules; `tokens[i]` is i + 1.
        model: its counts, in which EOS ends a molecule.
        longest: tokens that a sample has at most, EOS included.
    """

    tokens: tuple[str, ...]
    model: NGramModel
    longest: int

    @classmethod
    def fit(cls, smiles: Sequence[str]) -> Trigram:
        """Count the trigrams of training molecules."""
        tokens = tuple(sorted({token for text in smiles for token in tokenize(text)}))
        x, lengths = _ids(smiles, tokens)
        return cls(tokens, NGramModel.fit(x, order=3, vocab=len(tokens) + 1, lengths=lengths), x.shape[1])

    def nll(self, smiles: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Exact nats `[N]` of molecules, and their numbers of single tokens `[N]`, EOS included."""
        x, lengths = _ids(smiles, self.tokens)
        return self.model.nll(x, lengths), lengths

    def sample(self, n: int, seed: int) -> list[str]:
        """`n` strings."""
        texts = ("", *self.tokens)
        drawn, lengths = self.model.sample(n, self.longest, seed, eos=EOS)
        return ["".join(texts[i] for i in row[:length]) for row, length in zip(drawn, lengths, strict=True)]


def _ids(smiles: Sequence[str], tokens: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Ids `[N, T]`, each molecule ended and padded with EOS, and lengths `[N]`, EOS included."""
    rows = merged_ids([tokenize(text) for text in smiles], tokens, ())
    return padded(rows, max(map(len, rows)))
