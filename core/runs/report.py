"""Reports: one self-contained HTML file of curves, samples, measures and environment; no scripts, no links out."""

from __future__ import annotations

import base64
import html
import logging
import math
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

from core.errors import FourfoldError
from core.files import inside, read_json, write_atomically
from core.runs.domain import Domain
from core.runs.measures import HEADS, Measure, figure, measure_cells, verdict
from core.runs.media import INDEX, Media, load_media
from core.runs.model import CodecT, DataT, Item
from core.runs.run import Run, load_measures, recipe_to_json
from core.runtime import environment
from core.serialization import Json
from core.training.log import LOG, read_log

Points = Sequence[tuple[float, float]]
logger = logging.getLogger(__name__)

STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --dim: #667080; --paper: #fbfaf8; --card: #fff; --line: #e4e1da;
  --accent: #3457d5; --good: #1d7f4e; --bad: #b3401f; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e6e1; --dim: #98a0ac; --paper: #14171c; --card: #1c2027;
  --line: #2e343d; --accent: #8aa4ff; --good: #5fcf97; --bad: #f08a6a; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 100rem; padding: 2.5rem 1.5rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.9rem; margin: 0; letter-spacing: -.02em; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .7rem; }
h3 { font-size: .8rem; margin: 0; color: var(--dim); text-transform: uppercase; letter-spacing: .06em; }
p { margin: .3rem 0; } .dim { color: var(--dim); } .good { color: var(--good); } .bad { color: var(--bad); }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 600; color: var(--dim); font-size: .8rem; }
td, th { padding: .35rem .8rem .35rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
.wide { overflow-x: auto; } .row { display: flex; flex-wrap: wrap; gap: 1rem; }
.wall { display: grid; gap: .9rem; align-items: stretch; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: .7rem; padding: .9rem; min-width: 0; }
.head { align-self: end; } .value { font-size: 1.35rem; font-weight: 650; font-variant-numeric: tabular-nums; }
figure { margin: 0 0 .6rem; min-width: 0; }
figcaption { color: var(--dim); font-size: .78rem; overflow-wrap: anywhere; }
img { max-width: 100%; height: auto; display: block; border-radius: .4rem; background: #fff; }
.row figure { max-width: 32rem; } audio { width: 100%; height: 2.2rem; }
svg { width: 100%; height: auto; display: block; }
pre { margin: 0; padding: .7rem; background: var(--paper); border: 1px solid var(--line); border-radius: .4rem;
  font: 12px/1.45 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere; max-height: 16rem;
  overflow: auto; }
.small { font-size: .82rem; }
"""


def page(title: str, body: str) -> str:
    """A whole HTML document."""
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{html.escape(title)}</title>\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def media_html(media: Media) -> str:
    """A picture, a sound or a text, embedded."""
    caption = f"<figcaption>{html.escape(media.caption)}</figcaption>" if media.caption else ""
    content = media.content
    if isinstance(content, str):
        return f"<figure><pre>{html.escape(content)}</pre>{caption}</figure>"
    data = base64.b64encode(content).decode()
    if media.kind == "wav":
        return f'<figure><audio controls preload="none" src="data:audio/wav;base64,{data}"></audio>{caption}</figure>'
    alt = html.escape(media.caption or "samples", quote=True)
    return f'<figure><img alt="{alt}" src="data:image/{media.kind};base64,{data}">{caption}</figure>'


def curve_svg(points: Points, label: str = "loss", width: int = 420, height: int = 130) -> str:
    """A curve as inline SVG of at most 200 points; the y-axis ends at the 98th percentile, so a peak hides nothing."""
    finite = [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]
    if len(finite) < 2:
        return ""
    thin = finite[:: max(1, math.ceil(len(finite) / 200))]
    thin = thin if thin[-1] == finite[-1] else [*thin, finite[-1]]
    ordered = sorted(y for _, y in thin)
    low, high = ordered[0], ordered[min(len(ordered) - 1, int(0.98 * len(ordered)))]
    high = high if high > low else low + 1.0
    first, last = thin[0][0], thin[-1][0]
    left, bottom = 46, height - 18

    def place(x: float, y: float) -> str:
        across = left + (x - first) / max(last - first, 1e-12) * (width - left - 4)
        up = bottom - (min(max(y, low), high) - low) / (high - low) * (bottom - 8)
        return f"{across:.1f},{up:.1f}"

    line = " ".join(place(x, y) for x, y in thin)
    text = 'font-size="10" fill="var(--dim)" font-family="system-ui, sans-serif"'
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{html.escape(label, quote=True)} by step">'
        f'<path d="M{left},6V{bottom}H{width - 4}" fill="none" stroke="var(--line)"/>'
        f'<polyline points="{line}" fill="none" stroke="var(--accent)" stroke-width="1.6" stroke-linejoin="round"/>'
        f'<text x="{left - 5}" y="14" text-anchor="end" {text}>{figure(high)}</text>'
        f'<text x="{left - 5}" y="{bottom}" text-anchor="end" {text}>{figure(low)}</text>'
        f'<text x="{left}" y="{height - 4}" {text}>{html.escape(label)}, now {figure(finite[-1][1])}</text>'
        f'<text x="{width - 4}" y="{height - 4}" text-anchor="end" {text}>step {last:,.0f}</text></svg>'
    )


def measure_table(measures: Sequence[Measure]) -> str:
    """Measures with interval, baseline and floor, and in words what they say."""
    rows = "".join(
        f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in measure_cells(m)[:-1])}"
        f"<td>{verdict_html(m)}</td></tr>" for m in measures
    )
    head = "".join(f"<th>{name}</th>" for name in HEADS)
    return f'<div class="wide"><table><tr>{head}</tr>{rows}</table></div>'


def verdict_html(measure: Measure) -> str:
    """What a measure says, coloured where it is good or bad news."""
    said = verdict(measure)
    kind = {True: "good", False: "bad", None: "dim"}[said.good]
    return f'<span class="{kind}">{html.escape(said.words)}</span>' if said.words else ""


def facts_table(facts: Mapping[str, object]) -> str:
    """Names and values, such as the environment."""
    rows = "".join(f"<tr><th>{html.escape(str(k))}</th><td>{html.escape(str(v))}</td></tr>" for k, v in facts.items())
    return f'<div class="wide"><table class="small">{rows}</table></div>'


def loss_curves(log: Sequence[Json]) -> dict[str, list[tuple[float, float]]]:
    """Loss curves of a run's log by player: (step, loss)."""
    curves: dict[str, list[tuple[float, float]]] = {}
    for event in log:
        for player, value in event.get("loss", {}).items():
            if value is not None:
                curves.setdefault(player, []).append((event["step"], value))
    return curves


def run_media(run: Run) -> list[Media]:
    """The samples that a run keeps to look at; a warning where they are damaged."""
    try:
        return load_media(run.preview)
    except FourfoldError as error:
        logger.warning("samples are left out (%s): the command that trained the run mends them", error)
        return []


def write_run_report(domain: Domain[DataT, CodecT, Item], run: Run) -> Path:
    """Write the run's report.html from what its folder holds; returns the file.

    Raises:
        FourfoldError: the folder is not a run, or cannot be written.
    """
    for path in (run.recipe_file, run.metrics_file, run.folder / LOG, run.preview / INDEX):
        if not inside(path, run.folder):
            raise FourfoldError(f"{path} leads out of {run.folder}: a report shows what is in its run")
    recipe, log = run.recipe(domain), read_log(run.folder)
    measures, media = load_measures(run), run_media(run)
    timed = [event for event in log if "seconds" in event]
    seconds = f", {timed[-1]['seconds']:.0f} s of training" if timed else ""
    parts = [
        f"<h1>{html.escape(recipe.name)}</h1>",
        f'<p class="dim">{html.escape(domain.name)} · {html.escape(recipe.family.kind)} · '
        f"{recipe.train.steps:,} steps of {recipe.train.batch_size} examples · seed {recipe.seed}{seconds}</p>",
    ]
    if media:
        parts.append(f'<h2>Samples</h2><div class="row">{"".join(media_html(entry) for entry in media)}</div>')
    if measures:
        parts.append(f"<h2>Measures</h2>{measure_table(measures)}")
    curves = [curve_svg(points, f"{player} loss") for player, points in loss_curves(log).items()]
    if any(curves):
        charts = "".join(f'<div class="card" style="flex: 1 1 24rem; max-width: 40rem">{c}</div>' for c in curves if c)
        parts.append(f'<h2>Training</h2><div class="row">{charts}</div>')
    noted = read_json(run.metrics_file).get("environment") if measures else None
    measured_on = noted if isinstance(noted, dict) else environment()
    parts.append(f"<h2>Environment</h2>{facts_table({**measured_on, 'date': date.today().isoformat()})}")
    parts.append(f"<h2>Recipe</h2><pre>{html.escape(recipe_to_json(recipe))}</pre>")
    write_atomically(run.report, page(f"{recipe.name} · Fourfold", "\n".join(parts)).encode())
    return run.report
