"""Texts as files, and as what a report shows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from core.files import write_atomically
from core.runs.media import Media

SHOWN = 6


def write(items: Sequence[str], folder: Path) -> list[Path]:
    """One .txt file for each text."""
    digits = len(str(max(0, len(items) - 1)))
    paths = [folder / f"{i:0{digits}}.txt" for i in range(len(items))]
    for path, item in zip(paths, items, strict=True):
        write_atomically(path, item.encode(errors="replace"))
    return paths


def preview(items: Sequence[str]) -> list[Media]:
    """The first few texts."""
    shown = items[:SHOWN]
    return [Media(kind="text", content="\n\n– – –\n\n".join(shown), caption=f"{len(shown)} samples")]
