"""The benchmark of `compare` runs, and says whether a named family is confirmed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from quick_benchmarks import quick

from benchmarks.compare import findings
from benchmarks.readme_figures import RUNS


@pytest.mark.slow
def test_compare_benchmark_runs(tmp_path: Path) -> None:
    metrics = quick("compare", tmp_path, tmp_path, fine=(0, 1))["metrics"]
    row = metrics["digits"]
    assert row["measure"].startswith("fd_") and row["named"] in ("vae", "gan") and len(row["winners"]) == 1
    assert all(row["short"][family]["value"] > 0 for family in ("vae", "gan"))
    assert "digits" in RUNS["compare"](metrics)


def record(values: dict[str, float], winner: str, suspicious: tuple[str, ...] = ()) -> dict[str, Any]:
    rows = {name: {"measures": [{"name": "fd", "value": value, "interval": None, "better": "lower"}]}
            for name, value in values.items()}
    return {"decided_by": "fd", "rows": rows, "winner": {"family": winner, "second": None, "separated": True},
            "suspicious": list(suspicious), "held_out": 10, "training": 80}


def test_the_best_mean_of_the_longer_seeds_confirms(tmp_path: Path) -> None:
    short = record({"vae": 3.0, "gan": 2.0}, "gan")
    longer = [record({"vae": 1.0, "gan": 2.0}, "vae"), record({"vae": 3.0, "gan": 2.5}, "gan")]
    found = findings([short, *longer], tmp_path, ["vae", "gan"])
    assert found["longer_best"] == "vae" and found["winners"] == ["vae", "gan"] and found["confirmed"] is False
    assert found["longer"]["gan"] == {"values": [2.0, 2.5], "mean": 2.25}
    copied = findings([short, record({"vae": 1.0, "gan": 2.0}, "gan", ("vae",))], tmp_path, ["vae", "gan"])
    assert copied["longer_best"] == "gan" and copied["confirmed"] is True and copied["copying"] == ["vae"]
    table = RUNS["compare"]({"minutes": 1.5, "longer_minutes": 3.0, "drugs": found})
    assert "0 of 1 data sets" in table and "no: vae" in table
