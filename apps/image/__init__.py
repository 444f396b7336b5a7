"""Images: generate them from four families of models, by class or not; data, models, measures and pictures.

    from apps import image
    model = image.load("runs/image/mnist-diffusion")
    pictures = model.sample(16, seed=0)          # PIL images
"""

from typing import TYPE_CHECKING

from core.lazy import lazy

if TYPE_CHECKING:
    from apps.image.codec import ImageCodec
    from apps.image.data import ImageData, ImageModel, prepare
    from apps.image.domain import DOMAIN, load
    from apps.image.editing import interpolate, reconstruct, variations
    from apps.image.enhancement import colorize, denoise, inpaint, upscale
    from apps.image.learning import train
    from apps.image.media import grid
    from apps.image.sources import open_image

__all__ = [
    "DOMAIN", "ImageCodec", "ImageData", "ImageModel", "colorize", "denoise", "grid", "inpaint", "interpolate", "load",
    "open_image", "prepare", "reconstruct", "train", "upscale", "variations",
]

_MODULES = {
    "codec": ("ImageCodec",),
    "data": ("ImageData", "ImageModel", "prepare"),
    "domain": ("DOMAIN", "load"),
    "editing": ("interpolate", "reconstruct", "variations"),
    "enhancement": ("colorize", "denoise", "inpaint", "upscale"),
    "learning": ("train",),
    "media": ("grid",),
    "sources": ("open_image",),
}

__getattr__ = lazy(__name__, {name: f"apps.image.{module}" for module, names in _MODULES.items() for name in names})
