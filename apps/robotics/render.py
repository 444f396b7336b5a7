"""Episodes to look at: an animated plan of trails, or MuJoCo's own pictures where there is a GL."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from apps.robotics.codec import ActionChunk
from apps.robotics.simulation import NOWHERE, Episode, by_start

Ink = tuple[int, int, int]
SIZE, SCALE, COLUMNS, MOST, FRAMES = 200, 2, 4, 8, 32  # pixels of a panel, supersampling, panels a row, panels, frames
INK = {
    "paper": (250, 250, 248), "rule": (226, 226, 222), "obstacle": (84, 92, 104), "start": (40, 40, 44),
    "goal": (46, 160, 90), "field": (214, 240, 222), "left": (31, 119, 200), "right": (235, 132, 30),
    "neither": (120, 90, 180), "failed": (208, 44, 52),
}


def gif(episodes: Sequence[Episode]) -> bytes:
    """An animated plan: one panel for each start, the trails of all its episodes over each other.

    Blue passes the obstacle on the left, orange on the right, red failed; seen from above.
    """
    panels = by_start(episodes)[:MOST]
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    longest = max(len(episode.places) for panel in panels for episode in panel)
    views = [_view(panel) for panel in panels]
    frames = []
    for now in np.unique(np.linspace(1, longest, min(FRAMES, longest)).round().astype(int)):
        sheet = Image.new("RGB", (columns * SIZE, rows * SIZE), INK["paper"])
        for index, (panel, view) in enumerate(zip(panels, views, strict=True)):
            drawn = _draw(panel, view, int(now)).resize((SIZE, SIZE), Image.Resampling.LANCZOS)
            sheet.paste(drawn, (index % columns * SIZE, index // columns * SIZE))
        frames.append(sheet)
    return animated(frames)


def animated(frames: Sequence[Image.Image], milliseconds: int = 80) -> bytes:
    """Pictures as a looping GIF that rests on its last; one palette for all keeps it small."""
    palette = frames[-1].quantize(128, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    first, *rest = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    file = io.BytesIO()
    first.save(file, "GIF", save_all=True, append_images=rest, loop=0, optimize=True,
               duration=[milliseconds] * len(rest) + [1600])
    return file.getvalue()


def chunk_png(chunks: Sequence[ActionChunk]) -> bytes:
    """Chunks' first two action numbers, added up, as trails from one point."""
    trails = [np.concatenate([np.zeros((1, 2)), np.cumsum(chunk.actions[:, :2], axis=0)]) for chunk in chunks[:64]]
    panel = [
        Episode(task=chunk.task, seed=0, succeeded=True, observations=trail, actions=trail[:-1], executed=trail[:-1],
                places=trail, scene=NOWHERE)
        for chunk, trail in zip(chunks, trails, strict=False)
    ]
    file = io.BytesIO()
    _draw(panel, _view(panel), 10**6).resize((2 * SIZE, 2 * SIZE), Image.Resampling.LANCZOS).save(file, "PNG")
    return file.getvalue()


def _view(panel: Sequence[Episode]) -> tuple[np.ndarray, float]:
    """Centre and half width of the square that shows a panel's trails, goal and obstacle."""
    scene = panel[0].scene
    points = [places[:, :2] for places in (episode.places for episode in panel)]
    if scene.goal:
        points.append(np.asarray(scene.goal[:2]) + scene.goal_radius * np.array([[-1, -1], [1, 1]]))
    if scene.obstacle is not None:
        points.append(np.asarray(scene.obstacle[:2]) + scene.radius * np.array([[-1, -1], [1, 1]]))
    all_points = np.concatenate(points)
    low, high = all_points.min(0), all_points.max(0)
    return (low + high) / 2, max(float((high - low).max()) * 0.58, 1e-3)


def _draw(panel: Sequence[Episode], view: tuple[np.ndarray, float], now: int) -> Image.Image:
    """A panel with trails up to place `now`, at `SCALE` times its size."""
    size = SIZE * SCALE
    image = Image.new("RGB", (size, size), INK["paper"])
    pen = ImageDraw.Draw(image)
    centre, half = view

    def pixel(points: np.ndarray) -> list[tuple[float, float]]:
        shifted = (np.atleast_2d(points)[:, :2] - centre) / half * (size / 2)
        return [(size / 2 + x, size / 2 - y) for x, y in shifted]

    def disc(point: Sequence[float] | np.ndarray, radius: float, fill: Ink, outline: Ink | None = None) -> None:
        (x, y), = pixel(np.asarray(point))
        pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill, outline, width=2 * SCALE)

    pen.rectangle([0, 0, size - 1, size - 1], outline=INK["rule"], width=SCALE)
    scene, metre = panel[0].scene, size / 2 / half
    if scene.obstacle is not None:
        disc(scene.obstacle, scene.radius * metre, INK["obstacle"])
    if scene.goal:
        disc(scene.goal, max(scene.goal_radius * metre, 4 * SCALE), INK["field"], INK["goal"])
    for episode in panel:
        ink, trail = _ink(episode), pixel(episode.places[:now])
        if len(trail) > 1:
            pen.line(trail, fill=ink, width=2 * SCALE, joint="curve")
    for episode in panel:
        disc(episode.places[min(now, len(episode.places)) - 1], 3.5 * SCALE, _ink(episode))
    disc(panel[0].places[0], 3 * SCALE, INK["start"])
    return image


def _ink(episode: Episode) -> Ink:
    if not episode.succeeded:
        return INK["failed"]
    return INK[{1: "left", -1: "right", 0: "neither"}[episode.scene.passed_side(episode.places)]]
