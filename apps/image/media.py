"""Images as files, and as something to look at in a report."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from core.errors import FourfoldError
from core.files import write_atomically
from core.runs.media import Media


def grid(images: Sequence[Image.Image], columns: int = 0, scale: int = 0) -> Image.Image:
    """Images of one size side by side with a pixel between; small ones enlarged by whole pixels.

    Behind what is transparent is a checkerboard.

    `columns`: 0 makes it about square. `scale`: 0 enlarges a picture to about 48 pixels.
    """
    if not images:
        raise FourfoldError("no images to show")
    images = [on_checks(image) if image.mode == "RGBA" else image for image in images]
    width, height = images[0].size
    columns = columns or max(1, round(len(images) ** 0.5))
    scale = scale or max(1, 48 // max(width, height))
    rows = -(-len(images) // columns)
    cell_width, cell_height = width * scale + scale, height * scale + scale
    between = 128 if images[0].mode == "L" else (128, 128, 128)
    sheet = Image.new(images[0].mode, (columns * cell_width + scale, rows * cell_height + scale), between)
    for index, image in enumerate(images):
        row, column = divmod(index, columns)
        large = image.resize((width * scale, height * scale), Image.Resampling.NEAREST)
        sheet.paste(large, (column * cell_width + scale, row * cell_height + scale))
    return sheet


def on_checks(image: Image.Image) -> Image.Image:
    """An RGBA image as RGB, before a checkerboard of two light greys."""
    width, height = image.size
    check = max(1, max(width, height) // 8)
    dark = (np.indices((height, width)) // check).sum(0) % 2
    behind = Image.fromarray(np.where(dark, 204, 255).astype(np.uint8)).convert("RGBA")
    return Image.alpha_composite(behind, image).convert("RGB")


def png(image: Image.Image) -> bytes:
    """An image as the bytes of a PNG."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def gif(frames: Sequence[Image.Image]) -> bytes:
    """Images as the bytes of an animation that goes there and back."""
    buffer = io.BytesIO()
    shown = [grid([image]) for image in [*frames, *frames[-2:0:-1]]]
    shown[0].save(buffer, "GIF", save_all=True, append_images=shown[1:], duration=120, loop=0)
    return buffer.getvalue()


def write(items: Sequence[Image.Image], folder: Path) -> list[Path]:
    """Each image as PNG, and all on one sheet."""
    pictures = {f"{index:05d}.png": image for index, image in enumerate(items)} | {"grid.png": grid(items[:256])}
    for name, image in pictures.items():
        write_atomically(folder / name, png(image))
    return [folder / name for name in pictures]


def preview(items: Sequence[Image.Image]) -> list[Media]:
    """A sheet of up to 16 images, small ones large enough to fill a card."""
    shown = items[:16]
    if not shown:
        return []
    sheet = grid(shown, scale=max(1, round(140 / max(shown[0].size))))
    return [Media(kind="png", content=png(sheet), caption=f"{len(shown)} samples")]
