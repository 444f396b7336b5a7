"""A recipe for a user's own text: what it is made of, which family suits it, and sizes that fit its amount."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np

from apps.text.codec import TextCodec
from apps.text.looking import look
from apps.text.recipes import LONG, latent_gan
from apps.text.text_data import TextData
from core.families import AutoregressiveConfig, ConditioningConfig, DiffusionConfig, Masking, VAEConfig
from core.families.family import FamilyConfig, SampleSettings
from core.networks import TransformerConfig
from core.runs.domain import Prepared
from core.runs.recipe import Recipe
from core.runs.sizing import examples_per_step

log = logging.getLogger(__name__)
BY_CHARACTERS = 500_000
"""Characters of text up to which it is read by characters: pieces of words are learned from more."""


def guess(path: Path) -> TextData:
    """How to read a user's text: a stream of documents, one example a line, or pairs; by characters or pieces of words.

    Raises:
        FourfoldError: no text there, or none that can be read.
    """
    seen = look(path)
    pieces = seen.characters > BY_CHARACTERS
    vocab = min(8000, max(1000, seen.characters // 1000))
    per_token = 3 if pieces else 1
    if seen.unit == "stream":
        # A twentieth is held out for validation and must fill a window; half of that, to be on the safe side.
        length = next((size for size in (128, 64, 32) if 40 * size * per_token <= seen.characters), 16)
        length *= 1 if pieces else 2
    else:
        length = _room(seen.long / per_token)
    data = TextData(
        source="folder", folder=str(path), unit=seen.unit, column=seen.column, label=seen.label,
        tokenizer="unigram" if pieces else "characters",
        vocab=vocab if pieces else 1000, length=length, source_length=_room(seen.long_source / per_token),
    )
    log.warning(f"{path.name}: {seen.words}; read by {'pieces of words' if pieces else 'characters'}, "
                f"{length} in a {'window' if seen.unit == 'stream' else 'row'} (data.unit, data.tokenizer and "
                "data.length say otherwise)")
    return data


def tuned_data(data: TextData, path: Path) -> TextData:
    """A trained model's way to read text, for a user's: streams stay streams and lines lines, whichever it looks like.

    Raises:
        FourfoldError: no text there, or none that can be read.
    """
    seen = look(path)
    plain = ("stream", "line")
    unit = data.unit if {data.unit, seen.unit} <= set(plain) else seen.unit
    log.warning(f"{path.name}: {seen.words}; read as {'a stream' if unit == 'stream' else f'{unit}s'} (data.unit says "
                "otherwise)")
    return replace(data, source="folder", folder=str(path), unit=unit, column=seen.column, pair="",
                   label=seen.label if unit == "document" else "")


def _room(tokens: float) -> int:
    """Places for so many tokens and an end, and some more, up to 512."""
    return min(512, 16 * (int(tokens * 1.1 + 1) // 16 + 1))


def default_family(data: TextData, prepared: Prepared[TextCodec]) -> tuple[str, str]:
    """The autoregressive model: its likelihood is the best of the four on every text measured."""
    return "autoregressive", "the best likelihood of text, and it continues prompts"


def sized(data: TextData, prepared: Prepared[TextCodec], family: str) -> Recipe[TextData]:
    """A recipe whose transformer follows the number of training tokens."""
    train = prepared.train
    tokens = len(train) if data.unit == "stream" else int(np.asarray(train.sizes).sum())
    width, depth = (96, 4) if tokens < 100_000 else (128, 5) if tokens < 500_000 else (192, 6)
    if tokens >= 10_000_000:
        width = 256
    dropout = 0.1 if tokens >= 1_000_000 else 0.2
    model = TransformerConfig(width=width, depth=depth, heads=width // 32, dropout=dropout)
    reader = replace(model, width=64, heads=2, depth=2)
    conditioning = ConditioningConfig()
    if data.unit == "pair":
        conditioning = ConditioningConfig(width=width, dropout=0.0, source_depth=3, source_dropout=dropout)
    config: FamilyConfig
    if family == "vae":
        config = VAEConfig(encoder=reader, decoder=replace(model, depth=max(3, depth - 2)), latent=32, free_bits=0.25,
                           word_dropout=0.2, conditioning=conditioning)
    elif family == "gan":
        config = replace(latent_gan(replace(model, depth=max(3, depth - 2)), reader, 0.6), conditioning=conditioning)
    elif family == "diffusion":
        config = DiffusionConfig(denoiser=replace(model, dropout=0.1), process=Masking(), conditioning=conditioning)
    else:
        config = AutoregressiveConfig(model=model, conditioning=conditioning,
                                      label_smoothing=0.1 if data.unit == "pair" else 0.0)
    batch = 32 if data.unit == "stream" and family != "diffusion" else 64
    # Windows of a stream overlap: as many examples as it has windows side by side.
    count = len(train) // data.length if data.unit == "stream" else len(train)
    return Recipe(
        name=family, domain="text", data=data, family=config,
        train=replace(LONG, steps=2000, batch_size=examples_per_step(count, batch)),
        sample=SampleSettings(num_steps=64) if family == "diffusion" else SampleSettings(),
    )
