"""The U-Net of diffusion (Ronneberger et al. 1505.04597; Ho et al. 2006.11239), in one and two dimensions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, scaled_dot_product_attention, silu

from core.errors import require
from core.networks.convnet import CONV, POOL, cropped, modulated, modulation, padded
from core.networks.layers import array_axes, zeroed
from core.space import Conditioning, Continuous


@dataclass(frozen=True, kw_only=True)
class UNetConfig:
    """Channels are `width` times each of `multipliers`, the resolution halves between stages.

    `attention` puts self-attention at the lowest resolution.
    """

    width: int = 32
    multipliers: tuple[int, ...] = (1, 2, 2)
    blocks: int = 1
    attention: bool = False
    dropout: float = 0.0

    def __post_init__(self) -> None:
        require(self.width >= 8 and self.width % 8 == 0, "unet.width", self.width, "must be a multiple of 8")
        require(self.blocks >= 1, "unet.blocks", self.blocks, "must be at least 1")
        require(len(self.multipliers) >= 1 and min(self.multipliers) >= 1, "unet.multipliers", self.multipliers,
                "must be whole numbers of at least 1")
        require(0 <= self.dropout < 1, "unet.dropout", self.dropout, "must be in [0, 1)")

    def field(
        self, space: Continuous, out: int | None = None, cond_width: int = 0, causal: bool = False, cross: bool = False
    ) -> nn.Module:
        """`[B, C, *S]` -> `[B, out or C, *S]`; any size: it is padded and cropped."""
        require(not causal and not cross, "unet", self, "cannot be causal or read a sequence: use a transformer")
        return UNet(self, space, out, cond_width)


class Block(nn.Module):
    """Two normalised convolutions, modulated by the condition between them, added to the input."""

    def __init__(self, axes: int, channels_in: int, channels: int, cond_width: int, dropout: float) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(8, channels_in), nn.GroupNorm(8, channels)
        self.conv1 = CONV[axes](channels_in, channels, 3, padding=1)
        self.conv2 = zeroed(CONV[axes](channels, channels, 3, padding=1))
        self.skip = CONV[axes](channels_in, channels, 1) if channels_in != channels else nn.Identity()
        self.modulation = modulation(cond_width, channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, vector: Tensor | None) -> Tensor:
        h = self.conv1(silu(self.norm1(x)))
        h = modulated(self.norm2(h), self.modulation, vector)
        return self.skip(x) + self.conv2(self.dropout(silu(h)))


class SelfAttention(nn.Module):
    """Attention over all positions of `[B, C, *S]`, heads of 32 channels or fewer."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = max(1, channels // 32)
        self.norm = nn.GroupNorm(8, channels)
        self.projection = nn.Linear(channels, 3 * channels)
        self.out = zeroed(nn.Linear(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        b, c = x.shape[:2]
        h = self.projection(self.norm(x).flatten(2).transpose(1, 2))
        q, k, v = h.view(b, -1, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        h = scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, -1, c)
        return x + self.out(h).transpose(1, 2).reshape(x.shape)


class UNet(nn.Module):
    """Down with skips, up again taking them."""

    def __init__(self, config: UNetConfig, space: Continuous, out: int | None, cond_width: int) -> None:
        super().__init__()
        axes, widths = array_axes(space, "unet"), [config.width * m for m in config.multipliers]
        out = out or space.shape[0]
        self.factor = 2 ** (len(widths) - 1)
        self.enter = CONV[axes](space.shape[0], widths[0], 3, padding=1)
        skips, current = [widths[0]], widths[0]
        self.down = nn.ModuleList()
        for width in widths:
            stage = nn.ModuleList()
            for _ in range(config.blocks):
                stage.append(Block(axes, current, width, cond_width, config.dropout))
                current = width
                skips.append(width)
            self.down.append(stage)
        self.pool = POOL[axes](2)
        self.middle = Block(axes, current, current, cond_width, config.dropout)
        self.attention = SelfAttention(current) if config.attention else nn.Identity()
        self.up = nn.ModuleList()
        for width in reversed(widths):
            stage = nn.ModuleList()
            for _ in range(config.blocks):
                stage.append(Block(axes, current + skips.pop(), width, cond_width, config.dropout))
                current = width
            self.up.append(stage)
        self.norm = nn.GroupNorm(8, current + skips[0])
        self.leave = zeroed(CONV[axes](current + skips[0], out, 3, padding=1))

    def forward(self, x: Tensor, cond: Conditioning | None = None, mask: Tensor | None = None) -> Tensor:
        vector, sizes = None if cond is None else cond.vector, tuple(x.shape[2:])
        first = h = self.enter(padded(x, self.factor))
        skips = []
        for index, stage in enumerate(self.down):
            h = self.pool(h) if index else h
            for block in cast(nn.ModuleList, stage):
                h = block(h, vector)
                skips.append(h)
        h = self.attention(self.middle(h, vector))
        for index, stage in enumerate(self.up):
            h = interpolate(h, scale_factor=2, mode="nearest") if index else h
            for block in cast(nn.ModuleList, stage):
                h = block(torch.cat([h, skips.pop()], dim=1), vector)
        h = self.leave(silu(self.norm(torch.cat([h, first], dim=1))))
        return cropped(h, sizes)
