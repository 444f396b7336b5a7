"""Likelihoods are exact: they equal torch.distributions, and sum to one where they are probabilities."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Bernoulli as TorchBernoulli
from torch.distributions import Independent, Normal

from core.errors import FourfoldError
from core.likelihood import Bernoulli, Gaussian, LogisticMixture, categorical_nll


def parameters(likelihood, c: int = 2, size: tuple[int, ...] = (3, 4), n: int = 5, scale: float = 2.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return scale * torch.randn(n, likelihood.channels(c), *size, generator=generator)


def test_bernoulli_equals_torch():
    p = parameters(Bernoulli())
    bits = torch.randint(2, p.shape).float()
    exact = -Independent(TorchBernoulli(logits=p), 3).log_prob(bits)
    torch.testing.assert_close(Bernoulli().nll(p, 2 * bits - 1), exact)
    torch.testing.assert_close(Bernoulli().mean(p), 2 * p.sigmoid() - 1)


def test_gaussian_equals_torch():
    likelihood, p = Gaussian(min_std=0.05), parameters(Gaussian())
    x = torch.randn(5, 2, 3, 4)
    std = 0.05 + torch.nn.functional.softplus(p[:, 2:])
    torch.testing.assert_close(likelihood.nll(p, x), -Independent(Normal(p[:, :2], std), 3).log_prob(x))
    torch.testing.assert_close(likelihood.mean(p), p[:, :2])


@pytest.mark.parametrize("levels", [2, 3, 17, 256])
@pytest.mark.parametrize("scale", [0.0, 1.0, 8.0])
def test_a_logistic_mixture_sums_to_one_over_its_levels(levels, scale):
    likelihood = LogisticMixture(levels=levels, components=3)
    p = parameters(likelihood, c=1, size=(1,), n=20, scale=scale)
    values = 2 * torch.arange(levels) / (levels - 1) - 1
    total = sum((-likelihood.nll(p, value.expand(20, 1, 1))).double().exp() for value in values)
    torch.testing.assert_close(total, torch.ones(20).double(), rtol=0, atol=2e-5)


def test_a_logistic_mixture_stays_finite_at_the_extremes():
    likelihood = LogisticMixture(levels=256, components=2)
    for value in (-60.0, 60.0, 1e4, -1e4):
        p = torch.full((1, likelihood.channels(1), 2), value, requires_grad=True)
        nll = likelihood.nll(p, torch.tensor([[[-1.0, 1.0]]]))
        nll.sum().backward()
        assert nll.isfinite().all() and p.grad.isfinite().all()


def test_every_channel_and_place_has_its_own_parameters():
    for likelihood in (Bernoulli(), Gaussian(), LogisticMixture(levels=2, components=2)):
        p = parameters(likelihood).requires_grad_()
        x = torch.ones(5, 2, 3, 4)
        moved = x.clone()
        moved[0, 1, 2, 3] = -1
        change = (likelihood.nll(p, moved) - likelihood.nll(p, x)).sum()
        (gradient,) = torch.autograd.grad(change, p)
        touched = gradient.abs().sum((0, 1)) > 1e-5
        assert touched.sum() == 1 and touched[2, 3]
        assert likelihood.mean(p).shape == x.shape


@pytest.mark.parametrize("likelihood", [Bernoulli(), LogisticMixture(levels=2), LogisticMixture(levels=5)])
def test_draws_of_levels_follow_the_probabilities(likelihood):
    p = parameters(likelihood, c=1, size=(1,), n=1, scale=1.5)
    drawn = likelihood.draw(p.expand(20_000, -1, -1), draws=torch.Generator().manual_seed(0)).flatten()
    levels = getattr(likelihood, "levels", 2)
    for index in range(levels):
        value = torch.tensor(2 * index / (levels - 1) - 1)
        probability = (-likelihood.nll(p, value.view(1, 1, 1))).exp().item()
        assert abs(torch.isclose(drawn, value, atol=1e-6).float().mean().item() - probability) < 0.015
    generators = [torch.Generator().manual_seed(1) for _ in range(2)]
    assert likelihood.draw(p, generators[0]).equal(likelihood.draw(p, generators[1]))


def test_draws_of_a_gaussian_have_its_moments():
    p = torch.tensor([[0.5, -1.0]]).view(1, 2, 1).expand(20_000, -1, -1)
    drawn = Gaussian().draw(p, draws=torch.Generator().manual_seed(0))
    std = 0.01 + torch.nn.functional.softplus(torch.tensor(-1.0)).item()
    assert abs(drawn.mean().item() - 0.5) < 0.01 and abs(drawn.std().item() / std - 1) < 0.02


def test_tokens_count_where_the_mask_is_true():
    logits = torch.randn(2, 3, 4)
    x = torch.randint(4, (2, 3))
    each = -logits.log_softmax(-1).gather(-1, x[..., None]).squeeze(-1)
    torch.testing.assert_close(categorical_nll(logits, x), each.sum(1))
    mask = torch.tensor([[True, True, False], [True, False, False]])
    torch.testing.assert_close(categorical_nll(logits, x, mask), (each * mask).sum(1))


def test_values_out_of_range_are_refused():
    with pytest.raises(FourfoldError, match="likelihood.levels is 1"):
        LogisticMixture(levels=1)
    with pytest.raises(FourfoldError, match="likelihood.min_std is 0"):
        Gaussian(min_std=0.0)
