"""`fourfold text`: the shared verbs, and `generate`, `infill`, `score`, `translate`, `summarize`, `interpolate`."""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from core.command_line.verbs import (
    AsJson,
    Device,
    MinP,
    Num,
    RepetitionPenalty,
    RunFolder,
    Seed,
    Steps,
    Temperature,
    TopK,
    TopP,
    build,
)
from core.errors import FourfoldError

Texts = Annotated[
    list[str] | None, typer.Argument(metavar="TEXT", help="One or more, each in quotes; or give --file.")
]
TextFile = Annotated[Path | None, typer.Option("--file", "-f", help="A file, as UTF-8, with one text a line.")]
Beams = Annotated[int, typer.Option("--beams", min=1, help="Beginnings kept in the search; 1 takes the likeliest.")]
LengthPenalty = Annotated[
    float, typer.Option("--length-penalty", min=0, max=10, help="Above 1 prefers longer texts, below 1 shorter.")
]

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
    repetition_penalty: RepetitionPenalty = None,
    stop: Annotated[list[str] | None, typer.Option("--stop", help="End before this text; may be repeated.")] = None,
    stream: Annotated[bool, typer.Option("--stream", help="Show the text while it is written.")] = False,
    steps: Steps = None,
    seed: Seed = 0,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Write on from a prompt (autoregressive, diffusion), or write anything."""
    from apps.text import domain, tasks

    def show(piece: str) -> None:
        print(piece, end="", flush=True)

    if stream and as_json:
        raise FourfoldError("--stream and --json exclude each other: JSON is complete or none")
    texts = tasks.generate(
        domain.load(run, device), prompt, num, length=length, seed=seed, stop=stop or (),
        stream=show if stream else None, temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p,
        repetition_penalty=repetition_penalty, num_steps=steps,
    )
    if stream:
        print()
    else:
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
    """Bits per byte and perplexity of a file: how well the model predicts it."""
    from apps.text import domain, tasks
    from core.data.sources import read_text

    text = read_text(file)
    found = tasks.score(domain.load(run, device), text, seed=seed)
    if as_json:
        print(json.dumps(asdict(found)))
    else:
        print(f"{found.bits_per_byte:.3f} bits per byte, perplexity {found.perplexity:.2f} ({found.kind}; "
              f"{found.bytes:,} bytes, {found.tokens:,} tokens)")


@app.command()
def translate(
    run: RunFolder,
    texts: Texts = None,
    file: TextFile = None,
    beams: Beams = 4,
    length_penalty: LengthPenalty = 1.0,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Translate sentences with a model of pairs."""
    from apps.text import domain, tasks

    read = _given(texts, file)
    _print(tasks.translate(domain.load(run, device), read, beams=beams, length_penalty=length_penalty), as_json, "\n")


@app.command()
def summarize(
    run: RunFolder,
    texts: Texts = None,
    file: TextFile = None,
    beams: Beams = 4,
    length_penalty: LengthPenalty = 1.0,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Sum up descriptions with a model of pairs; of long ones it reads the beginning."""
    from apps.text import domain, tasks

    read = _given(texts, file)
    _print(tasks.summarize(domain.load(run, device), read, beams=beams, length_penalty=length_penalty), as_json, "\n")


@app.command()
def interpolate(
    run: RunFolder,
    first: Annotated[str, typer.Argument(metavar="FIRST", help="A text, in quotes.")],
    second: Annotated[str, typer.Argument(metavar="SECOND", help="Another.")],
    steps: Annotated[int, typer.Option("--steps", min=2, help="Texts, both ends included.")] = 7,
    temperature: Temperature = None,
    seed: Seed = 0,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Go from one text to another through the latents of a VAE or of a GAN, which keeps closer to both."""
    from apps.text import domain, tasks

    made = tasks.interpolate(domain.load(run, device), first, second, steps, seed=seed, temperature=temperature)
    _print(made, as_json, "\n")


def _given(texts: Sequence[str] | None, file: Path | None) -> list[str]:
    from core.data.sources import read_text

    if bool(texts) == (file is not None):
        raise FourfoldError("give texts or --file FILE, and not both")
    found = list(texts or []) if file is None else read_text(file).splitlines()
    if not any(text.strip() for text in found):
        raise FourfoldError(f"{file or 'the text'} is empty: nothing to read")
    for number, text in enumerate(found, start=1):
        if not text.strip():
            raise FourfoldError(f"{f'{file}, line' if file else 'text'} {number} is empty: leave it out")
    return found


def _print(texts: Sequence[str], as_json: bool, between: str = "\n\n– – –\n\n") -> None:
    print(json.dumps(list(texts), ensure_ascii=False, indent=2) if as_json else between.join(texts))
