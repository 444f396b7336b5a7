"""Robotics through its command line: input that is refused in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from command_line import succeed

from apps import robotics
from apps.robotics.cli import app

Refused = Callable[..., str]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    succeed(app, "train", "tour-vae", "--set", "data.demonstrations=20", "--set", "train.steps=1", "--run", folder)
    return folder


@pytest.mark.parametrize(("words", "expected"), [
    (["train", "tour-difusion"], ["did you mean 'tour-diffusion'"]),
    (["train", "tour-gan", "--set", "data.task=reach-v2"], ["data.task", "reach-v2", "did you mean 'reach-v3'"]),
    (["train", "tour-gan", "--set", "data.horizn=4"], ["horizn", "did you mean 'horizon'"]),
    (["train", "tour-gan", "--set", "data.execute=9"], ["data.execute", "9", "[1, data.horizon] (8)"]),
    (["train", "tour-gan", "--set", "data.noise=NaN"], ["data.noise", "nan"]),
    (["train", "tour-gan", "--set", "data.demonstrations=1"], ["data.demonstrations", "1", "[10, 1000000]"]),
    (["train", "tour-gan", "--data", "/nowhere/demos.npz"], ["/nowhere/demos.npz"]),
    (["collect", "planer"], ["planer", "did you mean 'planar'"]),
    (["collect", "planar", "-n", "0"], ["--num"]),
    (["collect", "planar", "--noise", "-1"], ["noise", "-1"]),
    (["collect", "planar", "--seed", "1000"], ["seed", "1000"]),
    (["rollout", "/nowhere/run"], ["/nowhere/run", "no such run"]),
])
def test_refused(refused: Refused, words: list[str], expected: list[str]) -> None:
    line = refused(*words)
    assert all(part in line for part in expected), line


def test_refused_rollouts(refused: Refused, trained: Path, tmp_path: Path) -> None:
    assert "execute is 9: must be in [1, 8]" in refused("rollout", trained, "--execute", 9)
    assert "noise" in refused("rollout", trained, "--noise", -1)
    assert "num_steps" in refused("rollout", trained, "--steps", 2, "-o", tmp_path / "x")
    (tmp_path / "file").write_text("")
    assert str(tmp_path / "file") in refused("rollout", trained, "-n", 1, "-o", tmp_path / "file" / "out")


@pytest.mark.parametrize(("damage", "expected"), [
    ("missing", "no such file"), ("empty", "or no .npz"), ("truncated", "or no .npz"),
    ("text", "or no .npz"), ("pickle", "or no .npz"), ("no actions", "no array 'actions'"),
    ("wide", "observations is"), ("nan", "not finite"), ("lengths", "lengths add up"),
    ("task", "is of 'planer'"), ("other", "is of 'reach-v3'"), ("failed", "needs at least"),
    ("no files", "kinds .npz"),
])
def test_refused_demonstrations(refused: Refused, tmp_path: Path, damage: str, expected: str) -> None:
    path = tmp_path / "demos.npz"
    found = robotics.collect("planar", 12)
    arrays = {name: getattr(found, name) for name in ("observations", "actions", "lengths", "succeeded")}
    task: object = "planar"
    if damage == "no actions":
        del arrays["actions"]
    elif damage == "wide":
        arrays["observations"] = np.zeros((len(found.actions), 7))
    elif damage == "nan":
        arrays["actions"] = np.where(np.arange(len(found.actions))[:, None] == 5, np.nan, found.actions)
    elif damage == "lengths":
        arrays["lengths"] = found.lengths + 1
    elif damage == "failed":
        arrays["succeeded"] = np.zeros(12, dtype=bool)
    elif damage == "pickle":
        task = np.array([{"not": "plain"}], dtype=object)
    elif damage == "task":
        task = "planer"
    elif damage == "other":
        task = "reach-v3"
        arrays |= {"observations": np.zeros((len(found.actions), 21)), "actions": np.zeros((len(found.actions), 4))}
        pytest.importorskip("metaworld", exc_type=ImportError)
    np.savez(path, task=np.array(task), **arrays)
    content = path.read_bytes()
    if damage in ("missing", "no files"):
        path.unlink()
    elif damage in ("empty", "truncated", "text"):
        path.write_bytes({"empty": b"", "truncated": content[: len(content) // 2], "text": b"hello"}[damage])
    words = ("--data", tmp_path) if damage == "no files" else ("--set", f'data.folder="{path}"')
    assert expected in refused("train", "tour-gan", *words, "--run", tmp_path / "run")
