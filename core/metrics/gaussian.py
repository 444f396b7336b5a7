"""Simple generative models of arrays, as baselines: one Gaussian, and a histogram for each dimension."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from core.errors import FourfoldError
from core.metrics.features import as_features


@dataclass(frozen=True)
class FittedGaussian:
    """A Gaussian with full covariance.

    Attributes:
        mean: `[D]`; `factor`: lower Cholesky factor of the covariance `[D, D]`.
        shape: of one example, prod(shape) = D.
        levels: number of evenly spaced values in [-1, 1] that the data take; None for real values.
    """

    mean: np.ndarray
    factor: np.ndarray
    shape: tuple[int, ...]
    levels: int | None = None

    @classmethod
    def fit(cls, x: np.ndarray, levels: int | None = None, shrinkage: float | None = None) -> FittedGaussian:
        """Fit to `x` `[N, *shape]`.

        Args:
            levels: as in the class; the variance of the noise that `nll` adds to levels is then added to the fit.
            shrinkage: weight in [0, 1] of the scaled identity; None: the estimate of Ledoit and Wolf (2004), with
                which the covariance is invertible also for N < D and constant dimensions.

        Raises:
            FourfoldError: fewer than two rows, or values that are not finite.
        """
        flat = as_features(x, "the data of a Gaussian", 2)
        mean = flat.mean(axis=0)
        centred = flat - mean
        covariance = centred.T @ centred / len(flat)
        if shrinkage is None:
            from sklearn.covariance import ledoit_wolf_shrinkage

            shrinkage = float(ledoit_wolf_shrinkage(centred, assume_centered=True))
        if not 0 <= shrinkage <= 1:
            raise FourfoldError(f"shrinkage is {shrinkage}: must be in [0, 1]")
        width = len(mean)
        scale = np.trace(covariance) / width
        noise = 0.0 if levels is None else (2 / (levels - 1)) ** 2 / 12  # variance of uniform noise as wide as a level
        covariance *= 1 - shrinkage
        covariance[np.diag_indices(width)] += shrinkage * scale + noise + 1e-9 * max(scale, 1e-9)
        shape = tuple(np.shape(x)[1:])
        return cls(mean, np.linalg.cholesky(covariance), shape, levels)

    def sample(self, n: int, seed: int = 0) -> np.ndarray:
        """`n` samples, float32 `[n, *shape]`; where the data have levels, rounded to these."""
        noise = np.random.default_rng(seed).standard_normal((n, len(self.mean)))
        x = self.mean + noise @ self.factor.T
        if self.levels is not None:
            x = np.clip(np.round((x + 1) / 2 * (self.levels - 1)), 0, self.levels - 1) * 2 / (self.levels - 1) - 1
        return np.asarray(x.reshape(n, *self.shape), dtype=np.float32)

    def nll(self, x: np.ndarray, seed: int = 0) -> np.ndarray:
        """Nats `[N]` of `x` `[N, *shape]`.

        Real values: the exact negative log density. Levels: an upper bound of -log P(levels) by uniform dequantisation
        (Theis et al. 2016, eq. 4), comparable with a discrete likelihood.
        """
        from scipy.linalg import solve_triangular

        flat = as_features(x, "the data of a Gaussian")
        constant = len(self.mean) / 2 * math.log(2 * math.pi) + np.log(np.diag(self.factor)).sum()
        if self.levels is not None:
            width = 2 / (self.levels - 1)
            flat = flat + np.random.default_rng(seed).uniform(-width / 2, width / 2, flat.shape)
            constant -= len(self.mean) * math.log(width)
        white = solve_triangular(self.factor, (flat - self.mean).T, lower=True)
        return np.asarray(constant + (white**2).sum(axis=0) / 2)


@dataclass(frozen=True)
class Histogram:
    """Independent dimensions, each with its own categorical distribution over levels.

    Attributes:
        probabilities: `[D, levels]`, all positive, each row summing to 1; `shape`: of one example.
    """

    probabilities: np.ndarray
    shape: tuple[int, ...]

    @classmethod
    def fit(cls, x: np.ndarray, levels: int) -> Histogram:
        """Fit to `x` `[N, *shape]`: level indices (integers), or floats in [-1, 1] on `levels` values.

        Each dimension's frequencies are interpolated with those of all dimensions together, and these with the uniform
        distribution (Witten and Bell 1991), so that no level has probability 0.
        """
        indices = _indices(x, levels)
        n, width = indices.shape
        counts = np.zeros(width * levels, np.int64)
        for rows in range(0, n, max(1, 2**22 // width)):
            block = indices[rows : rows + max(1, 2**22 // width)] + np.arange(width) * levels
            counts += np.bincount(block.ravel(), minlength=width * levels)
        table = counts.reshape(width, levels).astype(np.float64)
        pooled = _witten_bell(table.sum(axis=0, keepdims=True), np.full((1, levels), 1 / levels))
        return cls(_witten_bell(table, pooled), tuple(np.shape(x)[1:]))

    def nll(self, x: np.ndarray) -> np.ndarray:
        """Exact -log P in nats `[N]` of `x` `[N, *shape]` (level indices, or floats in [-1, 1])."""
        width, levels = self.probabilities.shape
        indices = _indices(x, levels)
        if indices.shape[1] != width:
            raise FourfoldError(f"the histogram is of shape {self.shape}: got examples of {np.shape(x)[1:]}")
        logs = np.log(self.probabilities)
        return np.asarray(-sum(logs[d, indices[:, d]] for d in range(width)))

    def sample(self, n: int, seed: int = 0) -> np.ndarray:
        """`n` samples, float32 `[n, *shape]` in [-1, 1]."""
        random = np.random.default_rng(seed)
        width, levels = self.probabilities.shape
        out = np.empty((n, width), np.float32)
        for d, cumulative in enumerate(self.probabilities.cumsum(axis=1)):
            picks = np.searchsorted(cumulative, random.random(n), side="right")
            out[:, d] = np.minimum(picks, levels - 1) * 2 / (levels - 1) - 1
        return out.reshape(n, *self.shape)


def _witten_bell(counts: np.ndarray, backoff: np.ndarray) -> np.ndarray:
    """Frequencies of `counts` `[R, levels]` interpolated with `backoff`, whose weight grows with the levels seen."""
    seen = np.maximum(1, (counts > 0).sum(axis=1, keepdims=True))
    return np.asarray((counts + seen * backoff) / (counts.sum(axis=1, keepdims=True) + seen))


def _indices(x: np.ndarray, levels: int) -> np.ndarray:
    """Level indices int64 `[N, D]` of `x` `[N, *shape]`."""
    array = np.asarray(x)
    flat = array.reshape(len(array), -1)
    if flat.dtype.kind == "f":
        flat = np.rint((flat + 1) / 2 * (levels - 1))
    if flat.size and not (flat.min() >= 0 and flat.max() < levels):  # also for NaN
        raise FourfoldError(f"the data of a histogram leave its {levels} levels: needs indices, or values in [-1, 1]")
    return flat.astype(np.int64)
