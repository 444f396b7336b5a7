"""The argument RUN may be left out: a model that ships takes its place."""

from __future__ import annotations

import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer.core import TyperCommand

from core.errors import FourfoldError
from core.runs import places
from core.runs.tasks import Task, described

if TYPE_CHECKING:
    from core.runs.domain import Domain
    from core.runs.model import CodecT, DataT, Item


def run_by_default(
    load_domain: Callable[[], Domain[DataT, CodecT, Item]], task: Task | None = None
) -> type[TyperCommand]:
    """A command class that puts the default model's name before a user's words where these name no run.

    `task`: whose arguments follow RUN; None where nothing does.

    Any: typer may carry its own copy of click, whose types have no public name.
    """

    class RunByDefault(TyperCommand):
        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            if not ctx.resilient_parsing:
                given, others, _ = self.make_parser(ctx).parse_args(list(args))
                if not given.get("help"):
                    words = [word for parameter in self.params if parameter.param_type_name == "argument"
                             for word in _words(given.get(parameter.name or ""))] + others
                    domain = load_domain()
                    if not _names_run(words, domain, task):
                        args = [_default(domain, task), *args]
            return super().parse_args(ctx, args)

    return RunByDefault


def _words(value: object) -> list[str]:
    """What a parser found for an argument: a word, several, or a mark that there is none."""
    return [value] if isinstance(value, str) else list(value) if isinstance(value, (list, tuple)) else []


def _names_run(words: Sequence[str], domain: Domain[DataT, CodecT, Item], task: Task | None) -> bool:
    """Whether the first of a user's words is a run, or is meant to be one: what is not there is told as such."""
    if not words:
        return False
    first = words[0]
    if places.is_run(first, domain.name, domain.models) or first in domain.recipes:
        return True
    if not Path(first).is_file() and (Path(first).is_dir() or _is_path(first)):
        return True
    own = {} if task is None else {
        name: hint for name, hint in typing.get_type_hints(task.parameters).items()
        if not described(task.parameters)[name].flags
    }
    several = [hint for hint in own.values() if "list" in str(hint)]
    if not several:
        return len(words) > len(own)
    of_paths = "Path" in str(several[0])
    return of_paths and not Path(first).exists()


def _is_path(word: str) -> bool:
    """Whether a word is the path of a run rather than a text."""
    return word.startswith((f"{places.RUNS}/", "/", "./", "../", "~/")) and not any(map(str.isspace, word))


def _default(domain: Domain[DataT, CodecT, Item], task: Task | None) -> str:
    """The name of the model that is asked where none is named.

    Raises:
        FourfoldError: it does not ship.
    """
    name = task.model if task is not None and task.model is not None else domain.model
    if name is None or not places.is_run(name, domain.name, domain.models):
        raise FourfoldError(f"no RUN was named, and no {domain.name} model that ships suits"
                            f"{f' ({name} would)' if name else ''}: name a run; `fourfold {domain.name} recipes` lists "
                            "what can be trained, `fourfold models` what ships")
    return name
