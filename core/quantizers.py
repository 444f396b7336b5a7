"""Arrays as tokens: uniform bins for each number, or finite scalar quantisation of an encoder's output."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from core.errors import require, require_within
from core.spaces import Continuous, Discrete


@dataclass(frozen=True, kw_only=True)
class UniformBins:
    """Each number becomes one token, the index of the nearest of `bins` evenly spaced centres from `low` to `high`.

    Numbers outside are clipped. With `patch` (sizes along the axes after the channels) each patch of one channel
    becomes one of bins^prod(patch) tokens, without loss: a binary image in patches of 2x2 has 16 kinds of token
    and a quarter as many tokens.
    """

    bins: int
    low: float = -1.0
    high: float = 1.0
    patch: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        require_within(2, 2**16, "quantizer.bins", self.bins)
        require(self.low < self.high, "quantizer.low", self.low, f"must be below high ({self.high})")
        require(min(self.patch, default=1) >= 1 and self.vocab <= 2**16, "quantizer.patch", self.patch,
                f"must be of sizes of at least 1, and its {self.bins} bins make at most 65,536 tokens")

    @property
    def width(self) -> float:
        """Distance between neighbouring centres."""
        return (self.high - self.low) / (self.bins - 1)

    @property
    def vocab(self) -> int:
        """The number of different tokens."""
        return int(self.bins ** math.prod(self.patch))

    def space(self, continuous: Continuous) -> Discrete:
        """The space of the tokens of such arrays: one token for each number or patch, in row-major order.

        Raises:
            FourfoldError: the patch does not divide the arrays.
        """
        sizes = continuous.shape[1:]
        fits = len(self.patch) == len(sizes) and all(s % p == 0 for s, p in zip(sizes, self.patch, strict=True))
        require(not self.patch or fits, "quantizer.patch", self.patch, f"must divide the arrays' axes {sizes}")
        return Discrete(length=continuous.dims // math.prod(self.patch), vocab=self.vocab)

    def encode(self, x: Tensor) -> Tensor:
        """Arrays `[B, *shape]` -> tokens int64 `[B, T]`."""
        digits = ((x - self.low) / self.width).round().long().clamp(0, self.bins - 1)
        if not self.patch:
            return digits.flatten(1)
        split = [n for size, p in zip(x.shape[2:], self.patch, strict=True) for n in (size // p, p)]
        digits = digits.reshape(*x.shape[:2], *split)  # [B, C, S1/p1, p1, S2/p2, p2, ...]
        axes = 2 + 2 * len(self.patch)
        digits = digits.permute(0, 1, *range(2, axes, 2), *range(3, axes, 2)).flatten(2 + len(self.patch))
        return (digits * self._weights(x.device)).sum(-1).flatten(1)

    def decode(self, tokens: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Tokens int64 `[B, T]` -> arrays of centres `[B, *shape]`."""
        if not self.patch:
            return self.low + tokens.float().view(-1, *shape) * self.width
        counts = [size // p for size, p in zip(shape[1:], self.patch, strict=True)]
        digits = tokens[..., None] // self._weights(tokens.device) % self.bins
        digits = digits.view(len(tokens), shape[0], *counts, *self.patch)
        together = [axis for i in range(len(counts)) for axis in (2 + i, 2 + len(counts) + i)]
        return self.low + digits.permute(0, 1, *together).reshape(-1, *shape).float() * self.width

    def _weights(self, device: torch.device) -> Tensor:
        """The place value of each number of a patch in its token, in base `bins`."""
        return self.bins ** torch.arange(math.prod(self.patch), device=device)


@dataclass(frozen=True, kw_only=True)
class FSQ:
    """Finite scalar quantisation (Mentzer et al. 2309.15505): channel i is rounded to one of `levels[i]` values."""

    levels: tuple[int, ...] = (8, 5, 5)

    def __post_init__(self) -> None:
        few = 1 <= len(self.levels) <= 16 and min(self.levels) >= 2 and self.codes <= 2**16
        require(few, "quantizer.levels", self.levels, "must be whole numbers of at least 2, of at most 65,536 codes")

    @property
    def channels(self) -> int:
        """Channels of the arrays that are quantised."""
        return len(self.levels)

    @property
    def codes(self) -> int:
        """The number of different codes."""
        return math.prod(self.levels)

    def _levels(self, like: Tensor) -> Tensor:
        """The levels `[1, d, 1 ...]`, with the device, dtype and number of axes of `like`."""
        return torch.tensor(self.levels, device=like.device, dtype=like.dtype).view(1, -1, *[1] * (like.ndim - 2))

    def quantize(self, z: Tensor) -> Tensor:
        """z `[B, d, *S]` -> tanh(z) rounded to the levels, in [-1, 1]; straight-through gradients of the rounding."""
        top = self._levels(z) - 1
        bounded = (torch.tanh(z) + 1) / 2 * top
        rounded = bounded + (bounded.round() - bounded).detach()
        return rounded / top * 2 - 1

    def to_tokens(self, quantized: Tensor) -> Tensor:
        """Quantised `[B, d, *S]` -> tokens int64 `[B, prod(S)]`: mixed-radix numbers, the first channel fastest."""
        top = self._levels(quantized) - 1
        digits = ((quantized + 1) / 2 * top).round().long()
        tokens, base = torch.zeros_like(digits[:, 0]), 1
        for index, level in enumerate(self.levels):
            tokens = tokens + digits[:, index] * base
            base *= level
        return tokens.flatten(1)

    def from_tokens(self, tokens: Tensor, spatial: tuple[int, ...]) -> Tensor:
        """Tokens int64 `[B, prod(spatial)]` -> quantised `[B, d, *spatial]`, the inverse of `to_tokens`."""
        digits, rest = [], tokens
        for level in self.levels:
            digits.append(rest % level)
            rest = rest // level
        values = torch.stack(digits, dim=1).float()
        values = values / (self._levels(values) - 1) * 2 - 1
        return values.view(len(tokens), self.channels, *spatial)
