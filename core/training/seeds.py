"""Stateless randomness: every draw of a step comes from a seed derived from (seed, step, player, rank)."""

from __future__ import annotations

import hashlib
import struct

import torch


def derive(*parts: int) -> int:
    """A 63-bit seed from whole numbers (64-bit signed); nearby inputs give unrelated seeds."""
    digest = hashlib.blake2b(struct.pack(f"<{len(parts)}q", *parts), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def seed_step(seed: int, step: int, player: int, rank: int) -> None:
    """Seed torch's global generators (all devices) for one player's turn in one step."""
    torch.manual_seed(derive(seed, step, player, rank))
