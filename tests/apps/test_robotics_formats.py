"""Files of demonstrations of other programs, and what is wrong in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from apps import robotics
from apps.robotics.data import prepare
from apps.robotics.demonstrations import Demonstrations
from apps.robotics.inspecting import columns, told
from apps.robotics.model import RoboticsData
from apps.robotics.videos import mp4
from core.errors import FourfoldError

RNG = np.random.default_rng(0)
LENGTHS = np.array([5, 7, 6, 4])
SEEN, DONE = RNG.normal(size=(22, 3)), RNG.uniform(-1, 1, (22, 2))
ENDS = np.cumsum(LENGTHS)


def saved(path: Path, **arrays: Any) -> Path:
    np.savez(path, allow_pickle=False, **arrays)
    return path


@pytest.mark.parametrize("arrays", [
    {"obs": SEEN, "acts": DONE, "episode_lengths": LENGTHS},
    {"state": SEEN, "action": DONE, "episode_ends": ENDS},
    {"observation.state": SEEN, "action": DONE, "episode_index": np.repeat(np.arange(4), LENGTHS)},
    {"observations": SEEN, "actions": DONE, "terminals": np.isin(np.arange(22), ENDS[:2] - 1),
     "timeouts": np.isin(np.arange(22), ENDS[2:3] - 1)},
    {"observations": np.insert(SEEN, ENDS, 9.0, axis=0), "actions": DONE, "lengths": LENGTHS},
])
def test_many_spellings_mean_the_same(tmp_path: Path, arrays: dict[str, Any], caplog: Any) -> None:
    found = Demonstrations.load(saved(tmp_path / "mine.npz", **arrays))
    assert found.task == "mine" and found.lengths.tolist() == LENGTHS.tolist() and found.succeeded.all()
    assert np.allclose(found.observations, SEEN) and np.allclose(found.actions, DONE)
    assert "does not say which episodes succeeded" in caplog.text


def test_arrays_of_equal_episodes_with_pictures_and_choices(tmp_path: Path) -> None:
    camera = RNG.integers(0, 256, (3, 5, 24, 32, 3), dtype=np.uint8)
    path = saved(tmp_path / "mine.npz", **{
        "observations.arm": RNG.normal(size=(3, 5, 4)), "observations.camera": camera,
        "actions": RNG.integers(0, 3, (3, 4, 1)), "succeeded": np.array([1, 0, 1])})
    found = Demonstrations.load(path)
    assert found.lengths.tolist() == [4, 4, 4] and found.succeeded.tolist() == [True, False, True]
    assert found.pictures is not None and found.pictures.shape == (12, 24, 24, 3)
    assert found.actions.shape == (12, 3) and (found.actions.sum(1) == 1).all()
    assert [part.kind for part in found.layout[0].parts] == ["numbers", "picture"]


def test_minaris_files_are_written_and_read(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    found = robotics.collect("planar", 5, seed=1)
    found.save(tmp_path / "main_data.hdf5")
    again = Demonstrations.load(tmp_path / "main_data.hdf5")
    assert again.task == "planar" and np.array_equal(again.actions, found.actions)
    assert np.array_equal(again.succeeded, found.succeeded) and np.array_equal(again.lengths, found.lengths)
    with h5py.File(tmp_path / "other.hdf5", "w") as file:
        for index, (start, end) in enumerate(zip(ENDS - LENGTHS, ENDS, strict=True)):
            group = file.create_group(f"episode_{index}")
            group.create_dataset("observations/arm", data=np.insert(SEEN[start:end], end - start, 0.0, axis=0))
            group.create_dataset("actions", data=DONE[start:end])
    other = Demonstrations.load(tmp_path / "other.hdf5")
    assert other.layout[0].names == ("arm[0]", "arm[1]", "arm[2]") and np.allclose(other.observations, SEEN)
    (tmp_path / "cut.hdf5").write_bytes((tmp_path / "other.hdf5").read_bytes()[:900])
    with pytest.raises(FourfoldError, match=r"cut\.hdf5 is damaged, or no HDF5 of Minari's"):
        Demonstrations.load(tmp_path / "cut.hdf5")


def lerobot(folder: Path, features: dict[str, Any], **columns: Any) -> Path:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    (folder / "meta").mkdir(parents=True)
    (folder / "data" / "chunk-000").mkdir(parents=True)
    (folder / "meta" / "info.json").write_text(json.dumps({"codebase_version": "v2.1", "features": features}))
    parquet.write_table(pyarrow.table(columns), folder / "data" / "chunk-000" / "file-000.parquet")
    return folder


def test_lerobots_folders_are_read(tmp_path: Path) -> None:
    table = {"observation.state": SEEN.tolist(), "action": DONE.tolist(),
             "episode_index": np.repeat(np.arange(4), LENGTHS).tolist(), "next.success": np.isin(
                 np.arange(22), ENDS[:3] - 1).tolist()}
    found = Demonstrations.load(lerobot(tmp_path / "pusher", {}, **table))
    assert found.task == "pusher" and np.allclose(found.observations, SEEN) and np.allclose(found.actions, DONE)
    assert found.succeeded.tolist() == [True, True, True, False]
    assert len(prepare(RoboticsData(task="pusher", folder=str(tmp_path / "pusher"))).train) >= 4
    video = {"observation.images.top": {"dtype": "video"}}
    with pytest.raises(FourfoldError, match="has no videos of 'observation.images.top': fetch"):
        Demonstrations.load(lerobot(tmp_path / "blind", video, **table))
    empty = tmp_path / "empty"
    (empty / "meta").mkdir(parents=True)
    (empty / "meta" / "info.json").write_text("{}")
    with pytest.raises(FourfoldError, match="no tables"):
        Demonstrations.load(empty)


def test_lerobots_videos_are_read(tmp_path: Path) -> None:
    pytest.importorskip("imageio_ffmpeg")
    name = "observation.images.top"
    table = {"observation.state": SEEN.tolist(), "action": DONE.tolist(),
             "episode_index": np.repeat(np.arange(4), LENGTHS).tolist()}
    folder = lerobot(tmp_path / "seen", {name: {"dtype": "video"}}, **table)
    (folder / "videos" / name).mkdir(parents=True)
    frames = np.repeat(np.linspace(0, 250, 22).astype(np.uint8), 64 * 64 * 3).reshape(22, 64, 64, 3)
    (folder / "videos" / name / "file-000.mp4").write_bytes(mp4(frames))
    found = Demonstrations.load(folder)
    assert found.pictures is not None and found.pictures.shape == (22, 96, 96, 3)
    assert np.abs(found.pictures.mean((1, 2, 3)) - np.linspace(0, 250, 22)).max() < 12
    (folder / "videos" / name / "file-000.mp4").write_bytes(mp4(frames[:9]))
    with pytest.raises(FourfoldError, match="have 9 frames, and the tables 22 steps"):
        Demonstrations.load(folder)
    (folder / "videos" / name / "file-000.mp4").write_bytes(b"no video")
    with pytest.raises(FourfoldError, match=r"file-000\.mp4 cannot be read"):
        Demonstrations.load(folder)


@pytest.mark.parametrize(("arrays", "told"), [
    ({"observations": SEEN, "actions": DONE}, "does not say where its episodes end"),
    ({"actions": DONE, "lengths": LENGTHS}, "has no array 'observations'"),
    ({"observations": SEEN, "actions": DONE, "lengths": np.array([5, 7, 6, 3])}, "lengths add up to 21 for 22"),
    ({"observations": SEEN, "actions": DONE, "lengths": LENGTHS.astype(float)}, "whole numbers from 1"),
    ({"observations": SEEN, "actions": DONE, "lengths": LENGTHS, "succeeded": np.array([1, 0, 2, 1])}, "true or false"),
    ({"observations": SEEN.astype("U8"), "actions": DONE, "lengths": LENGTHS}, "must be numbers"),
    ({"observations": np.where(SEEN > 1, np.inf, SEEN), "actions": DONE, "lengths": LENGTHS}, "not finite at step"),
])
def test_what_is_wrong_is_one_line(tmp_path: Path, arrays: dict[str, Any], told: str) -> None:
    with pytest.raises(FourfoldError) as error:
        Demonstrations.load(saved(tmp_path / "mine.npz", **arrays))
    assert told in str(error.value)


def test_episodes_in_memory_are_checked() -> None:
    good = {"observations": SEEN[:5], "actions": DONE[:5]}
    cases: list[tuple[list[Any], str]] = [
        ([good, {"observations": SEEN[:5]}], "episode 1 has no 'actions'"),
        ([good, {"observations": SEEN[:9], "actions": DONE[:5]}], "episode 1 has 9 observations for 5 actions"),
        ([good, {"observations": SEEN[:5, :2], "actions": DONE[:5]}], "episode 1: an array of shape (2,) a step"),
        ([good, {"observations": {"arm": SEEN[:5]}, "actions": DONE[:5]}], "episode 1 has 'arm', and the first has ''"),
        ([], "there are no episodes"),
    ]
    for episodes, line in cases:
        with pytest.raises(FourfoldError) as error:
            Demonstrations.of_arrays(episodes)
        assert line in str(error.value)


def test_outliers_do_not_spoil_the_scale_and_are_said(tmp_path: Path, caplog: Any) -> None:
    lengths = np.full(40, 25)
    seen, done = RNG.normal(size=(1000, 4)), RNG.uniform(-1, 1, (1000, 3))
    done[17, 0], seen[5, 1] = 1e6, -1e9
    seen[:, 2] = 0.7
    done[:, 2] = np.where(np.arange(1000) % 25 == 24, 1.0, -1.0)  # a gripper that closes at the end
    path = saved(tmp_path / "mine.npz", observations=seen, actions=done, lengths=lengths, succeeded=lengths > 0)
    found = Demonstrations.load(path)
    text = told(found)
    assert text.splitlines()[0] == "mine: 40 episodes, 40 succeed, 1,000 steps" and "constant" in text
    assert {c.name: c.outliers for c in columns(found)} == {
        "o0": 0, "o1": 1, "o2": 0, "o3": 0, "a0": 1, "a1": 0, "a2": 0}
    data = RoboticsData(task="mine", folder=str(path), seed=1)
    codec = prepare(data).codec
    assert codec.high[0] < 1.01 and codec.high[2] == 1.0 and 0.8 < codec.std[1] < 1.2 and codec.std[2] == 1.0
    assert "values of a0 lie far outside" in caplog.text
    assert "1 of 4 numbers of observations are constant" in caplog.text
