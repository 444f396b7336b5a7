"""Demonstrations: collected from scripted experts, kept in files, cut into action chunks."""

from __future__ import annotations

import io
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from apps.robotics.codec import CONDITION, ChunkCodec
from apps.robotics.environments import TASKS, make
from apps.robotics.model import RoboticsData
from apps.robotics.rollouts import Demonstrator, Purpose, episode_seeds, run_episodes
from apps.robotics.simulation import Episode
from core.data.array_files import read_arrays
from core.data.arrays import ArrayData
from core.data.cache import cached
from core.data.folders import Found, find_files, read_all
from core.data.splits import split
from core.errors import FourfoldError, did_you_mean, require
from core.files import write_atomically
from core.runs.domain import Prepared
from core.runs.tasks import Progress

log = logging.getLogger(__name__)
VERSION = 3  # of what `collect` does


@dataclass(frozen=True)
class Demonstrations:
    """Episodes end to end: T steps in all, E episodes.

    `observations` `[T, D]` before each action, `actions` `[T, A]` as the expert meant them, `lengths` `[E]`,
    `succeeded` bool `[E]`.
    """

    task: str
    observations: np.ndarray
    actions: np.ndarray
    lengths: np.ndarray
    succeeded: np.ndarray

    @staticmethod
    def of(episodes: Sequence[Episode]) -> Demonstrations:
        """The steps of episodes, and the actions as they were meant."""
        return Demonstrations(
            episodes[0].task,
            np.concatenate([episode.observations[:-1] for episode in episodes]).astype(np.float32),
            np.concatenate([episode.actions for episode in episodes]).astype(np.float32),
            np.array([episode.steps for episode in episodes]),
            np.array([episode.succeeded for episode in episodes]),
        )

    def content(self) -> bytes:
        """The bytes of an .npz."""
        stream = io.BytesIO()
        np.savez_compressed(stream, allow_pickle=False, task=np.array(self.task), **_arrays(self))
        return stream.getvalue()

    def save(self, path: Path) -> None:
        """Write an .npz; FourfoldError where it cannot be written."""
        write_atomically(path, self.content())

    @staticmethod
    def load(path: Path) -> Demonstrations:
        """Read and check what `save` wrote.

        Raises:
            FourfoldError: the file is missing, damaged, of an unknown task, or its arrays disagree.
        """
        if not path.is_file():
            raise FourfoldError(f"{path}: no such file of demonstrations; make one with `fourfold robotics collect`")
        values = read_arrays(path, ("task", "observations", "actions", "lengths", "succeeded"))
        task = str(values.pop("task"))
        if task not in TASKS:
            raise FourfoldError(f"{path} is of the task {task!r}: {did_you_mean(task, TASKS)}")
        return _checked(Demonstrations(task, **values), str(path))


def collect(
    task: str, n: int, *, seed: int = 0, noise: float = 0.3, progress: Progress | None = None
) -> Demonstrations:
    """`n` episodes of a task's scripted expert.

    Args:
        seed: in [0, 1000); other seeds give other episodes, and evaluations have none of them.
        noise: standard deviation of what is added to executed actions, as a share of their limit.

    Raises:
        FourfoldError: an unknown task, or a number out of range.
    """
    RoboticsData(task=task, demonstrations=max(n, 10), seed=seed, noise=noise)  # checks the ranges
    require(n >= 1, "the number of demonstrations", n, "must be at least 1")
    environment, seeds = make(task), episode_seeds(Purpose.DEMONSTRATION, seed, n)
    demonstrator = Demonstrator(environment, seed)
    return Demonstrations.of(run_episodes(environment, demonstrator, seeds, noise=noise, progress=progress))


def demonstrations_of(config: RoboticsData) -> Demonstrations:
    """The demonstrations a recipe learns from: of its file, or collected and cached.

    Raises:
        FourfoldError: the file cannot be used, or is of another task.
    """
    if config.folder is not None:
        return _own(Path(config.folder).expanduser(), config.task)
    arrays = cached(
        "robotics demonstrations", VERSION, (config.task, config.demonstrations, config.noise, config.seed),
        lambda: _arrays(collect(config.task, config.demonstrations, seed=config.seed, noise=config.noise)),
    )
    return Demonstrations(config.task, **arrays)


def own_files(path: Path) -> Found:
    """A file of demonstrations, or all .npz files in a folder, at any depth, in the order of their names.

    Raises:
        FourfoldError: there is none.
    """
    return find_files(path, (".npz",))


def _own(path: Path, task: str) -> Demonstrations:
    """The user's own demonstrations; see `own_files`."""
    found = own_files(path)
    read, broken = read_all(found.files, Demonstrations.load, what="files of demonstrations")
    for line in [*found.report("files of demonstrations"), *broken]:
        log.warning(line)
    parts = [part for _, part in read]
    for (index, _), part in zip(read, parts, strict=True):
        require(part.task == task, "data.task", task,
                f"{found.files[index]} is of {part.task!r}: use --set data.task={part.task}")
    arrays = [_arrays(part) for part in parts]
    return Demonstrations(task, **{name: np.concatenate([each[name] for each in arrays]) for name in arrays[0]})


def chunks(
    demonstrations: Demonstrations, episodes: np.ndarray, history: int, horizon: int
) -> tuple[np.ndarray, np.ndarray]:
    """Every step of the chosen `episodes` as (last observations `[N, history, D]`, next actions `[N, horizon, A]`).

    Before an episode's start its first observation repeats, after its end its last action does.
    """
    ends = np.cumsum(demonstrations.lengths)[episodes]
    starts = ends - demonstrations.lengths[episodes]
    steps = np.concatenate([np.arange(a, b) for a, b in zip(starts, ends, strict=True)])
    first = np.repeat(starts, ends - starts)[:, None]
    last = np.repeat(ends - 1, ends - starts)[:, None]
    seen = np.maximum(steps[:, None] + np.arange(1 - history, 1), first)
    next_ = np.minimum(steps[:, None] + np.arange(horizon), last)
    return demonstrations.observations[seen], demonstrations.actions[next_]


def prepare(config: RoboticsData, known: ChunkCodec | None = None, grow: bool = False) -> Prepared[ChunkCodec]:
    """A recipe's data: successful demonstrations in chunks, nine tenths of the episodes for training.

    Actions are scaled as by a `known` codec, wider where they go beyond.

    Raises:
        FourfoldError: demonstrations that cannot be used, or too few that succeed.
    """
    found = demonstrations_of(config)
    good = np.flatnonzero(found.succeeded)
    if len(good) < 3:
        raise FourfoldError(f"{len(good)} of {len(found.lengths)} demonstrations succeed: training needs at least 3")
    held = max(1, len(good) // 20)
    splits = split(good.tolist(), test=held, validation=held, seed=config.seed)
    cut = {name: chunks(found, good[rows], config.history, config.horizon) for name, rows in vars(splits).items()}
    environment = make(config.task)
    codec = ChunkCodec.fit(
        config.task, config.history, config.horizon, (environment.action_names, environment.observation_names),
        cut["train"][0][:, -1], cut["train"][1][:, 0],
    )
    codec = codec if known is None else codec.within(known)
    arrays = {
        name: ArrayData(codec.space, codec.normalised(actions), {CONDITION: codec.standardised(seen)})
        for name, (seen, actions) in cut.items()
    }
    return Prepared(codec=codec, **arrays)


def _arrays(found: Demonstrations) -> Mapping[str, np.ndarray]:
    return {name: value for name, value in vars(found).items() if name != "task"}


def _checked(found: Demonstrations, where: str) -> Demonstrations:
    """`found`, if a policy of its task could learn from it."""
    environment = make(found.task)
    for name, width in (("observations", environment.observation_names), ("actions", environment.action_names)):
        array = getattr(found, name)
        if array.ndim != 2 or array.shape[1] != len(width) or not np.issubdtype(array.dtype, np.floating):
            raise FourfoldError(f"{where}: {name} is {array.dtype} {array.shape}: must be floats [steps, {len(width)}]")
        if not np.isfinite(array).all():
            raise FourfoldError(f"{where}: {name} has values that are not finite at step "
                                f"{int((~np.isfinite(array)).any(1).argmax())}")
    lengths = found.lengths
    if lengths.ndim != 1 or not len(lengths) or not np.issubdtype(lengths.dtype, np.integer) or lengths.min() < 1:
        raise FourfoldError(f"{where}: lengths must be whole numbers from 1, one an episode")
    if not lengths.sum() == len(found.observations) == len(found.actions):
        raise FourfoldError(f"{where}: lengths add up to {lengths.sum()} for {len(found.observations)} observations "
                            f"and {len(found.actions)} actions")
    if found.succeeded.shape != lengths.shape or found.succeeded.dtype != np.bool_:
        raise FourfoldError(f"{where}: succeeded must be true or false for each of {len(lengths)} episodes")
    return found
