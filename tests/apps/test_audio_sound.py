"""Sounds: files of every kind, spectrograms and back, the synthesizer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from apps.audio.codec import NoteCodec
from apps.audio.data import prepare
from apps.audio.effects import trimmed
from apps.audio.media import write_scores, write_sounds
from apps.audio.notes import NoteData
from apps.audio.scores import Score
from apps.audio.sound import Mel, Sound, Synthesizer, fit_length, log_mel, mel_png, read_sound, render, waves
from core.conditions import ClassCondition
from core.errors import FourfoldError
from core.serialization import from_union, to_dict


def strongest(samples: np.ndarray, rate: int) -> float:
    """The frequency of the largest peak of the spectrum in Hz."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(spectrum.argmax() * rate / len(samples))


def test_notes_have_their_pitch() -> None:
    synthesizer = Synthesizer(16000)
    for pitch in (57, 69, 81):
        note = synthesizer.note(73, pitch, 100, 12000, 16000)  # a flute's strongest partial is its first or second
        ratio = strongest(note[2000:10000], 16000) / (440 * 2 ** ((pitch - 69) / 12))
        assert min(abs(ratio - 1), abs(ratio / 2 - 1)) < 0.02


def test_mel_to_wave_and_back_is_near() -> None:
    for mel in (Mel(), Mel(mels=64, frames=64, hop=256)):
        synthesizer = Synthesizer(mel.rate)
        chosen = [(program, pitch) for program in (0, 19, 40, 56) for pitch in (48, 60, 72)]
        notes = np.stack([synthesizer.note(*both, 100, 11000, mel.samples) for both in chosen])
        decibels = log_mel(notes, mel)
        assert decibels.shape == (12, mel.mels, mel.frames)
        again = log_mel(np.stack(waves([Sound(d, mel) for d in decibels])), mel)
        loud = decibels > decibels.max((1, 2), keepdims=True) - 40
        assert np.abs(again - decibels)[loud].mean() < 1.5  # decibels
        silent = log_mel(np.zeros((1, mel.samples)), mel)
        assert (silent == mel.floor).all()
        assert np.abs(waves([Sound(silent[0], mel)])).max() == 0


def test_codec_keeps_spectrograms_within_half_a_level() -> None:
    codec = NoteCodec(mel=Mel(), names=("low", "high"))
    decibels = np.random.default_rng(0).uniform(-60, 40, (3, 32, 32)).astype(np.float32)
    batch = codec.encode([Sound(d, codec.mel) for d in decibels])
    assert batch.x.shape == (3, 1, 32, 32) and batch.x.min() == -1 and batch.x.max() == 1
    back = np.stack([sound.decibels for sound in codec.decode(batch)])
    assert np.abs(back - decibels.clip(-50, 30)).max() <= 80 / 255 / 2 + 1e-3
    assert from_union((NoteCodec,), to_dict(codec), "codec") == codec


def test_files_of_any_rate_and_channels_become_mono(tmp_path: Path) -> None:
    for rate, channels, name in ((44100, 2, "a.wav"), (11025, 1, "b.flac"), (16000, 3, "c.wav")):
        time = np.arange(rate) / rate
        soundfile.write(tmp_path / name, np.stack([0.5 * np.sin(2 * np.pi * 440 * time)] * channels, axis=1), rate)
        samples = read_sound(tmp_path / name, 16000)
        assert abs(len(samples) - 16000) <= 1
        assert abs(strongest(samples, 16000) - 440) < 2
    assert fit_length(np.ones(10, np.float32), 16).tolist() == [1.0] * 10 + [0.0] * 6
    assert fit_length(np.ones(2000, np.float32), 1000)[-1] == 0


def test_a_folder_of_sounds_is_data(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for name, pitch in (("low", 200), ("high", 2000)):
        (tmp_path / name).mkdir()
        for index in range(12):
            rate = (8000, 44100)[index % 2]
            tone = 0.3 * np.sin(2 * np.pi * pitch * np.arange(rate // 2) / rate)
            tone += 0.01 * generator.normal(size=rate // 2)
            soundfile.write(tmp_path / name / f"{index}.wav", np.stack([tone, tone], axis=1), rate)
    prepared = prepare(NoteData(folder=str(tmp_path)))
    assert prepared.codec.conditions == {"instrument": ClassCondition(names=("high", "low"))}
    assert [len(s) for s in (prepared.train, prepared.validation, prepared.test)] == [19, 2, 3]
    batch = prepared.train.batch(range(19))
    high = batch.x[batch.condition["instrument"] == 0].mean((0, 1, 3)).argmax()
    low = batch.x[batch.condition["instrument"] == 1].mean((0, 1, 3)).argmax()
    assert high > low + 10


def test_writing(tmp_path: Path) -> None:
    pitches = np.array([[72, 67, 64, 48]] * 4, dtype=np.int16)
    struck = np.array([[True] * 4] + [[False] * 4] * 3)
    score = Score(pitches, struck, 1)
    names = [path.name for path in write_scores([score], tmp_path)]
    assert names == ["000.mid", "000.wav", "piano-rolls.png"]
    samples = render(score)
    assert 0.69 < np.abs(samples).max() < 0.71
    assert len(samples) == round(4 * 16000 * 60 / 84) + 16000
    tone = np.zeros((32, 32), np.float32) - 50
    tone[10, 3:20] = 10
    paths = write_sounds([Sound(tone, Mel(), "bell")], tmp_path)
    assert [path.name for path in paths] == ["000-bell.wav", "spectrograms.png"]
    written, rate = soundfile.read(paths[0])
    assert rate == 16000 and 0.89 < np.abs(written).max() <= 0.91
    assert trimmed(np.zeros(100), 16000).tolist() == [0.0] * 100
    assert mel_png([Sound(tone, Mel())]).startswith(b"\x89PNG")


def test_without_the_synthesizer_scores_are_sine_tones(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object) -> None:
        raise FourfoldError("cannot fetch")

    monkeypatch.setattr("apps.audio.sound.Synthesizer", offline)
    pitches = np.array([[69, 0, 0, 0]] * 2, dtype=np.int16)
    samples = render(Score(pitches, pitches > 0, 1), 16000, 60.0)
    assert len(samples) == 3 * 16000 and 0.69 < np.abs(samples).max() < 0.71
    assert abs(strongest(samples[1000:12000], 16000) - 440) < 4
