"""Spectrograms made audible by a trained vocoder."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from apps.audio.data import AudioModel
from apps.audio.sound import Mel, Sound, log_mel, read_sound, scaled
from apps.audio.vocoder import Vocoder, spectral_distance
from core.errors import FourfoldError
from core.runs.tasks import Progress

AT_ONCE = 1600
"""Spectra that are made audible at once, of a long sound: its length takes no more memory."""
AROUND = 32
"""Spectra before and after them that the generator hears too: four a block, for up to eight blocks."""


@lru_cache(maxsize=2)
def load_vocoder(name: str) -> AudioModel:
    """The model of a run, or one that ships.

    Raises:
        FourfoldError: there is none of that name.
    """
    from apps.audio.domain import load  # which reads this file's callers

    return load(name, "cpu")


def mel_of(vocoder: AudioModel) -> Mel:
    """What spectrograms a vocoder makes audible.

    Raises:
        FourfoldError: the model is no vocoder.
    """
    if not isinstance(vocoder.family, Vocoder):
        raise FourfoldError(f"{vocoder.recipe.name} is no vocoder: `fourfold audio train vocoder-speech` makes one")
    return vocoder.family.mel


def vocode(vocoder: AudioModel | str, decibels: np.ndarray, mel: Mel, progress: Progress | None = None) -> np.ndarray:
    """Spectrograms `[N, mels, frames]` -> waveforms `[N, hop * (frames - 1)]` in [-1, 1], a piece after the other.

    Raises:
        FourfoldError: the vocoder is none, or of spectrograms of another kind.
    """
    model = load_vocoder(vocoder) if isinstance(vocoder, str) else vocoder
    own = mel_of(model)
    for key in ("rate", "fft", "hop", "mels", "low", "floor", "ceiling"):
        wanted, given = getattr(own, key), getattr(mel, key)
        if wanted != given:
            raise FourfoldError(f"{model.recipe.name} is of spectrograms whose {key} is {wanted:g}, and these have "
                                f"{given:g}: train with the vocoder's, data.mel.{key}={wanted:g}")
    values, frames, parts = torch.as_tensor(decibels, dtype=torch.float32), decibels.shape[2], []
    for start in range(0, frames, AT_ONCE):
        first, last = max(0, start - AROUND), min(frames, start + AT_ONCE + AROUND)
        made = model.sample_batch(len(values), condition={"mel": scaled(values[:, :, first:last], mel)}).x[:, 0]
        kept = slice((start - first) * mel.hop, min(start - first + AT_ONCE, frames - 1 - first) * mel.hop)
        parts.append(made[:, kept].clamp(-1, 1).numpy())
        if progress is not None:
            progress.step(min(start + AT_ONCE, frames), frames)
    return np.concatenate(parts, axis=1)


@dataclass(frozen=True)
class Revoiced:
    """A recording through a vocoder, and how far it is from what it was, by `spectral_distance`."""

    made: Sound
    distance: float


def revoiced(vocoder: AudioModel, path: Path, progress: Progress | None = None) -> Revoiced:
    """A sound file's spectrogram made audible.

    Raises:
        FourfoldError: the model is no vocoder, or the file cannot be read.
    """
    mel = mel_of(vocoder)
    samples = read_sound(path, mel.rate)
    if len(samples) < mel.fft:
        raise FourfoldError(f"{path} lasts {1000 * len(samples) / mel.rate:.0f} milliseconds: at least "
                            f"{1000 * mel.fft / mel.rate:.0f} are needed")
    decibels = log_mel(samples[None], mel)
    made = vocode(vocoder, decibels, mel, progress)[0]
    pair = torch.from_numpy(made)[None], torch.from_numpy(samples[: len(made)])[None]
    return Revoiced(Sound(decibels[0], mel, path.stem, made), float(spectral_distance(*pair)))
