"""Intervals, floors, fitted Gaussians and histograms."""

import itertools

import numpy as np
import pytest
from scipy import stats

from core.errors import FourfoldError
from core.metrics.frechet import frechet_distance
from core.metrics.gaussian import FittedGaussian, Histogram
from core.metrics.intervals import bootstrap, floor, wilson


def test_bootstrap_of_a_mean_is_near_the_normal_interval():
    x = np.random.default_rng(0).exponential(size=400)
    low, high = bootstrap(np.mean, x, n=4000)
    error = x.std(ddof=1) / 20
    assert low == pytest.approx(x.mean() - 1.96 * error, abs=0.2 * error)
    assert high == pytest.approx(x.mean() + 1.96 * error, abs=0.2 * error)
    slow = bootstrap(lambda values: values.mean(), x, n=4000)
    assert slow == pytest.approx((low, high), abs=0.2 * error)
    assert bootstrap(np.mean, x, seed=3) == bootstrap(np.mean, x, seed=3) != bootstrap(np.mean, x, seed=4)


def test_bootstrap_covers_the_truth():
    covered = 0
    for seed in range(200):
        low, high = bootstrap(np.mean, np.random.default_rng(seed).normal(size=60), seed=seed, n=300)
        covered += low <= 0 <= high
    assert 0.88 <= covered / 200 <= 0.99


def test_bootstrap_keeps_pairs_together_unless_told_otherwise():
    random = np.random.default_rng(0)
    size = random.integers(10, 1000, 300)
    nats = 2.0 * size + random.normal(size=300)

    def ratio(a, b):
        return a.sum() / b.sum()

    together, apart = bootstrap(ratio, nats, size, n=500), bootstrap(ratio, nats, size[:200], n=500, paired=False)
    assert together[1] - together[0] < 0.01 < apart[1] - apart[0]


def test_bootstrap_around_a_biased_statistic():
    """Resampling inflates a Fréchet distance; an interval around its value holds it."""
    a, b = np.random.default_rng(0).normal(size=(2, 300, 16))
    value = frechet_distance(a, b)
    low, _ = bootstrap(frechet_distance, a, b, n=50, paired=False)
    assert low > value
    low, high = bootstrap(frechet_distance, a, b, n=50, paired=False, around=value)
    assert 0 <= low < value < high < 2 * value and value - low == pytest.approx(high - value)


def test_wilson_equals_scipy():
    for successes, n in ((0, 10), (3, 10), (10, 10), (480, 500), (0, 1)):
        theirs = stats.binomtest(successes, n).proportion_ci(0.95, method="wilson")
        assert wilson(successes, n) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_floor_is_of_disjoint_parts_of_the_given_size():
    real = np.arange(100.0)[:, None]
    assert floor(lambda a, b: float(np.isin(a, b).any()), real) == 0
    assert floor(lambda a, b: len(a) * 1000 + len(b), real, size=20) == 20020
    x = np.random.default_rng(0).normal(size=(2000, 8))
    assert floor(frechet_distance, x, size=1000) < floor(frechet_distance, x, size=100) < 3
    one, two = floor(frechet_distance, x, seed=1), floor(frechet_distance, x, seed=2)
    assert one == floor(frechet_distance, x, seed=1) != two


def test_gaussian_nll_equals_scipy_and_samples_have_its_moments():
    random = np.random.default_rng(0)
    x = (random.normal(size=(3000, 6)) @ random.normal(size=(6, 6)) + 1).reshape(3000, 2, 3)
    fitted = FittedGaussian.fit(x, shrinkage=0.1)
    exact = stats.multivariate_normal(fitted.mean, fitted.factor @ fitted.factor.T)
    np.testing.assert_allclose(fitted.nll(x), -exact.logpdf(x.reshape(-1, 6)), rtol=1e-9)
    drawn = FittedGaussian.fit(x).sample(20_000, seed=1)
    assert drawn.shape == (20_000, 2, 3) and drawn.dtype == np.float32
    flat, drawn = x.reshape(-1, 6), drawn.reshape(-1, 6)
    np.testing.assert_allclose(drawn.mean(axis=0), flat.mean(axis=0), atol=0.1)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(flat.T), atol=0.05 * np.cov(flat.T).max())


def test_gaussian_of_fewer_rows_than_dimensions_and_of_constants():
    x = np.random.default_rng(0).normal(size=(300, 80))
    x[:, 0] = 2.0
    few = FittedGaussian.fit(x[:40])
    assert np.isfinite(few.nll(x)).all()
    assert few.nll(x[100:, 1:].copy() @ np.eye(79, 80, 1) + 2 * np.eye(1, 80)).mean() < 200
    assert np.isfinite(FittedGaussian.fit(np.ones((5, 3))).nll(np.ones((2, 3)))).all()


def test_gaussian_of_levels_bounds_a_probability():
    """Summed over all levels, exp(-bound) stays below 1; a wide Gaussian's bound is nearly exact."""
    levels = 9
    random = np.random.default_rng(0)
    x = np.clip(np.round(random.normal(4, 1.2, size=(4000, 1))), 0, 8) / 4 - 1
    fitted = FittedGaussian.fit(x, levels=levels, shrinkage=0)
    grid = np.linspace(-1, 1, levels)[:, None]
    bound = np.mean([fitted.nll(grid, seed=seed) for seed in range(400)], axis=0)
    assert 0.95 < np.exp(-bound).sum() < 1
    counts = np.array([(np.abs(x - v) < 1e-6).mean() for v in grid[:, 0]])
    entropy = -(counts[counts > 0] * np.log(counts[counts > 0])).sum()
    assert entropy < fitted.nll(x).mean() < entropy + 0.1
    assert set(np.unique(fitted.sample(100).round(6))) <= set(np.unique(grid.astype(np.float32).round(6)))


def test_histogram_is_exact():
    random = np.random.default_rng(0)
    x = random.binomial(3, [[0.1, 0.5, 0.9]], size=(500, 3))
    x[:, 0] = 2  # one level only, and still every level has a probability
    model = Histogram.fit(x, levels=4)
    every = np.array(list(itertools.product(range(4), repeat=3)))
    assert np.exp(-model.nll(every)).sum() == pytest.approx(1, abs=1e-12)
    np.testing.assert_array_equal(model.nll(every), model.nll(every * 2 / 3 - 1.0))  # the same as floats in [-1, 1]
    drawn = model.sample(5000, seed=1)
    assert model.nll(drawn).mean() == pytest.approx(model.nll(x).mean(), abs=0.06)
    share = (np.rint((drawn + 1) * 1.5)[:, 1] == 1).mean()
    assert share == pytest.approx((x[:, 1] == 1).mean(), abs=0.03)


BAD = [
    (lambda: wilson(3, 2), "3 successes of 2 trials"),
    (lambda: bootstrap(np.mean, np.zeros(0)), "at least one row"),
    (lambda: bootstrap(lambda a, b: 0.0, np.zeros(3), np.zeros(4)), "one length"),
    (lambda: floor(frechet_distance, np.zeros((10, 2)), size=6), "needs 12 rows, got 10"),
    (lambda: FittedGaussian.fit(np.zeros((1, 2))), "needs at least 2"),
    (lambda: FittedGaussian.fit(np.zeros((5, 2)), shrinkage=2.0), "shrinkage is 2.0"),
    (lambda: Histogram.fit(np.full((5, 2), 4), levels=4), "leave its 4 levels"),
    (lambda: Histogram.fit(np.full((5, 2), np.nan), levels=4), "leave its 4 levels"),
]


@pytest.mark.parametrize(("call", "line"), BAD)
def test_bad_input_is_refused_in_one_line(call, line):
    with pytest.raises(FourfoldError, match=line):
        call()
