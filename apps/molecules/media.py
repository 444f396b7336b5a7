"""Molecules to keep and to look at: a table, and pictures of the valid ones."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from apps.molecules import chemistry, drawing
from core.files import write_atomically
from core.runs.media import Media

if TYPE_CHECKING:
    from apps.molecules.constrained import Scored


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


def write_table(rows: Sequence[Mapping[str, float | str]], folder: Path, name: str) -> list[Path]:
    """Valid molecules with what is known of each: `name`.csv, .sdf (with flat coordinates) and .png (the first 48).

    `rows`: of each molecule "smiles", and other columns by name, the same for all.
    """
    from rdkit.Chem import MolToMolBlock, rdDepictor

    stream = io.StringIO(newline="")
    table = csv.DictWriter(stream, list(rows[0]) if rows else ["smiles"], lineterminator="\n")
    table.writeheader()
    blocks = []
    smiles = [str(row["smiles"]) for row in rows]
    for row, mol in zip(rows, chemistry.valid_molecules(smiles), strict=True):
        shown = {key: f"{value:.4g}" if isinstance(value, float) else value for key, value in row.items()}
        table.writerow(shown)
        rdDepictor.Compute2DCoords(mol)
        fields = "".join(f">  <{key}>\n{value}\n\n" for key, value in shown.items())
        blocks.append(f"{MolToMolBlock(mol)}{fields}$$$$\n")
    paths = [folder / f"{name}{suffix}" for suffix in (".csv", ".sdf", ".png")]
    for path, content in zip(paths, (stream.getvalue().encode(), "".join(blocks).encode(),
                                     drawing.grid(smiles[:48], _captions(smiles[:48]))), strict=True):
        write_atomically(path, content)
    return paths


def write_scores(scored: Sequence[Scored], folder: Path) -> list[Path]:
    """scores.csv: each molecule's nats and tokens, and what is wrong where it has none."""
    stream = io.StringIO(newline="")
    table = csv.writer(stream, lineterminator="\n")
    table.writerow(["smiles", "nats", "tokens", "problem"])
    table.writerows([one.smiles, "" if one.problem else f"{one.nats:.4f}", one.tokens, one.problem] for one in scored)
    write_atomically(folder / "scores.csv", stream.getvalue().encode())
    return [folder / "scores.csv"]


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
