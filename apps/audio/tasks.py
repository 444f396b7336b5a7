"""What people come for, as commands: compose four-part music, make sound effects and instrument notes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.runs.tasks import (
    Progress,
    Result,
    Task,
    changes,
    guidance_option,
    num_option,
    option,
    seed_option,
    temperature_option,
)

if TYPE_CHECKING:
    from apps.audio.data import AudioModel


@dataclass(frozen=True, kw_only=True)
class Compose:
    """What `compose` takes."""

    num: int = num_option(4)
    beats: int | None = option(None, "Length in quarter notes; the model's window by default.", minimum=1,
                              maximum=100_000)
    tempo: float = option(84.0, "Quarter notes a minute.", minimum=20, maximum=300)
    temperature: float | None = temperature_option()
    seed: int = seed_option()


def compose(model: AudioModel, parameters: Compose, progress: Progress) -> Result:
    """Scores as files; for programs the notes of each, in beats."""
    from apps.audio import composition
    from apps.audio.media import preview, write_scores
    from apps.audio.scores import VOICES, notes_of

    scores = composition.compose(model, parameters.num, beats=parameters.beats, seed=parameters.seed,
                                 progress=progress, temperature=parameters.temperature)
    notes = [[{"voice": VOICES[voice], "begin": begin / score.steps_per_beat, "end": end / score.steps_per_beat,
               "pitch": pitch} for voice, begin, end, pitch in notes_of(score)] for score in scores]
    return Result(data={"scores": notes}, write=lambda folder: write_scores(scores, folder, parameters.tempo),
                  media=lambda: preview(scores))


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What `effect` takes."""

    num: int = num_option(8)
    kind: str | None = option(None, "Which class of sound; all in turn by default.", "--class")
    guidance_scale: float | None = guidance_option()
    temperature: float | None = temperature_option()
    seed: int = seed_option()


def effect(model: AudioModel, parameters: Effect, progress: Progress) -> Result:
    """Sounds as files; for programs the class of each."""
    from apps.audio import effects
    from apps.audio.media import preview, write_sounds

    sounds = effects.effect(model, parameters.num, kind=parameters.kind, seed=parameters.seed, progress=progress,
                            **changes(parameters))
    return Result(data={"classes": [sound.label for sound in sounds]},
                  write=lambda folder: write_sounds(sounds, folder), media=lambda: preview(sounds))


TASKS = (
    Task(name="compose", summary="Compose four-part music: MIDI, WAV and a piano roll.", parameters=Compose,
         run=compose, result="sound", output="composed", example="--beats 64"),
    Task(name="effect", summary="Make short sounds (instrument notes, drum hits ...): WAV and a spectrogram picture.",
         parameters=Effect, run=effect, result="sound", output="effects",
         example="-n 4", model="instruments"),
)
