"""Corruption processes of diffusion: two Gaussian ones for arrays, masking for tokens.

Flow matching and EDM are one thing in the coordinates of Karras et al. (2206.00364): noise is added to clean
data, `x = x0 + sigma * noise`, and a raw network F becomes a denoiser by four coefficients,

    D(x; sigma) = c_skip(sigma) x + c_out(sigma) F(c_in(sigma) x; c_noise(sigma))          (their eq. 7)

trained with weight 1 / c_out^2, so that F always regresses a target of unit scale. They differ in the
coefficients, in which noise levels training sees and in which levels a sampler visits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from core.errors import require


@dataclass(frozen=True, kw_only=True)
class Coefficients:
    """The preconditioning at given noise levels, each of sigma's shape."""

    skip: Tensor
    out: Tensor
    input: Tensor


@dataclass(frozen=True, kw_only=True)
class EDM:
    """Karras et al. (2206.00364), table 1: unit-variance inputs and targets, log-normal training noise.

    `sigma_data` is the data's standard deviation; `log_mean`, `log_std` are of log sigma in training.
    """

    sigma_data: float = 0.5
    log_mean: float = -1.2
    log_std: float = 1.2
    sigma_min: float = 0.002
    sigma_max: float = 80.0

    def __post_init__(self) -> None:
        _check_levels(self)

    def coefficients(self, sigma: Tensor) -> Coefficients:
        """Table 1's c_skip, c_out, c_in."""
        total = sigma.square() + self.sigma_data**2
        return Coefficients(
            skip=self.sigma_data**2 / total, out=sigma * self.sigma_data / total.sqrt(), input=total.rsqrt()
        )

    def sigmas(self, num_steps: int) -> Tensor:
        """Levels `[num_steps + 1]` from sigma_max to 0, eq. 5 with rho = 7."""
        if num_steps == 1:
            return torch.tensor([self.sigma_max, 0.0])
        ramp = torch.linspace(0, 1, num_steps, dtype=torch.float64)
        high, low = self.sigma_max ** (1 / 7), self.sigma_min ** (1 / 7)
        return torch.cat([(high + ramp * (low - high)) ** 7, torch.zeros(1)]).float()


@dataclass(frozen=True, kw_only=True)
class FlowMatching:
    """Straight paths x_t = (1 - t) x0 + t noise (Lipman et al. 2210.02747), with sigma = t / (1 - t).

    Dividing x_t by 1 - t gives x0 + sigma * noise: predicting the velocity noise - x0 is the preconditioning
    c_in = c_skip = 1 / (1 + sigma), c_out = -sigma / (1 + sigma). A logit-normal t (Esser et al. 2403.03206)
    is a log-normal sigma.
    """

    log_mean: float = 0.0
    log_std: float = 1.0
    sigma_data: float = 1.0
    sigma_min: float = 0.002
    sigma_max: float = 80.0

    def __post_init__(self) -> None:
        _check_levels(self)

    def coefficients(self, sigma: Tensor) -> Coefficients:
        """The velocity parameterisation in sigma's coordinates."""
        inverse = 1 / (1 + sigma)
        return Coefficients(skip=inverse, out=-sigma * inverse, input=inverse)

    def sigmas(self, num_steps: int) -> Tensor:
        """Levels `[num_steps + 1]` from sigma_max to 0, evenly spaced in t."""
        t_max = self.sigma_max / (1 + self.sigma_max)
        t = torch.linspace(t_max, 0, num_steps + 1, dtype=torch.float64)
        return (t / (1 - t)).float()


@dataclass(frozen=True, kw_only=True)
class Masking:
    """Absorbing-state diffusion of tokens (MDLM, Sahoo et al. 2406.07524): tokens vanish one by one in random order."""


GaussianProcess = EDM | FlowMatching
Process = EDM | FlowMatching | Masking


def training_sigmas(process: GaussianProcess, n: int, device: torch.device) -> Tensor:
    """`n` log-normal noise levels, stratified over the batch: one draw in each n-th of the distribution."""
    uniform = (torch.randperm(n, device=device) + torch.rand(n, device=device)) / n
    normal = math.sqrt(2) * torch.erfinv((2 * uniform - 1).clamp(-1 + 1e-6, 1 - 1e-6))
    return (process.log_mean + process.log_std * normal).exp()


def _check_levels(process: GaussianProcess) -> None:
    require(process.sigma_data > 0, "process.sigma_data", process.sigma_data, "must be positive")
    require(process.log_std > 0, "process.log_std", process.log_std, "must be positive")
    require(
        0 < process.sigma_min < process.sigma_max, "process.sigma_min", process.sigma_min, "must be in (0, sigma_max)"
    )
