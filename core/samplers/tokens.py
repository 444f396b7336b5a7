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
    # Sums of many small probabilities need more digits than half precision has.
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32)) / temperature
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
    """Token ids `[...]` drawn from softmax(logits `[..., V]`), in float64: float32 noise truncates the tails.

    By inverting the cumulative distribution, cheaper than `torch.multinomial`; uniform < 1 never lands on a
    token of probability zero.
    """
    cumulative = logits.double().softmax(-1).cumsum(-1)
    total = cumulative[..., -1:]
    uniform = torch.rand(total.shape, generator=generator, dtype=total.dtype, device=total.device)
    return torch.searchsorted(cumulative, uniform * total, right=True).squeeze(-1)


def generate(
    next_logits: Callable[[Tensor], Tensor],
    prompt: Tensor,
    length: int,
    eos: int | None = None,
    *,
    transform: Callable[[Tensor], Tensor] = truncate,
    repetition_penalty: float = 1.0,
    watch: Callable[[Tensor], bool] | None = None,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """`length` tokens after `prompt` `[n, P]`, one at a time.

    `next_logits` takes the tokens not yet seen by the cache, `[n, P]` at first and `[n, 1]` afterwards, and
    returns `[n, V]`. Returns tokens `[n, length]` and a mask, True up to and including each row's first `eos`.
    Stops early when all rows have ended; what follows an `eos` is `eos`.

    `repetition_penalty`: what the logits of tokens in the prompt or drawn before are divided by, or multiplied with
    where they are negative (CTRL, Keskar et al. 1909.05858). `watch` is shown every `[n]` tokens as they are drawn;
    where it returns True, they are the last: tokens and mask end there.
    """
    n = len(prompt)
    tokens = prompt.new_full((n, length), 0 if eos is None else eos)
    alive = torch.ones(n, dtype=torch.bool, device=prompt.device)
    mask = torch.zeros(n, length, dtype=torch.bool, device=prompt.device)
    fresh, seen = prompt, None
    for position in range(length):
        logits = next_logits(fresh)
        if repetition_penalty != 1:
            if seen is None:
                seen = torch.zeros(n, logits.shape[-1] + 1, dtype=torch.bool, device=prompt.device)  # a start symbol
            seen.scatter_(1, fresh, True)
            penalised = torch.where(logits > 0, logits / repetition_penalty, logits * repetition_penalty)
            logits = torch.where(seen[:, :-1], penalised, logits)
        chosen = draw(transform(logits), generator)
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
        if watch is not None and watch(tokens[:, position]):
            return tokens[:, : position + 1], mask[:, : position + 1]
    return tokens, mask


def beam_search(
    next_logits: Callable[[Tensor], Tensor],
    keep: Callable[[Tensor], None],
    prompt: Tensor,
    length: int,
    eos: int,
    *,
    beams: int,
    length_penalty: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """The likeliest of `beams` sequences of up to `length` tokens after each `prompt` `[n, P]`.

    A sequence's score is its log-probability over its length to the power of `length_penalty` (Wu et al. 1609.08144,
    without their constant). Each beam of each prompt is a row, `n * beams` in all: `next_logits` is asked for rows
    `[n * beams, P or 1]`, and `keep` tells which rows go on, before it is asked again. Returns tokens `[n, length]`
    and their mask, as `generate` does.
    """
    n = len(prompt)
    rows = torch.arange(n, device=prompt.device)[:, None] * beams
    tokens = prompt.new_full((n, beams, length), eos)
    total = torch.full((n, beams), -torch.inf, device=prompt.device)
    total[:, 0] = 0  # all beams begin alike: one of them counts
    alive, counts = torch.ones_like(total, dtype=torch.bool), torch.zeros_like(total)
    fresh = prompt.repeat_interleave(beams, 0)
    for position in range(length):
        log_prob = next_logits(fresh).float().log_softmax(-1).view(n, beams, -1)
        vocab = log_prob.shape[-1]
        # What has ended stays as it is: its only way on is another end, at no cost.
        stay = torch.full_like(log_prob[0, 0], -torch.inf)
        stay[eos] = 0
        candidates = total[..., None] + torch.where(alive[..., None], log_prob, stay)
        scores = candidates / (counts + alive)[..., None].clamp(min=1) ** length_penalty
        best = scores.flatten(1).topk(beams, dim=1).indices
        source, chosen = best // vocab, best % vocab
        total = candidates.flatten(1).gather(1, best)
        counts = (counts + alive).gather(1, source)
        tokens = tokens.gather(1, source[..., None].expand_as(tokens))
        tokens[:, :, position] = chosen
        alive = alive.gather(1, source) & (chosen != eos)
        if position % 8 == 7 and not alive.any():
            break
        keep((rows + source).flatten())
        fresh = chosen.view(-1, 1)
    first = (total / counts.clamp(min=1) ** length_penalty).argmax(1)
    everyone = torch.arange(n, device=prompt.device)
    return tokens[everyone, first], torch.arange(length, device=prompt.device) < counts[everyone, first][:, None]
