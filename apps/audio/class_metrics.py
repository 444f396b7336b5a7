"""How a classifier judges generated sounds: the scores that spoken digits (SC09) are compared by.

Of class probabilities p(y | x) `[N, classes]`, as in Kong et al. (DiffWave, 2009.09761), appendix D.
"""

from __future__ import annotations

import numpy as np

LEAST = 1e-12
"""A probability below counts as this one."""


def inception_score(p: np.ndarray) -> float:
    """exp E KL(p(y | x) || p(y)) (Salimans et al. 1606.03498): high where sounds are clear and classes many."""
    p = np.asarray(p, np.float64).clip(LEAST)
    return float(np.exp((p * (np.log(p) - np.log(p.mean(0)))).sum(1).mean()))


def modified_inception_score(p: np.ndarray) -> float:
    """exp E KL(p(y | x) || p(y | x')) over pairs (Gurumurthy et al. 1706.02071): also for variety within classes."""
    p = np.asarray(p, np.float64).clip(LEAST)
    logs = np.log(p)
    return float(np.exp((p * logs).sum(1).mean() - (p.mean(0) * logs.mean(0)).sum()))


def am_score(p: np.ndarray, shares: np.ndarray) -> float:
    """KL(shares || p(y)) + E H(p(y | x)) (Zhou et al. 1703.02000), `shares` `[classes]` of the data; low is good."""
    p, shares = np.asarray(p, np.float64).clip(LEAST), np.asarray(shares, np.float64).clip(LEAST)
    return float((shares * (np.log(shares) - np.log(p.mean(0)))).sum() - (p * np.log(p)).sum(1).mean())
