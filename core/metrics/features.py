"""Features (or flattened pixels) as float64 `[N, D]`, Euclidean distances between them, and nearest neighbours."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from core.errors import FourfoldError

CHUNK_NUMBERS = 2**23
"""The most distances held in memory at once (64 MB)."""

POINTS_AT_ONCE = 16384
"""The most points converted to float64 at once."""


def as_features(x: np.ndarray, name: str, at_least: int = 1) -> np.ndarray:
    """`x` `[N, ...]`, an array or a tensor, as float64 `[N, D]`; `name`: what errors call it.

    Raises:
        FourfoldError: fewer than `at_least` rows, or values that are not finite.
    """
    array = np.asarray(x, dtype=np.float64)
    if array.ndim < 2:
        raise FourfoldError(f"{name} has shape {array.shape}: needs [N, D]")
    if len(array) < at_least:
        raise FourfoldError(f"{name} has {len(array)} rows: needs at least {at_least}")
    array = array.reshape(len(array), -1)
    if not np.isfinite(array).all():
        row = int((~np.isfinite(array).all(axis=1)).argmax())
        raise FourfoldError(f"{name} has values that are not finite, first in row {row}")
    return array


def check_widths(a: np.ndarray, b: np.ndarray, names: tuple[str, str]) -> None:
    """Raise FourfoldError where features `[N, D]` and `[M, D]` are of different widths D."""
    if a.shape[1] != b.shape[1]:
        raise FourfoldError(f"{names[0]} has {a.shape[1]} features and {names[1]} {b.shape[1]}: must be the same space")


def distance_blocks(a: np.ndarray, b: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Euclidean distances of `a` `[N, D]` to `b` `[M, D]`, in blocks `[rows, M]`, each with its slice of `a`."""
    # |a - b|^2 = |a|^2 + |b|^2 - 2ab is fast, and accurate where the mean is near 0.
    centre = b.mean(axis=0)
    a, b = a - centre, b - centre
    squares = np.einsum("md,md->m", b, b)
    rows = max(1, CHUNK_NUMBERS // len(b))
    for start in range(0, len(a), rows):
        block = a[start : start + rows]
        distances = block @ b.T
        distances *= -2
        distances += squares
        distances += np.einsum("nd,nd->n", block, block)[:, None]
        np.maximum(distances, 0, out=distances)
        yield slice(start, start + len(block)), np.sqrt(distances, out=distances)


def nearest(queries: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance `[N]` to, and index `[N]` of, the nearest of `points` `[M, ...]` for each of `queries` `[N, ...]`.

    `points` are converted to float64 block by block: they may be small integers, or memory-mapped.

    Raises:
        FourfoldError: no rows, different widths, values that are not finite.
    """
    queries = as_features(queries, "queries")
    if not len(points):
        raise FourfoldError("points has 0 rows: needs at least 1")
    best, indices = np.full(len(queries), np.inf), np.zeros(len(queries), np.int64)
    for start in range(0, len(points), POINTS_AT_ONCE):
        block = as_features(points[start : start + POINTS_AT_ONCE], "points")
        check_widths(queries, block, ("queries", "points"))
        for rows, distances in distance_blocks(queries, block):
            index = distances.argmin(axis=1)
            nearer = np.arange(len(index))[distances[np.arange(len(index)), index] < best[rows]]
            at, index = nearer + rows.start, index[nearer]
            indices[at] = start + index
            best[at] = np.linalg.norm(queries[at] - block[index], axis=1)  # exactly 0 for copies
    return best, indices


def neighbour_radii(x: np.ndarray, k: int) -> np.ndarray:
    """Distance `[N]` from each row of `x` `[N, D]` to its k-th nearest other row."""
    radii = np.empty(len(x))
    for rows, block in distance_blocks(x, x):
        block[np.arange(len(block)), np.arange(rows.start, rows.stop)] = 0  # the distance of a row to itself
        radii[rows] = np.partition(block, k, axis=1)[:, k]
    return radii
