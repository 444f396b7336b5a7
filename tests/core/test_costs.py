"""What training costs is known before it begins: from steps measured here, else from what a recipe's author tells."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_domain import DOMAIN, app, ring_diffusion  # noqa: F401  (the fixtures' program)

from core.data.sources import file_origin, folder_origin, package_origin
from core.runs.costs import minutes
from core.runs.recipe import Recipe

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOURFOLD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("FOURFOLD_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(("told", "value"), [
    ("`train x`. 36 minutes; FD 2.12.", 36.0), ("`train x`. Half a minute: 2.45 bits.", 0.5),
    ("`train x`, 30 s on one core.", 0.5), ("`train x`: two minutes; fd 23.", 2.0), ("`train x`. A minute: 54.", 1.0),
    ("`train x`. Not trained in full.", None), ("Flow matching of 28x28 pixels.", None),
])
def test_minutes_that_an_author_tells(told: str, value: float | None) -> None:
    def make() -> Recipe[object]:
        return ring_diffusion()  # type: ignore[return-value]

    make.__doc__ = f"A recipe.\n\n{told}"
    found = minutes(make)
    assert (found.value, found.measured) == (value, False) and found.told[:1] == ("~" if value else "")


def test_a_dry_run_tells_minutes_memory_and_classes(cli: Cli) -> None:
    code, out, err = cli("train", "ring-diffusion", "--dry-run", "--set", "train.steps=600000")
    assert code == 0, err
    told = re.search(r"time +([\d.]+) minutes", out)
    assert told and 0.5 < float(told[1]) < 600 and re.search(r"memory +[\d.]+ GB", out)
    assert "label (2 classes: left, right)" in out and not Path("runs").exists()
    found = minutes(lambda: replace(ring_diffusion(), train=replace(ring_diffusion().train, steps=600000)))
    assert found.measured and found.value == pytest.approx(float(told[1]), abs=0.06)


def test_training_is_remembered_and_missing_runs_tell_their_cost(cli: Cli, refused: Callable[..., str]) -> None:
    def told() -> str:
        return next(row["minutes"] for row in json.loads(cli("recipes", "--json")[1]) if row["name"] == "ring-vae")

    assert told() == ""
    assert cli("train", "ring-vae", "--run", "elsewhere")[0] == 0
    assert re.fullmatch(r"\d+\.\d", told())
    assert "`fourfold tiny train ring-vae` makes it (0." in refused("sample", "ring-vae")


def test_all_recipes_can_be_measured(cli: Cli) -> None:
    code, out, _ = cli("recipes", "--measure", "--json")
    assert code == 0 and all(row["minutes"] for row in json.loads(out))


def test_whether_data_are_at_hand(tmp_path: Path) -> None:
    (tmp_path / "text").mkdir()
    assert file_origin("text", None).at_hand and not file_origin("sounds", 3).at_hand
    assert package_origin("numpy", "1.0", 9).at_hand and not package_origin("no-such-package", "1.0", 9).at_hand
    assert package_origin("no-such-package", "1.0", 9, own="text").at_hand
    assert folder_origin(str(tmp_path)).at_hand and not folder_origin(str(tmp_path / "gone")).at_hand
