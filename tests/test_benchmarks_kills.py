"""A few kills of small runs of one process and of two; `python -m benchmarks.kills` makes 300."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the runs are forked")
def test_killed_runs_end_with_the_files_of_an_unbroken_one(tmp_path: Path) -> None:
    output = tmp_path / "kills.json"
    command: list[str | Path] = [sys.executable, "-m", "benchmarks.kills", "--quick", "--output", output]
    done = subprocess.run(command, cwd=Path(__file__).parent.parent,
                          capture_output=True, text=True, timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    assert json.loads(output.read_text())["metrics"]["kills"] == 8
    assert "8 kills" in done.stdout and "image diffusion (2): 4 kills" in done.stdout
