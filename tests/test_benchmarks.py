"""Benchmarks run: `--quick` does all that the full one does, on less."""

from __future__ import annotations

import argparse
import gzip
import inspect
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks.readme import table
from benchmarks.readme_figures import IMAGE, TEXT

ROOT = Path(__file__).parent.parent


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
def test_image_benchmarks_run(name: str, keys: set[str], tmp_path: Path) -> None:
    result = quick(name, stand_in(tmp_path / "data"), tmp_path)
    assert keys <= result["metrics"].keys() and f"benchmarks.{name}" in result["command"]
    assert len(IMAGE[name](result["metrics"])) > 100  # README can tell it


@pytest.mark.parametrize(("name", "keys"), [
    ("shakespeare", {"nats_per_char_15min", "nats_per_char_60min", "peer_nats_per_char_15min",
                     "diffusion_to_autoregressive_nll", "train_tokens_per_second_ratio"}),
    ("multi30k", {"bleu_de_en", "chrf_de_en", "bleu_signature"}),
    ("summaries", {"model", "first_sentence", "tf_idf", "examples"}),
    ("captions", {"autoregressive_nats", "vae_nats", "vae_kl", "vae_active_units", "gan_on_or_above_the_line"}),
    ("seqgan_oracle", {"gan_nats", "rows"}),
    ("code_generation", {"definitions_that_parse_model", "definitions_that_parse_5_gram", "copied_8_grams"}),
])
def test_text_benchmarks_run(name: str, keys: set[str], tmp_path: Path) -> None:
    result = quick(name, stand_in_texts(tmp_path / "data"), tmp_path)
    assert keys <= result["metrics"].keys()
    assert len(TEXT[name](result["metrics"])) > 100  # README can tell it


def quick(name: str, data: Path, scratch: Path) -> dict[str, Any]:
    """What a benchmark writes when it is run in its quick way."""
    output = scratch / "result.json"
    command: list[str | Path] = [sys.executable, "-m", f"benchmarks.{name}", "--quick", "--output", output]
    environment = {**os.environ, "FOURFOLD_DATA": str(data), "FOURFOLD_CACHE": str(scratch / "cache"),
                   "OMP_NUM_THREADS": "1"}  # two of these run side by side
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=400, env=environment)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(output.read_text())
    assert {"command", "commit", "hardware", "seconds", "metrics"} == result.keys()
    return result


def stand_in_texts(folder: Path) -> Path:
    """A data folder whose Shakespeare is Python's documentation of itself and whose pairs are invented words."""
    (folder / "text" / "multi30k").mkdir(parents=True)
    (folder / "text" / "tinyshakespeare.txt").write_text(inspect.getsource(argparse)[:60_000])
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abcdefghijklmnop"), rng.integers(3, 9))) for _ in range(4000)]
    for name, count in (("train", 1500), ("val", 20), ("test_2016_flickr", 20)):
        for side in ("de", "en"):
            lines = [" ".join(rng.choice(words, rng.integers(3, 9))) for _ in range(count)]
            path = folder / "text" / "multi30k" / f"{name}.{side}.gz"
            path.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode()))
    (folder / "text" / "texygen_coco").mkdir()
    for name, count in (("train", 2500), ("test", 60)):
        lines = [" ".join(rng.choice(words, rng.integers(3, 9))) + " ." for _ in range(count)]
        (folder / "text" / "texygen_coco" / f"{name}.txt").write_text("\n".join(lines) + "\n")
    (folder / "text" / "descriptions").mkdir()
    for name, count in (("train", 3000), ("valid", 20), ("test", 20)):
        rows = [f"{' '.join(rng.choice(words, 12))}.\t{' '.join(rng.choice(words, 4))}" for _ in range(count)]
        path = folder / "text" / "descriptions" / f"en-summary.{name}.tsv.gz"
        path.write_bytes(gzip.compress(("\n".join(rows) + "\n").encode()))
    return folder


def stand_in(folder: Path) -> Path:
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
    return folder
