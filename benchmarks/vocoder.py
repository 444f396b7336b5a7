"""A vocoder of speech at 16 kHz, 80 mel bands: PESQ, STOI and speed on held-out sentences, beside Griffin-Lim.

    python -m benchmarks.vocoder --run runs/audio/vocoder-speech

Trains recipe vocoder-speech on sentences that the teacher's voice reads (`fourfold audio teach` on Multi30k's English
captions, kept in --speech) unless the run is trained already, and writes benchmarks/results/vocoder.json. The held-out
sentences are those of Multi30k's test split, read by the same voice. Needs the extra "speech".
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from apps.audio.domain import DOMAIN
from apps.audio.metrics import pesq
from apps.audio.recipes import vocoder_speech
from apps.audio.recordings import RecordingData
from apps.audio.sound import griffin_lim, log_mel, read_sound
from apps.audio.teacher import sentences_of, write_lessons
from apps.audio.vocoder import VocoderConfig, spectral_distance
from apps.audio.vocoding import vocode
from benchmarks.results_file import FOLDER, write_result
from benchmarks.training import shortened, trained
from core.data.sources import in_data
from core.errors import FourfoldError
from core.extras import needed
from core.metrics.intervals import bootstrap
from core.runs.tasks import Progress

ITERATIONS = 32
"""Of Griffin-Lim."""


def main() -> None:
    """Train, measure, print, write."""
    parser = argparse.ArgumentParser(description="A vocoder of speech, beside Griffin-Lim.")
    parser.add_argument("--minutes", type=float, help="of training, instead of the recipe's steps")
    parser.add_argument("--run", type=Path, help="keep the run here; the same folder continues")
    parser.add_argument("--speech", type=Path, help="keep the teacher's recordings here")
    parser.add_argument("--sentences", type=int, default=1500, help="that the teacher reads for training")
    parser.add_argument("--held-out", type=int, default=50, help="sentences that are measured")
    parser.add_argument("--output", type=Path, default=FOLDER / "vocoder.json")
    parser.add_argument("--quick", action="store_true", help="a few steps and sentences: checks the benchmark")
    options = parser.parse_args()
    if options.quick:
        options.sentences, options.held_out = 12, 2
    started = time.time()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        speech = options.speech or Path(scratch)
        data = RecordingData(folder=str(lessons("train", options.sentences, speech)))
        recipe = replace(vocoder_speech(), data=data)
        if options.quick and isinstance(recipe.family, VocoderConfig):
            recipe = replace(shortened(recipe), family=replace(recipe.family, width=16, depth=1, critic_width=2))
        model, seconds = trained(DOMAIN, recipe, options.run or Path(scratch) / "run", options.minutes)
        mel, rows = data.mel, []
        for path in sorted((lessons("test_2016_flickr", options.held_out, speech) / "wavs").iterdir()):
            real = read_sound(path, mel.rate)
            decibels = log_mel(real[None], mel)
            begun = time.process_time()
            made = vocode(model.family, mel, decibels)[0]
            spent = time.process_time() - begun
            baseline = griffin_lim(decibels, mel, ITERATIONS)[0]
            rows.append({"spent": spent, "seconds": len(made) / mel.rate,
                         **judged("", made, real[: len(made)], mel.rate),
                         **judged("griffin_lim_", baseline, real[: len(made)], mel.rate)})
    metrics: dict[str, Any] = {
        "sentences": len(rows), "training_seconds": round(seconds, 1),
        "parameters": sum(p.numel() for p in model.family.owned("generator")), "steps": model.recipe.train.steps,
        "times_real_time_1core": float(np.median([row["seconds"] / row["spent"] for row in rows])),
    }
    for key in rows[0]:
        values = np.array([row[key] for row in rows])
        if key not in ("spent", "seconds"):
            metrics[key] = float(np.nanmean(values))
            metrics[f"{key}_interval"] = bootstrap(np.nanmean, values)
    for key in ("pesq_wb", "griffin_lim_pesq_wb", "stoi", "griffin_lim_stoi", "times_real_time_1core"):
        print(f"{key:24s} {metrics[key]:.3f}")
    write_result(options.output, metrics, started)


def lessons(split: str, n: int, speech: Path) -> Path:
    """A folder of `n` sentences of a Multi30k split, read by the teacher; made once.

    Raises:
        FourfoldError: the captions are not in $FOURFOLD_DATA.
    """
    text = in_data(f"text/multi30k/{split}.en.gz")
    if text is None:
        raise FourfoldError(f"no captions: put {split}.en.gz (multi30k/dataset on GitHub) into text/multi30k/ of the "
                            "folder $FOURFOLD_DATA names")
    folder = speech / f"{split}-{n}"
    if not (folder / "metadata.csv").exists():
        write_lessons(sentences_of(text, n), folder, 16_000, Progress())
    return folder


def judged(who: str, made: np.ndarray, real: np.ndarray, rate: int) -> dict[str, float]:
    """How near a waveform comes to the real one."""
    stoi = needed("pystoi", "speech").stoi
    pair = torch.from_numpy(made)[None], torch.from_numpy(real)[None]
    return {f"{who}pesq_wb": pesq(made, real, rate), f"{who}stoi": float(stoi(real, made, rate)),
            f"{who}spectral_distance": float(spectral_distance(*pair))}


if __name__ == "__main__":
    main()
