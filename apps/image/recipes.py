"""Named image recipes. Each docstring's first line says what it is; times are of one core of a laptop-class CPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from apps.image.data import ImageData
from core.families import EDM, AutoregressiveConfig, DiffusionConfig, GANConfig, VAEConfig
from core.families.autoregressive import LearnedCodes
from core.likelihood import Bernoulli, LogisticMixture
from core.networks import ConvConfig, MLPConfig, TransformerConfig, UNetConfig
from core.quantizers import FSQ, UniformBins
from core.recipe import Recipe, SampleSettings, TrainConfig

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


MNIST = ImageData(source="mnist", size=28, by_class=True)


def mnist_vae() -> Recipe:
    """MNIST by class: convolutional VAE, discretised logistic mixture."""
    network = ConvConfig(width=32, multipliers=(1, 2, 2), blocks=1)
    return Recipe(
        name="mnist-vae", domain="image", data=MNIST,
        family=VAEConfig(
            encoder=network, decoder=network, latent=32, output="mean",
            likelihood=LogisticMixture(levels=256, components=3),
        ),
        train=TrainConfig(steps=3000, batch_size=128, learning_rate=1e-3),
    )


def mnist_gan() -> Recipe:
    """MNIST by class: relativistic convolutional GAN."""
    network = ConvConfig(width=32, multipliers=(1, 2, 4), blocks=1)
    return Recipe(
        name="mnist-gan", domain="image", data=MNIST,
        family=GANConfig(generator=network, critic=network, latent=64, gamma=1.0),
        train=replace(digits_gan().train, steps=3000, learning_rate=2e-4, ema_decay=0.999),
    )


def mnist_diffusion() -> Recipe:
    """MNIST by class: EDM-preconditioned U-Net."""
    return Recipe(
        name="mnist-diffusion", domain="image", data=MNIST,
        family=DiffusionConfig(
            denoiser=UNetConfig(width=32, multipliers=(1, 2, 2), blocks=1),
            process=EDM(sigma_data=0.6, log_mean=-0.6),
        ),
        train=TrainConfig(steps=3000, batch_size=128, learning_rate=1e-3),
        sample=SampleSettings(num_steps=18, solver="heun"),
    )


def mnist_autoregressive() -> Recipe:
    """MNIST at 14x14 by class: transformer over pixels, exact likelihood."""
    return Recipe(
        name="mnist-autoregressive", domain="image", data=replace(MNIST, size=14),
        family=AutoregressiveConfig(
            model=TransformerConfig(width=128, depth=4, heads=4), quantizer=UniformBins(bins=256)
        ),
        train=TrainConfig(steps=3000, batch_size=64, learning_rate=1e-3),
    )


BINARY_MNIST = ImageData(source="mnist", size=28, binarize=True)


def binary_mnist_vae() -> Recipe:
    """Binarised MNIST: convolutional VAE, for the likelihood benchmark."""
    network = ConvConfig(width=16, multipliers=(1, 4, 8), blocks=1)
    return Recipe(
        name="binary-mnist-vae", domain="image", data=BINARY_MNIST,
        family=VAEConfig(
            encoder=network, decoder=network, latent=40, likelihood=Bernoulli(), kl_warmup=0.1,
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
            steps=7500, batch_size=64, learning_rate=3e-3, optimizer="muon", weight_decay=0.05, precision="bfloat16"
        ),
    )


FASHION = ImageData(source="fashion", size=28, by_class=True)
CONVOLUTIONS = ConvConfig(width=16, multipliers=(1, 4, 8), blocks=1)  # most of the work at 14 and 7 pixels a side
DENOISER = UNetConfig(width=64, multipliers=(1, 2), blocks=1, patch=2, attention=True)
MUON = TrainConfig(steps=5000, batch_size=128, learning_rate=3e-3, optimizer="muon", precision="bfloat16")


def fashion_vae() -> Recipe:
    """Fashion-MNIST by class: convolutional VAE, discretised logistic mixture."""
    return Recipe(
        name="fashion-vae", domain="image", data=FASHION,
        family=VAEConfig(
            encoder=CONVOLUTIONS, decoder=CONVOLUTIONS, latent=40, kl_warmup=0.1,
            likelihood=LogisticMixture(levels=256, components=3),
        ),
        train=replace(MUON, steps=3000, batch_size=100, learning_rate=2e-3),
    )


def fashion_gan() -> Recipe:
    """Fashion-MNIST by class: relativistic convolutional GAN over patches of 2x2 pixels."""
    network = ConvConfig(width=48, multipliers=(1, 2), blocks=1, patch=2)
    return Recipe(
        name="fashion-gan", domain="image", data=FASHION,
        family=GANConfig(generator=network, critic=network, latent=64, gamma=1.0),
        train=replace(digits_gan().train, steps=5000, learning_rate=4e-4, ema_decay=0.998, precision="bfloat16"),
    )


def fashion_diffusion() -> Recipe:
    """Fashion-MNIST by class: EDM-preconditioned U-Net over patches of 2x2 pixels."""
    return Recipe(
        name="fashion-diffusion", domain="image", data=FASHION,
        family=DiffusionConfig(denoiser=DENOISER, process=EDM(sigma_data=0.7, log_mean=-0.8)),
        train=MUON,
        sample=SampleSettings(num_steps=12, solver="dpmpp_2m"),
    )


def fashion_autoregressive() -> Recipe:
    """Fashion-MNIST by class: transformer over the codes of a quantised autoencoder, one for 2x2 pixels."""
    return Recipe(
        name="fashion-autoregressive", domain="image", data=FASHION,
        family=AutoregressiveConfig(
            model=TransformerConfig(width=128, depth=6, heads=4),
            quantizer=LearnedCodes(
                network=ConvConfig(width=32, multipliers=(1, 2), blocks=1), fsq=FSQ(levels=(8, 5, 5)), share=0.3
            ),
        ),
        train=replace(MUON, steps=3500, batch_size=32),
    )


def fashion_enhance() -> Recipe:
    """Fashion-MNIST restored: enlarged, denoised, inpainted by one conditional diffusion model."""
    return Recipe(
        name="fashion-enhance", domain="image", data=replace(FASHION, by_class=False, restore=True),
        family=DiffusionConfig(
            denoiser=DENOISER, process=EDM(sigma_data=0.7, log_mean=0.0, log_std=1.6, sigma_max=20.0),
            condition_dropout=0.0,
        ),
        train=replace(MUON, steps=4000),
        sample=SampleSettings(num_steps=2, solver="euler"),
    )


def _on_folder(make: Callable[[], Recipe], name: str, size: int) -> Recipe:
    """A recipe for a user's own folder, given by `--data`."""
    recipe = make()
    data = ImageData(source="folder", folder="images", size=size, color=True)
    return replace(recipe, name=name, data=data)


def folder_diffusion() -> Recipe:
    """Your own folder of images (--data FOLDER), 32x32 colour: EDM-preconditioned U-Net."""
    return _on_folder(mnist_diffusion, "folder-diffusion", 32)


def folder_gan() -> Recipe:
    """Your own folder of images (--data FOLDER), 32x32 colour: relativistic GAN."""
    return _on_folder(mnist_gan, "folder-gan", 32)


def folder_vae() -> Recipe:
    """Your own folder of images (--data FOLDER), 32x32 colour: VAE."""
    return _on_folder(mnist_vae, "folder-vae", 32)


def folder_autoregressive() -> Recipe:
    """Your own folder of images (--data FOLDER), 8x8 colour: transformer over pixels."""
    return _on_folder(mnist_autoregressive, "folder-autoregressive", 8)


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
    "mnist-vae": mnist_vae,
    "mnist-gan": mnist_gan,
    "mnist-diffusion": mnist_diffusion,
    "mnist-autoregressive": mnist_autoregressive,
    "binary-mnist-vae": binary_mnist_vae,
    "binary-mnist-autoregressive": binary_mnist_autoregressive,
    "fashion-vae": fashion_vae,
    "fashion-gan": fashion_gan,
    "fashion-diffusion": fashion_diffusion,
    "fashion-autoregressive": fashion_autoregressive,
    "fashion-enhance": fashion_enhance,
    "folder-vae": folder_vae,
    "folder-gan": folder_gan,
    "folder-diffusion": folder_diffusion,
    "folder-autoregressive": folder_autoregressive,
}
