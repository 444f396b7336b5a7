"""The tour's page: families as rows, domains as columns, every cell with its result."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.runs.measures import Measure, figure, measure_cells
from core.runs.media import Media
from core.runs.report import Points, curve_svg, facts_table, media_html, page, verdict_html


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One result on the tour's wall; `curve` is (step, loss), `error` says why there is no result."""

    domain: str
    family: str
    seconds: float = 0.0
    measures: Sequence[Measure] = ()
    media: Sequence[Media] = ()
    curve: Points = ()
    error: str | None = None


def cell_html(cell: Cell) -> str:
    """One result as a card: media, the headline measure with what it is read against, the curve, the rest."""
    if cell.error is not None:
        return f'<div class="card"><p class="bad small">{html.escape(cell.error)}</p></div>'
    parts = [media_html(entry) for entry in cell.media[:3]]
    if cell.measures:
        head = cell.measures[0]
        _, _, interval, _, floor, *_ = measure_cells(head)
        interval = f" <span class='dim small'>[{interval}]</span>" if interval else ""
        against = [] if head.baseline is None else [f"{head.baseline_name or 'baseline'} {figure(head.baseline)}"]
        against += [f"real vs. real {floor}"] if floor else []
        against += [] if head.train_value is None else [f"training data {figure(head.train_value)}"]
        parts += [
            f"<p><span class='value'>{figure(head.value)}</span>{interval}</p>",
            f"<p class='small'>{html.escape(measure_cells(head)[0])} <span class='dim'>({head.kind})</span></p>",
            f"<p class='dim small'>{html.escape(' · '.join(against))}</p><p class='small'>{verdict_html(head)}</p>",
        ]
        parts += [f"<p class='small'>{html.escape(m.name)}: {verdict_html(m)}</p>" for m in cell.measures[1:]
                  if m.too_close or m.copied or m.overfitted]
    parts.append(curve_svg(cell.curve, width=300, height=96))
    parts.append(f"<p class='dim small'>{cell.seconds:.0f} s in all</p>")
    if len(cell.measures) > 1:
        rest = "".join(
            f"<tr><td>{html.escape(measure_cells(m)[0])}</td><td>{figure(m.value)}</td></tr>" for m in cell.measures[1:]
        )
        parts.append(f'<details class="small"><summary>all measures</summary><table>{rest}</table></details>')
    return f'<div class="card">{"".join(parts)}</div>'


def wall(title: str, cells: Sequence[Cell], facts: Mapping[str, object]) -> str:
    """The tour's page: families as rows, domains as columns, every cell with its result."""
    domains = list(dict.fromkeys(cell.domain for cell in cells))
    families = list(dict.fromkeys(cell.family for cell in cells))
    found = {(cell.domain, cell.family): cell for cell in cells}
    body = [f'<div class="head"></div>{"".join(f"<h3 class=head>{domain}</h3>" for domain in domains)}']
    for family in families:
        row = [found.get((domain, family)) for domain in domains]
        body.append(f"<h3>{family}</h3>" + "".join("<div></div>" if cell is None else cell_html(cell) for cell in row))
    won = [cell for cell in cells if cell.measures and cell.measures[0].beats_baseline and cell.error is None
           and not any(measure.copied for measure in cell.measures)]
    score = f"{len(won)} of {len(cells)} beat their baseline"
    columns = f"grid-template-columns: 9rem repeat({len(domains)}, minmax(14rem, 1fr))"
    return page(title, "\n".join([
        f"<h1>{html.escape(title)}</h1>",
        f'<p class="dim">Every model was trained from scratch on this machine, then sampled and measured; {score}.</p>',
        f'<div class="wide" style="margin-top: 1.6rem"><div class="wall" style="{columns}">{"".join(body)}</div></div>',
        f"<h2>Environment</h2>{facts_table(facts)}",
    ]))
