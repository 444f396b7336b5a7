"""Samplers against theory, against diffusers' schedulers, and the flow's likelihood against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from core.families.diffusion import Diffusion, DiffusionConfig
from core.families.family import SampleSettings
from core.families.processes import EDM, FlowMatching
from core.networks import MLPConfig
from core.samplers.ode import SOLVERS, ancestral, dpmpp_2m, euler, flow_log_prob, guided, heun
from core.samplers.tokens import draw, generate, truncate
from core.samplers.unmask import unmask
from core.spaces import Continuous

MEAN, STD = 0.4, 0.7


def gaussian_denoiser(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """The exact E[x0 | x] for data N(MEAN, STD^2)."""
    return MEAN + STD**2 / (STD**2 + sigma**2) * (x - MEAN)


def exact_flow(x: torch.Tensor, high: float, low: float) -> torch.Tensor:
    """The probability-flow ODE's solution for that data."""
    return MEAN + (x - MEAN) * math.sqrt((STD**2 + low**2) / (STD**2 + high**2))


@pytest.mark.parametrize(("solver", "order"), [(euler, 1), (heun, 2), (dpmpp_2m, 2)])
def test_measured_order_matches_theory(solver, order):
    x = torch.linspace(-20, 20, 41, dtype=torch.float64)
    errors = []
    for steps in (40, 80, 160):
        sigmas = torch.logspace(1, -1, steps + 1, dtype=torch.float64)
        errors.append((solver(gaussian_denoiser, x, sigmas) - exact_flow(x, 10, 0.1)).abs().max().item())
    slopes = np.diff(np.log(errors)) / math.log(0.5)
    assert np.all(np.abs(slopes - order) < 0.25), slopes


def test_ancestral_sampling_reaches_the_data_distribution():
    generator = torch.Generator().manual_seed(0)
    x = 80 * torch.randn(20_000, generator=generator)
    out = ancestral(gaussian_denoiser, x, EDM().sigmas(400), generator)
    assert abs(out.mean().item() - MEAN) < 0.02
    assert abs(out.std().item() - STD) < 0.02


@pytest.mark.parametrize("process", [EDM(), FlowMatching()])
@pytest.mark.parametrize("name", SOLVERS)
def test_every_solver_and_schedule_reaches_the_data_distribution(process, name):
    generator = torch.Generator().manual_seed(0)
    x = math.hypot(80, STD) * torch.randn(20_000, generator=generator)
    out = SOLVERS[name](gaussian_denoiser, x, process.sigmas(100), generator)
    assert abs(out.mean().item() - MEAN) < 0.03
    assert abs(out.std().item() - STD) < 0.05


@pytest.mark.parametrize("process", [EDM(), FlowMatching()])
@pytest.mark.parametrize("steps", range(1, 13))
def test_heun_is_no_worse_than_euler_however_few_the_steps(process, steps):
    x = math.hypot(80, STD) * torch.linspace(-3, 3, 201, dtype=torch.float64)
    sigmas, exact = process.sigmas(steps).double(), exact_flow(x, 80, 0)
    error, plain = ((solver(gaussian_denoiser, x, sigmas) - exact).abs().max() for solver in (heun, euler))
    assert error <= 1.05 * plain, "half of the noise would be left"


def diffusers_run(scheduler, x: torch.Tensor, steps: int, raw) -> torch.Tensor:
    """Sample with a diffusers scheduler whose model output is `raw(sample, sigma)`."""
    scheduler.set_timesteps(steps)
    for timestep in scheduler.timesteps:
        if scheduler.step_index is None:
            scheduler._init_step_index(timestep)
        sigma = scheduler.sigmas[scheduler.step_index].double()
        x = scheduler.step(raw(x, sigma), timestep, x).prev_sample
    return x


def mixture_denoiser(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """E[x0 | x] of two equal spikes at -1 and 1: not linear, as real denoisers are not."""
    return torch.tanh(x / sigma**2)


def edm_raw(process: EDM):
    def raw(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        c = process.coefficients(sigma)
        return (mixture_denoiser(x, sigma) - c.skip * x) / c.out

    return raw


def test_euler_and_dpmpp_agree_with_diffusers():
    diffusers = pytest.importorskip("diffusers")
    process, steps = EDM(), 12
    arguments = {"sigma_min": process.sigma_min, "sigma_max": process.sigma_max, "sigma_data": process.sigma_data}
    x = 80 * torch.randn(64, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    peers = {
        euler: diffusers.EDMEulerScheduler(**arguments),
        dpmpp_2m: diffusers.EDMDPMSolverMultistepScheduler(**arguments, solver_order=2, final_sigmas_type="zero"),
    }
    for solver, scheduler in peers.items():
        theirs = diffusers_run(scheduler, x, steps, edm_raw(process))
        ours = solver(mixture_denoiser, x, scheduler.sigmas.double())
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(process.sigmas(steps), peers[euler].sigmas, rtol=1e-4, atol=1e-6)


def test_heun_agrees_with_diffusers():
    diffusers = pytest.importorskip("diffusers")
    scheduler = diffusers.HeunDiscreteScheduler(beta_schedule="scaled_linear", prediction_type="epsilon")
    scheduler.set_timesteps(10)
    levels = torch.unique_consecutive(scheduler.sigmas.double())
    x = float(levels[0]) * torch.randn(64, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    theirs = diffusers_run(scheduler, x, 10, lambda x, sigma: (x - mixture_denoiser(x, sigma)) / sigma)
    torch.testing.assert_close(heun(mixture_denoiser, x, levels), theirs, rtol=1e-4, atol=1e-4)


def test_flow_log_prob_of_a_gaussian_equals_the_closed_form():
    x = STD * torch.randn(200, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    sigmas = torch.logspace(-3, math.log10(80), 65, dtype=torch.float64)
    # Centred data: the flow's prior is centred, as the samplers' start is.
    ours = flow_log_prob(lambda x, sigma: gaussian_denoiser(x + MEAN, sigma) - MEAN, x, sigmas, math.hypot(80, STD))
    exact = torch.distributions.Normal(0, math.hypot(STD, 1e-3)).log_prob(x).sum(1)
    torch.testing.assert_close(ours, exact, rtol=0, atol=2e-3)


def test_guidance_acts_only_in_its_interval():
    def zero(x, sigma):
        return torch.zeros_like(x)

    def one(x, sigma):
        return torch.ones_like(x)

    denoiser = guided(one, zero, 3.0, (1.0, 10.0))
    x = torch.zeros(2)
    assert denoiser(x, torch.tensor(5.0)).eq(3).all()
    assert denoiser(x, torch.tensor(0.5)).eq(1).all()


def test_truncations_keep_what_they_say():
    logits = torch.tensor([[0.5, 0.25, 0.15, 0.1]]).log()

    def kept(**settings):
        return truncate(logits, **settings).isfinite()[0].tolist()

    assert kept() == [True] * 4
    assert kept(top_k=2) == [True, True, False, False]
    assert kept(top_p=0.7) == [True, True, False, False]
    assert kept(top_p=0.76) == [True, True, True, False]
    assert kept(min_p=0.3) == [True, True, True, False]
    cold = truncate(logits, temperature=0.5).softmax(-1)
    torch.testing.assert_close(cold, logits.exp() ** 2 / (logits.exp() ** 2).sum())


def test_draw_follows_the_distribution():
    probability = torch.tensor([0.7, 0.2, 0.1])
    tokens = draw(probability.log().expand(50_000, 3), torch.Generator().manual_seed(0))
    share = torch.bincount(tokens, minlength=3) / 50_000
    torch.testing.assert_close(share, probability, rtol=0, atol=0.01)


def test_generate_stops_at_eos_and_masks_what_follows():
    script = torch.tensor([[1, 2, 0, 1], [0, 1, 1, 1]])
    calls = iter(range(100))

    def next_logits(fresh):
        return torch.nn.functional.one_hot(script[:, next(calls)], 3).float() * 1e4

    tokens, mask = generate(next_logits, torch.zeros(2, 1, dtype=torch.long), 4, eos=0)
    assert tokens.tolist() == [[1, 2, 0, 0], [0, 0, 0, 0]]
    assert mask.tolist() == [[True, True, True, False], [True, False, False, False]]


@pytest.mark.parametrize("num_steps", [1, 3, 7, 20])
def test_unmasking_fills_every_hidden_position_and_only_those(num_steps):
    tokens = torch.full((5, 7), 9)
    tokens[:, 2] = 4
    hidden = tokens == 9
    seen = []

    def logits_of(tokens):
        seen.append((tokens == 9).sum(1))
        return torch.zeros(*tokens.shape, 3)

    filled = unmask(logits_of, tokens, hidden, num_steps, draws=torch.Generator().manual_seed(0))
    assert (filled[:, 2] == 4).all() and (filled[hidden] < 3).all()
    if num_steps >= 6:  # one at a time, as the exact reverse process
        assert max((a - b).max() for a, b in zip(seen, seen[1:], strict=False)) <= 1


def test_filling_follows_what_is_known() -> None:
    family = DiffusionConfig(denoiser=MLPConfig(width=8, depth=1), process=EDM(sigma_data=1.0)).build(
        Continuous(shape=(2,)), {})
    assert isinstance(family, Diffusion)
    covariance = torch.tensor([[1.0, 0.95], [0.95, 1.0]])

    def exact(x: torch.Tensor, sigma: torch.Tensor, cond: object) -> torch.Tensor:  # the denoiser of a Gaussian
        return x @ torch.linalg.inv(covariance + sigma[0] ** 2 * torch.eye(2)) @ covariance

    family.denoise = exact  # type: ignore[method-assign]
    known = torch.tensor([[1.5, math.nan]]).repeat(400, 1)
    made = family.fill(known, settings=SampleSettings(num_steps=40), draws=torch.Generator().manual_seed(0)).x
    assert (made[:, 0] == 1.5).all()
    assert 1.3 < made[:, 1].mean() < 1.5 and 0.2 < made[:, 1].std() < 0.4  # exact: 1.43 and 0.31
