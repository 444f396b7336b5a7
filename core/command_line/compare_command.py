"""The verb `compare`: which family suits a user's data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from core.command_line.options import AsJson, Assignments, RecipeName, Seed
from core.command_line.printing import print_json, print_measures

if TYPE_CHECKING:
    from core.runs.domain import Domain
    from core.runs.model import CodecT, DataT, Item


def add_compare(
    app: typer.Typer, load_domain: Callable[[], Domain[DataT, CodecT, Item]], program: Sequence[str]
) -> None:
    """Add the verb to a domain's program, whose command line without arguments is `program`."""
    lines = (f"fourfold {app.info.name} compare --data ./mine --minutes 20",
             f"fourfold {app.info.name} compare --data ./mine --families vae,diffusion --with runs/other")

    @app.command(epilog="\n\n".join(["Examples:", *lines]))
    def compare(
        recipe: RecipeName = None,
        data: Annotated[
            Path | None, typer.Option("--data", help="Your own folder or file; without it, the data of RECIPE.")
        ] = None,
        minutes: Annotated[
            float, typer.Option("--minutes", min=0.01, help="Of training in total: each family gets an equal share. "
                                "Judging takes some more. More of them go on with what is trained.")
        ] = 20.0,
        families: Annotated[str | None, typer.Option("--families", help="Some of them, e.g. vae,diffusion.")] = None,
        others: Annotated[
            list[str] | None,
            typer.Option("--with", metavar="RUN|MODULE:FUNCTION", help="Another row: a run on the same data, or your "
                         "own function (n, seed) -> items.")
        ] = None,
        assignments: Assignments = None,
        seed: Seed = 0,
        run: Annotated[
            Path | None, typer.Option("--run", help="Folder to write to; runs/<domain>/compare-<data> by default.")
        ] = None,
        workers: Annotated[int | None, typer.Option("--workers", min=1, help="Families that train at a time.")] = None,
        fresh: Annotated[bool, typer.Option("--fresh", help="Start again: remove what the folder holds.")] = False,
        as_json: AsJson = False,
    ) -> None:
        """Which family suits your data? Trains all four for equal minutes and judges them alike."""
        from core.tour.compare import compare as run_compare
        from core.tour.tour import FAMILIES, choose

        outcome = run_compare(
            load_domain(), program, data=data, recipe=recipe, minutes=minutes,
            families=choose(families, FAMILIES, "--families"), others=others or [], assignments=assignments or [],
            seed=seed, folder=run, workers=workers, fresh=fresh,
        )
        if as_json:
            print_json(outcome.record)
        else:
            table = [replace(measure, name=name) for name, measure in outcome.ranking.measures.items()]
            print_measures(f"by {outcome.ranking.measure}", table, of_models=True)
            print(outcome.sentence)
            print(outcome.report)
            if outcome.commands:
                print("next:", *outcome.commands, sep="\n  ")
        if not outcome.succeeded:
            raise typer.Exit(1)
