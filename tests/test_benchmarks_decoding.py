"""The decoding benchmark runs: `--quick` does all that the full one does, on less."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def test_decoding_benchmark_runs(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    output = tmp_path / "result.json"
    command: list[str | Path] = [sys.executable, "-m", "benchmarks.decoding", "--quick", "--output", output]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    result = json.loads(output.read_text())
    assert {"command", "commit", "hardware", "seconds", "metrics"} == result.keys()
    metrics = result["metrics"]
    for key in ("tokens_per_second", "ratio_to_transformers", "ratio_to_transformers_float32"):
        assert metrics[key] > 0 and metrics[f"{key}_batch"] > 0
    assert {"batch", "slices", "parameters", "parameters_transformers", "transformers_version"} <= metrics.keys()
    assert "times in float32" in done.stdout
