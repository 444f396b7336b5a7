"""A typer app as a program: a user's mistake is one line on stderr and exit code 2."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import typer
from typer.core import TyperCommand

from core.errors import FourfoldError

HELP = {"help_option_names": ["-h", "--help"]}


def main(app: typer.Typer, arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a typer app as a program.

    Raises:
        SystemExit: always, with the exit code.
    """
    # click's ClickException, the class above UsageError; typer may carry its own copy of click.
    usage_errors: type[Exception] = typer.BadParameter.__mro__[2]
    try:
        code = typer.main.get_command(app).main(args=arguments, standalone_mode=False)
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


def _fail(message: str) -> NoReturn:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(2)


def deferred(make: Callable[[], Any]) -> type[TyperCommand]:
    """A command class whose real (click) command is made when it is used, not when it is listed.

    Any: typer may carry its own copy of click, whose types have no public name.
    """

    class Deferred(TyperCommand):
        def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
            return make().make_context(info_name, args, parent, **extra)

    return Deferred
