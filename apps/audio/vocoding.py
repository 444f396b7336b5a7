"""Spectrograms made audible by a trained vocoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import torch

from apps.audio.sound import Mel, Sound, log_mel, read_sound, scaled
from apps.audio.vocoder import Vocoder, VocoderConfig, spectral_distance
from apps.audio.waveforms import WaveCodec
from core.errors import FourfoldError
from core.families.family import Family
from core.files import read_json
from core.runs.places import find
from core.runs.pretrained import CONFIG, load_codec, model_folder
from core.runs.tasks import Progress
from core.serialization import from_dict
from core.training.checkpoint import load_weights

MODELS = Path(__file__).parent / "models"
AT_ONCE = 1600
"""Spectra that are made audible at once, of a long sound: its length takes no more memory."""
AROUND = 32
"""Spectra before and after them that the generator hears too: more than it reaches with up to eight blocks."""


@lru_cache(maxsize=2)
def load_vocoder(name: str) -> Vocoder:
    """The vocoder of a run, or one that ships.

    Raises:
        FourfoldError: there is none of that name, it is something else, or damaged.
    """
    place = find(name, "audio", MODELS)
    if place is None:
        raise FourfoldError(f"no vocoder {name!r}: `fourfold audio train vocoder-speech` makes one")
    folder = model_folder(place)
    config = read_json(folder / CONFIG).get("recipe", {}).get("family", {})
    if config.get("kind") != VocoderConfig.__name__:
        raise FourfoldError(f"{name} is no vocoder: `fourfold audio train vocoder-speech` makes one")
    codec = load_codec(folder, (WaveCodec,), ())
    sizes = {key: value for key, value in config.items() if key != "kind"}
    vocoder = from_dict(VocoderConfig, sizes, "family").build(codec.space, codec.conditions)
    load_weights(folder, vocoder)
    return vocoder.eval().requires_grad_(False)


def vocoder_of(name: str, mel: Mel) -> Callable[[np.ndarray], np.ndarray] | None:
    """What makes spectrograms of one kind audible: `vocode` by the vocoder of that name, None where it is "".

    Raises:
        FourfoldError: there is no such vocoder, or it is of spectrograms of another kind.
    """
    if not name:
        return None
    vocoder = load_vocoder(name)
    for key in ("rate", "fft", "hop", "mels", "low", "floor", "ceiling"):
        wanted, given = getattr(vocoder.mel, key), getattr(mel, key)
        if wanted != given:
            raise FourfoldError(f"{name} is of spectrograms whose {key} is {wanted:g}, and these have {given:g}: train "
                                f"with the vocoder's, data.mel.{key}={wanted:g}")
    return partial(vocode, vocoder, mel)


def vocode(vocoder: Family, mel: Mel, decibels: np.ndarray, progress: Progress | None = None) -> np.ndarray:
    """Spectrograms `[N, mels, frames]` -> waveforms `[N, hop * (frames - 1)]` in [-1, 1], a piece after the other."""
    values, parts = torch.as_tensor(decibels, dtype=torch.float32), []
    frames = values.shape[2]
    for start in range(0, frames, AT_ONCE):
        first, last = max(0, start - AROUND), min(frames, start + AT_ONCE + AROUND)
        heard = scaled(values[:, :, first:last], mel).to(vocoder.device)
        made = vocoder.sample(len(values), {"mel": heard}).x[:, 0].cpu()
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


def revoiced(vocoder: Family, mel: Mel, path: Path, progress: Progress | None = None) -> Revoiced:
    """A sound file's spectrogram made audible by a vocoder of such spectrograms.

    Raises:
        FourfoldError: the file cannot be read.
    """
    samples = read_sound(path, mel.rate)
    if len(samples) < mel.fft:
        raise FourfoldError(f"{path} lasts {1000 * len(samples) / mel.rate:.0f} milliseconds: at least "
                            f"{1000 * mel.fft / mel.rate:.0f} are needed")
    decibels = log_mel(samples[None], mel)
    made = vocode(vocoder, mel, decibels, progress)[0]
    pair = torch.from_numpy(made)[None], torch.from_numpy(samples[: len(made)])[None]
    return Revoiced(Sound(decibels[0], mel, path.stem, made), float(spectral_distance(*pair)))
