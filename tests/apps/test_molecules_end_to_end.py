"""Train for some seconds on MOSES, then measure: better than the trigram, untrained not; design moves a property."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from core.runs.model import Model

from apps import molecules
from apps.molecules import chemistry
from apps.molecules.domain import DOMAIN, Trigram, describe
from core.families import AutoregressiveConfig
from core.networks import TransformerConfig
from core.runs import run as runs
from core.runs.pretrained import build
from core.runs.recipe import Recipe
from core.training.config import TrainConfig

RECIPE = Recipe(
    name="test", domain="molecules", data=molecules.MoleculeData(merges=200, limit=10_000, properties=("tpsa",)),
    family=AutoregressiveConfig(model=TransformerConfig(width=64, depth=2, heads=2), condition_dropout=0.2),
    train=TrainConfig(steps=260, batch_size=48, learning_rate=1e-2, optimizer="muon", ema_decay=0.97),
)


@pytest.fixture(scope="module")
def prepared():
    return DOMAIN.prepare(RECIPE.data)


@pytest.fixture(scope="module")
def trained(prepared, tmp_path_factory: pytest.TempPathFactory) -> Model:
    run = runs.Run(tmp_path_factory.mktemp("runs") / "test")
    assert runs.train(DOMAIN, RECIPE, run, device="cpu").finished
    return molecules.load(run.folder, device="cpu")


def test_trained_beats_the_trigram_and_untrained_does_not(trained: Model, prepared) -> None:
    found = {m.name: m for m in DOMAIN.evaluate(trained, prepared, 150, 0)}
    assert next(iter(found)) == "fcd"
    for name in ("fcd", "nats_per_molecule", "bits_per_token", "wasserstein_logp", "valid"):
        assert found[name].beats_baseline, found[name]
    assert found["fcd"].floor < found["fcd"].value < found["fcd"].baseline
    assert found["nats_per_molecule"].value < 36  # the trigram's is about 47
    assert found["valid"].value > 0.15
    assert found["novel"].value > 0.9
    assert found["correlation_tpsa"].value > 0.4

    empty = build(DOMAIN, RECIPE, prepared.codec, torch.device("cpu"))
    poor = {m.name: m for m in DOMAIN.evaluate(empty, prepared, 60, 0)}
    for name in ("fcd", "nats_per_molecule", "wasserstein_logp"):
        assert not poor[name].beats_baseline, poor[name]


def test_design_moves_the_property_and_keeps_its_word(trained: Model, prepared, tmp_path: Path) -> None:
    known = set(prepared.codec.strings(prepared.train.x))
    low, high = (
        molecules.design(trained, 8, targets={"tpsa": target}, known=known, choose_from=3, seed=1)
        for target in (40.0, 95.0)
    )
    means = [np.mean([molecule.properties["tpsa"] for molecule in found]) for found in (low, high)]
    assert abs(means[0] - 40) < 15 and abs(means[1] - 95) < 20
    for found in (low, high):
        smiles = [molecule.smiles for molecule in found]
        assert len(set(smiles)) == 8 and not known & set(smiles)
        assert chemistry.canonical(smiles) == smiles
    again = molecules.design(trained, 8, targets={"tpsa": 40.0}, known=known, choose_from=3, seed=1)
    assert again == low


def test_trigram_is_a_distribution_over_strings(prepared) -> None:
    train = prepared.codec.strings(prepared.train.x)
    trigram = Trigram.fit(train)
    nll, lengths = trigram.nll(train[:200])
    assert 1 < (nll.sum() / lengths.sum()) / np.log(2) < 2.5  # bits a token
    assert trigram.sample(20, 3) == trigram.sample(20, 3) != trigram.sample(20, 4)
    assert len(describe(trigram.sample(200, 0))["canonical"]) < 40


def test_tour_recipes_build_and_name_their_family(prepared) -> None:
    for family in ("vae", "gan", "diffusion", "autoregressive"):
        recipe = DOMAIN.recipe(f"tour-{family}")
        assert type(recipe.family).__name__.lower().startswith(family)
        model = build(DOMAIN, replace(recipe, data=RECIPE.data), prepared.codec, torch.device("cpu"))
        assert len(model.sample(3, seed=0)) == 3
