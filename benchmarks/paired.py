"""Speed against a peer's, where others use the machine too: short slices in turn, the median of their ratios."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from importlib import metadata


def ratio(ours: Callable[[], int], theirs: Callable[[], int], pairs: int) -> float:
    """Median over paired slices of how much more a second `ours` makes; each says how much it made, the first pair
    warms up."""
    ratios = []
    for _ in range(pairs + 1):
        rates = []
        for work in (ours, theirs):
            clock = time.perf_counter()
            rates.append(work() / (time.perf_counter() - clock))
        ratios.append(rates[0] / rates[1])
    return statistics.median(ratios[1:])


def version(package: str) -> str:
    """An installed package's version."""
    return metadata.version(package)
