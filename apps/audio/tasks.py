"""What people come for, as commands: compose four-part music, make sounds, make spectrograms audible."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import FourfoldError
from core.runs.tasks import (
    Progress,
    Result,
    Task,
    argument,
    changes,
    guidance_option,
    num_option,
    option,
    seed_option,
    temperature_option,
)

if TYPE_CHECKING:
    from apps.audio.data import AudioModel
    from apps.audio.sound import Sound


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

    return _sounds(effects.effect(model, parameters.num, kind=parameters.kind, seed=parameters.seed, progress=progress,
                                  **changes(parameters)))


@dataclass(frozen=True, kw_only=True)
class Continue:
    """What `continue` takes."""

    file: Path = argument("FILE", "A sound file, whose beginning is kept.")
    num: int = num_option(4)
    seconds: float | None = option(None, "How much of the file is kept; half the model's length by default.",
                                   minimum=0.001, maximum=1000)
    kind: str | None = option(None, "Which class of sound.", "--class")
    guidance_scale: float | None = guidance_option()
    seed: int = seed_option()


def go_on(model: AudioModel, parameters: Continue, progress: Progress) -> Result:
    """Sounds that begin as a file does."""
    from apps.audio import effects

    return _sounds(effects.continued(model, parameters.file, parameters.num, seconds=parameters.seconds,
                                     kind=parameters.kind, seed=parameters.seed, **changes(parameters)))


@dataclass(frozen=True, kw_only=True)
class Interpolate:
    """What `interpolate` takes."""

    files: list[Path] | None = argument("[FROM TO]", "Two sound files (a VAE); without, two sounds of the model.", None)
    num: int = num_option(8)
    kind: str | None = option(None, "Which class of sound.", "--class")
    seed: int = seed_option()


def interpolate(model: AudioModel, parameters: Interpolate, progress: Progress) -> Result:
    """Sounds on the way from one to another."""
    from apps.audio import effects

    return _sounds(effects.between(model, parameters.files or [], parameters.num, kind=parameters.kind,
                                   seed=parameters.seed))


def _sounds(sounds: list[Sound]) -> Result:
    from apps.audio.media import preview, write_sounds

    return Result(data={"classes": [sound.label for sound in sounds]},
                  write=lambda folder: write_sounds(sounds, folder), media=lambda: preview(sounds))


@dataclass(frozen=True, kw_only=True)
class Vocode:
    """What `vocode` takes."""

    files: list[Path] = argument("FILE...", "Sound files: WAV, FLAC, OGG, MP3 or AIFF.")


def vocode(model: AudioModel, parameters: Vocode, progress: Progress) -> Result:
    """Recordings as their spectrograms sound; for programs how near they come."""
    from apps.audio import vocoding
    from apps.audio.media import write_waves
    from apps.audio.sound import mel_png
    from apps.audio.waveforms import WaveCodec
    from core.runs.media import Media

    if not isinstance(model.codec, WaveCodec):
        raise FourfoldError(f"{model.recipe.name} is no vocoder: `fourfold audio train vocoder-speech` makes one")
    mel = model.codec.mel
    sounds = {path.stem: vocoding.revoiced(model.family, mel, path, progress) for path in parameters.files}
    distances = {name: round(sound.distance, 3) for name, sound in sounds.items()}
    made = {name: sound.made for name, sound in sounds.items()}
    return Result(text="\n".join(f"{name}: spectral distance {value:.3f}" for name, value in distances.items()),
                  data={"spectral_distance": distances}, write=lambda folder: write_waves(made, folder),
                  media=lambda: [Media(kind="png", content=mel_png(list(made.values())[:8]), caption="what is heard")])


@dataclass(frozen=True, kw_only=True)
class Teach:
    """What `teach` takes."""

    text: Path = argument("TEXT", "A text file, whose sentences are read (.txt, or packed as .gz).")
    num: int = num_option(2000)
    rate: int = option(16_000, "Samples a second.", minimum=8000, maximum=24_000)
    seed: int = seed_option()


def teach(_: None, parameters: Teach, progress: Progress) -> Result:
    """Sentences read by the teacher's voice: a folder in LJSpeech's format."""
    from apps.audio.teacher import sentences_of, write_lessons

    sentences = sentences_of(parameters.text, parameters.num, parameters.seed)
    return Result(text=f"{len(sentences):,} sentences", data={"sentences": len(sentences)},
                  write=lambda folder: write_lessons(sentences, folder, parameters.rate, progress))


TASKS = (
    Task(name="compose", summary="Compose four-part music: MIDI, WAV and a piano roll.", parameters=Compose,
         run=compose, result="sound", output="composed", example="--beats 64"),
    Task(name="effect", summary="Make short sounds (instrument notes, drum hits ...): WAV and a spectrogram picture.",
         parameters=Effect, run=effect, result="sound", output="effects",
         example="-n 4", model="instruments"),
    Task(name="continue", summary="Go on from the beginning of a sound (a diffusion model of sounds).",
         parameters=Continue, run=go_on, result="sound", output="continued", example="snare.wav -n 4",
         model="instruments"),
    Task(name="interpolate", summary="Go from one sound to another: two files (a VAE), or two sounds of the model (not "
         "autoregressive).", parameters=Interpolate, run=interpolate, result="sound", output="interpolated",
         example="-n 8", model="instruments"),
    Task(name="vocode", summary="Make recordings' spectrograms audible by a vocoder: how near does it come?",
         parameters=Vocode, run=vocode, result="sound", output="vocoded", example="recording.wav", model="vocoder"),
    Task(name="teach", summary="Make a training set of speech: sentences read by a teacher's voice (hibari-tts).",
         parameters=Teach, run=teach, result="sound", output="teacher", takes_model=False),
)
