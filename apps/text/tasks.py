"""The tasks of text: writing on, filling gaps, scoring, translating, summing up, going from one text to another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import FourfoldError
from core.runs.tasks import (
    Progress,
    Result,
    Task,
    argument,
    changes,
    min_p_option,
    num_option,
    num_steps_option,
    option,
    seed_option,
    temperature_option,
    top_k_option,
    top_p_option,
)

if TYPE_CHECKING:
    from apps.text.data import TextModel
    from apps.text.text_data import TextData
    from core.runs.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class Generate:
    begin: str = argument("PROMPT", "The text to go on from.", "")
    prompt: str = option("", "The same, by name.", "--prompt", "-p")
    num: int = num_option(1)
    label: str | None = option(None, "Of documents with labels, the class to write.")
    length: int | None = option(None, "Tokens to write; one window by default.", minimum=1, maximum=10**8)
    temperature: float | None = temperature_option()
    top_k: int | None = top_k_option()
    top_p: float | None = top_p_option()
    min_p: float | None = min_p_option()
    repetition_penalty: float | None = option(None, "Above 1: what occurred before becomes less likely.")
    int8: bool | None = option(None, "Read weights as int8: faster for one text on a CPU, slightly off.", "--int8")
    stop: list[str] | None = option(None, "End before this text; may be repeated.")
    num_steps: int | None = num_steps_option()
    seed: int = seed_option()


def generate(model: TextModel, parameters: Generate, progress: Progress) -> Result:
    from apps.text.generation import generate

    if parameters.begin and parameters.prompt:
        raise FourfoldError("give the text to go on from once: by its place or by --prompt")
    return _texts(generate(
        model, parameters.begin or parameters.prompt, parameters.num, length=parameters.length,
        label=parameters.label, seed=parameters.seed, stop=parameters.stop or (), stream=progress.on_text,
        progress=progress, **changes(parameters),
    ))


@dataclass(frozen=True, kw_only=True)
class Reply:
    message: str = argument("MESSAGE", "What the user says, in quotes.")
    length: int = option(256, "Tokens of the answer at most.", minimum=1, maximum=10**6)
    temperature: float | None = temperature_option()
    top_p: float | None = top_p_option()
    seed: int = seed_option()


def reply(model: TextModel, parameters: Reply, progress: Progress) -> Result:
    from apps.text.generation import reply

    return _texts([reply(model, parameters.message, length=parameters.length, seed=parameters.seed,
                         stream=progress.on_text, **changes(parameters))])


@dataclass(frozen=True, kw_only=True)
class Infill:
    text: str = argument("TEXT", 'With gaps: "The [MASK:8] sat on the mat".')
    num: int = num_option(1)
    temperature: float | None = temperature_option()
    top_p: float | None = top_p_option()
    num_steps: int | None = num_steps_option()
    seed: int = seed_option()


def infill(model: TextModel, parameters: Infill, progress: Progress) -> Result:
    from apps.text.generation import infill

    return _texts(infill(model, parameters.text, parameters.num, seed=parameters.seed, **changes(parameters)))


@dataclass(frozen=True, kw_only=True)
class ScoreFile:
    file: Path = argument("FILE", "A text file, as UTF-8.")
    seed: int = seed_option()


def score(model: TextModel, parameters: ScoreFile, progress: Progress) -> Result:
    from apps.text.scoring import score
    from core.data.sources import read_text

    found = score(model, read_text(parameters.file), seed=parameters.seed, progress=progress)
    text = (f"{found.bits_per_byte:.3f} bits per byte, perplexity {found.perplexity:.2f} ({found.kind}; "
            f"{found.bytes:,} bytes, {found.tokens:,} tokens)")
    return Result(text=text, data=asdict(found))


@dataclass(frozen=True, kw_only=True)
class Search:
    texts: list[str] | None = argument("TEXT", "One or more, each in quotes; or give --file.", default=None)
    file: Path | None = option(None, "A file, as UTF-8, with one text a line.", "--file", "-f")
    beams: int = option(4, "Beginnings kept in the search; 1 takes the most probable token each time.", minimum=1,
                       maximum=1_000)
    length_penalty: float = option(1.0, "Above 1 prefers longer texts, below 1 shorter.", minimum=0, maximum=10)


def translate(model: TextModel, parameters: Search, progress: Progress) -> Result:
    from apps.text.pairs import translate

    return _texts(translate(model, _given(parameters), beams=parameters.beams,
                            length_penalty=parameters.length_penalty, progress=progress), "\n")


def summarize(model: TextModel, parameters: Search, progress: Progress) -> Result:
    from apps.text.pairs import summarize

    return _texts(summarize(model, _given(parameters), beams=parameters.beams,
                            length_penalty=parameters.length_penalty, progress=progress), "\n")


@dataclass(frozen=True, kw_only=True)
class Interpolate:
    first: str = argument("FIRST", "A text, in quotes.")
    second: str = argument("SECOND", "Another.")
    steps: int = option(7, "Texts, both ends included.", minimum=2, maximum=10_000)
    temperature: float | None = temperature_option()
    seed: int = seed_option()


def interpolate(model: TextModel, parameters: Interpolate, progress: Progress) -> Result:
    from apps.text.latents import interpolate

    return _texts(interpolate(model, parameters.first, parameters.second, parameters.steps, seed=parameters.seed,
                              **changes(parameters)), "\n")


def _given(parameters: Search) -> list[str]:
    """The texts that a command was given, as words or as a file."""
    from core.data.tables import read_lines

    texts, file = parameters.texts, parameters.file
    if bool(texts) == (file is not None):
        raise FourfoldError("give texts or --file FILE, and not both")
    found = list(texts or []) if file is None else [line for _, line in read_lines(file)]
    if not any(text.strip() for text in found):
        raise FourfoldError(f"{file or 'the text'} is empty: nothing to read")
    for number, text in enumerate(found, start=1):
        if not text.strip():
            raise FourfoldError(f"{f'{file}, line' if file else 'text'} {number} is empty: leave it out")
    return found


def _texts(texts: Sequence[str], between: str = "\n\n– – –\n\n") -> Result:
    return Result(text=between.join(texts), data=list(texts))


def suggests(recipe: Recipe[TextData]) -> list[str]:
    """What a model of `recipe` is for, as `Domain.suggests`."""
    if recipe.data.unit == "pair":
        return [('translate' if recipe.data.source == "multi30k" else "summarize") + ' {run} "A text, in quotes."']
    ways = {
        "autoregressive": ['generate {run} --prompt "To be" --stream', "score {run} page.txt"],
        "diffusion": ['generate {run} --prompt "To be"', 'infill {run} "To be or [MASK:16] question"'],
    }
    return ways.get(recipe.family.kind, ["generate {run}", 'interpolate {run} "To be or not" "Good night, sir"'])


TASKS = (
    Task(name="generate", summary="Write on from a prompt (autoregressive, diffusion), or write anything.",
         parameters=Generate, run=generate, result="text", streams=True, example='"ROMEO:" --stream'),
    Task(name="reply", summary="Answer a message (a model of chats, autoregressive).", parameters=Reply, run=reply,
         result="text", streams=True, example='"How are you?"', model="chats"),
    Task(name="infill", summary="Fill the gaps of a text (diffusion).", parameters=Infill, run=infill, result="text",
         example='"The [MASK:8] sat on the mat"', model="shakespeare-diffusion"),
    Task(name="score", summary="Bits per byte and perplexity of a file: how well the model predicts it.",
         parameters=ScoreFile, run=score, result="numbers", example="letter.txt"),
    Task(name="translate", summary="Translate sentences with a model of pairs.", parameters=Search, run=translate,
         result="text", example='"A small editor of text files."', model="translate-en-de"),
    Task(name="summarize", summary="Sum up descriptions with a model of pairs; of long ones it reads the beginning.",
         parameters=Search, run=summarize, result="text", example="--file descriptions.txt", model="summaries"),
    Task(name="interpolate", parameters=Interpolate, run=interpolate, result="text", model="captions",
         example='"a cat on a sofa." "a bus in the street."',
         summary="Go from one text to another through the latents of a VAE or of a GAN, which keeps closer to both."),
)
