"""Arrays as tokens: uniform bins of each number, or finite scalar quantisation of an encoder's output."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from core.errors import require
from core.space import Continuous, Discrete


@dataclass(frozen=True, kw_only=True)
class UniformBins:
    """Each number is one token: the nearest of `bins` evenly spaced centres.

    The centres are those of data levels: `low` and `high` themselves are the first and the last.
    Numbers beyond are clipped.
    """

    bins: int
    low: float = -1.0
    high: float = 1.0

    def __post_init__(self) -> None:
        require(self.bins >= 2, "quantizer.bins", self.bins, "must be at least 2")
        require(self.low < self.high, "quantizer.low", self.low, f"must be below high ({self.high})")

    @property
    def width(self) -> float:
        """Distance of neighbouring centres."""
        return (self.high - self.low) / (self.bins - 1)

    def space(self, continuous: Continuous) -> Discrete:
        """The tokens' space: one a number, in the array's order."""
        return Discrete(length=continuous.dims, vocab=self.bins)

    def encode(self, x: Tensor) -> Tensor:
        """`[B, *shape]` -> int64 `[B, prod(shape)]`."""
        return ((x - self.low) / self.width).round().long().clamp(0, self.bins - 1).flatten(1)

    def decode(self, tokens: Tensor) -> Tensor:
        """int64 `[B, T]` -> centres `[B, T]`."""
        return self.low + tokens.float() * self.width


@dataclass(frozen=True, kw_only=True)
class FSQ:
    """Finite scalar quantisation (Mentzer et al. 2309.15505): channel i is rounded to `levels[i]` values."""

    levels: tuple[int, ...] = (8, 5, 5)

    def __post_init__(self) -> None:
        require(len(self.levels) >= 1 and min(self.levels) >= 2, "quantizer.levels", self.levels,
                "must be whole numbers of at least 2")

    @property
    def channels(self) -> int:
        """Channels of what is quantised."""
        return len(self.levels)

    @property
    def codes(self) -> int:
        """The number of different codes."""
        return math.prod(self.levels)

    def _levels(self, like: Tensor) -> Tensor:
        """Levels `[1, d, 1 ...]`."""
        return torch.tensor(self.levels, device=like.device, dtype=like.dtype).view(1, -1, *[1] * (like.ndim - 2))

    def quantize(self, z: Tensor) -> Tensor:
        """z `[B, d, *S]` -> the nearest codes' values in [-1, 1]; gradients pass straight through the rounding."""
        top = self._levels(z) - 1
        bounded = (torch.tanh(z) + 1) / 2 * top
        rounded = bounded + (bounded.round() - bounded).detach()
        return rounded / top * 2 - 1

    def to_tokens(self, quantized: Tensor) -> Tensor:
        """Quantised `[B, d, *S]` -> int64 `[B, prod(S)]`, mixed-radix with the first channel fastest."""
        top = self._levels(quantized) - 1
        digits = ((quantized + 1) / 2 * top).round().long()
        tokens, base = torch.zeros_like(digits[:, 0]), 1
        for index, level in enumerate(self.levels):
            tokens = tokens + digits[:, index] * base
            base *= level
        return tokens.flatten(1)

    def from_tokens(self, tokens: Tensor, spatial: tuple[int, ...]) -> Tensor:
        """int64 `[B, prod(spatial)]` -> values `[B, d, *spatial]`."""
        digits, rest = [], tokens
        for level in self.levels:
            digits.append(rest % level)
            rest = rest // level
        values = torch.stack(digits, dim=1).float()
        values = values / (self._levels(values) - 1) * 2 - 1
        return values.view(len(tokens), self.channels, *spatial)
