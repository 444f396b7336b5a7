"""Named audio recipes. Each docstring's first line says what it is; times are of one core of a laptop-class CPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from apps.audio.data import ChoraleData, NoteData
from apps.audio.sound import Mel
from core.families import (
    EDM,
    AutoregressiveConfig,
    DiffusionConfig,
    GANConfig,
    LearnedCodes,
    Masking,
    VAEConfig,
)
from core.likelihood import LogisticMixture
from core.networks import ConvConfig, MLPConfig, TransformerConfig, UNetConfig
from core.quantizers import FSQ
from core.recipe import Recipe, SampleSettings, TrainConfig

QUARTERS = ChoraleData(beats=16, steps_per_beat=1)
EIGHTHS = ChoraleData(beats=16, steps_per_beat=2)
NOTES = NoteData()


def tour_autoregressive() -> Recipe:
    """Chorales in quarter notes: a small causal transformer."""
    return Recipe(
        name="tour-autoregressive", domain="audio", data=QUARTERS,
        family=AutoregressiveConfig(model=TransformerConfig(width=64, depth=3, heads=4)),
        train=TrainConfig(steps=700, batch_size=32, learning_rate=3e-3, ema_decay=0.995),
        sample=SampleSettings(top_p=0.95),
    )


def tour_diffusion() -> Recipe:
    """Chorales in quarter notes: a small masked diffusion."""
    return Recipe(
        name="tour-diffusion", domain="audio", data=QUARTERS,
        family=DiffusionConfig(denoiser=TransformerConfig(width=64, depth=3, heads=4), process=Masking()),
        train=TrainConfig(steps=700, batch_size=32, learning_rate=3e-3, ema_decay=0.995),
        sample=SampleSettings(num_steps=32),
    )


def tour_vae() -> Recipe:
    """Instrument notes by class: a small convolutional VAE."""
    network = ConvConfig(width=16, multipliers=(1, 2, 4), blocks=1)
    return Recipe(
        name="tour-vae", domain="audio", data=NOTES,
        family=VAEConfig(
            encoder=network, decoder=network, latent=32, likelihood=LogisticMixture(levels=256, components=1), output="mean"
        ),
        train=TrainConfig(steps=700, batch_size=32, learning_rate=2e-3, ema_decay=0.995),
    )


def tour_gan() -> Recipe:
    """Instrument notes by class: a small relativistic GAN."""
    network = ConvConfig(width=16, multipliers=(1, 2, 4), blocks=1)
    return Recipe(
        name="tour-gan", domain="audio", data=NOTES,
        family=GANConfig(generator=network, critic=network, latent=32, gamma=1.0),
        train=TrainConfig(
            steps=500, batch_size=32, learning_rate=5e-4, betas=(0.0, 0.99), weight_decay=0.0, clip=0.0, schedule="cosine",
            ema_decay=0.995,
        ),
    )


RECIPES: dict[str, Callable[[], Recipe]] = {
    "tour-vae": tour_vae,
    "tour-gan": tour_gan,
    "tour-diffusion": tour_diffusion,
    "tour-autoregressive": tour_autoregressive,
}
