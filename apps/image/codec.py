"""Images <-> arrays: PIL images of one size and mode, as levels scaled to [-1, 1]."""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import ExifTags, Image, ImageCms, ImageOps
from PIL.TiffImagePlugin import BITSPERSAMPLE, PHOTOMETRIC_INTERPRETATION, SAMPLEFORMAT, TiffImageFile
from torch import Tensor

from apps.image.captions import word_tokens
from apps.image.degradations import tasks_of
from core.batches import Batch
from core.conditions import ArrayCondition, ClassCondition, ConditionSpec, SequenceCondition
from core.errors import FourfoldError, require
from core.networks.carrying import Sources, aligned, by_name
from core.runs.codec import Codec
from core.serialization import Json
from core.spaces import Continuous

log = logging.getLogger(__name__)
Notes = Counter[str]
"""What was guessed, cut or left out when pictures were read, with the number of pictures."""
MODES = {1: "L", 3: "RGB", 4: "RGBa"}
"""Pillow's name for pictures of so many channels; the last has colours multiplied by the opacity."""


@dataclass(frozen=True, kw_only=True)
class ImageCodec(Codec[Image.Image]):
    """`shape` is (channels, height, width), channels 1 (grey), 3 (RGB) or 4 (RGBA); `levels` what values one takes.

    Colours of RGBA are multiplied by the opacity, as nobody sees the colour of what is fully transparent.

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
        require(channels in MODES, "shape", self.shape, "must have 1, 3 or 4 channels")
        require(channels < 4 or not self.restores, "restores", self.restores, "goes without transparency")
        require(height >= 1 and width >= 1, "shape", self.shape, "must be at least one pixel")
        require(2 <= self.levels <= 256, "levels", self.levels, "must be in [2, 256]")
        require(not self.words or self.caption_length >= 1, "caption_length", self.caption_length,
                "must be at least 1 where there are words")

    def made_of(self, old: ImageCodec) -> Mapping[str, Sources]:
        """Grey is the mean of colours, and colours begin as grey."""
        had, has = old.shape[0], self.shape[0]
        channels: Sources = aligned(had, has)
        if had == 1 < has:
            channels = [(0,)] * 3 + [()] * (has - 3)
        elif has == 1 < had:
            channels = [(0, 1, 2)]
        return {"channels": channels, "prompt": [*by_name(old.words, self.words), (len(old.words),)]}

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

    def to_levels(self, image: Image.Image, notes: Notes | None = None) -> np.ndarray:
        """One image, resized (short side, centre crop) and converted, as level indices `[C, H, W]` uint8."""
        channels, height, width = self.shape
        clear = channels == 4
        image = as_seen(image, Notes() if notes is None else notes) if clear else flatten(image, notes)
        image = image.convert("RGBA" if clear else MODES[channels])
        if image.size != (width, height):
            image = ImageOps.fit(image, (width, height))
        image = image.convert(MODES[channels])
        pixels = np.asarray(image, dtype=np.float32).reshape(height, width, channels).transpose(2, 0, 1)
        return np.round(pixels / 255 * (self.levels - 1)).astype(np.uint8)

    def encode(self, items: Sequence[Image.Image]) -> Batch:
        """PIL images -> batch `[n, C, H, W]` in [-1, 1]."""
        if not items:
            raise FourfoldError("no images to encode")
        notes = Notes()
        levels = np.stack([self.to_levels(image, notes) for image in items])
        for line in told(notes, len(items)):
            log.warning(line)
        return Batch(torch.from_numpy(levels).float() * (2 / (self.levels - 1)) - 1)

    def decode(self, batch: Batch) -> list[Image.Image]:
        """Batch -> PIL images, 8 bits, values outside [-1, 1] clipped and the rest rounded to a level."""
        steps = self.levels - 1
        levels = ((batch.x.clamp(-1, 1) + 1) / 2 * steps).round()
        pixels = (levels * (255 / steps)).round().to(torch.uint8).cpu().numpy()
        channels, height, width = pixels.shape[1:]
        made = [Image.frombytes(MODES[channels], (width, height), p.transpose(1, 2, 0).tobytes()) for p in pixels]
        return [image.convert("RGBA") for image in made] if channels == 4 else made


def from_version_0_1_0(codec: Json) -> Json:
    """The codec of a model of version 0.1.0, which named no kind."""
    return {"kind": "ImageCodec", **codec}


def told(notes: Notes, total: int) -> list[str]:
    """A line for each note, with how many of `total` images it is about."""
    return [f"{count:,} of {total:,} images: {note}" for note, count in sorted(notes.items())]


def flatten(image: Image.Image, notes: Notes | None = None, behind: str = "white") -> Image.Image:
    """The image as it is seen, with a colour behind what is transparent."""
    notes = Notes() if notes is None else notes
    image = as_seen(image, notes)
    if not image.has_transparency_data:
        return image
    image = image.convert("RGBA")
    opacity = image.getchannel("A")
    if opacity.getextrema() != (255, 255):
        notes[f"transparent in parts; {behind} is put behind"] += 1
    flat = Image.new("RGB", image.size, behind)
    flat.paste(image, mask=opacity)
    return flat


def as_seen(image: Image.Image, notes: Notes) -> Image.Image:
    """The image upright, of 8 bits a channel; transparency is kept.

    The range of values comes from their type, never from the values; where the type does not say, `notes` does.
    """
    kind, seen = image.mode[0], image
    with contextlib.suppress(Exception):  # a damaged tag raises all sorts of things; the picture is shown as it lies
        if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
            seen = ImageOps.exif_transpose(image)
    if image.mode == "La":
        return seen.convert("LA")
    if image.mode == "LAB":
        lab, rgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(seen, lab, rgb, outputMode="RGB") or seen
    if kind not in "IF":
        return seen
    seen = _in_strips(seen, _floats(seen, notes) if kind == "F" else _integers(image, notes))
    inverted = isinstance(image, TiffImageFile) and image.tag_v2.get(PHOTOMETRIC_INTERPRETATION) == 0  # white is 0
    return ImageOps.invert(seen) if inverted else seen


ToBytes = Callable[[np.ndarray], np.ndarray]
"""Values of a part of a picture as uint8."""


def _integers(image: Image.Image, notes: Notes) -> ToBytes:
    """Of whole numbers of more than 8 bits the upper 8."""
    bits, signed = (16, False) if image.mode.startswith("I;16") or image.format == "PPM" else (32, True)
    if isinstance(image, TiffImageFile):
        bits = int(image.tag_v2.get(BITSPERSAMPLE, (bits,))[0])
        signed = image.tag_v2.get(SAMPLEFORMAT, (1,))[0] == 2
    if bits == 32 or signed:
        notes[f"greys of {bits} bits, read as 0 (black) to {2 ** (bits - signed) - 1:,} (white)"] += 1

    def to_bytes(values: np.ndarray) -> np.ndarray:
        values = values.clip(min=0) if signed else values.view(np.uint32) if bits == 32 else values
        return (values >> (bits - signed - 8)).astype(np.uint8)

    return to_bytes


def _floats(image: Image.Image, notes: Notes) -> ToBytes:
    """Floats are 0 to 1, unless they are whole numbers up to 255 (then they are 8-bit levels: a guess)."""
    high, low, whole, odd = 1.0, 0.0, True, False
    for _, values in _strips(image):
        odd |= not np.isfinite(values).all()
        values = np.nan_to_num(values, nan=0, posinf=1, neginf=0)
        high, low = max(high, float(values.max())), min(low, float(values.min()))
        whole &= bool((values == np.floor(values)).all())
    white = 255 if whole and 1 < high <= 255 else 1
    if white == 255:
        notes["floats that are whole numbers, read as 0 (black) to 255 (white)"] += 1
    if odd:
        notes["floats that are not finite in places; NaN is black"] += 1
    if high > white or low < 0:
        notes["floats, read as 0 (black) to 1 (white); what is beyond is cut"] += 1
    return lambda values: np.rint(np.nan_to_num(values, nan=0, posinf=white, neginf=0).clip(0, white) * (255 / white))


def _strips(image: Image.Image) -> Iterator[tuple[int, np.ndarray]]:
    """The rows of a picture, some at a time, as copies of all of it would be large."""
    rows = max(1, 2**20 // image.width)
    for top in range(0, image.height, rows):
        yield top, np.asarray(image.crop((0, top, image.width, min(top + rows, image.height))))


def _in_strips(image: Image.Image, to_bytes: ToBytes) -> Image.Image:
    made = Image.new("L", image.size)
    for top, values in _strips(image):
        made.paste(Image.fromarray(to_bytes(values).astype(np.uint8)), (0, top))
    return made
