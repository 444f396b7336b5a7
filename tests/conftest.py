"""What tests of several domains share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

torch.set_num_threads(1)  # the models here are small: threads would only get in each other's way


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command line that must be refused: exit code 2 and one line on stderr, which is returned."""
    from core.cli import main

    def run(app: Any, *words: object) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            main(app, [str(word) for word in words])
        out, err = capsys.readouterr()
        assert caught.value.code == 2, err
        assert err.startswith("error: ") and err.count("\n") == 1 and "Traceback" not in err, err
        return err

    return run
