"""Run a benchmark in its quick way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


def quick(name: str, home: Path, scratch: Path, fine: tuple[int, ...] = (0,)) -> dict[str, Any]:
    """What a benchmark writes into `scratch` when it is run in its quick way on `home`/data, with `home`/cache; `fine`
    are the exit codes that it may have."""
    output = scratch / "result.json"
    command: list[str | Path] = [sys.executable, "-m", f"benchmarks.{name}", "--quick", "--output", output]
    environment = {**os.environ, "FOURFOLD_DATA": str(home / "data"), "FOURFOLD_CACHE": str(home / "cache"),
                   "OMP_NUM_THREADS": "1"}  # two of these run side by side
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900, env=environment)
    assert done.returncode in fine, done.stderr
    result: dict[str, Any] = json.loads(output.read_text())
    assert {"command", "commit", "hardware", "seconds", "metrics"} == result.keys()
    return result
