"""The transformer: RoPE, RMSNorm, QK-norm, adaLN conditioning, cross-attention, causal with a cache or not."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention, silu

from core.conditioning import Conditioning
from core.recipe import require
from core.space import Continuous, Discrete, Space


@dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """Width, depth and heads; `patch`: array elements along each axis that make one token."""

    width: int = 128
    depth: int = 4
    heads: int = 4
    patch: int = 1
    mlp_ratio: int = 4
    dropout: float = 0.0

    def __post_init__(self) -> None:
        for key in ("width", "depth", "heads", "patch", "mlp_ratio"):
            require(getattr(self, key) >= 1, f"transformer.{key}", getattr(self, key), "must be at least 1")
        require(self.width % (2 * self.heads) == 0, "transformer.width", self.width,
                f"must be a multiple of twice the heads ({self.heads})")
        require(0 <= self.dropout < 1, "transformer.dropout", self.dropout, "must be in [0, 1)")

    def field(
        self, space: Space, out: int | None = None, cond_width: int = 0, causal: bool = False, cross: bool = False
    ) -> nn.Module:
        """x -> x-shaped: logits `[B, T, out or vocab]` of tokens, `[B, out or C, *S]` of arrays."""
        if isinstance(space, Discrete):
            return TokenField(self, space, out or space.vocab, cond_width, causal, cross)
        return ArrayField(self, space, out or space.shape[0], cond_width, cross)

    def encoder(self, space: Space, out: int, cond_width: int = 0) -> nn.Module:
        """x -> vector `[B, out]`, by mean and maximum over positions."""
        return Encoder(self, space, out, cond_width)

    def decoder(self, latent: int, space: Continuous, out: int | None = None, cond_width: int = 0) -> nn.Module:
        """Vector `[B, latent]` -> `[B, out or C, *S]`."""
        return Decoder(self, latent, space, out or space.shape[0], cond_width)


def rotary_table(length: int, head_width: int, base: float = 10_000.0) -> Tensor:
    """Cosines and sines of positions `[length, head_width / 2, 2]` (RoFormer, Su et al. 2104.09864)."""
    frequencies = base ** (-torch.arange(0, head_width, 2) / head_width)
    angles = torch.arange(length)[:, None] * frequencies
    return torch.stack([angles.cos(), angles.sin()], dim=-1)


def rotate(x: Tensor, table: Tensor) -> Tensor:
    """Turn float32 queries or keys `[B, H, T, D]` by their positions' angles `[T, D / 2, 2]`.

    Neighbouring pairs are complex numbers: one multiplication instead of seven passes over memory.
    """
    pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * torch.view_as_complex(table)).flatten(-2)


class KVCache:
    """Keys and values of the positions seen so far: per layer `[B, H, length, D]`, written in place."""

    def __init__(self, depth: int, batch: int, heads: int, length: int, head_width: int, device: torch.device) -> None:
        shape = (depth, batch, heads, length, head_width)
        self.keys, self.values = torch.zeros(shape, device=device), torch.zeros(shape, device=device)
        self.length = 0


class Attention(nn.Module):
    """Multi-head attention with normalised queries and keys (Henry et al. 2010.04245)."""

    def __init__(self, width: int, heads: int, dropout: float, cross: bool = False) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query = nn.Linear(width, width, bias=False) if cross else None
        self.projection = nn.Linear(width, (2 if cross else 3) * width, bias=False)
        self.query_norm, self.key_norm = nn.RMSNorm(width // heads), nn.RMSNorm(width // heads)
        self.out = nn.Linear(width, width, bias=False)
        nn.init.zeros_(self.out.weight)

    def forward(
        self, x: Tensor, rotary: Tensor | None = None, *, source: Tensor | None = None, attend: Tensor | None = None,
        causal: bool = False, cache: tuple[Tensor, Tensor, int] | None = None,
    ) -> Tensor:
        """x `[B, T, W]`; `attend`: bool, broadcast to `[B, H, T, S]`, True where a key may be seen."""
        b, t, w = x.shape
        parts = self.projection(x if source is None else source).view(b, -1, 2 if source is not None else 3,
                                                                      self.heads, w // self.heads)
        parts = parts.permute(2, 0, 3, 1, 4)
        if self.query is None:
            q, k, v = parts.unbind(0)
        else:
            q = self.query(x).view(b, t, self.heads, -1).transpose(1, 2)
            k, v = parts.unbind(0)
        # On a CPU bfloat16 attention is three times slower backward than float32, and norms want float32 anywhere.
        kind = torch.float32 if x.device.type == "cpu" else v.dtype
        with torch.autocast(x.device.type, enabled=False):
            q, k, v = self.query_norm(q.float()), self.key_norm(k.float()), v.to(kind)
            if rotary is not None:
                q, k = rotate(q, rotary), rotate(k, rotary)
            q, k = q.to(kind), k.to(kind)
            if cache is not None:
                keys, values, start = cache
                keys[:, :, start : start + t] = k
                values[:, :, start : start + t] = v
                k, v = keys[:, :, : start + t].to(kind), values[:, :, : start + t].to(kind)
                causal = causal and start == 0  # one new position sees all that came before it
            out = scaled_dot_product_attention(
                q, k, v, attn_mask=attend, is_causal=causal and t > 1,
                dropout_p=self.dropout if self.training else 0.0,
            )
        return self.out(out.transpose(1, 2).reshape(b, t, w))


class Block(nn.Module):
    """Attention, cross-attention if asked for, and a SwiGLU layer (2002.05202); adaLN-zero (DiT, 2212.09748)."""

    def __init__(
        self, width: int, heads: int, mlp_ratio: int, dropout: float, cond_width: int = 0, cross: bool = False
    ) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.RMSNorm(width), nn.RMSNorm(width)
        self.attention = Attention(width, heads, dropout)
        self.cross_norm = nn.RMSNorm(width) if cross else None
        self.cross = Attention(width, heads, dropout, cross=True) if cross else None
        hidden = max(8, int(width * mlp_ratio * 2 / 3) // 8 * 8)
        self.mlp_in = nn.Linear(width, 2 * hidden, bias=False)
        self.mlp_out = nn.Linear(hidden, width, bias=False)
        nn.init.zeros_(self.mlp_out.weight)
        self.modulation = nn.Linear(cond_width, 4 * width) if cond_width else None
        if self.modulation is not None:
            nn.init.zeros_(self.modulation.weight)
            nn.init.zeros_(self.modulation.bias)

    def modulate(self, vector: Tensor | None) -> list[Tensor] | None:
        """Scales and shifts `[B, 1, W]` of the two normalised inputs, a function of the condition only."""
        if self.modulation is None or vector is None:
            return None
        return list(self.modulation(silu(vector))[:, None].chunk(4, dim=-1))

    def forward(
        self, x: Tensor, rotary: Tensor, *, modulation: list[Tensor] | None = None, source: Tensor | None = None,
        source_attend: Tensor | None = None, attend: Tensor | None = None, causal: bool = False,
        cache: tuple[Tensor, Tensor, int] | None = None,
    ) -> Tensor:
        h = self.norm1(x)
        if modulation is not None:
            h = torch.addcmul(modulation[1], h, 1 + modulation[0])
        x = x + self.attention(h, rotary, attend=attend, causal=causal, cache=cache)
        if self.cross is not None and source is not None:
            x = x + self.cross(self.cross_norm(x), source=source, attend=source_attend)
        h = self.norm2(x)
        if modulation is not None:
            h = torch.addcmul(modulation[3], h, 1 + modulation[2])
        gate, value = self.mlp_in(h).chunk(2, dim=-1)
        return x + self.mlp_out(silu(gate) * value)


class Trunk(nn.Module):
    """The stack of blocks: `[B, T, W]` -> `[B, T, W]`."""

    def __init__(
        self, config: TransformerConfig, length: int, cond_width: int, causal: bool = False, cross: bool = False
    ) -> None:
        super().__init__()
        self.causal, self.heads = causal, config.heads
        self.project_source = nn.Linear(cond_width, config.width, bias=False) if cross else None
        self.blocks = nn.ModuleList(
            Block(config.width, config.heads, config.mlp_ratio, config.dropout, cond_width, cross)
            for _ in range(config.depth)
        )
        self.norm = nn.RMSNorm(config.width)
        self.register_buffer("rotary", rotary_table(length + 1, config.width // config.heads), persistent=False)

    def forward(
        self, x: Tensor, cond: Conditioning | None, mask: Tensor | None = None, cache: KVCache | None = None
    ) -> Tensor:
        start = 0 if cache is None else cache.length
        rotary = self.rotary[start : start + x.shape[1]]
        vector = None if cond is None else cond.vector
        source = source_attend = None
        if self.project_source is not None and cond is not None and cond.sequence is not None:
            source = self.project_source(cond.sequence)
            source_attend = None if cond.sequence_mask is None else cond.sequence_mask[:, None, None, :]
        # Causal rows cannot see the padding behind them; elsewhere padded keys are hidden.
        attend = mask[:, None, None, :] if mask is not None and not self.causal else None
        for index, block in enumerate(self.blocks):
            layer = None if cache is None else (cache.keys[index], cache.values[index], start)
            x = block(x, rotary, modulation=block.modulate(vector), source=source, source_attend=source_attend,
                      attend=attend, causal=self.causal, cache=layer)
        if cache is not None:
            cache.length = start + x.shape[1]
        return self.norm(x)


class TokenField(nn.Module):
    """Tokens -> logits. The embedding's last row, id `vocab`, is the family's start or mask symbol."""

    def __init__(
        self, config: TransformerConfig, space: Discrete, out: int, cond_width: int, causal: bool, cross: bool
    ) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(space.vocab + 1, config.width)
        nn.init.normal_(self.embedding.weight, std=config.width**-0.5)
        # Rotary positions are relative: hidden tokens alone could not tell where they stand.
        self.positions = nn.Parameter(0.02 * torch.randn(space.length, config.width))
        self.trunk = Trunk(config, space.length, cond_width, causal, cross)
        self.head = nn.Linear(config.width, out)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def new_cache(self, batch: int, length: int, device: torch.device) -> KVCache:
        """An empty cache for up to `length` positions."""
        c = self.config
        return KVCache(c.depth, batch, c.heads, length, c.width // c.heads, device)

    def forward(
        self, x: Tensor, cond: Conditioning | None = None, mask: Tensor | None = None, cache: KVCache | None = None
    ) -> Tensor:
        """Logits `[B, T, out]`; with a cache x holds only the positions that it has not seen."""
        if cache is not None and cache.length and x.shape[1] > 1:
            raise ValueError("after its first call a cache takes one position at a time")
        start = 0 if cache is None else cache.length
        h = self.embedding(x) + self.positions[start : start + x.shape[1]]
        return self.head(self.trunk(h, cond, mask, cache))


class Patches(nn.Module):
    """Arrays `[B, C, *S]` of one or two axes <-> patch vectors `[B, T, C * patch^axes]`, padded at the far ends."""

    def __init__(self, space: Continuous, patch: int) -> None:
        super().__init__()
        sizes = space.shape[1:] or (1,)
        require(len(sizes) <= 2, "space.shape", space.shape, "a transformer takes arrays of one or two axes")
        self.sizes, self.patch = sizes, patch
        self.counts = tuple(math.ceil(size / patch) for size in sizes)
        self.length = math.prod(self.counts)
        self.shape = space.shape

    def split(self, x: Tensor) -> Tensor:
        x = x.reshape(len(x), -1, *self.sizes)
        pads = [p for size, n in reversed(list(zip(self.sizes, self.counts, strict=True)))
                for p in (0, n * self.patch - size)]
        x = nn.functional.pad(x, pads)
        b, c, p = *x.shape[:2], self.patch
        if len(self.sizes) == 1:
            return x.view(b, c, self.counts[0], p).permute(0, 2, 1, 3).reshape(b, self.length, c * p)
        h, w = self.counts
        return x.view(b, c, h, p, w, p).permute(0, 2, 4, 1, 3, 5).reshape(b, self.length, c * p * p)

    def join(self, tokens: Tensor, channels: int) -> Tensor:
        b, p = len(tokens), self.patch
        if len(self.sizes) == 1:
            x = tokens.view(b, self.length, channels, p).permute(0, 2, 1, 3).reshape(b, channels, -1)
            x = x[:, :, : self.sizes[0]]
        else:
            h, w = self.counts
            x = tokens.view(b, h, w, channels, p, p).permute(0, 3, 1, 4, 2, 5).reshape(b, channels, h * p, w * p)
            x = x[:, :, : self.sizes[0], : self.sizes[1]]
        return x.reshape(b, channels, *self.shape[1:])

    def positions(self, width: int) -> nn.Parameter:
        """A learned start `[T, width]` for position embeddings: sines over each axis."""
        grid = torch.tensor(list(product(*(range(n) for n in self.counts))), dtype=torch.float32)
        frequencies = torch.exp(-torch.arange(0, width, 2 * len(self.counts)) / width * math.log(100.0))
        angles = (grid[:, :, None] * frequencies).flatten(1)
        table = torch.cat([angles.sin(), angles.cos()], dim=1)[:, :width]
        return nn.Parameter(0.5 * nn.functional.pad(table, (0, width - table.shape[1])))


class ArrayField(nn.Module):
    """Arrays -> arrays of the same extent, patch by patch."""

    def __init__(self, config: TransformerConfig, space: Continuous, out: int, cond_width: int, cross: bool) -> None:
        super().__init__()
        self.out = out
        self.patches = Patches(space, config.patch)
        elements = config.patch ** len(self.patches.sizes)
        self.enter = nn.Linear(space.shape[0] * elements, config.width)
        self.positions = self.patches.positions(config.width)
        self.trunk = Trunk(config, self.patches.length, cond_width, cross=cross)
        self.leave = nn.Linear(config.width, out * elements)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, x: Tensor, cond: Conditioning | None = None, mask: Tensor | None = None) -> Tensor:
        tokens = self.enter(self.patches.split(x)) + self.positions
        return self.patches.join(self.leave(self.trunk(tokens, cond)), self.out)


class Encoder(nn.Module):
    """Tokens or arrays -> a vector."""

    def __init__(self, config: TransformerConfig, space: Space, out: int, cond_width: int) -> None:
        super().__init__()
        if isinstance(space, Discrete):
            self.patches, length = None, space.length
            self.enter: nn.Module = nn.Embedding(space.vocab + 1, config.width)
            self.positions = nn.Parameter(0.02 * torch.randn(space.length, config.width))
        else:
            self.patches = Patches(space, config.patch)
            length = self.patches.length
            self.enter = nn.Linear(space.shape[0] * config.patch ** len(self.patches.sizes), config.width)
            self.positions = self.patches.positions(config.width)
        self.trunk = Trunk(config, length, cond_width)
        self.head = nn.Linear(2 * config.width, out)

    def forward(self, x: Tensor, cond: Conditioning | None = None, mask: Tensor | None = None) -> Tensor:
        h = self.enter(x if self.patches is None else self.patches.split(x))
        h = h + self.positions[: h.shape[1]]
        h = self.trunk(h, cond, mask)
        if mask is None:
            return self.head(torch.cat([h.mean(1), h.amax(1)], dim=1))
        weights = mask[..., None].to(h.dtype)
        mean = (h * weights).sum(1) / weights.sum(1)
        return self.head(torch.cat([mean, h.masked_fill(~mask[..., None], -torch.inf).amax(1)], dim=1))


class Decoder(nn.Module):
    """A vector -> arrays: position embeddings, modulated by the vector in every block."""

    def __init__(self, config: TransformerConfig, latent: int, space: Continuous, out: int, cond_width: int) -> None:
        super().__init__()
        self.out = out
        self.patches = Patches(space, config.patch)
        self.positions = self.patches.positions(config.width)
        self.vector = nn.Linear(latent + cond_width, config.width)
        self.trunk = Trunk(config, self.patches.length, config.width)
        self.leave = nn.Linear(config.width, out * config.patch ** len(self.patches.sizes))

    def forward(self, z: Tensor, cond: Conditioning | None = None, mask: Tensor | None = None) -> Tensor:
        if cond is not None and cond.vector is not None:
            z = torch.cat([z, cond.vector], dim=1)
        vector = self.vector(z)
        tokens = self.positions + vector[:, None]
        return self.patches.join(self.leave(self.trunk(tokens, Conditioning(vector))), self.out)
