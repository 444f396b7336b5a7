"""Conditions -> network inputs: embeddings with a learned null for guidance, and parsing of a user's words."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from core.errors import FourfoldError, did_you_mean
from core.networks.attention import Block, rotary_table
from core.networks.layers import RMSNorm
from core.space import ArrayCondition, ClassCondition, Conditioning, ConditionSpec, SequenceCondition, VectorCondition


class Conditioner(nn.Module):
    """Embeds named conditions; classes and vectors are summed into one vector, sequences and arrays concatenated."""

    def __init__(
        self, specs: Mapping[str, ConditionSpec], width: int, depth: int = 2, dropout: float = 0.0
    ) -> None:
        """`depth`, `dropout`: of the encoders of sequences."""
        super().__init__()
        self.specs, self.width = dict(specs), width
        self.embeddings = nn.ModuleDict()
        self.nulls = nn.ParameterDict()
        for name, spec in self.specs.items():
            if isinstance(spec, ArrayCondition):
                continue  # read as it is; its null is zero
            self.nulls[name] = nn.Parameter(0.02 * torch.randn(width))
            if isinstance(spec, ClassCondition):
                self.embeddings[name] = nn.Embedding(len(spec.names), width)
            elif isinstance(spec, VectorCondition):
                self.embeddings[name] = nn.Sequential(
                    nn.Linear(len(spec.names), width), nn.SiLU(), nn.Linear(width, width)
                )
            else:
                self.embeddings[name] = SequenceEncoder(spec, width, depth, dropout)

    def forward(self, condition: Mapping[str, Tensor] | None, n: int, drop: Tensor | None = None) -> Conditioning:
        """The conditioning of `n` examples; a missing condition, or `drop` (bool `[n]`) True, gives the null.

        Raises:
            FourfoldError: a condition this model does not have.
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
        """Embedded source `[n, 1 + S, width]`, its mask and tokens; the first place is the null's, always visible."""
        null = self.nulls[name].expand(n, 1, -1)
        visible = torch.ones(n, 1, dtype=torch.bool, device=null.device)
        end = torch.full((n, 1), spec.pad, device=null.device)
        if tokens is None:
            return null, visible, end
        mask = tokens != spec.pad
        if drop is not None:
            mask = mask & ~drop[:, None]
        embedded = torch.cat([null, self.embeddings[name](tokens, mask)], dim=1)
        return embedded, torch.cat([visible, mask], dim=1), torch.cat([end, tokens], dim=1)


class SequenceEncoder(nn.Module):
    """A small bidirectional transformer over a source sequence: `[B, S]` -> `[B, S, width]`."""

    rotary: Tensor

    def __init__(self, spec: SequenceCondition, width: int, depth: int, dropout: float) -> None:
        super().__init__()
        # core.networks needs Conditioning from here, so a circle would close at import time.
        heads = max(1, width // 64)
        self.embedding = nn.Embedding(spec.vocab, width)
        # Rotary positions are relative: who attends to the source could not ask for its third word.
        self.positions = nn.Parameter(0.02 * torch.randn(spec.length, width))
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(width, heads, mlp_ratio=4, dropout=dropout) for _ in range(depth))
        self.norm = RMSNorm(width)
        self.register_buffer("rotary", rotary_table(spec.length, width // heads), persistent=False)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        x = self.dropout(self.embedding(tokens) + self.positions[: tokens.shape[1]])
        # A row of nothing but padding would leave its attention without a key.
        keys = (mask | ~mask.any(1, keepdim=True))[:, None, None, :]
        for block in self.blocks:
            x = block(x, self.rotary[: x.shape[1]], attend=keys)
        return self.norm(x)


def parse_condition(specs: Mapping[str, ConditionSpec], texts: Mapping[str, str], n: int) -> dict[str, Tensor]:
    """A user's words as condition tensors of `n` rows: a class's name or index; "logp=2.5,qed=0.8" or "2.5,0.8".

    Raises:
        FourfoldError: an unknown condition, class or component, a missing one, or something that is no number.
    """
    parsed = {}
    for name, text in texts.items():
        if name not in specs:
            known = did_you_mean(name, specs) if specs else "this model was trained without conditions"
            raise FourfoldError(f"no condition {name!r}: {known}")
        spec = specs[name]
        if isinstance(spec, ClassCondition):
            parsed[name] = torch.full((n,), _class_index(spec, name, text))
        elif isinstance(spec, VectorCondition):
            parsed[name] = _vector(spec, name, text).expand(n, -1)
        elif isinstance(spec, SequenceCondition) and spec.words:
            parsed[name] = torch.from_numpy(word_tokens(spec, name, text)).expand(n, -1)
        else:
            raise FourfoldError(f"condition {name!r} cannot be written as an option")
    return parsed


def words_of(text: str) -> list[str]:
    """A caption's words: runs of letters and digits, in lower case."""
    return re.findall(r"[^\W_]+", text.lower())


def word_tokens(spec: SequenceCondition, name: str, text: str) -> np.ndarray:
    """A caption as tokens, int64 `[length]`, padded; what is longer is cut.

    Raises:
        FourfoldError: no words, or one that the model never saw.
    """
    tokens = np.full(spec.length, spec.pad, dtype=np.int64)
    words = words_of(text)
    if not words:
        raise FourfoldError(f"{name} is {text!r}: must have words")
    for place, word in enumerate(words):
        if word not in spec.words:
            raise FourfoldError(f"{name} has the word {word!r}, which this model never saw: "
                                f"{did_you_mean(word, spec.words)}")
        if place < spec.length:
            tokens[place] = spec.words.index(word)
    return tokens


def _class_index(spec: ClassCondition, name: str, text: str) -> int:
    if text in spec.names:
        return spec.names.index(text)
    if text.isdecimal() and int(text) < len(spec.names):
        return int(text)
    raise FourfoldError(f"no {name} {text!r}: {did_you_mean(text, spec.names)}")


def _vector(spec: VectorCondition, name: str, text: str) -> Tensor:
    parts = [part.strip() for part in text.split(",")]
    named = "=" in text
    pairs = [part.partition("=")[::2] for part in parts] if named else list(zip(spec.names, parts, strict=False))
    if not named and len(parts) != len(spec.names):
        raise FourfoldError(f"{name} is {text!r}: needs {len(spec.names)} numbers, {', '.join(spec.names)}")
    values: dict[str, float] = {}
    for key, number in pairs:
        key = key.strip()
        if key not in spec.names:
            raise FourfoldError(f"{name} has no {key!r}: {did_you_mean(key, spec.names)}")
        if key in values:
            raise FourfoldError(f"{name} names {key!r} twice: give it one number")
        try:
            values[key] = float(number)
        except ValueError:
            raise FourfoldError(f"{name}.{key} is {number!r}: must be a number") from None
        if not abs(values[key]) < float("inf"):
            raise FourfoldError(f"{name}.{key} is {number!r}: must be finite")
    missing = [key for key in spec.names if key not in values]
    if missing:
        raise FourfoldError(f"{name} is {text!r}: {', '.join(missing)} is missing")
    return torch.tensor([(values[k] - m) / s for k, m, s in zip(spec.names, spec.mean, spec.std, strict=True)])
