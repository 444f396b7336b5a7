"""Episodes and chunks as files and as pictures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from apps.robotics.codec import ActionChunk
from apps.robotics.data import Demonstrations
from apps.robotics.episodes import Episode
from apps.robotics.frames import frames
from apps.robotics.model import RoboticsItem
from apps.robotics.render import animated, chunk_png, gif
from core.errors import FourfoldError
from core.files import write_atomically
from core.runs.media import Media


def write(items: Sequence[RoboticsItem], folder: Path) -> list[Path]:
    """Episodes as an animation, episodes.json (a summary), episodes.npz (trajectories); chunks as JSON and PNG."""
    episodes, chunks = _apart(items)
    paths = []
    if episodes:
        for index, media in enumerate(preview(episodes)):
            paths.append(folder / f"rollouts{index or ''}.{media.kind if media.kind != 'text' else 'txt'}")
            write_atomically(paths[-1], media.content if isinstance(media.content, bytes) else media.content.encode())
        paths += [folder / "episodes.json", folder / "episodes.npz"]
        write_atomically(paths[-2], (json.dumps([_summary(e) for e in episodes], indent=1) + "\n").encode())
        Demonstrations.of(episodes).save(paths[-1])  # so that a policy's own episodes can be learned from
    if chunks:
        rows = [{"task": c.task, "actions": c.actions.round(6).tolist()} for c in chunks]
        paths += [folder / "chunks.json", folder / "chunks.png"]
        write_atomically(paths[-2], (json.dumps(rows) + "\n").encode())
        write_atomically(paths[-1], chunk_png(chunks))
    return paths


def preview(items: Sequence[RoboticsItem]) -> list[Media]:
    """Episodes as animations: MuJoCo's pictures of two where there is a GL, and a plan of all; chunks as trails."""
    episodes, chunks = _apart(items)
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


def _apart(items: Sequence[RoboticsItem]) -> tuple[list[Episode], list[ActionChunk]]:
    return ([item for item in items if isinstance(item, Episode)],
            [item for item in items if isinstance(item, ActionChunk)])


def _simulator_pictures(episodes: Sequence[Episode]) -> Media:
    """The first two episodes side by side as MuJoCo draws them, or a line that says what is missing."""
    try:
        clips = [frames(episode) for episode in episodes[:2]]
    except FourfoldError as error:
        return Media(kind="text", content=f"{error}\n", caption="no pictures of the simulator")
    longest = max(len(clip) for clip in clips)
    held = [clip[np.minimum(np.arange(longest), len(clip) - 1)] for clip in clips]
    pictures = [Image.fromarray(picture) for picture in np.concatenate(held, axis=2)]
    return Media(kind="gif", content=animated(pictures), caption=f"{episodes[0].task} in MuJoCo")


def _summary(episode: Episode) -> dict[str, str | int | None]:
    side = {1: "left", -1: "right", 0: None}[episode.scene.passed_side(episode.places)]
    return {"task": episode.task, "seed": episode.seed, "succeeded": episode.succeeded, "steps": episode.steps,
            "side": side}
