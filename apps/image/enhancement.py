"""Images restored by a model that learned to: enlarged, denoised, with a part filled, in colours."""

from __future__ import annotations

import logging
from typing import Unpack

import numpy as np
import torch
from PIL import Image as Images
from PIL.Image import Image
from torch import Tensor

from apps.image.codec import Notes, flatten
from apps.image.data import ImageModel
from apps.image.degradations import LARGEST_SIGMA, grey, luma, noisy, small, tasks_of, with_hole
from core.batches import Batch
from core.errors import FourfoldError, Unsupported, require
from core.families import SettingChanges

log = logging.getLogger(__name__)
LARGEST_PIXELS = 2**20
"""Of a picture that is enhanced whole, after enlarging."""


def upscale(
    model: ImageModel, image: Image, factor: int = 2, *, seed: int = 0, **changes: Unpack[SettingChanges]
) -> Image:
    """The image with `factor` (2 or 4) times the pixels along each side.

    Raises:
        Unsupported: the model does not restore.
        FourfoldError: another factor, or a picture too large.
    """
    require(factor in (2, 4), "factor", factor, "must be 2 or 4")
    low = small(_pixels(model, image, factor), factor)
    return _image(model, restored(model, f"upscale{factor}", low, seed, **changes))


def denoise(
    model: ImageModel, image: Image, sigma: float = 0.1, *, seed: int = 0, **changes: Unpack[SettingChanges]
) -> Image:
    """The image without its noise, of standard deviation `sigma` (in (0, 0.4], where white is 1).

    Raises:
        Unsupported: the model does not restore.
        FourfoldError: sigma is out of range, or the picture too large.
    """
    require(0 < sigma <= LARGEST_SIGMA, "sigma", sigma, f"must be in (0, {LARGEST_SIGMA}], where white is 1")
    return _image(model, restored(model, "denoise", noisy(_pixels(model, image), sigma), seed, **changes))


def inpaint(
    model: ImageModel, image: Image, hole: Image, *, seed: int = 0, **changes: Unpack[SettingChanges]
) -> Image:
    """The image with the pixels where `hole` is white made anew, and all others kept.

    Raises:
        Unsupported: the model does not restore.
        FourfoldError: the mask is of another size or has no white, or the picture is too large.
    """
    image, hole = _flat(image, "picture"), _flat(hole, "mask", behind="black").convert("L")
    if hole.size != image.size:
        raise FourfoldError(f"the mask is {hole.size[0]}x{hole.size[1]} and the picture {image.size[0]}x"
                            f"{image.size[1]}: they must be of one size")
    hole = hole.point(lambda level: 255 * (level > 127))
    missing = torch.from_numpy(np.asarray(hole) > 0)[None, None]
    if not missing.any():
        raise FourfoldError("the mask has no white paint: paint white what is to be filled")
    if missing.all():
        log.warning("the mask is white everywhere: nothing of the picture is kept; paint white only what to fill")
    made = _image(model, restored(model, "inpaint", with_hole(_pixels(model, image), missing), seed, **changes))
    return Images.composite(made, image.convert(made.mode), hole)


def colorize(model: ImageModel, image: Image, *, seed: int = 0, **changes: Unpack[SettingChanges]) -> Image:
    """The image in colours; its brightness is kept.

    Raises:
        Unsupported: the model does not restore, or knows no colours.
        FourfoldError: the picture is too large.
    """
    bright = _flat(image, "picture").convert("L")
    x = _pixels(model, bright)
    if x.shape[1] == 1:
        raise Unsupported(f"{model.recipe.name} was trained on grey pictures: colours need data.color")
    made = restored(model, "colorize", grey(x), seed, **changes)
    return Images.fromarray(with_brightness(made, torch.from_numpy(np.array(bright))[None]).numpy()[0])


def with_brightness(x: Tensor, levels: Tensor) -> Tensor:
    """Colours `[B, 3, H, W]` in [-1, 1] as 8-bit RGB `[B, H, W, 3]` whose brightness is `levels` `[B, H, W]` (0-255).

    Colours that cannot be had at that brightness are paled as much as it takes. Green, which weighs most, evens out
    the rounding of the others, so that PIL's conversion to grey gives back the levels themselves.
    """
    wanted = levels[:, None].float()
    colour = (x - luma(x)) * 127.5
    room = torch.where(colour > 0, (255 - wanted) / colour, -wanted / colour)
    made = wanted + colour * torch.where(colour == 0, 1.0, room).amin(1, keepdim=True).clamp(0, 1)
    red, _, blue = made.round().clamp(0, 255).unbind(1)
    green = ((levels - 0.299 * red - 0.114 * blue) / 0.587).round().clamp(0, 255)
    return torch.stack([red, green, blue], dim=-1).to(torch.uint8)


def restored(
    model: ImageModel, task: str, degraded: Tensor, seed: int = 0, **changes: Unpack[SettingChanges]
) -> Tensor:
    """Degraded pictures `[N, C + 1, H, W]` of any size (see `apps.image.degradations`) restored, `[N, C, H, W]`."""
    index = tasks_of(model.codec.shape[0]).index(task)
    condition = {"degraded": degraded, "task": torch.full((len(degraded),), index)}
    return model.sample_batch(len(degraded), seed=seed, condition=condition, **changes).x


def _flat(image: Image, what: str, behind: str = "white") -> Image:
    """An image as it is seen; what was guessed of it is said."""
    notes = Notes()
    flat = flatten(image, notes, behind)
    for note in notes:
        log.warning(f"the {what}: {note}")
    return flat


def _pixels(model: ImageModel, image: Image, factor: int = 1) -> Tensor:
    """An image of any size as `[1, C, H, W]` in [-1, 1], for a model that restores it `factor` times as large.

    Raises:
        FourfoldError: that would have more than `LARGEST_PIXELS` pixels.
    """
    if not model.codec.restores:
        raise Unsupported(f"{model.recipe.name} makes pictures, it does not restore them: train a recipe such as "
                          "fashion-enhance or folder-enhance")
    image = _flat(image, "picture").convert("L" if model.codec.shape[0] == 1 else "RGB")
    width, height = image.width * factor, image.height * factor
    if width * height > LARGEST_PIXELS:
        raise FourfoldError(f"the restored picture would have {width}x{height} pixels: at most {LARGEST_PIXELS:,} are "
                            "restored at once; make it smaller or cut it up")
    values = np.asarray(image, dtype=np.float32)
    values = values[None] if values.ndim == 2 else values.transpose(2, 0, 1)
    return torch.from_numpy(values / 127.5 - 1)[None]


def _image(model: ImageModel, pixels: Tensor) -> Image:
    return model.codec.decode(Batch(pixels))[0]
