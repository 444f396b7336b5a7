"""The image domain as a value."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from apps.image.codec import ImageCodec, from_version_0_1_0
from apps.image.data import ImageData, ImageModel, prepare
from apps.image.media import preview, write
from apps.image.metrics import evaluate
from apps.image.recipes import RECIPES
from apps.image.sizing import default_family, guess, sized, tuned_data
from apps.image.sources import origins
from apps.image.tasks import TASKS, suggests
from core.runs import pretrained
from core.runs.domain import Domain

MODELS = Path(__file__).parent / "models"
DOMAIN = Domain(
    name="image", recipes=RECIPES, data_types=(ImageData,), codec_types=(ImageCodec,), prepare=prepare,
    evaluate=evaluate, write=write, preview=preview,
    own_data=lambda data, path: replace(data, source="folder", folder=str(path)), guess=guess,
    default_family=default_family, sized=sized, tuned_data=tuned_data, prepare_as=prepare, result="pictures",
    conditions=("class", "prompt"), default_samples=1000, tasks=TASKS, models=MODELS, model="digits",
    origins=lambda data: origins(data.source, data.folder), suggests=suggests,
    shows="New pictures, none of them from the data; those of one place on each sheet are of one class.",
    codec_migrations=(from_version_0_1_0,),
)


def load(path: str | Path, device: str = "auto") -> ImageModel:
    """A trained image model from its run folder; see `core.runs.pretrained.load`."""
    return pretrained.load(path, DOMAIN, device)
