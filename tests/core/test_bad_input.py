"""Bad input to the core, through the real command line: one line on stderr, exit code 2, nothing else is touched."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from command_line import succeed
from safetensors.torch import load_file, save_file
from tiny_domain import app

from core.files import read_json, write_json

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "ring"
    succeed(app, "train", "ring-diffusion", "--run", folder, "--set", "train.steps=12")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def refused(refused: Callable[..., str], tmp_path: Path) -> Callable[..., str]:
    """As everywhere, and no file may be touched."""

    def check(*words: object) -> str:
        before = contents(tmp_path)
        err = refused(*words)
        assert contents(tmp_path) == before, "files were touched"
        return err

    return check


Refused = Callable[..., str]


@pytest.mark.parametrize(("words", "expected"), [
    (["train", "ring-difusion"], ["ring-difusion", "did you mean 'ring-diffusion'"]),
    (["train"], ["--recipe"]),
    (["train", "ring-vae", "--recipe", "x.json"], ["one of them"]),
    (["train", "--recipe", "/nowhere/x.json"], ["/nowhere/x.json", "no such file"]),
    (["train", "ring-diffusion", "--set", "train.stepz=3"], ["stepz", "did you mean 'steps'"]),
    (["train", "ring-diffusion", "--set", "train.steps=many"], ["train.steps", "'many'", "whole number"]),
    (["train", "ring-diffusion", "--set", "train.steps=-1"], ["train.steps", "-1", "at least 1"]),
    (["train", "ring-diffusion", "--set", "train.learning_rate=NaN"], ["learning_rate", "nan"]),
    (["train", "ring-diffusion", "--set", "train.steps"], ["train.steps=500"]),
    (["train", "ring-diffusion", "--set", "data.examples=3"], ["data.examples", "3", "at least 10"]),
    (["train", "ring-diffusion", "--set", "sample.temperature=2"], ["temperature", "Diffusion"]),
    (["train", "ring-diffusion", "--device", "tpu"], ["--device", "'tpu'", "cpu"]),
    (["train", "ring-diffusion", "--device", "cuda:99"], ["cuda:99", "CUDA devices"]),
    (["train", "ring-diffusion", "--data", "/nowhere"], ["/nowhere", "no such folder"]),
    (["train", "ring-diffusion", "--run", "/dev/null"], ["/dev/null", "file"]),
    (["train", "ring-diffusion", "--run", "/dev/null/run"], ["/dev/null/run"]),
    (["train", "ring-diffusion", "--run", "/proc/run"], ["/proc/run"]),
    (["train", "ring-diffusion", "--seed", "-1"], ["--seed", "greater"]),
    (["train", "ring-diffusion", "--seed", "one"], ["--seed", "integer"]),
    (["train", "ring-diffusion", "--sed", "1"], ["--sed"]),
    (["trian", "ring-diffusion"], ["trian", "train"]),
    (["show", "ring-gann"], ["did you mean 'ring-gan'"]),
    (["sample", "/nowhere/run"], ["/nowhere/run", "no such run"]),
    (["evaluate", "/nowhere/run"], ["/nowhere/run"]),
    (["report", "/nowhere/run"], ["/nowhere/run"]),
])
def test_command_lines(refused: Refused, tmp_path: Path, words: list[str], expected: list[str]) -> None:
    if words[0] == "train" and "--run" not in words:
        words = [*words, "--run", str(tmp_path / "run")]
    message = refused(*words)
    assert all(word in message for word in expected), message
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("content", "expected"), [
    (None, ["points.csv", "no such file"]),
    ("", ["points.csv", "empty"]),
    ("1,2,0\n1,two,0\n", ["points.csv", "line 2", "x,y,class"]),
    ("1,2\n", ["line 1"]),
    ("1,2,0\n" * 9 + "1,nan,0\n", ["not a number"]),
    ("1,2,0\n", ["no training examples"]),
    ("\x00\x01\x02", ["line 1"]),
])
def test_own_data(refused: Refused, tmp_path: Path, content: str | None, expected: list[str]) -> None:
    data = tmp_path / "data"
    data.mkdir()
    if content is not None:
        (data / "points.csv").write_text(content)
    message = refused("train", "ring-diffusion", "--data", data, "--run", tmp_path / "run")
    assert all(word in message for word in expected), message


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def damage_codec(run: Path) -> None:
    (run / "model" / "codec.json").write_text('{"scal": 1}')


def put_nan_into_weights(run: Path) -> None:
    path = run / "model" / "model.safetensors"
    weights = load_file(path)
    name = sorted(weights)[0]
    weights[name] = torch.full_like(weights[name], torch.nan)
    save_file(weights, path)


def swap_recipe(run: Path) -> None:
    path = run / "model" / "config.json"
    config = read_json(path)
    config["recipe"]["family"]["denoiser"]["width"] = 48
    write_json(path, config)


def rename_domain(run: Path) -> None:
    path = run / "model" / "config.json"
    write_json(path, {**read_json(path), "domain": "image"})


@pytest.mark.parametrize(("harm", "expected"), [
    (lambda run: (run / "model" / "model.safetensors").unlink(), ["model.safetensors"]),
    (lambda run: truncate(run / "model" / "model.safetensors"), ["model.safetensors", "damaged"]),
    (lambda run: (run / "model" / "model.safetensors").write_bytes(b""), ["model.safetensors", "damaged"]),
    (put_nan_into_weights, ["model.safetensors", "not finite"]),
    (swap_recipe, ["model.safetensors", "shape"]),
    (rename_domain, ["'image'", "'tiny'"]),
    (lambda run: (run / "model" / "config.json").unlink(), ["config.json"]),
    (lambda run: truncate(run / "model" / "config.json"), ["config.json", "not valid JSON"]),
    (lambda run: (run / "model" / "config.json").write_text("[]"), ["config.json", "object"]),
    (lambda run: (run / "model" / "config.json").write_bytes(b"\xff\xfe\x00"), ["config.json", "not valid JSON"]),
    (lambda run: (run / "model" / "codec.json").unlink(), ["codec"]),
    (damage_codec, ["codec", "damaged"]),
    (lambda run: shutil.rmtree(run / "model"), ["model"]),
])
def test_damaged_models(
    refused: Refused, tmp_path: Path, trained: Path, harm: Callable[[Path], None], expected: list[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    harm(run)
    message = refused("sample", run, "-n", 2, "-o", tmp_path / "out")
    assert all(word in message for word in expected), message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("words", "expected"), [
    (["-n", "0"], ["-n", "greater"]),
    (["--label", "lefft"], ["lefft", "did you mean 'left'"]),
    (["--label", "7"], ["7"]),
    (["--colour", "red"], ["--colour"]),
    (["--temperature", "1"], ["temperature", "Diffusion"]),
    (["--solver", "huen"], ["huen", "did you mean 'heun'"]),
    (["--steps", "0"], ["--steps", "greater"]),
    (["--guidance", "nan"], ["guidance", "nan"]),
    (["--top-p", "0.5"], ["top_p"]),
    (["--output", "/dev/null/out"], ["/dev/null/out"]),
    (["--output", "/proc/out"], ["/proc/out"]),
])
def test_sampling(refused: Refused, tmp_path: Path, trained: Path, words: list[str], expected: list[str]) -> None:
    message = refused("sample", trained, "-o", tmp_path / "out", *words)
    assert all(word in message for word in expected), message


def test_folders_that_are_no_runs(refused: Refused, tmp_path: Path, trained: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "me.txt").write_text("mine")
    for words in (["train", "ring-diffusion", "--run"], ["train", "ring-diffusion", "--fresh", "--run"]):
        assert "not a run" in refused(*words, tmp_path / "photos").replace("not empty and ", "")
    for verb in ("sample", "evaluate", "report"):
        assert "photos" in refused(verb, tmp_path / "photos")


def test_damaged_recipes(refused: Refused, tmp_path: Path, trained: Path) -> None:
    run, file = tmp_path / "run", tmp_path / "mine.json"
    shutil.copytree(trained, run)
    truncate(run / "recipe.json")
    assert "not valid JSON" in refused("report", run)
    truncate(run / "model" / "config.json")
    assert "not valid JSON" in refused("train", "ring-diffusion", "--run", run)
    recipe = read_json(trained / "recipe.json")
    changes: list[tuple[dict[str, object], str]] = [
        ({"domain": "image"}, "'image'"), ({"trian": 1}, "did you mean 'train'"), ({"data": 3}, "data"),
    ]
    for change, word in changes:
        file.write_text(json.dumps({**recipe, **change}))
        assert word in refused("train", "--recipe", file, "--run", tmp_path / "other")


def test_checkpoints_of_another_kind(refused: Refused, tmp_path: Path, trained: Path) -> None:
    """Every checkpoint is damaged: it says so, and leaves them for the user to judge."""
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    for path in run.glob("state/*/tensors.safetensors"):
        truncate(path)
    words = ("train", "ring-diffusion", "--set", "train.steps=12", "--run", run)
    assert "--fresh" in refused(*words)


@pytest.mark.parametrize(("words", "file"), [(("report",), "report.html"), (("evaluate", "-n", "20"), "metrics.json")])
def test_full_disk(
    tmp_path: Path, trained: Path, refused: Refused, words: tuple[str, ...], file: str
) -> None:
    """A write that fails half-way is one line; what the file held before is still there."""
    resource = pytest.importorskip("resource")
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))  # as full as a disk can be made without root
    try:
        assert file in refused(words[0], run, *words[1:])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("words", [
    ["image", "trian"], ["imag"], ["tour", "--families", "vaes"], ["tour", "--domains", "image,txt"],
    ["tour", "--minutes", "0"], ["tour", "--minutes", "nan"], ["tour", "--workers", "0"],
    ["tour", "--run", "/dev/null"], ["tour", "--run", "tests"], ["image", "sample", "no-such-run"],
])
def test_in_a_process_of_its_own(words: list[str]) -> None:
    command = [sys.executable, "-m", "apps.cli", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, done.stderr
