"""The text domain as a value."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from apps.text.codec import TextCodec
from apps.text.data import MODELS, TextModel, prepare
from apps.text.media import preview, write
from apps.text.metrics import evaluate
from apps.text.migrations import CODEC_MIGRATIONS, RECIPE_MIGRATIONS
from apps.text.recipes import RECIPES
from apps.text.sizing import default_family, guess, sized, tuned_data
from apps.text.sources import origins
from apps.text.tasks import TASKS, suggests
from apps.text.text_data import TextData
from core.runs import pretrained
from core.runs.domain import Domain


def load(path: str | Path, device: str = "auto") -> TextModel:
    """The trained model in a run or model folder."""
    return pretrained.load(path, DOMAIN, device)


DOMAIN = Domain(
    name="text",
    recipes=RECIPES,
    data_types=(TextData,),
    codec_types=(TextCodec,),
    recipe_migrations=RECIPE_MIGRATIONS,
    codec_migrations=CODEC_MIGRATIONS,
    prepare=prepare,
    evaluate=evaluate,
    write=write,
    preview=preview,
    own_data=lambda data, path: replace(data, source="folder", folder=str(path)),
    guess=guess,
    default_family=default_family,
    sized=sized,
    tuned_data=tuned_data,
    prepare_as=prepare,
    result="text",
    conditions=("label",),
    tasks=TASKS,
    origins=origins, models=MODELS, model="shakespeare",
    suggests=suggests,
    shows="What the model writes from nothing, as it comes; half a minute teaches spelling and layout, not sense.",
    default_samples=256,
)
