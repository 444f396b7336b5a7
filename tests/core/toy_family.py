"""A tiny family of two players with dropout, a buffer and random draws: all that a resumed run must get right."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

from core.batches import Batch
from core.data.arrays import ArrayData
from core.families.family import Family, Loss
from core.seeds import normal
from core.spaces import Continuous
from core.training.config import TrainConfig

SPACE = Continuous(shape=(4,))


class Toy(Family):
    """A one-layer GAN on vectors; `noise` = 0 makes its loss a function of the batch alone."""

    players = ("critic", "generator")
    seen: torch.Tensor

    def __init__(self, noise: float = 1.0, seed: int = 0) -> None:
        super().__init__()
        self.noise = noise
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.generator = nn.Sequential(nn.Linear(4, 16), nn.SiLU(), nn.Dropout(0.1 * noise), nn.Linear(16, 4))
            self.critic = nn.Sequential(nn.Linear(4, 16), nn.SiLU(), nn.Linear(16, 1))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def owned(self, player: str) -> Iterator[nn.Parameter]:
        return getattr(self, player).parameters()

    def averaged(self) -> Iterator[tuple[str, nn.Parameter]]:
        return self.generator.named_parameters(prefix="generator")

    def forward(self, batch: Batch, player: str = "model", progress: float = 1.0) -> Loss:
        z = torch.randn_like(batch.x) * self.noise + (1 - self.noise) * batch.x.flip(1)
        fake = self.generator(z)
        margin = self.critic(batch.x) - self.critic(fake)
        if player == "critic":
            self.seen += len(batch)
            return Loss(nn.functional.softplus(-margin).mean(), {"margin": margin.mean().detach()})
        return Loss(nn.functional.softplus(margin).mean())

    def passes(self, settings) -> int:
        return 1

    def sample(self, n, condition=None, *, settings=None, draws=None) -> Batch:
        return Batch(self.generator(normal(draws, (n, 4), self.device)))


def toy_data(n: int = 100, seed: int = 0) -> ArrayData:
    """Gaussian vectors."""
    return ArrayData(SPACE, np.random.default_rng(seed).normal(size=(n, 4)).astype(np.float32) + 1)


def toy_config(**changes) -> TrainConfig:
    """A few quick steps."""
    return TrainConfig(**({"steps": 30, "batch_size": 16, "checkpoint_every": 7, "log_every": 4} | changes))


def weights(folder: Path) -> bytes:
    """The run's final weights as written."""
    return (folder / "model" / "model.safetensors").read_bytes()
