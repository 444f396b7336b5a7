"""What tests of several domains share."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest
import torch

torch.set_num_threads(1)  # the models here are small: threads would only get in each other's way

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell that starts the tests in the background has them, and all they start, ignore Ctrl-C, which is tested.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def refused(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command line of the test module's `app` that must be refused with exit code 2; returns its one line."""
    from core.cli import main

    def check(*words: object) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            main(request.module.app, [str(word) for word in words])
        out, err = capsys.readouterr()
        assert caught.value.code == 2, err
        assert out == "" and err.startswith("error: ") and err.count("\n") == 1 and "Traceback" not in err, err
        return err

    return check
