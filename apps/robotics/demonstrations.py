"""Demonstrations as a value: episodes end to end, of files or of what a user holds in memory."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from apps.robotics import formats
from apps.robotics.manipulation import Manipulation, layout
from apps.robotics.observations import Layout, Part, is_picture, resized
from apps.robotics.planar import PlanarReach
from apps.robotics.simulation import Episode
from apps.robotics.simulators import METAWORLD
from core.errors import FourfoldError
from core.files import write_atomically
from core.serialization import from_dict, to_dict

log = logging.getLogger(__name__)
Layouts = tuple[Layout, Layout]
"""Of observations and of actions."""


@dataclass(frozen=True)
class Demonstrations:
    """Episodes end to end: T steps in all, E episodes.

    `observations` `[T, D]` before each action, `actions` `[T, A]` as the expert meant them, `lengths` `[E]`,
    `succeeded` bool `[E]`, `pictures` uint8 `[T, P, P, C]`; `layouts`: how observations and actions look outside, None
    where the task knows, or where they are plain vectors.
    """

    task: str
    observations: np.ndarray
    actions: np.ndarray
    lengths: np.ndarray
    succeeded: np.ndarray
    pictures: np.ndarray | None = None
    layouts: Layouts | None = None

    @property
    def layout(self) -> Layouts:
        """How observations and actions look outside."""
        return self.layouts or known_layouts(self.task) or (
            _numbered("o", self.observations.shape[1]), _numbered("a", self.actions.shape[1]))

    @staticmethod
    def of(episodes: Sequence[Episode], layouts: Layouts | None = None) -> Demonstrations:
        """The steps of episodes, and the actions as they were meant."""
        pictures = [episode.pictures[:-1] for episode in episodes if episode.pictures is not None]
        return Demonstrations(
            episodes[0].task,
            np.concatenate([episode.observations[:-1] for episode in episodes]).astype(np.float32),
            np.concatenate([episode.actions for episode in episodes]).astype(np.float32),
            np.array([episode.steps for episode in episodes]),
            np.array([episode.succeeded for episode in episodes]),
            np.concatenate(pictures) if pictures else None,
            None if layouts == known_layouts(episodes[0].task) else layouts,
        )

    @staticmethod
    def of_arrays(episodes: Sequence[Mapping[str, Any]], task: str = "own") -> Demonstrations:
        """Episodes as dictionaries: "observations" (an array `[T or T + 1, ...]`, or a dictionary of such), "actions"
        `[T, ...]`, and "succeeded" if one likes (True unless given).

        Raises:
            FourfoldError: something is missing, or episodes disagree.
        """
        seen: dict[str, list[np.ndarray]] = {}
        acted: dict[str, list[np.ndarray]] = {}
        lengths = []
        for index, episode in enumerate(episodes):
            for name in ("observations", "actions"):
                if not isinstance(episode, Mapping) or name not in episode:
                    raise FourfoldError(f"episode {index} has no {name!r}: must be a dictionary of observations and "
                                        "actions")
            actions = _paths(episode["actions"])
            lengths.append(len(next(iter(actions.values()))))
            for found, values in ((seen, _paths(episode["observations"])), (acted, actions)):
                if index and values.keys() != found.keys():
                    raise FourfoldError(f"episode {index} has {', '.join(map(repr, values))}, and the first has "
                                        f"{', '.join(map(repr, found))}: all must have the same")
                for name, value in values.items():
                    if index and value.shape[1:] != found[name][0].shape[1:]:
                        raise FourfoldError(f"episode {index}: an array of shape {value.shape[1:]} a step, and "
                                            f"{found[name][0].shape[1:]} in the first: all must have the same")
                    if len(value) not in (lengths[-1], lengths[-1] + 1):
                        raise FourfoldError(f"episode {index} has {len(value)} observations for {lengths[-1]} actions")
                    found.setdefault(name, []).append(value[: lengths[-1]])
        if not lengths:
            raise FourfoldError("there are no episodes: give at least three")
        read = formats.Read(
            {name: np.concatenate(parts) for name, parts in seen.items()},
            {name: np.concatenate(parts) for name, parts in acted.items()}, np.array(lengths),
            np.array([bool(episode.get("succeeded", True)) for episode in episodes]), task,
        )
        return _of_read(read, "the episodes")

    def content(self) -> bytes:
        """The bytes of an .npz."""
        stream = io.BytesIO()
        np.savez_compressed(stream, allow_pickle=False, task=np.array(self.task), **self.arrays(),
                            **({} if self.layouts is None else {"layouts": np.array(_layouts_json(self.layouts))}))
        return stream.getvalue()

    def save(self, path: Path) -> None:
        """Write an .npz, or an HDF5 as Minari lays it out where the name ends so; FourfoldError where it cannot be."""
        if path.suffix.lower() not in formats.SUFFIXES:
            raise FourfoldError(f"{path}: demonstrations are written as {', '.join(formats.SUFFIXES)}")
        if path.suffix.lower() == ".npz":
            write_atomically(path, self.content())
            return
        steps = {"observations/state": self.observations, "actions": self.actions}
        if self.pictures is not None:
            steps["observations/picture"] = self.pictures
        write_atomically(path, formats.hdf5(steps, self.lengths, self.succeeded, self.task, _layouts_json(self.layout)))

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays by name."""
        found = {"observations": self.observations, "actions": self.actions, "lengths": self.lengths,
                 "succeeded": self.succeeded}
        return found if self.pictures is None else {**found, "pictures": self.pictures}

    @staticmethod
    def load(path: Path) -> Demonstrations:
        """Read and check demonstrations: what `save` wrote, a user's .npz, Minari's HDF5, LeRobot's folder.

        Raises:
            FourfoldError: they are missing, damaged, or their arrays disagree.
        """
        return _of_read(formats.read(path), str(path), path.stem)


def known_layouts(task: str, picture: int = 0) -> Layouts | None:
    """The layouts of a task that is known here, without its simulator; None of others."""
    if task == "planar":
        return PlanarReach.observation, PlanarReach.action
    return (layout(picture), Manipulation.action) if task in METAWORLD else None


def _numbered(letter: str, count: int) -> Layout:
    return Layout.plain(*(f"{letter}{i}" for i in range(count)))


def _layouts_json(layouts: Layouts) -> str:
    return json.dumps([to_dict(layout) for layout in layouts])


def _paths(value: Any, path: str = "") -> dict[str, np.ndarray]:
    """Arrays by their path in nested dictionaries."""
    if isinstance(value, Mapping):
        return {inner: array for key, item in value.items()
                for inner, array in _paths(item, f"{path}/{key}" if path else str(key)).items()}
    array = np.asarray(value)
    return {path: array[:, None] if array.ndim == 0 else array}


def _of_read(read: formats.Read, where: str, name: str = "own") -> Demonstrations:
    """What a file holds as demonstrations, if a policy could learn from them."""
    task = read.task or name
    lengths = read.lengths
    if read.succeeded is None:
        log.warning(f"{where} does not say which episodes succeeded: all are taken to have")
    succeeded = np.ones(len(lengths), dtype=bool) if read.succeeded is None else np.asarray(read.succeeded)
    flags = succeeded.dtype.kind in "biuf" and bool(np.isin(succeeded, (0, 1)).all())
    if succeeded.shape != lengths.shape or not flags:
        raise FourfoldError(f"{where}: succeeded must be true or false for each of {len(lengths)} episodes")
    given = _given_layouts(read.layouts, where)
    known = known_layouts(task)
    total = int(lengths.sum())
    arrays = {**{f"observations {key}".strip(): value for key, value in read.observations.items()},
              **{f"actions {key}".strip(): value for key, value in read.actions.items()}}
    for what, array in arrays.items():
        if array.dtype.kind not in "fiub" or array.ndim < 1:
            raise FourfoldError(f"{where}: {what} is {array.dtype} {array.shape}: must be numbers [steps, ...]")
        if len(array) != total:
            raise FourfoldError(f"{where}: lengths add up to {total} for {len(array)} {what}")
        if not np.isfinite(array).all():
            step = int((~np.isfinite(array.reshape(len(array), -1))).any(1).argmax())
            raise FourfoldError(f"{where}: {what} has values that are not finite at step {step}")
    if given is not None or known is not None:
        seen, pictures, _ = _columns(read.observations, "observations", "numbers")
        acted, _, _ = _columns(read.actions, "actions", "numbers")
        layouts = given or known
        assert layouts is not None
        for what, array, layout in (("observations", seen, layouts[0]), ("actions", acted, layouts[1])):
            if array.shape[1] != layout.width:
                raise FourfoldError(f"{where}: {what} is {array.dtype} {array.shape}: must be floats [steps, "
                                    f"{layout.width}]")
        pictures = pictures if read.pictures is None else _checked_pictures(read.pictures, total, where)
        return Demonstrations(task, seen, acted, lengths, succeeded.astype(bool), pictures, given)
    seen, pictures, observed = _columns(read.observations, "o", "numbers")
    acted, _, actions = _columns(read.actions, "a", "choice")
    if pictures is not None and not seen.shape[1]:
        log.warning(f"{where}: observations are pictures alone")
    return Demonstrations(task, seen, acted, lengths, succeeded.astype(bool), pictures, (observed, actions))


def _checked_pictures(pictures: np.ndarray, steps: int, where: str) -> np.ndarray:
    if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[1] != pictures.shape[2]:
        raise FourfoldError(f"{where}: pictures is {pictures.dtype} {pictures.shape}: must be bytes [steps, P, P, C]")
    if len(pictures) != steps:
        raise FourfoldError(f"{where}: lengths add up to {steps} for {len(pictures)} pictures")
    return pictures


def _given_layouts(text: str | None, where: str) -> Layouts | None:
    if text is None:
        return None
    try:
        first, second = json.loads(text)
    except ValueError as error:
        raise FourfoldError(f"{where} is damaged: its layouts are no JSON") from error
    return from_dict(Layout, first, "layouts"), from_dict(Layout, second, "layouts")


def _columns(
    arrays: Mapping[str, np.ndarray], alone: str, whole: str
) -> tuple[np.ndarray, np.ndarray | None, Layout]:
    """Arrays of steps by path as numbers `[T, D]`, pictures `[T, P, P, C]`, and the layout of both.

    `whole`: "choice" takes whole numbers for choices, as of a Discrete space.
    """
    numbers, pictures, parts = [], [], []
    steps = len(next(iter(arrays.values())))
    for path, array in arrays.items():
        shape = array.shape[1:]
        if 0 in shape:
            continue
        if is_picture(array.dtype, shape):
            part = Part(path=path, kind="picture", shape=shape)
            size = min(formats.SQUARE, min(sorted(shape)[-2:]))
            pictures.append(np.stack([part.picture(each, size, path) for each in array]))
        elif whole == "choice" and array.dtype.kind in "iub" and shape in ((), (1,)):
            least = min(0, int(array.min()))
            part = Part(path=path, kind="choice", shape=(int(array.max()) - least + 1,), start=least)
            numbers.append(np.eye(part.width, dtype=np.float32)[array.reshape(-1).astype(int) - least])
        else:
            part = Part(path=path, shape=shape)
            numbers.append(array.reshape(steps, -1).astype(np.float32))
        parts.append(part)
    if pictures:
        size = pictures[0].shape[1]
        pictures = [each if each.shape[1] == size else np.stack([resized(one, size) for one in each])
                    for each in pictures]
    return (np.concatenate(numbers, axis=1) if numbers else np.zeros((steps, 0), np.float32),
            np.concatenate(pictures, axis=3) if pictures else None, Layout.of(parts, alone))
