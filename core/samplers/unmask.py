"""The sampler of masked diffusion: masked positions are filled in a random order, several in each step."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from core.samplers.tokens import draw, truncate


def unmask(
    logits_of: Callable[[Tensor], Tensor],
    tokens: Tensor,
    hidden: Tensor,
    num_steps: int,
    *,
    transform: Callable[[Tensor], Tensor] = truncate,
    generator: torch.Generator | None = None,
) -> Tensor:
    """`tokens` `[n, T]` with tokens drawn at the `hidden` positions (bool `[n, T]`), which hold mask symbols.

    `logits_of`: tokens `[n, T]` -> logits `[n, T, V]`. Each row's hidden positions are split at random into
    `num_steps` groups of nearly equal size, and the tokens of a group are drawn independently in one step. With as
    many steps as positions this is the exact reverse process (the first-hitting sampler of Zheng et al. 2409.02908,
    without its times).
    """
    score = torch.rand(tokens.shape, generator=generator, device=tokens.device).masked_fill(~hidden, 2.0)
    rank = score.argsort(1).argsort(1)
    count = hidden.sum(1, keepdim=True)
    group = (rank * num_steps).div(count.clamp(min=1), rounding_mode="floor")
    for step in range(num_steps):
        chosen = hidden & (group == step)
        drawn = draw(transform(logits_of(tokens)[chosen]), generator)
        tokens = tokens.masked_scatter(chosen, drawn)
    return tokens
