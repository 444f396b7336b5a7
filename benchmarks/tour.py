"""The tour for several seeds: does each of the twenty cells beat its baseline, every time?

    python -m benchmarks.tour --seeds 3

Writes benchmarks/results/tour.json: metrics["<domain>/<family>/<seed>"] is {measure, value, baseline, floor, interval,
seconds, beats_baseline}, metrics["minutes/<seed>"] the clock time of that seed's tour.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from apps.cli import DOMAINS, worker
from benchmarks.results_file import FOLDER, write_result
from core.tour.tour import FAMILIES, choose, tour

KEYS = ("measure", "value", "baseline", "baseline_name", "floor", "interval", "kind", "seconds", "beats_baseline")


def main() -> None:
    """Run, print a table, write the file; exit code 1 if a cell failed or lost to its baseline."""
    parser = argparse.ArgumentParser(description="The tour for several seeds.")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--minutes", type=float, help="of each tour; by default what the recipes say")
    parser.add_argument("--run", type=Path, help="keep the runs here; the same folder continues")
    parser.add_argument("--domains")
    parser.add_argument("--families")
    parser.add_argument("--output", type=Path, default=FOLDER / "tour.json")
    parser.add_argument("--quick", action="store_true", help="one seed, one cell, a few steps: checks the benchmark")
    options = parser.parse_args()
    domains = choose(options.domains or ("image" if options.quick else None), list(DOMAINS), "--domains")
    families = choose(options.families or ("vae" if options.quick else None), FAMILIES, "--families")
    minutes, seeds = (0.01, 1) if options.quick else (options.minutes, options.seeds)
    started = time.time()
    with tempfile.TemporaryDirectory() as scratch:
        home = options.run or Path(scratch)
        metrics: dict[str, Any] = {}
        for seed in range(seeds):
            tour(domains, families, home / f"seed-{seed}", worker, seed=seed, minutes=minutes)
            metrics |= rows(json.loads((home / f"seed-{seed}" / "tour.json").read_text()), seed)
    write_result(options.output, metrics, started)
    print(table(metrics))
    sys.exit(0 if all(row["beats_baseline"] for key, row in metrics.items() if "minutes" not in key) else 1)


def rows(record: dict[str, Any], seed: int) -> dict[str, Any]:
    """One tour.json as flat rows."""
    metrics: dict[str, Any] = {f"minutes/{seed}": record["minutes"]}
    for domain, families in record["cells"].items():
        for family, cell in families.items():
            row = {key: cell.get(key) for key in KEYS}
            metrics[f"{domain}/{family}/{seed}"] = row | ({"error": cell["error"]} if "error" in cell else {})
    return metrics


def table(metrics: dict[str, Any]) -> str:
    """A line per cell: value against baseline for each seed."""
    lines = []
    for name in dict.fromkeys(key.rpartition("/")[0] for key in metrics if not key.startswith("minutes/")):
        seeds = [row for key, row in metrics.items() if key.rpartition("/")[0] == name]
        values = "  ".join("failed" if row["value"] is None else f"{row['value']:8.4g}" for row in seeds)
        baseline = seeds[0]["baseline"]
        won = sum(bool(row["beats_baseline"]) for row in seeds)
        against = "none" if baseline is None else f"{baseline:.4g} ({seeds[0]['baseline_name']})"
        measure = seeds[0]["measure"] or ""
        lines.append(f"{name:26} {measure:26} {values}  baseline {against}  beaten {won}/{len(seeds)}")
    minutes = ", ".join(f"{value:.1f}" for key, value in metrics.items() if key.startswith("minutes/"))
    return "\n".join([*lines, f"minutes: {minutes}"])


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    main()
