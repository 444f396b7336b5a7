"""Training by a reward: REINVENT's augmented likelihood (Olivecrona et al. 1704.07555), of families with an exact one.

A sequence's log-likelihood under the agent moves towards that under the prior plus `sigma` times its reward, which is
in [0, 1]: what is rewarded becomes likelier, what the prior finds unlikely stays so.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from core.batches import Batch
from core.errors import FourfoldError
from core.families.family import Family
from core.training.checkpoint import fill
from core.training.config import TrainConfig
from core.training.optimizers import PlayerOptimizer


@dataclass(frozen=True)
class RewardConfig:
    """`sigma`: nats that a reward of 1 is worth; the optimiser's learning rate and largest gradient norm."""

    sigma: float = 500.0
    learning_rate: float = 5e-4
    clip: float = 100.0


class Agent:
    """A copy of `prior` that is trained by rewards; the prior stays as it is.

    Raises:
        Unsupported: at its first step, if the family has no exact likelihood.
    """

    def __init__(self, prior: Family, config: RewardConfig) -> None:
        self.prior, self.config = prior.eval(), config
        self.family = deepcopy(prior).requires_grad_(True).eval()  # without dropout: likelihoods are compared
        settings = TrainConfig(learning_rate=config.learning_rate, weight_decay=0.0, betas=(0.9, 0.999))
        self.optimizer = PlayerOptimizer(self.family.named_parameters(), settings)

    def step(self, batch: Batch, reward: Tensor) -> float:
        """One update on sequences and their rewards `[B]`; returns the mean squared error in nats^2 before it.

        Raises:
            FourfoldError: the loss is not finite.
        """
        batch = batch.to(self.family.device)
        with torch.no_grad():
            wanted = self.prior.nll(batch) - self.config.sigma * reward.to(self.family.device)
        self.optimizer.zero_grad()
        loss = (self.family.nll(batch) - wanted).square().mean()
        torch.autograd.backward([loss])
        norm = get_total_norm(self.optimizer.gradients())
        if not bool(torch.isfinite(norm + loss)):
            raise FourfoldError("the agent's loss is not finite: lower the learning rate")
        clip_grads_with_norm_(self.optimizer.parameters, self.config.clip, norm)
        self.optimizer.step(self.config.learning_rate, torch.zeros((), device=loss.device))
        # A fused optimiser writes weights without counting it; decoding keeps what it has laid out until they change.
        torch.autograd.graph.increment_version(self.optimizer.parameters)
        return loss.item()

    def state(self) -> dict[str, Tensor]:
        """All that going on takes: weights and the optimiser's memory."""
        return {f"family/{name}": value for name, value in self.family.state_dict().items()} | {
            f"optimizer/{name}": value for name, value in self.optimizer.state().items()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take up what `state` returned.

        Raises:
            FourfoldError: it is of another model.
        """
        parts: dict[str, dict[str, Tensor]] = {"family": {}, "optimizer": {}}
        for name, value in state.items():
            kind, _, rest = name.partition("/")
            parts[kind][rest] = value
        fill(self.family, parts["family"], "the search's checkpoint")
        self.optimizer.load(parts["optimizer"])
