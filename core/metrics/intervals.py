"""Uncertainty of metrics: bootstrap and Wilson intervals, and a statistic's floor of real against real data."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from core.errors import FourfoldError


def bootstrap(
    statistic: Callable[..., float], *arrays: np.ndarray, seed: int = 0, n: int = 1000, level: float = 0.95,
    paired: bool = True, around: float | None = None,
) -> tuple[float, float]:
    """Confidence interval of `statistic(*arrays)` by resampling of rows (Efron 1979), at confidence `level`.

    Args:
        statistic: takes arrays like `arrays`, returns a number. `np.mean` of one array is vectorised.
        arrays: `[N, ...]` each. `paired`: the same rows of all are drawn (nats and bytes of each text); False: rows
            of each independently (features of real and of generated data).
        around: None for the percentiles of the resamples. Otherwise the statistic's value, for a statistic that
            resampling biases, such as a Fréchet distance (repeated rows lower the effective N): the interval is
            then normal around it, with the resamples' standard deviation, cut at 0.
        n: number of resamples.

    Raises:
        FourfoldError: nothing to resample, or paired arrays of different lengths.
    """
    values = [np.asarray(array) for array in arrays]
    if not values or min(len(array) for array in values) < 1:
        raise FourfoldError("a bootstrap needs at least one row in each array")
    if paired and len({len(array) for array in values}) > 1:
        raise FourfoldError(f"a paired bootstrap needs arrays of one length, got {[len(array) for array in values]}")
    random = np.random.default_rng(seed)
    if statistic is np.mean and len(values) == 1 and values[0].ndim == 1:
        draws = _resampled_means(values[0], n, random)
    else:
        draws = np.empty(n)
        for i in range(n):
            rows = random.integers(len(values[0]), size=len(values[0]))
            picks = [rows if paired or j == 0 else random.integers(len(v), size=len(v)) for j, v in enumerate(values)]
            draws[i] = statistic(*(v[pick] for v, pick in zip(values, picks, strict=True)))
    if around is not None:
        from scipy.special import ndtri

        reach = float(ndtri((1 + level) / 2) * draws.std())
        return max(0.0, around - reach), around + reach
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _resampled_means(values: np.ndarray, n: int, random: np.random.Generator) -> np.ndarray:
    at_once = max(1, 2**22 // len(values))
    counts = [min(at_once, n - start) for start in range(0, n, at_once)]
    return np.concatenate([values[random.integers(len(values), size=(c, len(values)))].mean(axis=1) for c in counts])


def wilson(successes: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a success rate (Wilson 1927), accurate also near 0 and 1 and for few trials.

    Raises:
        FourfoldError: no trials, or successes outside [0, n].
    """
    if n < 1 or not 0 <= successes <= n:
        raise FourfoldError(f"{successes} successes of {n} trials: needs 0 <= successes <= trials and a trial")
    from scipy.special import ndtri

    z = float(ndtri((1 + level) / 2))
    rate = successes / n
    centre = rate + z * z / (2 * n)
    spread = z * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    low, high = (centre - spread) / (1 + z * z / n), (centre + spread) / (1 + z * z / n)
    # At a rate of 0 or 1 an end is exactly that, whatever the rounding.
    return (0.0 if successes == 0 else low), (1.0 if successes == n else high)


def floor(
    statistic: Callable[[np.ndarray, np.ndarray], float], real: np.ndarray, seed: int = 0, size: int | None = None
) -> float:
    """`statistic` of two disjoint random parts of `real` `[N, ...]`: the score of a perfect generator.

    Args:
        size: rows in each part, by default half of all; should be the number of samples evaluated, as most statistics
            depend on it.

    Raises:
        FourfoldError: fewer than `2 * size` rows.
    """
    size = len(real) // 2 if size is None else size
    if size < 1 or 2 * size > len(real):
        raise FourfoldError(f"a floor of two disjoint parts of {size} needs {max(2, 2 * size)} rows, got {len(real)}")
    rows = np.random.default_rng(seed).permutation(len(real))
    return float(statistic(real[rows[:size]], real[rows[size : 2 * size]]))
