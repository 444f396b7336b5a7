"""The `fourfold` program itself: its version, its completion, and what it says when an extra is not installed."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from apps.cli import app  # noqa: F401  (the fixtures' program)
from core.errors import FourfoldError
from core.extras import needed
from core.runtime import version

ROOT = Path(__file__).parent.parent
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


def test_version(cli: Callable[..., tuple[int, str, str]]) -> None:
    assert cli("--version") == (0, f"{version()}\n", "")


@pytest.mark.parametrize(("typed", "offered"), [("im", "image"), ("image sam", "sample"), ("text gen", "generate")])
def test_the_shell_completes(typed: str, offered: str) -> None:
    words = ["fourfold", *typed.split()]
    environment = {**os.environ, "_FOURFOLD_COMPLETE": "complete_bash", "COMP_WORDS": " ".join(words),
                   "COMP_CWORD": str(len(words) - 1)}
    script = "import sys; sys.argv = ['fourfold']; from apps.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True,
                          timeout=60, check=False)
    assert offered in done.stdout.split(), done


@pytest.mark.parametrize(("module", "extra"), [("metaworld.policies", "robotics"), ("skimage.restoration", "image")])
def test_a_missing_extra_is_one_line_that_names_it(monkeypatch: pytest.MonkeyPatch, module: str, extra: str) -> None:
    monkeypatch.setitem(sys.modules, module.partition(".")[0], None)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(FourfoldError, match=f"install the extra '{extra}'") as caught:
        needed(module, extra)
    assert "\n" not in str(caught.value) and f"'.[{extra}]'" in str(caught.value)
    assert extra in EXTRAS and f"fourfold[{','.join(('image', 'audio', 'molecules', 'robotics'))}]" in EXTRAS["all"]
