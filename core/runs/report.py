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
from core.runs.measures import HEADS, Measure, figure, measure_cells, row_cells, verdict
from core.runs.media import INDEX, Media, load_media
from core.runs.model import CodecT, DataT, Item
from core.runs.run import Run, load_measures, recipe_to_json
from core.runtime import environment
from core.serialization import Json
from core.training.log import LOG, read_log

Points = Sequence[tuple[float, float]]
logger = logging.getLogger(__name__)

STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --dim: #5d6776; --paper: #fbfaf8; --card: #fff; --line: #e4e1da;
  --accent: #3457d5; --other: #d9822b; --good: #1d7f4e; --bad: #b3401f; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e6e1; --dim: #98a0ac; --paper: #14171c; --card: #1c2027;
  --line: #2e343d; --accent: #8aa4ff; --other: #f0b06a; --good: #5fcf97; --bad: #f08a6a; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 100rem; padding: 2.2rem clamp(.8rem, 2vw, 1.6rem); background: var(--paper);
  color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.9rem; margin: 0; letter-spacing: -.02em; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .7rem; }
h3 { font-size: .8rem; margin: 0; color: var(--dim); text-transform: uppercase; letter-spacing: .06em; }
p { margin: .3rem 0; } .dim { color: var(--dim); } .good { color: var(--good); } .bad { color: var(--bad); }
a { color: var(--accent); }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 600; color: var(--dim); font-size: .8rem; }
td, th { padding: .35rem .8rem .35rem 0; border-bottom: 1px solid var(--line); vertical-align: top;
  overflow-wrap: anywhere; }
.row { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start; }
.row > figure { flex: 1 1 19rem; max-width: 38rem; }
.wall { display: grid; gap: .9rem; align-items: start; grid-template-columns: repeat(auto-fill, minmax(min(100%, 17rem),
  1fr)); }
@media (min-width: 78rem) { .wall { grid-template-columns: repeat(var(--columns), minmax(0, 1fr)); } }
.card { background: var(--card); border: 1px solid var(--line); border-radius: .7rem; padding: .9rem; min-width: 0; }
.card > h3 { margin-bottom: .5rem; }
.value { font-size: 1.35rem; font-weight: 650; font-variant-numeric: tabular-nums; }
figure { margin: 0 0 .6rem; min-width: 0; }
figcaption { color: var(--dim); font-size: .78rem; overflow-wrap: anywhere; margin-top: .2rem; }
img { width: 100%; height: auto; display: block; border-radius: .4rem; background: #fff; }
audio { width: 100%; height: 2.4rem; display: block; } svg { width: 100%; height: auto; display: block; }
pre { margin: 0; padding: .7rem; background: var(--paper); border: 1px solid var(--line); border-radius: .4rem;
  font: 12px/1.45 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere; max-height: 16rem;
  overflow: auto; }
pre.command { user-select: all; max-height: none; padding: .35rem .5rem; margin: .3rem 0; }
summary { cursor: pointer; } details { margin: .3rem 0; } .small { font-size: .82rem; }
.zoom { margin: 0; } .zoom > summary { display: block; cursor: zoom-in; }
.zoom > summary::-webkit-details-marker { display: none; }
.zoom[open] > summary { position: fixed; inset: 0; z-index: 9; padding: 2vmin; background: rgb(0 0 0 / .88);
  cursor: zoom-out; }
.zoom[open] img { width: 100%; height: 100%; object-fit: contain; background: none; border-radius: 0; }
@media (min-width: 60rem) { .stack td, .stack th { overflow-wrap: break-word; } }
@media (max-width: 40rem) {
  .stack tr:first-child { display: none; } .stack tr { display: block; padding: .5rem 0; border-bottom: 1px solid
    var(--line); }
  .stack td { display: block; border: 0; padding: 0; } .stack td:first-child { font-weight: 650; }
  .stack td:not(:first-child):not(:empty)::before { content: attr(data-head) ": "; color: var(--dim); }
}
"""


def page(title: str, body: str) -> str:
    """A whole HTML document."""
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{html.escape(title)}</title>\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def media_html(media: Media) -> str:
    """A picture (a click opens it large, another closes it), a sound or a text, embedded."""
    caption = f"<figcaption>{html.escape(media.caption)}</figcaption>" if media.caption else ""
    content = media.content
    if isinstance(content, str):
        return f"<figure><pre>{html.escape(content)}</pre>{caption}</figure>"
    data = base64.b64encode(content).decode()
    if media.kind == "wav":
        return f'<figure><audio controls preload="none" src="data:audio/wav;base64,{data}"></audio>{caption}</figure>'
    alt = html.escape(media.caption or "samples", quote=True)
    kind = "svg+xml" if media.kind == "svg" else media.kind
    return (f'<figure><details class="zoom"><summary title="open large, or close">'
            f'<img alt="{alt}" src="data:image/{kind};base64,{data}"></summary></details>{caption}</figure>')


def commands_html(commands: Sequence[str]) -> str:
    """Command lines, each of which one click selects."""
    return "".join(f'<pre class="command">{html.escape(command)}</pre>' for command in commands)


def curve_svg(
    points: Points, label: str = "loss", *, validation: Points = (), best: float | None = None, width: int = 420,
    height: int = 170,
) -> str:
    """A training curve as inline SVG, with that of held-out data beside it where there is one.

    Each has at most 200 points. The y-axis ends at the 98th percentile, so a peak hides nothing.

    Args:
        best: the step whose weights were kept, which is marked.
    """
    curves = {name: thin for name, given in (("training", points), ("validation", validation))
              if (thin := _thin(given))}
    if len(curves.get("training", ())) < 2:
        return ""
    ordered = sorted(y for thin in curves.values() for _, y in thin)
    low, high = ordered[0], ordered[min(len(ordered) - 1, int(0.98 * len(ordered)))]
    high = high if high > low else low + 1.0
    first, last = (pick(x for thin in curves.values() for x, _ in thin) for pick in (min, max))
    left, right, top, bottom = 44, width - 8, 22, height - 20

    def across(x: float) -> float:
        return left + (x - first) / max(last - first, 1e-12) * (right - left)

    def up(y: float) -> float:
        return bottom - (min(max(y, low), high) - low) / (high - low) * (bottom - top)

    text = 'font-size="11" fill="var(--dim)" font-family="system-ui, sans-serif"'
    parts = []
    for y in _ticks(low, high):
        parts.append(f'<path d="M{left},{up(y):.1f}H{right}" stroke="var(--line)"/>'
                     f'<text x="{left - 6}" y="{up(y) + 4:.1f}" text-anchor="end" {text}>{figure(y)}</text>')
    parts += [f'<text x="{across(x):.1f}" y="{height - 4}" text-anchor="{anchor}" {text}>{words}{x:,.0f}</text>'
              for x, anchor, words in ((first, "start", "step "), (last, "end", ""))]
    if best is not None:
        at = across(best)
        parts.append(f'<path d="M{at:.1f},{top}V{bottom}" stroke="var(--good)" stroke-dasharray="3 3"/>'
                     f'<text x="{at - 4:.1f}" y="{top + 10}" text-anchor="end" {text}>best {best:,.0f}</text>')
    inks = {"training": "var(--accent)", "validation": "var(--other)"}
    for name, thin in curves.items():
        line = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in thin)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{inks[name]}" stroke-width="1.6" '
                     'stroke-linejoin="round"/>')
    said = ", ".join(f'<tspan fill="{inks[name]}">{name if len(curves) > 1 else "now"} {figure(thin[-1][1])}</tspan>'
                     for name, thin in curves.items())
    return (f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{html.escape(label, quote=True)} by step">'
            f'<text x="2" y="12" {text}>{html.escape(label)}: {said}</text>{"".join(parts)}</svg>')


def _thin(points: Points, most: int = 200) -> list[tuple[float, float]]:
    """The finite points, about `most` of them, the last included."""
    finite = [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]
    thin = finite[:: max(1, math.ceil(len(finite) / most))]
    return thin if not thin or thin[-1] == finite[-1] else [*thin, finite[-1]]


def _ticks(low: float, high: float) -> list[float]:
    """Two to five round numbers between `low` and `high`."""
    rough = (high - low) / 3
    size = 10.0 ** math.floor(math.log10(rough))
    step = size * max((n for n in (1, 2, 5) if n * size <= rough), default=1)
    return [n * step for n in range(math.ceil(low / step), math.floor(high / step) + 1)]


def measure_table(measures: Sequence[Measure], *, of_models: bool = False) -> str:
    """Measures with interval, baseline and floor, and in words what they say; `of_models`: one measure, named for its
    models."""
    heads, cells = (("", *HEADS[1:]), row_cells) if of_models else (HEADS, measure_cells)
    rows = "".join(
        "<tr>" + "".join(f'<td data-head="{html.escape(head, quote=True)}">{html.escape(cell)}</td>'
                         for head, cell in zip(heads[:-1], cells(m)[:-1], strict=True))
        + f'<td data-head="{HEADS[-1]}">{verdict_html(m)}</td></tr>' for m in measures
    )
    head = "".join(f"<th>{html.escape(name)}</th>" for name in heads)
    return f'<table class="stack"><tr>{head}</tr>{rows}</table>'


def verdict_html(measure: Measure) -> str:
    """What a measure says, coloured where it is good or bad news."""
    said = verdict(measure)
    kind = {True: "good", False: "bad", None: "dim"}[said.good]
    return f'<span class="{kind}">{html.escape(said.words)}</span>' if said.words else ""


def facts_table(facts: Mapping[str, object]) -> str:
    """Names and values, such as the environment."""
    rows = "".join(f"<tr><th>{html.escape(str(k))}</th><td>{html.escape(str(v))}</td></tr>" for k, v in facts.items())
    return f'<table class="small">{rows}</table>'


def loss_curves(log: Sequence[Json], key: str = "loss") -> dict[str, list[tuple[float, float]]]:
    """Curves of a run's log by player, "loss" or "validation": (step, loss)."""
    curves: dict[str, list[tuple[float, float]]] = {}
    for event in log:
        for player, value in event.get(key, {}).items():
            if value is not None:
                curves.setdefault(player, []).append((event["step"], value))
    return curves


def charts(log: Sequence[Json], **size: int) -> list[str]:
    """The curves of a run's log, one drawing a player: see `curve_svg`."""
    validation = loss_curves(log, "validation")
    best = next((event["best_step"] for event in reversed(log) if event.get("best_step") is not None), None)
    drawn = []
    for player, points in loss_curves(log).items():
        # Held-out data have one loss, whoever it is a player's.
        held = validation.get(player) or validation.get("loss", [])
        label = "loss" if player == "model" else f"{player}'s loss"
        drawn.append(curve_svg(points, label, validation=held, best=best if held else None, **size))
    return [chart for chart in drawn if chart]


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
        f"{recipe.train.length} of {recipe.train.batch_size} examples · seed {recipe.seed}{seconds}</p>",
    ]
    if media:
        seen = f'<p class="dim">{html.escape(domain.shows)} Pictures open large.</p>'
        parts.append(f'<h2>Samples</h2>{seen}<div class="row">{"".join(media_html(entry) for entry in media)}</div>')
    if measures:
        parts.append(f"<h2>Measures</h2>{measure_table(measures)}")
    if drawn := charts(log):
        cards = "".join(f'<div class="card" style="flex: 1 1 19rem; max-width: 40rem">{chart}</div>' for chart in drawn)
        parts.append(f'<h2>Training</h2><div class="row">{cards}</div>')
    parts.append(f"<h2>What to do with it</h2>{commands_html(domain.next_commands(recipe, run.folder))}")
    noted = read_json(run.metrics_file).get("environment") if measures else None
    measured_on = noted if isinstance(noted, dict) else environment()
    parts.append(f"<h2>Environment</h2>{facts_table({**measured_on, 'date': date.today().isoformat()})}")
    parts.append(f"<h2>Recipe</h2><pre>{html.escape(recipe_to_json(recipe))}</pre>")
    write_atomically(run.report, page(f"{recipe.name} · Fourfold", "\n".join(parts)).encode())
    return run.report
