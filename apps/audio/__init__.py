"""Music and sounds: four-part chorales as tokens, instrument notes and one-shots as spectrograms.

    from apps import audio

    model = audio.load("runs/audio/chorales-autoregressive")
    scores = audio.compose(model, 4, beats=32, seed=0)
    audio.to_midi(scores[0]).write("chorale.mid")
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.lazy import lazy

if TYPE_CHECKING:
    from apps.audio.composition import compose
    from apps.audio.data import ChoraleData, prepare
    from apps.audio.domain import DOMAIN, load
    from apps.audio.effects import effect
    from apps.audio.learning import train
    from apps.audio.metrics import music_overlaps
    from apps.audio.notes import NoteData
    from apps.audio.scores import Score, to_midi
    from apps.audio.sound import Mel, Sound, render

__all__ = [
    "DOMAIN", "ChoraleData", "Mel", "NoteData", "Score", "Sound", "compose", "effect", "load", "music_overlaps",
    "prepare", "render", "to_midi", "train",
]

__getattr__ = lazy(__name__, {
    "DOMAIN": "apps.audio.domain",
    "ChoraleData": "apps.audio.data",
    "Mel": "apps.audio.sound",
    "NoteData": "apps.audio.notes",
    "Score": "apps.audio.scores",
    "Sound": "apps.audio.sound",
    "compose": "apps.audio.composition",
    "effect": "apps.audio.effects",
    "load": "apps.audio.domain",
    "music_overlaps": "apps.audio.metrics",
    "prepare": "apps.audio.data",
    "render": "apps.audio.sound",
    "to_midi": "apps.audio.scores",
    "train": "apps.audio.learning",
})
