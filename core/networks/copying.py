"""Copying tokens of the source sequence to the output, such as rare names: the pointer of See et al. (1704.04368)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from core.networks.attention import at_least_float32
from core.networks.conditioning import Conditioning


class Copied(NamedTuple):
    """The source to copy from: `keys` `[B, S, W]`, `tokens` `[B, S]`, `hidden` (bool `[B, 1, S]`): True for padding."""

    keys: Tensor
    tokens: Tensor
    hidden: Tensor


class CopyHead(nn.Module):
    """p(token) = (1 - g) softmax(logits) + g (attention weights summed over the token's places): their equation 9.

    The probability g of copying and the attention's queries are linear in the transformer's last hidden state.
    """

    def __init__(self, width: int, cond_width: int) -> None:
        super().__init__()
        self.query, self.key = nn.Linear(width, width), nn.Linear(cond_width, width, bias=False)
        self.gate = nn.Linear(width, 1)

    def source_of(self, cond: Conditioning) -> Copied:
        """The source with its attention keys, the same for every position.

        Raises:
            ValueError: the condition has no source.
        """
        if cond.sequence is None or cond.sequence_tokens is None or cond.sequence_mask is None:
            raise ValueError("a network that copies needs a source sequence")
        return Copied(self.key(cond.sequence), cond.sequence_tokens, ~cond.sequence_mask[:, None])

    def forward(self, hidden: Tensor, logits: Tensor, source: Copied) -> Tensor:
        """Hidden states `[B, T, W]` and logits `[B, T, V]` -> log-probabilities `[B, T, V]`."""
        scores = at_least_float32(self.query(hidden) @ source.keys.mT) / math.sqrt(source.keys.shape[-1])  # [B, T, S]
        copies = scores.masked_fill(source.hidden, -torch.inf).softmax(-1)
        gate = at_least_float32(self.gate(hidden)).sigmoid()  # [B, T, 1]
        probability = at_least_float32(logits).softmax(-1) * (1 - gate)
        tokens = source.tokens[:, None].expand_as(copies)
        return probability.scatter_add(-1, tokens, copies * gate).clamp_min(torch.finfo(torch.float32).tiny).log()
