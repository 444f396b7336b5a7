"""`fourfold text`: the shared verbs, and `generate`, `infill`, `score`."""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from core.cli import AsJson, Device, MinP, Num, RunFolder, Seed, Steps, Temperature, TopK, TopP, build

app = build("text", lambda: importlib.import_module("apps.text.domain").DOMAIN)


@app.command()
def generate(
    run: RunFolder,
    prompt: Annotated[str, typer.Option("--prompt", "-p", help="The text to go on from.")] = "",
    num: Num = 1,
    length: Annotated[
        int | None, typer.Option("--length", min=1, help="Tokens to write; one window by default.")
    ] = None,
    temperature: Temperature = None,
    top_k: TopK = None,
    top_p: TopP = None,
    min_p: MinP = None,
    steps: Steps = None,
    seed: Seed = 0,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Write on from a prompt (autoregressive, diffusion), or write anything."""
    from apps.text import domain, tasks

    texts = tasks.generate(
        domain.load(run, device), prompt, num, length=length, seed=seed, temperature=temperature, top_k=top_k,
        top_p=top_p, min_p=min_p, num_steps=steps,
    )
    _print(texts, as_json)


@app.command()
def infill(
    run: RunFolder,
    text: Annotated[str, typer.Argument(metavar="TEXT", help='With gaps: "The [MASK:8] sat on the mat".')],
    num: Num = 1,
    temperature: Temperature = None,
    top_p: TopP = None,
    steps: Steps = None,
    seed: Seed = 0,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Fill the gaps of a text (diffusion)."""
    from apps.text import domain, tasks

    texts = tasks.infill(
        domain.load(run, device), text, num, seed=seed, temperature=temperature, top_p=top_p, num_steps=steps
    )
    _print(texts, as_json)


@app.command()
def score(
    run: RunFolder,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A text file, as UTF-8.")],
    seed: Seed = 0,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Bits per byte of a file: how well the model predicts it."""
    from apps.text import domain, tasks
    from apps.text.data import read_text

    text = read_text(file)
    found = tasks.score(domain.load(run, device), text, seed=seed)
    if as_json:
        print(json.dumps(asdict(found)))
    else:
        print(f"{found.bits_per_byte:.3f} bits per byte ({found.kind}; {found.bytes:,} bytes, {found.tokens:,} tokens)")


def _print(texts: Sequence[str], as_json: bool) -> None:
    print(json.dumps(list(texts), ensure_ascii=False, indent=2) if as_json else "\n\n– – –\n\n".join(texts))
