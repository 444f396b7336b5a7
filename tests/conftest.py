"""What tests of several domains share."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest
import torch
from command_line import run

torch.set_num_threads(1)  # the models here are small: threads would only get in each other's way

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell that starts the tests in the background has them, and all they start, ignore Ctrl-C, which is tested.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def cli(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command line of the test module's `app`; returns exit code, stdout and stderr."""

    def told(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        return (run(request.module.app, *words), *capsys.readouterr())

    return told


@pytest.fixture
def refused(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command line of the test module's `app` that must be refused with exit code 2; returns its one line."""
    def check(*words: object) -> str:
        capsys.readouterr()
        code = run(request.module.app, *words)
        out, err = capsys.readouterr()
        assert code == 2, err
        assert out == "" and err.startswith("error: ") and err.count("\n") == 1 and "Traceback" not in err, err
        return err

    return check
