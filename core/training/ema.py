"""The moving average of a family's weights, which is what samples are drawn with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn


def decay_of(step: int, limit: float) -> float:
    """The average's decay after update `step` (from 0): small at first, so that the first, poor weights fade at once.

    `min(limit, (1 + step) / (10 + step))`, as TensorFlow's ExponentialMovingAverage warms up.
    """
    return min(limit, (1 + step) / (10 + step))


class Average:
    """Exponential moving average of named parameters: `a <- d a + (1 - d) p`, with d of `decay_of`."""

    def __init__(self, parameters: Iterable[tuple[str, nn.Parameter]], limit: float) -> None:
        """`limit`: the decay's largest value in [0, 1); 0 keeps no average."""
        self.limit = limit
        self.parameters = dict(parameters) if limit > 0 else {}
        self.values: dict[str, Tensor] = {name: p.detach().clone() for name, p in self.parameters.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move towards the weights after optimiser step `step` (from 0)."""
        if self.values:
            weights = [p.detach() for p in self.parameters.values()]
            torch._foreach_lerp_(list(self.values.values()), weights, 1 - decay_of(step, self.limit))

    @torch.no_grad()
    def apply(self) -> None:
        """Make the averages the weights."""
        for name, parameter in self.parameters.items():
            parameter.copy_(self.values[name])

    def load(self, values: Mapping[str, Tensor]) -> None:
        """Take up saved averages.

        Raises:
            KeyError, RuntimeError: they are of other parameters.
        """
        for name, value in self.values.items():
            value.copy_(values[name])

    def merged(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """`state` (a family's state_dict) with averaged parameters in place of the trained ones."""
        return {name: self.values.get(name, value) for name, value in state.items()}
