"""Beam search: exact where it keeps everything, and its rows go on as they should."""

from __future__ import annotations

from itertools import product

import pytest
import torch

from core.samplers.tokens import beam_search

VOCAB, EOS, LENGTH = 4, 3, 3


def tables(n: int, seed: int = 0) -> torch.Tensor:
    """Log-probabilities `[n, VOCAB + 1, VOCAB]` of the next token after each, VOCAB being the start."""
    return torch.randn(n, VOCAB + 1, VOCAB, generator=torch.Generator().manual_seed(seed)).mul(2).log_softmax(-1)


def search(table: torch.Tensor, beams: int, penalty: float) -> tuple[torch.Tensor, torch.Tensor]:
    n = len(table)
    owner = torch.arange(n).repeat_interleave(beams)

    def keep(rows: torch.Tensor) -> None:
        assert owner[rows].equal(owner), "a beam goes on in the place of one of the same prompt"

    return beam_search(lambda fresh: table[owner, fresh[:, -1]], keep, torch.full((n, 1), VOCAB), LENGTH, EOS,
                       beams=beams, length_penalty=penalty)


def best(table: torch.Tensor, penalty: float) -> tuple[int, ...]:
    """By looking at every sequence."""
    scores = {}
    for tokens in product(range(VOCAB), repeat=LENGTH):
        kept = tokens[: tokens.index(EOS) + 1] if EOS in tokens else tokens
        steps = zip((VOCAB, *kept), kept, strict=False)
        scores[kept] = sum(float(table[a, b]) for a, b in steps) / len(kept) ** penalty
    return max(scores, key=lambda kept: scores[kept])


@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_a_beam_of_everything_is_exact(penalty: float) -> None:
    table = tables(20)
    tokens, mask = search(table, VOCAB**LENGTH, penalty)
    for row, keep, own in zip(tokens, mask, table, strict=True):
        assert tuple(row[keep].tolist()) == best(own, penalty)


def test_one_beam_is_greedy() -> None:
    table = tables(20, seed=1)
    tokens, mask = search(table, 1, 1.0)
    for row, keep, own in zip(tokens, mask, table, strict=True):
        token = VOCAB
        greedy: list[int] = []
        while len(greedy) < LENGTH and token != EOS:
            token = int(own[token].argmax())
            greedy.append(token)
        assert row[keep].tolist() == greedy
