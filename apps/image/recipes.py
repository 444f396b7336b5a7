"""Named image recipes. Each docstring says what it is, the command, and what was measured; times are of one core.

FD is the headline of `evaluate`, the Fréchet distance on features of a classifier of the data's classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from apps.image.data import ImageData
from core.families import EDM, AutoregressiveConfig, ConditioningConfig, DiffusionConfig, GANConfig, VAEConfig
from core.families.autoregressive import LearnedCodes
from core.families.family import SampleSettings
from core.likelihood import Bernoulli, LogisticMixture
from core.networks import ConvConfig, MLPConfig, TransformerConfig, UNetConfig
from core.quantizers import FSQ, UniformBins
from core.runs.recipe import Recipe
from core.training.config import TrainConfig

ImageRecipe = Recipe[ImageData]
DIGITS = ImageData(source="digits", by_class=True)


def tour_vae() -> ImageRecipe:
    """8x8 digits by class: convolutional VAE, discretised logistic mixture.

    `fourfold image train tour-vae`: half a minute; FD 1.70, mean of three seeds (fitted Gaussian: 16.85).
    """
    network = ConvConfig(width=32, multipliers=(1, 2), blocks=1)
    return Recipe(
        name="tour-vae", domain="image", data=DIGITS,
        family=VAEConfig(
            encoder=network, decoder=network, latent=16, output="draw", importance_samples=64,
            likelihood=LogisticMixture(levels=17, components=3),
        ),
        train=TrainConfig(steps=800, batch_size=128, learning_rate=2e-3, ema_decay=0.995, precision="bfloat16"),
    )


def tour_gan() -> ImageRecipe:
    """8x8 digits by class: relativistic GAN of two perceptrons.

    `fourfold image train tour-gan`: half a minute; FD 4.83, mean of three seeds (fitted Gaussian: 16.85).
    """
    network = MLPConfig(width=160, depth=2)
    return Recipe(
        name="tour-gan", domain="image", data=DIGITS,
        family=GANConfig(generator=network, critic=network, latent=32, gamma=1.0),
        train=TrainConfig(
            steps=2500, batch_size=64, learning_rate=5e-4, betas=(0.0, 0.99), weight_decay=0.0, clip=0.0,
            schedule="cosine", ema_decay=0.995,
        ),
    )


def tour_diffusion() -> ImageRecipe:
    """8x8 digits by class: EDM-preconditioned U-Net.

    `fourfold image train tour-diffusion`: half a minute; FD 1.12, mean of three seeds (fitted Gaussian: 16.85).
    """
    return Recipe(
        name="tour-diffusion", domain="image", data=DIGITS,
        family=DiffusionConfig(
            denoiser=UNetConfig(width=32, multipliers=(1, 2), blocks=1), process=EDM(sigma_data=0.75, log_mean=-0.6)
        ),
        train=TrainConfig(steps=650, batch_size=128, learning_rate=2e-3, ema_decay=0.995, precision="bfloat16"),
        sample=SampleSettings(num_steps=12, solver="heun"),
    )


def tour_autoregressive() -> ImageRecipe:
    """8x8 digits by class: transformer over pixels, exact likelihood.

    `fourfold image train tour-autoregressive`: half a minute; FD 1.39, mean of three seeds (fitted Gaussian: 16.85).
    """
    return Recipe(
        name="tour-autoregressive", domain="image", data=DIGITS,
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


def vae(name: str, subject: Subject) -> ImageRecipe:
    """convolutional VAE, discretised logistic mixture"""
    return Recipe(
        name=name, domain="image", data=subject.data,
        family=VAEConfig(
            encoder=CONVOLUTIONS, decoder=CONVOLUTIONS, latent=40, kl_warmup=0.1,
            likelihood=LogisticMixture(levels=256, components=3),
        ),
        train=replace(MUON, steps=1000, batch_size=100, learning_rate=2e-3),
    )


def gan(name: str, subject: Subject) -> ImageRecipe:
    """relativistic convolutional GAN over patches of 2x2 pixels"""
    return Recipe(
        name=name, domain="image", data=subject.data,
        family=GANConfig(generator=PATCHED, critic=PATCHED, latent=64, gamma=1.0),
        train=replace(tour_gan().train, steps=4000, learning_rate=4e-4, ema_decay=0.998, precision="bfloat16"),
    )


def diffusion(name: str, subject: Subject) -> ImageRecipe:
    """EDM-preconditioned U-Net over patches of 2x2 pixels"""
    return Recipe(
        name=name, domain="image", data=subject.data,
        family=DiffusionConfig(denoiser=DENOISER, process=EDM(sigma_data=subject.sigma_data, log_mean=-0.8)),
        train=MUON,
        sample=SampleSettings(num_steps=12, solver="dpmpp_2m"),
    )


def autoregressive(name: str, subject: Subject) -> ImageRecipe:
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


def enhance(name: str, subject: Subject) -> ImageRecipe:
    """degraded pictures restored (enlarged, denoised, inpainted, colourised) by one conditional diffusion model"""
    return Recipe(
        name=name, domain="image", data=replace(subject.data, by_class=False, by_caption=False, restore=True),
        family=DiffusionConfig(
            denoiser=DENOISER, conditioning=ConditioningConfig(dropout=0.0),
            process=EDM(sigma_data=subject.sigma_data, log_mean=0.0, log_std=1.6, sigma_max=20.0),
        ),
        train=replace(MUON, steps=1500),
        # One step is the mean of all that may have been: the best PSNR, and blurred. More steps choose: sharper, and
        # a better distance. Four are near both.
        sample=SampleSettings(num_steps=4, solver="euler"),
    )


BINARY_MNIST = ImageData(source="mnist", size=28, binarize=True)


def binary_mnist_vae() -> ImageRecipe:
    """Binarised MNIST: convolutional VAE, for the likelihood benchmark.

    `fourfold image train binary-mnist-vae`: 36 minutes; at most 84.00 nats an image.
    """
    return Recipe(
        name="binary-mnist-vae", domain="image", data=BINARY_MNIST,
        family=VAEConfig(
            encoder=CONVOLUTIONS, decoder=CONVOLUTIONS, latent=40, likelihood=Bernoulli(), kl_warmup=0.1,
            importance_samples=500,
        ),
        train=TrainConfig(steps=8000, batch_size=100, learning_rate=2e-3, optimizer="muon", precision="bfloat16"),
    )


def binary_mnist_autoregressive() -> ImageRecipe:
    """Binarised MNIST: transformer over patches of 2x4 pixels, exact likelihood.

    `fourfold image train binary-mnist-autoregressive`: 30 minutes; 78.96 nats an image.
    """
    return Recipe(
        name="binary-mnist-autoregressive", domain="image", data=BINARY_MNIST,
        family=AutoregressiveConfig(
            model=TransformerConfig(width=128, depth=6, heads=4), quantizer=UniformBins(bins=2, patch=(2, 4))
        ),
        train=TrainConfig(
            steps=4000, batch_size=64, learning_rate=3e-3, optimizer="muon", weight_decay=0.05, precision="bfloat16"
        ),
    )


MEASURED = {
    "fashion-vae": "9 minutes; FD 31.4 (fitted Gaussian: 79.2, real images: 0.79).",
    "fashion-gan": "23 minutes; FD 6.83 (fitted Gaussian: 79.2, real images: 0.79).",
    "fashion-diffusion": "20 minutes; FD 2.12 (fitted Gaussian: 79.2, real images: 0.79).",
    "fashion-autoregressive": "21 minutes; FD 6.02 (fitted Gaussian: 79.2, real images: 0.79).",
    "fashion-enhance": "11 minutes; PSNR 24.4 dB enlarging twice (bicubic: 19.3), 23.1 denoising (non-local means: "
                       "18.1), 27.6 inpainting (biharmonic: 22.9).",
}


def _named(make: Callable[[str, Subject], ImageRecipe], name: str, subject: Subject) -> Callable[[], ImageRecipe]:
    def recipe() -> ImageRecipe:
        return make(name, subject)

    words = f"{subject.words}: {make.__doc__}."
    command = f"fourfold image train {name}" + (" --data FOLDER" if subject.data.source == "folder" else "")
    measured = MEASURED.get(name, "Not trained in full.")
    recipe.__doc__ = f"{words[0].upper()}{words[1:]}\n\n`{command}`. {measured}"
    return recipe


RECIPES: dict[str, Callable[[], ImageRecipe]] = {
    make().name: make for make in (
        tour_vae, tour_gan, tour_diffusion, tour_autoregressive, binary_mnist_vae, binary_mnist_autoregressive)
} | {
    f"{name}-{make.__name__}": _named(make, f"{name}-{make.__name__}", subject)
    for name, subject in SUBJECTS.items() for make in (vae, gan, diffusion, autoregressive, enhance)
}
