"""A recipe for a user's own music or sounds: which they are, which family suits them, sizes that fit their number."""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from pathlib import Path

import numpy as np

from apps.audio.codec import AudioCodec
from apps.audio.data import MUSIC, AudioData, ChoraleData, read_chorales
from apps.audio.notes import NoteData, classified
from apps.audio.recipes import (
    ADVERSARIAL,
    LEVELS,
    LONG,
    chorales_autoregressive,
    chorales_diffusion,
    chorales_gan,
    chorales_vae,
    notes_autoregressive,
    notes_diffusion,
    notes_gan,
    notes_vae,
)
from apps.audio.scores import Score
from apps.audio.sound import EXTENSIONS, Mel, duration
from core.data.folders import find_files
from core.errors import FourfoldError
from core.families import AutoregressiveConfig, DiffusionConfig, GANConfig, VAEConfig
from core.networks import ConvConfig, MLPConfig, TransformerConfig, UNetConfig
from core.runs.domain import Prepared
from core.runs.recipe import Recipe
from core.runs.sizing import examples_per_step

log = logging.getLogger(__name__)
LONGEST = 128
"""Spectra of a sound that are read at most."""
HOPS = (256, 512, 1024)
"""Samples between two spectra: as few as the longest sound allows, so that nothing of up to eight seconds is cut."""


def guess(path: Path) -> AudioData:
    """How to read a folder of music (MIDI, MusicXML) or of sounds; of both, what there is more of.

    Raises:
        FourfoldError: neither is there, or none can be read.
    """
    return _guess_music(path) if _is_music(path) else _guess_sounds(path)


def tuned_data(data: AudioData, path: Path) -> AudioData:
    """A trained model's way to read music, or sounds, for a user's.

    Raises:
        FourfoldError: there is none, or the model is of the other.
    """
    music = isinstance(data, ChoraleData)
    if _is_music(path) != music:
        raise FourfoldError(f"{path} holds {'sounds' if music else 'music'}, and the model is of "
                            f"{'music' if music else 'sounds'}: begin with another one")
    return replace(data, folder=str(path))


def _is_music(path: Path) -> bool:
    """Whether a folder holds more music than sounds."""
    if path.is_file():
        raise FourfoldError(f"{path} is not a folder: --data needs a folder of music or sounds")
    found = find_files(path, (*MUSIC, *EXTENSIONS))
    music = sum(file.suffix.lower() in MUSIC for file in found.files)
    sounds = len(found.files) - music
    if music and sounds:
        log.warning(f"{path.name}: {music:,} files of music and {sounds:,} sounds: the "
                    f"{'music' if music >= sounds else 'sounds'} are read, put the others into a folder of their own")
    return music >= sounds


def _guess_music(path: Path) -> ChoraleData:
    """Windows as long as nine tenths of the pieces allow, on the grid that nine tenths of the notes begin on."""
    pieces, _ = read_chorales(find_files(path, MUSIC), 4)
    scores: list[Score] = [score for part in pieces.values() for score in part]
    # The fewest pieces are in the validation split, which must have one that fills a window.
    longest = min(max(len(score) for score in part) for part in pieces.values()) / 4
    lengths = sorted(len(score) / 4 for score in scores)
    enough = min(longest, lengths[len(lengths) // 10])
    beats = max((size for size in (16, 8, 4, 2) if size <= enough), default=2)
    begun = np.concatenate([np.flatnonzero(score.struck.any(1)) % 4 for score in scores])
    off_quarter, off_eighth = float((begun != 0).mean()), float((begun % 2 != 0).mean())
    steps = 4 if off_eighth > 0.1 else 2 if off_quarter > 0.1 else 1
    log.warning(f"{path.name}: music, read in windows of {beats} beats and {steps} step{'s' if steps > 1 else ''} a "
                "beat (data.beats and data.steps_per_beat say otherwise)")
    return ChoraleData(folder=str(path), beats=beats, steps_per_beat=steps)


def _guess_sounds(path: Path) -> NoteData:
    """Spectrograms as long as the longest sound needs, up to `LONGEST` spectra.

    What is shorter ends in silence, which a model learns too, and which is trimmed from what it makes.
    """
    files = [file for file, _ in classified(path)[0]]
    seconds = sorted(filter(None, map(duration, files)))
    if not seconds:
        raise FourfoldError(f"{path} holds no sound that can be read")
    mel = Mel(mels=64)
    hop = next((hop for hop in HOPS if seconds[-1] * mel.rate / hop + 1 <= LONGEST), HOPS[-1])
    frames = min(LONGEST, max(16, 8 * math.ceil((seconds[-1] * mel.rate / hop + 1) / 8)))
    mel = replace(mel, hop=hop, fft=2 * max(512, hop), frames=frames)
    log.warning(f"{path.name}: sounds, read as {mel.samples / mel.rate:.2f} seconds each at {mel.rate:,} samples a "
                "second (data.mel.frames and data.mel.hop say otherwise)")
    return NoteData(folder=str(path), mel=mel)


def default_family(data: AudioData, prepared: Prepared[AudioCodec]) -> tuple[str, str]:
    """Of notes the exact likelihood is the best; of spectrograms diffusion has the least distance."""
    if isinstance(data, ChoraleData):
        return "autoregressive", "the best likelihood of notes, and it composes at any length"
    return "diffusion", "the nearest to real sounds of the four"


def sized(data: AudioData, prepared: Prepared[AudioCodec], family: str) -> Recipe[AudioData]:
    """A recipe whose networks follow the length and the number of the examples."""
    count = len(prepared.train)
    make = _music if isinstance(data, ChoraleData) else _sounds
    recipe = make(prepared, family, count < 1000, count >= 10_000)
    return replace(recipe, data=data, train=replace(
        recipe.train, batch_size=examples_per_step(count, recipe.train.batch_size)))


def _music(prepared: Prepared[AudioCodec], family: str, few: bool, many: bool) -> Recipe[AudioData]:
    width = 96 if few else 192 if many else 128
    large = TransformerConfig(width=width, depth=4 if few else 5, heads=4, dropout=0.1 if many else 0.2)
    small, pair = replace(large, depth=2), MLPConfig(width=256, depth=3)
    if family == "vae":
        return replace(chorales_vae(), family=VAEConfig(
            encoder=small, decoder=large, latent=64, free_bits=0.1, word_dropout=0.1))
    if family == "gan":
        return replace(chorales_gan(), family=GANConfig(
            generator=pair, critic=pair, latent=64, autoencoder=VAEConfig(
                encoder=small, decoder=replace(large, depth=3), latent=64, beta=0.2)))
    recipe = chorales_diffusion() if family == "diffusion" else chorales_autoregressive()
    config = recipe.family
    if isinstance(config, DiffusionConfig):
        return replace(recipe, family=replace(config, denoiser=large))
    return replace(recipe, family=AutoregressiveConfig(model=large))


def _sounds(prepared: Prepared[AudioCodec], family: str, few: bool, many: bool) -> Recipe[AudioData]:
    dropout = 0.0 if many else 0.1
    recipe = notes_vae()
    config = recipe.family
    if family == "vae" and isinstance(config, VAEConfig):
        network = ConvConfig(width=48, multipliers=(1, 2, 4), patch=4)
        return replace(recipe, family=replace(config, encoder=network, decoder=network, output="draw"), train=replace(
            LONG, steps=2000))
    if family == "gan":
        network = ConvConfig(width=48, multipliers=(1, 2, 4), patch=4)
        return replace(notes_gan(), family=GANConfig(generator=network, critic=network, latent=64), train=replace(
            ADVERSARIAL, steps=4000, batch_size=32))
    if family == "diffusion":
        unet = UNetConfig(width=32 if few else 64, multipliers=(1, 2), attention=True, patch=4, dropout=dropout)
        return replace(notes_diffusion(), family=DiffusionConfig(denoiser=unet, process=LEVELS), train=replace(
            LONG, steps=3000, batch_size=64, learning_rate=2e-3, precision="bfloat16"))
    recipe = notes_autoregressive()
    config = recipe.family
    if isinstance(config, AutoregressiveConfig):
        model = TransformerConfig(width=96 if few else 128, depth=4, heads=4, dropout=dropout)
        recipe = replace(recipe, family=replace(config, model=model))
    return recipe
