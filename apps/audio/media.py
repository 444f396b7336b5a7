"""Scores and sounds as files, and as pictures and sounds for reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from apps.audio.effects import trimmed
from apps.audio.scores import Score, midi_bytes, piano_rolls
from apps.audio.sound import Sound, mel_png, render, wav_bytes, waves
from core.files import write_atomically
from core.runs.media import Media

RATE = 22050  # of scores' WAV files
PREVIEW_RATE, PREVIEW_TEMPO = 16000, 110.0


def write(items: Sequence[Score | Sound], folder: Path) -> list[Path]:
    """Scores as MIDI, WAV and a piano roll; sounds as WAV and a spectrogram picture."""
    scores, sounds = _by_kind(items)
    return (write_scores(scores, folder) if scores else []) + (write_sounds(sounds, folder) if sounds else [])


def write_scores(scores: Sequence[Score], folder: Path, beats_per_minute: float = 84.0) -> list[Path]:
    """A MIDI and a WAV file a score, and one picture of piano rolls; returns their paths."""
    paths = []
    for index, score in enumerate(scores):
        midi, wav = folder / f"{index:03d}.mid", folder / f"{index:03d}.wav"
        write_atomically(midi, midi_bytes(score, beats_per_minute))
        write_atomically(wav, wav_bytes(render(score, RATE, beats_per_minute), RATE))
        paths += [midi, wav]
    picture = folder / "piano-rolls.png"
    write_atomically(picture, piano_rolls(scores[:32]))
    return [*paths, picture]


def write_sounds(sounds: Sequence[Sound], folder: Path) -> list[Path]:
    """A WAV file a sound (peak 0.9, silence trimmed), and one picture; returns their paths."""
    paths = []
    for at in range(0, len(sounds), 64):
        for index, samples in enumerate(waves(sounds[at : at + 64]), start=at):
            sound = sounds[index]
            path = folder / f"{index:03d}{f'-{sound.label}' if sound.label else ''}.wav"
            write_atomically(path, wav_bytes(trimmed(samples, sound.mel.rate), sound.mel.rate))
            paths.append(path)
    picture = folder / "spectrograms.png"
    write_atomically(picture, mel_png(sounds[:64]))
    return [*paths, picture]


def write_waves(sounds: Mapping[str, Sound], folder: Path) -> list[Path]:
    """A WAV file a sound, by its name, as it is; returns their paths."""
    paths = []
    for name, sound in sounds.items():
        paths.append(folder / f"{name}.wav")
        write_atomically(paths[-1], wav_bytes(sound.wave(), sound.mel.rate))
    return paths


def preview(items: Sequence[Score | Sound]) -> list[Media]:
    """A picture of two scores or of eight sounds, large enough for a card, and a few seconds to listen to."""
    scores, sounds = _by_kind(items[:16])
    if scores:
        samples = render(scores[0], PREVIEW_RATE, PREVIEW_TEMPO)
        picture = Media(kind="svg", content=piano_rolls(scores[:2], 1, "svg"), caption="piano rolls, in quarter notes")
        return [picture, Media(kind="wav", content=wav_bytes(samples, PREVIEW_RATE), caption="the first")]
    if not sounds:
        return []
    chosen = sounds[:8]
    picture = Media(kind="png", content=mel_png(chosen, columns=4), caption="log-mel spectrograms")
    rate = sounds[0].mel.rate
    played = np.concatenate([trimmed(samples, rate)[: rate * 3 // 4] for samples in waves(chosen)])
    caption = ", ".join(sound.label for sound in chosen if sound.label)
    return [picture, Media(kind="wav", content=wav_bytes(played, rate), caption=caption)]


def _by_kind(items: Sequence[Score | Sound]) -> tuple[list[Score], list[Sound]]:
    scores = [item for item in items if isinstance(item, Score)]
    return scores, [item for item in items if isinstance(item, Sound)]
