"""Samplers of continuous diffusion: functions of a denoiser, a starting point and noise levels.

A denoiser is `D(x [B, ...], sigma []) -> x0 [B, ...]`, the mean of clean data given x = x0 + sigma * noise. Samplers
take x `[B, ...]` at noise level sigmas[0] to sigmas[-1], which may be 0; `sigmas` `[steps + 1]` decrease. They solve
the probability-flow ODE of Karras et al. (2206.00364), eq. 1 with sigma(t) = t,

    dx / d sigma = (x - D(x; sigma)) / sigma;

`ancestral` solves the SDE instead, with noise from `draws`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from core.seeds import Draws, normal

Denoiser = Callable[[Tensor, Tensor], Tensor]
LONGEST_STEP = 8
"""Of Heun's method: the ratio of a step's noise levels."""


def euler(denoiser: Denoiser, x: Tensor, sigmas: Tensor, draws: Draws = None) -> Tensor:
    """Euler's method, first order: the same as DDIM with eta = 0 (2010.02502). One network evaluation a step."""
    for sigma, following in zip(sigmas[:-1], sigmas[1:], strict=True):
        x = x + (following - sigma) * (x - denoiser(x, sigma)) / sigma
    return x


def heun(denoiser: Denoiser, x: Tensor, sigmas: Tensor, draws: Draws = None) -> Tensor:
    """Heun's method, second order (Karras et al., algorithm 1): two evaluations a step, one in a last step to 0.

    A step to less than an eighth of its level is Euler's: the slope at its end is another one altogether there, and
    the mean of both would keep half of the noise (of digits in 2 to 6 steps, only that was to be seen).
    """
    for sigma, following in zip(sigmas[:-1], sigmas[1:], strict=True):
        slope = (x - denoiser(x, sigma)) / sigma
        ahead = x + (following - sigma) * slope
        if sigma <= LONGEST_STEP * following:
            slope = (slope + (ahead - denoiser(ahead, following)) / following) / 2
            ahead = x + (following - sigma) * slope
        x = ahead
    return x


def dpmpp_2m(denoiser: Denoiser, x: Tensor, sigmas: Tensor, draws: Draws = None) -> Tensor:
    """DPM-Solver++(2M) (Lu et al. 2211.01095, algorithm 2): second order, from the last two outputs of the denoiser.

    A step to sigma = 0 is first order, as the second-order formula has no limit there. One evaluation a step.
    """
    previous, last_step = None, 0.0
    for sigma, following in zip(sigmas[:-1].tolist(), sigmas[1:].tolist(), strict=True):
        denoised = denoiser(x, x.new_tensor(sigma))
        if following == 0:
            return denoised
        step = math.log(sigma / following)
        estimate = denoised
        if previous is not None:
            ratio = last_step / step
            estimate = denoised + (denoised - previous) / (2 * ratio)
        x = (following / sigma) * x - math.expm1(-step) * estimate
        previous, last_step = denoised, step
    return x


def ancestral(denoiser: Denoiser, x: Tensor, sigmas: Tensor, draws: Draws = None) -> Tensor:
    """The reverse SDE, as DDPM (2006.11239): a step to a level below the next, then noise up to it."""
    for sigma, following in zip(sigmas[:-1], sigmas[1:], strict=True):
        up = following * (1 - (following / sigma) ** 2).clamp(min=0).sqrt()
        down = following**2 / sigma
        x = x + (down - sigma) * (x - denoiser(x, sigma)) / sigma
        if following > 0:
            x = x + up * normal(draws, x.shape, x.device).to(x.dtype)
    return x


def filled(denoiser: Denoiser, known: Tensor, sigmas: Tensor, draws: Draws = None, repeats: int = 8) -> Tensor:
    """Arrays like `known` `[B, ...]`, drawn where it is NaN (RePaint, Lugmayr et al. 2201.09865).

    What is known is put in its place at each level, noised anew; each step of `ancestral` is taken `repeats` times, and
    back up by noise in between, so that what is drawn comes to agree with what is known.
    """
    x, free = sigmas[0] * normal(draws, known.shape, known.device), known.isnan()
    for sigma, following in zip(sigmas[:-1], sigmas[1:], strict=True):
        for turn in range(repeats if following > 0 else 1):
            if turn:
                back = (sigma**2 - following**2).sqrt()
                x = x + back * normal(draws, x.shape, x.device)
            x = torch.where(free, x, known + sigma * normal(draws, x.shape, x.device))
            x = ancestral(denoiser, x, torch.stack([sigma, following]), draws)
    return torch.where(free, x, known)


Solver = Callable[[Denoiser, Tensor, Tensor, Draws], Tensor]
SOLVERS: dict[str, Solver] = {"euler": euler, "heun": heun, "dpmpp_2m": dpmpp_2m, "ancestral": ancestral}


def guided(
    conditional: Denoiser, unconditional: Denoiser, scale: float, interval: tuple[float, float] | None = None
) -> Denoiser:
    """Classifier-free guidance (Ho & Salimans 2207.12598): unconditional + scale * (conditional - unconditional).

    Only at noise levels in `interval` (2404.07724), where one is given; elsewhere, the conditional denoiser.
    """

    def denoiser(x: Tensor, sigma: Tensor) -> Tensor:
        with_condition = conditional(x, sigma)
        if scale == 1 or (interval is not None and not interval[0] <= float(sigma) <= interval[1]):
            return with_condition
        without = unconditional(x, sigma)
        return without + scale * (with_condition - without)

    return denoiser


def flow_log_prob(
    denoiser: Denoiser, x: Tensor, sigmas: Tensor, prior_std: float, generator: torch.Generator | None = None
) -> Tensor:
    """log p(x) `[B]`, in nats, of x `[B, ...]` under the probability-flow ODE, by the change of variables.

    `sigmas` increase: the fourth-order Runge-Kutta method integrates over log sigma from sigmas[0] > 0 to sigmas[-1],
    where x is N(0, prior_std^2). The divergence is Hutchinson's unbiased estimate with one Rademacher probe for each
    example (FFJORD, 1810.01367), which is exact where the denoiser's Jacobian is diagonal.
    """
    probe = torch.randint(0, 2, x.shape, generator=generator, device=x.device).to(x.dtype) * 2 - 1

    def slope_and_divergence(x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            slope = x - denoiser(x, sigma)  # dx / d log sigma
            (product,) = torch.autograd.grad((slope * probe).sum(), x)
        return slope.detach(), (product * probe).flatten(1).sum(1)

    change = torch.zeros(len(x), device=x.device, dtype=x.dtype)
    for sigma, following in zip(sigmas[:-1], sigmas[1:], strict=True):
        step, middle = torch.log(following / sigma), (sigma * following).sqrt()
        slope1, divergence1 = slope_and_divergence(x, sigma)
        slope2, divergence2 = slope_and_divergence(x + step / 2 * slope1, middle)
        slope3, divergence3 = slope_and_divergence(x + step / 2 * slope2, middle)
        slope4, divergence4 = slope_and_divergence(x + step * slope3, following)
        x = x + step / 6 * (slope1 + 2 * slope2 + 2 * slope3 + slope4)
        change = change + step / 6 * (divergence1 + 2 * divergence2 + 2 * divergence3 + divergence4)
    dims = x[0].numel()
    prior = -x.flatten(1).square().sum(1) / (2 * prior_std**2) - dims * math.log(prior_std * math.sqrt(2 * math.pi))
    return prior + change
