"""Images <-> arrays: PIL images of one size and mode, as levels scaled to [-1, 1]."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from apps.image.captions import word_tokens
from apps.image.degradations import tasks_of
from core.batches import Batch
from core.conditions import ArrayCondition, ClassCondition, ConditionSpec, SequenceCondition
from core.errors import FourfoldError, require
from core.runs.codec import Codec
from core.serialization import Json
from core.spaces import Continuous


@dataclass(frozen=True, kw_only=True)
class ImageCodec(Codec[Image.Image]):
    """`shape` is (channels, height, width), channels 1 (grey) or 3 (RGB); `levels` the values a channel takes.

    An 8-bit image of fewer levels is rounded to them (digits: 17, binarised MNIST: 2). `restores`: the model is
    conditioned on degraded pictures, see `apps.image.degradations`. `words`: those of the captions that the model is
    conditioned on, of up to `caption_length` words.
    """

    shape: tuple[int, int, int]
    levels: int = 256
    class_names: tuple[str, ...] = ()
    restores: bool = False
    words: tuple[str, ...] = ()
    caption_length: int = 0

    def __post_init__(self) -> None:
        channels, height, width = self.shape
        require(channels in (1, 3), "shape", self.shape, "must have 1 or 3 channels")
        require(height >= 1 and width >= 1, "shape", self.shape, "must be at least one pixel")
        require(2 <= self.levels <= 256, "levels", self.levels, "must be in [2, 256]")
        require(not self.words or self.caption_length >= 1, "caption_length", self.caption_length,
                "must be at least 1 where there are words")

    @property
    def space(self) -> Continuous:
        return Continuous(shape=self.shape, levels=self.levels)

    @property
    def conditions(self) -> Mapping[str, ConditionSpec]:
        specs: dict[str, ConditionSpec] = {}
        if self.class_names:
            specs["class"] = ClassCondition(names=self.class_names)
        if self.words:
            pad = len(self.words)
            specs["prompt"] = SequenceCondition(length=self.caption_length, vocab=pad + 1, pad=pad)
        if self.restores:
            specs["degraded"] = ArrayCondition(shape=(self.shape[0] + 1, *self.shape[1:]))
            specs["task"] = ClassCondition(names=tasks_of(self.shape[0]))
        return specs

    def parse_condition(self, name: str, text: str) -> Tensor:
        if name == "prompt":
            return torch.from_numpy(word_tokens(text, self.words, self.caption_length, name))
        return super().parse_condition(name, text)

    def to_levels(self, image: Image.Image) -> np.ndarray:
        """One image, resized (short side, centre crop) and converted, as level indices `[C, H, W]` uint8."""
        channels, height, width = self.shape
        image = flatten(image).convert("L" if channels == 1 else "RGB")
        if image.size != (width, height):
            image = ImageOps.fit(image, (width, height))
        pixels = np.asarray(image, dtype=np.float32).reshape(height, width, channels).transpose(2, 0, 1)
        return np.round(pixels / 255 * (self.levels - 1)).astype(np.uint8)

    def encode(self, items: Sequence[Image.Image]) -> Batch:
        """PIL images -> batch `[n, C, H, W]` in [-1, 1]."""
        if not items:
            raise FourfoldError("no images to encode")
        levels = np.stack([self.to_levels(image) for image in items])
        return Batch(torch.from_numpy(levels).float() * (2 / (self.levels - 1)) - 1)

    def decode(self, batch: Batch) -> list[Image.Image]:
        """Batch -> PIL images, 8 bits, values outside [-1, 1] clipped and the rest rounded to a level."""
        steps = self.levels - 1
        levels = ((batch.x.clamp(-1, 1) + 1) / 2 * steps).round()
        pixels = (levels * (255 / steps)).round().to(torch.uint8).cpu().numpy()
        grey = self.shape[0] == 1
        return [Image.fromarray(p[0] if grey else np.ascontiguousarray(p.transpose(1, 2, 0))) for p in pixels]


def from_version_0_1_0(codec: Json) -> Json:
    """The codec of a model of version 0.1.0, which named no kind."""
    return {"kind": "ImageCodec", **codec}


def flatten(image: Image.Image) -> Image.Image:
    """8 bits a channel, turned upright, transparency over white, the first frame of an animation."""
    with contextlib.suppress(Exception):  # a damaged tag raises all sorts of things; the picture is shown as it lies
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith(("I", "F")):  # 16-bit and float greys would be clipped, not scaled, by convert()
        values = np.nan_to_num(np.asarray(image, dtype=np.float64))
        top = 65535 if values.max() > 255 else 255
        return Image.fromarray(np.clip(values / top * 255, 0, 255).astype(np.uint8))
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image
