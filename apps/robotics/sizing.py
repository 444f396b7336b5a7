"""A recipe for a user's own demonstrations: their task, which family suits them, and sizes that fit their number."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from apps.robotics.codec import ChunkCodec
from apps.robotics.data import own_files
from apps.robotics.demonstrations import Demonstrations
from apps.robotics.model import RoboticsData
from apps.robotics.recipes import ALWAYS, tour_autoregressive, tour_diffusion, tour_gan, tour_vae
from core.families import AutoregressiveConfig, DiffusionConfig, GANConfig, VAEConfig
from core.likelihood import Gaussian
from core.networks import MLPConfig, TransformerConfig
from core.runs.domain import Prepared
from core.runs.recipe import Recipe
from core.runs.sizing import examples_per_step

log = logging.getLogger(__name__)
PIXELS = 64
"""A side of the pictures that a policy looks at, unless told otherwise."""


def guess(path: Path) -> RoboticsData:
    """How to read demonstrations: of the task that the first file names, in chunks of eight actions, with its pictures.

    Raises:
        FourfoldError: no demonstrations there, or damaged ones.
    """
    found = _first(path)
    picture = 0 if found.pictures is None else PIXELS
    seen = f", with pictures of {picture} pixels" if picture else ""
    log.warning(f"{path.name}: demonstrations of {found.task}, in chunks of 8 actions of which 4 are executed "
                f"(data.horizon and data.execute say otherwise){seen}")
    return RoboticsData(task=found.task, folder=str(path), picture=picture)


def tuned_data(data: RoboticsData, path: Path) -> RoboticsData:
    """A trained policy's way to cut demonstrations, for a user's, of whichever task."""
    return replace(data, folder=str(path), task=_first(path).task)


def _first(path: Path) -> Demonstrations:
    """A user's first file."""
    return Demonstrations.load(own_files(path).files[0])


def default_family(data: RoboticsData, prepared: Prepared[ChunkCodec]) -> tuple[str, str]:
    """Diffusion: it succeeds wherever one of the four does (docs/results.md), and its actions need no bins."""
    return "diffusion", "as often successful as any of the four, with exact actions"


def sized(data: RoboticsData, prepared: Prepared[ChunkCodec], family: str) -> Recipe[RoboticsData]:
    """A recipe whose network follows the number of steps demonstrated."""
    count = len(prepared.train)
    network = MLPConfig(width=128 if count < 20_000 else 256, depth=2 if count < 20_000 else 3)
    make = {"vae": tour_vae, "gan": tour_gan, "diffusion": tour_diffusion, "autoregressive": tour_autoregressive}
    recipe = make[family]()
    config = recipe.family
    if isinstance(config, VAEConfig):
        # Two latent numbers tell the ways of a plane; arms have more of them.
        latent = 2 if len(prepared.codec.action_names) <= 2 else 8
        config = VAEConfig(encoder=network, decoder=network, latent=latent, likelihood=Gaussian(min_std=0.1),
                           beta=3.0 if latent == 2 else 1.0, conditioning=ALWAYS)
    elif isinstance(config, GANConfig):
        config = replace(config, generator=network, critic=network)
    elif isinstance(config, DiffusionConfig):
        config = replace(config, denoiser=network)
    elif isinstance(config, AutoregressiveConfig):
        config = replace(config, model=TransformerConfig(width=64 if count < 20_000 else 96, depth=3, heads=2))
    train = replace(recipe.train, batch_size=examples_per_step(count, recipe.train.batch_size))
    return replace(recipe, data=data, family=config, train=train)
