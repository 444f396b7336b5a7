"""Molecules to keep and to look at: a table, and pictures of the valid ones."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from apps.molecules import chemistry, drawing
from core.files import write_atomically
from core.runs.media import Media


def write(items: Sequence[str], folder: Path) -> list[Path]:
    """samples.csv (every sample; properties of the valid ones) and samples.png (the first 48 valid ones)."""
    names = list(chemistry.PROPERTIES)
    stream = io.StringIO(newline="")
    table = csv.writer(stream, lineterminator="\n")
    table.writerow(["smiles", "valid", "canonical", *names])
    canonical = chemistry.canonical(items)
    for item, text in zip(items, canonical, strict=True):
        values = [] if text is None else chemistry.properties(chemistry.valid_molecules([text]), names)[0]
        table.writerow([item, int(text is not None), text or "", *(f"{value:.4g}" for value in values)])
    valid = [text for text in canonical if text is not None][:48]
    paths = [folder / "samples.csv", folder / "samples.png"]
    write_atomically(paths[0], stream.getvalue().encode())
    write_atomically(paths[1], drawing.grid(valid, _captions(valid)))
    return paths


def preview(items: Sequence[str]) -> list[Media]:
    """The first valid molecules, drawn large enough for a card, and the first few samples as text."""
    valid = chemistry.valid_canonical(items)
    caption = f"{len(valid)} of {len(items)} samples are valid molecules"
    shown = valid[:6]
    picture = drawing.svg_grid(shown, _captions(shown), columns=2)
    return [
        Media(kind="svg", content=picture, caption=caption) if picture is not None else
        Media(kind="png", content=drawing.grid(shown, _captions(shown), columns=2), caption=caption),
        Media(kind="text", content="\n".join(items[:8]), caption="as sampled"),
    ]


def _captions(valid: Sequence[str]) -> list[str]:
    values = chemistry.properties(chemistry.valid_molecules(valid), ["logp", "qed"])
    return [f"logP {logp:.1f}  QED {qed:.2f}" for logp, qed in values]
