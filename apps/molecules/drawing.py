"""Pictures of molecules: RDKit's drawing code, or a plain one on Pillow where RDKit's lacks system libraries."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from apps.molecules.chemistry import molecules

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw
    from rdkit.Chem import Mol
    from rdkit.Chem.Draw.rdMolDraw2D import MolDraw2DCairo

COLORS = {"N": "#2b50d9", "O": "#d62f2f", "S": "#b38f00", "F": "#2e8b3d", "Cl": "#2e8b3d", "Br": "#8a4b20"}


def grid(smiles: Sequence[str], captions: Sequence[str] | None = None, columns: int = 6, size: int = 200) -> bytes:
    """A PNG of `smiles` in rows of `columns` cells of `size` pixels; what is not valid leaves its cell blank."""
    mols = molecules(smiles)
    legends = [""] * len(mols) if captions is None else list(captions)
    columns = max(1, min(columns, len(mols)))
    rows = max(1, -(-len(mols) // columns))
    canvas_type = cairo()
    if canvas_type is None:
        return _pillow_grid(mols, legends, columns, rows, size)
    from rdkit.Chem import Mol

    canvas = canvas_type(columns * size, rows * size, size, size)
    canvas.drawOptions().legendFontSize = 14  # type: ignore[assignment]  # a number, whatever RDKit's stubs say
    if mols:
        canvas.DrawMolecules([Mol() if mol is None else mol for mol in mols], legends=legends)
    canvas.FinishDrawing()
    return bytes(canvas.GetDrawingText())


def svg_grid(smiles: Sequence[str], captions: Sequence[str], columns: int, size: int = 200) -> bytes | None:
    """`grid` as an SVG, in flatter cells; None where RDKit's drawing code lacks system libraries."""
    if cairo() is None:
        return None
    from rdkit.Chem.Draw.rdMolDraw2D import MolDraw2DSVG

    mols = [mol for mol in molecules(smiles) if mol is not None]
    columns = max(1, min(columns, len(mols)))
    height = size * 3 // 4
    canvas = MolDraw2DSVG(columns * size, max(1, -(-len(mols) // columns)) * height, size, height)
    options = canvas.drawOptions()
    options.legendFontSize = 18  # type: ignore[assignment]  # a number, whatever RDKit's stubs say
    options.drawMolsSameScale = False  # type: ignore[assignment]  # each fills its cell, which may be small
    if mols:
        canvas.DrawMolecules(mols, legends=list(captions))
    canvas.FinishDrawing()
    return str(canvas.GetDrawingText()).encode()


@cache
def cairo() -> type[MolDraw2DCairo] | None:
    """RDKit's canvas; None where the X libraries it is linked against are missing (libxrender1, libxext6)."""
    try:
        from rdkit.Chem.Draw.rdMolDraw2D import MolDraw2DCairo
    except ImportError:
        return None
    return MolDraw2DCairo


def _pillow_grid(mols: Sequence[Mol | None], legends: Sequence[str], columns: int, rows: int, size: int) -> bytes:
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (columns * size, rows * size), "white")
    pen = ImageDraw.Draw(image)
    for index, (mol, legend) in enumerate(zip(mols, legends, strict=True)):
        left, top = index % columns * size, index // columns * size
        if mol is not None:
            _pillow_molecule(pen, mol, left, top, size)
        pen.text((left + size / 2, top + size - 12), legend, fill="black", anchor="mm")
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def _pillow_molecule(pen: ImageDraw, mol: Mol, left: int, top: int, size: int) -> None:
    """Bonds as lines, parallel ones for their order (aromatic in Kekulé form); letters for all but carbon."""
    import numpy as np
    from rdkit.Chem import Kekulize, Mol, rdDepictor

    mol = Mol(mol)
    Kekulize(mol)
    rdDepictor.Compute2DCoords(mol)
    at = mol.GetConformer().GetPositions()[:, :2] * [1, -1]
    middle = (at.max(0) + at.min(0)) / 2
    scale = min(size / 9, (size - 50) / max(1e-6, float(np.ptp(at, axis=0).max())))
    at = (at - middle) * scale + [left + size / 2, top + size / 2 - 8]
    for bond in mol.GetBonds():
        a, b = at[bond.GetBeginAtomIdx()], at[bond.GetEndAtomIdx()]
        along = (b - a) / max(1e-6, float(np.linalg.norm(b - a)))
        side = np.array([-along[1], along[0]])
        order = round(bond.GetBondTypeAsDouble())
        for shift in (np.arange(order) - (order - 1) / 2) * 4:
            pen.line([*(a + shift * side), *(b + shift * side)], fill="black", width=2)
    for atom, (x, y) in zip(mol.GetAtoms(), at, strict=True):
        symbol = atom.GetSymbol()
        if symbol == "C" and not atom.GetFormalCharge():
            continue
        charge = atom.GetFormalCharge()
        text = symbol + ("+" if charge > 0 else "-" if charge < 0 else "")
        pen.rectangle([x - 7, y - 7, x + 7, y + 7], fill="white")
        pen.text((x, y), text, fill=COLORS.get(symbol, "black"), anchor="mm", font_size=14)
