"""What people come for: let a policy act, look at it, and keep what it did."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from apps.robotics.codec import ActionChunk
from apps.robotics.environments import make
from apps.robotics.frames import frames
from apps.robotics.metrics import evaluation_seeds
from apps.robotics.render import animated, chunk_png, gif
from apps.robotics.rollouts import Episode, Policy, run_episodes
from core.errors import FourfoldError
from core.files import write_atomically
from core.runs.media import Media

if TYPE_CHECKING:
    from core.runs.model import Model


def rollout(
    model: Model, n: int, *, seed: int = 0, visits: int = 1, execute: int | None = None, noise: float = 0.0,
    **settings: Any,
) -> list[Episode]:
    """`n` episodes of a trained policy in its own task, on starts that no demonstration had.

    Args:
        visits: episodes from each start before the next one; more than one shows how differently a policy acts.
        execute: actions executed of each chunk; None takes the recipe's.
        noise: of executed actions, as a share of their limit.
        settings: of `Model.sample`: num_steps, temperature, ...

    Raises:
        FourfoldError: a number out of range, or a setting the family does not take.
    """
    config = model.recipe.data
    for name, value, low, high in (
        ("n", n, 1, 10**6), ("visits", visits, 1, 10**6), ("noise", noise, 0, 10), ("seed", seed, 0, 2**63),
        ("execute", config.execute if execute is None else execute, 1, config.horizon),
    ):
        if not low <= value <= high:
            raise FourfoldError(f"{name} is {value}: must be in [{low}, {high}]")
    seeds = np.repeat(evaluation_seeds(seed, math.ceil(n / visits)), visits)[:n].tolist()
    policy = Policy(model=model, seed=seed, execute=execute, settings=settings)
    return run_episodes(make(config.task), policy, seeds, history=config.history, noise=noise)


def draw(model: Model, n: int, seed: int, settings: Mapping[str, Any]) -> list[Episode]:
    """What `sample` gives: episodes; on the planar task several from each start, to see both ways."""
    visits = min(n, 8) if model.recipe.data.task == "planar" else 1
    return rollout(model, n, seed=seed, visits=visits, **settings)


def write(items: Sequence[Any], folder: Path) -> list[Path]:
    """Episodes as an animation, episodes.json (a summary), episodes.npz (trajectories); chunks as JSON and PNG."""
    folder.mkdir(parents=True, exist_ok=True)
    episodes = [item for item in items if isinstance(item, Episode)]
    chunks = [item for item in items if isinstance(item, ActionChunk)]
    paths = []
    if episodes:
        for index, media in enumerate(preview(episodes)):
            paths.append(folder / f"rollouts{index or ''}.{media.kind if media.kind != 'text' else 'txt'}")
            write_atomically(paths[-1], media.content if isinstance(media.content, bytes) else media.content.encode())
        paths += [folder / "episodes.json", folder / "episodes.npz"]
        write_atomically(paths[-2], (json.dumps([_summary(e) for e in episodes], indent=1) + "\n").encode())
        _write_trajectories(episodes, paths[-1])
    if chunks:
        rows = [{"task": c.task, "actions": c.actions.round(6).tolist()} for c in chunks]
        paths += [folder / "chunks.json", folder / "chunks.png"]
        write_atomically(paths[-2], (json.dumps(rows) + "\n").encode())
        write_atomically(paths[-1], chunk_png(chunks))
    return paths


def preview(items: Sequence[Any]) -> list[Media]:
    """Episodes as animations: MuJoCo's pictures of two where there is a GL, and a plan of all; chunks as a fan."""
    episodes = [item for item in items if isinstance(item, Episode)]
    chunks = [item for item in items if isinstance(item, ActionChunk)]
    media = []
    if episodes:
        won = sum(episode.succeeded for episode in episodes)
        caption = f"{episodes[0].task}: {won} of {len(episodes)} episodes reach the goal"
        media = [Media(kind="gif", content=gif(episodes), caption=caption)]
        if episodes[0].task != "planar":
            media = [*_camera(episodes), *media]
    if chunks:
        media.append(Media(kind="png", content=chunk_png(chunks), caption=f"{len(chunks)} action chunks"))
    return media


def _camera(episodes: Sequence[Episode]) -> list[Media]:
    """The first two episodes side by side as MuJoCo draws them, or a line that says what is missing."""
    from PIL import Image

    try:
        clips = [frames(episode) for episode in episodes[:2]]
    except FourfoldError as error:
        return [Media(kind="text", content=f"{error}\n", caption="no pictures of the simulator")]
    longest = max(len(clip) for clip in clips)
    held = [clip[np.minimum(np.arange(longest), len(clip) - 1)] for clip in clips]
    pictures = [Image.fromarray(picture) for picture in np.concatenate(held, axis=2)]
    return [Media(kind="gif", content=animated(pictures), caption=f"{episodes[0].task} in MuJoCo")]


def _summary(episode: Episode) -> dict[str, Any]:
    side = episode.scene.passed_side(episode.places)
    return {
        "task": episode.task, "seed": episode.seed, "succeeded": episode.succeeded, "steps": episode.steps,
        "side": {1: "left", -1: "right", 0: None}[side],
    }


def _write_trajectories(episodes: Sequence[Episode], path: Path) -> None:
    """Steps end to end, as `Demonstrations` has them, so that a policy's own episodes can be learned from."""
    from apps.robotics.data import Demonstrations

    Demonstrations.of(episodes).save(path)
