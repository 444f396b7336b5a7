"""Do samples copy the training data? Nearest neighbours of samples against those of held-out real data."""

from __future__ import annotations

from typing import Any

import numpy as np

from core.metrics.features import as_features, check_widths, nearest

SIGNIFICANT = 0.001
EXCESS = 0.05
QUERIES = 2000


def memorization_test(
    samples: np.ndarray, train: np.ndarray, held_out: np.ndarray, quantile: float = 0.05
) -> dict[str, Any]:
    """Compare how near samples come to training examples with how near honest data come.

    A sample is a near copy where it is closer to its nearest training example than `quantile` of held-out
    examples are to theirs. Blurred or plain samples are near everything, training data or not, so the
    same is asked with the roles of training and held-out data exchanged: only an excess over that is memory.
    (The idea of Meehan et al. 2020, with the second comparison as the control.)

    Args:
        samples, train, held_out: features or pixels `[N, ...]` of one space; train holds all the examples
            trained on; held-out data, from the same distribution, a few hundred at least.

    Returns:
        share: of samples that are near copies of training data; about `quantile` for honest data.
        control_share: the same, of held-out data. p_value: of share being no higher than control_share (sign
            test over the samples that are one and not the other). mann_whitney_p: of samples being no nearer to
            training data than held-out data are (one-sided; small for blurred samples too). median_distance,
            held_out_median_distance: to the nearest training example. memorized: whether p_value < 0.001 and the
            excess is above 0.05. verdict: the same in words.

    Raises:
        FourfoldError: too few rows, different widths, values that are not finite.
    """
    from scipy.stats import binomtest, mannwhitneyu

    samples, held_out = as_features(samples, "the samples", 2), as_features(held_out, "the held-out data", 20)
    check_widths(samples, held_out, ("the samples", "the held-out data"))
    to_train, _ = nearest(samples, train)
    to_held, _ = nearest(samples, held_out)
    # All are needed as neighbours, but not as queries: a few thousand settle a quantile.
    held_to_train, _ = nearest(_some(held_out), train)
    train_to_held, _ = nearest(_some(train), held_out)
    copies = to_train < np.quantile(held_to_train, quantile)
    control = to_held < np.quantile(train_to_held, quantile)
    only, control_only = int((copies & ~control).sum()), int((control & ~copies).sum())
    p_value = binomtest(only, only + control_only, alternative="greater").pvalue if only + control_only else 1.0
    share, control_share = float(copies.mean()), float(control.mean())
    memorized = bool(p_value < SIGNIFICANT and share - control_share > EXCESS)
    return {
        "share": share,
        "control_share": control_share,
        "p_value": float(p_value),
        "mann_whitney_p": float(mannwhitneyu(to_train, held_to_train, alternative="less").pvalue),
        "median_distance": float(np.median(to_train)),
        "held_out_median_distance": float(np.median(held_to_train)),
        "memorized": memorized,
        "verdict": f"{share:.0%} of samples are near copies of training data, {control_share:.0%} of held-out data"
        + (": memorized" if memorized else ": no sign of memorization"),
    }


def _some(rows: np.ndarray) -> np.ndarray:
    return rows[np.sort(np.random.default_rng(0).permutation(len(rows))[:QUERIES])]
