"""The audio domain as a value."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from apps.audio.codec import AudioCodec, ChoraleCodec, NoteCodec
from apps.audio.data import AudioData, AudioModel, ChoraleData, origins, prepare
from apps.audio.media import preview, write
from apps.audio.metrics import evaluate
from apps.audio.notes import NoteData
from apps.audio.recipes import RECIPES
from apps.audio.recordings import RecordingData
from apps.audio.scores import Score
from apps.audio.sizing import default_family, guess, sized, tuned_data
from apps.audio.sound import Sound
from apps.audio.tasks import TASKS
from apps.audio.vocoding import MODELS
from apps.audio.waveforms import WaveCodec
from core.runs import pretrained
from core.runs.domain import Domain
from core.runs.recipe import Recipe


def _suggested(recipe: Recipe[AudioData]) -> list[str]:
    if isinstance(recipe.data, RecordingData):
        return ["vocode {run} recording.wav"]
    return ["compose {run} --beats 32" if isinstance(recipe.data, ChoraleData) else "effect {run}"]


DOMAIN: Domain[AudioData, AudioCodec, Score | Sound] = Domain(
    name="audio",
    recipes=RECIPES,
    data_types=(ChoraleData, NoteData, RecordingData),
    codec_types=(ChoraleCodec, NoteCodec, WaveCodec),
    prepare=prepare,
    evaluate=evaluate,
    write=write,
    preview=preview,
    own_data=lambda data, path: replace(data, folder=str(path)),
    guess=guess,
    default_family=default_family,
    sized=sized,
    tuned_data=tuned_data,
    prepare_as=prepare,
    result="sound",
    conditions=("instrument",),
    default_samples=512,
    tasks=TASKS,
    origins=origins, models=MODELS, model="chorales",
    suggests=_suggested,
    shows="Four-part chorales as piano rolls, a colour a voice, the first one played; or notes of instruments as "
          "spectrograms, low tones below, played one after another.",
)


def load(path: str | Path, device: str = "auto") -> AudioModel:
    """The trained model in a run or model folder."""
    return pretrained.load(path, DOMAIN, device)
