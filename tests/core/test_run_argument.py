"""RUN may be left out: the model that suits the task takes its place, and a mistyped run is no prompt."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import tiny_domain
from command_line import run, succeed

from core.command_line.verbs import build
from core.runs.tasks import Progress, Result, Task, argument, option

Cli = Callable[..., tuple[int, str, str]]


@dataclass(frozen=True, kw_only=True)
class Prompt:
    text: str = argument("TEXT", "A text.", "")
    loud: bool = option(False, "In capitals.")


@dataclass(frozen=True, kw_only=True)
class Photos:
    photos: list[Path] = argument("PHOTO...", "Pictures.")


def echo(model: tiny_domain.RingModel, given: Prompt, progress: Progress) -> Result:
    return Result(text=f"{model.recipe.name}: {given.text.upper() if given.loud else given.text}")


def count(model: tiny_domain.RingModel, given: Photos, progress: Progress) -> Result:
    return Result(text=f"{model.recipe.name}: {len(given.photos)}")


TASKS = (
    Task(name="echo", summary="Say it.", parameters=Prompt, run=echo, result="text", example='"[hello]" --loud'),
    Task(name="count", summary="Count.", parameters=Photos, run=count, result="numbers", model="counter"),
)
app = build("tiny", lambda: replace(tiny_domain.DOMAIN, model="circle"), TASKS)


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a run, ring-vae, and a model called circle."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("FOURFOLD_MODELS", str(folder / "models"))
        for recipe in ("ring-vae", "ring-gan"):
            succeed(app, "train", recipe, "--set", "train.steps=2")
        shutil.copytree("runs/tiny/ring-gan/model", "models/tiny/circle")
        (folder / "a.png").write_bytes(b"")
        yield folder


@pytest.mark.parametrize(("words", "said"), [
    ((), "ring-gan: "), (("hello",), "ring-gan: hello"), (("hello", "--loud"), "ring-gan: HELLO"),
    (("ring-vae", "hello"), "ring-vae: hello"), (("--loud", "runs/tiny/ring-vae", "hello"), "ring-vae: HELLO"),
    (("ring-vae",), "ring-vae: "), (("circle", "circle"), "ring-gan: circle"),
])
def test_a_text_may_be_all_that_is_given(cli: Cli, words: tuple[str, ...], said: str) -> None:
    code, out, err = cli("echo", *words)
    assert code == 0 and out == f"{said}\n", err


def test_what_is_meant_to_be_a_run_is_no_text(refused: Callable[..., str]) -> None:
    assert "`fourfold tiny train ring-diffusion` makes it" in refused("echo", "ring-diffusion")
    assert "no such run" in refused("echo", "runs/nothing")
    assert "no such run" in refused("echo", "nothing", "hello")
    assert "no such run" in refused("count", "nothing", "a.png")


def test_where_no_model_suits_a_line_says_so(refused: Callable[..., str], cli: Cli) -> None:
    line = refused("count", "a.png")
    assert "(counter would)" in line and "fourfold tiny recipes" in line
    assert cli("count", "ring-vae", "a.png", "a.png")[1] == "ring-vae: 2\n"


def test_shared_verbs_take_the_default_too(cli: Cli) -> None:
    assert cli("sample", "-n", 2)[0] == 0
    assert "tiny · circle" in cli("evaluate", "-n", 20)[1]


def test_every_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("recipes", "show", "train", "sample", "evaluate", "report", "echo", "count"):
        assert run(app, command, "--help") == 0
        out = capsys.readouterr().out
        assert f"fourfold tiny {command}" in out, command
        assert command != "echo" or '"[hello]" --loud' in out
