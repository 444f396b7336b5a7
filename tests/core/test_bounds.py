"""Numbers that a user types, or that a hostile file holds, are bounded before they are used: one line, at once."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import tiny_domain
import torch
from command_line import run
from tiny_domain import DOMAIN, ring_diffusion

from core.errors import FourfoldError, require
from core.families import AutoregressiveConfig, DiffusionConfig, GANConfig, VAEConfig
from core.networks import ConvConfig, MLPConfig, TransformerConfig, UNetConfig
from core.quantizers import FSQ, UniformBins
from core.runs.pretrained import build
from core.runtime import resolve_device
from core.training.config import TrainConfig

HUGE = 10**9
SMALL = MLPConfig(width=8, depth=1)


@pytest.mark.parametrize("make", [
    lambda: MLPConfig(width=HUGE), lambda: MLPConfig(depth=HUGE), lambda: TransformerConfig(width=HUGE, heads=1),
    lambda: TransformerConfig(depth=HUGE), lambda: UNetConfig(width=8 * HUGE), lambda: UNetConfig(blocks=HUGE),
    lambda: UNetConfig(multipliers=(1,) * 100), lambda: ConvConfig(multipliers=(HUGE,)), lambda: ConvConfig(patch=HUGE),
    lambda: VAEConfig(encoder=SMALL, decoder=SMALL, latent=HUGE), lambda: UniformBins(bins=HUGE),
    lambda: GANConfig(generator=SMALL, critic=SMALL, latent=HUGE), lambda: FSQ(levels=(HUGE, HUGE)),
    lambda: DiffusionConfig(denoiser=SMALL, likelihood_steps=10 * HUGE), lambda: TrainConfig(batch_size=HUGE),
    lambda: TrainConfig(steps=10**12), lambda: AutoregressiveConfig(model=TransformerConfig(mlp_ratio=HUGE)),
])
def test_sizes_are_bounded(make) -> None:
    with pytest.raises(FourfoldError, match="must be"):
        make()


def test_a_model_larger_than_memory_is_refused_before_it_is_made() -> None:
    wide = TransformerConfig(width=65_536, depth=1000, heads=1)
    recipe = DOMAIN.override(ring_diffusion(), [])
    started = time.perf_counter()
    with pytest.raises(FourfoldError, match="memory"):
        build(DOMAIN, tiny_domain.replace(recipe, family=DiffusionConfig(denoiser=wide)), tiny_domain.RingCodec(),
              torch.device("cpu"))
    assert time.perf_counter() - started < 10


@pytest.mark.parametrize("words", [
    f"train.steps={'9' * 5000}", f"seed={'[' * 100_000}", f"name={'n' * 5000}", "name=a\0b", "name=..", "name=.",
    f"train.learning_rate=1{'0' * 400}", "train.batch_size=1000000000", "sample.num_steps=1e99",
])
def test_what_is_typed_is_bounded(words: str) -> None:
    with pytest.raises(FourfoldError) as caught:
        DOMAIN.override(ring_diffusion(), [words])
    assert len(str(caught.value)) < 1000 and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["cuda:²", "cuda:999999999999999999999", "cuda:-1", "cpu:x", "", "\0"])
def test_devices(name: str) -> None:
    with pytest.raises(FourfoldError, match="--device"):
        resolve_device(name)


def test_a_refused_value_is_shown_in_part() -> None:
    for value in (10**5000, "x" * 10**6, [1] * 10**5):
        with pytest.raises(FourfoldError) as caught:
            require(False, "key", value, "must be small")
        assert len(str(caught.value)) < 300


def test_hostile_sizes_in_a_model_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    assert run(tiny_domain.app, "train", "ring-vae", "--run", folder, "--set", "train.steps=2") == 0
    path = folder / "model" / "config.json"
    for key, value in (("width", HUGE), ("depth", HUGE), ("width", -1), ("width", 10**30)):
        config = json.loads(path.read_text())
        del config["crc32"]
        config["recipe"]["family"]["decoder"][key] = value
        (tmp_path / "other").mkdir(exist_ok=True)
        for name in ("codec.json", "model.safetensors"):
            (tmp_path / "other" / name).write_bytes((folder / "model" / name).read_bytes())
        (tmp_path / "other" / "config.json").write_text(json.dumps(config))
        assert run(tiny_domain.app, "sample", tmp_path / "other", "-o", tmp_path / "out") == 2
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert key in error and len(error) < 500
