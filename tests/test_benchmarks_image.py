"""Benchmarks of pictures run: `--quick` does all that the full one does, on less."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from quick_benchmarks import ROOT, quick

from benchmarks.readme import table
from benchmarks.readme_figures import IMAGE


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data, and with the cache of what the benchmarks make of them."""
    folder = tmp_path_factory.mktemp("home")
    stand_in(folder / "data")
    return folder


def test_tour_benchmark_and_picture(tmp_path: Path) -> None:
    command: list[str | Path] = [sys.executable, "-m", "benchmarks.tour", "--quick", "--run", tmp_path / "runs",
                                 "--output", tmp_path / "tour.json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    result = json.loads((tmp_path / "tour.json").read_text())
    assert {"command", "commit", "hardware", "seconds", "metrics"} == result.keys(), done.stderr
    row = result["metrics"]["image/vae/0"]
    assert {"measure", "value", "baseline", "floor", "seconds", "beats_baseline"} <= row.keys() and row["value"] > 0
    assert result["metrics"]["minutes/0"] > 0 and "image/vae" in done.stdout
    assert done.returncode == (0 if row["beats_baseline"] else 1)
    picture: list[str | Path] = [sys.executable, "-m", "benchmarks.readme", tmp_path / "runs" / "seed-0",
                                 "--picture-only", "--picture", tmp_path / "tour.png"]
    subprocess.run(picture, cwd=ROOT, check=True, timeout=60)
    assert "| image | vae | `fd" in table(result) and "of 1 beat their" in table(result)
    assert len(Image.open(tmp_path / "tour.png").convert("L").getcolors() or []) > 2


@pytest.mark.parametrize(("name", "keys"), [
    ("mnist_likelihood", {"vae_iwae_nats", "autoregressive_nats"}),
    ("fashion_families", {"gan", "diffusion", "classifier_test_accuracy"}),
    ("fashion_vs_diffusers", {"fd_ours", "fd_peer", "train_images_per_second_ratio", "sample_images_per_second_ratio"}),
    ("fashion_enhance", {"upscale2", "denoise", "inpaint"}),
])
def test_image_benchmarks_run(name: str, keys: set[str], home: Path, tmp_path: Path) -> None:
    result = quick(name, home, tmp_path)
    assert keys <= result["metrics"].keys() and f"benchmarks.{name}" in result["command"]
    assert len(IMAGE[name](result["metrics"])) > 100  # README can tell it


def stand_in(folder: Path) -> None:
    """A data folder whose MNIST and Fashion-MNIST are random: enough to see that a benchmark runs."""
    rng = np.random.default_rng(0)
    sizes = {"train": 5200, "test": 300}
    mnist, fashion = folder / "image" / "mnist", folder / "image" / "fashion-mnist"
    mnist.mkdir(parents=True)
    fashion.mkdir(parents=True)
    arrays: dict[str, Any] = {}
    for name, n in sizes.items():
        x, y = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8), np.arange(n, dtype=np.uint8) % 10
        arrays |= {f"x_{name}": x, f"y_{name}": y}
        prefix = "train" if name == "train" else "t10k"
        for kind, array in (("images-idx3", x), ("labels-idx1", y)):
            header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
            (fashion / f"{prefix}-{kind}-ubyte.gz").write_bytes(gzip.compress(header + array.tobytes(), 1))
    np.savez(mnist / "mnist.npz", **arrays)
