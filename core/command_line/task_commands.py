"""A command made from a task: its arguments and options are the fields of the task's parameters."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, TypedDict, cast

import typer

from core.command_line.options import AsJson, Device, OptionalRun, Overwrite
from core.command_line.printing import print_json, print_paths, shown_progress
from core.errors import FourfoldError
from core.runs.tasks import Description, Progress, Task, described

LoadModel = Callable[[Path, str], object]


class Shared(TypedDict, total=False):
    """What commands take besides a task's own parameters."""

    run: Path
    device: str
    output: Path | None
    overwrite: bool
    stream: bool
    as_json: bool


def task_command(task: Task, load_model: LoadModel) -> Callable[..., None]:
    """The function behind a task's command; `load_model`: (run folder, device) -> model."""
    shared = _shared_options(task)

    def command(**values: object) -> None:
        own = {name: values.pop(name) for name in list(values) if name not in shared}
        _run(task, load_model, task.parameters(**own), cast(Shared, values))

    hints = typing.get_type_hints(task.parameters)
    defaults = {name: spec.default for name, spec in inspect.signature(task.parameters).parameters.items()}
    parameters = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=defaults[name],
                          annotation=Annotated[hints[name], _typer_info(description)])
        for name, description in described(task.parameters).items()
    ]
    run = [shared["run"]] if "run" in shared else []
    rest = [parameter for name, parameter in shared.items() if name != "run"]
    command.__signature__ = inspect.Signature([*run, *parameters, *rest])  # type: ignore[attr-defined]
    command.__name__, command.__doc__ = task.name, task.summary
    return command


def _shared_options(task: Task) -> dict[str, inspect.Parameter]:
    """What a command takes besides the task's own parameters."""
    found: dict[str, tuple[object, object]] = {}
    if task.takes_model:
        found |= {"run": (OptionalRun, None), "device": (Device, "auto")}
    if task.output is not None:
        help_ = f"Folder to write to; by default {task.output}, or {task.output}-2 ... where that holds files."
        found["output"] = Annotated[Path | None, typer.Option("--output", "-o", help=help_)], None
        found["overwrite"] = Overwrite, False
    if task.streams:
        found["stream"] = Annotated[bool, typer.Option("--stream", help="Show the text while it is written.")], False
    found["as_json"] = AsJson, False
    return {
        name: inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, (annotation, default) in found.items()
    }


def _typer_info(description: Description) -> object:
    if not description.flags:
        return typer.Argument(metavar=description.metavar, help=description.help)
    return typer.Option(*description.flags, help=description.help, min=description.minimum, max=description.maximum,
                        metavar=description.metavar)


def _output(default: Path, shared: Shared) -> Path:
    """The folder to write to: what was there before is not touched unless that was asked for."""
    from core.files import free_name, is_vacant

    given = shared["output"]
    if given is None:
        return default if shared["overwrite"] else free_name(default)
    if given.is_dir() and not shared["overwrite"] and not is_vacant(given):
        raise FourfoldError(f"{given} is not empty: choose another folder with --output, or --overwrite to replace "
                            "files of the same name in it")
    return given


def _show(piece: str) -> None:
    print(piece, end="", flush=True)


def _run(task: Task, load_model: LoadModel, parameters: object, shared: Shared) -> None:
    """Do the task, write its files, print what it says."""
    from core.files import writing
    from core.runtime import first_process

    stream, as_json = shared.get("stream", False), shared["as_json"]
    if stream and as_json:
        raise FourfoldError("--stream and --json exclude each other: JSON is complete or none")
    output = _output(Path(task.output), shared) if task.output is not None and first_process() else None
    model = load_model(shared["run"], shared["device"]) if task.takes_model else None
    # A bar would stand in the middle of a text that is written.
    shown = nullcontext(Progress(on_text=_show)) if stream else shown_progress(task.name)
    paths: list[Path] = []
    with shown as progress:
        result = task.run(model, parameters, progress)
        if output is not None and result.write is not None:
            with writing(output):
                output.mkdir(parents=True, exist_ok=True)
                paths = result.write(output)
    if as_json:
        data = result.data
        if paths:
            made = data if isinstance(data, dict) else {} if data is None else {"made": data}
            data = {**made, "files": [str(path) for path in paths]}
        print_json(data)
        return
    if stream or result.text:
        print("" if stream else result.text)
    print_paths(paths)
