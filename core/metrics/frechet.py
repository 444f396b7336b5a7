"""Fréchet distance between Gaussians fitted to two sets of features, as in FID."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.metrics.features import as_features, check_widths

BLOCK = 8192


@dataclass(frozen=True)
class Moments:
    """A Gaussian: its mean `[D]`, and a root `[R, D]` of its covariance root^T root."""

    mean: np.ndarray
    root: np.ndarray

    @classmethod
    def fit(cls, x: np.ndarray, what: str = "the features") -> Moments:
        """Those of features `[N, D]`, with the unbiased covariance.

        Raises:
            FourfoldError: fewer than two rows, or values that are not finite.
        """
        x = as_features(x, what, 2)
        return cls(x.mean(axis=0), _root(x))

    @classmethod
    def of(cls, mean: np.ndarray, covariance: np.ndarray) -> Moments:
        """Those that were published as a mean `[D]` and a covariance `[D, D]`."""
        values, vectors = np.linalg.eigh(covariance.astype(float))
        return cls(mean.astype(float), np.sqrt(values.clip(min=0))[:, None] * vectors.T)

    def distance(self, other: Moments) -> float:
        """`frechet_distance` from these to others of as many features."""
        shift = self.mean - other.mean
        cross = np.linalg.svd(self.root @ other.root.T, compute_uv=False).sum()
        return float(max(0.0, shift @ shift + (self.root**2).sum() + (other.root**2).sum() - 2 * cross))


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """`|m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2))` of features `[N, D]`, `[M, D]` (Heusel et al. 2017, eq. 6).

    It is biased upwards for small N: compare only at equal N, and with the distance between two parts of real data
    (`floor`). With S = R^T R, tr((S_a S_b)^(1/2)) is the sum of the singular values of `R_a R_b^T`, which is real and
    stable also where N < D makes S singular, unlike the matrix square root.

    Raises:
        FourfoldError: fewer than two rows, different widths, values that are not finite.
    """
    a, b = as_features(a, "the first set of features", 2), as_features(b, "the second set of features", 2)
    check_widths(a, b, ("the first set", "the second"))
    return Moments.fit(a).distance(Moments.fit(b))


def _root(x: np.ndarray) -> np.ndarray:
    """R `[min(N, D), D]` with `R^T R` the unbiased covariance of `x` `[N, D]`, by QR decompositions of blocks."""
    mean = x.mean(axis=0)
    root = np.empty((0, x.shape[1]))
    for start in range(0, len(x), BLOCK):
        root = np.concatenate([root, x[start : start + BLOCK] - mean])
        if len(root) > x.shape[1]:
            root = np.asarray(np.linalg.qr(root, mode="r"))
    return np.asarray(root / np.sqrt(len(x) - 1))
