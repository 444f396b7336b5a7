"""A recipe for a user's own molecules: which family suits them, and sizes that fit their number."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from apps.molecules.codec import SmilesCodec
from apps.molecules.data import MoleculeData, count_rows
from apps.molecules.recipes import GUIDED, tour_gan, tour_vae
from core.families import AutoregressiveConfig, DiffusionConfig, GANConfig, Masking, VAEConfig
from core.families.family import FamilyConfig
from core.networks import TransformerConfig
from core.runs.domain import Prepared
from core.runs.recipe import Recipe
from core.runs.sizing import examples_per_step
from core.training.config import TrainConfig

log = logging.getLogger(__name__)


def guess(path: Path) -> MoleculeData:
    """How to read a file or folder of molecules: frequent pairs of tokens are merged where there are enough of them.

    Raises:
        FourfoldError: no molecules there.
    """
    rows = count_rows(path)
    merges = 200 if rows >= 10_000 else 100 if rows >= 2_000 else 0
    log.warning(f"{path.name}: {rows:,} rows of molecules, read with {merges} merged pairs of tokens (data.merges says "
                "otherwise)")
    return MoleculeData(folder=str(path), merges=merges, limit=max(50, rows))


def default_family(data: MoleculeData, prepared: Prepared[SmilesCodec]) -> tuple[str, str]:
    """The autoregressive model: the least ChemNet distance of the four at equal minutes."""
    return "autoregressive", "the nearest to real molecules of the four at equal minutes (docs/results.md)"


def sized(data: MoleculeData, prepared: Prepared[SmilesCodec], family: str) -> Recipe[MoleculeData]:
    """A recipe whose transformer follows the number of molecules."""
    count = len(prepared.train)
    width, depth = (96, 3) if count < 5_000 else (128, 4) if count < 50_000 else (192, 6)
    dropout = 0.2 if count < 2_000 else 0.1 if count < 20_000 else 0.0
    model = TransformerConfig(width=width, depth=depth, heads=width // 32, dropout=dropout)
    reader = replace(model, width=64, depth=2, heads=2)
    recipe, config = tour_gan(), tour_vae().family
    pair = recipe.family
    made: FamilyConfig
    if family == "vae" and isinstance(config, VAEConfig):
        made = replace(config, encoder=reader, decoder=model)
    elif family == "gan" and isinstance(pair, GANConfig) and pair.autoencoder is not None:
        made = replace(pair, autoencoder=replace(pair.autoencoder, encoder=reader, decoder=model))
    elif family == "diffusion":
        made = DiffusionConfig(denoiser=replace(model, depth=depth + 1), process=Masking())
    else:
        made = AutoregressiveConfig(model=model, conditioning=GUIDED)
    batch = examples_per_step(count, 128 if family == "diffusion" else 64)
    return replace(recipe, data=data, family=made, train=TrainConfig(
        steps=5000, batch_size=batch, learning_rate=5e-3, optimizer="muon", ema_decay=0.995))
