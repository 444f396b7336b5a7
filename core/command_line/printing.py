"""What commands print: tables, measures, paths, and how far a task is."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from core.runs.tasks import Progress
from core.waiting import waiting

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


def print_measures(title: str, measures: Sequence[Measure], *, of_models: bool = False) -> None:
    """Measures as a table, each with what it must be read against; `of_models`: one measure, named for its models."""
    from core.runs.measures import HEADS, measure_cells, row_cells

    cells = row_cells if of_models else measure_cells
    print_table(title, ("" if of_models else HEADS[0], *HEADS[1:]), [cells(measure) for measure in measures])


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
def shown_progress(title: str) -> Iterator[Progress]:
    """A task's progress as a wait, see `core.waiting`."""
    with waiting(title) as wait:
        yield Progress(on_step=wait.step)
