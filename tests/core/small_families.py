"""The four families at their smallest, with data and configuration, for tests of training itself.

Between them they draw every kind of random number (posterior, prior, noise level, dropout, condition dropout), have
one, two and alternating players, both optimisers, accumulation, autocast, masks and conditions.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from core.conditions import ClassCondition
from core.data.arrays import ArrayData
from core.families import (
    AutoregressiveConfig,
    ConditioningConfig,
    DiffusionConfig,
    GANConfig,
    LearnedCodes,
    VAEConfig,
)
from core.families.family import Family
from core.networks import ConvConfig, TransformerConfig, UNetConfig
from core.quantizers import FSQ
from core.spaces import Continuous, Discrete
from core.training.config import TrainConfig

ARRAYS = Continuous(shape=(1, 8, 8), levels=17)
TOKENS = Discrete(length=8, vocab=5, eos=0, length_histogram=(0.0, 0.0, 0.2, 0.2, 0.2, 0.2, 0.2, 0.0))
CONDITIONS = {"label": ClassCondition(names=("a", "b", "c"))}
SMALL = ("vae", "gan", "diffusion", "autoregressive")

TRANSFORMER = TransformerConfig(width=16, depth=1, heads=2, dropout=0.1)
CONV = ConvConfig(width=8, multipliers=(1, 2))
NARROW = ConditioningConfig(width=16)
FAMILIES: dict[str, Any] = {
    "vae": VAEConfig(
        encoder=TRANSFORMER, decoder=TRANSFORMER, latent=4, word_dropout=0.2, conditioning=NARROW),
    "gan": GANConfig(generator=CONV, critic=CONV, latent=8, conditioning=NARROW),
    "diffusion": DiffusionConfig(
        denoiser=UNetConfig(width=8, multipliers=(1, 2), dropout=0.1), conditioning=NARROW),
    "autoregressive": AutoregressiveConfig(
        model=TRANSFORMER, quantizer=LearnedCodes(network=CONV, fsq=FSQ(levels=(4, 4))), conditioning=NARROW),
}
SETTINGS: dict[str, dict[str, Any]] = {
    "vae": {"optimizer": "muon"},
    "gan": {},
    "diffusion": {"precision": "bfloat16"},
    "autoregressive": {"accumulation": 2},
}


def build(name: str) -> Family:
    """An untrained family; its first weights are drawn from torch's global generator."""
    return FAMILIES[name].build(TOKENS if name == "vae" else ARRAYS, CONDITIONS)


def small_data(name: str, n: int = 100) -> ArrayData:
    """Random data of its space."""
    chance = np.random.default_rng(0)
    condition = {"label": chance.integers(0, 3, n)}
    if name != "vae":
        return ArrayData(ARRAYS, chance.integers(0, 17, (n, 1, 8, 8), dtype=np.uint8), condition)
    lengths = chance.integers(3, 8, n)
    x = chance.integers(1, 5, (n, 8), dtype=np.uint8)
    x[np.arange(8) >= lengths[:, None] - 1] = 0
    return ArrayData(TOKENS, x, condition, lengths)


def small_config(name: str, **changes: Any) -> TrainConfig:
    """Enough steps to be killed in."""
    usual: dict[str, Any] = {"steps": 40, "batch_size": 16, "checkpoint_every": 4, "log_every": 3}
    return TrainConfig(**usual | SETTINGS[name] | changes)
