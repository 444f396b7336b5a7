"""Images: generate them from four families of models, by class or not; data, models, measures and pictures.

    from apps import image
    model = image.load("runs/mnist-diffusion")
    pictures = model.sample(16, seed=0)          # PIL images
"""

from typing import TYPE_CHECKING

from core.lazy import lazy

if TYPE_CHECKING:
    from apps.image.codec import ImageCodec
    from apps.image.data import ImageData, open_image, prepare
    from apps.image.domain import DOMAIN, load
    from apps.image.tasks import (
        colorize,
        denoise,
        grid,
        inpaint,
        interpolate,
        reconstruct,
        upscale,
        variations,
    )

__all__ = [
    "DOMAIN", "ImageCodec", "ImageData", "colorize", "denoise", "grid", "inpaint", "interpolate", "load",
    "open_image", "prepare", "reconstruct", "upscale", "variations",
]

__getattr__ = lazy(__name__, {
    "DOMAIN": "apps.image.domain", "load": "apps.image.domain",
    "ImageCodec": "apps.image.codec",
    "ImageData": "apps.image.data", "open_image": "apps.image.data", "prepare": "apps.image.data",
    **dict.fromkeys(
        ("colorize", "denoise", "grid", "inpaint", "interpolate", "reconstruct", "upscale", "variations"),
        "apps.image.tasks",
    ),
})
