"""Robotics as a user meets it: `collect`, `train`, `sample`, `evaluate`, `rollout`, and the trained run in Python."""

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
from core.runs.run import Run

Cli = Callable[..., tuple[int, str, str]]
SETTINGS = ("--set", "train.learning_rate=2e-3", "--set", "train.ema_decay=0.99")


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder of demonstrations: two files."""
    folder = tmp_path_factory.mktemp("own")
    for seed in (0, 1):
        succeed(app, "collect", "planar", "-n", 150, "--noise", 0.3, "--seed", seed, "-o", folder / f"{seed}.npz")
    return folder


@pytest.fixture(scope="module")
def trained(own: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    succeed(app, "train", "tour-vae", "--data", own, *SETTINGS, "--set", "train.steps=400", "--run", folder,
            "--device", "cpu")
    return folder


def test_collect_says_what_it_wrote(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, _ = cli("collect", "planar", "-n", 12, "--seed", 3)
    found = robotics.Demonstrations.load(tmp_path / "planar.npz")
    assert code == 0 and out.splitlines() == [f"12 of 12 episodes succeed, {len(found.actions):,} steps", "planar.npz"]
    code, out, _ = cli("collect", "planar", "-n", 12, "--seed", 3, "-o", tmp_path / "a" / "b.npz", "--json")
    facts = json.loads(out)
    assert facts == {"task": "planar", "episodes": 12, "succeeded": 12, "steps": len(found.actions),
                     "files": [str(tmp_path / "a" / "b.npz")]}
    again = robotics.collect("planar", 12, seed=3, noise=0.1)
    for other in (again, robotics.Demonstrations.load(Path(facts["files"][0]))):
        assert np.array_equal(found.actions, other.actions) and np.array_equal(found.observations, other.observations)


def test_a_trained_policy_succeeds_where_an_untrained_one_does_not(trained: Path, own: Path, tmp_path: Path) -> None:
    model = robotics.load(trained, "cpu")
    assert model.recipe.data.folder == str(own) and Run(trained).report.is_file()
    episodes = robotics.rollout(model, 200, seed=0)
    untrained = tmp_path / "untrained"
    succeed(app, "train", "tour-vae", "--data", own, "--set", "train.steps=1", "--run", untrained)
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


def test_rollout_writes_what_it_did(trained: Path, cli: Cli, tmp_path: Path) -> None:
    words = ("rollout", trained, "-n", 8, "--visits", 4, "--seed", 1, "--execute", 5, "--noise", 0.05)
    code, out, err = cli(*words, "-o", tmp_path / "out", "--json")
    assert code == 0, err
    facts = json.loads(out)
    assert list(facts) == ["task", "episodes", "succeeded", "success", "interval", "reward", "failed", "files"]
    assert [Path(path).name for path in facts["files"]] == ["rollouts.gif", "episodes.json", "episodes.npz"]
    rows = json.loads((tmp_path / "out" / "episodes.json").read_text())
    assert facts["episodes"] == len(rows) == 8 and facts["succeeded"] == sum(row["succeeded"] for row in rows)
    assert facts["failed"] == [index for index, row in enumerate(rows) if not row["succeeded"]]
    low, high = facts["interval"]
    assert 0 <= low <= facts["success"] <= high <= 1
    with Image.open(tmp_path / "out" / "rollouts.gif") as picture:
        assert picture.format == "GIF" and getattr(picture, "n_frames", 1) > 5
    assert (tmp_path / "out" / "rollouts.gif").stat().st_size < 300_000
    kept = robotics.Demonstrations.load(tmp_path / "out" / "episodes.npz")
    assert kept.lengths.tolist() == [row["steps"] for row in rows]
    episodes = robotics.rollout(robotics.load(trained), 8, seed=1, visits=4, execute=5, noise=0.05)
    assert [episode.seed for episode in episodes] == [row["seed"] for row in rows]
    assert np.array_equal(np.concatenate([episode.actions for episode in episodes]).astype(np.float32), kept.actions)
    code, out, err = cli(*words, "-o", tmp_path / "out", "--overwrite")
    assert code == 0 and out.startswith(f"planar: {facts['succeeded']} of 8 episodes succeed: {facts['success']:.1%} (")
    assert out.splitlines()[-3:] == facts["files"]


def test_sample_and_evaluate(trained: Path, cli: Cli, tmp_path: Path) -> None:
    succeed(app, "sample", trained, "-n", 4, "-o", tmp_path / "samples")
    assert {path.name for path in (tmp_path / "samples").iterdir()} == {"rollouts.gif", "episodes.json", "episodes.npz"}
    code, out, err = cli("evaluate", trained, "-n", 100, "--json")
    assert code == 0, err
    measures = {measure["name"]: measure for measure in json.loads(out)}
    success = measures["success"]
    assert success["value"] > success["baseline"] and success["baseline_name"] == "same-network regression"
    assert success["floor"] > 0.95 and success["interval"][0] <= success["value"] <= success["interval"][1]
    assert measures["side_entropy_bits"]["value"] > measures["side_entropy_bits"]["baseline"] == 0
    assert measures["success_vs_random"]["baseline"] < 0.05 and measures["decision_ms"]["value"] > 0
    assert measures["nats_per_action_number"]["value"] < 0 and measures["nats_per_action_number"]["kind"] == "bound"


def test_chunks_for_given_observations(trained: Path, tmp_path: Path) -> None:
    model = robotics.load(trained)
    chunks = model.sample(3, condition=model.codec.observe(np.zeros((3, 1, 5))))
    assert isinstance(chunks[0], robotics.ActionChunk) and chunks[0].actions.shape == (8, 2)
    assert {path.name for path in robotics.DOMAIN.write(chunks, tmp_path)} == {"chunks.json", "chunks.png"}
    assert [media.kind for media in robotics.DOMAIN.preview(chunks)] == ["png"]


def test_a_policy_learns_from_its_own_episodes(trained: Path, tmp_path: Path) -> None:
    episodes = [episode for episode in robotics.rollout(robotics.load(trained), 40, seed=2) if episode.succeeded]
    robotics.Demonstrations.of(episodes).save(tmp_path / "mine.npz")
    words = ("--data", tmp_path / "mine.npz", "--set", "train.steps=2", "--run", tmp_path / "run")
    succeed(app, "train", "--from", trained, *words)
    assert robotics.load(tmp_path / "run").recipe.start == str(trained)
