"""What people come for: grids, interpolations, variations, and enhancement: enlarge, denoise, inpaint, colourise."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from apps.image.codec import ImageCodec, flatten
from apps.image.degradations import LARGEST_SIGMA, grey, luma, noisy, small, tasks_of, torn
from core.batches import Batch
from core.errors import FourfoldError, Unsupported, require
from core.families.diffusion import Diffusion
from core.families.vae import VAE, slerp
from core.seeds import derive

if TYPE_CHECKING:
    from core.runs.model import Model
    from PIL.Image import Image

LARGEST_PIXELS = 2**20
"""Of a picture that is enhanced whole, after enlarging."""


def grid(images: Sequence[Image], columns: int = 0, scale: int = 0) -> Image:
    """Images of one size side by side with a pixel between; small ones enlarged by whole pixels.

    `columns`: 0 makes it about square. `scale`: 0 enlarges a picture to about 48 pixels.
    """
    from PIL import Image as Images

    if not images:
        raise FourfoldError("no images to show")
    width, height = images[0].size
    columns = columns or max(1, round(len(images) ** 0.5))
    scale = scale or max(1, 48 // max(width, height))
    rows = -(-len(images) // columns)
    cell_width, cell_height = width * scale + scale, height * scale + scale
    sheet = Images.new(images[0].mode, (columns * cell_width + scale, rows * cell_height + scale), _grey(images[0]))
    for index, image in enumerate(images):
        row, column = divmod(index, columns)
        large = image.resize((width * scale, height * scale), Images.Resampling.NEAREST)
        sheet.paste(large, (column * cell_width + scale, row * cell_height + scale))
    return sheet


def _grey(image: Image) -> int | tuple[int, int, int]:
    return 128 if image.mode == "L" else (128, 128, 128)


# ----------------------------------------------------------------------------------------- through latent spaces


def reconstruct(model: Model, images: Sequence[Image]) -> list[Image]:
    """Images through a VAE's latent space and back.

    Raises:
        Unsupported: the model is no VAE.
    """
    return model.codec.decode(_vae(model).reconstruct(model.codec.encode(images).to(model.device)))


def interpolate(
    model: Model, first: Image | None = None, second: Image | None = None, frames: int = 9, *, seed: int = 0,
    condition: Mapping[str, Tensor] | None = None, **settings: Any,
) -> list[Image]:
    """`frames` images along the arc between two latents, both ends included.

    Between two images they are a VAE's reconstructions of them; without images, the ends are two samples of a VAE, a
    GAN or a diffusion model. `condition`: tensors `[frames, ...]` by name.

    Raises:
        Unsupported: the family has no latents, or cannot encode images.
        FourfoldError: fewer than two frames, or one image.
    """
    if frames < 2:
        raise FourfoldError(f"frames is {frames}: must be at least 2")
    if (first is None) != (second is None):
        raise FourfoldError("an interpolation needs two images, or none")
    generator = torch.Generator(model.device).manual_seed(derive(seed))
    if first is not None and second is not None:
        a, b = (_vae(model).encode(model.codec.encode([image]).to(model.device)) for image in (first, second))
    else:
        shape = model.family.latent_shape
        a, b = torch.randn((2, 1, *shape), generator=generator, device=model.device)
    points = torch.cat([slerp(a, b, t) for t in torch.linspace(0, 1, frames).tolist()])
    given = {name: value.to(model.device) for name, value in (condition or {}).items()} or None
    drawn = model.family.decode(points, given, settings=model.settings(**settings), generator=generator)
    return model.codec.decode(drawn)


def _vae(model: Model) -> VAE:
    if not isinstance(model.family, VAE):
        raise Unsupported(f"{model.recipe.name} is no VAE: only a VAE has latents to go back through")
    return model.family


def variations(
    model: Model, image: Image, n: int = 8, *, strength: float = 0.6, seed: int = 0,
    condition: Mapping[str, Tensor] | None = None, **settings: Any,
) -> list[Image]:
    """`n` images near one (SDEdit, Meng et al. 2108.01073), by any diffusion model; the image is fitted to its size.

    `strength` in (0, 1]: how much is made anew. `condition`: tensors `[n, ...]` by name.

    Raises:
        Unsupported: the model is no diffusion model of pictures.
        FourfoldError: strength is out of range.
    """
    family, codec = model.family, _codec(model)
    if not isinstance(family, Diffusion) or codec.restores:
        raise Unsupported(f"{model.recipe.name} makes no variations: use a diffusion model that makes new pictures")
    x = codec.encode([image]).x.to(model.device).expand(n, -1, -1, -1)
    given = {name: value.to(model.device) for name, value in (condition or {}).items()} or None
    generator = torch.Generator(model.device).manual_seed(derive(seed))
    return codec.decode(family.vary(x, strength, given, settings=model.settings(**settings), generator=generator))


# --------------------------------------------------------------------------------------------------- enhancement


def upscale(model: Model, image: Image, factor: int = 2, *, seed: int = 0, **settings: Any) -> Image:
    """The image with `factor` (2 or 4) times the pixels along each side.

    Raises:
        Unsupported: the model does not restore.
        FourfoldError: another factor, or a picture too large.
    """
    require(factor in (2, 4), "factor", factor, "must be 2 or 4")
    return restore(model, f"upscale{factor}", small(_pixels(model, image), factor), seed=seed, **settings)


def denoise(model: Model, image: Image, sigma: float = 0.1, *, seed: int = 0, **settings: Any) -> Image:
    """The image without its noise, of standard deviation `sigma` (in (0, 0.4], where white is 1).

    Raises:
        Unsupported: the model does not restore.
        FourfoldError: sigma is out of range, or the picture too large.
    """
    require(0 < sigma <= LARGEST_SIGMA, "sigma", sigma, f"must be in (0, {LARGEST_SIGMA}], where white is 1")
    return restore(model, "denoise", noisy(_pixels(model, image), sigma), seed=seed, **settings)


def inpaint(model: Model, image: Image, hole: Image, *, seed: int = 0, **settings: Any) -> Image:
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

    def keep(made: Tensor) -> Tensor:
        return torch.where(missing, made, x)

    return restore(model, "inpaint", torn(x, missing), seed=seed, finish=keep, **settings)


def colorize(model: Model, image: Image, *, seed: int = 0, **settings: Any) -> Image:
    """The image in colours; its brightness is kept.

    Raises:
        Unsupported: the model does not restore, or knows no colours.
        FourfoldError: the picture is too large.
    """
    x = _pixels(model, image.convert("L").convert("RGB") if _codec(model).shape[0] == 3 else image)

    def keep(made: Tensor) -> Tensor:
        return made + luma(x) - luma(made)

    if _codec(model).shape[0] == 1:
        raise Unsupported(f"{model.recipe.name} was trained on grey pictures: colours need data.color")
    return restore(model, "colorize", grey(x), seed=seed, finish=keep, **settings)


def restore(
    model: Model, task: str, degraded: Tensor, *, seed: int = 0,
    finish: Callable[[Tensor], Tensor] | None = None, **settings: Any,
) -> Image:
    """One degraded picture `[1, C + 1, H, W]` (see `apps.image.degradations`) restored; its size may be any.

    `finish` is given the restored pixels `[1, C, H, W]`, for what is known to be kept.

    Raises:
        Unsupported: the model does not restore.
        FourfoldError: more than `LARGEST_PIXELS` pixels.
    """
    _restores(model)
    height, width = degraded.shape[2:]
    if height * width > LARGEST_PIXELS:
        raise FourfoldError(f"the restored picture would have {width}x{height} pixels: at most {LARGEST_PIXELS:,} are "
                            "restored at once; make it smaller or cut it up")
    made = restored(model, task, degraded, seed=seed, **settings)
    return model.codec.decode(Batch(made if finish is None else finish(made)))[0]


def restored(model: Model, task: str, degraded: Tensor, *, seed: int = 0, **settings: Any) -> Tensor:
    """Degraded pictures `[N, C + 1, H, W]` restored, `[N, C, H, W]` in about [-1, 1]."""
    index = tasks_of(_codec(model).shape[0]).index(task)
    condition = {"degraded": degraded, "task": torch.full((len(degraded),), index)}
    return model.sample_batch(len(degraded), seed=seed, condition=condition, **settings).x


def _restores(model: Model) -> None:
    if not _codec(model).restores:
        raise Unsupported(f"{model.recipe.name} makes pictures, it does not restore them: train a recipe such as "
                          "fashion-enhance or folder-enhance")


def _pixels(model: Model, image: Image) -> Tensor:
    """An image of any size as `[1, C, H, W]` in [-1, 1]."""
    _restores(model)
    mode = "L" if _codec(model).shape[0] == 1 else "RGB"
    values = np.asarray(flatten(image).convert(mode), dtype=np.float32)
    values = values[None] if values.ndim == 2 else values.transpose(2, 0, 1)
    return torch.from_numpy(values / 127.5 - 1)[None]


def _codec(model: Model) -> ImageCodec:
    assert isinstance(model.codec, ImageCodec)
    return model.codec
