"""The sampler of masked diffusion: positions are revealed in a random order, a few at a time."""

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
    """Fill the `hidden` (bool `[n, T]`) positions of `tokens` `[n, T]`; the others stay as they are.

    `logits_of` maps tokens with mask symbols to `[n, T, V]`. Each row's hidden positions get a random order, cut
    into `num_steps` nearly equal groups that are drawn at once; with as many steps as positions this is the exact
    reverse process (the first-hitting sampler of Zheng et al. 2409.02908, with its times integrated out).
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
