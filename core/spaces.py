"""What data looks like to a family: arrays of floats or sequences of tokens.

Everything a domain models is either `Continuous` (images, mel spectrograms, chunks of actions) or `Discrete` (text,
notes, SMILES). Families and networks are built from a space and never see a domain.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Continuous:
    """Arrays of floats `[B, channels, *space]`, scaled by the codec to about [-1, 1] or unit variance.

    `levels`: the data take only this many evenly spaced values from -1 to 1 (8-bit images: 256), so a
    likelihood is a probability of levels, in nats; None for real-valued data (a density).
    """

    shape: tuple[int, ...]
    levels: int | None = None

    @property
    def dims(self) -> int:
        """Numbers in one example."""
        return math.prod(self.shape)


@dataclass(frozen=True, kw_only=True)
class Discrete:
    """Token ids `[B, length]` (int64) in `[0, vocab)`.

    Fixed length where `eos` is None (windows of text). Otherwise an example is its tokens, then `eos`, then
    padding that `Batch.mask` excludes; `length_histogram[n]` is the training set's share of examples
    with n + 1 tokens, eos included: non-autoregressive families draw a length from it.
    The id `vocab` itself is never data: families use it as their own start or mask symbol.
    """

    length: int
    vocab: int
    eos: int | None = None
    length_histogram: tuple[float, ...] | None = field(default=None, repr=False)


Space = Continuous | Discrete
