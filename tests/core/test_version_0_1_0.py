"""Models and checkpoints of version 0.1.0 load, say what they said, and continue to the same weights.

What each folder under tests/data/version-0.1.0 holds, and how it was made, stands in the README there.
"""

from __future__ import annotations

import importlib
import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from core.runs.pretrained import load
from core.runs.run import Run, train
from core.runs.tuning import tuned_recipe

FIXTURES = Path(__file__).parent.parent / "data" / "version-0.1.0"
NAMES = sorted(path.name for path in FIXTURES.iterdir() if path.is_dir())
UNFINISHED = [name for name in NAMES if (FIXTURES / name / "unfinished").is_dir()]
OTHERWISE = {  # what goes on, but not to the same weights, and the remark that says why
    "text-pairs": "another optimiser",  # its source's encoder was trained by AdamW where the recipe says Muon
    "robotics-diffusion": "prepared these data otherwise",  # demonstrations are drawn by other seeds
}
FINISHES_QUICKLY = [name for name in UNFINISHED if name != "audio-chorales"]  # which renders its samples as sound


def domain_of(name: str) -> Any:
    return importlib.import_module(f"apps.{name.split('-')[0]}.domain").DOMAIN


@pytest.fixture
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy, in which the run's own data are found."""
    home = tmp_path / "home"
    shutil.copytree(FIXTURES / request.param, home)
    monkeypatch.chdir(home)
    return home


@pytest.mark.parametrize("folder", NAMES, indirect=True)
def test_models_load_and_say_what_they_said(folder: Path, request: pytest.FixtureRequest) -> None:
    domain = domain_of(request.node.callspec.params["folder"])
    expected = json.loads((folder / "expected.json").read_text())
    for run, facts in expected["runs"].items():
        model = load(folder / run, domain, "cpu")
        assert sum(p.numel() for p in model.family.parameters()) == expected["parameters"]
        assert model.family.likelihood == facts["likelihood"]
        if facts.get("bound"):
            test = domain.prepare(model.recipe.data).test
            nats = model.bound(test, len(facts["bound"])).tolist()
            other = domain.name == "robotics"  # like demonstrations, not the same
            assert nats == pytest.approx(facts["bound"], rel=0.1 if other else 0.02, abs=0.05)
        assert len(model.sample(2, seed=0)) == 2


@pytest.mark.parametrize("folder", FINISHES_QUICKLY, indirect=True)
def test_checkpoints_continue(folder: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    for user in ("loop", "optimizers"):  # that version used bfloat16 on any machine
        monkeypatch.setattr(f"core.training.{user}.fast_in_bfloat16", lambda device: True)
    name = request.node.callspec.params["folder"]
    domain, run = domain_of(name), Run(folder / "unfinished")
    words: list[str] = []
    result = train(domain, run.recipe(domain), run, device="cpu", log=lambda event: words.append(str(event)))
    assert result.finished and result.step == 6
    ours, theirs = (load_file(folder / kind / "model" / "model.safetensors") for kind in ("unfinished", "finished"))
    if name in OTHERWISE:
        assert any(OTHERWISE[name] in line for line in words)
        return
    for key, value in theirs.items():
        torch.testing.assert_close(ours[key], value, atol=2e-4, rtol=2e-3, msg=partial("{}: {}".format, key))


@pytest.mark.parametrize("folder", ["image-gan", "text-diffusion"], indirect=True)
def test_models_are_a_beginning(
    folder: Path, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> None:
    domain, run = domain_of(request.node.callspec.params["folder"]), Run(folder / "tuned")
    recipe, prepared, _ = tuned_recipe(domain, "finished", None, run, ["train.steps=2"])
    assert train(domain, recipe, run, device="cpu", prepared=prepared).finished
    total = len(load_file(run.model / "model.safetensors"))
    assert f"finished: {total} of {total} weights kept" in caplog.text
