"""Does `compare` name the family that longer trainings confirm? On three data sets of different kind.

    python -m benchmarks.compare --run runs/bench-compare

Pictures (the 8x8 digits, by class, as a folder of files), text (the beginning of Tiny Shakespeare as one
file) and molecules (MOSES' first training rows as one .smi file) are given to `compare` as a user gives them: once for
a short time, then for a longer one with each of three other seeds.
Writes benchmarks/results/compare.json: metrics[data] is {measure, named, second, separated, short: family -> {value,
interval}, longer: family -> {values, mean}, longer_best, winners (one a seed), confirmed, copying, core_seconds}.
`confirmed` is whether the family of the best mean over the longer seeds is the one that was named. Minutes are by the
clock; "core_seconds" are those that the processor spent on each family's training and judging.
"""

from __future__ import annotations

import argparse
import gzip
import importlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from apps.molecules.data import moses_files
from benchmarks.results_file import FOLDER, write_result
from core.data.sources import in_data
from core.errors import FourfoldError
from core.files import read_json
from core.serialization import Json
from core.tour.compare import compare
from core.tour.tour import FAMILIES, choose

CHARACTERS, MOLECULES = 400_000, 5_000


def digits(folder: Path) -> Path:
    """scikit-learn's digits, a folder a class."""
    from sklearn.datasets import load_digits

    found = load_digits()
    for index, (pixels, label) in enumerate(zip(found.images, found.target, strict=True)):
        (folder / "digits" / str(label)).mkdir(parents=True, exist_ok=True)
        Image.fromarray((pixels * (255 / 16)).astype(np.uint8)).save(folder / "digits" / str(label) / f"{index}.png")
    return folder / "digits"


def plays(folder: Path) -> Path:
    """The beginning of Tiny Shakespeare."""
    found = in_data("text/tinyshakespeare.txt")
    if found is None:
        raise FourfoldError("put tinyshakespeare.txt into text/ of the folder $FOURFOLD_DATA names")
    (folder / "plays.txt").write_text(found.read_text(encoding="utf-8")[:CHARACTERS], encoding="utf-8")
    return folder / "plays.txt"


def drugs(folder: Path) -> Path:
    """The first training molecules of MOSES."""
    train = next(path for path in moses_files() if path.name.startswith("train"))
    lines = gzip.decompress(train.read_bytes()).decode().splitlines()
    rows = [row.partition(",")[0] for row in lines[1 : MOLECULES + 1]]
    (folder / "drugs.smi").write_text("".join(f"{row}\n" for row in rows))
    return folder / "drugs.smi"


Compared = tuple[str, Callable[[Path], Path]]
DATA: dict[str, Compared] = {"digits": ("image", digits), "plays": ("text", plays), "drugs": ("molecules", drugs)}
"""Data sets by name: the domain, and how its files are made."""


def main() -> None:
    """Compare, print, write after each data set; exit code 1 where a named family is not confirmed."""
    parser = argparse.ArgumentParser(description="Does `compare` name the family that longer trainings confirm?")
    parser.add_argument("--minutes", type=float, default=1.5, help="of each family, for the comparison in question")
    parser.add_argument("--longer", type=float, default=3.0, help="of each family, for the seeds that confirm it")
    parser.add_argument("--seeds", type=int, default=3, help="that confirm")
    parser.add_argument("--data", help="some of them, e.g. digits,plays")
    parser.add_argument("--run", type=Path, help="keep the runs here; the same folder continues")
    parser.add_argument("--output", type=Path, default=FOLDER / "compare.json")
    parser.add_argument("--quick", action="store_true", help="two families, one seed, seconds: checks the benchmark")
    options = parser.parse_args()
    families = list(FAMILIES)
    if options.quick:
        options.minutes, options.longer, options.seeds, families = 0.01, 0.02, 1, ["vae", "gan"]
    names = choose(options.data or ("digits" if options.quick else None), DATA, "--data")
    metrics: dict[str, Any] = {"minutes": options.minutes, "longer_minutes": options.longer}
    spent = 0.0
    with tempfile.TemporaryDirectory() as scratch:
        home = options.run or Path(scratch)
        for name in names:
            records = []
            for seed in range(options.seeds + 1):
                minutes = options.longer if seed else options.minutes
                records.append(compared(name, home, seed, minutes * len(families), families))
            metrics[name] = findings(records, home / "runs" / name, families)
            spent += 60 * sum(record["minutes_spent"] for record in records)
            write_result(options.output, metrics, time.time() - spent)
    print(table({name: metrics[name] for name in names}))
    sys.exit(0 if all(metrics[name]["confirmed"] for name in names) else 1)


def compared(name: str, home: Path, seed: int, minutes: float, families: Sequence[str]) -> Json:
    """The record of a comparison, which goes on where it was interrupted."""
    domain, make = DATA[name]
    files = home / "data"
    files.mkdir(parents=True, exist_ok=True)
    value: Any = importlib.import_module(f"apps.{domain}.domain").DOMAIN
    return compare(value, [sys.executable, "-m", f"apps.{domain}"], data=make(files), minutes=minutes, seed=seed,
                   families=families, folder=home / "runs" / name / f"seed-{seed}").record


def findings(records: Sequence[Json], runs: Path, families: Sequence[str]) -> dict[str, Any]:
    """What the first record names, and whether the others confirm it."""
    short, *longer = records
    winner = short["winner"] or {}
    decides = short["decided_by"]

    def measure(record: Json, family: str) -> Json:
        found = record["rows"][family].get("measures", [])
        return next((one for one in found if one["name"] == decides), {"value": None, "interval": None, "better": ""})

    values = {family: [measure(record, family)["value"] for record in longer] for family in families}
    means = {family: None if None in some else sum(some) / len(some) for family, some in values.items()}
    sign = -1 if measure(short, families[0])["better"] == "higher" else 1
    copying = sorted({name for record in longer for name in record["suspicious"]})
    ranked = sorted((family for family, mean in means.items() if mean is not None and family not in copying),
                    key=lambda family: sign * (means[family] or 0.0))
    return {
        "measure": decides, "named": winner.get("family"), "second": winner.get("second"),
        "separated": winner.get("separated"),
        "short": {family: {key: measure(short, family)[key] for key in ("value", "interval")} for family in families},
        "longer": {family: {"values": values[family], "mean": means[family]} for family in families},
        "longer_best": ranked[0] if ranked else None,
        "winners": [(record["winner"] or {}).get("family") for record in longer],
        "longer_separated": [(record["winner"] or {}).get("separated") for record in longer],
        "confirmed": bool(ranked) and ranked[0] == winner.get("family"), "copying": copying,
        "held_out": short["held_out"], "training": short["training"],
        "core_seconds": {f"seed-{seed}": {family: read_json(cell).get("core_seconds") for family in families
                                          if (cell := runs / f"seed-{seed}" / family / "cell.json").is_file()}
                         for seed in range(len(records))},
    }


def table(metrics: dict[str, Any]) -> str:
    """A line a data set: the named family, and each family's values."""
    lines = []
    for name, found in metrics.items():
        values = "  ".join(
            f"{family} {_figure(found['short'][family]['value'])} -> {_figure(row['mean'])}"
            for family, row in found["longer"].items())
        word = "confirmed" if found["confirmed"] else f"not confirmed ({found['longer_best']})"
        apart = "told apart" if found["separated"] else "not told apart"
        lines.append(f"{name:8} {found['measure']}: {found['named']} ({apart}), {word}: {values}")
    return "\n".join(lines)


def _figure(value: float | None) -> str:
    return "failed" if value is None else f"{value:.4g}"


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    main()
