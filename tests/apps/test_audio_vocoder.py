"""A vocoder: learns from recordings, makes spectrograms of any length audible, also those of a model of sounds."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from command_line import run as command
from command_line import succeed

from apps.audio.cli import app
from apps.audio.codec import NoteCodec
from apps.audio.domain import load
from apps.audio.recordings import RecordingData, prepare_recordings
from apps.audio.sound import Mel, Sound, log_mel, scaled, scaled_mel
from apps.audio.teacher import sentences_of
from apps.audio.vocoder import Vocoder, VocoderConfig
from apps.audio.vocoding import AT_ONCE, load_vocoder, vocode, vocoder_of
from core.batches import Batch
from core.errors import FourfoldError

MEL = Mel(rate=8000, fft=256, hop=64, mels=32, frames=25, low=20.0, floor=-60.0)
SIZES = tuple(word for size in (
    "data.mel.rate=8000", "data.mel.fft=256", "data.mel.hop=64", "data.mel.mels=32", "data.mel.frames=25",
    "family.width=24", "family.depth=2", "family.critic_width=2", "family.alone=0.9", "train.steps=160",
    "train.batch_size=4", "train.learning_rate=0.005", "train.log_every=50") for word in ("--set", size))


def tone(pitch: float, seconds: float = 0.6, rate: int = 8000) -> np.ndarray:
    time = np.arange(round(seconds * rate)) / rate
    harmonics = sum(np.sin(2 * np.pi * pitch * number * time) / number for number in range(1, int(rate / 2 / pitch)))
    noise = np.random.default_rng(round(pitch)).normal(size=len(time))
    return np.asarray(0.2 * np.exp(-2 * time) * harmonics + 0.01 * noise, dtype=np.float32)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audio") / "tones"
    folder.mkdir()
    for index in range(24):
        soundfile.write(folder / f"{index}.wav", tone(200 + 40 * index), 8000)
    return folder


@pytest.fixture(scope="module")
def run(recordings: Path) -> Path:
    folder = recordings.parent / "vocoder"
    succeed(app, "train", "vocoder-speech", "--data", str(recordings), "--run", str(folder), *SIZES, "--device", "cpu")
    return folder


def test_it_learns_what_a_spectrogram_sounds_like(recordings: Path, run: Path) -> None:
    learned = load_vocoder(str(run))
    real = np.stack([tone(pitch, 0.48) for pitch in (330.0, 500.0, 870.0)])
    decibels = log_mel(real, MEL)
    untrained = Vocoder(VocoderConfig(width=24, depth=2), MEL)
    near, far = (np.abs(log_mel(vocode(who, MEL, decibels), MEL) - decibels).mean() for who in (learned, untrained))
    assert near < 6 and near < 0.6 * far  # decibels


def test_long_sounds_are_made_in_pieces_that_fit(run: Path) -> None:
    model = load(run)
    frames = AT_ONCE + 100
    decibels = log_mel(np.stack([tone(300, 64 * (frames - 1) / 8000)]), MEL)
    assert decibels.shape == (1, 32, frames)
    pieces = vocode(load_vocoder(str(run)), MEL, decibels)
    whole = model.sample_batch(1, condition={"mel": scaled(torch.from_numpy(decibels), MEL)}).x[:, 0].numpy()
    assert pieces.shape == whole.shape == (1, 64 * (frames - 1))
    assert np.abs(pieces - whole.clip(-1, 1)).max() < 1e-4


def test_each_player_learns_from_its_own_loss() -> None:
    torch.manual_seed(0)
    family = Vocoder(VocoderConfig(width=16, depth=1, critic_width=2, alone=0.5), MEL)
    x = torch.randn(2, 1, MEL.samples) * 0.1
    batch = Batch(x, {"mel": scaled_mel(x[:, 0], MEL)})
    assert set(family(batch, "generator", 0.1).terms) == {"mel", "spectrum"}
    family(batch, "critic", 0.6).value.backward()
    assert all(p.grad is not None for p in family.owned("critic"))
    assert all(p.grad is None for p in family.owned("generator"))
    assert "verdict" in family(batch, "generator", 0.6).terms
    assert family.span("critic") == (0.5, 1.0)


def test_recordings_of_any_length_become_rows(recordings: Path) -> None:
    prepared = prepare_recordings(RecordingData(folder=str(recordings), mel=MEL))
    assert [len(part) for part in (prepared.train, prepared.validation, prepared.test)] == [
        20 * 4800 // (4 * MEL.samples), 2 * 4800 // (4 * MEL.samples), 2 * 4800 // (4 * MEL.samples)]
    batch = prepared.train.batch([0, 1], seed=3)
    assert batch.x.shape == (2, 1, MEL.samples) and batch.condition["mel"].shape == (2, 32, 25)
    assert torch.equal(batch.x, prepared.train.batch([0, 1], seed=3).x)
    assert not torch.equal(batch.x, prepared.train.batch([0, 1], seed=4).x)


def test_vocode_and_evaluate(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    soundfile.write(tmp_path / "one.wav", tone(440), 8000)
    capsys.readouterr()
    succeed(app, "vocode", run, tmp_path / "one.wav", "-o", tmp_path / "out", "--json")
    told = json.loads(capsys.readouterr().out)
    assert 0 < told["spectral_distance"]["one"] < 5
    assert len(soundfile.read(tmp_path / "out" / "one.wav")[0]) == 4800
    succeed(app, "evaluate", run)
    assert "Griffin-Lim" in capsys.readouterr().out
    soundfile.write(tmp_path / "short.wav", tone(440, 0.01), 8000)
    assert command(app, "vocode", run, tmp_path / "short.wav") == 2
    assert "10 milliseconds" in capsys.readouterr().err
    assert command(app, "sample", run) == 2
    assert "makes spectrograms audible: use `vocode" in capsys.readouterr().err


def test_sounds_of_another_kind_are_refused(run: Path) -> None:
    mel = replace(MEL, floor=-50.0)
    with pytest.raises(FourfoldError, match="whose floor is -60, and these have -50: train with the"):
        vocoder_of(str(run), mel)
    made = NoteCodec(mel=MEL, vocoder=str(run)).decode(Batch(torch.zeros(2, 1, 32, 25)))
    by_hand = vocode(load_vocoder(str(run)), made[0].mel, made[0].decibels[None])
    assert np.allclose(made[0].wave(), by_hand[0], atol=1e-6)
    assert not np.allclose(by_hand[0], Sound(made[0].decibels, MEL).wave(), atol=1e-2)
    with pytest.raises(FourfoldError, match="no vocoder 'nowhere'"):
        vocoder_of("nowhere", MEL)


def test_sentences_are_found_in_text(tmp_path: Path) -> None:
    text = tmp_path / "book.txt"
    text.write_text("It rains.  Dr. Who said:\nno! Why?\n\nA title\n\n12.\nIt rains.\n" + "long " * 100)
    found = sentences_of(text, 10)
    assert {"It rains.", "Why?", "A title"} < set(found) and len(found) == len(set(found))
    assert not any(len(sentence) > 240 or sentence == "12." for sentence in found)
    text.write_text("12 34\n")
    with pytest.raises(FourfoldError, match="no sentence"):
        sentences_of(text, 10)
