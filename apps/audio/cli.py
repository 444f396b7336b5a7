"""`fourfold audio`: the shared verbs, `compose` and `effect`."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Annotated

import typer

from core.command_line.verbs import Device, Guidance, Num, Output, RunFolder, Seed, Temperature, build, print_paths

app = build("audio", lambda: importlib.import_module("apps.audio.domain").DOMAIN)


@app.command()
def compose(
    run: RunFolder,
    num: Num = 4,
    beats: Annotated[
        int | None, typer.Option("--beats", min=1, help="Length in quarter notes; the model's window by default.")
    ] = None,
    tempo: Annotated[float, typer.Option("--tempo", min=20, max=300, help="Quarter notes a minute.")] = 84.0,
    temperature: Temperature = None,
    seed: Seed = 0,
    device: Device = "auto",
    output: Output = Path("composed"),
) -> None:
    """Compose four-part music: MIDI, WAV and a piano roll."""
    from apps.audio import domain, tasks
    from core.files import writing

    scores = tasks.compose(domain.load(run, device), num, beats=beats, seed=seed, temperature=temperature)
    with writing(output):
        output.mkdir(parents=True, exist_ok=True)
        print_paths(tasks.write_scores(scores, output, tempo))


@app.command()
def effect(
    run: RunFolder,
    num: Num = 8,
    kind: Annotated[str | None, typer.Option("--class", help="Which class of sound; all in turn by default.")] = None,
    guidance: Guidance = None,
    temperature: Temperature = None,
    seed: Seed = 0,
    device: Device = "auto",
    output: Output = Path("effects"),
) -> None:
    """Make short sounds (instrument notes, drum hits ...): WAV and a spectrogram picture."""
    from apps.audio import domain, tasks
    from core.files import writing

    sounds = tasks.effect(
        domain.load(run, device), num, kind=kind, seed=seed, guidance_scale=guidance, temperature=temperature
    )
    with writing(output):
        output.mkdir(parents=True, exist_ok=True)
        print_paths(tasks.write_sounds(sounds, output))
