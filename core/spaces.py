"""Spaces of data: arrays of floats or sequences of tokens.

All data are either `Continuous` (images, mel spectrograms, chunks of robot actions) or `Discrete` (text, notes,
SMILES). Families and networks are built from a space and know nothing else of a domain.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Continuous:
    """Arrays of floats `[B, *shape]`, channels first, scaled by the domain's codec to about [-1, 1] or unit variance.

    `levels`: the number of evenly spaced values from -1 to 1 that the data take (8-bit images: 256), of which a
    likelihood is then a probability; None for real-valued data, of which it is a density.
    """

    shape: tuple[int, ...]
    levels: int | None = None

    @property
    def dims(self) -> int:
        """The number of floats in one example."""
        return math.prod(self.shape)


@dataclass(frozen=True, kw_only=True)
class Discrete:
    """Token ids int64 `[B, length]` in `[0, vocab)`.

    The length is fixed where `eos` is None (windows of text). Otherwise an example is its tokens, then `eos`, then
    padding that `Batch.mask` excludes; `length_histogram[n]` is the training set's share of examples with n + 1
    tokens, `eos` included, from which families that are not autoregressive draw lengths.
    The id `vocab` does not occur in data: families use it as their start or mask symbol.
    """

    length: int
    vocab: int
    eos: int | None = None
    length_histogram: tuple[float, ...] | None = field(default=None, repr=False)


Space = Continuous | Discrete
