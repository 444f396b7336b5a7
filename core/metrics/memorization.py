"""Memorization test: distances of samples to the training data against those of held-out real data."""

from __future__ import annotations

from typing import TypedDict

import numpy as np

from core.metrics.features import as_features, check_widths, nearest

SIGNIFICANT = 0.001
EXCESS = 0.05
QUERIES = 2000


class Memorization(TypedDict):
    """The result of `memorization_test`.

    Attributes:
        share, control_share: of samples that are near copies of training data, and of held-out data.
        p_value: of the hypothesis that `share` is at most `control_share` (sign test over the samples that are near
            copies of one set only).
        mann_whitney_p: of the hypothesis that samples are no nearer to training data than held-out data are
            (one-sided; small for blurred samples too).
        median_distance, held_out_median_distance: of samples and held-out data to the nearest training example.
        memorized: p_value < 0.001 and share - control_share > 0.05; `verdict`: the same as a sentence.
    """

    share: float
    control_share: float
    p_value: float
    mann_whitney_p: float
    median_distance: float
    held_out_median_distance: float
    memorized: bool
    verdict: str


def memorization_test(
    samples: np.ndarray, train: np.ndarray, held_out: np.ndarray, quantile: float = 0.05
) -> Memorization:
    """Whether samples are nearer to training examples than held-out data are (after Meehan et al. 2020).

    A sample is a near copy of training data where it is closer to its nearest training example than the fraction
    `quantile` of held-out examples to theirs; that is expected of a share of `quantile`. Blurred or simple samples
    are close to all data, so the control exchanges training and held-out data: only an excess over it is memorization.

    Args:
        samples, train, held_out: features or pixels `[N, ...]` in one space: all training examples, and at least some
            hundred held-out examples of the same distribution.

    Raises:
        FourfoldError: too few rows, different widths, values that are not finite.
    """
    from scipy.stats import binomtest, mannwhitneyu

    samples, held_out = as_features(samples, "the samples", 2), as_features(held_out, "the held-out data", 20)
    check_widths(samples, held_out, ("the samples", "the held-out data"))
    to_train, _ = nearest(samples, train)
    to_held, _ = nearest(samples, held_out)
    # A few thousand queries suffice for a quantile; as neighbours all rows are needed.
    held_to_train, _ = nearest(_some(held_out), train)
    train_to_held, _ = nearest(_some(train), held_out)
    copies = to_train < np.quantile(held_to_train, quantile)
    control = to_held < np.quantile(train_to_held, quantile)
    only, control_only = int((copies & ~control).sum()), int((control & ~copies).sum())
    p_value = binomtest(only, only + control_only, alternative="greater").pvalue if only + control_only else 1.0
    share, control_share = float(copies.mean()), float(control.mean())
    memorized = bool(p_value < SIGNIFICANT and share - control_share > EXCESS)
    return {
        "share": share, "control_share": control_share, "p_value": float(p_value),
        "mann_whitney_p": float(mannwhitneyu(to_train, held_to_train, alternative="less").pvalue),
        "median_distance": float(np.median(to_train)),
        "held_out_median_distance": float(np.median(held_to_train)),
        "memorized": memorized,
        "verdict": f"{share:.0%} of samples are near copies of training data, {control_share:.0%} of held-out data"
        + (": memorized" if memorized else ": no sign of memorization"),
    }


def _some(rows: np.ndarray) -> np.ndarray:
    """At most `QUERIES` random rows."""
    return rows[np.sort(np.random.default_rng(0).permutation(len(rows))[:QUERIES])]
