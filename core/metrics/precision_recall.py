"""Precision, recall, density and coverage of samples, by k nearest neighbours."""

from __future__ import annotations

import numpy as np

from core.errors import FourfoldError
from core.metrics.features import as_features, check_widths, distance_blocks, neighbour_radii


def prdc(real: np.ndarray, fake: np.ndarray, k: int = 5) -> dict[str, float]:
    """`precision`, `recall` (Kynkäänniemi et al. 2019), `density`, `coverage` (Naeem et al. 2020).

    The ball of a row reaches to its k-th nearest neighbour in its own set. precision: share of fake rows in any real
    ball; recall: share of real rows in any fake ball; density: mean number of real balls around a fake row, / k;
    coverage: share of real balls with a fake row inside. All depend on N: compare at equal N only.

    Args:
        real, fake: features `[N, D]` and `[M, D]`, each with more than `k` rows.

    Raises:
        FourfoldError: too few rows, different widths, values that are not finite.
    """
    if k < 1:
        raise FourfoldError(f"k is {k}: must be at least 1")
    real, fake = as_features(real, "the real features", k + 1), as_features(fake, "the fake features", k + 1)
    check_widths(real, fake, ("the real set", "the fake set"))
    real_radii, fake_radii = neighbour_radii(real, k), neighbour_radii(fake, k)
    holders = np.zeros(len(fake))  # number of real balls around each fake row
    recalled = np.zeros(len(real), bool)
    closest = np.full(len(real), np.inf)
    for rows, block in distance_blocks(real, fake):
        holders += (block < real_radii[rows, None]).sum(axis=0)
        recalled[rows] = (block < fake_radii).any(axis=1)
        closest[rows] = block.min(axis=1)
    return {
        "precision": float((holders > 0).mean()), "recall": float(recalled.mean()),
        "density": float(holders.mean() / k), "coverage": float((closest < real_radii).mean()),
    }
