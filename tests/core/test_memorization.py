"""Copies of training data are caught, and honest data are not: positive and negative controls on real digits."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from core.data.arrays import ArrayData
from core.errors import FourfoldError
from core.families.diffusion import DiffusionConfig
from core.metrics.features import nearest
from core.metrics.gaussian import FittedGaussian
from core.metrics.memorization import memorization_test
from core.networks import MLPConfig
from core.spaces import Continuous
from core.training.config import TrainConfig
from core.training.loop import train


@pytest.fixture(scope="module")
def digits():
    """[1797, 1, 8, 8] in [-1, 1], shuffled."""
    x = load_digits().images.astype(np.float32)[:, None] / 8 - 1
    return x[np.random.default_rng(0).permutation(len(x))]


def noisy(x, scale=0.03):
    return x + np.random.default_rng(1).normal(0, scale, x.shape)


@pytest.mark.parametrize("trained_on", [200, 900])
def test_a_copier_is_caught(digits, trained_on):
    rows = np.random.default_rng(2).integers(0, trained_on, 400)
    found = memorization_test(noisy(digits[rows]), digits[:trained_on], digits[1000:])
    assert found["memorized"] and found["share"] > 0.95 and found["p_value"] < 1e-20
    assert found["verdict"].endswith(": memorized")


def test_one_copy_in_five_is_caught(digits):
    mixed = np.concatenate([noisy(digits[:80]), digits[1477:]])
    assert memorization_test(mixed, digits[:900], digits[900:1477])["memorized"]


@pytest.mark.parametrize("trained_on", [200, 900])
def test_held_out_data_are_honest(digits, trained_on):
    """Also where the training set is much smaller, or larger, than the held-out one."""
    found = memorization_test(digits[1397:], digits[:trained_on], digits[900:1397])
    assert not found["memorized"] and found["share"] < 0.12 and found["p_value"] > 0.01
    assert found["mann_whitney_p"] > 0.001 and found["verdict"].endswith("no sign of memorization")


def test_typical_data_are_near_everything_and_still_honest(digits):
    """What a generator of low temperature draws: the digits that have close relatives, by a set apart."""
    distances, _ = nearest(digits[1300:], digits[1100:1300])
    typical = digits[1300:][np.argsort(distances)[:60]]
    found = memorization_test(typical, digits[:550], digits[550:1100])
    assert found["share"] > 0.1 and found["mann_whitney_p"] < 1e-5  # nearness alone would have blamed them
    assert not found["memorized"] and found["p_value"] > 0.01


def test_a_fitted_gaussian_does_not_memorize(digits):
    assert not memorization_test(FittedGaussian.fit(digits[:900]).sample(500), digits[:900], digits[900:])["memorized"]


def test_a_model_overfit_on_200_digits_is_caught(digits, tmp_path):
    torch.manual_seed(0)
    family = DiffusionConfig(denoiser=MLPConfig(width=256, depth=2)).build(Continuous(shape=(1, 8, 8)), {})
    config = TrainConfig(steps=900, learning_rate=5e-3, ema_decay=0.99, checkpoint_every=900)
    train(family, ArrayData(Continuous(shape=(1, 8, 8)), digits[:200]), config, tmp_path)
    samples = family.sample(400, draws=torch.Generator().manual_seed(0)).x.numpy()
    assert memorization_test(samples, digits[:200], digits[1000:])["memorized"]
    # The same samples against 200 digits that it has not seen: the digits are to blame, not the samples.
    assert not memorization_test(samples, digits[200:400], digits[1000:])["memorized"]


def with_twins(digits, share, noise, rows):
    """Digits of which a share are digits 0 to 900, with noise."""
    few, random = digits[rows].copy(), np.random.default_rng(3)
    n = round(share * len(few))
    few[:n] = digits[random.integers(0, 900, n)] + random.normal(0, noise, (n, *digits.shape[1:]))
    return few


@pytest.mark.parametrize("noise", [0.0, 0.03])
@pytest.mark.parametrize("share", [0.06, 0.2, 0.5])
def test_duplicates_in_the_data_blind_nobody(digits, share, noise):
    """Held-out data of which a share have a twin in the training data: the quantile of distances would be theirs."""
    train, held = digits[:900], with_twins(digits, share, noise, slice(900, 1300))
    copies = noisy(digits[np.random.default_rng(2).integers(0, 900, 300)])
    for samples in (digits[:300], copies):
        found = memorization_test(samples, train, held)
        assert found["memorized"] and found["share"] == 1 and found["control_share"] < share + 0.1
        assert found["twins"] == round(400 * share) and found["held_out"] == 400 - found["twins"]
        assert f"(of 400 held-out, {found['twins']} with a copy in the training data)" in found["verdict"]
    for honest in (digits[1300:], with_twins(digits, share, noise, slice(1300, 1797))):
        found = memorization_test(honest, train, held)
        assert found["memorized"] is False and found["p_value"] > 0.01, found["verdict"]


def test_half_copies_are_caught_where_data_hold_duplicates(digits):
    mixed = np.concatenate([noisy(digits[:150]), digits[1300:1450]])
    assert memorization_test(mixed, digits[:900], with_twins(digits, 0.2, 0.03, slice(900, 1300)))["memorized"]


def test_no_verdict_where_too_few_are_left_to_judge_by(digits):
    for held in (digits[900:910], digits[:400], with_twins(digits, 0.9, 0.03, slice(900, 1300))):
        for samples in (noisy(digits[:200]), digits[1300:]):
            found = memorization_test(samples, digits[:900], held)
            assert found["memorized"] is None and "no verdict, as " in found["verdict"]


def test_what_nobody_can_tell_apart_is_a_copy(digits):
    """An absolute distance, where all held-out data are so near that no other scale is left."""
    held = noisy(digits[:300], 0.03)
    assert memorization_test(digits[1300:], held, held + 0.01, near=0.1)["twins"] == 300
    assert memorization_test(digits[1300:], digits[:900], digits[900:1300], near=0.1)["twins"] == 0


BAD = [
    (lambda: memorization_test(np.zeros((50, 4)), np.zeros((50, 3)), np.zeros((50, 3))), "must be the same space"),
    (lambda: memorization_test(np.full((50, 3), np.inf), np.zeros((50, 3)), np.zeros((50, 3))), "not finite"),
]


@pytest.mark.parametrize(("call", "line"), BAD)
def test_bad_sets_are_refused_in_one_line(call, line):
    with pytest.raises(FourfoldError, match=line):
        call()
