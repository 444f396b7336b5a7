"""Named recipes. The tour's four train for about 35 seconds on one core of a laptop-class CPU."""

from __future__ import annotations

from collections.abc import Callable

from apps.molecules.data import MoleculeData
from core.families import AutoregressiveConfig, DiffusionConfig, GANConfig, Masking, VAEConfig
from core.networks import MLPConfig, TransformerConfig
from core.recipe import Recipe, SampleSettings, TrainConfig

MOSES = MoleculeData(merges=200)


def tour_autoregressive() -> Recipe:
    """MOSES in half a minute: a small causal transformer."""
    return Recipe(
        name="tour-autoregressive", domain="molecules", data=MOSES,
        family=AutoregressiveConfig(model=TransformerConfig(width=128, depth=3, heads=4)),
        train=TrainConfig(steps=500, batch_size=64, learning_rate=8e-3, optimizer="muon", ema_decay=0.99),
    )


def tour_diffusion() -> Recipe:
    """MOSES in half a minute: masked diffusion, the length drawn first."""
    return Recipe(
        name="tour-diffusion", domain="molecules", data=MOSES,
        family=DiffusionConfig(denoiser=TransformerConfig(width=128, depth=3, heads=4), process=Masking()),
        train=TrainConfig(steps=500, batch_size=64, learning_rate=8e-3, optimizer="muon", ema_decay=0.99),
    )


def tour_vae() -> Recipe:
    """MOSES in half a minute: a sequence VAE with an autoregressive decoder."""
    return Recipe(
        name="tour-vae", domain="molecules", data=MOSES,
        family=VAEConfig(
            encoder=TransformerConfig(width=64, depth=1, heads=2), decoder=TransformerConfig(width=128, depth=3, heads=4),
            latent=32, beta=0.5, free_bits=0.1,
        ),
        train=TrainConfig(steps=500, batch_size=64, learning_rate=8e-3, optimizer="muon", ema_decay=0.99),
    )


def tour_gan() -> Recipe:
    """MOSES in half a minute: a GAN in the latent space of a sequence autoencoder (LatentGAN)."""
    network = TransformerConfig(width=128, depth=2, heads=4)
    return Recipe(
        name="tour-gan", domain="molecules", data=MOSES,
        family=GANConfig(
            generator=MLPConfig(width=128, depth=3), critic=MLPConfig(width=128, depth=3), latent=32, gamma=0.1,
            autoencoder=VAEConfig(
                encoder=TransformerConfig(width=64, depth=1, heads=2), decoder=network, latent=32, beta=0.05,
            ),
            autoencoder_share=0.7,
        ),
        train=TrainConfig(steps=600, batch_size=64, learning_rate=8e-3, optimizer="muon", ema_decay=0.99),
    )


RECIPES: dict[str, Callable[[], Recipe]] = {
    "tour-vae": tour_vae,
    "tour-gan": tour_gan,
    "tour-diffusion": tour_diffusion,
    "tour-autoregressive": tour_autoregressive,
}
