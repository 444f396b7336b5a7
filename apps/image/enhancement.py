"""Images restored by a model that learned to: enlarged, denoised, with a part filled, in colours."""

from __future__ import annotations

from typing import Unpack

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor

from apps.image.codec import flatten
from apps.image.data import ImageModel
from apps.image.degradations import LARGEST_SIGMA, grey, luma, noisy, small, tasks_of, with_hole
from core.batches import Batch
from core.errors import FourfoldError, Unsupported, require
from core.families import SettingChanges

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
    return _image(model, restored(model, f"upscale{factor}", small(_pixels(model, image), factor), seed, **changes))


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
        FourfoldError: the mask is of another size or all black, or the picture too large.
    """
    if hole.size != image.size:
        raise FourfoldError(f"the mask is {hole.size[0]}x{hole.size[1]} and the picture {image.size[0]}x"
                            f"{image.size[1]}: they must be of one size")
    missing = torch.from_numpy(np.asarray(flatten(hole).convert("L")) > 127)[None, None]
    if not missing.any():
        raise FourfoldError("the mask is black everywhere: paint white what is to be filled")
    x = _pixels(model, image)
    return _image(model, torch.where(missing, restored(model, "inpaint", with_hole(x, missing), seed, **changes), x))


def colorize(model: ImageModel, image: Image, *, seed: int = 0, **changes: Unpack[SettingChanges]) -> Image:
    """The image in colours; its brightness is kept.

    Raises:
        Unsupported: the model does not restore, or knows no colours.
        FourfoldError: the picture is too large.
    """
    x = _pixels(model, flatten(image).convert("L"))
    if x.shape[1] == 1:
        raise Unsupported(f"{model.recipe.name} was trained on grey pictures: colours need data.color")
    made = restored(model, "colorize", grey(x), seed, **changes)
    return _image(model, made + luma(x) - luma(made))


def restored(
    model: ImageModel, task: str, degraded: Tensor, seed: int = 0, **changes: Unpack[SettingChanges]
) -> Tensor:
    """Degraded pictures `[N, C + 1, H, W]` of any size (see `apps.image.degradations`) restored, `[N, C, H, W]`.

    Raises:
        FourfoldError: a picture has more than `LARGEST_PIXELS` pixels.
    """
    height, width = degraded.shape[2:]
    if height * width > LARGEST_PIXELS:
        raise FourfoldError(f"the restored picture would have {width}x{height} pixels: at most {LARGEST_PIXELS:,} are "
                            "restored at once; make it smaller or cut it up")
    index = tasks_of(model.codec.shape[0]).index(task)
    condition = {"degraded": degraded, "task": torch.full((len(degraded),), index)}
    return model.sample_batch(len(degraded), seed=seed, condition=condition, **changes).x


def _pixels(model: ImageModel, image: Image) -> Tensor:
    """An image of any size as `[1, C, H, W]` in [-1, 1], for a model that restores."""
    if not model.codec.restores:
        raise Unsupported(f"{model.recipe.name} makes pictures, it does not restore them: train a recipe such as "
                          "fashion-enhance or folder-enhance")
    mode = "L" if model.codec.shape[0] == 1 else "RGB"
    values = np.asarray(flatten(image).convert(mode), dtype=np.float32)
    values = values[None] if values.ndim == 2 else values.transpose(2, 0, 1)
    return torch.from_numpy(values / 127.5 - 1)[None]


def _image(model: ImageModel, pixels: Tensor) -> Image:
    return model.codec.decode(Batch(pixels))[0]
