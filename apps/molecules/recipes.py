"""Named recipes. Seconds are of one core of an AMD EPYC, evaluation included; scores of the tour's three seeds.

All merge frequent pairs of SMILES tokens: 11 tokens a molecule in place of 36 are faster to learn from and to sample,
and a ring that is one token cannot be left open.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from apps.molecules.data import MoleculeData
from core.families import AutoregressiveConfig, ConditioningConfig, DiffusionConfig, GANConfig, Masking, VAEConfig
from core.networks import MLPConfig, TransformerConfig
from core.runs.recipe import Recipe
from core.training.config import TrainConfig

MOSES = MoleculeData(merges=200)
SMALL = TransformerConfig(width=96, depth=3, heads=3)
ENCODER = TransformerConfig(width=64, depth=2, heads=2)
LARGE = TransformerConfig(width=256, depth=6, heads=8, dropout=0.05)
GUIDED = ConditioningConfig(dropout=0.2)


def tour_train(steps: int, batch_size: int = 64) -> TrainConfig:
    """Half a minute: a high learning rate, and a short moving average."""
    return TrainConfig(steps=steps, batch_size=batch_size, learning_rate=8e-3, optimizer="muon", ema_decay=0.98)


def tour_autoregressive() -> Recipe[MoleculeData]:
    """MOSES by logP in half a minute: a small causal transformer.

    `fourfold molecules train tour-autoregressive`: 33 seconds, and 20 more, once, for the training set's logP.
    1,000 samples: FCD 2.9 to 3.2 (trigram 43, real 1.6), 24.1 nats a molecule, 60 to 63 % valid; logP correlates by
    0.63 to 0.74 with the request.
    """
    return Recipe(
        name="tour-autoregressive", domain="molecules", data=replace(MOSES, properties=("logp",)),
        family=AutoregressiveConfig(model=SMALL, conditioning=GUIDED), train=tour_train(650),
    )


def tour_diffusion() -> Recipe[MoleculeData]:
    """MOSES in half a minute: masked diffusion, the length drawn first.

    `fourfold molecules train tour-diffusion`: 39 seconds. 1,000 samples: FCD 20 to 21 (trigram 43, real 1.6), 8 to 10 %
    valid: learning tokens in every order takes far more steps than from left to right.
    """
    return Recipe(
        name="tour-diffusion", domain="molecules", data=MOSES,
        family=DiffusionConfig(denoiser=TransformerConfig(width=64, depth=4, heads=2), process=Masking()),
        train=tour_train(560, batch_size=128),
    )


def tour_vae() -> Recipe[MoleculeData]:
    """MOSES in half a minute: a sequence VAE with an autoregressive decoder.

    `fourfold molecules train tour-vae`: 31 seconds. 1,000 samples: FCD 5.0 to 5.8 (trigram 43, real 1.6), 26.4 nats a
    molecule at most.
    """
    return Recipe(
        name="tour-vae", domain="molecules", data=MOSES,
        family=VAEConfig(encoder=ENCODER, decoder=SMALL, latent=16, free_bits=0.2, word_dropout=0.1),
        train=tour_train(450),
    )


def tour_gan() -> Recipe[MoleculeData]:
    """MOSES in half a minute: a GAN in the latent space of a sequence autoencoder (LatentGAN).

    `fourfold molecules train tour-gan`: 36 seconds. 1,000 samples: FCD 4.9 to 5.9 (trigram 43, real 1.6).
    """
    network = MLPConfig(width=128, depth=3)
    return Recipe(
        name="tour-gan", domain="molecules", data=MOSES,
        family=GANConfig(
            generator=network, critic=network, latent=32, autoencoder_share=0.42,
            autoencoder=VAEConfig(encoder=ENCODER, decoder=SMALL, latent=32, beta=0.1),
        ),
        train=tour_train(900),
    )


def moses_autoregressive() -> Recipe[MoleculeData]:
    """MOSES by logP and QED: a causal transformer for a long run, best on a GPU; properties take minutes, once.

    `fourfold molecules train moses-autoregressive`. Not trained in full.
    """
    return Recipe(
        name="moses-autoregressive", domain="molecules",
        data=MoleculeData(merges=200, limit=250_000, properties=("logp", "qed")),
        family=AutoregressiveConfig(model=LARGE, conditioning=GUIDED),
        train=TrainConfig(steps=30_000, batch_size=256, learning_rate=3e-3, optimizer="muon", checkpoint_every=1000),
    )


def moses_diffusion() -> Recipe[MoleculeData]:
    """MOSES: masked diffusion of pair tokens for a long run, best on a GPU.

    `fourfold molecules train moses-diffusion`. Not trained in full.
    """
    return Recipe(
        name="moses-diffusion", domain="molecules", data=MoleculeData(merges=200, limit=1_500_000),
        family=DiffusionConfig(denoiser=LARGE, process=Masking()),
        train=TrainConfig(steps=60_000, batch_size=256, learning_rate=3e-3, optimizer="muon", checkpoint_every=1000),
    )


def design() -> Recipe[MoleculeData]:
    """MOSES by logP, polar surface and weight: what `design --property` works best with.

    `fourfold molecules train design`. Not trained in full.
    """
    return Recipe(
        name="design", domain="molecules", data=MoleculeData(merges=200, properties=("logp", "tpsa", "weight")),
        family=AutoregressiveConfig(model=TransformerConfig(width=128, depth=4, heads=4), conditioning=GUIDED),
        train=TrainConfig(steps=5_000, batch_size=64, learning_rate=5e-3, optimizer="muon"),
    )


RECIPES: dict[str, Callable[[], Recipe[MoleculeData]]] = {
    "tour-vae": tour_vae, "tour-gan": tour_gan, "tour-diffusion": tour_diffusion,
    "tour-autoregressive": tour_autoregressive, "design": design, "moses-autoregressive": moses_autoregressive,
    "moses-diffusion": moses_diffusion,
}
