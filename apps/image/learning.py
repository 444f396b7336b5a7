"""Training on pictures from Python."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from apps.image.data import ImageModel
from apps.image.domain import DOMAIN
from apps.image.media import png
from apps.image.sources import open_image
from core.data.rows import beside, class_names, class_of, column, items_of, optional_column, peeked, tell_columns
from core.errors import FourfoldError
from core.runs.own import Settings, train_own
from core.training.log import Listener

IMAGES, LABELS = ("image", "img", "picture", "pixel_values"), ("label", "labels", "class", "category")
CAPTIONS = ("caption", "text", "prompt")


def train(
    pictures: str | Path | Iterable[Any], *, labels: Iterable[object] | None = None,
    captions: Iterable[str] | None = None,
    start: str | Path | None = None, family: str | None = None, minutes: float | None = None,
    run: str | Path | None = None, seed: int = 0, device: str = "auto", settings: Settings | None = None,
    progress: Listener | None = None,
) -> ImageModel:
    """A model of your own pictures, trained here: `image.train(pictures, minutes=10).sample(16)`.

    Args:
        pictures: a folder; or an iterable of PIL images, of paths, or of arrays `[H, W]` or `[H, W, C]`, C being 1, 3
            or 4 (uint8, or floats from 0, black, to 1), such as one array `[N, H, W, C]`; or a table whose rows have an
            `image` and perhaps a `label` and a `caption` or `text` (`datasets`, pandas, dicts); or of tuples (picture,
            label).
        labels: the class of each picture; captions: its caption. The model is conditioned on them, by "class" and
            "prompt": `model.sample(8, condition={"class": "cat"})`.
        start: a run, or the name of a model that ships: its training goes on with these data.
        family: "vae", "gan", "diffusion" or "autoregressive"; None picks what suits the pictures.
        minutes: how long to train, 20 unless `settings` has train.steps.
        run: the run folder, in which pictures and model are kept; None names one. The same call again resumes it.
        settings: a recipe's keys and their values, {"data.size": 64, "train.batch_size": 32}.

    Raises:
        FourfoldError: pictures that cannot be read, too few of them, a refused setting, a run folder of something else.
    """
    given = dict(settings or {})
    if isinstance(pictures, str | Path):
        if labels is not None or captions is not None:
            raise FourfoldError("labels and captions of a folder are its sub-folders and captions file: leave them out")
        items: Any = Path(pictures)
    else:
        first, every = peeked(items_of(pictures))
        if isinstance(first, dict):
            rows = _from_table(first, every, pictures)
        elif isinstance(first, tuple) and len(first) == 2:  # as the data sets of torchvision have them
            rows = ((picture, label, None) for picture, label in every)
        else:
            both = beside(beside(every, labels, "labels"), captions, "captions")
            rows = ((picture, label, caption) for (picture, label), caption in both)
        first, rows = peeked(rows)
        given = {"data.by_class": first[1] is not None, "data.by_caption": first[2] is not None} | given
        items = _files(rows)
    return train_own(DOMAIN, items, start=start, family=family, minutes=minutes, run=run, seed=seed, device=device,
                     settings=given, progress=progress)


def _from_table(first: dict[str, Any], rows: Iterable[dict[str, Any]], table: object) -> Iterator[tuple[Any, Any, Any]]:
    """Pictures, labels and captions of a table."""
    image, label, caption = column(first, IMAGES, "pictures"), optional_column(first, LABELS), (
        optional_column(first, CAPTIONS))
    tell_columns(first, {"pictures": image, "labels": label, "captions": caption})
    names = class_names(table, label) if label else None
    for row in rows:
        yield row[image], class_of(row, label, names), row[caption] if caption else None


def _files(rows: Iterable[tuple[Any, Any, Any]]) -> Iterator[tuple[str, bytes]]:
    """A PNG a picture, in a folder of its class, and captions.jsonl."""
    captions = []
    for index, (picture, label, caption) in enumerate(rows):
        folder = ""
        if label is not None:
            folder = f"{_class(label, index)}/"
        name = f"{folder}{index:07d}.png"
        yield name, png(to_image(picture, f"picture {index}"))
        if caption is not None:
            captions.append(json.dumps({"file": name, "caption": str(caption)}, ensure_ascii=False))
    if captions:
        yield "captions.jsonl", ("\n".join(captions) + "\n").encode()


def _class(label: object, index: int) -> str:
    """The name of a class, which is that of a folder."""
    name = str(label)
    if not name or name.startswith(".") or not name.isprintable() or set(name) & set("/\\"):
        raise FourfoldError(f"label {index} is {name!r}: must be a folder's name, printable, without / and \\")
    return name


def to_image(picture: Any, what: str = "the picture") -> Image.Image:
    """A PIL image of what people take for a picture; see `train`. The range of values comes from their type.

    Raises:
        FourfoldError: it is none, or has values out of range.
    """
    if isinstance(picture, Image.Image):
        return picture
    if isinstance(picture, str | Path):
        return open_image(picture)
    if isinstance(picture, dict) and picture.get("bytes") is not None:  # an undecoded one of `datasets`
        return Image.open(io.BytesIO(picture["bytes"]))
    if isinstance(picture, dict) and picture.get("path"):
        return open_image(picture["path"])
    try:
        array = np.asarray(picture)
    except (TypeError, ValueError):
        array = np.asarray(None)
    if array.ndim == 3 and array.shape[2] not in (1, 3, 4) and array.shape[0] in (1, 3, 4):
        array = array.transpose(1, 2, 0)  # channels first, as torch has them
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)) or not array.size:
        raise FourfoldError(f"{what} is {type(picture).__name__} of shape {array.shape}: must be a PIL image, a path, "
                            "or an array [H, W] or [H, W, C], C being 1, 3 or 4")
    if array.dtype == np.bool_:
        array = array.astype(np.uint8) * np.uint8(255)
    elif array.dtype.kind == "f":
        if not np.isfinite(array).all() or array.min() < 0 or array.max() > 1:
            raise FourfoldError(f"{what} has floats from {array.min():g} to {array.max():g}: must be 0 (black) to 1, "
                                "or uint8 from 0 to 255")
        array = np.rint(array * 255).astype(np.uint8)
    elif array.dtype != np.uint8:
        raise FourfoldError(f"{what} is of {array.dtype}: must be uint8 (0 to 255) or floats (0 to 1)")
    return Image.fromarray(np.ascontiguousarray(array[:, :, 0] if array.ndim == 3 and array.shape[2] == 1 else array))
