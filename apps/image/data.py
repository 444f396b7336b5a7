"""What to train on: images of a source as three splits, with their conditions."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL.Image import Image

from apps.image.captions import tokens, vocabulary, with_fewer_words
from apps.image.codec import ImageCodec
from apps.image.degradations import degrade_batch
from apps.image.emoji import emoji
from apps.image.sources import Pictures, cifar10, digits, fashion, folder, mnist
from core.batches import Batch
from core.data.arrays import ArrayData
from core.errors import require
from core.runs.domain import Prepared
from core.runs.model import Model

log = logging.getLogger(__name__)
NATIVE_SIZES = {"digits": 8, "mnist": 28, "fashion": 28, "cifar10": 32, "emoji": 32}


@dataclass(frozen=True, kw_only=True)
class ImageData:
    """What to train on.

    Attributes:
        source: "digits" (scikit-learn, 1,797 of 8x8), "mnist" or "fashion" (70,000 of 28x28), "cifar10" (60,000 of
            32x32, colour), "emoji" (3,778 of 72x72 by pip, colour), or "folder".
        folder: a folder of images, where source is "folder"; the folders just under it, if any, are classes.
        size: height and width in pixels; images are resized and cropped to it. 0: as the source has them.
        color: RGB instead of grey.
        alpha: with color, keep transparency, as RGBA; without, white is put behind what is transparent.
        by_class: condition on the class.
        by_caption: condition on the words of captions: the names of emoji; of a folder, see `read_captions`.
        binarize: each pixel is 0 or 1, 1 with its intensity as probability: drawn anew whenever a training image is
            used (dynamic binarisation, Salakhutdinov & Murray 2008), once for held-out ones.
        restore: learn to restore degraded pictures (enlarge, denoise, inpaint, colourise) instead of making new ones.
        limit: use only the first so many training images (0: all).
    """

    source: Literal["digits", "mnist", "fashion", "folder", "cifar10", "emoji"] = "digits"
    folder: str | None = None
    size: int = 0
    color: bool = False
    alpha: bool = False
    by_class: bool = False
    by_caption: bool = False
    binarize: bool = False
    restore: bool = False
    limit: int = 0

    def __post_init__(self) -> None:
        if self.size == 0:
            object.__setattr__(self, "size", NATIVE_SIZES.get(self.source, 0))
        require(4 <= self.size <= 1024, "data.size", self.size, "must be in [4, 1024] pixels")
        require(not self.restore or self.size % 4 == 0, "data.size", self.size, "must be a multiple of 4 to restore")
        require(self.color or not self.alpha, "data.alpha", self.alpha, "goes with data.color")
        require(not self.alpha or self.source == "folder", "data.alpha", self.alpha, f"{self.source} is opaque")
        conditioned = self.by_class or self.by_caption
        require(not self.restore or not (self.binarize or conditioned or self.alpha), "data.restore", self.restore,
                "goes without alpha, binarize, by_class and by_caption")
        require(not self.by_caption or self.source in ("emoji", "folder"), "data.by_caption", self.by_caption,
                f"{self.source} has no captions, emoji and folders have")
        require(self.limit >= 0, "data.limit", self.limit, "must be at least 0")
        require(self.source != "folder" or bool(self.folder), "data.folder", self.folder, "name a folder of images")


ImageModel = Model[ImageData, ImageCodec, Image]


def prepare(data: ImageData, known: ImageCodec | None = None, grow: bool = False) -> Prepared[ImageCodec]:
    """The three splits and their codec; pictures have as many levels as a `known` one's.

    Raises:
        FourfoldError: no readable images, or too few to split.
    """
    pictures = _pictures(data)
    for line in pictures.said:
        log.warning(line)
    captions = pictures.captions if data.by_caption else []
    words, longest = vocabulary(captions[pictures.rows("train")][: data.limit or None])
    stored = 17 if data.source == "digits" and data.size == 8 and not data.color else 256
    if known is not None and not data.binarize and known.levels != stored:
        pictures = replace(pictures, x=np.rint(pictures.x * ((known.levels - 1) / (stored - 1))).astype(np.uint8))
        stored = known.levels
    codec = replace(
        _plain_codec(data), levels=2 if data.binarize else stored, restores=data.restore, words=words,
        caption_length=longest, class_names=pictures.classes if data.by_class else (),
    )

    def split(name: str, limit: int = 0) -> ArrayData:
        x, y = pictures.x[pictures.rows(name)][: limit or None], pictures.y[pictures.rows(name)][: limit or None]
        condition = {"class": y} if data.by_class else {}
        if data.by_caption:
            condition["prompt"] = tokens(captions[pictures.rows(name)][: limit or None], words, longest)
        if data.restore:
            return ArrayData(codec.space, x, condition, vary=degrade_batch)
        if not data.binarize:
            vary = partial(with_fewer_words, pad=len(words)) if data.by_caption and name == "train" else None
            return ArrayData(codec.space, x, condition, vary=vary)
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
    readers: dict[str, Callable[[ImageCodec], Pictures]] = {
        "digits": digits, "mnist": mnist, "fashion": fashion, "cifar10": cifar10, "emoji": emoji,
        "folder": partial(folder, root=Path(data.folder or ""), by_class=data.by_class,
                          captioned=data.by_caption),
    }
    return readers[data.source](_plain_codec(data))


def _plain_codec(data: ImageData) -> ImageCodec:
    """Turns pictures of any size and mode into arrays of the size and colours wanted."""
    return ImageCodec(shape=(3 + data.alpha if data.color else 1, data.size, data.size))
