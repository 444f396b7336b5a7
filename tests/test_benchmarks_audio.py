"""Benchmarks of sound run: `--quick` does all that the full one does, on less."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from quick_benchmarks import quick

from benchmarks.readme_figures import SOUND

pytest.importorskip("pesq")


@pytest.mark.slow
def test_vocoder(tmp_path: Path) -> None:
    captions = tmp_path / "data" / "text" / "multi30k"
    captions.mkdir(parents=True)
    for split, count in (("train", 12), ("test_2016_flickr", 2)):
        text = "".join(f"The {split[:4]} dog number {index} runs over the wide meadow.\n" for index in range(count))
        (captions / f"{split}.en.gz").write_bytes(gzip.compress(text.encode()))
    metrics = quick("vocoder", tmp_path, tmp_path)["metrics"]
    assert 1 <= metrics["pesq_wb"] < metrics["griffin_lim_pesq_wb"] < 4.6  # two steps make no vocoder
    assert metrics["times_real_time_1core"] > 10 and metrics["sentences"] == 2
    assert "wide-band PESQ" in SOUND["vocoder"](metrics)
