"""The audio command line: what it refuses, in one clear line each; whole runs are in tests/end_to_end."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from command_line import succeed

from apps.audio import metrics
from apps.audio.cli import app
from apps.audio.codec import ChoraleCodec
from apps.audio.data import ChoraleData, prepare
from apps.audio.domain import DOMAIN
from apps.audio.scores import to_midi
from core.runs.pretrained import build, load


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small autoregressive model of chorales after one step."""
    run = tmp_path_factory.mktemp("audio") / "chorales"
    sizes = ("family.model.width=48", "family.model.depth=2", "family.model.heads=2")
    words = [word for size in (*sizes, "train.steps=1", "data.transpose=false") for word in ("--set", size)]
    succeed(app, "train", "tour-autoregressive", "--run", str(run), *words, "--device", "cpu")
    return run


def _midi_folder(folder: Path, count: int, beats: int = 16) -> Path:
    folder.mkdir(exist_ok=True)
    prepared = prepare(ChoraleData(beats=beats, transpose=False))
    starts = np.linspace(0, len(prepared.train) - 1, count).astype(int)
    assert isinstance(prepared.codec, ChoraleCodec)
    for index, score in enumerate(prepared.codec.decode(prepared.train.batch(starts))):
        to_midi(score).write(str(folder / f"{index}.mid"))
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
    assert "holds no file of the kinds .mid" in refused(*train, str(tmp_path / "empty"))
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
    assert "holds no file of the kinds .wav" in refused(*train, str(tmp_path / "empty"))
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
    soundfile.write(bad, 0.1 * np.ones((300, 2)), 44100)  # short, stereo, another rate: all fine
    succeed(app, *train, str(sounds))


def test_bad_recipes(tmp_path: Path, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
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


@pytest.mark.parametrize("text", [
    "", "[]", '{"kind": "ChoraleCodec", "beats": 16, "steps_per_beat": 0, "low": 36, "high": 81}',
    '{"kind": "ChoraleCodec", "beats": 16, "steps_per_beat": 1, "low": 36}',
    '{"kind": "ChoraleCodec", "beats": 16, "steps_per_beat": 1, "low": 81, "high": 36}',
])
def test_damaged_codecs(text: str, untrained: Path, tmp_path: Path, refused: Callable[..., str]) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(untrained, broken)
    (broken / "model" / "codec.json").write_text(text)
    assert "codec" in refused("sample", broken, "-o", tmp_path / "out")


def test_an_untrained_model_does_not_beat_the_bigram(untrained: Path) -> None:
    succeed(app, "evaluate", str(untrained), "-n", "64")
    measures = {m["name"]: m for m in json.loads((untrained / "metrics.json").read_text())["measures"]}
    assert not measures["nats_per_note"]["beats_baseline"]
    assert not measures["melodic_interval_overlap"]["beats_baseline"]
    assert not measures["chord_overlap"]["beats_baseline"]
    assert measures["nats_per_note"]["train_value"] > 1
    assert "memorized" not in measures["near_copies_of_training"]["verdict"]


def test_copied_windows_of_music_are_called_memorized(untrained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load(untrained, DOMAIN, "cpu")
    prepared = DOMAIN.prepare(model.recipe.data)
    copies = prepared.train.batch(np.arange(0, len(prepared.train), len(prepared.train) // 64)[:64])
    monkeypatch.setattr(type(model), "sample_batch", lambda self, n, **settings: copies)
    found = {m.name: m for m in DOMAIN.evaluate(model, prepared, 64, 0)}["near_copies_of_training"]
    assert found.copied and found.value == 1


def test_copied_sounds_are_called_memorized(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = DOMAIN.recipe("tour-diffusion")
    prepared = DOMAIN.prepare(recipe.data)
    model = build(DOMAIN, recipe, prepared.codec, torch.device("cpu"))
    monkeypatch.setattr(metrics, "_likelihood", lambda *arguments: [])
    monkeypatch.setattr(metrics, "note_classifier", lambda *arguments: None)  # copies are looked for without
    for data, expected in ((prepared.train, True), (prepared.validation, False)):
        drawn = data.batch(np.arange(min(100, len(data))))
        monkeypatch.setattr(type(model), "sample_batch", lambda self, n, drawn=drawn, **settings: drawn)
        found = {m.name: m for m in DOMAIN.evaluate(model, prepared, len(drawn.x), 0)}
        assert found["near_copies_of_training"].copied is expected
    assert found["fd_mel_statistics"].floor_is == "least"
