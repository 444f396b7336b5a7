"""Runs are found by what people call them, and nothing that was there is written over in silence."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import succeed
from tiny_domain import DOMAIN, app

from core.command_line.printing import print_paths
from core.runs.pretrained import load

Cli = Callable[..., tuple[int, str, str]]
FAST = ("--set", "train.steps=2")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `ring-vae` was trained."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        succeed(app, "train", "ring-vae", *FAST)
    return folder


@pytest.fixture(autouse=True)
def inside(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    for path in home.iterdir():
        if path.name != "runs":
            shutil.rmtree(path)


def test_a_run_has_three_names(cli: Cli, home: Path) -> None:
    assert (home / "runs" / "tiny" / "ring-vae" / "report.html").exists()
    for name in ("ring-vae", "runs/ring-vae", "runs/tiny/ring-vae", home / "runs" / "tiny" / "ring-vae"):
        assert cli("sample", name, "-n", 2)[0] == 0, name
    assert load("ring-vae", DOMAIN).recipe.name == "ring-vae"


def test_runs_in_the_old_place_are_found_and_continue(cli: Cli, home: Path) -> None:
    old, new = home / "runs" / "ring-vae", home / "runs" / "tiny" / "ring-vae"
    new.rename(old)
    try:
        for name in ("ring-vae", "runs/ring-vae", "runs/tiny/ring-vae"):
            assert cli("show", name)[0] == 0, name
        written = (old / "model" / "model.safetensors").stat().st_mtime_ns
        assert cli("train", "ring-vae", *FAST)[0] == 0 and not new.exists()
        assert (old / "model" / "model.safetensors").stat().st_mtime_ns == written
    finally:
        old.rename(new)


def test_another_domains_run_is_not_taken(refused: Callable[..., str], home: Path) -> None:
    other = home / "runs" / "ring-gan"
    other.mkdir()
    (other / "recipe.json").write_text(json.dumps({"domain": "other"}))
    try:
        assert "no such run" in refused("sample", "ring-gan")
    finally:
        shutil.rmtree(other)


def test_a_missing_run_names_the_command_that_makes_it(refused: Callable[..., str]) -> None:
    for name in ("ring-gan", "runs/ring-gan", "runs/tiny/ring-gan"):
        assert "`fourfold tiny train ring-gan` makes it" in refused("sample", name)
    assert "`fourfold models`" in refused("evaluate", "nonsense")


def test_models_of_a_folder_are_named_and_only_read(
    cli: Cli, home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mine = tmp_path / "tiny" / "circle"
    shutil.copytree(home / "runs" / "tiny" / "ring-vae" / "model", mine)
    monkeypatch.setenv("FOURFOLD_MODELS", str(tmp_path))
    before = sorted(tmp_path.rglob("*"))
    assert cli("sample", "circle", "-n", 2)[0] == 0
    assert cli("evaluate", "circle", "-n", 20)[0] == 0
    assert json.loads(cli("show", "circle")[1])["name"] == "ring-vae"
    assert sorted(tmp_path.rglob("*")) == before
    assert cli("train", "--from", "circle", "--run", tmp_path / "tuned", *FAST)[0] == 0
    assert json.loads((tmp_path / "tuned" / "recipe.json").read_text())["start"] == "circle"


def test_what_was_there_is_not_written_over(cli: Cli, refused: Callable[..., str], home: Path) -> None:
    for name in ("samples", "samples-2", "samples-3"):
        assert cli("sample", "ring-vae", "-n", 2)[1].startswith(name)
    first = (home / "samples" / "points.csv").read_text()
    assert "--overwrite" in refused("sample", "ring-vae", "-n", 2, "--seed", 1, "-o", "samples")
    assert (home / "samples" / "points.csv").read_text() == first
    assert cli("sample", "ring-vae", "-n", 2, "--seed", 1, "-o", "samples", "--overwrite")[0] == 0
    assert (home / "samples" / "points.csv").read_text() != first


def test_many_files_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_paths([Path("out") / f"{number}.png" for number in range(64)])
    assert capsys.readouterr().out == "64 files in out: 0.png, 1.png ... 63.png\n"


def test_train_says_what_comes_next_and_it_works(cli: Cli, home: Path) -> None:
    code, out, _ = cli("train", "ring-vae", *FAST)
    lines = out.partition("next:\n")[2].splitlines()
    assert code == 0 and len(lines) == len(DOMAIN.next_commands(DOMAIN.recipe("ring-vae"), Path("runs"))) >= 3
    for line in lines:
        words = shlex.split(line)
        assert words[:2] == ["fourfold", "tiny"] and "runs/tiny/ring-vae" in words
        assert cli(*words[2:])[0] == 0, line
