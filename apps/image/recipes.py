"""Named image recipes. Each docstring's first line says what it is; times are of one core of a laptop-class CPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from apps.image.data import ImageData
from core.families import EDM, AutoregressiveConfig, DiffusionConfig, GANConfig, VAEConfig
from core.families.autoregressive import LearnedCodes
from core.likelihood import Bernoulli, LogisticMixture
from core.networks import ConvConfig, MLPConfig, TransformerConfig, UNetConfig
from core.quantizers import FSQ, UniformBins
from core.runs.recipe import Recipe, SampleSettings
from core.training.config import TrainConfig

DIGITS = ImageData(source="digits", by_class=True)


def digits_vae() -> Recipe:
    """8x8 digits by class: convolutional VAE, discretised logistic mixture."""
    network = ConvConfig(width=32, multipliers=(1, 2), blocks=1)
    return Recipe(
        name="digits-vae", domain="image", data=DIGITS,
        family=VAEConfig(
            encoder=network, decoder=network, latent=16, output="draw", importance_samples=64,
            likelihood=LogisticMixture(levels=17, components=3),
        ),
        train=TrainConfig(steps=800, batch_size=128, learning_rate=2e-3, ema_decay=0.995, precision="bfloat16"),
    )


def digits_gan() -> Recipe:
    """8x8 digits by class: relativistic GAN of two perceptrons."""
    network = MLPConfig(width=160, depth=2)
    return Recipe(
        name="digits-gan", domain="image", data=DIGITS,
        family=GANConfig(generator=network, critic=network, latent=32, gamma=1.0),
        train=TrainConfig(
            steps=2500, batch_size=64, learning_rate=5e-4, betas=(0.0, 0.99), weight_decay=0.0, clip=0.0,
            schedule="cosine", ema_decay=0.995,
        ),
    )


def digits_diffusion() -> Recipe:
    """8x8 digits by class: EDM-preconditioned U-Net."""
    return Recipe(
        name="digits-diffusion", domain="image", data=DIGITS,
        family=DiffusionConfig(
            denoiser=UNetConfig(width=32, multipliers=(1, 2), blocks=1), process=EDM(sigma_data=0.75, log_mean=-0.6)
        ),
        train=TrainConfig(steps=650, batch_size=128, learning_rate=2e-3, ema_decay=0.995, precision="bfloat16"),
        sample=SampleSettings(num_steps=12, solver="heun"),
    )


def digits_autoregressive() -> Recipe:
    """8x8 digits by class: transformer over pixels, exact likelihood."""
    return Recipe(
        name="digits-autoregressive", domain="image", data=DIGITS,
        family=AutoregressiveConfig(
            model=TransformerConfig(width=96, depth=3, heads=4), quantizer=UniformBins(bins=17)
        ),
        train=TrainConfig(steps=280, batch_size=64, learning_rate=3e-3, ema_decay=0.995, precision="bfloat16"),
    )


@dataclass(frozen=True)
class Subject:
    """What the recipes below are made for: data, in words, and their standard deviation in [-1, 1]."""

    data: ImageData
    words: str
    sigma_data: float


SUBJECTS = {
    "mnist": Subject(ImageData(source="mnist", size=28, by_class=True), "MNIST by class", 0.6),
    "fashion": Subject(ImageData(source="fashion", size=28, by_class=True), "Fashion-MNIST by class", 0.7),
    "cifar10": Subject(ImageData(source="cifar10", size=32, color=True, by_class=True), "CIFAR-10 by class", 0.5),
    "emoji": Subject(ImageData(source="emoji", size=32, color=True, by_caption=True), "emoji by caption", 0.7),
    "folder": Subject(
        ImageData(source="folder", folder="images", size=32, color=True),
        "your own folder of images (--data FOLDER; classes: --set data.by_class=true, captions: data.by_caption=true)",
        0.5,
    ),
}
CONVOLUTIONS = ConvConfig(width=16, multipliers=(1, 4, 8), blocks=1)  # most of the work at a half and a quarter size
PATCHED = ConvConfig(width=48, multipliers=(1, 2), blocks=1, patch=2)
DENOISER = UNetConfig(width=64, multipliers=(1, 2), blocks=1, patch=2, attention=True)
MUON = TrainConfig(steps=3000, batch_size=128, learning_rate=3e-3, optimizer="muon", precision="bfloat16")


def vae(name: str, subject: Subject) -> Recipe:
    """convolutional VAE, discretised logistic mixture"""
    return Recipe(
        name=name, domain="image", data=subject.data,
        family=VAEConfig(
            encoder=CONVOLUTIONS, decoder=CONVOLUTIONS, latent=40, kl_warmup=0.1,
            likelihood=LogisticMixture(levels=256, components=3),
        ),
        train=replace(MUON, steps=1000, batch_size=100, learning_rate=2e-3),
    )


def gan(name: str, subject: Subject) -> Recipe:
    """relativistic convolutional GAN over patches of 2x2 pixels"""
    return Recipe(
        name=name, domain="image", data=subject.data,
        family=GANConfig(generator=PATCHED, critic=PATCHED, latent=64, gamma=1.0),
        train=replace(digits_gan().train, steps=4000, learning_rate=4e-4, ema_decay=0.998, precision="bfloat16"),
    )


def diffusion(name: str, subject: Subject) -> Recipe:
    """EDM-preconditioned U-Net over patches of 2x2 pixels"""
    return Recipe(
        name=name, domain="image", data=subject.data,
        family=DiffusionConfig(denoiser=DENOISER, process=EDM(sigma_data=subject.sigma_data, log_mean=-0.8)),
        train=MUON,
        sample=SampleSettings(num_steps=12, solver="dpmpp_2m"),
    )


def autoregressive(name: str, subject: Subject) -> Recipe:
    """transformer over the codes of a quantised autoencoder, one for 2x2 pixels"""
    codes = FSQ(levels=(8, 5, 5, 5) if subject.data.color else (8, 5, 5))
    return Recipe(
        name=name, domain="image", data=subject.data,
        family=AutoregressiveConfig(
            model=TransformerConfig(width=128, depth=6, heads=4),
            quantizer=LearnedCodes(
                network=ConvConfig(width=32, multipliers=(1, 2), blocks=1), fsq=codes, share=0.3
            ),
        ),
        train=replace(MUON, steps=1600, batch_size=32),
    )


def enhance(name: str, subject: Subject) -> Recipe:
    """degraded pictures restored (enlarged, denoised, inpainted, colourised) by one conditional diffusion model"""
    return Recipe(
        name=name, domain="image", data=replace(subject.data, by_class=False, by_caption=False, restore=True),
        family=DiffusionConfig(
            denoiser=DENOISER, condition_dropout=0.0,
            process=EDM(sigma_data=subject.sigma_data, log_mean=0.0, log_std=1.6, sigma_max=20.0),
        ),
        train=replace(MUON, steps=1500),
        # One step is the mean of all that may have been: the best PSNR, and blurred. More steps choose: sharper, and
        # a better distance. Four are near both.
        sample=SampleSettings(num_steps=4, solver="euler"),
    )


BINARY_MNIST = ImageData(source="mnist", size=28, binarize=True)


def binary_mnist_vae() -> Recipe:
    """Binarised MNIST: convolutional VAE, for the likelihood benchmark."""
    return Recipe(
        name="binary-mnist-vae", domain="image", data=BINARY_MNIST,
        family=VAEConfig(
            encoder=CONVOLUTIONS, decoder=CONVOLUTIONS, latent=40, likelihood=Bernoulli(), kl_warmup=0.1,
            importance_samples=500,
        ),
        train=TrainConfig(steps=8000, batch_size=100, learning_rate=2e-3, optimizer="muon", precision="bfloat16"),
    )


def binary_mnist_autoregressive() -> Recipe:
    """Binarised MNIST: transformer over patches of 2x4 pixels, exact likelihood."""
    return Recipe(
        name="binary-mnist-autoregressive", domain="image", data=BINARY_MNIST,
        family=AutoregressiveConfig(
            model=TransformerConfig(width=128, depth=6, heads=4), quantizer=UniformBins(bins=2, patch=(2, 4))
        ),
        train=TrainConfig(
            steps=4000, batch_size=64, learning_rate=3e-3, optimizer="muon", weight_decay=0.05, precision="bfloat16"
        ),
    )


def _named(make: Callable[[str, Subject], Recipe], name: str, subject: Subject) -> Callable[[], Recipe]:
    def recipe() -> Recipe:
        return make(name, subject)

    words = f"{subject.words}: {make.__doc__}."
    recipe.__doc__ = words[0].upper() + words[1:]
    return recipe


def _tour(make: Callable[[], Recipe]) -> Callable[[], Recipe]:
    def recipe() -> Recipe:
        found = make()
        return replace(found, name=found.name.replace("digits", "tour"))

    recipe.__doc__ = make.__doc__
    return recipe


RECIPES: dict[str, Callable[[], Recipe]] = {
    "tour-vae": _tour(digits_vae),
    "tour-gan": _tour(digits_gan),
    "tour-diffusion": _tour(digits_diffusion),
    "tour-autoregressive": _tour(digits_autoregressive),
    "binary-mnist-vae": binary_mnist_vae,
    "binary-mnist-autoregressive": binary_mnist_autoregressive,
} | {
    f"{name}-{make.__name__}": _named(make, f"{name}-{make.__name__}", subject)
    for name, subject in SUBJECTS.items() for make in (vae, gan, diffusion, autoregressive, enhance)
}
