"""Named audio recipes; each docstring's first line says what it is. the tour's take about 35 s on one core."""

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
from core.runs.recipe import Recipe, SampleSettings
from core.training.config import TrainConfig

QUARTERS = ChoraleData(beats=16, steps_per_beat=1)
EIGHTHS = ChoraleData(beats=16, steps_per_beat=2)
NOTES = NoteData()
FINE_NOTES = NoteData(mel=Mel(mels=64, frames=64, hop=256))
SMALL = TransformerConfig(width=64, depth=3, heads=4)
LARGE = TransformerConfig(width=192, depth=5, heads=6, dropout=0.1)

SHORT = TrainConfig(steps=700, batch_size=32, learning_rate=3e-3, ema_decay=0.995)
LONG = TrainConfig(steps=6000, batch_size=64, learning_rate=1e-3, schedule="cosine")
ADVERSARIAL = replace(LONG, betas=(0.0, 0.99), weight_decay=0.0, clip=0.0, learning_rate=3e-4)


def tour_vae() -> Recipe:
    """Bach chorales in quarter notes: a small VAE with an autoregressive decoder."""
    return Recipe(
        name="tour-vae", domain="audio", data=QUARTERS,
        family=VAEConfig(encoder=replace(SMALL, depth=2), decoder=SMALL, latent=32, free_bits=0.1),
        train=replace(SHORT, steps=380),
    )


def tour_gan() -> Recipe:
    """Bach chorales in quarter notes: a GAN in the latent space of a small sequence VAE."""
    pair, coder = MLPConfig(width=128, depth=2), replace(SMALL, depth=2)
    return Recipe(
        name="tour-gan", domain="audio", data=QUARTERS,
        family=GANConfig(
            generator=pair, critic=pair, latent=32, autoencoder_share=0.4,
            autoencoder=VAEConfig(encoder=coder, decoder=coder, latent=32, beta=0.2),
        ),
        train=replace(SHORT, steps=800),
    )


def tour_diffusion() -> Recipe:
    """Instrument notes by class: a small EDM-preconditioned U-Net of log-mel spectrograms."""
    return Recipe(
        name="tour-diffusion", domain="audio", data=NOTES,
        family=DiffusionConfig(
            denoiser=UNetConfig(width=16, multipliers=(1, 2, 2)), process=EDM(sigma_data=0.6, log_mean=-0.6)
        ),
        train=replace(SHORT, steps=650, batch_size=16),
        sample=SampleSettings(num_steps=12, solver="dpmpp_2m"),
    )


def tour_autoregressive() -> Recipe:
    """Bach chorales in quarter notes: a small causal transformer."""
    return Recipe(
        name="tour-autoregressive", domain="audio", data=QUARTERS, family=AutoregressiveConfig(model=SMALL), train=SHORT
    )


def chorales_vae() -> Recipe:
    """Bach chorales in eighth notes: VAE with an autoregressive decoder."""
    return Recipe(
        name="chorales-vae", domain="audio", data=EIGHTHS,
        family=VAEConfig(encoder=replace(LARGE, depth=3), decoder=LARGE, latent=64, free_bits=0.1, word_dropout=0.1),
        train=LONG,
    )


def chorales_gan() -> Recipe:
    """Bach chorales in eighth notes: GAN in the latent space of a sequence VAE."""
    pair, coder = MLPConfig(width=256, depth=3), replace(LARGE, depth=3)
    return Recipe(
        name="chorales-gan", domain="audio", data=EIGHTHS,
        family=GANConfig(
            generator=pair, critic=pair, latent=64,
            autoencoder=VAEConfig(encoder=coder, decoder=coder, latent=64, beta=0.2),
        ),
        train=LONG,
    )


def chorales_diffusion() -> Recipe:
    """Bach chorales in eighth notes: masked diffusion, which also fills in what is missing."""
    return Recipe(
        name="chorales-diffusion", domain="audio", data=EIGHTHS,
        family=DiffusionConfig(denoiser=LARGE, process=Masking()), train=LONG, sample=SampleSettings(num_steps=64),
    )


def chorales_autoregressive() -> Recipe:
    """Bach chorales in eighth notes: causal transformer, exact likelihood; composes at any length."""
    return Recipe(
        name="chorales-autoregressive", domain="audio", data=EIGHTHS,
        family=AutoregressiveConfig(model=LARGE), train=LONG,
    )


def chorales_jsb() -> Recipe:
    """JSB chorales (the published splits, in sixteenths): causal transformer, exact likelihood."""
    return Recipe(
        name="chorales-jsb", domain="audio", data=ChoraleData(source="jsb", beats=8, steps_per_beat=4),
        family=AutoregressiveConfig(model=LARGE), train=LONG,
    )


def notes_vae() -> Recipe:
    """Instrument notes by class: VAE, discretised logistic mixture."""
    network = MLPConfig(width=512, depth=2)
    return Recipe(
        name="notes-vae", domain="audio", data=NOTES,
        family=VAEConfig(
            encoder=network, decoder=network, latent=48, likelihood=LogisticMixture(levels=256, components=2)
        ),
        train=replace(LONG, steps=10_000),
    )


def notes_gan() -> Recipe:
    """Instrument notes by class: relativistic convolutional GAN."""
    network = ConvConfig(width=32, multipliers=(1, 2, 4))
    return Recipe(
        name="notes-gan", domain="audio", data=NOTES, family=GANConfig(generator=network, critic=network, latent=64),
        train=replace(ADVERSARIAL, steps=20_000),
    )


def notes_diffusion() -> Recipe:
    """Instrument notes by class, 64 mel bands by 64 frames: EDM-preconditioned U-Net."""
    return Recipe(
        name="notes-diffusion", domain="audio", data=FINE_NOTES,
        family=DiffusionConfig(
            denoiser=UNetConfig(width=32, multipliers=(1, 2, 4), attention=True),
            process=EDM(sigma_data=0.6, log_mean=-0.6),
        ),
        train=replace(LONG, batch_size=32), sample=SampleSettings(num_steps=18, guidance_scale=1.5),
    )


def notes_autoregressive() -> Recipe:
    """Instrument notes by class: causal transformer over the codes of a quantised autoencoder.

    Two minutes on one core: fd_notes_cnn 23.6 of 512 samples, a fitted Gaussian's 33.2, the floor 2.9 (seed 0).
    """
    return Recipe(
        name="notes-autoregressive", domain="audio", data=NOTES,
        family=AutoregressiveConfig(
            model=TransformerConfig(width=96, depth=3, heads=4),
            quantizer=LearnedCodes(
                network=ConvConfig(width=24, multipliers=(1, 2, 4)), fsq=FSQ(levels=(8, 5, 5, 5)), share=0.6
            ),
        ),
        train=replace(LONG, steps=900, batch_size=32, learning_rate=2e-3, precision="bfloat16", ema_decay=0.995),
    )


def drums_diffusion() -> Recipe:
    """Drum one-shots by class (audio/drums of $FOURFOLD_DATA, or --data FOLDER): EDM-preconditioned U-Net."""
    recipe = notes_diffusion()
    mel = Mel(mels=64, frames=64, hop=256)
    return replace(recipe, name="drums-diffusion", data=NoteData(source="drums", mel=mel))


RECIPES: dict[str, Callable[[], Recipe]] = {
    "tour-vae": tour_vae,
    "tour-gan": tour_gan,
    "tour-diffusion": tour_diffusion,
    "tour-autoregressive": tour_autoregressive,
    "chorales-vae": chorales_vae,
    "chorales-gan": chorales_gan,
    "chorales-diffusion": chorales_diffusion,
    "chorales-autoregressive": chorales_autoregressive,
    "chorales-jsb": chorales_jsb,
    "notes-vae": notes_vae,
    "notes-gan": notes_gan,
    "notes-diffusion": notes_diffusion,
    "notes-autoregressive": notes_autoregressive,
    "drums-diffusion": drums_diffusion,
}
