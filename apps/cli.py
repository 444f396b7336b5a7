"""The `fourfold` command: five domains, loaded when they are used, and the tour of all twenty."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from core.command_line.options import AsJson, Seed
from core.command_line.program import HELP, deferred
from core.command_line.program import main as run_program
from core.runtime import version

DOMAINS = {
    "image": "Images: digits, clothes, emoji, your own folder of pictures.",
    "text": "Text: plays, code, captions, your own folder of text.",
    "audio": "Audio: chorales as notes, instruments as sound, your own MIDI or WAV.",
    "molecules": "Molecules: drug-like SMILES, designed for wanted properties.",
    "robotics": "Robotics: policies that act, from demonstrations.",
}

app = typer.Typer(name="fourfold", no_args_is_help=True, invoke_without_command=True, pretty_exceptions_enable=False,
                  context_settings=HELP,
                  help="Train, sample and judge generative models: four families times five domains.")


@app.callback()
def main_options(
    shown: Annotated[bool, typer.Option("--version", help="Show the version, and end.")] = False,
) -> None:
    """Train, sample and judge generative models: four families times five domains."""
    if shown:
        print(version())
        raise typer.Exit


def _deferred(domain: str) -> Any:
    return deferred(lambda: typer.main.get_command(importlib.import_module(f"apps.{domain}.cli").app))


def _nothing() -> None:
    """Stands in a listing for a domain's own command, which reads the arguments."""


for _name, _summary in DOMAINS.items():
    app.command(_name, cls=_deferred(_name), help=_summary)(_nothing)


@app.command(epilog="Examples:\n\nfourfold recipes\n\nfourfold recipes --json")
def recipes(as_json: AsJson = False) -> None:
    """All recipes: what each makes, of which data, in how many minutes."""
    from core.command_line.verbs import print_recipes

    print_recipes([importlib.import_module(f"apps.{domain}.domain").DOMAIN for domain in DOMAINS], as_json)


@app.command(epilog="Examples:\n\nfourfold models\n\nfourfold models --json")
def models(as_json: AsJson = False) -> None:
    """The models that ship, and those of $FOURFOLD_MODELS: any command that takes a run takes their names."""
    from core.command_line.printing import print_json, print_table
    from core.runs.shipped import shipped, shipped_row

    here = Path(__file__).parent
    rows = [shipped_row(model) for model in shipped({domain: here / domain / "models" for domain in DOMAINS})]
    if as_json:
        print_json(rows)
    elif rows:
        print_table("models", list(rows[0]), [list(row.values()) for row in rows])
    else:
        print("no model ships with this version: `fourfold image recipes` lists what can be trained")


@app.command(epilog="Examples:\n\nfourfold tour\n\nfourfold tour --domains image,audio --families gan --minutes 5")
def tour(
    domains: Annotated[str | None, typer.Option("--domains", help="Some of them, e.g. image,text.")] = None,
    families: Annotated[str | None, typer.Option("--families", help="Some of them, e.g. vae,diffusion.")] = None,
    seed: Seed = 0,
    minutes: Annotated[float | None, typer.Option("--minutes", help="About how long to take in all.")] = None,
    run: Annotated[Path, typer.Option("--run", help="Folder to write to.")] = Path("runs/tour"),
    workers: Annotated[int | None, typer.Option("--workers", min=1, help="Cells at a time.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start again: remove finished cells.")] = False,
) -> None:
    """All twenty: every domain times every family, trained and judged from scratch, into one report."""
    from core.tour.tour import FAMILIES, choose
    from core.tour.tour import tour as run_tour

    succeeded = run_tour(
        choose(domains, list(DOMAINS), "--domains"), choose(families, FAMILIES, "--families"), run, worker,
        seed=seed, minutes=minutes, workers=workers, fresh=fresh,
    )
    print(run / "report.html")
    if not succeeded:
        raise typer.Exit(1)


def worker(domain: str, recipe: str) -> list[str]:
    """The command line of one cell of the tour."""
    return [sys.executable, "-m", f"apps.{domain}", "cell", recipe]


def main() -> None:
    """The console script."""
    run_program(app)


if __name__ == "__main__":
    main()
