"""Conditions as network inputs: embeddings, each with a learned null embedding that stands for "no condition"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from core.conditions import (
    ArrayCondition,
    ClassCondition,
    ConditionSpec,
    PictureCondition,
    SequenceCondition,
    VectorCondition,
)
from core.errors import FourfoldError, did_you_mean, require, require_within
from core.networks.attention import Block, rotary_table
from core.networks.layers import DEEPEST, WIDEST, RMSNorm, edge, indexed
from core.networks.pictures import PictureEncoder


@dataclass(frozen=True)
class Conditioning:
    """All conditions as inputs of networks; None where there is no condition of that kind.

    Attributes:
        vector: `[B, width]`: classes, numbers and pictures, plus the mean of `sequence`.
        sequence, sequence_mask, sequence_tokens: source sequences, embedded `[B, S, width]`, True where not padding
            (bool `[B, S]`), and as token ids (int64 `[B, S]`).
        array: `[B, channels, *axes]`, over the data.
    """

    vector: Tensor | None = None
    sequence: Tensor | None = None
    sequence_mask: Tensor | None = None
    array: Tensor | None = None
    sequence_tokens: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class ConditioningConfig:
    """How conditions are embedded, and how often training drops them.

    Attributes:
        width: of the embeddings.
        dropout: share of training examples whose conditions are dropped, for classifier-free guidance (2207.12598).
        source_depth, source_dropout: layers and dropout of the encoder of a source sequence.
    """

    width: int = 128
    dropout: float = 0.1
    source_depth: int = 2
    source_dropout: float = 0.0

    def __post_init__(self) -> None:
        require_within(1, WIDEST, "conditioning.width", self.width)
        require(0 <= self.dropout <= 1, "conditioning.dropout", self.dropout, "must be in [0, 1]")
        require_within(1, DEEPEST, "conditioning.source_depth", self.source_depth)
        require(0 <= self.source_dropout < 1, "conditioning.source_dropout", self.source_dropout, "must be in [0, 1)")


class Conditioner(nn.Module):
    """Embeds named conditions: classes, vectors and pictures are summed into one vector, sequences and arrays
    concatenated."""

    def __init__(self, specs: Mapping[str, ConditionSpec], config: ConditioningConfig) -> None:
        super().__init__()
        self.specs, self.config = dict(specs), config
        width = config.width
        self.embeddings = nn.ModuleDict()
        self.nulls = nn.ParameterDict()
        for name, spec in self.specs.items():
            if isinstance(spec, ArrayCondition):
                continue  # not embedded; its null is an array of zeros
            self.nulls[name] = edge(nn.Parameter(0.02 * torch.randn(width)))
            if isinstance(spec, ClassCondition):
                classes = edge(nn.Embedding(len(spec.names), width))
                indexed(classes.weight, 0, (f"condition {name}", len(spec.names)))
                self.embeddings[name] = classes
            elif isinstance(spec, VectorCondition):
                first = nn.Linear(len(spec.names), width)
                indexed(first.weight, 1, (f"condition {name}", len(spec.names)))
                self.embeddings[name] = edge(nn.Sequential(first, nn.SiLU(), nn.Linear(width, width)))
            elif isinstance(spec, PictureCondition):
                self.embeddings[name] = PictureEncoder(spec, width)
            else:
                source = SequenceEncoder(spec, config)
                indexed(source.embedding.weight, 0, (f"condition {name}", spec.vocab))
                self.embeddings[name] = source

    def hidden(self, n: int, device: torch.device) -> Tensor | None:
        """A random drop mask for `n` training examples, bool `[n]`, by the config's dropout; None where that is 0."""
        share = self.config.dropout
        return torch.rand(n, device=device) < share if share > 0 else None

    def forward(self, condition: Mapping[str, Tensor] | None, n: int, drop: Tensor | None = None) -> Conditioning:
        """The conditioning of `n` examples, with nulls for missing conditions and where `drop` (bool `[n]`) is True.

        Raises:
            FourfoldError: `condition` names one that this model does not have.
        """
        condition = condition or {}
        for name in condition:
            if name not in self.specs:
                raise FourfoldError(f"no condition {name!r} in this model: {did_you_mean(name, self.specs)}")
        vector, arrays = None, []
        sequences: list[tuple[Tensor, Tensor, Tensor]] = []
        for name, spec in self.specs.items():
            if isinstance(spec, ArrayCondition):
                arrays.append(self._array(spec, condition.get(name), n, drop))
                continue
            null = self.nulls[name]
            if isinstance(spec, SequenceCondition):
                sequences.append(self._sequence(name, spec, condition.get(name), n, drop))
                continue
            if name in condition:
                part = self.embeddings[name](condition[name])
                if drop is not None:
                    part = torch.where(drop[:, None], null, part)
            else:
                part = null.expand(n, -1)
            vector = part if vector is None else vector + part
        array = torch.cat(arrays, dim=1) if arrays else None
        if not sequences:
            return Conditioning(vector, array=array)
        sequence, mask, tokens = (torch.cat(parts, dim=1) for parts in zip(*sequences, strict=True))
        weights = mask[..., None].float()
        pooled = (sequence * weights).sum(1) / weights.sum(1)
        return Conditioning(pooled if vector is None else vector + pooled, sequence, mask, array, tokens)

    def _array(self, spec: ArrayCondition, array: Tensor | None, n: int, drop: Tensor | None) -> Tensor:
        if array is None:
            device = next(self.parameters(), torch.empty(0)).device
            return torch.zeros((n, *spec.shape), device=device)
        return array if drop is None else array * ~drop.view(-1, *[1] * (array.ndim - 1))

    def _sequence(
        self, name: str, spec: SequenceCondition, tokens: Tensor | None, n: int, drop: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Embedded source `[n, 1 + S, width]`, its mask and tokens; the null comes first and is never masked."""
        null = self.nulls[name].expand(n, 1, -1)
        visible = torch.ones(n, 1, dtype=torch.bool, device=null.device)
        pad = torch.full((n, 1), spec.pad, device=null.device)
        if tokens is None:
            return null, visible, pad
        mask = tokens != spec.pad
        if drop is not None:
            mask = mask & ~drop[:, None]
        embedded = torch.cat([null, self.embeddings[name](tokens, mask)], dim=1)
        return embedded, torch.cat([visible, mask], dim=1), torch.cat([pad, tokens], dim=1)


class SequenceEncoder(nn.Module):
    """A bidirectional transformer over a source sequence."""

    rotary: Tensor

    def __init__(self, spec: SequenceCondition, config: ConditioningConfig) -> None:
        super().__init__()
        width, dropout = config.width, config.source_dropout
        heads = max(1, width // 64)
        self.embedding = edge(nn.Embedding(spec.vocab, width))
        # Cross-attention is without RoPE: positions reach it only through the source's embeddings.
        self.positions = edge(nn.Parameter(0.02 * torch.randn(spec.length, width)))
        indexed(self.positions, 0, ("step", spec.length))
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(
            Block(width, heads, mlp_ratio=4, dropout=dropout) for _ in range(config.source_depth)
        )
        self.norm = RMSNorm(width)
        self.register_buffer("rotary", rotary_table(spec.length, width // heads), persistent=False)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Tokens and mask (True where not padding) `[B, S]` -> `[B, S, width]`."""
        x: Tensor = self.dropout(self.embedding(tokens) + self.positions[: tokens.shape[1]])
        # Softmax over no keys is NaN: a row that is all padding attends to all of it.
        keys = (mask | ~mask.any(1, keepdim=True))[:, None, None, :]
        for block in self.blocks:
            x = block(x, self.rotary[: x.shape[1]], attend=keys)
        x = self.norm(x)
        return x
