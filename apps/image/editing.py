"""Images made from others: through latents and back, from one to another, variations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Unpack

from PIL.Image import Image
from torch import Tensor

from apps.image.data import ImageModel
from core.errors import FourfoldError, Unsupported
from core.families import SettingChanges


def reconstruct(model: ImageModel, images: Sequence[Image], *, seed: int = 0) -> list[Image]:
    """Images through a VAE's latent space and back.

    Raises:
        Unsupported: the model has no way back from images to latents.
    """
    return model.codec.decode(model.reconstruct(model.codec.encode(images), seed=seed))


def interpolate(
    model: ImageModel, first: Image | None = None, second: Image | None = None, frames: int = 9, *, seed: int = 0,
    condition: Mapping[str, Tensor] | None = None, **changes: Unpack[SettingChanges],
) -> list[Image]:
    """`frames` images along the arc between two latents, both ends included.

    Between two images they are a VAE's reconstructions of them; without images, the ends are two samples of a VAE, a
    GAN or a diffusion model. `condition`: tensors `[frames, ...]` by name.

    Raises:
        Unsupported: the family has no latents, or cannot encode images.
        FourfoldError: fewer than two frames, or one image.
    """
    given = [image for image in (first, second) if image is not None]
    if len(given) == 1:
        raise FourfoldError("an interpolation needs two images, or none")
    ends = model.codec.encode(given) if given else None
    return model.codec.decode(model.interpolate(ends, frames, seed=seed, condition=condition, **changes))


def variations(
    model: ImageModel, image: Image, n: int = 8, *, strength: float = 0.6, seed: int = 0,
    condition: Mapping[str, Tensor] | None = None, **changes: Unpack[SettingChanges],
) -> list[Image]:
    """`n` images near one (SDEdit, Meng et al. 2108.01073), by any diffusion model; the image is fitted to its size.

    `strength` in (0, 1]: how much is made anew. `condition`: tensors `[n, ...]` by name.

    Raises:
        Unsupported: the model is no diffusion model of pictures.
        FourfoldError: strength is out of range.
    """
    if model.codec.restores:
        raise Unsupported(f"{model.recipe.name} makes no variations: use a diffusion model that makes new pictures")
    x = model.codec.encode([image]).x.expand(n, -1, -1, -1)
    return model.codec.decode(model.vary(x, strength, seed=seed, condition=condition, **changes))
