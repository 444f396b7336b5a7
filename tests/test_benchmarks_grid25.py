"""The grid of 25 Gaussians: its measures tell good from bad, and `--quick` does all that the full command does."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from benchmarks import grid25


def metrics_of(points: np.ndarray) -> dict:
    rows = [grid25.quality(points)]
    return grid25.summary(rows) | {"seeds": rows}


def test_real_points_reach_the_targets_and_bad_ones_do_not() -> None:
    real = grid25.draw(grid25.SAMPLES, 5)
    row = grid25.quality(real)
    assert row["modes"] == 25 and abs(row["high_quality"] - (1 - math.exp(-4.5))) < 0.01  # Rayleigh's law
    assert row["reverse_kl"] < 0.01 and grid25.reached(metrics_of(real))
    untrained = grid25.points_of(grid25.build(0), 0)
    blurred = real + 0.1 * np.random.default_rng(0).standard_normal(real.shape)
    lost = real[np.linalg.norm(real - grid25.CENTERS[3], axis=1) > 1]
    for points in (untrained, blurred, lost):
        assert not grid25.reached(metrics_of(points))
    assert grid25.quality(lost)["modes"] == 24 and abs(grid25.quality(lost)["reverse_kl"] - math.log(25 / 24)) < 0.01


def test_reverse_kl_takes_every_sample_or_those_of_high_quality() -> None:
    one, between = grid25.CENTERS[:1], (grid25.CENTERS + 0.5)[1:]
    row = grid25.quality(np.concatenate([one, between]))
    assert row["modes"] == 1 and row["high_quality"] == 1 / 25
    assert abs(row["reverse_kl"]) < 1e-12 and abs(row["reverse_kl_high_quality"] - math.log(25)) < 1e-12
    assert grid25.quality(between)["reverse_kl_high_quality"] == math.log(25)


def test_interval_is_of_students_t() -> None:
    low, high = grid25.interval([1.0, 2.0, 3.0]) or (0.0, 0.0)
    assert abs(low + high - 4) < 1e-12 and abs(high - 2 - 4.303 / math.sqrt(3)) < 1e-3
    assert grid25.interval([1.0]) is None


def test_quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "grid25.json"
    monkeypatch.setattr("sys.argv", ["grid25", "--quick", "--output", str(output)])
    with pytest.raises(SystemExit) as end:
        grid25.main()
    assert end.value.code == 0  # whatever it measured
    result = json.loads(output.read_text())
    assert {"command", "commit", "hardware", "seconds", "metrics"} == result.keys()
    metrics = result["metrics"]
    for key in grid25.MEASURES:
        assert {key, f"{key}_interval", f"{key}_floor"} <= metrics.keys()
        assert metrics["seeds"][0][key] == metrics[key] and key in metrics["untrained"]
    assert metrics["steps"] == 20 and metrics["settings"]["train"]["steps"] == 20
    assert not grid25.reached(metrics) and "untrained" in capsys.readouterr().out
