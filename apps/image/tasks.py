"""What people come for: picture grids, reconstructions, interpolations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from core.errors import FourfoldError, Unsupported
from core.families.vae import VAE

if TYPE_CHECKING:
    from PIL.Image import Image

    from core.pretrained import Model


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


def reconstruct(model: Model, images: Sequence[Image]) -> list[Image]:
    """Images through a VAE's latent space and back.

    Raises:
        Unsupported: the model is no VAE.
    """
    return model.codec.decode(_vae(model).reconstruct(model.codec.encode(images).to(model.device)))


def interpolate(model: Model, first: Image, second: Image, num_steps: int = 9) -> list[Image]:
    """`num_steps` images from one to another through a VAE's latent space, both ends' reconstructions included.

    Raises:
        Unsupported: the model is no VAE.
    """
    if num_steps < 2:
        raise FourfoldError(f"num_steps is {num_steps}: must be at least 2")
    a, b = (model.codec.encode([image]).to(model.device) for image in (first, second))
    return model.codec.decode(_vae(model).interpolate(a, b, num_steps, generator=torch.Generator().manual_seed(0)))


def _vae(model: Model) -> VAE:
    if not isinstance(model.family, VAE):
        raise Unsupported(f"{model.recipe.name} is no VAE: only a VAE has latents to go back through")
    return model.family


def _grey(image: Image) -> int | tuple[int, int, int]:
    return 128 if image.mode == "L" else (128, 128, 128)
