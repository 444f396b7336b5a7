"""What a policy learns from: demonstrations collected or read, cut into action chunks."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from apps.robotics import formats
from apps.robotics.codec import ChunkCodec
from apps.robotics.demonstrations import Demonstrations, known_layouts
from apps.robotics.environments import is_environment, make
from apps.robotics.model import RoboticsData, RoboticsModel
from apps.robotics.observations import resized
from apps.robotics.policy import Policy
from apps.robotics.rollouts import Actor, Demonstrator, Own, Purpose, environment_of, episode_seeds, run_episodes
from core.data.arrays import ArrayData
from core.data.cache import cached
from core.data.folders import Found, find_files, read_all
from core.data.splits import split
from core.errors import FourfoldError, require
from core.runs.domain import Prepared
from core.runs.model import Model
from core.runs.tasks import Progress

log = logging.getLogger(__name__)
VERSION = 4  # of what `collect` does


def collect(
    task: str | Callable[[], Any], n: int, *, seed: int = 0, noise: float = 0.3, picture: int = 0,
    policy: Callable[..., Any] | RoboticsModel | None = None, relabel: bool = False, only_successes: bool = False,
    limit: int | None = None, processes: int | None = None, progress: Progress | None = None,
) -> Demonstrations:
    """`n` episodes of a task's scripted expert, of a user's policy, or of a trained one.

    Args:
        task: as of `environments.make`.
        seed: in [0, 1000); other seeds give other episodes, and evaluations have none of them.
        noise: standard deviation of what is added to executed actions, as a share of their limit.
        picture: pixels a side of the pictures in observations; a model takes its own.
        policy: a function from observation to action, an object or class with `act`, or a model; None: the expert.
        relabel: keep the expert's actions in the states that `policy` comes to (DAgger, Ross et al. 1011.0686).
        only_successes: leave out the episodes that fail; how many is said.

    Raises:
        FourfoldError: an unknown task, one without an expert, or a number out of range.
    """
    require(n >= 1, "the number of demonstrations", n, "must be at least 1")
    require(0 <= noise <= 1, "noise", noise, "must be in [0, 1]")
    require(0 <= seed < 1000, "seed", seed, "must be in [0, 1000)")
    place = (environment_of(policy, task, limit, processes) if isinstance(policy, Model) else
             make(task, picture=picture, limit=limit, processes=processes))
    with closing(place) as environment:
        expert = Demonstrator(environment, seed)
        actor: Actor = expert
        if isinstance(policy, Model):
            actor = Policy(policy, seed=seed, together=environment.parallel)
        elif policy is not None:
            actor = Own(policy, environment)
        episodes = run_episodes(environment, actor, episode_seeds(Purpose.DEMONSTRATION, seed, n), noise=noise,
                                teacher=expert if relabel else None, progress=progress)
        good = [episode for episode in episodes if episode.succeeded]
        if only_successes and not good:
            raise FourfoldError(f"none of {n} episodes of {environment.name} succeed: there is nothing to keep")
        return Demonstrations.of(good if only_successes else episodes, (environment.observation, environment.action))


def demonstrations_of(config: RoboticsData) -> Demonstrations:
    """The demonstrations a recipe learns from: of its file, or collected and cached.

    Raises:
        FourfoldError: the file cannot be used, or is of another task.
    """
    if config.folder is not None:
        return own_demonstrations(Path(config.folder).expanduser(), config)
    place = config.place
    assert place is not None
    key = (place, config.demonstrations, config.noise, config.seed, config.picture)

    def collected() -> Demonstrations:
        return collect(place, config.demonstrations, seed=config.seed, noise=config.noise, picture=config.picture)

    layouts = known_layouts(place, config.picture)
    if layouts is None:
        return collected()  # what a user's environment does may change
    arrays = cached("robotics demonstrations", VERSION, key, lambda: collected().arrays())
    return Demonstrations(config.task, **arrays, layouts=layouts)


def own_files(path: Path) -> Found:
    """A file of demonstrations, a dataset of LeRobot's, or all files of demonstrations in a folder, at any depth, in
    the order of their names.

    Raises:
        FourfoldError: there is none.
    """
    return Found(path, (path,)) if formats.is_lerobot(path) else find_files(path, formats.SUFFIXES)


def own_demonstrations(path: Path, config: RoboticsData | None = None) -> Demonstrations:
    """The user's own demonstrations, joined; see `own_files`. `config`: of what task, and in which environment.

    Raises:
        FourfoldError: they are missing, damaged, of several kinds, or do not suit the config.
    """
    found = own_files(path)
    read, broken = read_all(found.files, Demonstrations.load, what="files of demonstrations")
    for line in [*found.report("files of demonstrations"), *broken]:
        log.warning(line)
    parts = [part for _, part in read]
    config = config or RoboticsData(task=parts[0].task, folder=str(path))
    for (index, _), part in zip(read, parts, strict=True):
        named = is_environment(part.task) or is_environment(config.task)
        require(part.task == config.task or not named or config.environment is not None, "data.task", config.task,
                f"{found.files[index]} is of {part.task!r}: use --set data.task={part.task}")
        if part.layout[0].names != parts[0].layout[0].names or part.layout[1].names != parts[0].layout[1].names:
            raise FourfoldError(f"{found.files[index]} has other observations or actions than "
                                f"{found.files[read[0][0]]}: a policy learns from demonstrations of one kind")
        if (part.pictures is None) != (parts[0].pictures is None):
            raise FourfoldError(f"{found.files[index]} has other pictures than {found.files[read[0][0]]}")
    arrays = [part.arrays() for part in parts]
    joined = {name: np.concatenate([each[name] for each in arrays]) for name in arrays[0]}
    return Demonstrations(config.task, **joined, layouts=parts[0].layouts)


def chunks(
    demonstrations: Demonstrations, episodes: np.ndarray, history: int, horizon: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Every step of the chosen `episodes` as (last observations `[N, history, D]`, next actions `[N, horizon, A]`, last
    pictures `[N, history, P, P, C]`).

    Before an episode's start its first observation repeats, after its end its last action does.
    """
    ends = np.cumsum(demonstrations.lengths)[episodes]
    starts = ends - demonstrations.lengths[episodes]
    steps = np.concatenate([np.arange(a, b) for a, b in zip(starts, ends, strict=True)])
    first = np.repeat(starts, ends - starts)[:, None]
    last = np.repeat(ends - 1, ends - starts)[:, None]
    seen = np.maximum(steps[:, None] + np.arange(1 - history, 1), first)
    next_ = np.minimum(steps[:, None] + np.arange(horizon), last)
    pictures = None if demonstrations.pictures is None else demonstrations.pictures[seen]
    return demonstrations.observations[seen], demonstrations.actions[next_], pictures


def prepare(config: RoboticsData, known: ChunkCodec | None = None, grow: bool = False) -> Prepared[ChunkCodec]:
    """A recipe's data: successful demonstrations in chunks, nine tenths of the episodes for training.

    Actions are scaled as by a `known` codec, wider where they go beyond.

    Raises:
        FourfoldError: demonstrations that cannot be used, or too few that succeed.
    """
    found = _with_pictures(demonstrations_of(config), config.picture)
    good = np.flatnonzero(found.succeeded)
    if len(good) < 3:
        raise FourfoldError(f"{len(good)} of {len(found.lengths)} demonstrations succeed: training needs at least 3")
    held = max(1, len(good) // 20)
    splits = split(good.tolist(), test=held, validation=held, seed=config.seed)
    cut = {name: chunks(found, good[rows], config.history, config.horizon) for name, rows in vars(splits).items()}
    layouts = found.layout
    codec = ChunkCodec.fit(
        config.task, config.history, config.horizon, layouts, cut["train"][0][:, -1], cut["train"][1][:, 0],
        pictures=(0, 0) if found.pictures is None else (found.pictures.shape[2], found.pictures.shape[3]),
        say=config.folder is not None,
    )
    codec = codec if known is None else codec.within(known)
    arrays = {
        name: ArrayData(codec.space, codec.normalised(actions), codec.seen(seen, pictures))
        for name, (seen, actions, pictures) in cut.items()
    }
    return Prepared(codec=codec, **arrays)


def _with_pictures(found: Demonstrations, size: int) -> Demonstrations:
    """Demonstrations with pictures of `size` pixels a side; of 0: without any.

    Raises:
        FourfoldError: they have no pictures, or nothing without them.
    """
    if size and found.pictures is None:
        raise FourfoldError(f"data.picture is {size}, and these demonstrations have no pictures: use "
                            "--set data.picture=0")
    if not size and not found.observations.shape[1]:
        raise FourfoldError("these demonstrations have pictures alone: use --set data.picture=64")
    if found.pictures is None or found.pictures.shape[1] == size:
        return found if size else replace(found, pictures=None)
    if not size:
        log.warning("the pictures in these demonstrations are not looked at: --set data.picture=64 looks at them")
        return replace(found, pictures=None)
    return replace(found, pictures=np.stack([_channels_resized(picture, size) for picture in found.pictures]))


def _channels_resized(picture: np.ndarray, size: int) -> np.ndarray:
    """A picture of any number of channels, scaled channel by channel."""
    return np.concatenate([resized(picture[..., i : i + 1], size) for i in range(picture.shape[-1])], axis=2)


