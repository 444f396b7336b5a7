"""Items to tensors and back: four-part scores as tokens, sounds as log-mel levels; saved with the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from apps.audio.scores import Score
from apps.audio.sound import Mel, Sound
from apps.audio.vocoding import vocoder_of
from apps.audio.waveforms import WaveCodec
from core.batches import Batch
from core.conditions import ClassCondition, ConditionSpec
from core.errors import FourfoldError, require
from core.networks.carrying import Sources
from core.runs.codec import Codec
from core.spaces import Continuous, Discrete

REST, HOLD, FIRST_PITCH = 0, 1, 2
LEVELS = 256


@dataclass(frozen=True, kw_only=True)
class ChoraleCodec(Codec[Score]):
    """Windows of a score as tokens, voices interleaved: S A T B of the first step, S A T B of the second ...

    A token is a rest, a hold (the voice's note goes on), or a pitch struck anew. The melody-and-hold
    representation is DeepBach's (Hadjeres et al. 1612.01010).

    Attributes:
        beats: length of a window in quarter notes.
        steps_per_beat: 1, 2 or 4.
        low, high: the lowest and the highest MIDI number with a token.
    """

    beats: int
    steps_per_beat: int
    low: int
    high: int

    def __post_init__(self) -> None:
        require(self.steps_per_beat in (1, 2, 4), "steps_per_beat", self.steps_per_beat, "must be 1, 2 or 4")
        require(1 <= self.low <= self.high <= 127, "low", self.low, "must be a MIDI number, and at most high")

    def made_of(self, old: ChoraleCodec) -> Mapping[str, Sources]:
        """A new pitch begins as the nearest octave of it that had a token."""
        pitches: list[tuple[int, ...]] = []
        for pitch in range(self.low, self.high + 1):
            octaves = [other for other in range(old.low, old.high + 1) if (other - pitch) % 12 == 0]
            nearest = min((abs(other - pitch), other) for other in octaves)[1] if octaves else None
            pitches.append(() if nearest is None else (FIRST_PITCH + nearest - old.low,))
        return {"tokens": [(REST,), (HOLD,), *pitches]}

    @property
    def steps(self) -> int:
        """Steps of the grid in a window."""
        return self.beats * self.steps_per_beat

    @property
    def space(self) -> Discrete:
        return Discrete(length=4 * self.steps, vocab=FIRST_PITCH + self.high - self.low + 1)

    def encode(self, items: Sequence[Score]) -> Batch:
        for index, score in enumerate(items):
            if score.pitches.shape != (self.steps, 4) or score.steps_per_beat != self.steps_per_beat:
                raise FourfoldError(
                    f"score {index} has {score.pitches.shape[1]} voices and {len(score)} steps, {score.steps_per_beat} "
                    f"a beat: the model takes 4 voices and {self.steps} steps, {self.steps_per_beat} a beat"
                )
        if not items:
            raise FourfoldError("no scores to encode")
        rows = [tokens_of(score.pitches, score.struck, self.low, self.high) for score in items]
        return Batch(torch.from_numpy(np.stack(rows).reshape(len(items), -1).astype(np.int64)))

    def decode(self, batch: Batch) -> list[Score]:
        rows = batch.x.cpu().numpy().reshape(len(batch), -1, 4)
        return [Score(pitches_of(row, self.low), row >= FIRST_PITCH, self.steps_per_beat) for row in rows]


def tokens_of(pitches: np.ndarray, struck: np.ndarray, low: int, high: int) -> np.ndarray:
    """Tokens `[T, V]` of pitches and strikes `[T, V]`; notes outside [low, high] move by octaves into it."""
    folded = pitches.astype(np.int64)
    sounding = folded > 0
    while (below := sounding & (folded < low)).any():
        folded[below] += 12
    while (above := sounding & (folded > high)).any():
        folded[above] -= 12
    tokens = np.where(sounding, np.maximum(folded, low) - low + FIRST_PITCH, REST)
    hold = sounding & ~struck
    hold[:1] = False  # a window begins with its notes
    return np.where(hold, HOLD, tokens)


def pitches_of(tokens: np.ndarray, low: int) -> np.ndarray:
    """Pitches `[..., T, V]` of tokens; a hold after a rest, or at the beginning, is silence (0)."""
    pitches = np.zeros(tokens.shape, dtype=np.int16)
    now = np.zeros_like(pitches[..., 0, :])
    for step in range(tokens.shape[-2]):
        row = tokens[..., step, :]
        now = np.where(row == HOLD, now, np.where(row == REST, 0, row - FIRST_PITCH + low))
        pitches[..., step, :] = now
    return pitches


@dataclass(frozen=True, kw_only=True)
class NoteCodec(Codec[Sound]):
    """Sounds as arrays `[1, mels, frames]` of 256 evenly spaced decibel levels, scaled to [-1, 1].

    Attributes:
        mel: how spectrograms are made.
        names: the classes of sounds; empty without classes.
        vocoder: the run that makes them audible; "" for Griffin-Lim.
    """

    mel: Mel
    names: tuple[str, ...] = ()
    vocoder: str = ""

    @property
    def space(self) -> Continuous:
        return Continuous(shape=(1, self.mel.mels, self.mel.frames), levels=LEVELS)

    @property
    def conditions(self) -> Mapping[str, ConditionSpec]:
        return {"instrument": ClassCondition(names=self.names)} if self.names else {}

    def encode(self, items: Sequence[Sound]) -> Batch:
        for index, sound in enumerate(items):
            if sound.mel != self.mel:
                raise FourfoldError(f"sound {index} has another mel setting than the model: {sound.mel}")
        if not items:
            raise FourfoldError("no sounds to encode")
        levels = levels_of(np.stack([sound.decibels for sound in items]), self.mel)
        return Batch(torch.from_numpy(levels.astype(np.float32))[:, None] * (2 / (LEVELS - 1)) - 1)

    def decode(self, batch: Batch) -> list[Sound]:
        share = (batch.x[:, 0].float().cpu().numpy().clip(-1, 1) + 1) / 2
        decibels = self.mel.floor + share * (self.mel.ceiling - self.mel.floor)
        classes = batch.condition.get("instrument")
        labels = [None] * len(batch) if classes is None or not self.names else [self.names[i] for i in classes.tolist()]
        vocoder = vocoder_of(self.vocoder, self.mel)
        return [Sound(values, self.mel, label, vocoder=vocoder)
                for values, label in zip(decibels, labels, strict=True)]


def levels_of(decibels: np.ndarray, mel: Mel) -> np.ndarray:
    """Decibels -> uint8 levels of the same shape."""
    share = (decibels - mel.floor) / (mel.ceiling - mel.floor)
    return np.asarray(np.rint(share.clip(0, 1) * (LEVELS - 1)), dtype=np.uint8)


AudioCodec = ChoraleCodec | NoteCodec | WaveCodec
