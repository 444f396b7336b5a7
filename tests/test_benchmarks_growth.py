"""The benchmark of growing data runs, and preparing takes little memory."""

import gzip
import sys
from pathlib import Path

import pytest
from quick_benchmarks import quick


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured as Linux does")
def test_growth_benchmark_runs(tmp_path: Path) -> None:
    moses = tmp_path / "data" / "molecules" / "moses"
    moses.mkdir(parents=True)
    chains = [f"C{'C' * (i % 13)}N{'C' * (i // 13 % 13)}O{'C' * (i // 169)}" for i in range(2197)]
    for name, rows in (("train", chains), ("test", chains[:300])):
        (moses / f"{name}.csv.gz").write_bytes(gzip.compress("\n".join(["SMILES,SPLIT", *rows]).encode()))
    metrics = quick("growth", tmp_path, tmp_path)["metrics"]
    assert {"molecules/60", "pictures/60", "text/2"} <= metrics.keys()
    for row in metrics.values():
        assert 0 < row["own_gib"] <= row["resident_gib"] and row["above_gib"] < 2 and row["examples"] > 20
