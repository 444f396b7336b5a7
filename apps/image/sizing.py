"""A recipe for a user's own pictures: what they are like, which family suits them, and sizes that fit their number."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from apps.image.captions import CAPTION_FILES, caption_files
from apps.image.codec import ImageCodec, Notes
from apps.image.data import ImageData
from apps.image.recipes import ImageRecipe, Subject, autoregressive, diffusion, enhance, gan, vae
from apps.image.sources import SUFFIXES, opened
from core.data.folders import Found, find_files
from core.errors import FourfoldError
from core.families import EDM, AutoregressiveConfig, DiffusionConfig, GANConfig, VAEConfig
from core.families.autoregressive import LearnedCodes
from core.likelihood import Bernoulli, LogisticMixture
from core.networks import ConvConfig, TransformerConfig, UNetConfig
from core.quantizers import FSQ, UniformBins
from core.runs.domain import Prepared
from core.runs.sizing import examples_per_step
from core.training.config import TrainConfig

log = logging.getLogger(__name__)
SIZES = (8, 16, 24, 32, 48, 64)
"""Pixels along a side that pictures are read at unless told otherwise: more take hours on a CPU."""
LOOKED_AT = 200
"""Pictures, evenly spread, that tell what all are like."""


def guess(path: Path) -> ImageData:
    """How to read a folder of pictures: their size and colours, by class or caption where it has them.

    Raises:
        FourfoldError: no pictures there, or none that can be read.
    """
    found, by_class, by_caption = _listed(path)
    looked = _looked_at(found.files)
    sides = sorted(min(image.size) for image in looked)
    middle = sides[len(sides) // 2]
    shapes = {image.size for image in looked}
    size = max([side for side in SIZES if side <= middle], default=SIZES[0])
    if 4 <= middle <= SIZES[-1] and shapes == {(middle, middle)}:
        size = middle
    color = any(_is_colored(image) for image in looked)
    clear = sum(image.mode == "RGBA" and min(image.getchannel("A").tobytes()) < 255 for image in looked)
    alpha = 10 * clear >= len(looked)
    kinds = "transparent in parts, kept as RGBA" if alpha else "colour" if color else "grey"
    seen = next(iter(shapes)) if len(shapes) == 1 else (middle, middle)
    said = [f"{'about ' if len(shapes) > 1 else ''}{seen[0]}x{seen[1]} pixels, read at {size}x{size}", kinds]
    said += [f"by class ({len(found.classes)} sub-folders)"] if by_class else []
    said += ["by caption"] if by_caption else []
    log.warning(f"{path.name}: pictures of {'; '.join(said)} (data.size, data.color, data.alpha, data.by_class and "
                "data.by_caption say otherwise)")
    return ImageData(source="folder", folder=str(path), size=size, color=color or alpha, alpha=alpha,
                     by_class=by_class, by_caption=by_caption)


def tuned_data(data: ImageData, path: Path) -> ImageData:
    """A trained model's way to read pictures, their size and colours, for a user's, by class or caption where they are.

    Raises:
        FourfoldError: no pictures there.
    """
    _, by_class, by_caption = (None, False, False) if data.restore else _listed(path)
    return replace(data, source="folder", folder=str(path), by_class=by_class, by_caption=by_caption)


def _listed(path: Path) -> tuple[Found, bool, bool]:
    """The pictures in a folder, and whether they are read by class and by caption."""
    if path.is_file():
        raise FourfoldError(f"{path} is not a folder: --data needs a folder of images")
    captions = caption_files(path)
    found = find_files(path, SUFFIXES, known={*CAPTION_FILES, *captions})
    counts = Counter(name for _, name in found.classified)
    by_class = len(counts) > 1 and not found.beside and 10 * len(counts) <= len(found.files)
    # One file, or a text for at least half of the pictures: that some lack one is told when they are read.
    return found, by_class, bool(captions) and (
        captions[0] in CAPTION_FILES or 2 * len(captions) >= len(found.files))


def _looked_at(files: Sequence[Path]) -> list[Image.Image]:
    """Some of the pictures, those that can be read."""
    rows = np.unique(np.linspace(0, len(files) - 1, LOOKED_AT).astype(int))
    looked = []
    for row in rows:
        try:
            looked.append(opened(files[row], Notes()))
        except FourfoldError as error:
            broken = error
    if not looked:
        raise broken
    return [image.convert("RGBA") if image.has_transparency_data else image for image in looked]


def _is_colored(image: Image.Image) -> bool:
    """Whether the channels of a picture differ by more than compression makes them."""
    image.thumbnail((64, 64))
    pixels = np.asarray(image.convert("RGB"), np.int16)
    return bool(np.ptp(pixels, axis=2).max() > 16)


def default_family(data: ImageData, prepared: Prepared[ImageCodec]) -> tuple[str, str]:
    """Diffusion: at equal minutes it has had the least distance of the four on every set measured."""
    return "diffusion", "the nearest to real pictures of the four at equal minutes (docs/results.md)"


def sized(data: ImageData, prepared: Prepared[ImageCodec], family: str) -> ImageRecipe:
    """A recipe whose patches follow the pictures' size, and whose width and dropout follow their number."""
    (channels, side, _), levels, count = prepared.codec.shape, prepared.codec.levels, len(prepared.train)
    sample = prepared.train.batch(np.arange(min(count, 256))).x
    subject = Subject(data, "", round(float(sample.std().clamp(min=0.1)), 2))
    patch = 1 if side <= 16 else 2 if side <= 32 else 4
    recipe = {"vae": vae, "gan": gan, "diffusion": enhance if data.restore else diffusion,
              "autoregressive": autoregressive}[family](family, subject)
    few, many = count < 500, count >= 5000
    config = recipe.family
    if isinstance(config, VAEConfig):
        stages = (1, 4, 8) if side > 16 else (2, 4)
        network = ConvConfig(width=16, multipliers=stages, blocks=1, patch=max(1, patch // 2))
        mixture = LogisticMixture(levels=levels, components=3)
        config = replace(config, encoder=network, decoder=network, latent=40 if channels == 1 else 64,
                         likelihood=Bernoulli() if levels == 2 else mixture)
    elif isinstance(config, GANConfig):
        network = ConvConfig(width=32 if few else 48, multipliers=(1, 2), blocks=1, patch=patch)
        config = replace(config, generator=network, critic=network)
    elif isinstance(config, DiffusionConfig):
        unet = UNetConfig(width=32 if few else 64, multipliers=(1, 2), blocks=1, attention=True, patch=patch,
                          dropout=0.0 if many else 0.1)
        config = replace(config, denoiser=unet)
        if not data.restore:
            config = replace(config, process=EDM(sigma_data=subject.sigma_data, log_mean=-0.8))
    elif isinstance(config, AutoregressiveConfig):
        transformer = TransformerConfig(width=96 if few else 128, depth=4 if few else 6, heads=4,
                                        dropout=0.0 if many else 0.1)
        # Codes of 2x2 pixels, of 4x4 of larger pictures: at most 256 tokens.
        autoencoder = ConvConfig(width=32, multipliers=(1, 2) if side <= 32 else (1, 2, 2), blocks=1)
        codes = LearnedCodes(network=autoencoder, share=0.3,
                             fsq=FSQ(levels=(8, 5, 5) if channels == 1 else (8, 5, 5, 5)))
        pixels = prepared.codec.space.dims <= 256
        config = replace(config, model=transformer, quantizer=UniformBins(bins=levels) if pixels else codes)
    return replace(recipe, family=config, train=_train(recipe.train, count))


def _train(train: TrainConfig, count: int) -> TrainConfig:
    return replace(train, batch_size=examples_per_step(count, train.batch_size))
