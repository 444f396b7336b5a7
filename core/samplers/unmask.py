"""The sampler of masked diffusion: masked positions are filled in a random order, several in each step."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from core.samplers.tokens import draw, truncate
from core.seeds import Draws, uniform


def unmask(
    logits_of: Callable[[Tensor], Tensor], tokens: Tensor, hidden: Tensor, num_steps: int, *,
    transform: Callable[[Tensor], Tensor] = truncate, draws: Draws = None, length: int | None = None,
) -> Tensor:
    """`tokens` `[n, T]` with tokens drawn at the `hidden` positions (bool `[n, T]`), which hold mask symbols.

    `logits_of`: tokens `[n, T]` -> logits `[n, T, V]`. Each row's hidden positions are split at random into
    `num_steps` groups of nearly equal size, and the tokens of a group are drawn independently in one step. With as
    many steps as positions this is the exact reverse process (the first-hitting sampler of Zheng et al. 2409.02908,
    without its times). `length`: the longest that T may be, so that what is drawn for a row does not depend on T.
    """
    n, width = tokens.shape
    place = torch.device("cpu") if tokens.device.type == "mps" else tokens.device  # mps has no float64
    score, chance = uniform(draws, (n, 2, length or width), place, torch.float64)[:, :, :width].unbind(1)
    score = score.float().to(tokens.device).masked_fill(~hidden, 2.0)
    rank = score.argsort(1).argsort(1)
    count = hidden.sum(1, keepdim=True)
    group = (rank * num_steps).div(count.clamp(min=1), rounding_mode="floor")
    for step in range(num_steps):
        chosen = hidden & (group == step)
        drawn = draw(transform(logits_of(tokens)[chosen]), chance[chosen.to(place)][:, None])
        tokens = tokens.masked_scatter(chosen, drawn)
    return tokens
