"""Attention and the transformer's block: RoPE, RMSNorm, QK-norm, SwiGLU, adaLN conditioning, cross-attention.

Shapes: B examples, T positions, S positions of a source sequence, W width, H heads, D = W / H.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention, silu

from core.networks.layers import RMSNorm, zeroed


def rotary_table(length: int, head_width: int, base: float = 10_000.0) -> Tensor:
    """Cosines and sines of the positions' angles, `[length, D / 2, 2]` (RoPE, Su et al. 2104.09864)."""
    frequencies = base ** (-torch.arange(0, head_width, 2) / head_width)
    angles = torch.arange(length)[:, None] * frequencies  # [length, D / 2]
    return torch.stack([angles.cos(), angles.sin()], dim=-1)


def rotate(x: Tensor, table: Tensor) -> Tensor:
    """Rotate float32 queries or keys `[..., D]` by their positions' angles, which broadcast to `[..., D / 2, 2]`.

    Neighbouring pairs are read as complex numbers: one multiplication instead of seven passes over memory.
    """
    pairs = torch.view_as_complex(x.view(*x.shape[:-1], -1, 2))  # [..., D / 2]
    return torch.view_as_real(pairs * torch.view_as_complex(table)).flatten(-2)


class LayerCondition(NamedTuple):
    """A block's inputs from the condition, the same for every position.

    `modulation`: scale and shift before attention and before the MLP, four of `[B, 1, W]`; `keys`, `values`
    `[B, H, S, D]` of a source sequence; `visible` (bool `[B, 1, 1, S]`): True where the source is not padding.
    """

    modulation: tuple[Tensor, ...] | None = None
    keys: Tensor | None = None
    values: Tensor | None = None
    visible: Tensor | None = None


UNCONDITIONED = LayerCondition()


def at_least_float32(x: Tensor) -> Tensor:
    """x in float32 or better: norms and rotations are inaccurate in half precision."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def attention_context(x: Tensor) -> tuple[AbstractContextManager[object], torch.dtype]:
    """A context without autocast, and the dtype of attention in it: at least float32 on a CPU, elsewhere that of x.

    On a CPU the backward pass of attention is three times slower in bfloat16 than in float32.
    """
    kind = x.device.type
    # Entering autocast takes as long as a layer's arithmetic for one token: only where autocast is on.
    autocast = torch.is_autocast_enabled(kind)
    dtype = x.dtype if kind != "cpu" else torch.promote_types(x.dtype, torch.float32)
    return torch.autocast(kind, enabled=False) if autocast else nullcontext(), dtype


class Attention(nn.Module):
    """Multi-head self-attention with normalised queries and keys (Henry et al. 2010.04245)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.projection = nn.Linear(width, 3 * width, bias=False)
        self.query_norm, self.key_norm = RMSNorm(width // heads), RMSNorm(width // heads)
        self.out = zeroed(nn.Linear(width, width, bias=False))

    def forward(
        self, x: Tensor, rotary: Tensor, *, attend: Tensor | None = None, causal: bool = False,
        cache: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """x `[B, T, W]` -> `[B, T, W]`.

        Args:
            rotary: `[T, D / 2, 2]`, the rows of `rotary_table` for these positions.
            attend: bool, broadcast to `[B, H, T, T]`, True where a query may attend to a key.
            cache: keys and values `[B, H, length, D]`; the first T positions are written.
        """
        b, t, w = x.shape
        q, k, v = self.projection(x).view(b, t, 3, self.heads, -1).unbind(2)  # [B, T, 3, H, D] -> 3 x [B, T, H, D]
        context, dtype = attention_context(v)
        with context:
            q = rotate(self.query_norm(at_least_float32(q)), rotary[:, None]).to(dtype)
            k = rotate(self.key_norm(at_least_float32(k)), rotary[:, None]).to(dtype)
            q, k, v = (part.transpose(1, 2) for part in (q, k, v.to(dtype)))  # [B, H, T, D] each
            if cache is not None:
                cache[0][:, :, :t], cache[1][:, :, :t] = k, v
            out = scaled_dot_product_attention(q, k, v, attn_mask=attend, is_causal=causal)  # [B, H, T, D]
        y: Tensor = self.out(out.transpose(1, 2).reshape(b, t, w))  # [B, T, W]
        return y


class CrossAttention(nn.Module):
    """Multi-head attention from each position to a source sequence, whose keys and values are computed once."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width, bias=False)
        self.projection = nn.Linear(width, 2 * width, bias=False)
        self.query_norm, self.key_norm = RMSNorm(width // heads), RMSNorm(width // heads)
        self.out = zeroed(nn.Linear(width, width, bias=False))

    def keys_values(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """Source `[B, S, W]` -> keys and values `[B, H, S, D]`."""
        b, s, _ = source.shape
        k, v = self.projection(source).view(b, s, 2, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)  # [B, H, S, D]
        context, dtype = attention_context(v)
        with context:
            return self.key_norm(at_least_float32(k)).to(dtype), v.to(dtype)

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, visible: Tensor | None) -> Tensor:
        """x `[B, T, W]` -> `[B, T, W]`; the rest as in `LayerCondition`."""
        b, t, w = x.shape
        q = self.query(x).view(b, t, self.heads, -1).transpose(1, 2)  # [B, H, T, D]
        context, dtype = attention_context(q)
        with context:
            q = self.query_norm(at_least_float32(q)).to(dtype)
            out = scaled_dot_product_attention(q, keys, values, attn_mask=visible)  # [B, H, T, D]
        y: Tensor = self.out(out.transpose(1, 2).reshape(b, t, w))  # [B, T, W]
        return y


class Block(nn.Module):
    """Attention, cross-attention where `cross`, and a SwiGLU MLP (2002.05202); adaLN-zero of DiT (2212.09748)."""

    def __init__(
        self, width: int, heads: int, mlp_ratio: int, dropout: float, cond_width: int = 0, cross: bool = False
    ) -> None:
        super().__init__()
        self.norm1, self.norm2 = RMSNorm(width), RMSNorm(width)
        self.attention = Attention(width, heads)
        self.cross_norm = RMSNorm(width) if cross else None
        self.cross = CrossAttention(width, heads) if cross else None
        hidden = max(8, int(width * mlp_ratio * 2 / 3) // 8 * 8)
        self.mlp_in = nn.Linear(width, 2 * hidden, bias=False)
        self.mlp_out = zeroed(nn.Linear(hidden, width, bias=False))
        self.modulation = zeroed(nn.Linear(cond_width, 4 * width)) if cond_width else None
        # On each residual branch, not on attention's weights: fused attention on a CPU has no dropout.
        self.dropout = nn.Dropout(dropout)

    def condition_on(self, vector: Tensor | None, source: Tensor | None, visible: Tensor | None) -> LayerCondition:
        """This block's inputs from `vector` `[B, cond_width]`, `source` `[B, S, W]` and `visible` `[B, S]`."""
        modulation = keys = values = None
        if self.modulation is not None and vector is not None:
            scale1, shift1, scale2, shift2 = self.modulation(silu(vector))[:, None].chunk(4, dim=-1)  # [B, 1, W] each
            modulation = (1 + scale1, shift1, 1 + scale2, shift2)
        if self.cross is not None and source is not None:
            keys, values = self.cross.keys_values(source)
        return LayerCondition(modulation, keys, values, None if visible is None else visible[:, None, None, :])

    def forward(
        self, x: Tensor, rotary: Tensor, condition: LayerCondition = UNCONDITIONED, *,
        attend: Tensor | None = None, causal: bool = False, cache: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """x `[B, T, W]` -> `[B, T, W]`; `rotary`, `attend` and `cache` as in `Attention`."""
        modulation = condition.modulation
        h = self.norm1(x)
        if modulation is not None:
            h = torch.addcmul(modulation[1], h, modulation[0])
        x = x + self.dropout(self.attention(h, rotary, attend=attend, causal=causal, cache=cache))
        if self.cross is not None and self.cross_norm is not None and condition.keys is not None:
            x = x + self.dropout(self.cross(self.cross_norm(x), condition.keys, condition.values, condition.visible))
        h = self.norm2(x)
        if modulation is not None:
            h = torch.addcmul(modulation[3], h, modulation[2])
        gate, value = self.mlp_in(h).chunk(2, dim=-1)  # [B, T, hidden] each
        y: Tensor = x + self.dropout(self.mlp_out(silu(gate) * value))
        return y
