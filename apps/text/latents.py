"""Texts through their latents, and from one to another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from apps.text.data import TextModel
from core.families.family import SettingChanges


def reconstruct(
    model: TextModel, texts: Sequence[str], *, seed: int = 0, **settings: Unpack[SettingChanges]
) -> list[str]:
    """Each text as the decoder of a VAE or a latent GAN writes it from its latent; the most probable tokens by default.

    Raises:
        Unsupported: the model is neither.
        FourfoldError: a text that is empty or longer than the model takes.
    """
    batch = model.codec.encode(texts)
    return model.codec.decode(model.reconstruct(batch, seed=seed, **_most_probable(settings)))


def interpolate(
    model: TextModel, first: str, second: str, steps: int = 7, *, seed: int = 0, **settings: Unpack[SettingChanges]
) -> list[str]:
    """`steps` texts on the arc between the latents of two; the most probable tokens by default.

    A VAE, whose latents hold a few nats, writes both ends in its own words; a latent GAN's autoencoder keeps them.

    Raises:
        Unsupported: the model is neither.
        FourfoldError: fewer than two steps, or a text that is empty or longer than the model takes.
    """
    ends = model.codec.encode([first, second])
    return model.codec.decode(model.interpolate(ends, steps, seed=seed, **_most_probable(settings)))


def _most_probable(settings: SettingChanges) -> SettingChanges:
    return settings if any(value is not None for value in settings.values()) else {"top_k": 1}
