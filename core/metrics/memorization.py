"""Memorization test: distances of samples to the training data against those of held-out real data."""

from __future__ import annotations

from typing import TypedDict

import numpy as np

from core.metrics.features import as_features, check_widths, nearest
from core.metrics.intervals import wilson

SIGNIFICANT = 0.001
EXCESS = 0.05
QUERIES = 2000
FEWEST = 20
TWIN = 0.25
TYPICAL = 0.75


class Memorization(TypedDict):
    """The result of `memorization_test`.

    Attributes:
        share: of samples that are near copies of training data.
        control_share: what is expected of honest samples: those near held-out data, and the share of twins.
        twins: held-out examples that are copies or near copies of training data, and were set aside; `held_out`: the
            others.
        p_value: of the hypothesis that `share` is at most `control_share` (sign test over the samples that are near
            copies of one set only).
        mann_whitney_p: of the hypothesis that samples are no nearer to training data than held-out data without twins
            are (one-sided; small for blurred samples too).
        median_distance, held_out_median_distance: of samples and held-out data to the nearest training example.
        memorized: p_value < 0.001 and share - control_share > 0.05. Where it is not: None if fewer than `FEWEST`
            held-out examples, or fewer than half of them, are left to judge by. `verdict`: the same as a sentence.
    """

    share: float
    control_share: float
    twins: int
    held_out: int
    p_value: float
    mann_whitney_p: float
    median_distance: float
    held_out_median_distance: float
    memorized: bool | None
    verdict: str


def memorization_test(
    samples: np.ndarray, train: np.ndarray, held_out: np.ndarray, quantile: float = 0.05, near: float = 0.0
) -> Memorization:
    """Whether samples are nearer to training examples than held-out data are (after Meehan et al. 2020).

    Data hold duplicates, and then held-out data are near training data too. So held-out examples that have a twin in
    the training data are set aside: those nearer to it than `near`, or than a quarter (`TWIN`) of the distance that
    is `TYPICAL` to a third of the training data, which most twins are not in. A sample is a near copy where it is as
    near as twins are, or nearer than the fraction
    `quantile` of the other held-out examples, which is expected of a share of `quantile`. Blurred or simple samples
    are close to all data, so the control exchanges training and held-out data; and honest samples have twins as often
    as held-out data have. Only an excess over both is memorization.

    Args:
        samples, train, held_out: features or pixels `[N, ...]` in one space: all training examples, and at least some
            hundred held-out examples of the same distribution.
        near: the Euclidean distance up to which two examples are the same to a person.

    Raises:
        FourfoldError: too few rows, different widths, values that are not finite.
    """
    from scipy.stats import binomtest, mannwhitneyu

    samples, held_out = as_features(samples, "the samples", 2), as_features(held_out, "the held-out data", 2)
    check_widths(samples, held_out, ("the samples", "the held-out data"))
    # A few thousand held-out rows suffice for a quantile; of training data all rows are needed.
    held_out = _some(held_out)
    to_train, _ = nearest(samples, train)
    held_to_train, _ = nearest(held_out, train)
    to_third, _ = nearest(held_out, _some(train, -(-len(train) // 3)))
    twin = max(near, TWIN * float(np.quantile(to_third, TYPICAL)))
    others = held_to_train > twin
    twins, left = int((~others).sum()), int(others.sum())
    copies, control = to_train <= twin, np.zeros(len(samples), bool)
    if left >= FEWEST:
        to_held, _ = nearest(samples, held_out[others])
        train_to_held, _ = nearest(_some(train), held_out[others])
        copies = to_train <= max(twin, float(np.quantile(held_to_train[others], quantile)))
        control = to_held <= max(twin, float(np.quantile(train_to_held, quantile)))
    only, control_only = int((copies & ~control).sum()), int((control & ~copies).sum())
    # As many twins as honest samples may well have, as far as these held-out data can say.
    control_only += round(wilson(twins, len(held_out))[1] * len(samples))
    p_value = binomtest(only, only + control_only, alternative="greater").pvalue if only + control_only else 1.0
    share, control_share = float(copies.mean()), min(1.0, float(control.mean()) + twins / len(held_out))
    judged = left >= FEWEST
    memorized: bool | None = judged and bool(p_value < SIGNIFICANT and share - control_share > EXCESS)
    if not memorized and not (judged and left >= twins):
        memorized = None
    set_aside = f" (of {len(held_out):,} held-out, {twins:,} with a copy in the training data)" if twins else ""
    expected = f", {control_share:.0%} of held-out data" if judged else ""
    ends = {True: "memorized", False: "no sign of memorization",
            None: f"no verdict, as {left:,} held-out without a copy in the training data are too few"}
    return {
        "share": share, "control_share": control_share, "twins": twins, "held_out": left, "p_value": float(p_value),
        "mann_whitney_p": float(mannwhitneyu(to_train, held_to_train[others], alternative="less").pvalue)
        if left else 1.0,
        "median_distance": float(np.median(to_train)),
        "held_out_median_distance": float(np.median(held_to_train)),
        "memorized": memorized,
        "verdict": f"{share:.0%} of samples are near copies of training data{expected}{set_aside}: {ends[memorized]}",
    }


def _some(rows: np.ndarray, most: int = QUERIES) -> np.ndarray:
    """At most `most` random rows."""
    return rows[np.sort(np.random.default_rng(0).permutation(len(rows))[:most])]
