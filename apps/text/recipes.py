"""Named text recipes. Each docstring's first line says what it is; times are of one core of a laptop-class CPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from apps.text.data import TextData
from core.families import AutoregressiveConfig, DiffusionConfig, GANConfig, Masking, VAEConfig
from core.networks import MLPConfig, TransformerConfig
from core.runs.recipe import Recipe, SampleSettings
from core.training.config import TrainConfig

PLAYS = TextData(length=64)
PIECES = TextData(tokenizer="unigram", vocab=500, length=32)  # about 75 characters
NETWORK = TransformerConfig(width=128, depth=3, heads=4)
READER = TransformerConfig(width=64, depth=1, heads=2)
TRAIN = TrainConfig(
    steps=380, batch_size=32, optimizer="muon", learning_rate=5e-3, ema_decay=0.99, precision="bfloat16",
)


def tour_autoregressive() -> Recipe:
    """Shakespeare by characters: a small causal transformer."""
    return Recipe(name="tour-autoregressive", domain="text", data=PLAYS, train=TRAIN,
                  family=AutoregressiveConfig(model=NETWORK))


def tour_diffusion() -> Recipe:
    """Shakespeare by pieces of words: a small masked diffusion.

    It learns from a share of each window's tokens, so it needs more text than the others: pieces of words show it
    twice as much as characters do.
    """
    return Recipe(
        name="tour-diffusion", domain="text", data=PIECES, sample=SampleSettings(num_steps=32),
        family=DiffusionConfig(denoiser=NETWORK, process=Masking(), bound_samples=16),
        train=replace(TRAIN, batch_size=64, learning_rate=8e-3),
    )


def tour_vae() -> Recipe:
    """Shakespeare by characters: a sequence VAE with an autoregressive decoder, four free nats against collapse."""
    return Recipe(
        name="tour-vae", domain="text", data=PLAYS, train=replace(TRAIN, steps=330),
        family=VAEConfig(encoder=READER, decoder=NETWORK, latent=16, free_bits=0.25, word_dropout=0.1),
    )


def tour_gan() -> Recipe:
    """Shakespeare by characters: a GAN in the latent space of a sequence autoencoder (LatentGAN)."""
    return Recipe(
        name="tour-gan", domain="text", data=PLAYS, train=replace(TRAIN, steps=690, learning_rate=3e-3),
        family=_latent_gan(NETWORK, READER, 0.42),
    )


def _latent_gan(writer: TransformerConfig, reader: TransformerConfig, share: float) -> GANConfig:
    network = MLPConfig(width=128, depth=3)
    return GANConfig(
        generator=network, critic=network, latent=32, autoencoder_share=share,
        autoencoder=VAEConfig(encoder=reader, decoder=writer, latent=32, beta=0.05),
    )


# Longer recipes: the same families at the size of an hour or so on a few cores.
LARGE = TransformerConfig(width=256, depth=6, heads=8, dropout=0.1)
LONG = TrainConfig(
    steps=6000, batch_size=32, optimizer="muon", learning_rate=3e-3, ema_decay=0.999, precision="bfloat16",
)


def shakespeare_autoregressive() -> Recipe:
    """The plays by pieces of words: a causal transformer of six layers."""
    data = TextData(tokenizer="unigram", vocab=2000, length=128)
    return Recipe(name="shakespeare-autoregressive", domain="text", data=data, train=LONG,
                  family=AutoregressiveConfig(model=LARGE), sample=SampleSettings(top_p=0.95))


def shakespeare_diffusion() -> Recipe:
    """The plays by pieces of words: masked diffusion of six layers; it also fills gaps."""
    data = TextData(tokenizer="unigram", vocab=2000, length=64)
    return Recipe(name="shakespeare-diffusion", domain="text", data=data, train=replace(LONG, batch_size=64),
                  family=DiffusionConfig(denoiser=LARGE, process=Masking()))


def shakespeare_vae() -> Recipe:
    """The plays by characters: a sequence VAE of six layers."""
    return Recipe(
        name="shakespeare-vae", domain="text", data=PLAYS, train=LONG,
        family=VAEConfig(encoder=NETWORK, decoder=LARGE, latent=32, free_bits=0.25, word_dropout=0.1),
    )


def shakespeare_gan() -> Recipe:
    """The plays by characters: a latent GAN with a decoder of six layers."""
    return Recipe(name="shakespeare-gan", domain="text", data=PLAYS, train=LONG,
                  family=_latent_gan(LARGE, NETWORK, 0.6))


def code_autoregressive() -> Recipe:
    """Python's standard library by pieces (BPE): a causal transformer of six layers."""
    data = TextData(source="stdlib", tokenizer="bpe", vocab=4000, length=128)
    return Recipe(name="code-autoregressive", domain="text", data=data, train=replace(LONG, steps=2700),
                  family=AutoregressiveConfig(model=LARGE), sample=SampleSettings(temperature=0.7))


def code_diffusion() -> Recipe:
    """Python's standard library by pieces (BPE): masked diffusion of six layers; it also fills gaps."""
    data = TextData(source="stdlib", tokenizer="bpe", vocab=4000, length=64)
    return Recipe(name="code-diffusion", domain="text", data=data, train=replace(LONG, batch_size=64),
                  family=DiffusionConfig(denoiser=LARGE, process=Masking()))


def articles_autoregressive() -> Recipe:
    """Articles of Python's reference and library by pieces (BPE): a causal transformer of six layers."""
    data = TextData(source="documentation", tokenizer="bpe", vocab=2000, length=128)
    return Recipe(name="articles-autoregressive", domain="text", data=data, train=replace(LONG, steps=900),
                  family=AutoregressiveConfig(model=replace(LARGE, dropout=0.2)),
                  sample=SampleSettings(temperature=0.9, top_p=0.95))


# The characters of tinyshakespeare, which many have measured.
CHARACTERS = TextData(source="tinyshakespeare", length=256)
MIDDLE = TransformerConfig(width=192, depth=6, heads=6, dropout=0.1)


def tinyshakespeare_autoregressive() -> Recipe:
    """tinyshakespeare by characters: a causal transformer of six layers, exact nats per character."""
    return Recipe(name="tinyshakespeare-autoregressive", domain="text", data=CHARACTERS,
                  train=replace(LONG, steps=1200), family=AutoregressiveConfig(model=MIDDLE))


def tinyshakespeare_diffusion() -> Recipe:
    """tinyshakespeare by characters: masked diffusion of six layers, a bound on nats per character.

    It learns slower than the autoregressive model: many small steps, no dropout.
    """
    return Recipe(name="tinyshakespeare-diffusion", domain="text", data=CHARACTERS,
                  train=replace(LONG, steps=9600, batch_size=16),
                  family=DiffusionConfig(denoiser=replace(MIDDLE, dropout=0.0), process=Masking(), bound_samples=16),
                  sample=SampleSettings(num_steps=128))


# Pairs: an encoder reads the source, a decoder attends to it.
SMALL = TransformerConfig(width=192, depth=3, heads=3)


def _pairs(name: str, data: TextData, steps: int, *, dropout: float = 0.3, copy: bool = False) -> Recipe:
    return Recipe(
        name=name, domain="text", data=data,
        family=AutoregressiveConfig(
            model=replace(SMALL, dropout=dropout), cond_width=192, source_depth=3, condition_dropout=0.0,
            label_smoothing=0.1, copy=copy,
        ),
        train=replace(LONG, steps=steps, batch_size=128),
    )


def summarize_descriptions() -> Recipe:
    """Descriptions of packages to their one-line synopsis; names are copied."""
    data = TextData(source="descriptions", unit="pair", pair="en-summary", tokenizer="unigram", vocab=6000, length=32,
                    source_length=96)
    return _pairs("summarize-descriptions", data, 2150, dropout=0.1, copy=True)


def summarize_docstrings() -> Recipe:
    """Docstrings of Python's standard library to their first line: few pairs, at hand everywhere.

    2,500 pairs are too few to beat the first sentence: this shows how pairs of your own are trained.
    """
    data = TextData(source="docstrings", unit="pair", tokenizer="unigram", vocab=2000, length=40, source_length=128)
    return _pairs("summarize-docstrings", data, 500, copy=True)


def translate_de_en() -> Recipe:
    """German to English (Multi30k): encoder and decoder of three layers each, a joint vocabulary."""
    data = TextData(source="multi30k", unit="pair", pair="de-en", tokenizer="bpe", vocab=4000, length=64,
                    source_length=64)
    return _pairs("translate-de-en", data, 5000)


# Captions of Texygen's COCO, one sentence each, on which text GANs are judged.
CAPTIONS = TextData(source="texygen_coco", unit="line", tokenizer="unigram", vocab=3000, length=40)
WRITER = TransformerConfig(width=192, depth=3, heads=6, dropout=0.2)
LISTENER = TransformerConfig(width=128, depth=2, heads=4, dropout=0.1)
SENTENCES = replace(LONG, steps=2000, batch_size=64)


def coco_autoregressive() -> Recipe:
    """Captions: a causal transformer of three layers; 9,500 captions are learned by heart in more steps."""
    return Recipe(name="coco-autoregressive", domain="text", data=CAPTIONS, train=replace(SENTENCES, steps=600),
                  family=AutoregressiveConfig(model=WRITER))


def coco_vae() -> Recipe:
    """Captions: a sentence VAE whose decoder is the autoregressive model's; free nats against collapse."""
    return Recipe(
        name="coco-vae", domain="text", data=CAPTIONS, train=replace(SENTENCES, steps=1200),
        family=VAEConfig(encoder=LISTENER, decoder=WRITER, latent=16, free_bits=0.22, word_dropout=0.4,
                         importance_samples=100),
    )


def coco_gan() -> Recipe:
    """Captions: a GAN in the latent space of a sentence autoencoder."""
    return Recipe(name="coco-gan", domain="text", data=CAPTIONS, train=replace(SENTENCES, steps=3600),
                  family=_latent_gan(WRITER, LISTENER, 0.55))


def coco_diffusion() -> Recipe:
    """Captions: masked diffusion of three layers; it also fills gaps."""
    return Recipe(name="coco-diffusion", domain="text", data=CAPTIONS, train=replace(SENTENCES, steps=6000),
                  family=DiffusionConfig(denoiser=WRITER, process=Masking(), bound_samples=16),
                  sample=SampleSettings(num_steps=32))


RECIPES: dict[str, Callable[[], Recipe]] = {
    "tour-vae": tour_vae,
    "tour-gan": tour_gan,
    "tour-diffusion": tour_diffusion,
    "tour-autoregressive": tour_autoregressive,
    "shakespeare-autoregressive": shakespeare_autoregressive,
    "shakespeare-diffusion": shakespeare_diffusion,
    "shakespeare-vae": shakespeare_vae,
    "shakespeare-gan": shakespeare_gan,
    "code-autoregressive": code_autoregressive,
    "code-diffusion": code_diffusion,
    "articles-autoregressive": articles_autoregressive,
    "tinyshakespeare-autoregressive": tinyshakespeare_autoregressive,
    "tinyshakespeare-diffusion": tinyshakespeare_diffusion,
    "translate-de-en": translate_de_en,
    "summarize-descriptions": summarize_descriptions,
    "summarize-docstrings": summarize_docstrings,
    "coco-autoregressive": coco_autoregressive,
    "coco-vae": coco_vae,
    "coco-gan": coco_gan,
    "coco-diffusion": coco_diffusion,
}
