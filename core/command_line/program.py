"""A typer app as a program: a user's mistake is one line on stderr and exit code 2."""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn, TextIO, cast

import typer
from typer.core import TyperCommand

from core.errors import FourfoldError
from core.runtime import first_process

WAIT = 5.0
"""Seconds in which the first of several processes can tell an error that all of them meet."""
HELP = {"help_option_names": ["-h", "--help"]}


def main(app: typer.Typer, arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a typer app as a program.

    Raises:
        SystemExit: always, with the exit code.
    """
    with _streams():
        _main(app, arguments)


def _main(app: typer.Typer, arguments: Sequence[str] | None) -> NoReturn:
    # click's ClickException, the class above UsageError; typer may carry its own copy of click.
    usage_errors: type[Exception] = typer.BadParameter.__mro__[2]
    try:
        code = typer.main.get_command(app).main(args=arguments, standalone_mode=False)
        sys.stdout.flush()
        sys.exit(code if isinstance(code, int) else 0)
    except FourfoldError as error:
        _fail(str(error))
    except (KeyboardInterrupt, typer.Abort):
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(1)
    except OSError as error:
        if error.errno is None:
            raise
        place = f"{error.filename}: " if error.filename else ""
        _fail(f"{place}{error.strerror}")
    except usage_errors as error:  # an unknown option, a missing argument
        message = error.format_message()  # type: ignore[attr-defined]
        if not message:  # no command was given, and the help has been printed
            sys.exit(2)
        _fail(message)


class _Stream:
    """stdout, whose full disk has a name; or stderr, which stays quiet when nobody reads it: news end no work."""

    def __init__(self, stream: TextIO, needed: bool) -> None:
        self._stream, self._needed = stream, needed

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with self._watched():
            return self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self._watched():
            self._stream.flush()

    @contextmanager
    def _watched(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            if self._needed:
                raise
        except OSError as error:
            if self._needed:
                raise FourfoldError(f"cannot write to standard output: {error.strerror}") from error


@contextmanager
def _streams() -> Iterator[None]:
    """Standard streams that lose what they cannot show, and not the work; of several processes, one speaks."""
    for number in range(3):  # where one is closed, the next file opened would take its place
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    before = sys.stdout, sys.stderr
    speaks = first_process()
    sys.stdout, sys.stderr = (s if s and speaks else open(os.devnull, "w") for s in before)  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    sys.stdout, sys.stderr = (cast(TextIO, _Stream(s, s is sys.stdout)) for s in (sys.stdout, sys.stderr))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def _fail(message: str) -> NoReturn:
    line = " ".join(message.split())
    if first_process():
        print(f"error: {line}", file=sys.stderr)
    else:
        time.sleep(WAIT)  # where the first process fails too, torchrun ends this one now
        print(f"error in process {os.environ['RANK']}: {line}", file=sys.__stderr__)
    sys.exit(2)


def deferred(make: Callable[[], Any]) -> type[TyperCommand]:
    """A command class whose real (click) command is made when it is used, not when it is listed.

    Any: typer may carry its own copy of click, whose types have no public name.
    """

    class Deferred(TyperCommand):
        def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
            return make().make_context(info_name, args, parent, **extra)

    return Deferred
