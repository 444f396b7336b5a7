"""Options that commands share: the same words for the same things everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Seed = Annotated[int, typer.Option("--seed", min=0, max=2**63 - 1, help="Seed of every random draw.")]
OptionalSeed = Annotated[int | None, typer.Option("--seed", min=0, max=2**63 - 1, help="Instead of the recipe's.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:0 or mps.")]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Write into a folder that holds files; those of the same name are replaced.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder that `train` wrote, or a model folder.")]
OptionalRun = Annotated[
    Path | None,
    typer.Argument(metavar="RUN", show_default=False, help="A run that `train` made, or a model of `fourfold models`"
                   "; without one, the model that suits."),
]
Assignments = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key, e.g. train.steps=500.")
]
Minutes = Annotated[
    float | None,
    typer.Option("--minutes", "--until", min=0.01,
                 help="Train so many minutes in all instead of the recipe's steps; a finished run goes on until then."),
]
RecipeName = Annotated[str | None, typer.Argument(metavar="RECIPE", help="A recipe's name; see `recipes`.")]
RecipeFile = Annotated[Path | None, typer.Option("--recipe", help="A recipe as JSON, e.g. another run's recipe.json.")]
