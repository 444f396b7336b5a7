"""Short sounds: instrument notes, drum hits ..."""

from __future__ import annotations

from typing import Unpack

import numpy as np
import torch

from apps.audio.codec import NoteCodec
from apps.audio.data import AudioModel
from apps.audio.sound import Sound
from core.errors import FourfoldError
from core.families import SettingChanges
from core.runs.tasks import Progress


def effect(
    model: AudioModel, n: int = 8, *, kind: str | None = None, seed: int = 0, progress: Progress | None = None,
    **changes: Unpack[SettingChanges],
) -> list[Sound]:
    """`n` short sounds, of the class `kind` or of all in turn.

    Raises:
        FourfoldError: the model makes no sounds, or has no such class.
    """
    codec = model.codec
    if not isinstance(codec, NoteCodec):
        raise FourfoldError(f"{model.recipe.name} makes scores, not sounds: use `compose`")
    condition = codec.parse_conditions({"instrument": kind}, n)
    if condition is None and codec.names:
        condition = {"instrument": torch.arange(n) % len(codec.names)}
    return codec.decode(model.sample_batch(n, seed=seed, condition=condition, progress=progress, **changes))


def trimmed(samples: np.ndarray, rate: int, below: float = 1e-3) -> np.ndarray:
    """A waveform without the silence at its end, and at peak 0.9 unless it is all silence."""
    peak = float(np.abs(samples).max())
    if peak < 1e-4:
        return samples
    last = int(np.flatnonzero(np.abs(samples) > below * peak)[-1]) + 1
    return np.asarray(samples[: max(last, rate // 20)] * (0.9 / peak))
