"""The image domain as a value."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from apps.image.codec import ImageCodec
from apps.image.data import ImageData, prepare
from apps.image.metrics import evaluate
from apps.image.recipes import RECIPES
from apps.image.tasks import grid
from core.runs import pretrained
from core.runs.domain import Domain
from core.runs.media import Media

if TYPE_CHECKING:
    from PIL.Image import Image


def write(items: Sequence[Image], folder: Path) -> list[Path]:
    """Each image as PNG, and all on one sheet."""
    paths = []
    for index, image in enumerate(items):
        paths.append(folder / f"{index:05d}.png")
        image.save(paths[-1])
    paths.append(folder / "grid.png")
    grid(items[:256]).save(paths[-1])
    return paths


def preview(items: Sequence[Image]) -> list[Media]:
    """A sheet of up to 36 images."""
    shown = items[:36]
    buffer = io.BytesIO()
    grid(shown).save(buffer, "PNG")
    return [Media(kind="png", content=buffer.getvalue(), caption=f"{len(shown)} samples")]


def load(path: str | Path, device: str = "auto") -> pretrained.Model:
    """A trained image model from its run folder; see `core.pretrained.load`."""
    return pretrained.load(path, DOMAIN, device)


DOMAIN = Domain(
    name="image",
    recipes=RECIPES,
    data_type=ImageData,
    prepare=prepare,
    load_codec=ImageCodec.load,
    evaluate=evaluate,
    write=write,
    preview=preview,
    condition_options={"class": "class", "prompt": "prompt"},
    default_samples=1000,
)
