"""The audio domain as a value, and how its samples are written and shown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from core.runs.model import Model

from apps.audio.codec import load_codec
from apps.audio.data import ChoraleData, NoteData, prepare
from apps.audio.metrics import evaluate
from apps.audio.recipes import RECIPES
from apps.audio.scores import Score, piano_roll_png
from apps.audio.sound import Sound, mel_png, render, wav_bytes, waves
from apps.audio.tasks import trimmed, write_scores, write_sounds
from core.runs import pretrained
from core.runs.domain import Domain
from core.runs.media import Media

PREVIEW_RATE = 16000
PREVIEW_TEMPO = 110.0


def load(path: str | Path, device: str = "auto") -> Model:
    """The trained model in a run or model folder."""
    return pretrained.load(path, DOMAIN, device)


def write(items: Sequence[Score | Sound], folder: Path) -> list[Path]:
    """Scores as MIDI, WAV and a piano roll; sounds as WAV and a spectrogram picture."""
    scores, sounds = _by_kind(items)
    return (write_scores(scores, folder) if scores else []) + (write_sounds(sounds, folder) if sounds else [])


def preview(items: Sequence[Score | Sound]) -> list[Media]:
    """A picture of up to 16 items, and a few seconds of the first ones."""
    scores, sounds = _by_kind(items[:16])
    if scores:
        samples = render(scores[0], PREVIEW_RATE, PREVIEW_TEMPO)
        picture = Media(kind="png", content=piano_roll_png(scores[:8]), caption="piano rolls")
        return [picture, Media(kind="wav", content=wav_bytes(samples, PREVIEW_RATE), caption="the first")]
    if not sounds:
        return []
    picture = Media(kind="png", content=mel_png(sounds), caption="log-mel spectrograms")
    rate = sounds[0].mel.rate
    chosen = sounds[:8]
    played = np.concatenate([trimmed(samples, rate)[: rate * 3 // 4] for samples in waves(chosen)])
    caption = ", ".join(sound.label for sound in chosen if sound.label)
    return [picture, Media(kind="wav", content=wav_bytes(played, rate), caption=caption)]


def _by_kind(items: Sequence[Score | Sound]) -> tuple[list[Score], list[Sound]]:
    scores = [item for item in items if isinstance(item, Score)]
    return scores, [item for item in items if isinstance(item, Sound)]


DOMAIN = Domain(
    name="audio",
    recipes=RECIPES,
    data_type=ChoraleData | NoteData,  # type: ignore[arg-type]
    prepare=prepare,
    load_codec=load_codec,
    evaluate=evaluate,
    write=write,
    preview=preview,
    condition_options={"instrument": "instrument"},
    default_samples=512,
)
