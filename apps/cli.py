"""The `fourfold` command: five domains, loaded when they are used, and the tour of all twenty."""

from __future__ import annotations

import importlib
from typing import Any

import typer

from core.cli import deferred
from core.cli import main as run_program

DOMAINS = {
    "image": "Images: digits, clothes, emoji, your own folder of pictures.",
    "text": "Text: plays, code, captions, your own folder of text.",
    "audio": "Audio: chorales as notes, instruments as sound, your own MIDI or WAV.",
    "molecules": "Molecules: drug-like SMILES, designed for wanted properties.",
    "robotics": "Robotics: policies that act, from demonstrations.",
}

app = typer.Typer(name="fourfold", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
                  context_settings={"help_option_names": ["-h", "--help"]},
                  help="Train, sample and judge generative models: four families times five domains.")


def _group(domain: str) -> Any:
    return typer.main.get_command(importlib.import_module(f"apps.{domain}.cli").app)


for _name, _summary in DOMAINS.items():
    # `deferred` reads the arguments with the domain's own command; the function only carries the summary.
    app.command(_name, cls=deferred(lambda name=_name: _group(name)), help=_summary)(lambda: None)


def main() -> None:
    """The console script."""
    run_program(app)


if __name__ == "__main__":
    main()
