"""Benchmarks of text run: `--quick` does all that the full one does, on less."""

from __future__ import annotations

import argparse
import gzip
import inspect
from pathlib import Path

import numpy as np
import pytest
from quick_benchmarks import quick

from benchmarks.readme_figures import TEXT


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data, and with the cache of what the benchmarks make of them."""
    folder = tmp_path_factory.mktemp("home")
    stand_in_texts(folder / "data")
    return folder


@pytest.mark.parametrize(("name", "keys"), [
    ("shakespeare", {"nats_per_char_15min", "nats_per_char_60min", "peer_nats_per_char_15min",
                     "diffusion_to_autoregressive_nll", "train_tokens_per_second_ratio"}),
    ("multi30k", {"bleu_de_en", "chrf_de_en", "bleu_signature"}),
    ("summaries", {"model", "first_sentence", "tf_idf", "examples"}),
    ("captions", {"autoregressive_nats", "vae_nats", "vae_kl", "vae_active_units", "gan_on_or_above_the_line"}),
    ("seqgan_oracle", {"gan_nats", "rows"}),
    ("code_generation", {"definitions_that_parse_model", "definitions_that_parse_5_gram", "copied_8_grams"}),
])
def test_text_benchmarks_run(name: str, keys: set[str], home: Path, tmp_path: Path) -> None:
    result = quick(name, home, tmp_path)
    assert keys <= result["metrics"].keys()
    assert len(TEXT[name](result["metrics"])) > 100  # README can tell it


def stand_in_texts(folder: Path) -> None:
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


