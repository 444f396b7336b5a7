"""The README's picture: one tour's own samples, families as rows and domains as columns.

    python -m benchmarks.picture runs/tour docs/tour.png
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from apps.cli import DOMAINS
from core.run import load_media
from core.tour import FAMILIES

CELL, LABEL, GAP = 300, 26, 8
SHORT = {"autoregressive": "autoregressive", "vae": "VAE", "gan": "GAN", "diffusion": "diffusion"}


def cell_picture(folder: Path) -> Image.Image:
    """A square of what a run's preview shows: its picture, the last frame of its animation, or its text."""
    square = Image.new("RGB", (CELL, CELL), "white")
    media = load_media(folder / "samples" / "preview")
    pictures = [item.content for item in media if item.kind in ("png", "gif")]
    if pictures:
        with Image.open(io.BytesIO(pictures[0])) as image:
            image.seek(getattr(image, "n_frames", 1) - 1)
            shown = image.convert("RGBA")
        if max(shown.size) > CELL:
            shown.thumbnail((CELL, CELL))
        elif max(shown.size) <= CELL // 2:
            shown = shown.resize((shown.width * 2, shown.height * 2), Image.Resampling.NEAREST)
        square.paste(shown, ((CELL - shown.width) // 2, (CELL - shown.height) // 2), shown)
        return square
    text = "\n".join(item.content for item in media if item.kind == "text")
    lines = [line[i : i + 44] for line in text.splitlines() for i in range(0, max(1, len(line)), 44)]
    ImageDraw.Draw(square).multiline_text((6, 6), "\n".join(lines[:22]), fill="black", font=ImageFont.load_default(11))
    return square


def main() -> None:
    """Draw the picture."""
    parser = argparse.ArgumentParser(description="The README's picture, from a tour.")
    parser.add_argument("tour", type=Path)
    parser.add_argument("output", type=Path)
    options = parser.parse_args()
    width, height = len(DOMAINS) * (CELL + GAP) + LABEL, len(FAMILIES) * (CELL + GAP) + LABEL
    sheet = Image.new("RGB", (width, height), (236, 236, 240))
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    for column, domain in enumerate(DOMAINS):
        pen.text((LABEL + column * (CELL + GAP) + CELL // 2, LABEL // 2), domain, fill="black", font=font, anchor="mm")
        for row, family in enumerate(FAMILIES):
            picture = cell_picture(options.tour / domain / family)
            sheet.paste(picture, (LABEL + column * (CELL + GAP), LABEL + row * (CELL + GAP)))
    for row, family in enumerate(FAMILIES):
        name = Image.new("RGB", (CELL, LABEL), (236, 236, 240))
        ImageDraw.Draw(name).text((CELL // 2, LABEL // 2), SHORT[family], fill="black", font=font, anchor="mm")
        sheet.paste(name.rotate(90, expand=True), (0, LABEL + row * (CELL + GAP)))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    sheet.quantize(128).save(options.output, optimize=True)
    print(options.output)


if __name__ == "__main__":
    main()
