"""Lengths of token sequences, for families that decide a sequence's length before its tokens."""

from __future__ import annotations

import torch
from torch import Tensor

from core.batches import Batch
from core.samplers.tokens import draw
from core.seeds import Draws
from core.spaces import Discrete


def lengths(batch: Batch) -> Tensor:
    """Tokens that count in each example `[B]`, eos included."""
    if batch.mask is None:
        return torch.full((len(batch),), batch.x.shape[1], device=batch.x.device)
    return batch.mask.sum(1)


def mean_length(space: Discrete) -> float:
    """Tokens of an average training example, eos included: what a sum over a batch is divided by to be per token.

    A constant: divided by its own tokens, a batch of short examples would weigh as much as one of long ones, and where
    batches hold examples of like lengths, a model would learn to write short ones too often.
    """
    if space.length_histogram is None:
        return float(space.length)
    return sum(share * (n + 1) for n, share in enumerate(space.length_histogram))


def draw_lengths(space: Discrete, n: int, device: torch.device, draws: Draws = None) -> Tensor | None:
    """A mask `[n, longest]` of lengths drawn from the training histogram; None where all lengths are equal."""
    if space.length_histogram is None:
        return None
    shares = torch.tensor(space.length_histogram, device=device)
    drawn = draw(shares.log().expand(n, -1), draws) + 1
    return torch.arange(int(drawn.max()), device=device) < drawn[:, None]


def draw_lengths_around(space: Discrete, known: Tensor, draws: Draws = None) -> Tensor | None:
    """A mask like `known` `[n, T]`, whose tokens are -1 where unknown; None where all lengths are equal.

    A row is as long as its known end says, else of a length drawn from those of training that leave room for all
    that is known and an end.
    """
    if space.length_histogram is None or space.eos is None:
        return None
    places = torch.arange(known.shape[1], device=known.device)
    begun = torch.where(known < 0, 0, places + 1).amax(1, keepdim=True)
    shares = torch.tensor(space.length_histogram, device=known.device)[: len(places)].where(places >= begun, 0.0)
    # Where training had no sequence so long, the longest possible.
    shares[:, -1] += torch.finfo(shares.dtype).tiny
    drawn = draw(shares.log(), draws)[:, None] + 1
    ended = known.eq(space.eos)
    size = torch.where(ended.any(1, keepdim=True), ended.int().argmax(1, keepdim=True) + 1, drawn)
    return places < size


def length_nll(space: Discrete, batch: Batch) -> Tensor:
    """-log p(length) `[B]` under the training histogram, with one count added to every length."""
    if space.length_histogram is None:
        return torch.zeros(len(batch), device=batch.x.device)
    shares = torch.tensor(space.length_histogram, device=batch.x.device)
    # A length never seen in training must not make a held-out example impossible.
    smoothed = (shares + 1e-5) / (shares + 1e-5).sum()
    return -smoothed.log()[lengths(batch) - 1]
