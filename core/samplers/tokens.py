"""Sampling of tokens: truncation of next-token distributions, generation with a key-value cache, beam search."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from core.seeds import Draws, uniform


def truncate(
    logits: Tensor, *, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None,
    min_p: float | None = None,
) -> Tensor:
    """Logits `[..., V]` / `temperature` (> 0), in at least float32, with -inf for tokens that a truncation excludes.

    `top_k` keeps the k most probable tokens; `top_p`, in (0, 1], the smallest set of probability at least p (nucleus
    sampling, 1904.09751); `min_p`, in [0, 1], those at least min_p times as probable as the most probable (2407.01082).
    """
    # Sums of many small probabilities are inaccurate in half precision.
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32)) / temperature
    if top_k is not None and top_k < logits.shape[-1]:
        threshold = logits.topk(top_k, dim=-1).values[..., -1:]
        logits = logits.masked_fill(logits < threshold, -torch.inf)
    if top_p is not None and top_p < 1:
        ordered, order = logits.sort(dim=-1, descending=True)
        probability = ordered.softmax(-1)
        outside = probability.cumsum(-1) - probability >= top_p  # those before it reach top_p
        logits = logits.masked_fill(outside.scatter(-1, order, outside), -torch.inf)
    if min_p is not None:
        probability = logits.softmax(-1)
        logits = logits.masked_fill(probability < min_p * probability.amax(-1, keepdim=True), -torch.inf)
    return logits


def draw(logits: Tensor, draws: Draws | Tensor = None) -> Tensor:
    """Token ids int64 `[...]` drawn from softmax(logits `[..., V]`), by inversion of the cumulative distribution.

    `draws`: where the uniform numbers come from, or these numbers themselves, `[..., 1]` in [0, 1).

    This is faster than `torch.multinomial`, and no token of probability 0 is drawn, as uniform < 1. In float64, as
    float32 has too few different uniforms for tokens of small probability.
    """
    device = logits.device
    if device.type == "mps":  # which has no float64
        logits = logits.cpu()
    cumulative = logits.double().softmax(-1).cumsum(-1)
    total = cumulative[..., -1:]
    chance = draws if isinstance(draws, Tensor) else uniform(draws, total.shape, total.device, total.dtype)
    return torch.searchsorted(cumulative, chance.to(total.device) * total, right=True).squeeze(-1).to(device)


def generate(
    next_logits: Callable[[Tensor], Tensor], prompt: Tensor, length: int, eos: int | None = None, *,
    transform: Callable[[Tensor], Tensor] = truncate, repetition_penalty: float = 1.0,
    watch: Callable[[Tensor], bool] | None = None, draws: Draws = None,
) -> tuple[Tensor, Tensor]:
    """Draw up to `length` tokens after `prompt` `[n, P]`, one position at a time.

    Args:
        next_logits: tokens that are not in its cache yet -> logits `[n, V]` of the next; it is called with the prompt
            first, then with the last tokens `[n, 1]`.
        transform: of the logits before each draw.
        repetition_penalty: logits of tokens in the prompt or drawn before are divided by it where they are positive
            and multiplied by it where they are negative (CTRL, Keskar et al. 1909.05858).
        watch: called with the tokens `[n]` of each position as they are drawn; generation ends where it returns True.

    Returns:
        Tokens `[n, length]` and a mask, True up to and including each row's first `eos`; all later tokens are `eos`.
        If `watch` ended the generation, both are as long as what was drawn.
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
                seen = torch.zeros(n, logits.shape[-1] + 1, dtype=torch.bool, device=prompt.device)  # + start symbol
            seen.scatter_(1, fresh, True)
            penalised = torch.where(logits > 0, logits / repetition_penalty, logits * repetition_penalty)
            logits = torch.where(seen[:, :-1], penalised, logits)
        chosen = draw(transform(logits), draws)
        if eos is None:
            tokens[:, position] = chosen
            mask[:, position] = True
        else:
            tokens[:, position] = torch.where(alive, chosen, eos)
            mask[:, position] = alive
            alive = alive & (chosen != eos)
            # The test waits for an accelerator: only at every eighth position.
            if position % 8 == 7 and not alive.any():
                break
        fresh = tokens[:, position : position + 1]
        if watch is not None and watch(tokens[:, position]):
            return tokens[:, : position + 1], mask[:, : position + 1]
    return tokens, mask


def beam_search(
    next_logits: Callable[[Tensor], Tensor], keep: Callable[[Tensor], None], prompt: Tensor, length: int, eos: int, *,
    beams: int, length_penalty: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """The sequence of highest score, of up to `length` tokens, that a beam search finds after each `prompt` `[n, P]`.

    A sequence's score is its log-probability / its length^length_penalty (Wu et al. 1609.08144, without their
    constant). Returns tokens `[n, length]` and their mask, as `generate` does.

    Args:
        next_logits: as in `generate`, with `beams` rows for each prompt: `[n * beams, P or 1]` -> `[n * beams, V]`.
        keep: called before each later call of `next_logits` with the rows `[n * beams]` of its cache to go on with.
    """
    n = len(prompt)
    rows = torch.arange(n, device=prompt.device)[:, None] * beams
    tokens = prompt.new_full((n, beams, length), eos)
    total = torch.full((n, beams), -torch.inf, device=prompt.device)
    total[:, 0] = 0  # all beams of a prompt are the same at first: only one may be continued
    alive, counts = torch.ones_like(total, dtype=torch.bool), torch.zeros_like(total)
    fresh = prompt.repeat_interleave(beams, 0)
    for position in range(length):
        log_prob = next_logits(fresh).float().log_softmax(-1).view(n, beams, -1)
        vocab = log_prob.shape[-1]
        # A sequence that has ended continues with eos only, with log-probability 0.
        ended = torch.full_like(log_prob[0, 0], -torch.inf)
        ended[eos] = 0
        candidates = total[..., None] + torch.where(alive[..., None], log_prob, ended)  # [n, beams, V]
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
    prompts = torch.arange(n, device=prompt.device)
    return tokens[prompts, first], torch.arange(length, device=prompt.device) < counts[prompts, first][:, None]
