"""Quantisers take arrays to tokens and back."""

from __future__ import annotations

import itertools

import pytest
import torch

from core.errors import FourfoldError
from core.quantizers import FSQ, UniformBins
from core.spaces import Continuous


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_bins_are_exact_on_data_of_as_many_levels(levels):
    index = torch.randint(levels, (6, 1, 5, 4))
    x = 2 * index.float() / (levels - 1) - 1
    bins = UniformBins(bins=levels)
    tokens = bins.encode(x)
    assert tokens.dtype == torch.int64 and tokens.equal(index.flatten(1))
    torch.testing.assert_close(bins.decode(tokens, x.shape[1:]), x)


@pytest.mark.parametrize(("patch", "shape"), [((2, 2), (1, 6, 8)), ((2, 4), (3, 4, 8)), ((3,), (2, 6))])
def test_patches_of_bins_lose_nothing(patch, shape):
    bins, space = UniformBins(bins=2, patch=patch), Continuous(shape=shape, levels=2)
    x = 2.0 * torch.randint(2, (5, *shape)) - 1
    tokens = bins.encode(x)
    assert tokens.shape == (5, bins.space(space).length) and tokens.max() < bins.space(space).vocab == bins.vocab
    assert bins.decode(tokens, shape).equal(x)
    corner = -torch.ones(1, *shape)
    corner[(0, 0, *(slice(size) for size in patch))] = 1  # the first patch, and it alone
    assert bins.encode(corner)[0].nonzero().tolist() == [[0]]


def test_patches_that_do_not_fit_are_refused():
    with pytest.raises(FourfoldError, match="must divide"):
        UniformBins(bins=2, patch=(2, 3)).space(Continuous(shape=(1, 4, 4)))
    with pytest.raises(FourfoldError, match="65,536"):
        UniformBins(bins=256, patch=(2, 2))


def test_bins_of_real_numbers_are_the_nearest_centres():
    bins = UniformBins(bins=9, low=-2.0, high=2.0)
    x = 4 * torch.rand(10, 3, 7) - 2
    assert (bins.decode(bins.encode(x), x.shape[1:]) - x).abs().max() <= bins.width / 2 + 1e-6
    assert bins.encode(torch.tensor([[-9.0, 9.0]])).tolist() == [[0, 8]]
    space = bins.space(Continuous(shape=(3, 7)))
    assert (space.length, space.vocab, space.eos) == (21, 9, None)


def test_fsq_codes_and_values_are_one_to_one():
    fsq = FSQ(levels=(3, 4, 2))
    assert (fsq.channels, fsq.codes) == (3, 24)
    tokens = torch.arange(24).view(2, 12)
    values = fsq.from_tokens(tokens, (3, 4))
    assert values.shape == (2, 3, 3, 4)
    assert fsq.to_tokens(values).equal(tokens)
    grid = {tuple(v) for v in values.movedim(1, -1).reshape(-1, 3).mul(6).round().int().tolist()}
    assert grid == set(itertools.product((-6, 0, 6), (-6, -2, 2, 6), (-6, 6)))


def test_fsq_takes_every_code_and_keeps_it():
    fsq = FSQ(levels=(5, 4))
    z = 2 * torch.randn(500, 2, 6, generator=torch.Generator().manual_seed(0))
    quantized = fsq.quantize(z)
    assert quantized.abs().max() <= 1
    tokens = fsq.to_tokens(quantized)
    assert tokens.shape == (500, 6) and len(tokens.unique()) == fsq.codes
    torch.testing.assert_close(fsq.from_tokens(tokens, (6,)), quantized)


def test_fsq_gradient_passes_straight_through_the_rounding():
    z = torch.randn(4, 2, 3, requires_grad=True)
    weight = torch.randn(4, 2, 3)
    (FSQ(levels=(8, 5)).quantize(z) * weight).sum().backward()
    torch.testing.assert_close(z.grad, weight * (1 - z.detach().tanh().square()))


def test_values_out_of_range_are_refused():
    with pytest.raises(FourfoldError, match="quantizer.bins is 1"):
        UniformBins(bins=1)
    with pytest.raises(FourfoldError, match="quantizer.low is 1"):
        UniformBins(bins=4, low=1.0)
    for levels in ((), (4, 1)):
        with pytest.raises(FourfoldError, match="quantizer.levels"):
            FSQ(levels=levels)
