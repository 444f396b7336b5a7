"""Training that begins with a trained model: its recipe, and that it resumes exactly without that model."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from command_line import succeed
from safetensors.torch import load_file
from tiny_domain import DOMAIN, FOUR, app

from core.families import GANConfig, VAEConfig
from core.networks import MLPConfig, TransformerConfig
from core.runs.pretrained import build, load
from core.runs.run import Run, train
from core.runs.tuning import tuned_recipe
from core.training import checkpoint

WEIGHTS = "model/model.safetensors"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run of each family."""
    home = tmp_path_factory.mktemp("trained")
    for family in FOUR:
        succeed(app, "train", f"ring-{family}", "--set", "train.steps=12", "--run", home / family)
    return {family: home / family for family in FOUR}


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of points of one's own."""
    folder = tmp_path_factory.mktemp("mine")
    (folder / "points.csv").write_text("".join(f"{i % 7 / 7:.3f},{i % 11 / 11:.3f},{i % 2}\n" for i in range(300)))
    return folder


def test_the_recipe_is_the_models_at_a_lower_rate_for_as_long_as_the_data_suggest(
    trained: dict[str, Path], mine: Path, tmp_path: Path
) -> None:
    start = str(trained["diffusion"])
    before = load(start, DOMAIN).recipe
    recipe, prepared, words = tuned_recipe(DOMAIN, start, mine, Run(tmp_path))
    assert recipe.family == before.family and recipe.start == start and recipe.data.folder == str(mine)
    assert recipe.name == f"{mine.name}-from-diffusion"
    assert recipe.train.learning_rate == pytest.approx(0.2 * before.train.learning_rate)
    assert recipe.train.warmup == 0.1 and recipe.train.minutes is None
    assert prepared is not None and len(prepared.train) == 180
    assert recipe.train.steps == 100  # at least; of a longer run twenty passes, at most a quarter of its steps
    assert "100 steps of 64" in words and "0.0002 (it was 0.001)" in words and "180 training examples" in words
    told, _, _ = tuned_recipe(DOMAIN, start, mine, Run(tmp_path), ["train.learning_rate=0.5", "train.steps=7"])
    assert told.train.learning_rate == 0.5 and told.train.steps == 7
    timed, _, _ = tuned_recipe(DOMAIN, start, None, Run(tmp_path), minutes=3)
    assert timed.train.minutes == 3 and timed.name == "diffusion-tuned" and timed.data == before.data


def test_families_train_on_without_what_comes_in_by_and_by() -> None:
    network = TransformerConfig(width=8, depth=1, heads=1)
    autoencoder = VAEConfig(encoder=network, decoder=network, latent=2, kl_warmup=0.3)
    pair = GANConfig(generator=MLPConfig(), critic=MLPConfig(), autoencoder=autoencoder, pair_learning_rate=0.01)
    tuned = pair.tuned(0.2)
    assert tuned.pair_learning_rate == pytest.approx(0.002) and tuned.autoencoder is not None
    assert tuned.autoencoder == replace(autoencoder, kl_warmup=0.0)
    assert FOUR["diffusion"]().family.tuned(0.2) == FOUR["diffusion"]().family


@pytest.mark.parametrize("family", FOUR)
def test_all_players_and_averages_begin_with_the_weights(trained: dict[str, Path], tmp_path: Path, family: str) -> None:
    still = ("--set", "train.steps=1", "--set", "train.learning_rate=1e-9", "--set", "train.weight_decay=0")
    succeed(app, "train", "--from", trained[family], *still, "--run", tmp_path / "still")
    before, after = (load_file(folder / WEIGHTS) for folder in (trained[family], tmp_path / "still"))
    untrained = build(DOMAIN, load(tmp_path / "still", DOMAIN).recipe, DOMAIN.prepare(FOUR[family]().data).codec,
                      torch.device("cpu")).family.state_dict()
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, atol=1e-6, rtol=0)
    assert any((untrained[name] - value).abs().max() > 1e-3 for name, value in before.items())


class Crash(Exception):
    """Ends training as a killed process would."""


@pytest.mark.parametrize("family", FOUR)
def test_a_crashed_run_goes_on_exactly_after_its_beginning_is_gone(
    trained: dict[str, Path], mine: Path, tmp_path: Path, family: str, caplog: pytest.LogCaptureFixture
) -> None:
    source = tmp_path / "source"
    shutil.copytree(trained[family], source)
    settings = ["train.steps=30", "train.checkpoint_every=10", "train.validations=3", "train.log_every=5"]

    def crash(event: object) -> None:
        if isinstance(event, dict) and event["step"] >= 20:
            raise Crash

    alone, broken = Run(tmp_path / "alone"), Run(tmp_path / "broken")
    for run, log in ((alone, None), (broken, crash)):
        recipe, prepared, _ = tuned_recipe(DOMAIN, str(source), mine, run, settings)
        try:
            train(DOMAIN, recipe, run, device="cpu", prepared=prepared, log=log)
        except Crash:
            assert run is broken and checkpoint.found(run.state)
    shutil.rmtree(source)
    recipe, prepared, words = tuned_recipe(DOMAIN, str(source), mine, broken, settings)
    assert prepared is None and f"{source} is gone" in words
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        assert train(DOMAIN, recipe, broken, device="cpu").finished
    assert "weights kept" not in caplog.text
    assert (broken.folder / WEIGHTS).read_bytes() == (alone.folder / WEIGHTS).read_bytes()
    states = [checkpoint.load(run.state) for run in (alone, broken)]
    assert states[0] is not None and states[1] is not None
    for name, value in states[0].tensors.items():
        assert torch.equal(value, states[1].tensors[name]), name
    succeed(app, "evaluate", broken.folder, "-n", 20)


def test_a_beginning_that_is_gone_before_the_first_checkpoint_is_named(
    trained: dict[str, Path], mine: Path, tmp_path: Path, refused: Callable[..., str]
) -> None:
    source, run = tmp_path / "source", tmp_path / "run"
    shutil.copytree(trained["vae"], source)
    succeed(app, "train", "--from", source, "--data", mine, "--set", "train.steps=2", "--run", run)
    shutil.rmtree(run / "state")
    shutil.rmtree(source)
    assert f"{source}: no such run" in refused("train", "--recipe", run / "recipe.json", "--run", run)


def test_what_was_kept_is_said_and_another_model_refused(
    trained: dict[str, Path], mine: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture,
    cli: Callable[..., tuple[int, str, str]],
) -> None:
    deeper = ("--data", mine, "--set", "family.denoiser.depth=2", "--set", "train.steps=2")
    succeed(app, "train", "--from", trained["diffusion"], *deeper, "--run", tmp_path / "deeper")
    line = next(message for message in caplog.messages if "weights kept" in message)
    total = len(load_file(tmp_path / "deeper" / WEIGHTS))
    assert f"{total - 6} of {total} weights kept" in line and "anew: network.modulations.1" in line
    wider = ("--set", "family.denoiser.width=48", "--set", "family.conditioning.width=24")
    code, _, error = cli("train", "--from", trained["diffusion"], *wider, "--run", tmp_path / "wider")
    assert code == 2 and "is another model" in error and not (tmp_path / "wider").exists()


def test_minutes_and_the_same_command_again(trained: dict[str, Path], mine: Path, tmp_path: Path) -> None:
    words = ("train", "--from", trained["autoregressive"], "--data", mine, "--minutes", 0.01, "--run", tmp_path / "run")
    succeed(app, *words)
    weights = (tmp_path / "run" / WEIGHTS).stat().st_mtime_ns
    succeed(app, *words)
    assert (tmp_path / "run" / WEIGHTS).stat().st_mtime_ns == weights
    held = json.loads((tmp_path / "run" / "recipe.json").read_text())
    assert held["train"]["minutes"] == 0.01 and held["start"] == str(trained["autoregressive"])
