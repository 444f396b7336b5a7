"""The baseline to beat: the same network as a regressor of the mean action chunk, trained by the same loop."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from apps.robotics.codec import CONDITION, ChunkCodec
from apps.robotics.model import RoboticsModel
from core.batches import Batch
from core.conditions import ConditionSpec
from core.data.arrays import ArrayData
from core.data.cache import cached
from core.errors import FourfoldError
from core.families.family import DEFAULTS, Condition, Family, FamilyConfig, Loss, SampleSettings
from core.networks import ConvConfig
from core.networks.conditioning import Conditioner
from core.runs.domain import Prepared
from core.runs.model import Model
from core.seeds import Draws
from core.spaces import Continuous
from core.training.config import TrainConfig
from core.training.loop import train

VERSION = 2
STEPS = 1500
"""Optimiser steps of the regression at most; its loss is flat long before."""


class Regression(Family):
    """E[x | condition] by mean squared error: behaviour cloning. All its samples are that mean."""

    def __init__(self, config: FamilyConfig, space: Continuous, conditions: Mapping[str, ConditionSpec]) -> None:
        """`config`: of the family whose network and embeddings it takes over; it drops no conditions."""
        super().__init__()
        network, self.space = config.sampling_network, space
        if isinstance(network, ConvConfig):
            raise FourfoldError("regression needs a network from arrays to arrays, which a ConvConfig does not make")
        self.conditioner = Conditioner(conditions, config.conditioning)
        self.network: nn.Module = network.field(space, cond_width=config.conditioning.width)

    def passes(self, settings: SampleSettings) -> int:
        return 1

    def forward(self, batch: Batch, player: str = "model", progress: float = 1.0) -> Loss:
        return Loss((self.mean(len(batch), batch.condition) - batch.x).square().mean())

    def mean(self, n: int, condition: Condition | None) -> Tensor:
        """The mean chunks `[n, *shape]`; the network's own input is zero."""
        zeros = torch.zeros(n, *self.space.shape, device=self.device)
        mean: Tensor = self.network(zeros, self.conditioner(condition, n))
        return mean.float()

    @torch.no_grad()
    def sample(
        self, n: int, condition: Condition | None = None, *, settings: SampleSettings = DEFAULTS, draws: Draws = None
    ) -> Batch:
        self.check(settings)
        return Batch(self.mean(n, condition))


def regression(model: RoboticsModel, prepared: Prepared[ChunkCodec]) -> RoboticsModel:
    """The regression that a model is compared with: its network, data and batch size; cached."""
    recipe, codec = replace(model.recipe, sample=DEFAULTS), model.codec
    steps = min(STEPS, recipe.train.steps)
    config = TrainConfig(steps=steps, batch_size=recipe.train.batch_size, learning_rate=1e-3, checkpoint_every=steps,
                         log_every=steps)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        family = Regression(recipe.family, codec.space, codec.conditions)
    data = prepared.train
    parts = (recipe.family.sampling_network, recipe.family.conditioning, config, data.x, data.condition[CONDITION])
    weights = cached("robotics regression", VERSION, parts, lambda: _trained(family, data, config))
    family.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in weights.items()})
    return Model(recipe=recipe, codec=codec, family=family, device=family.device)


def _trained(family: Regression, data: ArrayData, config: TrainConfig) -> dict[str, np.ndarray]:
    """The weights after training in a folder that is thrown away."""
    with tempfile.TemporaryDirectory() as folder:
        train(family, data, config, Path(folder), seed=0)
    return {name: value.cpu().numpy() for name, value in family.state_dict().items()}
