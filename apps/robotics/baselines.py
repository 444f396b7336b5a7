"""The baseline to beat: the same network as a regressor of the mean action chunk, trained by the same loop."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from apps.robotics.codec import CONDITION, ChunkCodec
from apps.robotics.environments import Bools, Floats
from core.batches import Batch
from core.conditions import ConditionSpec
from core.data.arrays import ArrayData
from core.data.cache import cached
from core.families import AutoregressiveConfig, DiffusionConfig, GANConfig, VAEConfig
from core.families.family import Family, Loss, SampleSettings
from core.networks.conditioning import Conditioner
from core.runs.domain import Prepared
from core.runs.recipe import Recipe
from core.spaces import Continuous
from core.training.config import TrainConfig
from core.training.loop import train

VERSION = 1
STEPS = 1500
"""Optimiser steps of the regression at most; its loss is flat long before."""


class Regression(Family):
    """E[x | condition] by mean squared error: behaviour cloning. It draws no samples, it has one answer."""

    def __init__(
        self, network: Any, cond_width: int, space: Continuous, conditions: Mapping[str, ConditionSpec]
    ) -> None:
        super().__init__()
        self.space = space
        self.conditioner = Conditioner(conditions, cond_width)
        self.network = network.field(space, cond_width=cond_width)

    def forward(self, batch: Batch, player: str = "model", progress: float = 1.0) -> Loss:
        return Loss((self.mean(len(batch), batch.condition) - batch.x).square().mean())

    def mean(self, n: int, condition: Mapping[str, Tensor] | None) -> Tensor:
        """The mean chunks `[n, *shape]`; the network's own input is zero."""
        zeros = torch.zeros(n, *self.space.shape, device=next(self.parameters()).device)
        return self.network(zeros, self.conditioner(condition, n)).float()

    @torch.no_grad()
    def sample(
        self,
        n: int,
        condition: Mapping[str, Tensor] | None = None,
        *,
        settings: SampleSettings = SampleSettings(),  # noqa: B008 (frozen, as in the interface)
        generator: torch.Generator | None = None,
    ) -> Batch:
        self.check(settings)
        return Batch(self.mean(n, condition))


@dataclass(frozen=True)
class Regressor:
    """A `Regression` as an actor, executing its chunks as a `Policy` does."""

    family: Regression
    codec: ChunkCodec
    execute: int

    def __call__(self, histories: Floats, active: Bools, key: tuple[int, ...] = (0,)) -> Floats:
        chunks = self.family.sample(len(histories), self.codec.observe(histories)).x
        return self.codec.actions(chunks)[:, : self.execute]


def network_of(family: Any) -> Any:
    """The network config that draws a family's samples: decoder, generator, denoiser or sequence model."""
    kinds = {VAEConfig: "decoder", GANConfig: "generator", DiffusionConfig: "denoiser", AutoregressiveConfig: "model"}
    return getattr(family, kinds[type(family)])


def regression(recipe: Recipe, prepared: Prepared, codec: ChunkCodec) -> Regression:
    """The regression that a recipe is compared with: its network, data, batch size and learning rate; cached."""
    steps = min(STEPS, recipe.train.steps)
    network, width = network_of(recipe.family), recipe.family.cond_width
    config = replace(
        TrainConfig(), steps=steps, batch_size=recipe.train.batch_size, learning_rate=1e-3,
        checkpoint_every=steps, log_every=steps,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        family = Regression(network, width, codec.space, codec.conditions)
    data = prepared.train
    key = ("robotics regression", VERSION, network, width, config, data.x, data.condition[CONDITION])
    weights = cached(key, lambda: _trained(family, data, config))
    family.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in weights.items()})
    return family.eval()


def _trained(family: Regression, data: ArrayData, config: TrainConfig) -> dict[str, np.ndarray]:
    """The weights after training in a folder that is thrown away."""
    with tempfile.TemporaryDirectory() as folder:
        train(family, data, config, Path(folder), seed=0)
    return {name: value.cpu().numpy() for name, value in family.state_dict().items()}
