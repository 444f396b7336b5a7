"""Comparisons with a peer, also where others use the machine: side by side on a core each, or slices in turn."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
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


def side_by_side(commands: Sequence[Sequence[str]]) -> None:
    """Run commands at the same moment, one thread each, on a core of its own; exit with code 2 where one fails."""
    cores = sorted(os.sched_getaffinity(0))
    workers = [
        subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"},
                         preexec_fn=partial(os.sched_setaffinity, 0, {cores[index % len(cores)]}))
        for index, command in enumerate(commands)
    ]
    if any([worker.wait() for worker in workers]):
        sys.exit(2)


def version(package: str) -> str:
    """An installed package's version."""
    return metadata.version(package)
