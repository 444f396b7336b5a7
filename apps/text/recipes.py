"""Named text recipes. Each docstring's first line says what it is; times are of one core of a laptop-class CPU."""

from __future__ import annotations

from collections.abc import Callable

from apps.text.data import TextData
from core.families import AutoregressiveConfig, DiffusionConfig, GANConfig, Masking, VAEConfig
from core.networks import MLPConfig, TransformerConfig
from core.recipe import Recipe, TrainConfig

PLAYS = TextData(length=64)
NETWORK = TransformerConfig(width=128, depth=3, heads=4)
TRAIN = TrainConfig(steps=1000, batch_size=32, learning_rate=3e-3, ema_decay=0.99, precision="bfloat16")


def tour_autoregressive() -> Recipe:
    """Shakespeare by characters: a small causal transformer."""
    return Recipe(name="tour-autoregressive", domain="text", data=PLAYS, family=AutoregressiveConfig(model=NETWORK),
                  train=TRAIN)


def tour_diffusion() -> Recipe:
    """Shakespeare by characters: a small masked diffusion."""
    return Recipe(name="tour-diffusion", domain="text", data=PLAYS, train=TRAIN,
                  family=DiffusionConfig(denoiser=NETWORK, process=Masking(), bound_samples=16))


def tour_vae() -> Recipe:
    """Shakespeare by characters: a sequence VAE with an autoregressive decoder."""
    return Recipe(
        name="tour-vae", domain="text", data=PLAYS, train=TRAIN,
        family=VAEConfig(encoder=TransformerConfig(width=64, depth=1, heads=2), decoder=NETWORK, latent=16),
    )


def tour_gan() -> Recipe:
    """Shakespeare by characters: a GAN in the latent space of a sequence autoencoder (LatentGAN)."""
    return Recipe(
        name="tour-gan", domain="text", data=PLAYS, train=TRAIN,
        family=GANConfig(
            generator=MLPConfig(width=128, depth=3), critic=MLPConfig(width=128, depth=3), latent=32, gamma=0.1,
            autoencoder=VAEConfig(encoder=TransformerConfig(width=64, depth=1, heads=2), decoder=NETWORK, latent=32,
                                  beta=0.05),
            autoencoder_share=0.7,
        ),
    )


RECIPES: dict[str, Callable[[], Recipe]] = {
    "tour-vae": tour_vae,
    "tour-gan": tour_gan,
    "tour-diffusion": tour_diffusion,
    "tour-autoregressive": tour_autoregressive,
}
