"""Distributions of data given a network's outputs: Bernoulli, Gaussian, discretised logistic mixtures, categorical.

Those of arrays take parameters `[B, channels(C), *S]` for data `[B, C, *S]`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, logsigmoid, softplus

from core.errors import require
from core.seeds import Draws, normal, uniform


@dataclass(frozen=True, kw_only=True)
class Bernoulli:
    """Data with values -1 and 1; the parameter is the logit of 1."""

    def channels(self, c: int) -> int:
        """The number of parameter channels for data of `c` channels."""
        return c

    def nll(self, parameters: Tensor, x: Tensor) -> Tensor:
        """-log p(x | parameters) in nats `[B]`."""
        return softplus(-parameters * x).flatten(1).sum(1)

    def mean(self, parameters: Tensor) -> Tensor:
        """The expectation `[B, C, *S]`, in [-1, 1]."""
        return torch.tanh(parameters / 2)

    def draw(self, parameters: Tensor, draws: Draws = None) -> Tensor:
        """A sample `[B, C, *S]`."""
        chance = uniform(draws, parameters.shape, parameters.device)
        return torch.where(chance < parameters.sigmoid(), 1.0, -1.0)


@dataclass(frozen=True, kw_only=True)
class Gaussian:
    """Real-valued data: a density, with a mean and a standard deviation for each number.

    `min_std`: lower bound of the standard deviation, without which the density grows unbounded where data repeat.
    """

    min_std: float = 0.01

    def __post_init__(self) -> None:
        require(self.min_std > 0, "likelihood.min_std", self.min_std, "must be positive")

    def channels(self, c: int) -> int:
        """The number of parameter channels for data of `c` channels."""
        return 2 * c

    def _split(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        mean, raw = parameters.chunk(2, dim=1)
        return mean, self.min_std + softplus(raw)

    def nll(self, parameters: Tensor, x: Tensor) -> Tensor:
        """-log p(x | parameters) in nats `[B]`."""
        mean, std = self._split(parameters)
        return (0.5 * ((x - mean) / std).square() + std.log() + 0.5 * math.log(2 * math.pi)).flatten(1).sum(1)

    def mean(self, parameters: Tensor) -> Tensor:
        """The expectation `[B, C, *S]`."""
        return self._split(parameters)[0]

    def draw(self, parameters: Tensor, draws: Draws = None) -> Tensor:
        """A sample `[B, C, *S]`."""
        mean, std = self._split(parameters)
        return mean + std * normal(draws, mean.shape, mean.device)


@dataclass(frozen=True, kw_only=True)
class LogisticMixture:
    """Data on `levels` evenly spaced values from -1 to 1: mixtures of discretised logistics (PixelCNN++, 1701.05517).

    The probability of a value is the mixture's mass within half a step of it; the first and last values also have
    all mass beyond, so that the probabilities sum to one.
    """

    levels: int
    components: int = 5

    def __post_init__(self) -> None:
        require(self.levels >= 2, "likelihood.levels", self.levels, "must be at least 2")
        require(self.components >= 1, "likelihood.components", self.components, "must be at least 1")

    def channels(self, c: int) -> int:
        """The number of parameter channels for data of `c` channels."""
        return 3 * self.components * c

    def _split(self, parameters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log weights, means and log scales, `[B, C, K, *S]` each."""
        shape = (len(parameters), -1, 3 * self.components, *parameters.shape[2:])
        logits, means, log_scales = parameters.reshape(shape).chunk(3, dim=2)
        # Means are spread over the range at initialisation, so that the components differ.
        spread = torch.linspace(-1, 1, self.components + 2, device=parameters.device)[1:-1]
        means = means + spread.view(-1, *[1] * (means.ndim - 3))
        return logits.log_softmax(2), means, (log_scales - 1.5).clamp(-7.0, 7.0)

    def nll(self, parameters: Tensor, x: Tensor) -> Tensor:
        """-log p(x | parameters) in nats `[B]`."""
        log_weights, means, log_scales = self._split(parameters)
        x = x[:, :, None]
        half = 1 / (self.levels - 1)
        inverse = (-log_scales).exp()
        high, low = inverse * (x - means + half), inverse * (x - means - half)
        below, above = logsigmoid(high), logsigmoid(-low)
        # log(sigmoid(high) - sigmoid(low)) without cancellation, as a product of two tails and 1 - exp(low - high).
        inside = below + above + torch.log(-torch.expm1(-2 * half * inverse))
        log_prob = torch.where(x < -1 + half, below, torch.where(x > 1 - half, above, inside))
        return -(log_weights + log_prob).logsumexp(2).flatten(1).sum(1)

    def mean(self, parameters: Tensor) -> Tensor:
        """The mixture's mean, with the components' means clipped to [-1, 1]: an approximation of the expectation."""
        log_weights, means, _ = self._split(parameters)
        return (log_weights.exp() * means.clamp(-1, 1)).sum(2)

    def draw(self, parameters: Tensor, draws: Draws = None) -> Tensor:
        """A sample, rounded to a level."""
        log_weights, means, log_scales = self._split(parameters)
        device = parameters.device
        chance = uniform(draws, log_weights.shape, device).clamp(1e-6, 1 - 1e-6)
        chosen = (log_weights - torch.log(-torch.log(chance))).argmax(2, keepdim=True)
        mean, log_scale = means.gather(2, chosen).squeeze(2), log_scales.gather(2, chosen).squeeze(2)
        chance = uniform(draws, mean.shape, device).clamp(1e-6, 1 - 1e-6)
        x = mean + log_scale.exp() * chance.logit()
        step = 2 / (self.levels - 1)
        return ((x.clamp(-1, 1) + 1) / step).round() * step - 1


def categorical_nll(logits: Tensor, x: Tensor, mask: Tensor | None = None, smoothing: float = 0.0) -> Tensor:
    """Nats `[B]` of tokens x `[B, T]` under logits `[B, T, V]`, summed over positions where `mask` `[B, T]` is True.

    `smoothing`: label smoothing for training, the share of each target that is spread over all tokens (1512.00567).
    """
    # Flattened to [B * T, V]: a softmax over the middle axis of [B, V, T] is slower.
    nll = cross_entropy(logits.float().flatten(0, 1), x.flatten(), reduction="none", label_smoothing=smoothing)
    nll = nll.view(x.shape)
    return (nll if mask is None else nll * mask).sum(1)
