"""Benchmarks run: `--quick` does all that the full one does, on less."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from PIL import Image

from benchmarks.readme import table

ROOT = Path(__file__).parent.parent


def test_tour_benchmark_and_picture(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.tour", "--quick", "--run", tmp_path / "runs", "--output",
               tmp_path / "tour.json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    result = json.loads((tmp_path / "tour.json").read_text())
    assert {"command", "commit", "hardware", "seconds", "metrics"} == result.keys(), done.stderr
    row = result["metrics"]["image/vae/0"]
    assert {"measure", "value", "baseline", "floor", "seconds", "beats_baseline"} <= row.keys() and row["value"] > 0
    assert result["metrics"]["minutes/0"] > 0 and "image/vae" in done.stdout
    assert done.returncode == (0 if row["beats_baseline"] else 1)
    picture = [sys.executable, "-m", "benchmarks.readme", tmp_path / "runs" / "seed-0", "--picture-only",
               "--picture", tmp_path / "tour.png"]
    subprocess.run(picture, cwd=ROOT, check=True, timeout=60)
    assert "| image | vae | `fd" in table(result) and "of 1 beat their" in table(result)
    assert len(Image.open(tmp_path / "tour.png").convert("L").getcolors() or []) > 2
