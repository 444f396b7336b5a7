"""README's picture and table, and the long table of docs/results.md, made of the tour's own results.

    python -m benchmarks.readme runs/tour

Draws docs/tour.png from the run's samples (families as rows, domains as columns) and writes the two tables of
benchmarks/results/tour.json between the pages' markers.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont, ImageOps

from apps.cli import DOMAINS
from benchmarks.readme_figures import PAGE, between
from core.runs.measures import figure
from core.runs.media import Media, load_media
from core.tour.tour import FAMILIES

ROOT = Path(__file__).parent.parent
TILE, GAP, LEFT, TOP = 256, 16, 120, 44
INK, PAPER, LINE = "#1c2430", "#fbfaf8", "#e4e1da"
WORDS = {"vae": "VAE", "gan": "GAN", "diffusion": "diffusion", "autoregressive": "auto-\nregressive"}
README, MARKERS = ROOT / "README.md", "tour table"


def main() -> None:
    """Write the picture, and the tables where the benchmark has been run."""
    parser = argparse.ArgumentParser(description="README's picture and table from the tour's results.")
    parser.add_argument("run", type=Path, nargs="?", default=Path("runs/tour"))
    parser.add_argument("--picture", type=Path, default=ROOT / "docs" / "tour.png")
    parser.add_argument("--picture-only", action="store_true")
    options = parser.parse_args()
    options.picture.parent.mkdir(parents=True, exist_ok=True)
    picture(options.run).quantize(256, method=Image.Quantize.MEDIANCUT).save(options.picture, optimize=True)
    print(options.picture)
    results = ROOT / "benchmarks" / "results" / "tour.json"
    if results.exists() and not options.picture_only:
        found = json.loads(results.read_text())
        for page, lines in ((README, summary(found)), (PAGE, table(found))):
            page.write_text(between(page.read_text(), MARKERS, lines))
            print(page)


def picture(run: Path) -> Image.Image:
    """The wall of results as one image."""
    size = (LEFT + len(DOMAINS) * (TILE + GAP), TOP + len(FAMILIES) * (TILE + GAP))
    image = Image.new("RGB", size, PAPER)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(size=17)
    for column, domain in enumerate(DOMAINS):
        draw.text((LEFT + column * (TILE + GAP) + TILE // 2, TOP // 2), domain, INK, font, anchor="mm")
    for row, family in enumerate(FAMILIES):
        top = TOP + row * (TILE + GAP)
        draw.multiline_text((LEFT // 2, top + TILE // 2), WORDS[family], INK, font, anchor="mm", align="center")
        for column, domain in enumerate(DOMAINS):
            left = LEFT + column * (TILE + GAP)
            image.paste(tile(run / domain / family / "samples"), (left, top))
            draw.rectangle((left, top, left + TILE - 1, top + TILE - 1), outline=LINE)
    return image


def tile(samples: Path) -> Image.Image:
    """The first thing to look at, fitted into a square: a picture, a late frame of an animation, or text."""
    square = Image.new("RGB", (TILE, TILE), "white")
    seen = next((entry for entry in load_media(samples / "preview") if entry.kind != "wav"), None)
    if seen is not None and seen.kind == "svg":  # which Pillow does not read: the samples' own picture shows the same
        own = next(iter(sorted(samples.glob("*.png"))), None)
        seen = None if own is None else Media(kind="png", content=own.read_bytes())
    if seen is None:
        return square
    if isinstance(seen.content, str):
        text = seen.content.replace("–", "-")  # the built-in font has no dash
        lines = [line[i : i + 40] for line in text.splitlines() for i in range(0, max(len(line), 1), 40)]
        font = ImageFont.load_default(size=11)
        ImageDraw.Draw(square).multiline_text((9, 8), "\n".join(lines[:17]), INK, font, spacing=3)
        return square
    image: Image.Image = Image.open(io.BytesIO(seen.content))
    if getattr(image, "n_frames", 1) > 1:
        image.seek(image.n_frames * 2 // 3)  # type: ignore[attr-defined]
    enlarge = Image.Resampling.NEAREST if max(image.size) < TILE else Image.Resampling.LANCZOS
    image = image.convert("RGB")
    # The left part of what is wide, so that it can be made out.
    image = image.crop((0, 0, min(image.width, round(1.02 * image.height)), image.height))
    fitted = ImageOps.contain(image, (TILE - 2, TILE - 2), enlarge)
    square.paste(fitted, ((TILE - fitted.width) // 2, (TILE - fitted.height) // 2))
    return square


def summary(results: dict[str, Any]) -> str:
    """The benchmark as README tells it: a row per domain, each family's mean beside its baseline."""
    lines = [f"| | {' | '.join(FAMILIES)} |", "|---" * (len(FAMILIES) + 1) + "|"]
    for domain in DOMAINS:
        cells = [_in_short(_rows(results, domain, family)) for family in FAMILIES]
        if any(cells):
            lines.append(f"| {domain} | {' | '.join(cells)} |")
    return "\n".join([
        *lines, "",
        f"Each cell's headline measure as the mean of {len(_minutes(results))} seeds, its baseline in brackets. "
        f"{_verdict(results)} Ranges, baselines' names and real-against-real floors are in "
        "[docs/results.md](docs/results.md).",
    ])


def _in_short(rows: list[dict[str, Any]]) -> str:
    """A cell of README's table."""
    values = [row["value"] for row in rows if row["value"] is not None]
    baselines = [row["baseline"] for row in rows if row["baseline"] is not None]
    if not values:
        return "failed" if rows else ""
    against = f" ({_short(statistics.mean(baselines))})" if baselines else ""
    return f"`{rows[0]['measure']}` {_short(statistics.mean(values))}{against}"


def _short(value: float) -> str:
    return f"{value:.3g}"


def table(results: dict[str, Any]) -> str:
    """The benchmark as markdown: a row per cell, mean and range over seeds beside baseline and floor."""
    lines = ["| domain | family | measure | mean (range of seeds) | baseline | real against real | seconds |",
             "|---|---|---|---|---|---|---|"]
    for domain in DOMAINS:
        for family in FAMILIES:
            rows = _rows(results, domain, family)
            if rows:
                lines.append(f"| {domain} | {family} | {' | '.join(_cells(rows))} |")
    return "\n".join([
        *lines, "",
        f"Each cell's headline over {len(_minutes(results))} seeds: {_verdict(results)} Every figure is in "
        f"`benchmarks/results/tour.json` (`{results['command']}`). Seconds are a cell's: training, sampling, judging, "
        "imports.",
    ])


def _rows(results: dict[str, Any], domain: str, family: str) -> list[dict[str, Any]]:
    """A cell's results, one a seed."""
    return [row for key, row in results["metrics"].items() if key.startswith(f"{domain}/{family}/")]


def _minutes(results: dict[str, Any]) -> list[float]:
    """What each seed took."""
    return [value for key, value in results["metrics"].items() if key.startswith("minutes/")]


def _verdict(results: dict[str, Any]) -> str:
    """How many cells learn something, and how long it takes."""
    minutes = _minutes(results)
    judged = [row["beats_baseline"] for key, row in results["metrics"].items() if not key.startswith("minutes/")]
    return (f"{sum(map(bool, judged))} of {len(judged)} beat their baseline. A seed took {min(minutes):.1f} to "
            f"{max(minutes):.1f} minutes in all on {results['hardware']}.")


def _cells(rows: list[dict[str, Any]]) -> list[str]:
    """A cell's row from its seeds' rows."""
    first, values = rows[0], [row["value"] for row in rows if row["value"] is not None]
    if not values:
        return [str(first["measure"]), "failed", "", "", ""]
    kind = "" if first["kind"] == "estimate" else f" ({first['kind']})"
    spread = f"{figure(statistics.mean(values))} ({figure(min(values))} to {figure(max(values))})"
    baselines = [row["baseline"] for row in rows if row["baseline"] is not None]
    floors = [row["floor"] for row in rows if row["floor"] is not None]
    against = f"{figure(statistics.mean(baselines))} ({first['baseline_name']})" if baselines else ""
    floor = figure(statistics.mean(floors)) if floors else ""
    seconds = statistics.mean(row["seconds"] for row in rows if row["seconds"] is not None)
    return [f"`{first['measure']}`{kind}", spread, against, floor, f"{seconds:.0f}"]


if __name__ == "__main__":
    main()
