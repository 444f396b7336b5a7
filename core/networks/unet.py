"""The U-Net of diffusion (Ronneberger et al. 1505.04597; Ho et al. 2006.11239), in one and two dimensions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, scaled_dot_product_attention, silu

from core.errors import require
from core.networks.conditioning import Conditioning
from core.networks.convnet import CONV, POOL, enter, leave, modulated, modulation
from core.networks.layers import (
    array_axes,
    cropped,
    padded,
    require_arrays,
    require_stages,
    shuffled,
    unshuffled,
    zeroed,
)
from core.spaces import Continuous, Space


@dataclass(frozen=True, kw_only=True)
class UNetConfig:
    """Channels are `width` times each of `multipliers`, the resolution halves between stages.

    `attention`: self-attention at the lowest resolution, and attention to a source sequence where there is one.
    `patch`: elements along each axis that become channels before the first convolution, and elements again after the
    last (simple diffusion, 2301.11093): in two dimensions a patch of 2 divides the work by four.
    """

    width: int = 32
    multipliers: tuple[int, ...] = (1, 2, 2)
    blocks: int = 1
    attention: bool = False
    patch: int = 1
    dropout: float = 0.0

    def __post_init__(self) -> None:
        require(self.width >= 8 and self.width % 8 == 0, "unet.width", self.width, "must be a multiple of 8")
        require_stages("unet", self.width, self.multipliers, self.blocks, self.patch)
        require(0 <= self.dropout < 1, "unet.dropout", self.dropout, "must be in [0, 1)")

    def field(
        self, space: Space, out: int | None = None, cond_width: int = 0, causal: bool = False, cross: bool = False
    ) -> nn.Module:
        """`[B, C, *S]` -> `[B, out or C, *S]` of any size S: inputs are padded and outputs cropped.

        FourfoldError for `causal`, tokens, and for other than one or two axes.
        """
        require(not causal, "unet", self, "cannot be causal: use a transformer")
        return UNet(self, require_arrays(space, "unet"), out, cond_width, cross)


class Block(nn.Module):
    """Two convolutions with group normalisation, modulated by the condition in between, added to the input."""

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
        y: Tensor = self.skip(x) + self.conv2(self.dropout(silu(h)))
        return y


class Attention(nn.Module):
    """Multi-head attention from each position of `[B, C, *S]` to all positions and to the source sequence.

    A head has at least 32 channels, where there are as many. Below: H heads, D = C / H, T = prod(S) positions.
    """

    def __init__(self, channels: int, source_width: int) -> None:
        super().__init__()
        self.heads = max(1, channels // 32)
        self.norm = nn.GroupNorm(8, channels)
        self.projection = nn.Linear(channels, 3 * channels)
        self.source = nn.Linear(source_width, 2 * channels) if source_width else None
        self.out = zeroed(nn.Linear(channels, channels))

    def forward(self, x: Tensor, cond: Conditioning) -> Tensor:
        b, c = x.shape[:2]
        h = self.projection(self.norm(x).flatten(2).transpose(1, 2))  # [B, T, 3 C]
        q, k, v = h.view(b, -1, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4).unbind(0)  # [B, H, T, D] each
        attend = None
        if self.source is not None and cond.sequence is not None and cond.sequence_mask is not None:
            source = self.source(cond.sequence).view(b, -1, 2, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
            visible = torch.ones(b, k.shape[2], dtype=torch.bool, device=x.device)
            attend = torch.cat([visible, cond.sequence_mask], dim=1)[:, None, None, :]
            k, v = torch.cat([k, source[0]], dim=2), torch.cat([v, source[1]], dim=2)
        h = scaled_dot_product_attention(q, k, v, attn_mask=attend).transpose(1, 2).reshape(b, -1, c)
        y: Tensor = x + self.out(h).transpose(1, 2).reshape(x.shape)
        return y


class UNet(nn.Module):
    """Stages of falling, then of rising resolution; rising blocks also take the output of falling ones (skips)."""

    def __init__(self, config: UNetConfig, space: Continuous, out: int | None, cond_width: int, cross: bool) -> None:
        super().__init__()
        axes, widths = array_axes(space, "unet"), [config.width * m for m in config.multipliers]
        out, self.patch = out or space.shape[0], config.patch
        self.factor = config.patch * 2 ** (len(widths) - 1)
        self.enter = enter(space.shape[0], widths[0], axes, config.patch)
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
        self.attention = Attention(current, cond_width if cross else 0) if config.attention else None
        self.up = nn.ModuleList()
        for width in reversed(widths):
            stage = nn.ModuleList()
            for _ in range(config.blocks):
                stage.append(Block(axes, current + skips.pop(), width, cond_width, config.dropout))
                current = width
            self.up.append(stage)
        self.norm = nn.GroupNorm(8, current + skips[0])
        self.leave = zeroed(leave(current + skips[0], out, axes, config.patch))

    def forward(self, x: Tensor, cond: Conditioning | None = None, mask: Tensor | None = None) -> Tensor:
        vector, sizes = None if cond is None else cond.vector, tuple(x.shape[2:])
        first = h = self.enter(unshuffled(padded(x, self.factor), self.patch))
        skips = []
        for index, stage in enumerate(self.down):
            h = self.pool(h) if index else h
            for block in cast(nn.ModuleList, stage):
                h = block(h, vector)
                skips.append(h)
        h = self.middle(h, vector)
        if self.attention is not None:
            h = self.attention(h, cond or Conditioning())
        for index, stage in enumerate(self.up):
            h = interpolate(h, scale_factor=2, mode="nearest") if index else h
            for block in cast(nn.ModuleList, stage):
                h = block(torch.cat([h, skips.pop()], dim=1), vector)
        h = self.leave(silu(self.norm(torch.cat([h, first], dim=1))))
        return cropped(shuffled(h, self.patch), sizes)
