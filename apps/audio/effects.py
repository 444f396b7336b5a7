"""Short sounds: instrument notes, drum hits ..."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Unpack

import numpy as np
import torch

from apps.audio.codec import ChoraleCodec, NoteCodec
from apps.audio.data import AudioModel
from apps.audio.sound import Mel, Sound, fit_length, log_mel, read_recording
from core.errors import FourfoldError
from core.families import SettingChanges
from core.runs.tasks import Progress

log = logging.getLogger(__name__)


def effect(
    model: AudioModel, n: int = 8, *, kind: str | None = None, seed: int = 0, progress: Progress | None = None,
    **changes: Unpack[SettingChanges],
) -> list[Sound]:
    """`n` short sounds, of the class `kind` or of all in turn.

    Raises:
        FourfoldError: the model makes no sounds, or has no such class.
    """
    codec = _sounds_of(model)
    condition = codec.parse_conditions({"instrument": kind}, n)
    if condition is None and codec.names:
        condition = {"instrument": torch.arange(n) % len(codec.names)}
    return codec.decode(model.sample_batch(n, seed=seed, condition=condition, progress=progress, **changes))


def continued(
    model: AudioModel, path: Path, n: int = 4, *, seconds: float | None = None, kind: str | None = None, seed: int = 0,
    **changes: Unpack[SettingChanges],
) -> list[Sound]:
    """`n` sounds that begin as the file does, for `seconds` (half the model's length unless given), and go on anew.

    Raises:
        FourfoldError: the model is of other things, cannot fill gaps, or the file cannot be read.
    """
    codec = _sounds_of(model)
    begun = _sound(path, codec.mel)
    frames = codec.mel.frames // 2 if seconds is None else round(seconds * codec.mel.rate / codec.mel.hop)
    if not 1 <= frames < codec.mel.frames:
        raise FourfoldError(f"seconds is {seconds:g}: must be above 0 and leave something of the model's "
                            f"{codec.mel.samples / codec.mel.rate:.2f} seconds")
    known = codec.encode([begun]).x.repeat(n, 1, 1, 1)
    known[..., frames:] = float("nan")
    condition = codec.parse_conditions({"instrument": kind}, n)
    made = model.fill(known, seed=seed, condition=condition, **changes)
    return [replace(sound, label=kind) for sound in codec.decode(made)]


def between(
    model: AudioModel, files: Sequence[Path], steps: int = 8, *, kind: str | None = None, seed: int = 0,
    **changes: Unpack[SettingChanges],
) -> list[Sound]:
    """`steps` sounds on the way from one file to another, or (without files) between two that the model draws.

    Raises:
        FourfoldError: the model is of other things or has no latents, or not two files are given.
    """
    codec = _sounds_of(model)
    if len(files) not in (0, 2):
        raise FourfoldError(f"{len(files)} sounds were given: an interpolation needs two, or none")
    ends = codec.encode([_sound(path, codec.mel) for path in files]) if files else None
    condition = codec.parse_conditions({"instrument": kind}, steps)
    return codec.decode(model.interpolate(ends, steps, seed=seed, condition=condition, **changes))


def _sounds_of(model: AudioModel) -> NoteCodec:
    if not isinstance(model.codec, NoteCodec):
        instead = "use `compose`" if isinstance(model.codec, ChoraleCodec) else "use `vocode`"
        raise FourfoldError(f"{model.recipe.name} makes no sounds of its own: {instead}")
    return model.codec


def _sound(path: Path, mel: Mel) -> Sound:
    """A sound file as a model takes it; what is cut is said."""
    samples = read_recording(path, mel.rate, mel.samples).samples
    if len(samples) > mel.samples:
        log.warning(f"{path.name}: only its first {mel.samples / mel.rate:.2f} seconds are read, the model's length")
    return Sound(log_mel(fit_length(samples, mel.samples)[None], mel)[0], mel)


def trimmed(samples: np.ndarray, rate: int, below: float = 1e-3) -> np.ndarray:
    """A waveform without the silence at its end, and at peak 0.9 unless it is all silence."""
    peak = float(np.abs(samples).max())
    if peak < 1e-4:
        return samples
    last = int(np.flatnonzero(np.abs(samples) > below * peak)[-1]) + 1
    return np.asarray(samples[: max(last, rate // 20)] * (0.9 / peak))
