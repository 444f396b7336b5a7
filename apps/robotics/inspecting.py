"""What demonstrations hold, before they are learned from: numbers, and a sheet to look at."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from apps.robotics.codec import limits_of, outliers
from apps.robotics.demonstrations import Demonstrations
from apps.robotics.observations import resized

EPISODES, MOMENTS, TILE, COLUMNS = 8, 6, 96, 8
"""Episodes on a sheet, moments of each, pixels of a picture, and numbers that are drawn where there are none."""


@dataclass(frozen=True)
class Column:
    """One number of observations or actions over all steps."""

    what: str
    name: str
    low: float
    high: float
    mean: float
    std: float
    constant: bool
    outliers: int


def columns(found: Demonstrations) -> list[Column]:
    """What each number of observations and actions is like."""
    made = []
    for what, names, values in (("observation", found.layout[0].names, found.observations),
                                ("action", found.layout[1].names, found.actions)):
        counts, (low, high) = outliers(values), limits_of(values)
        inside = np.clip(values, low, high).astype(np.float64)
        for i, name in enumerate(names):
            made.append(Column(what, name, float(values[:, i].min()), float(values[:, i].max()),
                               float(inside[:, i].mean()), float(inside[:, i].std()),
                               bool(np.ptp(values[:, i]) < 1e-9), int(counts[i])))
    return made


def told(found: Demonstrations) -> str:
    """The numbers as lines for a person."""
    lengths, each = found.lengths, columns(found)
    pictures = "" if found.pictures is None else f", pictures of {found.pictures.shape[1]} pixels a side"
    lines = [
        f"{found.task}: {len(lengths)} episodes, {int(found.succeeded.sum())} succeed, {lengths.sum():,} steps"
        f"{pictures}",
        f"lengths: {lengths.min()} to {lengths.max()}, median {np.median(lengths):g}",
        f"{'':12}{'name':24}{'least':>12}{'greatest':>12}{'mean':>12}{'std':>12}",
    ]
    for one in each:
        marks = ["constant"] * one.constant + [f"{one.outliers} outliers, which are held to the others' range"] * (
            one.outliers > 0)
        lines.append(f"{one.what:12}{one.name[:23]:24}{one.low:12.4g}{one.high:12.4g}{one.mean:12.4g}{one.std:12.4g}"
                     f"  {', '.join(marks)}".rstrip())
    return "\n".join(lines)


def sheet(found: Demonstrations) -> bytes:
    """A PNG: a row of pictures for each of the first episodes; without pictures, how its numbers go."""
    return _plots(found) if found.pictures is None else _pictures(found)


def _pictures(found: Demonstrations) -> bytes:
    assert found.pictures is not None
    ends = np.cumsum(found.lengths)
    rows = []
    for end, length in list(zip(ends, found.lengths, strict=True))[:EPISODES]:
        moments = np.linspace(end - length, end - 1, MOMENTS).round().astype(int)
        pictures = [resized(found.pictures[moment][..., :3], TILE) for moment in moments]
        rows.append(np.concatenate([np.broadcast_to(each, (TILE, TILE, 3)) for each in pictures], axis=1))
    file = io.BytesIO()
    Image.fromarray(np.concatenate(rows)).save(file, "PNG")
    return file.getvalue()


def _plots(found: Demonstrations) -> bytes:
    import matplotlib

    matplotlib.use("agg")
    from matplotlib.figure import Figure

    moving = [i for i in range(found.observations.shape[1]) if np.ptp(found.observations[:, i]) > 1e-9]
    drawn = [(found.observations[:, i], found.layout[0].names[i], "tab:blue") for i in moving[:COLUMNS]]
    drawn += [(found.actions[:, i], found.layout[1].names[i], "tab:orange")
              for i in range(min(COLUMNS, found.actions.shape[1]))]
    wide = 4
    figure = Figure(figsize=(3 * wide, 1.9 * -(-len(drawn) // wide)), layout="constrained")
    ends = np.cumsum(found.lengths)
    for index, (values, name, colour) in enumerate(drawn):
        axes = figure.add_subplot(-(-len(drawn) // wide), wide, index + 1)
        axes.set_title(name, fontsize=8)
        axes.tick_params(labelsize=6)
        for end, length, good in list(zip(ends, found.lengths, found.succeeded, strict=True))[: 4 * EPISODES]:
            axes.plot(values[end - length : end], color=colour if good else "tab:red", alpha=0.5, linewidth=0.8)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=90)
    return file.getvalue()
