"""Hostile input: a little of `python -m benchmarks.fuzz` for each loader, and all that it once found."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("resource", reason="limits are those of Unix")
if sys.platform != "linux":
    pytest.skip("memory is measured as Linux does", allow_module_level=True)

from benchmarks.fuzz import fault, fuzz
from benchmarks.fuzz_loaders import LOADERS
from core.errors import FourfoldError

FOUND = Path(__file__).parent / "data" / "fuzz"


@pytest.mark.parametrize("name", LOADERS)
def test_loaders_end_well(name: str, tmp_path: Path) -> None:
    outcome = fuzz(name, 8, 20.0, tmp_path)
    assert not outcome.found, [path.read_text() for path in tmp_path.rglob("*.txt")]
    assert outcome.values + outcome.refused == outcome.inputs > 3


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", sorted(FOUND.glob("*/*")), ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_was_found_once_ends_well(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOURFOLD_CACHE", str(tmp_path / "cache"))
    (tmp_path / "home").mkdir()
    (tmp_path / "folder").mkdir()
    loader = LOADERS[path.parent.name](tmp_path / "home")
    end, words = fault(loader, path.read_bytes(), tmp_path / "folder")
    assert end in ("value", "refused"), words


def test_messages_are_one_line_that_commands_no_terminal() -> None:
    assert str(FourfoldError("no file 'a\nb\x1b[2J\u2028\udcff'")) == r"no file 'a b\x1b[2J\u2028\udcff'"
    long = str(FourfoldError(f"{'x' * 9999}: give another"))
    assert len(long) == 2000 and long.endswith("xx: give another") and " ... " in long
