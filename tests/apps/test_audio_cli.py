"""The audio command line: what it refuses, in one clear line each, and a whole run from training to files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from command_line import succeed

from apps.audio.cli import app
from apps.audio.data import ChoraleData, prepare
from apps.audio.scores import to_midi

TINY = ["--set", "family.model.width=48", "--set", "family.model.depth=2", "--set", "family.model.heads=2"]


@pytest.fixture(scope="module")
def chorale_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small autoregressive model of chorales, trained through the command line."""
    run = tmp_path_factory.mktemp("audio") / "chorales"
    succeed(app, "train", "tour-autoregressive", "--run", str(run), *TINY, "--set", "train.steps=150",
            "--set", "data.transpose=false", "--device", "cpu")
    return run


@pytest.fixture(scope="module")
def notes_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A barely trained diffusion of instrument notes."""
    run = tmp_path_factory.mktemp("audio") / "notes"
    succeed(app, "train", "tour-diffusion", "--run", str(run), "--set", "train.steps=3", "--set", "sample.num_steps=2",
            "--set", "family.denoiser.width=8", "--device", "cpu")
    return run


def _midi_folder(folder: Path, count: int, beats: int = 16) -> Path:
    folder.mkdir(exist_ok=True)
    prepared = prepare(ChoraleData(beats=beats, transpose=False))
    starts = np.linspace(0, len(prepared.train) - 1, count).astype(int)
    for index, score in enumerate(prepared.codec.decode(prepared.train.batch(starts))):
        to_midi(score).write(str(folder / f"{index}.mid"))  # type: ignore[attr-defined]
    return folder


def _sound_folder(folder: Path, count: int = 12) -> Path:
    folder.mkdir(exist_ok=True)
    for index in range(count):
        soundfile.write(folder / f"{index}.wav", 0.1 * np.sin(np.arange(4000) * (0.05 + 0.01 * index)), 16000)
    return folder


def test_bad_folders_of_midi(tmp_path: Path, refused: Callable[..., str]) -> None:
    train = ("train", "tour-autoregressive", "--run", str(tmp_path / "run"), "--dry-run", "--data")
    assert "no such folder" in refused(*train, str(tmp_path / "nowhere"))
    (tmp_path / "empty").mkdir()
    assert "holds no MIDI files" in refused(*train, str(tmp_path / "empty"))
    few = _midi_folder(tmp_path / "few", 2)
    assert "at least 3 are needed" in refused(*train, str(few))
    music = _midi_folder(tmp_path / "music", 12)
    assert "lasts 64 beats" in refused(*train, str(music), "--set", "data.beats=64")
    (music / "x.mid").write_bytes(b"MThd not really")
    assert "x.mid is not a readable MIDI file" in refused(*train, str(music))
    (music / "x.mid").write_bytes(b"")
    assert "x.mid is not a readable MIDI file" in refused(*train, str(music))
    content = (music / "0.mid").read_bytes()
    (music / "x.mid").write_bytes(content[: len(content) // 2])
    assert "x.mid is not a readable MIDI file" in refused(*train, str(music))
    (music / "x.mid").unlink()
    succeed(app, *train, str(music))


def test_bad_folders_of_sounds(tmp_path: Path, refused: Callable[..., str]) -> None:
    train = ("train", "tour-diffusion", "--run", str(tmp_path / "run"), "--dry-run", "--data")
    (tmp_path / "empty").mkdir()
    assert "holds no sound files" in refused(*train, str(tmp_path / "empty"))
    assert "at least 10 are needed" in refused(*train, str(_sound_folder(tmp_path / "few", 4)))
    sounds = _sound_folder(tmp_path / "sounds")
    bad = sounds / "bad.wav"
    for content in (b"", b"RIFF and nothing more", (sounds / "0.wav").read_bytes()[:30]):
        bad.write_bytes(content)
        assert "bad.wav" in refused(*train, str(sounds))
    soundfile.write(bad, np.zeros(0), 16000)
    assert "bad.wav holds no samples" in refused(*train, str(sounds))
    soundfile.write(bad, np.array([0.0, np.nan, 0.1]), 16000, subtype="FLOAT")
    assert "bad.wav holds samples that are not finite" in refused(*train, str(sounds))
    soundfile.write(bad, 0.1 * np.ones((300, 2)), 44100)  # short, stereo, another rate: welcome
    succeed(app, *train, str(sounds))


def test_bad_recipes(
    tmp_path: Path, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "did you mean 'chorales-autoregressive'" in refused("train", "chorale-autoregressive")
    dry = ("train", "tour-autoregressive", "--dry-run", "--run", str(tmp_path / "run"), "--set")
    assert "must be 1, 2 or 4" in refused(*dry, "data.steps_per_beat=3")
    assert "must be 2 to 256" in refused(*dry, "data.beats=0")
    assert "source" in refused(*dry, "data.source=bach")
    assert "beats" in refused(*dry, "data.beat=8")
    assert "must be 8 to 256" in refused("train", "tour-diffusion", "--dry-run", "--set", "data.mel.mels=2")
    monkeypatch.setenv("FOURFOLD_DATA", str(tmp_path))
    assert "Jsb16thSeparated.json" in refused(*dry, "data.source=jsb")
    assert "drums" in refused("train", "drums-diffusion", "--dry-run", "--run", str(tmp_path / "run"))
    path = tmp_path / "audio" / "jsb" / "Jsb16thSeparated.json"
    path.parent.mkdir(parents=True)
    for text in ("{", '{"train": 1}', '{"train": [[[1, 2]]], "valid": [], "test": []}'):
        path.write_text(text)
        assert "is not a JSON file of four-part JSB splits" in refused(*dry, "data.source=jsb")


def test_a_trained_model_composes_and_beats_the_bigram(chorale_run: Path, tmp_path: Path) -> None:
    succeed(app, "evaluate", str(chorale_run), "-n", "128")
    measures = {m["name"]: m for m in json.loads((chorale_run / "metrics.json").read_text())["measures"]}
    nats = measures["nats_per_note"]
    assert nats["kind"] == "exact" and nats["interval"][1] < nats["baseline"] - 0.2
    assert measures["melodic_interval_overlap"]["value"] > measures["melodic_interval_overlap"]["baseline"] + 0.1
    out = tmp_path / "out"
    succeed(app, "compose", str(chorale_run), "-n", "2", "--beats", "32", "--seed", "3", "-o", str(out))
    assert sorted(p.name for p in out.iterdir()) == ["000.mid", "000.wav", "001.mid", "001.wav", "piano-rolls.png"]
    samples, rate = soundfile.read(out / "000.wav")
    assert abs(len(samples) / rate - (32 * 60 / 84 + 1)) < 0.1
    succeed(app, "sample", str(chorale_run), "-n", "1", "-o", str(tmp_path / "sampled"))


def test_an_untrained_model_does_not_beat_the_bigram(tmp_path: Path) -> None:
    run = tmp_path / "untrained"
    succeed(app, "train", "tour-autoregressive", "--run", str(run), *TINY, "--set", "train.steps=1",
            "--set", "data.transpose=false", "--device", "cpu")
    succeed(app, "evaluate", str(run), "-n", "64")
    measures = {m["name"]: m for m in json.loads((run / "metrics.json").read_text())["measures"]}
    assert not measures["nats_per_note"]["beats_baseline"]
    assert not measures["melodic_interval_overlap"]["beats_baseline"]
    assert not measures["chord_overlap"]["beats_baseline"]


def test_sounds_by_class_and_wrong_tasks(
    chorale_run: Path, notes_run: Path, tmp_path: Path, refused: Callable[..., str]
) -> None:
    out = tmp_path / "out"
    succeed(app, "sample", str(notes_run), "--instrument", "piano", "-n", "2", "-o", str(out))
    assert sorted(p.name for p in out.iterdir()) == ["000-piano.wav", "001-piano.wav", "spectrograms.png"]
    succeed(app, "effect", str(notes_run), "--class", "brass", "-n", "1", "-o", str(out))
    assert (out / "000-brass.wav").exists()
    assert "did you mean 'piano'" in refused("sample", str(notes_run), "--instrument", "pianno", "-o", str(out))
    assert "did you mean 'guitar'" in refused("effect", str(notes_run), "--class", "gitar", "-o", str(out))
    assert "instrument" in refused("sample", str(chorale_run), "--instrument", "piano", "-n", "2", "-o", str(out))
    assert "use `compose`" in refused("effect", str(chorale_run), "-o", str(out))
    assert "use `effect`" in refused("compose", str(notes_run), "-o", str(out))
    assert "must be 1 to 1024" in refused("compose", str(chorale_run), "--beats", "5000", "-o", str(out))
    assert "no such run" in refused("compose", str(tmp_path / "nothing"))
    broken = tmp_path / "broken"
    shutil.copytree(chorale_run, broken)
    codec = broken / "model" / "codec.json"
    for text in ("", "[]", '{"kind": "ChoraleCodec", "beats": 8, "steps_per_beat": 0, "low": 36, "high": 81}',
                 '{"kind": "ChoraleCodec", "beats": 8, "steps_per_beat": 1, "low": 36}'):
        codec.write_text(text)
        assert "codec" in refused("sample", str(broken), "-o", str(out))
