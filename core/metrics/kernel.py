"""Kernel distance: squared maximum mean discrepancy with the polynomial kernel of KID."""

from __future__ import annotations

import numpy as np

from core.errors import FourfoldError
from core.metrics.features import as_features, check_widths


def kernel_distance(
    a: np.ndarray, b: np.ndarray, subsets: int = 100, subset_size: int = 1000, seed: int = 0
) -> float:
    """Mean over random subsets of the unbiased squared MMD of features `[N, D]` and `[M, D]` (Binkowski et al. 2018).

    The kernel is `(x.y / D + 1)^3`. For equal distributions the expectation is 0, and values can be negative. With
    `subsets=0` all rows are used at once. The subsets are those of torch-fidelity for the same seed; they are as
    large as the smaller set where that has fewer than `subset_size` rows.

    Raises:
        FourfoldError: fewer than two rows, different widths, values that are not finite.
    """
    return float(kernel_distances(a, b, subsets, subset_size, seed).mean())


def kernel_distances(
    a: np.ndarray, b: np.ndarray, subsets: int = 100, subset_size: int = 1000, seed: int = 0
) -> np.ndarray:
    """The distance of each subset, `[subsets]` (of all rows, `[1]`, for `subsets=0`), as in `kernel_distance`."""
    a, b = as_features(a, "the first set of features", 2), as_features(b, "the second set of features", 2)
    check_widths(a, b, ("the first set", "the second"))
    if subsets < 0 or subset_size < 2:
        raise FourfoldError(f"kernel distance of {subsets} subsets of {subset_size}: needs at least 0 of at least 2")
    if subsets == 0:
        return np.array([_mmd(a, b)])
    size = min(subset_size, len(a), len(b))
    random = np.random.RandomState(seed % 2**32)
    values = []
    for _ in range(subsets):
        rows_a = random.choice(len(a), size, replace=False)  # the order of draws is torch-fidelity's
        rows_b = random.choice(len(b), size, replace=False)
        values.append(_mmd(a[rows_a], b[rows_b]))
    return np.array(values)


def _mmd(a: np.ndarray, b: np.ndarray) -> float:
    """Unbiased squared MMD (Gretton et al. 2012, eq. 3)."""
    n, m = len(a), len(b)
    within_a = (_kernel_sum(a, a) - _kernel_diagonal(a)) / (n * (n - 1))
    within_b = (_kernel_sum(b, b) - _kernel_diagonal(b)) / (m * (m - 1))
    return within_a + within_b - 2 * _kernel_sum(a, b) / (n * m)


def _kernel_sum(a: np.ndarray, b: np.ndarray, rows: int = 2048) -> float:
    width = a.shape[1]
    return sum(float(((a[i : i + rows] @ b.T / width + 1) ** 3).sum()) for i in range(0, len(a), rows))


def _kernel_diagonal(a: np.ndarray) -> float:
    return float(((np.einsum("nd,nd->n", a, a) / a.shape[1] + 1) ** 3).sum())
