"""Drawing tokens: truncations of a next-token distribution, and generation with a key-value cache."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def truncate(
    logits: Tensor,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
) -> Tensor:
    """Logits `[..., V]` after temperature, with the tokens outside every given truncation at -inf.

    `top_k`: the k most probable. `top_p`: the smallest set whose probability reaches p (Holtzman et al.
    1904.09751). `min_p`: those at least min_p times as probable as the most probable (2407.01082).
    """
    logits = logits / temperature
    if top_k is not None and top_k < logits.shape[-1]:
        threshold = logits.topk(top_k, dim=-1).values[..., -1:]
        logits = logits.masked_fill(logits < threshold, -torch.inf)
    if top_p is not None and top_p < 1:
        ordered, order = logits.sort(dim=-1, descending=True)
        probability = ordered.softmax(-1)
        outside = probability.cumsum(-1) - probability >= top_p  # the mass before a token already suffices
        logits = logits.masked_fill(outside.scatter(-1, order, outside), -torch.inf)
    if min_p is not None:
        probability = logits.softmax(-1)
        logits = logits.masked_fill(probability < min_p * probability.amax(-1, keepdim=True), -torch.inf)
    return logits


def draw(logits: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Token ids `[...]` drawn from softmax(logits `[..., V]`), in float64: float32 Gumbel noise truncates the tails."""
    flat = logits.double().softmax(-1).flatten(0, -2)
    return torch.multinomial(flat, 1, generator=generator).view(logits.shape[:-1])


def generate(
    next_logits: Callable[[Tensor], Tensor],
    prompt: Tensor,
    length: int,
    eos: int | None = None,
    *,
    transform: Callable[[Tensor], Tensor] = truncate,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """`length` tokens after `prompt` `[n, P]`, one at a time.

    `next_logits` takes the tokens not yet seen by the cache, `[n, P]` at first and `[n, 1]` afterwards, and
    returns `[n, V]`. Returns tokens `[n, length]` and a mask, True up to and including each row's first `eos`.
    Stops early when all rows have ended; what follows an `eos` is `eos`.
    """
    n = len(prompt)
    tokens = prompt.new_full((n, length), 0 if eos is None else eos)
    alive = torch.ones(n, dtype=torch.bool, device=prompt.device)
    mask = torch.zeros(n, length, dtype=torch.bool, device=prompt.device)
    fresh = prompt
    for position in range(length):
        chosen = draw(transform(next_logits(fresh)), generator)
        if eos is None:
            tokens[:, position] = chosen
            mask[:, position] = True
        else:
            tokens[:, position] = torch.where(alive, chosen, eos)
            mask[:, position] = alive
            alive = alive & (chosen != eos)
            # Asking costs a device sync, so only now and then.
            if position % 8 == 7 and not alive.any():
                break
        fresh = tokens[:, position : position + 1]
    return tokens, mask
