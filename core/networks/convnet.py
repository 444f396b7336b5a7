"""Residual convolutional networks in one and two dimensions: encoder, decoder, and their spatial halves.

Shapes: B examples, C channels, S the sizes of one or two axes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, silu

from core.networks.conditioning import Conditioning
from core.networks.layers import (
    array_axes,
    cropped,
    edge,
    indexed,
    leaky,
    padded,
    places,
    require_arrays,
    require_stages,
    shuffled,
    unshuffled,
    zeroed,
)
from core.spaces import Continuous, Space

CONV = {1: nn.Conv1d, 2: nn.Conv2d}
POOL = {1: nn.AvgPool1d, 2: nn.AvgPool2d}


@dataclass(frozen=True, kw_only=True)
class ConvConfig:
    """Channels are `width` times each of `multipliers`; the resolution halves between stages.

    `patch`: elements along each axis that become channels before the first convolution, and elements again after the
    last, because convolutions at full resolution are slow.
    There is no normalisation over the batch, so that a critic's gradient penalty is that of each example alone;
    residual branches start at zero instead (Fixup, Zhang et al. 1901.09321; R3GAN, 2501.05441).
    """

    width: int = 32
    multipliers: tuple[int, ...] = (1, 2)
    blocks: int = 1
    patch: int = 1

    def __post_init__(self) -> None:
        require_stages("conv", self.width, self.multipliers, self.blocks, self.patch)

    @property
    def factor(self) -> int:
        """The data's size along each axis over that of the last stage."""
        return int(self.patch * 2 ** (len(self.multipliers) - 1))

    def encoder(self, space: Space, out: int, cond_width: int = 0) -> nn.Module:
        """`[B, C, *S]` -> `[B, out]`. FourfoldError for tokens, and for other than one or two axes."""
        return Encoder(self, require_arrays(space, "conv"), out, cond_width)

    def decoder(self, latent: int, space: Continuous, out: int | None = None, cond_width: int = 0) -> nn.Module:
        """`[B, latent]` -> `[B, out or C, *S]`."""
        return Decoder(self, latent, space, out or space.shape[0], cond_width)

    def downsample(self, space: Continuous, channels: int) -> nn.Module:
        """`[B, C, *S]` -> `[B, channels, *ceil(S / factor)]`."""
        return Down(self, space, channels)

    def upsample(self, channels: int, space: Continuous) -> nn.Module:
        """`[B, channels, *ceil(S / factor)]` -> `[B, C, *S]`."""
        return Up(self, channels, space, space.shape[0])


def modulated(x: Tensor, layer: nn.Linear | None, vector: Tensor | None) -> Tensor:
    """x `[B, C, *S]` with each channel scaled and shifted by `layer` of the condition `[B, cond_width]` (FiLM)."""
    if layer is None or vector is None:
        return x
    scale, shift = layer(silu(vector)).view(len(x), 2 * x.shape[1], *[1] * (x.ndim - 2)).chunk(2, dim=1)
    y: Tensor = x * (1 + scale) + shift  # scale, shift: [B, C, 1 ...]
    return y


def modulation(cond_width: int, channels: int) -> nn.Linear | None:
    """The layer that `modulated` takes, zero at first: scale 1, shift 0. None without a condition."""
    return zeroed(nn.Linear(cond_width, 2 * channels)) if cond_width else None


def enter(channels: int, width: int, axes: int, patch: int) -> nn.Module:
    """The first convolution of a network: of arrays of `channels`, whose patches have become channels."""
    layer = edge(CONV[axes](channels * patch**axes, width, 3, padding=1))
    indexed(layer.weight, 1, ("channels", channels), ("", patch**axes))
    return layer


def leave(width: int, channels: int, axes: int, patch: int) -> nn.Module:
    """The last convolution, to the elements of patches of `channels`."""
    layer = edge(CONV[axes](width, channels * patch**axes, 3, padding=1))
    for parameter in layer.parameters():
        indexed(parameter, 0, ("channels", channels), ("", patch**axes))
    return layer


class ResidualBlock(nn.Module):
    """Two convolutions whose result, zero at first, is added to the input `[B, channels, *S]`."""

    def __init__(self, axes: int, channels: int, cond_width: int) -> None:
        super().__init__()
        self.first = CONV[axes](channels, channels, 3, padding=1)
        self.second = zeroed(CONV[axes](channels, channels, 3, padding=1))
        self.modulation = modulation(cond_width, channels)

    def forward(self, x: Tensor, vector: Tensor | None) -> Tensor:
        h = modulated(self.first(leaky(x)), self.modulation, vector)
        y: Tensor = x + self.second(leaky(h))
        return y


class Stages(nn.Module):
    """Stages of residual blocks; between two, a 1x1 convolution of `steps` and a change of resolution by 2."""

    def __init__(self, axes: int, widths: list[int], blocks: int, cond_width: int, *, up: bool) -> None:
        super().__init__()
        self.up, self.axes = up, axes
        self.stages = nn.ModuleList(
            nn.ModuleList(ResidualBlock(axes, width, cond_width) for _ in range(blocks)) for width in widths
        )
        self.steps = nn.ModuleList(CONV[axes](a, b, 1) for a, b in zip(widths, widths[1:], strict=False))
        self.pool = POOL[axes](2)

    def forward(self, x: Tensor, vector: Tensor | None) -> Tensor:
        for index, blocks in enumerate(self.stages):
            if index:
                x = self.steps[index - 1](x)
                x = interpolate(x, scale_factor=2, mode="nearest") if self.up else self.pool(x)
            for block in cast(nn.ModuleList, blocks):
                x = block(x, vector)
        return x


class Down(nn.Module):
    """The spatial half of an encoder: `[B, C, *S]` -> `[B, channels, *ceil(S / factor)]`."""

    def __init__(self, config: ConvConfig, space: Continuous, channels: int, cond_width: int = 0) -> None:
        super().__init__()
        axes, widths = array_axes(space, "conv"), [config.width * m for m in config.multipliers]
        self.factor, self.patch = config.factor, config.patch
        self.enter = enter(space.shape[0], widths[0], axes, config.patch)
        self.stages = Stages(axes, widths, config.blocks, cond_width, up=False)
        self.leave = edge(CONV[axes](widths[-1], channels, 1))

    def forward(self, x: Tensor, vector: Tensor | None = None) -> Tensor:
        x = unshuffled(padded(x, self.factor), self.patch)
        y: Tensor = self.leave(leaky(self.stages(self.enter(x), vector)))
        return y


class Up(nn.Module):
    """The spatial half of a decoder: `[B, channels, *ceil(S / factor)]` -> `[B, out, *S]`."""

    def __init__(self, config: ConvConfig, channels: int, space: Continuous, out: int, cond_width: int = 0) -> None:
        super().__init__()
        axes, widths = array_axes(space, "conv"), [config.width * m for m in reversed(config.multipliers)]
        self.sizes, self.patch = space.shape[1:], config.patch
        self.enter = edge(CONV[axes](channels, widths[0], 3, padding=1))
        self.stages = Stages(axes, widths, config.blocks, cond_width, up=True)
        self.leave = leave(widths[-1], out, axes, config.patch)

    def forward(self, x: Tensor, vector: Tensor | None = None) -> Tensor:
        h = self.leave(leaky(self.stages(self.enter(x), vector)))
        return cropped(shuffled(h, self.patch), self.sizes)


class Encoder(nn.Module):
    """Arrays `[B, C, *S]` -> vectors `[B, out]`; the condition modulates every block and enters the head."""

    def __init__(self, config: ConvConfig, space: Continuous, out: int, cond_width: int) -> None:
        super().__init__()
        last = config.width * config.multipliers[-1]
        self.down = Down(config, space, last, cond_width)
        grid = math.prod(math.ceil(size / config.factor) for size in space.shape[1:])
        wide = nn.Linear(last * grid + cond_width, 4 * last)
        self.head = edge(nn.Sequential(wide, nn.LeakyReLU(0.2), nn.Linear(4 * last, out)))

    def forward(self, x: Tensor, cond: Conditioning | None = None, mask: Tensor | None = None) -> Tensor:
        vector = None if cond is None else cond.vector
        h = leaky(self.down(x, vector)).flatten(1)
        y: Tensor = self.head(h if vector is None else torch.cat([h, vector], dim=1))
        return y


class Decoder(nn.Module):
    """Vectors `[B, latent]` -> arrays `[B, out, *S]`; the vector and the condition also modulate every block."""

    def __init__(self, config: ConvConfig, latent: int, space: Continuous, out: int, cond_width: int) -> None:
        super().__init__()
        first, vector_width = config.width * config.multipliers[-1], 4 * config.width
        self.grid = (first, *(math.ceil(size / config.factor) for size in space.shape[1:]))
        self.vector = nn.Sequential(nn.Linear(latent + cond_width, vector_width), nn.LeakyReLU(0.2),
                                    nn.Linear(vector_width, vector_width))
        self.start = edge(nn.Linear(latent + cond_width, math.prod(self.grid)))
        for parameter in self.start.parameters():
            indexed(parameter, 0, ("", first), *places(self.grid[1:]))
        self.up = Up(config, first, space, out, vector_width)

    def forward(self, z: Tensor, cond: Conditioning | None = None, mask: Tensor | None = None) -> Tensor:
        if cond is not None and cond.vector is not None:
            z = torch.cat([z, cond.vector], dim=1)
        y: Tensor = self.up(self.start(z).view(-1, *self.grid), self.vector(z))
        return y
