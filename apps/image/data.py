"""What to train on: images of a source as three splits, with their conditions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch

from apps.image import sources
from apps.image.codec import ImageCodec
from apps.image.degradations import degrade_batch
from apps.image.sources import Pictures, open_image
from core.data.arrays import ArrayData
from core.domain import Prepared
from core.errors import FourfoldError, require
from core.space import Batch

__all__ = ["ImageData", "labels", "open_image", "prepare"]


@dataclass(frozen=True, kw_only=True)
class ImageData:
    """What to train on.

    Attributes:
        source: "digits" (scikit-learn, 1,797 of 8x8), "mnist" or "fashion" (70,000 of 28x28), "emoji" (7,572 of
            32x32, or 3,778 fetched by pip), or "folder".
        folder: a folder of images, where source is "folder"; its sub-folders, if any, are classes.
        size: height and width in pixels; images are resized and cropped to it.
        color: RGB instead of grey.
        by_class: condition on the class.
        binarize: each pixel is 0 or 1, 1 with its intensity as probability: drawn anew whenever a training image is
            used (dynamic binarisation, Salakhutdinov & Murray 2008), once for held-out ones.
        restore: learn to restore degraded pictures (enlarge, denoise, inpaint, colourise) instead of making new ones.
        limit: use only the first so many training images (0: all).
    """

    source: Literal["digits", "mnist", "fashion", "folder", "emoji"] = "digits"
    folder: str | None = None
    size: int = 8
    color: bool = False
    by_class: bool = False
    binarize: bool = False
    restore: bool = False
    limit: int = 0

    def __post_init__(self) -> None:
        require(4 <= self.size <= 1024, "data.size", self.size, "must be in [4, 1024] pixels")
        require(not self.restore or self.size % 4 == 0, "data.size", self.size, "must be a multiple of 4 to restore")
        require(not self.restore or not (self.binarize or self.by_class), "data.restore", self.restore,
                "goes without binarize and by_class")
        require(self.limit >= 0, "data.limit", self.limit, "must be at least 0")
        require(self.source != "folder" or bool(self.folder), "data.folder", self.folder, "name a folder of images")


def prepare(data: ImageData) -> Prepared:
    """The three splits and their codec.

    Raises:
        FourfoldError: no readable images, or too few to split.
    """
    pictures = _pictures(data)
    names = pictures.classes
    stored = 17 if data.source == "digits" and data.size == 8 else 256
    levels = 2 if data.binarize else stored
    channels = 3 if data.color else 1
    codec = ImageCodec(
        shape=(channels, data.size, data.size), levels=levels, class_names=names if data.by_class and names else (),
        restores=data.restore,
    )
    if data.by_class and not names:
        raise FourfoldError(f"{data.folder} has no classes: put its images into one sub-folder for each class")

    def split(name: str, limit: int = 0) -> ArrayData:
        x, y = pictures.x[pictures.rows(name)], pictures.y[pictures.rows(name)]
        if limit:
            x, y = x[:limit], y[:limit]
        condition = {"class": y} if data.by_class else {}
        if data.restore:
            return ArrayData(codec.space, x, condition, vary=degrade_batch)
        if not data.binarize:
            return ArrayData(codec.space, x, condition)
        if name == "train":
            return ArrayData(replace(codec.space, levels=stored), x, condition, vary=binarized)
        uniform = np.random.default_rng(len(x)).random(x.shape, dtype=np.float32)
        return ArrayData(codec.space, (uniform * (stored - 1) < x).astype(np.uint8), condition)

    return Prepared(codec=codec, train=split("train", data.limit), validation=split("validation"), test=split("test"))


def binarized(batch: Batch, generator: torch.Generator) -> Batch:
    """Pixels `[B, C, H, W]` in [-1, 1] drawn as -1 or 1, with the pixel itself as mean."""
    uniform = torch.rand(batch.x.shape, generator=generator)
    return replace(batch, x=torch.where(uniform * 2 - 1 < batch.x, 1.0, -1.0))


def labels(data: ImageData) -> dict[str, np.ndarray]:
    """Class indices of each split, whether or not the model is conditioned on them; empty for flat folders."""
    pictures = _pictures(data)
    if not pictures.classes:
        return {}
    return {name: np.asarray(pictures.y[pictures.rows(name)]) for name in ("train", "validation", "test")}


def _pictures(data: ImageData) -> Pictures:
    return {
        "digits": sources.digits, "mnist": sources.mnist, "fashion": sources.fashion, "folder": sources.folder,
        "emoji": sources.emoji,
    }[data.source](data)
