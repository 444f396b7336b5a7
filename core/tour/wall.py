"""A wall of results: one page with a card for each, in rows and columns, that grows as results come in."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.runs.measures import Measure, figure, measure_cells
from core.runs.media import Media
from core.runs.report import commands_html, facts_table, media_html, page, verdict_html


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One result on a wall.

    Attributes:
        column, row: what it is of, such as "image" and "vae".
        charts: drawings (SVG) of how it was trained.
        links: what a word of its card leads to, by relative address.
        commands: what to do with it next.
        error: why there is no result; `waiting`: there is none yet. A cell with neither and without measures is only
            looked at, such as real data.
    """

    column: str
    row: str
    seconds: float = 0.0
    measures: Sequence[Measure] = ()
    media: Sequence[Media] = ()
    charts: Sequence[str] = ()
    links: Mapping[str, str] | None = None
    commands: Sequence[str] = ()
    error: str | None = None
    waiting: bool = False

    @property
    def won(self) -> bool:
        """Whether its first measure beats its baseline, by other means than copies of the training data."""
        return bool(self.measures and self.measures[0].beats_baseline and self.error is None
                    and not any(measure.copied for measure in self.measures))


def cell_html(cell: Cell) -> str:
    """One result as a card: media, the headline measure with what it is read against, curves, what to do with it."""
    title = f"<h3>{html.escape(cell.column)} · {html.escape(cell.row)}</h3>"
    if cell.error is not None:
        return f'<div class="card">{title}<p class="bad small">{html.escape(cell.error)}</p></div>'
    if cell.waiting:
        return f'<div class="card">{title}<p class="dim small">not finished yet</p></div>'
    parts = [title, *_media(cell.media)]
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
    parts += cell.charts
    links = [f'<a href="{html.escape(address, quote=True)}">{html.escape(words)}</a>'
             for words, address in (cell.links or {}).items()]
    if cell.seconds:
        links.insert(0, f"{cell.seconds:.0f} s in all")
    parts.append(f"<p class='dim small'>{' · '.join(links)}</p>")
    if cell.commands:
        parts.append(f'<details class="small"><summary>use it</summary>{commands_html(cell.commands)}</details>')
    if len(cell.measures) > 1:
        rest = "".join(
            f"<tr><td>{html.escape(measure_cells(m)[0])}</td><td>{figure(m.value)}</td></tr>" for m in cell.measures[1:]
        )
        parts.append(f'<details class="small"><summary>all measures</summary><table>{rest}</table></details>')
    return f'<div class="card">{"".join(parts)}</div>'


def _media(media: Sequence[Media]) -> list[str]:
    """What there is to see and hear; texts that go with pictures are folded up."""
    pictured = any(entry.kind != "text" for entry in media)
    return [f'<details class="small"><summary>{html.escape(entry.caption or "text")}</summary>{media_html(entry)}'
            "</details>" if pictured and entry.kind == "text" else media_html(entry) for entry in media]


def wall(
    title: str, words: str, cells: Sequence[Cell], facts: Mapping[str, object], *,
    columns: Mapping[str, str] | None = None, rows: Mapping[str, str] | None = None, before: str = "",
    after: str = "",
) -> str:
    """A page of cells; their order is that in which their rows and columns first occur.

    Args:
        words: what all this is, in a sentence; how many cells are finished, and won, is added.
        columns, rows: what one sees there, by name, in a sentence.
        before, after: HTML around the cells.
    """
    across = list(dict.fromkeys(cell.column for cell in cells))
    judged = [cell for cell in cells if cell.measures or cell.error is not None or cell.waiting]
    done = [cell for cell in judged if not cell.waiting]
    far = ("" if len(done) == len(judged) else
           f" {len(done)} of {len(judged)} are finished: reload this page to see more.")
    score = f"{sum(cell.won for cell in done)} of {len(done)} beat their baseline."
    body = [
        f"<h1>{html.escape(title)}</h1>",
        f'<p class="dim">{html.escape(words)}{far} {score} Pictures open large with a click.</p>',
        before,
    ]
    told = [(name, said) for name in across if (said := (columns or {}).get(name))]
    grid = f'<div class="wall" style="--columns: {len(across)}">'
    if told:
        heads = "".join(f"<div><h3>{html.escape(name)}</h3><p class='small'>{html.escape(said)}</p></div>"
                        for name, said in told)
        body.append(f'<div style="margin-top: 1.4rem">{grid}{heads}</div></div>')
    for row in dict.fromkeys(cell.row for cell in cells):
        said = (rows or {}).get(row, "")
        note = f" <span class='dim small' style='font-weight: 400'>{html.escape(said)}</span>" if said else ""
        cards = "".join(cell_html(cell) for cell in cells if cell.row == row)
        body.append(f"<h2>{html.escape(row)}{note}</h2>{grid}{cards}</div>")
    body += [after, f"<h2>Environment</h2>{facts_table(facts)}"]
    return page(title, "\n".join(body))
