"""Recordings as tensors and back, each with its spectrogram: what a vocoder learns from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from apps.audio.sound import Mel, Sound, fit_length, log_mel
from core.batches import Batch
from core.conditions import ArrayCondition, ConditionSpec
from core.errors import FourfoldError
from core.runs.codec import Codec
from core.spaces import Continuous


@dataclass(frozen=True, kw_only=True)
class MelCondition(ArrayCondition):
    """A log-mel spectrogram, floor to ceiling as -1 to 1; it knows how it was made."""

    mel: Mel


@dataclass(frozen=True, kw_only=True)
class WaveCodec(Codec[Sound]):
    """Recordings as 16-bit waveforms `[1, samples]`, each with its spectrogram as the condition "mel".

    Attributes:
        mel: how spectrograms are made; of how many frames one training example is.
    """

    mel: Mel

    @property
    def space(self) -> Continuous:
        return Continuous(shape=(1, self.mel.samples), levels=2**16)

    @property
    def conditions(self) -> Mapping[str, ConditionSpec]:
        return {"mel": MelCondition(shape=(self.mel.mels, self.mel.frames), mel=self.mel)}

    def encode(self, items: Sequence[Sound]) -> Batch:
        if not items:
            raise FourfoldError("no sounds to encode")
        waves = [fit_length(sound.wave(), self.mel.samples) for sound in items]
        return Batch(torch.from_numpy(np.stack(waves))[:, None])

    def decode(self, batch: Batch) -> list[Sound]:
        samples = batch.x[:, 0].float().clamp(-1, 1).numpy()
        return [Sound(decibels, self.mel, samples=wave)
                for decibels, wave in zip(log_mel(samples, self.mel), samples, strict=True)]
