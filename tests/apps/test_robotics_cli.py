"""Robotics through its command line: a small policy end to end, and input that is refused in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from command_line import succeed
from PIL import Image

from apps import robotics
from apps.robotics.cli import app

TINY = ["--set", "data.demonstrations=300", "--set", "train.learning_rate=2e-3", "--set", "train.ema_decay=0.99"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    succeed(app, "train", "tour-vae", *TINY, "--set", "train.steps=600", "--run", folder)
    return folder


Refused = Callable[..., str]


def test_a_trained_policy_succeeds_where_an_untrained_one_does_not(trained: Path, tmp_path: Path) -> None:
    model = robotics.load(trained)
    episodes = robotics.rollout(model, 200, seed=0)
    untrained = tmp_path / "untrained"
    succeed(app, "train", "tour-vae", *TINY, "--set", "train.steps=1", "--run", untrained)
    nothing = robotics.rollout(robotics.load(untrained), 200, seed=0)
    assert robotics.success_rate(episodes) > 0.3 and robotics.success_rate(nothing) < 0.05
    sides = {episode.scene.passed_side(episode.places) for episode in episodes if episode.succeeded}
    assert sides == {-1, 1}


def test_rollouts_repeat_exactly(trained: Path) -> None:
    model = robotics.load(trained)
    first, again = (robotics.rollout(model, 12, seed=4, visits=3, temperature=1.1) for _ in range(2))
    for a, b in zip(first, again, strict=True):
        assert a.seed == b.seed and np.array_equal(a.actions, b.actions) and np.array_equal(a.places, b.places)
    other = robotics.rollout(model, 12, seed=5, visits=3)
    assert first[0].seed == first[2].seed != first[3].seed and other[0].seed != first[0].seed
    assert not np.array_equal(first[0].actions, first[1].actions)


def test_rollout_writes_what_it_did(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    succeed(app, "rollout", trained, "-n", 8, "--visits", 4, "--seed", 1, "-o", tmp_path / "out", "--json")
    facts = json.loads(capsys.readouterr().out)
    rows = json.loads((tmp_path / "out" / "episodes.json").read_text())
    assert facts["episodes"] == len(rows) == 8 and facts["succeeded"] == sum(row["succeeded"] for row in rows)
    low, high = facts["interval"]
    assert 0 <= low <= facts["success"] <= high <= 1
    with Image.open(tmp_path / "out" / "rollouts.gif") as picture:
        assert picture.format == "GIF" and getattr(picture, "n_frames", 1) > 5
    assert (tmp_path / "out" / "rollouts.gif").stat().st_size < 300_000
    kept = robotics.Demonstrations.load(tmp_path / "out" / "episodes.npz")
    assert kept.lengths.tolist() == [row["steps"] for row in rows]


def test_sample_and_evaluate(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    succeed(app, "sample", trained, "-n", 4, "-o", tmp_path / "samples")
    assert (tmp_path / "samples" / "rollouts.gif").exists()
    capsys.readouterr()
    succeed(app, "evaluate", trained, "-n", 100, "--json")
    measures = {measure["name"]: measure for measure in json.loads(capsys.readouterr().out)}
    success = measures["success"]
    assert success["value"] > success["baseline"] and success["baseline_name"] == "same-network regression"
    assert success["floor"] > 0.95 and success["interval"][0] <= success["value"] <= success["interval"][1]
    assert measures["side_entropy_bits"]["value"] > measures["side_entropy_bits"]["baseline"] == 0
    assert measures["success_vs_random"]["baseline"] < 0.05 and measures["decision_ms"]["value"] > 0


def test_chunks_for_given_observations(trained: Path, tmp_path: Path) -> None:
    model = robotics.load(trained)
    condition = model.codec.observe(np.zeros((3, 1, 5)))  # type: ignore[attr-defined]
    chunks = model.sample(3, condition=condition)
    assert isinstance(chunks[0], robotics.ActionChunk) and chunks[0].actions.shape == (8, 2)
    assert {path.name for path in robotics.DOMAIN.write(chunks, tmp_path)} == {"chunks.json", "chunks.png"}


def test_collect_then_train_on_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    succeed(app, "collect", "planar", "-n", 40, "--seed", 3, "-o", tmp_path / "demos.npz")
    assert "40 of 40 episodes succeed" in capsys.readouterr().out
    words = ("train", "tour-vae", "--data", tmp_path / "demos.npz", "--set", "train.steps=2", "--run", tmp_path / "run")
    succeed(app, *words)
    assert (tmp_path / "run" / "model" / "model.safetensors").exists()


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
    ("missing", "no such file"), ("empty", "not a readable"), ("truncated", "not a readable"),
    ("text", "not a readable"), ("pickle", "not a readable"), ("no actions", "no array 'actions'"),
    ("wide", "observations is"), ("nan", "not finite"), ("lengths", "lengths add up"),
    ("task", "did you mean 'planar'"), ("other", "is of 'reach-v3'"), ("failed", "needs at least"),
    ("no files", "holds no .npz"),
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
    np.savez(path, task=np.array(task), **arrays)  # type: ignore[arg-type]
    content = path.read_bytes()
    if damage in ("missing", "no files"):
        path.unlink()
    elif damage in ("empty", "truncated", "text"):
        path.write_bytes({"empty": b"", "truncated": content[: len(content) // 2], "text": b"hello"}[damage])
    words = ("--data", tmp_path) if damage == "no files" else ("--set", f'data.folder="{path}"')
    assert expected in refused("train", "tour-gan", *words, "--run", tmp_path / "run")
