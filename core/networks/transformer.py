"""The transformer over tokens or patches of arrays: fields (causal or not), encoders, decoders.

Shapes: B examples, T positions, S positions of a source sequence, W width, H heads, D = W / H, V kinds of token.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from typing import cast, overload

import torch
from torch import Tensor, nn

from core.errors import require, require_within
from core.networks.attention import Block, LayerCondition, rotary_table
from core.networks.conditioning import Conditioning
from core.networks.copying import CopyHead
from core.networks.decoding import KVCache, Step
from core.networks.layers import (
    DEEPEST,
    WIDEST,
    RMSNorm,
    cropped,
    edge,
    indexed,
    padded,
    places,
    shuffled,
    unshuffled,
    zeroed,
)
from core.spaces import Continuous, Discrete, Space


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
            require_within(1, DEEPEST if key == "depth" else WIDEST, f"transformer.{key}", getattr(self, key))
        require(self.width % (2 * self.heads) == 0, "transformer.width", self.width,
                f"must be a multiple of twice the heads ({self.heads})")
        require(0 <= self.dropout < 1, "transformer.dropout", self.dropout, "must be in [0, 1)")

    @overload
    def field(
        self, space: Discrete, out: int | None = None, cond_width: int = 0, causal: bool = False, cross: bool = False,
        copy: bool = False,
    ) -> TokenField: ...

    @overload
    def field(
        self, space: Continuous, out: int | None = None, cond_width: int = 0, causal: bool = False,
        cross: bool = False,
    ) -> ArrayField: ...

    def field(
        self, space: Space, out: int | None = None, cond_width: int = 0, causal: bool = False, cross: bool = False,
        copy: bool = False,
    ) -> nn.Module:
        """Tokens `[B, T]` -> logits `[B, T, out or V]`; arrays `[B, C, *S]` -> `[B, out or C, *S]`.

        `cross`: with cross-attention to a source sequence. `copy`: its tokens can be copied to the output (`CopyHead`);
        logits are log-probabilities then.

        Raises:
            FourfoldError: arrays with `causal`, or of more than two axes.
        """
        if isinstance(space, Discrete):
            return TokenField(self, space, out or space.vocab, cond_width, causal, cross, copy)
        require(not causal, "transformer", self, "cannot be causal over arrays: quantise them")
        return ArrayField(self, space, out or space.shape[0], cond_width, cross)

    def encoder(self, space: Space, out: int, cond_width: int = 0) -> nn.Module:
        """Tokens `[B, T]` or arrays `[B, C, *S]` -> vectors `[B, out]`, from mean and maximum over positions."""
        return Encoder(self, space, out, cond_width)

    def decoder(self, latent: int, space: Continuous, out: int | None = None, cond_width: int = 0) -> nn.Module:
        """Vectors `[B, latent]` -> arrays `[B, out or C, *S]`."""
        return Decoder(self, latent, space, out or space.shape[0], cond_width)


class Trunk(nn.Module):
    """The stack of blocks: `[B, T, W]` -> `[B, T, W]`."""

    rotary: Tensor

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
        self.norm = RMSNorm(config.width)
        self.register_buffer("rotary", rotary_table(length + 1, config.width // config.heads), persistent=False)

    def forward(
        self, x: Tensor, cond: Conditioning | None, mask: Tensor | None = None, cache: KVCache | None = None
    ) -> Tensor:
        rotary = self.rotary[: x.shape[1]]  # [T, D / 2, 2]
        conditions = self._layer_conditions(cond)
        # Padding comes last, where causal attention does not reach it; otherwise its keys are masked.
        attend = mask[:, None, None, :] if mask is not None and not self.causal else None
        for index, (block, condition) in enumerate(zip(self.blocks, conditions, strict=True)):
            layer = None if cache is None else (cache.keys[index], cache.values[index])
            x = block(x, rotary, condition, attend=attend, causal=self.causal, cache=layer)  # [B, T, W]
        if cache is not None:
            cache.length, cache.conditions = x.shape[1], conditions
        y: Tensor = self.norm(x)
        return y

    def _layer_conditions(self, cond: Conditioning | None) -> list[LayerCondition]:
        cond = Conditioning() if cond is None else cond
        source = visible = None
        if self.project_source is not None and cond.sequence is not None:
            source, visible = self.project_source(cond.sequence), cond.sequence_mask  # [B, S, W], [B, S]
        return [cast(Block, block).condition_on(cond.vector, source, visible) for block in self.blocks]


class TokenField(nn.Module):
    """Tokens `[B, T]` -> logits `[B, T, out]`. The id V, the embedding's last, is the family's start or mask symbol."""

    def __init__(
        self, config: TransformerConfig, space: Discrete, out: int, cond_width: int, causal: bool, cross: bool,
        copy: bool,
    ) -> None:
        super().__init__()
        self.config = config
        self.embedding = edge(nn.Embedding(space.vocab + 1, config.width))
        nn.init.normal_(self.embedding.weight, std=config.width**-0.5)
        indexed(self.embedding.weight, 0, ("symbols", space.vocab + 1))
        # RoPE encodes relative positions only: without these, mask symbols would be alike at all positions.
        self.positions = edge(nn.Parameter(0.02 * torch.randn(space.length, config.width)))
        indexed(self.positions, 0, ("step", space.length))
        self.dropout = nn.Dropout(config.dropout)
        self.trunk = Trunk(config, space.length, cond_width, causal, cross)
        self.head = edge(zeroed(nn.Linear(config.width, out)))
        for parameter in self.head.parameters():
            indexed(parameter, 0, ("tokens", out))
        self.copy = CopyHead(config.width, cond_width) if copy else None

    def new_cache(self, batch: int, length: int, device: torch.device, int8: bool = False) -> KVCache:
        """An empty cache for up to `length` positions."""
        c = self.config
        return KVCache(c.depth, batch, c.heads, length, c.width // c.heads, device, int8)

    def forward(
        self, x: Tensor, cond: Conditioning | None = None, mask: Tensor | None = None, cache: KVCache | None = None
    ) -> Tensor:
        """Logits `[B, T, out]` of tokens x `[B, T]`; `mask` `[B, T]`: True where a token is not padding.

        With a cache, x holds only the positions after those already in it: any number in the first call, whose
        condition holds for all later calls, and one in each later call.

        Raises:
            ValueError: several positions in a later call, or a network that copies without a source sequence.
        """
        if cache is not None and cache.length:
            if x.shape[1] > 1:
                raise ValueError("after its first call a cache takes one position at a time")
            return self._step(x[:, 0], cache)[:, None]
        h = self.trunk(self.dropout(self.embedding(x) + self.positions[: x.shape[1]]), cond, mask, cache)  # [B, T, W]
        logits: Tensor = self.head(h)  # [B, T, out]
        if self.copy is None:
            return logits
        source = self.copy.source_of(Conditioning() if cond is None else cond)
        if cache is not None:
            cache.copied = source
        logits = self.copy(h, logits, source)
        return logits

    @torch.inference_mode()
    def _step(self, x: Tensor, cache: KVCache) -> Tensor:
        """Logits `[B, out]` of one more token `[B]`."""
        if cache.step is None:
            assert cache.conditions is not None
            blocks = [cast(Block, block) for block in self.trunk.blocks]
            cache.step = Step(blocks, cache.conditions, self.trunk.norm, self.head, cache.int8)
        embedded = self.embedding(x) + self.positions[cache.length]  # [B, W]
        h, logits = cache.step(embedded, cache, self.trunk.rotary[cache.length])
        if self.copy is None or cache.copied is None:
            return logits
        copied: Tensor = self.copy(h[:, None], logits[:, None], cache.copied)[:, 0]
        return copied


class Patches(nn.Module):
    """Arrays `[B, C, *S]` of up to two axes <-> patches `[B, T, C * patch^axes]`; axes are padded at their ends."""

    def __init__(self, space: Continuous, patch: int) -> None:
        super().__init__()
        sizes = space.shape[1:] or (1,)
        require(len(sizes) <= 2, "space.shape", space.shape, "a transformer takes arrays of one or two axes")
        self.sizes, self.patch = sizes, patch
        self.counts = tuple(math.ceil(size / patch) for size in sizes)
        self.length = math.prod(self.counts)
        self.shape = space.shape

    def split(self, x: Tensor) -> Tensor:
        """Arrays `[B, C, *S]` -> patches `[B, T, C * patch^axes]`."""
        x = padded(x.reshape(len(x), -1, *self.sizes), self.patch)
        return unshuffled(x, self.patch).flatten(2).mT.contiguous()

    def join(self, tokens: Tensor, channels: int) -> Tensor:
        """Patches `[B, T, channels * patch^axes]` -> arrays `[B, channels, *S]`, without the padding."""
        x = shuffled(tokens.mT.reshape(len(tokens), -1, *self.counts), self.patch)
        return cropped(x, self.sizes).reshape(len(x), channels, *self.shape[1:])

    def positions(self, width: int) -> nn.Parameter:
        """Learned position embeddings `[T, width]`, sines and cosines of the place along each axis at first."""
        grid = torch.tensor(list(product(*(range(n) for n in self.counts))), dtype=torch.float32)
        frequencies = torch.exp(-torch.arange(0, width, 2 * len(self.counts)) / width * math.log(100.0))
        angles = (grid[:, :, None] * frequencies).flatten(1)
        table = torch.cat([angles.sin(), angles.cos()], dim=1)[:, :width]
        made = edge(nn.Parameter(0.5 * nn.functional.pad(table, (0, width - table.shape[1]))))
        indexed(made, 0, *places(self.counts))
        return made

    def enter(self, width: int) -> nn.Linear:
        """The layer from a patch's elements to `width`."""
        elements = self.patch ** len(self.sizes)
        layer = edge(nn.Linear(self.shape[0] * elements, width))
        indexed(layer.weight, 1, ("channels", self.shape[0]), ("", elements))
        return layer

    def leave(self, width: int, channels: int) -> nn.Linear:
        """The layer back, to the elements of a patch of `channels`."""
        elements = self.patch ** len(self.sizes)
        layer = edge(nn.Linear(width, channels * elements))
        for parameter in layer.parameters():
            indexed(parameter, 0, ("channels", channels), ("", elements))
        return layer


class ArrayField(nn.Module):
    """Arrays `[B, C, *S]` -> arrays `[B, out, *S]`; each patch is a position."""

    def __init__(self, config: TransformerConfig, space: Continuous, out: int, cond_width: int, cross: bool) -> None:
        super().__init__()
        self.out = out
        self.patches = Patches(space, config.patch)
        self.enter = self.patches.enter(config.width)
        self.positions = self.patches.positions(config.width)
        self.trunk = Trunk(config, self.patches.length, cond_width, cross=cross)
        self.leave = zeroed(self.patches.leave(config.width, out))

    def forward(self, x: Tensor, cond: Conditioning | None = None, mask: Tensor | None = None) -> Tensor:
        tokens = self.enter(self.patches.split(x)) + self.positions  # [B, T, W]
        return self.patches.join(self.leave(self.trunk(tokens, cond)), self.out)


class Encoder(nn.Module):
    """Tokens `[B, T]` or arrays `[B, C, *S]` -> vectors `[B, out]`."""

    def __init__(self, config: TransformerConfig, space: Space, out: int, cond_width: int) -> None:
        super().__init__()
        if isinstance(space, Discrete):
            self.patches, length = None, space.length
            embedding = edge(nn.Embedding(space.vocab + 1, config.width))
            indexed(embedding.weight, 0, ("symbols", space.vocab + 1))
            self.enter: nn.Module = embedding
            self.positions = edge(nn.Parameter(0.02 * torch.randn(space.length, config.width)))
            indexed(self.positions, 0, ("step", space.length))
        else:
            self.patches = Patches(space, config.patch)
            length = self.patches.length
            self.enter = self.patches.enter(config.width)
            self.positions = self.patches.positions(config.width)
        self.trunk = Trunk(config, length, cond_width)
        self.head = edge(nn.Linear(2 * config.width, out))

    def forward(self, x: Tensor, cond: Conditioning | None = None, mask: Tensor | None = None) -> Tensor:
        h: Tensor = self.enter(x if self.patches is None else self.patches.split(x))
        h = self.trunk(h + self.positions[: h.shape[1]], cond, mask)  # [B, T, W]
        if mask is None:
            mean, highest = h.mean(1), h.amax(1)  # [B, W] each
        else:
            weights = mask[..., None].to(h.dtype)
            mean = (h * weights).sum(1) / weights.sum(1)
            highest = h.masked_fill(~mask[..., None], -torch.inf).amax(1)
        y: Tensor = self.head(torch.cat([mean, highest], dim=1))
        return y


class Decoder(nn.Module):
    """Vectors `[B, latent]` -> arrays `[B, out, *S]`; the vector enters at each position and modulates each block."""

    def __init__(self, config: TransformerConfig, latent: int, space: Continuous, out: int, cond_width: int) -> None:
        super().__init__()
        self.out = out
        self.patches = Patches(space, config.patch)
        self.positions = self.patches.positions(config.width)
        self.vector = nn.Linear(latent + cond_width, config.width)
        self.trunk = Trunk(config, self.patches.length, config.width)
        self.leave = self.patches.leave(config.width, out)

    def forward(self, z: Tensor, cond: Conditioning | None = None, mask: Tensor | None = None) -> Tensor:
        if cond is not None and cond.vector is not None:
            z = torch.cat([z, cond.vector], dim=1)
        vector = self.vector(z)  # [B, W]
        tokens = self.positions + vector[:, None]  # [B, T, W]
        return self.patches.join(self.leave(self.trunk(tokens, Conditioning(vector))), self.out)
