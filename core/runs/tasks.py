"""A task is a value: what people come for, declared once; command line and pages are made from it.

    @dataclass(frozen=True, kw_only=True)
    class Upscale(Seeded):
        photos: list[Path] = argument("PHOTO...", "Pictures: PNG, JPEG, WebP ...")
        factor: int = option(2, "2 or 4 times the pixels along each side.")

    UPSCALE = Task(name="upscale", summary="Enlarge pictures.", parameters=Upscale, run=upscale, result="pictures",
                   output="out")

Declarations import nothing heavy, so that `--help` answers at once; `run` imports what it needs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

from core.runs.media import Media

if TYPE_CHECKING:
    from core.families.family import SettingChanges

T = TypeVar("T")
Kind = Literal["pictures", "text", "sound", "molecules", "episodes", "numbers"]
"""What a task makes, for a page that shows it."""


class Stopped(Exception):
    """A task was asked to stop before its end."""


@dataclass
class Progress:
    """What a long task tells while it works, and how it is stopped.

    Attributes:
        on_step: is told (done, total) after each part of the work.
        on_text: is told a text piece by piece as it is written; None where nobody reads along.
        stopped: set it from anywhere, and the next `step` raises `Stopped`.
    """

    on_step: Callable[[int, int], None] | None = None
    on_text: Callable[[str], None] | None = None
    stopped: bool = False

    def step(self, done: int, total: int) -> None:
        """Tell that `done` of `total` parts are done.

        Raises:
            Stopped: the task is to end here.
        """
        if self.stopped:
            raise Stopped
        if self.on_step is not None:
            self.on_step(done, total)


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a task made.

    Attributes:
        text: as a person reads it; data: the same for programs, as JSON values.
        write: writes what was made as files into a folder, and returns their paths; None where text is all.
        media: pictures and sounds for a page.
    """

    text: str = ""
    data: object = None
    write: Callable[[Path], list[Path]] | None = None
    media: Callable[[], list[Media]] | None = None


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a domain can be asked for.

    Attributes:
        name: on the command line; summary: what it does, in a line.
        parameters: a frozen dataclass whose fields are made by `argument` and `option`.
        run: (model, parameters, progress) -> result; the model is None where `takes_model` is False.
        result: what it makes.
        output: the folder that files go to by default; None where it makes none.
        streams: whether it can show its text while it is written.
        example: what a person may give it after the run, as in "photo.png --factor 2".
        model: the model that is asked where none is named; by default the domain's.
    """

    name: str
    summary: str
    parameters: type
    run: Callable[..., Result]
    result: Kind
    output: str | None = None
    takes_model: bool = True
    streams: bool = False
    example: str = ""
    model: str | None = None


@dataclass(frozen=True)
class Description:
    """How a parameter is shown: `flags` such as ("--num", "-n"), none for an argument; its range, and its help."""

    help: str
    flags: tuple[str, ...] = ()
    metavar: str | None = None
    minimum: float | None = None
    maximum: float | None = None


def option(
    default: T, help: str, *flags: str, minimum: float | None = None, maximum: float | None = None,
    metavar: str | None = None,
) -> T:
    """A field of a task's parameters that may be given by name; `flags`: other names than the field's own."""
    description = Description(help, flags or ("",), metavar, minimum, maximum)
    return field(default=default, metadata={"description": description})


def argument(metavar: str, help: str, default: Any = dataclasses.MISSING) -> Any:
    """A field that is given by its place; needed unless there is a default."""
    metadata = {"description": Description(help, metavar=metavar)}
    return field(metadata=metadata) if default is dataclasses.MISSING else field(default=default, metadata=metadata)


def described(parameters: type) -> dict[str, Description]:
    """The description of each field; a field without flags of its own is called as it is."""
    found = {}
    for spec in fields(parameters):
        description: Description = spec.metadata["description"]
        if description.flags == ("",):
            description = dataclasses.replace(description, flags=(f"--{spec.name.replace('_', '-')}",))
        found[spec.name] = description
    return found


def seed_option() -> int:
    """`--seed`."""
    return option(0, "Seed of every random draw.", minimum=0, maximum=2**63 - 1)


def num_option(default: int) -> int:
    """`--num`, `-n`."""
    return option(default, "How many.", "--num", "-n", minimum=1, maximum=10**9)


def num_steps_option() -> int | None:
    """`--steps`."""
    return option(None, "Network evaluations' schedule length (diffusion).", "--steps", minimum=1)


def solver_option() -> str | None:
    """`--solver`."""
    return option(None, "euler, heun, dpmpp_2m or ancestral (diffusion).")


def guidance_option() -> float | None:
    """`--guidance`."""
    return option(None, "Classifier-free guidance; 1 is none.", "--guidance")


def temperature_option() -> float | None:
    """`--temperature`."""
    return option(None, "Above 0; lower is safer, higher wilder.")


def top_k_option() -> int | None:
    """`--top-k`."""
    return option(None, "Keep the k most probable tokens.", minimum=1)


def top_p_option() -> float | None:
    """`--top-p`."""
    return option(None, "Keep the most probable tokens up to this share.")


def min_p_option() -> float | None:
    """`--min-p`."""
    return option(None, "Keep tokens above this share of the most probable.")


def changes(parameters: object) -> SettingChanges:
    """Those of a task's parameters that are sample settings, for the verbs of `Model`."""
    from core.families.family import SettingChanges

    names = SettingChanges.__annotations__
    return cast(SettingChanges, {name: value for name, value in vars(parameters).items() if name in names})
