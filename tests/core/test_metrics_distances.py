"""Distances between sets of features: against closed forms and the packages that published them."""

import warnings

import numpy as np
import pytest

from core.errors import FourfoldError
from core.metrics.features import nearest
from core.metrics.frechet import frechet_distance
from core.metrics.kernel import kernel_distance, kernel_distances
from core.metrics.precision_recall import prdc


def features(n: int, width: int, seed: int, shift: float = 0.0) -> np.ndarray:
    """Correlated, unequally scaled features."""
    random = np.random.default_rng(seed)
    mix = np.random.default_rng(99).normal(size=(width, width)) * np.linspace(0.1, 2, width)
    return random.normal(size=(n, width)) @ mix + shift


SHAPES = [(300, 200, 16), (2000, 1500, 48), (40, 60, 128), (30, 500, 100)]  # the last two: N < D


@pytest.mark.parametrize(("n", "m", "width"), SHAPES)
def test_frechet_distance_agrees_with_torch_fidelity_and_torchmetrics(n, m, width):
    torch = pytest.importorskip("torch")
    fidelity = pytest.importorskip("torch_fidelity.metric_fid")
    torchmetrics = pytest.importorskip("torchmetrics.image.fid")
    a, b = features(n, width, 0), features(m, width, 1, 0.3)
    ours = frechet_distance(a, b)
    statistics = [fidelity.fid_features_to_statistics(torch.from_numpy(x)) for x in (a, b)]
    theirs = fidelity.fid_statistics_to_metric(*statistics, False)["frechet_inception_distance"]
    assert ours == pytest.approx(theirs, rel=1e-6)
    moments = [torch.from_numpy(s[key]) for s in statistics for key in ("mu", "sigma")]
    assert ours == pytest.approx(float(torchmetrics._compute_fid(*moments)), rel=1e-6)


def test_frechet_distance_of_known_gaussians():
    """Axis-aligned: (m_a - m_b)^2 + (s_a - s_b)^2 in each dimension."""
    x = np.random.default_rng(0).normal(size=(500, 6))
    x = (x - x.mean(axis=0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T))).T  # identity covariance, exactly
    scale, shift = np.arange(1, 7) / 2, np.arange(6.0)
    assert frechet_distance(x, x * scale + shift) == pytest.approx(((1 - scale) ** 2 + shift**2).sum(), rel=1e-9)


def test_frechet_distance_is_a_distance_for_few_rows_and_constant_features():
    a, b = features(20, 64, 0), features(25, 64, 1)
    a[:, 10:20] = b[:, 10:20] = 3.0
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-9) and frechet_distance(a, b) > 1


def test_frechet_distance_in_blocks(monkeypatch):
    a, b = features(1000, 20, 0), features(900, 20, 1)
    whole = frechet_distance(a, b)
    monkeypatch.setattr("core.metrics.frechet.BLOCK", 64)
    assert frechet_distance(a, b) == pytest.approx(whole, rel=1e-10)


def test_kernel_distance_agrees_with_torch_fidelity_on_its_subsets():
    torch = pytest.importorskip("torch")
    fidelity = pytest.importorskip("torch_fidelity.metric_kid")
    a, b = features(400, 24, 0), features(300, 24, 1, 0.2)
    theirs = fidelity.kid_features_to_metric(
        torch.from_numpy(a), torch.from_numpy(b), kid_subsets=20, kid_subset_size=100, rng_seed=7, verbose=False
    )
    ours = kernel_distances(a, b, subsets=20, subset_size=100, seed=7)
    assert ours.mean() == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-9)
    assert ours.std() == pytest.approx(theirs["kernel_inception_distance_std"], rel=1e-9)
    assert kernel_distance(a, b, subsets=20, subset_size=100, seed=7) == ours.mean()


def test_kernel_distance_of_all_rows_agrees_with_torchmetrics():
    torch = pytest.importorskip("torch")
    torchmetrics = pytest.importorskip("torchmetrics.image.kid")
    a, b = features(250, 24, 0), features(250, 24, 1, 0.2)
    theirs = float(torchmetrics.poly_mmd(torch.from_numpy(a), torch.from_numpy(b)))
    assert kernel_distance(a, b, subsets=0) == pytest.approx(theirs, rel=1e-9)


def test_kernel_distance_is_unbiased():
    values = [kernel_distance(features(60, 8, i), features(80, 8, 1000 + i), subsets=0) for i in range(200)]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(len(values))
    assert kernel_distance(features(60, 8, 0), features(80, 8, 1, 2.0), subsets=0) > 5 * np.std(values)


@pytest.mark.parametrize("k", [1, 5])
def test_prdc_equals_the_published_package(k):
    package = pytest.importorskip("prdc")
    real, fake = features(300, 10, 0), features(240, 10, 1, 0.4) * 0.9
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = package.compute_prdc(real, fake, nearest_k=k)
    assert prdc(real, fake, k) == pytest.approx(theirs, abs=1e-12)


def test_prdc_and_neighbours_in_blocks(monkeypatch):
    real, fake = features(150, 10, 0), features(120, 10, 1)
    whole, (distances, indices) = prdc(real, fake), nearest(fake, real)
    monkeypatch.setattr("core.metrics.features.CHUNK_NUMBERS", 1000)
    monkeypatch.setattr("core.metrics.features.POINTS_AT_ONCE", 37)
    assert prdc(real, fake) == whole
    np.testing.assert_array_equal(nearest(fake, real)[1], indices)
    every = np.linalg.norm(fake[:, None] - real, axis=2)
    np.testing.assert_array_equal(indices, every.argmin(axis=1))
    np.testing.assert_allclose(distances, every.min(axis=1), rtol=1e-12)


def test_prdc_tells_missing_modes_from_bad_samples():
    real = np.concatenate([features(200, 4, 0), features(200, 4, 1) + 50])
    one_mode = prdc(real, features(200, 4, 2))
    assert one_mode["precision"] > 0.85 and one_mode["recall"] < 0.6 and one_mode["coverage"] < 0.6
    noisy = prdc(real, np.concatenate([real[::2] + 0.01, features(200, 4, 3) - 500]))
    assert noisy["precision"] < 0.6 and noisy["coverage"] > 0.9


BAD = [
    (lambda: frechet_distance(np.zeros((1, 3)), np.zeros((5, 3))), "has 1 rows: needs at least 2"),
    (lambda: frechet_distance(np.zeros((5, 3)), np.zeros((5, 4))), "has 3 features"),
    (lambda: frechet_distance(np.full((5, 3), np.nan), np.zeros((5, 3))), "not finite, first in row 0"),
    (lambda: frechet_distance(np.zeros(5), np.zeros((5, 3))), r"needs \[N, D\]"),
    (lambda: kernel_distance(np.zeros((5, 3)), np.zeros((5, 3)), subsets=-1), "-1 subsets"),
    (lambda: prdc(np.zeros((5, 3)), np.zeros((9, 3))), "the real features has 5 rows: needs at least 6"),
    (lambda: prdc(np.zeros((5, 3)), np.zeros((9, 3)), k=0), "k is 0"),
    (lambda: nearest(np.zeros((5, 3)), np.zeros((0, 3))), "points has 0 rows"),
]


@pytest.mark.parametrize(("call", "line"), BAD)
def test_bad_features_are_refused_in_one_line(call, line):
    with pytest.raises(FourfoldError, match=line) as caught:
        call()
    assert "\n" not in str(caught.value)
