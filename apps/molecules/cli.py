"""`fourfold molecules`: the shared verbs, and `design`."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Annotated

import typer

from core.command_line.verbs import Device, Num, Output, RunFolder, Seed, Temperature, build, print_paths

app = build("molecules", lambda: importlib.import_module("apps.molecules.domain").DOMAIN)


@app.command()
def design(
    run: RunFolder,
    num: Num = 20,
    wanted: Annotated[
        str | None,
        typer.Option("--property", help="Targets in real units: logp=2.5,qed=0.8 (logp, qed, weight, tpsa, sa)."),
    ] = None,
    novel: Annotated[bool, typer.Option("--novel", help="Leave out molecules of the training set.")] = False,
    choose_from: Annotated[
        int, typer.Option("--choose-from", min=1, help="Candidates for each molecule, the nearest to the targets win.")
    ] = 4,
    temperature: Temperature = None,
    seed: Seed = 0,
    device: Device = "auto",
    output: Output = Path("designed"),
) -> None:
    """Design valid, different molecules, near wanted properties: a CSV and a picture."""
    from apps.molecules import domain, tasks
    from core.files import writing

    targets = tasks.parse_targets(wanted)
    model = domain.load(run, device)
    known = tasks.training_molecules(model) if novel else set()
    found = tasks.design(
        model, num, targets=targets, known=known, choose_from=choose_from, seed=seed, temperature=temperature
    )
    with writing(output):
        output.mkdir(parents=True, exist_ok=True)
        print_paths(domain.write([molecule.smiles for molecule in found], output))
