"""What data looks like to a family: two kinds of space, the specs of conditions, and a batch.

Everything a domain models is either `Continuous` (images, mel spectrograms, chunks of actions) or
`Discrete` (text, notes, SMILES). Families and networks are built from a space and never see a domain.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor


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
        total = 1
        for size in self.shape:
            total *= size
        return total


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


@dataclass(frozen=True, kw_only=True)
class ClassCondition:
    """One of `len(names)` classes; batched as int64 `[B]`."""

    names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class VectorCondition:
    """Named real numbers; batched as float32 `[B, len(names)]`, standardised by `mean` and `std`."""

    names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class SequenceCondition:
    """A source sequence of tokens (translation, captions); batched as int64 `[B, length]`, padded with `pad`.

    `words`: where given, the token of `words[i]` is i, and a user may write the words.
    """

    length: int
    vocab: int
    pad: int
    words: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ArrayCondition:
    """An array that lies over the data, such as a degraded image; batched as float32 `[B, *shape]`.

    Its axes behind the channels are the data's; networks read it as more channels of their input.
    """

    shape: tuple[int, ...]


ConditionSpec = ClassCondition | VectorCondition | SequenceCondition | ArrayCondition


@dataclass(frozen=True)
class Batch:
    """Examples as a family sees them.

    `x`: float `[B, *shape]` or int64 `[B, T]`. `condition`: tensors by name, `[B, ...]` each.
    `mask`: bool `[B, T]`, True where a token counts (Discrete of variable length), else None.
    """

    x: Tensor
    condition: Mapping[str, Tensor] = field(default_factory=dict)
    mask: Tensor | None = None

    def __len__(self) -> int:
        return len(self.x)

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on `device`."""
        return Batch(
            self.x.to(device, non_blocking=True),
            {name: value.to(device, non_blocking=True) for name, value in self.condition.items()},
            None if self.mask is None else self.mask.to(device, non_blocking=True),
        )

    def __getitem__(self, index: slice | Tensor) -> Batch:
        """Some of the examples."""
        return replace(
            self,
            x=self.x[index],
            condition={name: value[index] for name, value in self.condition.items()},
            mask=None if self.mask is None else self.mask[index],
        )


@dataclass(frozen=True)
class Conditioning:
    """What networks see of a condition: `vector` `[B, width]`, `sequence` `[B, S, width]` with its mask `[B, S]` and
    the tokens `[B, S]` that it embeds, `array` `[B, channels, *S]`."""

    vector: Tensor | None = None
    sequence: Tensor | None = None
    sequence_mask: Tensor | None = None
    array: Tensor | None = None
    sequence_tokens: Tensor | None = None


@dataclass(frozen=True)
class Loss:
    """What a player minimises: a scalar, and named parts for the log (detached scalars)."""

    value: Tensor
    terms: Mapping[str, Tensor] = field(default_factory=dict)
