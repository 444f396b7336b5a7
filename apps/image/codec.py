"""Images <-> arrays: PIL images of one size and mode, as levels scaled to [-1, 1]."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from apps.image.degradations import tasks_of
from core.batches import Batch
from core.conditions import ArrayCondition, ClassCondition, ConditionSpec, SequenceCondition
from core.errors import FourfoldError
from core.spaces import Continuous

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, kw_only=True)
class ImageCodec:
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

    @property
    def space(self) -> Continuous:
        return Continuous(shape=self.shape, levels=self.levels)

    @property
    def conditions(self) -> Mapping[str, ConditionSpec]:
        specs: dict[str, ConditionSpec] = {}
        if self.class_names:
            specs["class"] = ClassCondition(names=self.class_names)
        if self.words:
            specs["prompt"] = SequenceCondition(
                length=self.caption_length, vocab=len(self.words) + 1, pad=len(self.words), words=self.words
            )
        if self.restores:
            specs["degraded"] = ArrayCondition(shape=(self.shape[0] + 1, *self.shape[1:]))
            specs["task"] = ClassCondition(names=tasks_of(self.shape[0]))
        return specs

    def to_levels(self, image: Image) -> np.ndarray:
        """One image, resized (short side, centre crop) and converted, as level indices `[C, H, W]` uint8."""
        from PIL import ImageOps

        channels, height, width = self.shape
        image = flatten(image).convert("L" if channels == 1 else "RGB")
        if image.size != (width, height):
            image = ImageOps.fit(image, (width, height))
        pixels = np.asarray(image, dtype=np.float32).reshape(height, width, channels).transpose(2, 0, 1)
        return np.round(pixels / 255 * (self.levels - 1)).astype(np.uint8)

    def encode(self, items: Sequence[Image]) -> Batch:
        """PIL images -> batch `[n, C, H, W]` in [-1, 1]."""
        if not items:
            raise FourfoldError("no images to encode")
        levels = np.stack([self.to_levels(image) for image in items])
        return Batch(torch.from_numpy(levels).float() * (2 / (self.levels - 1)) - 1)

    def decode(self, batch: Batch) -> list[Image]:
        """Batch -> PIL images, 8 bits, values outside [-1, 1] clipped and the rest rounded to a level."""
        from PIL import Image

        steps = self.levels - 1
        levels = ((batch.x.clamp(-1, 1) + 1) / 2 * steps).round()
        pixels = (levels * (255 / steps)).round().to(torch.uint8).cpu().numpy()
        grey = self.shape[0] == 1
        return [Image.fromarray(p[0] if grey else np.ascontiguousarray(p.transpose(1, 2, 0))) for p in pixels]

    def save(self, folder: Path) -> None:
        content = {
            "shape": self.shape, "levels": self.levels, "class_names": self.class_names, "restores": self.restores,
            "words": self.words, "caption_length": self.caption_length,
        }
        (folder / "codec.json").write_text(json.dumps(content, indent=2))

    @staticmethod
    def load(folder: Path) -> ImageCodec:
        """Read what `save` wrote.

        Raises:
            FourfoldError: the file is missing or damaged.
        """
        path = folder / "codec.json"
        try:
            content = json.loads(path.read_text())
            channels, height, width = map(int, content["shape"])
            return ImageCodec(
                shape=(channels, height, width),
                levels=int(content["levels"]), class_names=tuple(map(str, content["class_names"])),
                restores=bool(content.get("restores", False)),
                words=tuple(map(str, content.get("words", ()))), caption_length=int(content.get("caption_length", 0)),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise FourfoldError(f"cannot read the image codec {path}: {error}; train the model again") from error


def flatten(image: Image) -> Image:
    """8 bits a channel, turned upright, transparency over white, the first frame of an animation."""
    from PIL import Image as Images
    from PIL import ImageOps

    with contextlib.suppress(Exception):  # a damaged tag raises all sorts of things; the picture is shown as it lies
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith(("I", "F")):  # 16-bit and float greys would be clipped, not scaled, by convert()
        values = np.nan_to_num(np.asarray(image, dtype=np.float64))
        top = 65535 if values.max() > 255 else 255
        return Images.fromarray(np.clip(values / top * 255, 0, 255).astype(np.uint8))
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        return Images.alpha_composite(Images.new("RGBA", image.size, "white"), image).convert("RGB")
    return image
