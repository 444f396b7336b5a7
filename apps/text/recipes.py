"""Named text recipes: what each is, its command, minutes of one CPU core and its score, where it was measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from apps.text.text_data import TextData
from core.families import (
    AutoregressiveConfig,
    ConditioningConfig,
    DiffusionConfig,
    GANConfig,
    Masking,
    VAEConfig,
)
from core.families.family import SampleSettings
from core.networks import MLPConfig, TransformerConfig
from core.runs.recipe import Recipe
from core.training.config import TrainConfig

PLAYS = TextData(length=64)
PIECES = TextData(tokenizer="unigram", vocab=500, length=32)  # about 75 characters
NETWORK = TransformerConfig(width=128, depth=3, heads=4)
READER = TransformerConfig(width=64, depth=1, heads=2)
TRAIN = TrainConfig(
    steps=380, batch_size=32, optimizer="muon", learning_rate=5e-3, ema_decay=0.99, precision="bfloat16",
)


def tour_autoregressive() -> Recipe[TextData]:
    """Shakespeare by characters: a small causal transformer.

    `fourfold text train tour-autoregressive`. Half a minute: 2.45 bits per byte (trigram 2.97).
    """
    return Recipe(name="tour-autoregressive", domain="text", data=PLAYS, train=TRAIN,
                  family=AutoregressiveConfig(model=NETWORK))


def tour_diffusion() -> Recipe[TextData]:
    """Shakespeare by pieces of words: a small masked diffusion.

    It learns from a share of each window's tokens, so it needs more text than the others: pieces of words show it
    twice as much as characters do.

    `fourfold text train tour-diffusion`. Half a minute: a bound of 3.14 bits per byte (unigram 4.10).
    """
    return Recipe(
        name="tour-diffusion", domain="text", data=PIECES, sample=SampleSettings(num_steps=32),
        family=DiffusionConfig(denoiser=NETWORK, process=Masking(), bound_samples=16),
        train=replace(TRAIN, batch_size=64, learning_rate=8e-3),
    )


def tour_vae() -> Recipe[TextData]:
    """Shakespeare by characters: a sequence VAE with an autoregressive decoder, four free nats against collapse.

    `fourfold text train tour-vae`. Half a minute: a bound of 2.55 bits per byte (trigram 2.97).
    """
    return Recipe(
        name="tour-vae", domain="text", data=PLAYS, train=replace(TRAIN, steps=330),
        family=VAEConfig(encoder=READER, decoder=NETWORK, latent=16, free_bits=0.25, word_dropout=0.1),
    )


def tour_gan() -> Recipe[TextData]:
    """Shakespeare by characters: a GAN in the latent space of a sequence autoencoder (LatentGAN).

    `fourfold text train tour-gan`. Half a minute: n-gram divergence 0.171 (unigram 0.507, real text 0.129).
    """
    return Recipe(
        name="tour-gan", domain="text", data=PLAYS, train=replace(TRAIN, steps=690, learning_rate=3e-3),
        family=latent_gan(NETWORK, READER, 0.42),
    )


def latent_gan(writer: TransformerConfig, reader: TransformerConfig, share: float) -> GANConfig:
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


def shakespeare_autoregressive() -> Recipe[TextData]:
    """The plays by pieces of words: a causal transformer of six layers.

    `fourfold text train shakespeare-autoregressive`. Not trained in full.
    """
    data = TextData(tokenizer="unigram", vocab=2000, length=128)
    return Recipe(name="shakespeare-autoregressive", domain="text", data=data, train=LONG,
                  family=AutoregressiveConfig(model=LARGE), sample=SampleSettings(top_p=0.95))


def shakespeare_diffusion() -> Recipe[TextData]:
    """The plays by pieces of words: masked diffusion of six layers; it also fills gaps.

    `fourfold text train shakespeare-diffusion`. Not trained in full.
    """
    data = TextData(tokenizer="unigram", vocab=2000, length=64)
    return Recipe(name="shakespeare-diffusion", domain="text", data=data, train=replace(LONG, batch_size=64),
                  family=DiffusionConfig(denoiser=LARGE, process=Masking()))


def shakespeare_vae() -> Recipe[TextData]:
    """The plays by characters: a sequence VAE of six layers.

    `fourfold text train shakespeare-vae`. Not trained in full.
    """
    return Recipe(
        name="shakespeare-vae", domain="text", data=PLAYS, train=LONG,
        family=VAEConfig(encoder=NETWORK, decoder=LARGE, latent=32, free_bits=0.25, word_dropout=0.1),
    )


def shakespeare_gan() -> Recipe[TextData]:
    """The plays by characters: a latent GAN with a decoder of six layers.

    `fourfold text train shakespeare-gan`. Not trained in full.
    """
    return Recipe(name="shakespeare-gan", domain="text", data=PLAYS, train=LONG,
                  family=latent_gan(LARGE, NETWORK, 0.6))


def code_autoregressive() -> Recipe[TextData]:
    """Python's standard library by pieces (BPE): a causal transformer of six layers.

    `fourfold text train code-autoregressive`. 50 minutes: 1.23 bits per byte, 73 % of its definitions parse.
    """
    data = TextData(source="stdlib", tokenizer="bpe", vocab=4000, length=128)
    return Recipe(name="code-autoregressive", domain="text", data=data, train=replace(LONG, steps=2700),
                  family=AutoregressiveConfig(model=LARGE), sample=SampleSettings(temperature=0.7))


def code_diffusion() -> Recipe[TextData]:
    """Python's standard library by pieces (BPE): masked diffusion of six layers; it also fills gaps.

    `fourfold text train code-diffusion`. Not trained in full.
    """
    data = TextData(source="stdlib", tokenizer="bpe", vocab=4000, length=64)
    return Recipe(name="code-diffusion", domain="text", data=data, train=replace(LONG, batch_size=64),
                  family=DiffusionConfig(denoiser=LARGE, process=Masking()))


def articles_autoregressive() -> Recipe[TextData]:
    """Articles of Python's reference and library by pieces (BPE): a causal transformer of six layers.

    `fourfold text train articles-autoregressive`. Not trained in full.
    """
    data = TextData(source="documentation", tokenizer="bpe", vocab=2000, length=128)
    return Recipe(name="articles-autoregressive", domain="text", data=data, train=replace(LONG, steps=900),
                  family=AutoregressiveConfig(model=replace(LARGE, dropout=0.2)),
                  sample=SampleSettings(temperature=0.9, top_p=0.95))


# The characters of tinyshakespeare, which many have measured.
CHARACTERS = TextData(source="tinyshakespeare", length=256)
MIDDLE = TransformerConfig(width=192, depth=6, heads=6, dropout=0.1)


def tinyshakespeare_autoregressive() -> Recipe[TextData]:
    """tinyshakespeare by characters: a causal transformer of six layers, exact nats per character.

    `fourfold text train tinyshakespeare-autoregressive`. Cut to 15 minutes: 1.456 nats per character.
    """
    return Recipe(name="tinyshakespeare-autoregressive", domain="text", data=CHARACTERS,
                  train=replace(LONG, steps=1200), family=AutoregressiveConfig(model=MIDDLE))


def tinyshakespeare_diffusion() -> Recipe[TextData]:
    """tinyshakespeare by characters: masked diffusion of six layers, a bound on nats per character.

    It learns slower than the autoregressive model: many small steps, no dropout.

    `fourfold text train tinyshakespeare-diffusion`. 80 minutes: a bound of 1.669 nats per character.
    """
    return Recipe(name="tinyshakespeare-diffusion", domain="text", data=CHARACTERS,
                  train=replace(LONG, steps=9600, batch_size=16),
                  family=DiffusionConfig(denoiser=replace(MIDDLE, dropout=0.0), process=Masking(), bound_samples=16),
                  sample=SampleSettings(num_steps=128))


# Pairs: an encoder reads the source, a decoder attends to it.
SMALL = TransformerConfig(width=192, depth=3, heads=3)


def _pairs(name: str, data: TextData, steps: int, *, dropout: float = 0.3, copy: bool = False) -> Recipe[TextData]:
    return Recipe(
        name=name, domain="text", data=data,
        family=AutoregressiveConfig(
            model=replace(SMALL, dropout=dropout), label_smoothing=0.1, copy=copy,
            conditioning=ConditioningConfig(width=192, dropout=0.0, source_depth=3, source_dropout=dropout),
        ),
        train=replace(LONG, steps=steps, batch_size=128),
    )


def summarize_descriptions() -> Recipe[TextData]:
    """Descriptions of packages to their one-line synopsis; names are copied.

    `fourfold text train summarize-descriptions`. 54 minutes: ROUGE-L 41.1 (first sentence 23.4).
    """
    data = TextData(source="descriptions", unit="pair", pair="en-summary", tokenizer="unigram", vocab=6000, length=32,
                    source_length=96)
    return _pairs("summarize-descriptions", data, 2150, dropout=0.1, copy=True)


def summarize_docstrings() -> Recipe[TextData]:
    """Docstrings of Python's standard library to their first line: few pairs, at hand everywhere.

    2,500 pairs are too few to beat the first sentence: this shows how pairs of your own are trained.

    `fourfold text train summarize-docstrings`. Minutes and score are not on record.
    """
    data = TextData(source="docstrings", unit="pair", tokenizer="unigram", vocab=2000, length=40, source_length=128)
    return _pairs("summarize-docstrings", data, 500, copy=True)


def translate_de_en() -> Recipe[TextData]:
    """German to English (Multi30k): encoder and decoder of three layers each, a joint vocabulary.

    `fourfold text train translate-de-en`. 36 minutes: BLEU 40.9 by five beams.
    """
    data = TextData(source="multi30k", unit="pair", pair="de-en", tokenizer="bpe", vocab=4000, length=64,
                    source_length=64)
    return _pairs("translate-de-en", data, 5000)


# Captions of Texygen's COCO, one sentence each, on which text GANs are measured.
CAPTIONS = TextData(source="texygen_coco", unit="line", tokenizer="unigram", vocab=3000, length=40)
CAPTION_WRITER = TransformerConfig(width=192, depth=3, heads=6, dropout=0.2)
CAPTION_READER = TransformerConfig(width=128, depth=2, heads=4, dropout=0.1)
SENTENCES = replace(LONG, steps=2000, batch_size=64)


def coco_autoregressive() -> Recipe[TextData]:
    """Captions: a causal transformer of three layers; 9,500 captions are learned by heart in more steps.

    `fourfold text train coco-autoregressive`. A minute: 54.65 nats a sentence.
    """
    return Recipe(name="coco-autoregressive", domain="text", data=CAPTIONS, train=replace(SENTENCES, steps=600),
                  family=AutoregressiveConfig(model=CAPTION_WRITER))


def coco_vae() -> Recipe[TextData]:
    """Captions: a sentence VAE whose decoder is the autoregressive model's; free nats against collapse.

    `fourfold text train coco-vae`. 3 minutes: a bound of 53.99 nats a sentence.
    """
    return Recipe(
        name="coco-vae", domain="text", data=CAPTIONS, train=replace(SENTENCES, steps=1200),
        family=VAEConfig(encoder=CAPTION_READER, decoder=CAPTION_WRITER, latent=16, free_bits=0.22, word_dropout=0.4,
                         importance_samples=100),
    )


def coco_gan() -> Recipe[TextData]:
    """Captions: a GAN in the latent space of a sentence autoencoder.

    `fourfold text train coco-gan`. 5 minutes: BLEU-2 0.728, self-BLEU-2 0.806 (real captions 0.736 and 0.811).
    """
    return Recipe(name="coco-gan", domain="text", data=CAPTIONS, train=replace(SENTENCES, steps=3600),
                  family=latent_gan(CAPTION_WRITER, CAPTION_READER, 0.55))


def coco_diffusion() -> Recipe[TextData]:
    """Captions: masked diffusion of three layers; it also fills gaps.

    `fourfold text train coco-diffusion`. Not trained in full.
    """
    return Recipe(name="coco-diffusion", domain="text", data=CAPTIONS, train=replace(SENTENCES, steps=6000),
                  family=DiffusionConfig(denoiser=CAPTION_WRITER, process=Masking(), bound_samples=16),
                  sample=SampleSettings(num_steps=32))


RECIPES: dict[str, Callable[[], Recipe[TextData]]] = {make.__name__.replace("_", "-"): make for make in (
    tour_vae, tour_gan, tour_diffusion, tour_autoregressive, shakespeare_autoregressive, shakespeare_diffusion,
    shakespeare_vae, shakespeare_gan, code_autoregressive, code_diffusion, articles_autoregressive,
    tinyshakespeare_autoregressive, tinyshakespeare_diffusion, translate_de_en, summarize_descriptions,
    summarize_docstrings, coco_autoregressive, coco_vae, coco_gan, coco_diffusion,
)}
