"""Episodes and chunks as files and as pictures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from apps.robotics.codec import ActionChunk
from apps.robotics.data import Demonstrations
from apps.robotics.frames import frames
from apps.robotics.model import RoboticsItem
from apps.robotics.render import animated, chunk_png, gif
from apps.robotics.simulation import Episode
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
    """Episodes as animations: MuJoCo's pictures of two where there is a GL, and a plan of all; chunks as trails."""
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
    return {"task": episode.task, "seed": episode.seed, "succeeded": episode.succeeded, "steps": episode.steps,
            "side": {1: "left", -1: "right", 0: None}[episode.scene.passed_side(episode.places)]}
