"""The honest baselines of policies: regression of the action chunk, at once or in two steps."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from apps.robotics.codec import ChunkCodec
from apps.robotics.model import RoboticsModel
from core.batches import Batch
from core.conditions import ConditionSpec
from core.data.arrays import ArrayData
from core.data.cache import cached
from core.errors import FourfoldError, require
from core.families.family import DEFAULTS, Condition, Family, FamilyConfig, Loss, SampleSettings
from core.networks import ConvConfig, MLPConfig, NetworkConfig, TransformerConfig, UNetConfig
from core.networks.conditioning import Conditioner, Conditioning, ConditioningConfig
from core.networks.layers import NoiseEmbedding
from core.runs.domain import Prepared
from core.runs.model import Model
from core.seeds import Draws
from core.spaces import Continuous, Space
from core.training.config import TrainConfig
from core.training.loop import train

VERSION = 3
STEPS = 1500
"""Optimiser steps of the regression at most; its loss is flat long before."""


@dataclass(frozen=True, kw_only=True)
class RegressionConfig(FamilyConfig):
    """Behaviour cloning by regression.

    Attributes:
        network: from arrays to arrays.
        refine: 0: the network's own input is zero, and what it makes of it is the chunk. In (0, 1): it is then given
            this share of that chunk, and makes a better one of it: the minimal iterative policy (MIP) of "Much Ado
            About Noising" (2512.01809), whose authors take 0.9.
    """

    network: MLPConfig | TransformerConfig | UNetConfig
    refine: float = 0.0
    conditioning: ConditioningConfig = field(default_factory=lambda: ConditioningConfig(dropout=0.0))

    def __post_init__(self) -> None:
        require(0 <= self.refine < 1, "refine", self.refine, "must be in [0, 1)")

    @property
    def sampling_network(self) -> NetworkConfig:
        return self.network

    def build(self, space: Space, conditions: Mapping[str, ConditionSpec]) -> Regression:
        if not isinstance(space, Continuous):
            raise FourfoldError("regression is of arrays, and the data are tokens: use an autoregressive model")
        return Regression(self.network, self.conditioning, space, conditions, self.refine)


class Regression(Family):
    """E[x | condition] by mean squared error. All its samples are that mean."""

    def __init__(
        self, network: NetworkConfig, conditioning: ConditioningConfig, space: Continuous,
        conditions: Mapping[str, ConditionSpec], refine: float = 0.0,
    ) -> None:
        super().__init__()
        self.space, self.refine = space, refine
        if isinstance(network, ConvConfig):
            raise FourfoldError("regression needs a network from arrays to arrays, which a ConvConfig does not make")
        self.conditioner = Conditioner(conditions, conditioning)
        self.share_embedding = NoiseEmbedding(conditioning.width) if refine else None
        self.network: nn.Module = network.field(space, cond_width=conditioning.width)

    def passes(self, settings: SampleSettings) -> int:
        return 2 if self.refine else 1

    def forward(self, batch: Batch, player: str = "model", progress: float = 1.0) -> Loss:
        """The squared error from nothing; with `refine` also from a share of the data and noise (MIP)."""
        condition = self.conditioner(batch.condition, len(batch))
        error = (self.guess(torch.zeros_like(batch.x), 0.0, condition) - batch.x).square().mean()
        if self.refine:
            noised = self.refine * batch.x + (1 - self.refine) * torch.randn_like(batch.x)
            error = error + (self.guess(noised, self.refine, condition) - batch.x).square().mean()
        return Loss(error)

    def guess(self, x: Tensor, share: float, condition: Conditioning) -> Tensor:
        """The chunks `[n, *shape]` that the network makes of x, of which `share` is data."""
        if self.share_embedding is not None:
            told = self.share_embedding(torch.full((len(x),), share, device=x.device))
            condition = replace(condition, vector=told if condition.vector is None else condition.vector + told)
        made: Tensor = self.network(x, condition)
        return made.float()

    @torch.no_grad()
    def sample(
        self, n: int, condition: Condition | None = None, *, settings: SampleSettings = DEFAULTS, draws: Draws = None
    ) -> Batch:
        self.check(settings)
        given = self.conditioner(condition, n)
        x = self.guess(torch.zeros(n, *self.space.shape, device=self.device), 0.0, given)
        return Batch(self.guess(self.refine * x, self.refine, given) if self.refine else x)


def regression(model: RoboticsModel, prepared: Prepared[ChunkCodec]) -> RoboticsModel:
    """The regression that a model is compared with: its network, data and batch size; cached."""
    recipe, codec = replace(model.recipe, sample=DEFAULTS), model.codec
    steps = min(STEPS, recipe.train.steps)
    config = TrainConfig(steps=steps, batch_size=recipe.train.batch_size, learning_rate=1e-3, checkpoint_every=steps,
                         log_every=steps)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        family = Regression(recipe.family.sampling_network, recipe.family.conditioning, codec.space, codec.conditions)
    data = prepared.train
    parts = (recipe.family.sampling_network, recipe.family.conditioning, config, data.x, *data.condition.values())
    weights = cached("robotics regression", VERSION, parts, lambda: _trained(family, data, config))
    family.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in weights.items()})
    return Model(recipe=recipe, codec=codec, family=family, device=family.device)


def _trained(family: Regression, data: ArrayData, config: TrainConfig) -> dict[str, np.ndarray]:
    """The weights after training in a folder that is thrown away."""
    with tempfile.TemporaryDirectory() as folder:
        train(family, data, config, Path(folder), seed=0)
    return {name: value.cpu().numpy() for name, value in family.state_dict().items()}
