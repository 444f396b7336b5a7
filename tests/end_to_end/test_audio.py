"""Audio through its command line, on own files: MIDI -> train -> evaluate -> compose; WAV -> train -> effect."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pretty_midi
import pytest
import soundfile
from command_line import succeed

from apps import audio
from apps.audio.cli import app
from apps.audio.scores import on_grid, read_midi
from core.runs.measures import Measure
from core.runs.run import Run, load_measures

SCALE = np.array([60, 62, 64, 65, 67, 69, 71, 72, 74, 76, 77, 79])


def settings(*assignments: str) -> list[str]:
    return [word for assignment in assignments for word in ("--set", assignment)]


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 pieces of 32 beats: the soprano moves by step, the tenor doubles it two octaves below, the others stay."""
    folder, rng = tmp_path_factory.mktemp("music"), np.random.default_rng(0)
    for index in range(24):
        degree, line = int(rng.integers(len(SCALE))), []
        for _ in range(32):
            line.append(SCALE[degree])
            step = int(rng.choice([-1, 1]))
            degree += step if 0 <= degree + step < len(SCALE) else -step
        soprano = np.array(line)
        pitches = np.stack([soprano, np.full(32, 59), soprano - 24, np.full(32, 28)], axis=1).astype(np.int16)
        audio.to_midi(audio.Score(pitches, np.ones((32, 4), bool), 1)).write(str(folder / f"{index}.mid"))
    return folder


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of 24 tones each, one near 300 Hz, one near 3 kHz."""
    folder, rng = tmp_path_factory.mktemp("sounds"), np.random.default_rng(0)
    for name, pitch in (("low", 300), ("high", 3000)):
        (folder / name).mkdir()
        for index in range(24):
            tone = np.sin(2 * np.pi * pitch * rng.uniform(0.9, 1.1) * np.arange(8000) / 16000)
            soundfile.write(folder / name / f"{index}.wav", rng.uniform(0.1, 0.5) * tone, 16000)
    return folder


def train(recipe: str, run: Path, data: Path, *assignments: str) -> Path:
    succeed(app, "train", recipe, "--run", run, "--data", data, "--device", "cpu", *settings(*assignments))
    return run


@pytest.fixture(scope="module")
def composer(music: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small autoregressive model of the pieces, in windows of 8 beats."""
    return train("tour-autoregressive", tmp_path_factory.mktemp("runs") / "composer", music,
                 "family.model.width=32", "family.model.depth=2", "family.model.heads=2", "data.beats=8",
                 "data.transpose=false", "train.steps=200")


@pytest.fixture(scope="module")
def effects(sounds: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small diffusion of the tones."""
    return train("tour-diffusion", tmp_path_factory.mktemp("runs") / "effects", sounds, "family.denoiser.width=8",
                 "data.mel.mels=16", "data.mel.frames=16", "train.steps=250")


def measures(run: Path, n: int) -> dict[str, Measure]:
    succeed(app, "evaluate", run, "-n", n)
    return {measure.name: measure for measure in load_measures(Run(run))}


def doubled(midi: Path, beats: int) -> float:
    """The share of beats on which the tenor doubles the soprano two octaves below."""
    pitches = on_grid(read_midi(midi), 1).pitches
    assert beats - 1 <= len(pitches) <= beats
    return float((pitches[:, 2] == pitches[:, 0] - 24).mean())


def test_music_from_own_midi_files(composer: Path, music: Path, tmp_path: Path) -> None:
    found = measures(composer, 64)
    # The soprano has two ways to go, all else is certain: log(2) / 4 = 0.17 nats; a bigram forgets the soprano.
    nats = found["nats_per_note"]
    assert nats.kind == "exact" and 0.16 < nats.value < 0.35 and nats.baseline is not None and nats.baseline > 0.6
    assert found["melodic_interval_overlap"].value > 0.85
    calm = ("--seed", 3, "--temperature", 0.3)
    succeed(app, "compose", composer, "-n", 2, "--beats", 32, "--tempo", 120, *calm, "-o", tmp_path / "out")
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["000.mid", "000.wav", "001.mid", "001.wav", "piano-rolls.png"]
    assert min(doubled(tmp_path / "out" / f"00{index}.mid", 32) for index in range(2)) > 0.9
    midi = pretty_midi.PrettyMIDI(str(tmp_path / "out" / "000.mid"))
    assert [part.name for part in midi.instruments] == ["soprano", "alto", "tenor", "bass"]
    samples, rate = soundfile.read(tmp_path / "out" / "000.wav")
    assert abs(len(samples) / rate - (32 * 60 / 120 + 1)) < 0.1 and np.abs(samples).max() > 0.5
    succeed(app, "sample", composer, "-n", 1, *calm, "-o", tmp_path / "sampled")
    assert doubled(tmp_path / "sampled" / "000.mid", 8) > 0.8

    model = audio.load(composer, "cpu")
    scores = audio.compose(model, 2, beats=32, seed=3, temperature=0.3)
    assert len(scores[0]) == 32
    again = on_grid(read_midi(tmp_path / "out" / "000.mid"), 1).pitches
    assert (scores[0].pitches[: len(again)] == again).all()  # the same seed, the same music
    assert (audio.compose(model, 2, beats=4, seed=3, temperature=0.3)[0].pitches == scores[0].pitches[:4]).all()
    assert model.bound(audio.prepare(model.recipe.data).test, 8).mean() / 32 < 0.35


def test_sounds_from_own_folders(effects: Path, tmp_path: Path, cli: Callable[..., tuple[int, str, str]]) -> None:
    found = measures(effects, 48)
    assert found["class_accuracy"].value > 0.8
    assert found["bits_per_level"].kind == "bound" and found["bits_per_level"].value < 8
    code, out, _ = cli("effect", effects, "-n", 2, "--class", "high", "--json", "-o", tmp_path / "out")
    assert code == 0 and json.loads(out)["classes"] == ["high", "high"]
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["000-high.wav", "001-high.wav", "spectrograms.png"]
    succeed(app, "sample", effects, "-n", 1, "--instrument", "low", "-o", tmp_path / "out", "--overwrite")
    for name, low, high in (("000-high.wav", 2000, 4000), ("000-low.wav", 150, 600)):
        samples, rate = soundfile.read(tmp_path / "out" / name)
        assert low < np.abs(np.fft.rfft(samples)).argmax() * rate / len(samples) < high
    assert [sound.label for sound in audio.effect(audio.load(effects, "cpu"), 3)] == ["high", "low", "high"]


def test_families_that_write_on_and_those_that_do_not(
    music: Path, tmp_path: Path, refused: Callable[..., str], cli: Callable[..., tuple[int, str, str]]
) -> None:
    short = ("data.beats=8", "data.steps_per_beat=1", "data.transpose=false", "train.steps=2")
    masked = train("chorales-diffusion", tmp_path / "masked", music, *short, "family.denoiser.width=16",
                   "family.denoiser.depth=1", "family.denoiser.heads=2", "sample.num_steps=4")
    code, out, _ = cli("compose", masked, "-n", 1, "--beats", 21, "--json", "-o", tmp_path / "out")
    made = json.loads(out)
    assert code == 0 and len(made["files"]) == 3 and 20 < max(note["end"] for note in made["scores"][0]) <= 21
    vae = train("tour-vae", tmp_path / "vae", music, *short, "family.encoder.depth=1", "family.decoder.depth=1")
    assert not measures(vae, 16)["nats_per_note"].beats_baseline  # barely trained
    assert "continues no prefix" in (line := refused("compose", vae, "--beats", 9)) and "at most 8 beats" in line
    succeed(app, "compose", vae, "-n", 1, "--beats", 7, "-o", tmp_path / "out", "--overwrite")


def test_what_the_tasks_refuse(composer: Path, effects: Path, tmp_path: Path, refused: Callable[..., str]) -> None:
    out = ("-o", tmp_path / "out")
    assert "did you mean 'high'" in refused("sample", effects, "--instrument", "hihg", *out)
    assert "known: high, low" in refused("effect", effects, "--class", "snare", *out)
    assert "without conditions" in refused("sample", composer, "--instrument", "piano", "-n", 2, *out)
    assert "use `compose`" in refused("effect", composer, *out)
    assert "use `effect`" in refused("compose", effects, *out)
    assert "must be 1 to 1024" in refused("compose", composer, "--beats", 5000, *out)
    assert "no such run" in refused("compose", tmp_path / "nothing", *out)
    assert not (tmp_path / "out").exists()
