"""Agreement with MOSES' own measures, and their speed.

    python -m benchmarks.moses_metrics

Measures a frozen sample (molecules of ZINC-250k and of MOSES' training set, some of them twice, some broken) by
`molecules.measure` and by molsets' own functions (benchmarks/moses_peer.py), and writes
benchmarks/results/moses_metrics.json: max_abs_difference over all measures that both have on 3,000 of them; seconds_30k
and seconds_peer_30k on 30,000, by the clock, and core_seconds of both, as others may use the machine. The peer's
seconds are those of `--peer` molecules: of fewer than 30,000 each measure's are scaled by its order, IntDiv's by the
square, which `peer_is` says. train_row: 30,000 of MOSES' training molecules, beside what MOSES publishes of them.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from apps.molecules.data import moses_file, moses_smiles
from apps.molecules.measuring import TRAINING, measure
from benchmarks import moses_peer
from benchmarks.results_file import FOLDER, write_result
from core.data.sources import in_data, read_text
from core.errors import FourfoldError

AGREEMENT = 3_000
NAMES = {f"unique@{k}": f"unique@{k}" for k in (1000, 10000)} | {name: f"{name}/Test" for name in (
    "logP", "SA", "QED", "weight")}
"""The peer's names of what ours call otherwise."""


def sample(n: int) -> list[str]:
    """`n` strings: eight tenths of ZINC-250k, a tenth MOSES' training molecules, some again, some broken; shuffled."""
    path = in_data("molecules/zinc250k.smi.gz")
    if path is None:
        raise FourfoldError("molecules/zinc250k.smi.gz is not in $FOURFOLD_DATA: put wenhao-gao/mol_opt's file there")
    draws = np.random.default_rng(0)
    zinc, moses = read_text(path).split(), moses_smiles(moses_file("train.csv.gz"))
    made = [*(zinc[i] for i in draws.permutation(len(zinc))[: n * 8 // 10]),
            *(moses[i] for i in draws.permutation(len(moses))[: n // 10])]
    made += made[: n // 20]
    made += [text[:-1] + "(" for text in made[-(n - len(made)):]]
    return [made[i] for i in draws.permutation(n)]


def timed(work: Callable[[], dict[str, float]]) -> tuple[dict[str, float], float, float]:
    """What `work` returns, its seconds by the clock, and those of processors, its processes' included."""
    clock, before = time.perf_counter(), os.times()
    made = work()
    after = os.times()
    return made, time.perf_counter() - clock, sum(after[:4]) - sum(before[:4])


def peer_seconds(peer: Any, smiles: list[str], n: int, found: dict[str, float]) -> dict[str, float]:
    """Seconds that the peer would take for `n`: its table's of these and, as it grows by the square, IntDiv's apart."""
    mols = [mol for mol in map(peer.get_mol, smiles) if mol is not None]
    clock, before = time.perf_counter(), time.process_time()
    for p in (1, 2):
        peer.internal_diversity(mols, p=p)
    square = {"seconds": time.perf_counter() - clock, "core_seconds": time.process_time() - before}
    times = n / len(smiles)
    return {name: (found[name] - square[name]) * times + square[name] * times**2 for name in square}


def main() -> None:
    """Measure by both, compare, print, write; exit code 1 where they differ by .0005 or more."""
    parser = argparse.ArgumentParser(description="MOSES' measures against molsets' own.")
    parser.add_argument("--samples", type=int, default=30_000)
    parser.add_argument("--peer", type=int, default=30_000, help="molecules that the peer measures, for its seconds")
    parser.add_argument("--output", type=Path, default=FOLDER / "moses_metrics.json")
    parser.add_argument("--quick", action="store_true", help="60 molecules: checks the benchmark")
    options = parser.parse_args()
    agreement = AGREEMENT
    if options.quick:
        options.samples = options.peer = agreement = 60
    started, peer = time.time(), moses_peer.measures()
    smiles = sample(agreement)
    ours = measure(smiles)
    theirs, seconds, core = timed(lambda: peer.get_all_metrics(smiles, k=[1000, 10000]))
    differences = {name: abs(float(value) - ours[NAMES.get(name, name)]) for name, value in theirs.items()}
    if options.peer > agreement:
        _, seconds, core = timed(lambda: peer.get_all_metrics(sample(options.peer), k=[1000, 10000]))
    taken = {"seconds": seconds, "core_seconds": core}
    if options.peer < options.samples:
        taken = peer_seconds(peer, sample(options.peer), options.samples, taken)
    _, own, own_core = timed(lambda: measure(sample(options.samples)))
    train = moses_smiles(moses_file("train.csv.gz"))
    rows = np.random.default_rng(0).permutation(len(train))[: options.samples]
    row = measure([train[i] for i in rows])
    metrics = {
        "max_abs_difference": max(differences.values()), "differences": differences, "agreement_samples": agreement,
        "samples": options.samples, "seconds_30k": round(own, 1), "core_seconds_30k": round(own_core, 1),
        "seconds_peer_30k": round(taken["seconds"], 1), "core_seconds_peer_30k": round(taken["core_seconds"], 1),
        "peer_is": "measured" if options.peer >= options.samples else f"scaled from {options.peer:,} molecules",
        "peer": "molsets 0.3.1, one process", "measured": ours,
        "train_row": {name: {"value": row[name], "published": value} for name, value in TRAINING.items()},
    }
    for name, value in theirs.items():
        print(f"{name:14} {float(value):10.5f} {ours[NAMES.get(name, name)]:10.5f}")
    print(f"ours {own:.0f} s, peer {taken['seconds']:.0f} s ({metrics['peer_is']})")
    write_result(options.output, metrics, started)
    sys.exit(0 if metrics["max_abs_difference"] < 5e-4 else 1)


if __name__ == "__main__":
    main()
