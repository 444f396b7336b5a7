"""The file a benchmark leaves: what ran, on what, for how long, and the figures."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.files import write_atomically
from core.runtime import cpu_count, cpu_name

FOLDER = Path(__file__).parent / "results"


def write_result(path: Path, metrics: Mapping[str, Any], started: float) -> None:
    """Write `{"command", "commit", "hardware", "seconds", "metrics"}`; `started` is of `time.time()`."""
    module, cores = Path(sys.argv[0]).stem, cpu_count()
    result = {
        "command": " ".join([f"python -m benchmarks.{module}", *sys.argv[1:]]), "commit": commit(),
        "hardware": f"{cpu_name()}, {cores} core{'s' if cores > 1 else ''}", "seconds": round(time.time() - started, 1),
        "metrics": dict(metrics),
    }
    write_plain_json(path, result)
    print(path)


def write_plain_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write a JSON object with no key added, in full or not at all."""
    write_atomically(path, (json.dumps(values, indent=2) + "\n").encode())


def commit() -> str:
    """The commit that is measured, marked when files differ from it."""
    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], capture_output=True, text=True, cwd=Path(__file__).parent, check=False)
        return done.stdout.strip()

    return git("rev-parse", "--short", "HEAD") + ("+changes" if git("status", "--porcelain", "-uno") else "")
