"""Episodes and chunks as files and as pictures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from apps.robotics.codec import ActionChunk
from apps.robotics.demonstrations import Demonstrations
from apps.robotics.frames import frames, side_by_side
from apps.robotics.model import RoboticsItem
from apps.robotics.render import animated, chunk_png, gif
from apps.robotics.simulation import Episode
from apps.robotics.videos import mp4
from core.errors import FourfoldError
from core.files import write_atomically
from core.runs.media import Media


def write(items: Sequence[RoboticsItem], folder: Path) -> list[Path]:
    """Episodes as an animation, episodes.json (a summary), episodes.npz (trajectories); chunks as JSON and PNG."""
    episodes = [item for item in items if isinstance(item, Episode)]
    chunks = [item for item in items if isinstance(item, ActionChunk)]
    files: dict[str, bytes] = {}
    if episodes:
        for index, media in enumerate(preview(episodes)):
            name = f"rollouts{index or ''}.{media.kind if media.kind != 'text' else 'txt'}"
            files[name] = media.content if isinstance(media.content, bytes) else media.content.encode()
        files["episodes.json"] = (json.dumps([_summary(episode) for episode in episodes], indent=1) + "\n").encode()
    if chunks:
        rows = [{"task": chunk.task, "actions": chunk.actions.round(6).tolist()} for chunk in chunks]
        files |= {"chunks.json": (json.dumps(rows) + "\n").encode(), "chunks.png": chunk_png(chunks)}
    for name, content in files.items():
        write_atomically(folder / name, content)
    paths = [folder / name for name in files]
    if episodes:
        paths.append(folder / "episodes.npz")
        Demonstrations.of(episodes).save(paths[-1])  # so that a policy's own episodes can be learned from
    return paths


def preview(items: Sequence[RoboticsItem]) -> list[Media]:
    """Episodes as animations: the simulator's pictures of two where it draws, and a plan of all; chunks as trails."""
    episodes = [item for item in items if isinstance(item, Episode)]
    chunks = [item for item in items if isinstance(item, ActionChunk)]
    media = []
    if episodes:
        won = sum(episode.succeeded for episode in episodes)
        caption = f"{episodes[0].task}: {won} of {len(episodes)} episodes reach the goal"
        media = [Media(kind="gif", content=gif(episodes), caption=caption)]
        if episodes[0].task != "planar":
            media = [_simulator_pictures(episodes), *media]
    if chunks:
        media.append(Media(kind="png", content=chunk_png(chunks), caption=f"{len(chunks)} action chunks"))
    return media


def _simulator_pictures(episodes: Sequence[Episode]) -> Media:
    """A success and a failure side by side as their simulator draws them, or a line that says what is missing."""
    shown = _telling(episodes)
    try:
        clips = side_by_side([frames(episode) for episode in shown])
    except FourfoldError as error:
        return Media(kind="text", content=f"{error}\n", caption="no pictures of the simulator")
    told = " and ".join(f"{'success' if episode.succeeded else 'failure'} (seed {episode.seed})" for episode in shown)
    return Media(kind="gif", content=animated([Image.fromarray(picture) for picture in clips]),
                 caption=f"{episodes[0].task}: {told}")


def video(episodes: Sequence[Episode]) -> bytes:
    """An MP4 of the same, of every step.

    Raises:
        FourfoldError: nothing draws the task, or a package or GL is missing.
    """
    if episodes[0].task == "planar":
        raise FourfoldError("the planar task has no simulator that draws it: rollouts.gif shows it")
    return mp4(side_by_side([frames(episode, every=1) for episode in _telling(episodes)]))


def _telling(episodes: Sequence[Episode]) -> Sequence[Episode]:
    """A success and a failure where there are both, else the first two."""
    won, lost = ([episode for episode in episodes if episode.succeeded is good] for good in (True, False))
    return [won[0], lost[0]] if won and lost else episodes[:2]


def _summary(episode: Episode) -> dict[str, str | float | None]:
    return {"task": episode.task, "seed": episode.seed, "succeeded": episode.succeeded, "steps": episode.steps,
            "reward": round(episode.reward, 6),
            "side": {1: "left", -1: "right", 0: None}[episode.scene.passed_side(episode.places)]}
