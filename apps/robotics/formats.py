"""Files of demonstrations as arrays: .npz of many spellings, Minari's HDF5, LeRobot's folders; and what is written."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from apps.robotics.videos import frames_of
from core.data.array_files import read_arrays
from core.errors import FourfoldError
from core.extras import needed
from core.files import one_line

log = logging.getLogger(__name__)
SUFFIXES = (".npz", ".hdf5", ".h5")
OBSERVATIONS = ("observations", "observation", "obs", "states", "state")
ACTIONS = ("actions", "action", "acts")
SUCCEEDED = ("succeeded", "success", "successes", "is_success")
ENDS = ("terminals", "terminations", "dones", "done", "timeouts", "truncations")
SQUARE = 96
"""Pixels a side to which larger pictures are scaled as they are read."""


@dataclass(frozen=True)
class Read:
    """What a file holds: arrays of T steps by path ("" for one alone), of E episodes; None where it does not say.

    `pictures`: uint8 `[T, P, P, C]` of files of our own, beside their `layouts`.
    """

    observations: Mapping[str, np.ndarray]
    actions: Mapping[str, np.ndarray]
    lengths: np.ndarray
    succeeded: np.ndarray | None = None
    task: str | None = None
    layouts: str | None = None
    pictures: np.ndarray | None = None


def read(path: Path) -> Read:
    """The demonstrations in a file, or in a folder of LeRobot's.

    Raises:
        FourfoldError: it is missing, damaged, or its arrays disagree or are not found; the line says what is needed.
    """
    if is_lerobot(path):
        return _lerobot(path)
    if not path.is_file():
        raise FourfoldError(f"{path}: no such file of demonstrations; make one with `fourfold robotics collect`")
    return _hdf5(path) if path.suffix.lower() in (".hdf5", ".h5") else _npz(path)


def is_lerobot(path: Path) -> bool:
    """Whether a folder is a dataset of LeRobot's."""
    return (path / "meta" / "info.json").is_file()


# .npz -------------------------------------------------------------------------------------------------------------


def _npz(path: Path) -> Read:
    arrays = read_arrays(path)
    seen = _named(arrays, OBSERVATIONS)
    acted = _named(arrays, ACTIONS)
    for what, found, names in (("observations", seen, OBSERVATIONS), ("actions", acted, ACTIONS)):
        if not found:
            raise FourfoldError(f"{path} is no file of demonstrations: it has no array {what!r} (nor "
                                f"{', '.join(names[1:])}; it has {', '.join(arrays) or 'none'})")
    return _cut(path, seen, acted, arrays)


def _named(arrays: Mapping[str, np.ndarray], names: Sequence[str]) -> dict[str, np.ndarray]:
    """The array of one of the names, as {"": array}; or those whose names begin with one and a dot or slash."""
    for name in names:
        if name in arrays:
            return {"": arrays[name]}
        inner = {key[len(name) + 1 :].replace(".", "/"): value for key, value in arrays.items()
                 if key.startswith((f"{name}/", f"{name}."))}
        if inner:
            return inner
    return {}


def _cut(path: Path, seen: dict[str, np.ndarray], acted: dict[str, np.ndarray], rest: Mapping[str, np.ndarray]) -> Read:
    """Arrays of steps, or of episodes of equal length, and what says where episodes end."""
    first = next(iter(acted.values()))
    lengths = _lengths(path, rest, len(first))
    if lengths is None and first.ndim >= 3 and all(array.ndim >= 3 for array in seen.values()):
        # [episodes, steps, ...]
        lengths = np.full(len(first), first.shape[1])
        extra = {array.shape[1] - first.shape[1] for array in seen.values()}
        if extra - {0, 1}:
            raise FourfoldError(f"{path}: observations have other numbers of steps than actions")
        seen = {key: array[:, : first.shape[1]].reshape(-1, *array.shape[2:]) for key, array in seen.items()}
        acted = {key: array.reshape(-1, *array.shape[2:]) for key, array in acted.items()}
    if lengths is None:
        raise FourfoldError(f"{path} does not say where its episodes end: add an array 'lengths' (or episode_ends, "
                            "terminals, episode_index), or give arrays [episodes, steps, ...]")
    if lengths.ndim != 1 or not len(lengths) or lengths.dtype.kind not in "iu" or lengths.min() < 1:
        raise FourfoldError(f"{path}: lengths must be whole numbers from 1, one an episode")
    succeeded = next((rest[name] for name in SUCCEEDED if name in rest), None)
    if succeeded is not None and succeeded.shape == (int(lengths.sum()),) and len(lengths) != lengths.sum():
        succeeded = np.maximum.reduceat(succeeded, np.cumsum(lengths) - lengths)  # of each step
    task, layouts = (str(rest[name]) if name in rest and rest[name].ndim == 0 else None for name in ("task", "layouts"))
    return Read(_without_last(seen, lengths), acted, lengths, succeeded, task, layouts, rest.get("pictures"))


def _lengths(path: Path, arrays: Mapping[str, np.ndarray], steps: int) -> np.ndarray | None:
    for name in ("lengths", "episode_lengths"):
        if name in arrays:
            return arrays[name]
    if "episode_ends" in arrays:
        return np.diff(arrays["episode_ends"], prepend=0)
    for name in ("episode_index", "episode"):
        if name in arrays and arrays[name].shape == (steps,):
            return np.diff(np.flatnonzero(np.diff(arrays[name], prepend=arrays[name][0] - 1)), append=steps)
    flags = [arrays[name].astype(bool) for name in ENDS if name in arrays and arrays[name].shape == (steps,)]
    if flags:
        ends = np.flatnonzero(np.logical_or.reduce(flags)) + 1
        if not len(ends) or ends[-1] != steps:
            ends = np.append(ends, steps)  # the last was cut off
        return np.diff(ends, prepend=0)
    return None


def _without_last(seen: dict[str, np.ndarray], lengths: np.ndarray) -> dict[str, np.ndarray]:
    """Observations before each action: files may have one more an episode, after the last action."""
    total = int(lengths.sum())
    found = {}
    for key, array in seen.items():
        if len(array) == total + len(lengths):
            last = np.cumsum(lengths + 1) - 1
            array = np.delete(array, last, axis=0)
        found[key] = array
    return found


# Minari's HDF5 ----------------------------------------------------------------------------------------------------


def _hdf5(path: Path) -> Read:
    """Groups `episode_0` ... of datasets `observations` and `actions`, or of groups of them."""
    h5py: Any = needed("h5py", "robotics", ", or give an .npz")
    seen: dict[str, list[np.ndarray]] = {}
    acted: dict[str, list[np.ndarray]] = {}
    lengths, succeeded = [], []
    try:
        with h5py.File(path, "r") as file:
            groups = sorted((key for key in file if key.startswith("episode_")), key=lambda key: int(key[8:]))
            if not groups:
                raise ValueError("it has no groups episode_0, episode_1 ... as Minari's")
            for key in groups:
                group = file[key]
                actions = _datasets(group["actions"])
                steps = len(next(iter(actions.values())))
                lengths.append(steps)
                for found, values in ((seen, _datasets(group["observations"])), (acted, actions)):
                    for name, value in values.items():
                        found.setdefault(name, []).append(value[:steps])
                infos = group.get("infos", {})
                succeeded += [bool(np.asarray(infos[name]).any()) for name in SUCCEEDED if name in infos][:1]
            task = file.attrs.get("task")
            layouts = file.attrs.get("layouts")
    except FourfoldError:
        raise
    except Exception as error:  # h5py passes on what its library stumbles over
        raise FourfoldError(f"{path} is damaged, or no HDF5 of Minari's ({one_line(error)}): replace it") from error
    pictures = np.concatenate(seen.pop("picture")) if layouts is not None and "picture" in seen else None
    return Read(
        {key: np.concatenate(parts) for key, parts in seen.items()},
        {key: np.concatenate(parts) for key, parts in acted.items()}, np.array(lengths),
        np.array(succeeded) if len(succeeded) == len(lengths) else None,
        str(task) if task is not None else None, str(layouts) if layouts is not None else None, pictures,
    )


def _datasets(node: Any, path: str = "") -> dict[str, np.ndarray]:
    if hasattr(node, "keys"):
        return {inner: value for key in node
                for inner, value in _datasets(node[key], f"{path}/{key}" if path else str(key)).items()}
    return {path: np.asarray(node)}


def hdf5(
    arrays: Mapping[str, np.ndarray], lengths: np.ndarray, succeeded: np.ndarray, task: str, layouts: str
) -> bytes:
    """The bytes of an HDF5 as Minari lays them out; `arrays`: of steps, by a path such as "observations/state"."""
    h5py: Any = needed("h5py", "robotics", ", or write an .npz")
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        file.attrs["task"], file.attrs["layouts"], file.attrs["total_episodes"] = task, layouts, len(lengths)
        starts = np.cumsum(lengths) - lengths
        for index, (start, length) in enumerate(zip(starts.tolist(), lengths.tolist(), strict=True)):
            group = file.create_group(f"episode_{index}")
            group.attrs["id"], group.attrs["total_steps"] = index, length
            for name, array in arrays.items():
                group.create_dataset(name, data=array[start : start + length], compression="gzip")
            last = np.arange(length) == length - 1
            group.create_dataset("rewards", data=(last & succeeded[index]).astype(np.float32))
            group.create_dataset("terminations", data=last & bool(succeeded[index]))
            group.create_dataset("truncations", data=last & ~bool(succeeded[index]))
            group.create_dataset("infos/success", data=last & bool(succeeded[index]))
    return stream.getvalue()


# LeRobot's folders ------------------------------------------------------------------------------------------------


def _lerobot(folder: Path) -> Read:
    """Tables data/**/*.parquet with `observation...`, `action` and `episode_index`; pictures in them or as videos."""
    parquet: Any = needed("pyarrow.parquet", "robotics", ", or give an .npz")
    files = sorted((folder / "data").rglob("*.parquet"))
    if not files:
        raise FourfoldError(f"{folder} has meta/info.json and no tables data/**/*.parquet: fetch the whole dataset")
    try:
        info = json.loads((folder / "meta" / "info.json").read_text())
        features: dict[str, Any] = info["features"]
        tables = [parquet.read_table(file) for file in files]
        columns = {name: [row for table in tables for row in table[name].to_pylist()]
                   for name in tables[0].column_names
                   if name.startswith(("observation", "action", "next.success")) or name == "episode_index"}
        arrays = {name: _column(values) for name, values in columns.items()}
    except FourfoldError:
        raise
    except Exception as error:
        raise FourfoldError(f"{folder} is damaged, or no dataset of LeRobot's ({one_line(error)}): fetch it again"
                            ) from error
    if "episode_index" not in arrays or "action" not in arrays:
        raise FourfoldError(f"{folder}: its tables have no column 'action' or 'episode_index'")
    steps = len(arrays["action"])
    videos = [name for name, about in features.items() if isinstance(about, dict) and about.get("dtype") == "video"]
    for name in videos:
        arrays[name] = _frames(folder, name, steps)
    seen = {name.removeprefix("observation").lstrip(".").replace(".", "/"): array
            for name, array in arrays.items() if name.startswith("observation")}
    lengths = _lengths(folder, {"episode_index": arrays["episode_index"].reshape(-1)}, steps)
    assert lengths is not None
    won = None
    if "next.success" in arrays:
        won = np.maximum.reduceat(arrays["next.success"].reshape(-1), np.cumsum(lengths) - lengths).astype(bool)
    return Read(seen, {"": arrays["action"]}, lengths, won, folder.name)


def _column(values: list[Any]) -> np.ndarray:
    """A column of numbers, lists, or pictures as LeRobot stores them."""
    if values and isinstance(values[0], Mapping) and "bytes" in values[0]:
        from PIL import Image

        return np.stack([np.asarray(Image.open(io.BytesIO(value["bytes"])).convert("RGB").resize((SQUARE, SQUARE)))
                         for value in values])
    return np.asarray(values)


def _frames(folder: Path, name: str, steps: int) -> np.ndarray:
    """The frames of a video feature, uint8 `[steps, SQUARE, SQUARE, 3]`."""
    files = sorted(path for path in (folder / "videos").rglob("*.mp4") if name in path.parts)
    if not files:
        raise FourfoldError(f"{folder} has no videos of {name!r}: fetch videos/**/{name}/*.mp4 too")
    frames = np.concatenate([frames_of(file, SQUARE) for file in files])
    if len(frames) != steps:
        raise FourfoldError(f"{folder}: the videos of {name!r} have {len(frames)} frames, and the tables {steps} steps")
    return frames
