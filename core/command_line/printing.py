"""What commands print: tables, measures, paths, and how far a task is."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from core.runs.tasks import Progress

if TYPE_CHECKING:
    from core.runs.measures import Measure


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table on stdout; on a narrow terminal its cells wrap, nothing is cut."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console = Console(markup=False, highlight=False, emoji=False)
    if not console.is_terminal:
        console.width = 200
    console.print(table)


def print_measures(title: str, measures: Sequence[Measure]) -> None:
    """Measures as a table, each with what it must be read against."""
    from core.runs.measures import HEADS, measure_cells

    print_table(title, HEADS, [measure_cells(measure) for measure in measures])


def print_json(value: object) -> None:
    """JSON for machines; where stdout cannot show a character, its escape stands for it."""
    shows_all = (sys.stdout.encoding or "").lower().startswith("utf")
    print(json.dumps(value, ensure_ascii=not shows_all, indent=2))


LISTED = 10
"""More files than these are told in a line."""


def print_paths(paths: Sequence[Path]) -> None:
    """The files that were written: one a line, or how many they are and where."""
    if len(paths) <= LISTED:
        for path in paths:
            print(path)
    else:
        print(f"{len(paths):,} files in {paths[0].parent}: {paths[0].name}, {paths[1].name} ... {paths[-1].name}")


@contextmanager
def shown_progress(title: str, seconds_between_lines: float = 10.0) -> Iterator[Progress]:
    """Progress on stderr: a bar on a terminal once there is a second step, elsewhere a line now and then."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    last = time.monotonic()
    bars = Bars(*columns, console=console, disable=not console.is_terminal, transient=True, redirect_stdout=False)
    with bars:
        bar = bars.add_task(title, total=None, visible=False)

        def show(done: int, total: int) -> None:
            nonlocal last
            bars.update(bar, completed=done, total=total, visible=total > 1)
            if not console.is_terminal and time.monotonic() - last >= seconds_between_lines:
                last = time.monotonic()
                console.print(f"{title}: {done:,} of {total:,}")

        yield Progress(on_step=show)
