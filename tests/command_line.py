"""Run a command line of an app as a user does, in this process."""

from __future__ import annotations

import pytest
import typer

from core.command_line.program import main


def run(app: typer.Typer, *words: object) -> int:
    """The exit code."""
    with pytest.raises(SystemExit) as caught:
        main(app, [str(word) for word in words])
    code = caught.value.code
    return code if isinstance(code, int) else 0


def succeed(app: typer.Typer, *words: object) -> None:
    assert run(app, *words) == 0
