"""Sounds: which classes and lengths a folder has, what models do with them, how a classifier scores them."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import soundfile
from command_line import run as command
from command_line import succeed

from apps.audio import effects
from apps.audio.class_metrics import am_score, inception_score, modified_inception_score
from apps.audio.cli import app
from apps.audio.domain import load
from apps.audio.notes import NoteData, classified, prepare_notes
from apps.audio.sizing import guess
from apps.audio.sound import Mel, read_recording
from core.errors import FourfoldError

MEL = Mel(rate=8000, fft=256, hop=128, mels=16, frames=16)
SIZES = ("data.mel.rate=8000", "data.mel.fft=256", "data.mel.hop=128", "data.mel.mels=16", "data.mel.frames=16",
         "train.steps=2", "train.batch_size=4")
WORDS = tuple(word for size in SIZES for word in ("--set", size))


def write(path: Path, seconds: float = 0.2, pitch: float = 440.0, rate: int = 8000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(round(seconds * rate)) / rate
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * pitch * time), rate)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("sounds") / "hits"
    for index in range(24):
        write(home / ("low" if index % 2 else "high") / f"{index}.wav", 0.1 + 0.01 * index, 200 + 50 * index)
    return home


def trained(recipe: str, folder: Path, *words: str) -> Path:
    run = folder.parent / recipe
    succeed(app, "train", recipe, "--data", folder, "--run", run, *WORDS, *words, "--device", "cpu")
    return run


@pytest.fixture(scope="module")
def diffusion(folder: Path) -> Path:
    return trained("drums-diffusion", folder, "--set", "family.denoiser.width=8", "--set", "sample.num_steps=3",
                   "--set", "family.denoiser.patch=2")


@pytest.fixture(scope="module")
def vae(folder: Path) -> Path:
    return trained("drums-vae", folder, "--set", "family.latent=4", "--set", "family.encoder.width=8",
                   "--set", "family.decoder.width=8")


def test_classes_of_a_table(tmp_path: Path) -> None:
    for name in ("a.wav", "b.wav", "more/c.wav"):
        write(tmp_path / name)
    (tmp_path / "labels.csv").write_text("file,label\nmore/c.wav,kick\na.wav,snare\n")
    found, said = classified(tmp_path)
    assert [(path.name, label) for path, label in found] == [("c.wav", "kick"), ("a.wav", "snare")]
    assert said == [f"{tmp_path.name}: 1 sounds without a label left out"]
    for table, expected in (("file,label\nd.wav,kick\n", "names 'd.wav'"),
                            ("file,kind\na.wav,x\n", "columns file,label"),
                            ("file,label\na.wav,x\na.wav,y\n", "line 3: 'a.wav' has two labels"),
                            ("file,label\na.wav,\n", "'a.wav' has no label")):
        (tmp_path / "labels.csv").write_text(table)
        with pytest.raises(FourfoldError, match=expected):
            classified(tmp_path)
    (tmp_path / "labels.csv").rename(tmp_path / "metadata.csv")
    (tmp_path / "metadata.csv").write_text("a|What is said.\nb|Something else.\n")  # LJSpeech's
    assert [label for _, label in classified(tmp_path)[0]] == ["more"]


def test_nothing_is_cut_where_the_longest_fits(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    data = guess(folder)
    assert isinstance(data, NoteData) and data.mel.samples / data.mel.rate >= 0.33
    prepare_notes(data)
    told = [record.getMessage() for record in caplog.records]
    assert any("padded with silence" in line for line in told) and not any("cut to" in line for line in told)
    write(folder.parent / "long" / "one.wav", 3.0)
    long = guess(folder.parent / "long")
    assert isinstance(long, NoteData) and long.mel.samples / long.mel.rate >= 3 and long.mel.hop == 512


def test_the_published_split_of_spoken_digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "audio" / "fsdd" / "recordings"
    for take in range(10):
        for digit in (0, 1):
            write(home / f"{digit}_anna_{take}.wav", pitch=300 + 100 * digit + take)
    monkeypatch.setenv("FOURFOLD_DATA", str(tmp_path))
    prepared = prepare_notes(NoteData(source="fsdd", mel=MEL))
    assert prepared.codec.names == ("0", "1")
    assert [len(part) for part in (prepared.train, prepared.validation, prepared.test)] == [6, 4, 10]


def test_channels_in_opposite_phase_are_heard(tmp_path: Path) -> None:
    samples = 0.5 * np.sin(np.arange(4000) * 0.3)
    soundfile.write(tmp_path / "a.wav", np.stack([samples, -samples], axis=1), 8000)
    recording = read_recording(tmp_path / "a.wav", 8000)
    assert recording.cancelled and np.abs(recording.samples).max() > 0.4
    soundfile.write(tmp_path / "b.wav", np.zeros((100, 2)), 8000)
    assert not read_recording(tmp_path / "b.wav", 8000).cancelled


def test_a_sound_is_continued(diffusion: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path / "long.wav", 1.0)
    made = effects.continued(load(diffusion), file, 2, seconds=0.1, kind="low", num_steps=3)
    begun = made[0].decibels[:, :6]
    assert np.abs(begun - made[1].decibels[:, :6]).max() < 1e-3
    assert not np.allclose(made[0].decibels[:, 7:], made[1].decibels[:, 7:])
    assert made[0].label == "low"
    succeed(app, "continue", diffusion, file, "-n", "2", "-o", tmp_path / "out")
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".wav", ".png"}
    assert command(app, "continue", diffusion, file, "--seconds", "9") == 2
    assert "must be above 0 and leave something" in capsys.readouterr().err


def test_from_one_sound_to_another(vae: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = folder / "high" / "0.wav", folder / "low" / "1.wav"
    capsys.readouterr()
    succeed(app, "interpolate", vae, first, second, "-n", "3", "-o", tmp_path / "out", "--json")
    assert len(json.loads(capsys.readouterr().out)["classes"]) == 3
    assert command(app, "interpolate", vae, first) == 2
    assert "needs two, or none" in capsys.readouterr().err
    assert command(app, "continue", vae, first) == 2
    assert "use a diffusion model" in capsys.readouterr().err


def test_scores_of_a_classifiers_judgements() -> None:
    clear, blurred = np.eye(4)[np.arange(8) % 4], np.full((8, 4), 0.25)
    assert inception_score(clear) == pytest.approx(4)
    assert inception_score(blurred) == pytest.approx(1) == modified_inception_score(blurred)
    assert inception_score(np.eye(4)[np.zeros(8, int)]) == pytest.approx(1)  # one class only
    assert modified_inception_score(clear) > 4
    shares = np.full(4, 0.25)
    assert am_score(clear, shares) == pytest.approx(0, abs=1e-6)
    assert am_score(blurred, shares) == pytest.approx(np.log(4))
    assert am_score(np.eye(4)[np.zeros(8, int)], shares) > 5
