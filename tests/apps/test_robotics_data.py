"""Demonstrations, their files, chunks of them, and the codec."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from apps.robotics.codec import CONDITION, ActionChunk, ChunkCodec, from_version_0_1_0
from apps.robotics.data import chunks, collect, demonstrations_of, prepare
from apps.robotics.demonstrations import Demonstrations
from apps.robotics.model import RoboticsData
from apps.robotics.planar import SPEED
from apps.robotics.rollouts import Purpose, episode_seeds
from core.errors import FourfoldError
from core.serialization import from_dict, to_dict

DATA = RoboticsData(demonstrations=60, history=2, horizon=6, execute=3)


def test_collect_repeats_exactly_and_seeds_differ() -> None:
    first, again, other = collect("planar", 20, seed=1), collect("planar", 20, seed=1), collect("planar", 20, seed=2)
    assert np.array_equal(first.actions, again.actions) and np.array_equal(first.observations, again.observations)
    assert not np.array_equal(first.observations[0], other.observations[0])
    assert first.succeeded.mean() >= 0.95 and first.lengths.sum() == len(first.actions)


def test_noise_changes_where_the_expert_goes_not_what_it_means() -> None:
    found = collect("planar", 50, noise=0.3)
    assert np.linalg.norm(found.actions, axis=1).max() <= SPEED * 1.001
    clean = collect("planar", 50, noise=0.0)
    assert not np.array_equal(found.observations[:20], clean.observations[:20])


def test_chunks_stay_in_their_episode() -> None:
    found = Demonstrations(
        "planar", np.arange(5.0)[:, None] * np.ones((1, 5)), np.arange(5.0)[:, None] * np.ones((1, 2)),
        np.array([2, 3]), np.array([True, True]),
    )
    seen, next_, _ = chunks(found, np.array([0, 1]), history=2, horizon=3)
    assert seen[:, :, 0].tolist() == [[0, 0], [0, 1], [2, 2], [2, 3], [3, 4]]
    assert next_[:, :, 0].tolist() == [[0, 1, 1], [1, 1, 1], [2, 3, 4], [3, 4, 4], [4, 4, 4]]
    assert chunks(found, np.array([1]), 1, 2)[1][:, :, 0].tolist() == [[2, 3], [3, 4], [4, 4]]


def test_prepared_splits_share_no_episode_and_are_scaled() -> None:
    prepared = prepare(DATA)
    x, seen = prepared.train.x, prepared.train.condition[CONDITION]
    assert x.shape[1:] == (2, 6) and seen.shape[1] == 10
    assert np.abs(x).max() <= 1 + 1e-5 and np.abs(seen.mean(0)).max() < 0.2 and 0.5 < seen.std() < 1.5
    rows = {split.condition[CONDITION].tobytes() for split in (prepared.train, prepared.validation, prepared.test)}
    assert len(rows) == 3 and min(len(prepared.validation), len(prepared.test)) > 0
    train = {row.tobytes() for row in np.asarray(seen)}
    assert not any(row.tobytes() in train for row in np.asarray(prepared.test.condition[CONDITION]))


def test_no_two_purposes_or_seeds_share_an_episode() -> None:
    seeds = [episode for purpose in Purpose for seed in (0, 1, 999) for episode in episode_seeds(purpose, seed, 100)]
    assert len(set(seeds)) == len(seeds) == len(Purpose) * 300
    assert episode_seeds(Purpose.EVALUATION, 5, 7, visits=3) == [
        seed for seed in episode_seeds(Purpose.EVALUATION, 5, 3) for _ in range(3)][:7]


def test_codec_round_trip() -> None:
    prepared = prepare(DATA)
    codec = prepared.codec
    stored = to_dict(codec)
    assert from_dict(ChunkCodec, stored, "codec") == codec
    old = {name: value for name, value in stored.items() if name != "kind"}
    assert from_dict(ChunkCodec, from_version_0_1_0(old), "codec") == codec
    batch = prepared.test.batch(np.arange(9))
    items = codec.decode(batch)
    assert items[0].actions.shape == (6, 2) and items[0].observations is not None
    assert items[0].observations.shape == (2, 5)
    assert torch.allclose(codec.encode(items).x, batch.x, atol=1e-5)
    again = codec.observe(np.stack([item.observations for item in items if item.observations is not None]))[CONDITION]
    assert torch.allclose(again, batch.condition[CONDITION], atol=1e-4)


def test_codec_holds_actions_to_the_demonstrated_range() -> None:
    codec = prepare(DATA).codec
    wild = codec.actions(torch.full((1, 2, 6), float("nan")).index_fill(2, torch.tensor([0]), 50.0))
    assert np.isfinite(wild).all() and wild[0, 0] == pytest.approx(codec.high)


def test_codec_refuses() -> None:
    codec = prepare(DATA).codec
    with pytest.raises(FourfoldError, match=r"chunk 1 has shape \(5, 2\): must be \(6, 2\)"):
        codec.encode([np.zeros((6, 2)), np.zeros((5, 2))])
    with pytest.raises(FourfoldError, match="not finite"):
        codec.encode([ActionChunk(task="planar", actions=np.full((6, 2), np.inf))])
    for name, value in (("horizon", 0), ("history", 0), ("low", codec.low[:1]), ("std", (0.0, *codec.std[1:])),
                        ("mean", (float("nan"), *codec.mean[1:]))):
        with pytest.raises(FourfoldError, match=f"^{name} is"):
            replace(codec, **{name: value})  # type: ignore[arg-type]


def test_file_of_demonstrations(tmp_path: Path) -> None:
    found = collect("planar", 30)
    found.save(tmp_path / "a" / "demos.npz")
    read = Demonstrations.load(tmp_path / "a" / "demos.npz")
    assert read.task == "planar" and np.array_equal(read.actions, found.actions)
    collect("planar", 30, seed=3).save(tmp_path / "a" / "more.npz")
    one = prepare(RoboticsData(folder=str(tmp_path / "a" / "demos.npz")))
    both = prepare(RoboticsData(folder=str(tmp_path / "a")))
    assert len(both.train) > 1.5 * len(one.train)


def test_folders_of_demonstrations_are_read_as_other_folders_are(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Hidden files are skipped, links followed once, folders entered, other kinds counted, broken files named."""
    found = collect("planar", 10, seed=3)
    found.save(tmp_path / "own" / "a.npz")
    found.save(tmp_path / "own" / "later" / "b.NPZ")
    found.save(tmp_path / "elsewhere" / "c.npz")
    (tmp_path / "own" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "own" / "again").symlink_to(tmp_path / "own" / "later")
    (tmp_path / "own" / "._a.npz").write_bytes(b"of a file manager")
    (tmp_path / "own" / "notes.txt").write_text("mine")
    config = RoboticsData(folder=str(tmp_path / "own"))
    assert len(demonstrations_of(config).lengths) == 30
    said = "\n".join(caplog.messages)
    assert "1 hidden file skipped" in said and ".txt 1" in said and "1 folder skipped" in said
    (tmp_path / "own" / "cut.npz").write_bytes((tmp_path / "own" / "a.npz").read_bytes()[:-200])
    with pytest.raises(FourfoldError, match=r"1 of 4 files of demonstrations cannot be read: \S*cut\.npz is damaged"):
        demonstrations_of(config)
