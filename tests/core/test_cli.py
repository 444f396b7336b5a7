"""The shared command line, through `main`, on a domain of two-dimensional points."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from command_line import succeed
from safetensors.numpy import load_file
from tiny_domain import DOMAIN, app

from core.files import read_json
from core.runs.pretrained import load
from core.serialization import differences

ROOT = Path(__file__).parent.parent.parent
Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained run, for commands that only read it."""
    folder = tmp_path_factory.mktemp("runs") / "ring"
    succeed(app, "train", "ring-diffusion", "--run", folder)
    return folder


def test_recipes(cli: Cli) -> None:
    code, out, _ = cli("recipes")
    assert code == 0 and "ring-diffusion" in out and "Flow matching on a ring." in out and "More about" not in out
    rows = json.loads(cli("recipes", "--json")[1])
    assert {row["family"] for row in rows} == {"vae", "gan", "diffusion", "autoregressive"}
    assert set(rows[0]) == {"domain", "name", "family", "data", "steps", "minutes", "to fetch", "description"}


def test_show_prints_a_recipe_that_trains(cli: Cli, tmp_path: Path, trained: Path) -> None:
    code, out, _ = cli("show", "ring-vae", "--set", "train.steps=2", "--set", "family.latent=3")
    recipe = json.loads(out)
    assert code == 0 and recipe["train"]["steps"] == 2 and recipe["family"]["latent"] == 3
    (tmp_path / "mine.json").write_text(out)
    assert cli("train", "--recipe", tmp_path / "mine.json", "--run", tmp_path / "run")[0] == 0
    assert read_json(tmp_path / "run" / "recipe.json") == recipe
    assert json.loads(cli("show", trained)[1]) == read_json(trained / "recipe.json")


def test_a_run_folder_is_complete(trained: Path) -> None:
    for name in ("recipe.json", "model/model.safetensors", "model/config.json", "model/codec.json", "model/README.md",
                 "log.jsonl", "samples/points.csv", "report.html"):
        assert (trained / name).stat().st_size > 0, name
    card = (trained / "model" / "README.md").read_text()
    assert "ring-diffusion" in card and "tiny.load(" in card


@pytest.mark.parametrize("family", ["vae", "gan", "autoregressive"])
def test_every_family_trains_samples_and_is_judged(cli: Cli, tmp_path: Path, family: str) -> None:
    run = tmp_path / "run"
    assert cli("train", f"ring-{family}", "--run", run, "--set", "train.steps=4")[0] == 0
    assert cli("sample", run, "-n", 3, "-o", tmp_path / "out")[0] == 0
    code, out, _ = cli("evaluate", run, "-n", 50, "--json")
    assert code == 0 and json.loads(out)[0]["name"] == "distance_to_ring"


def test_train_stops_for_nothing_once_it_is_done(cli: Cli, tmp_path: Path) -> None:
    words = ("train", "ring-diffusion", "--run", tmp_path / "run", "--set", "train.steps=6")
    assert cli(*words)[0] == 0
    weights = (tmp_path / "run" / "model" / "model.safetensors").read_bytes()
    before = time.perf_counter()
    code, out, _ = cli(*words)
    assert code == 0 and "6 steps" in out and time.perf_counter() - before < 5
    assert (tmp_path / "run" / "model" / "model.safetensors").read_bytes() == weights


def test_a_changed_recipe_is_refused_with_the_difference(cli: Cli, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert cli("train", "ring-diffusion", "--run", run, "--set", "train.steps=3")[0] == 0
    code, _, err = cli("train", "ring-diffusion", "--run", run, "--set", "train.steps=4", "--seed", 5)
    assert code == 2 and "train.steps: 3 -> 4" in err and "seed: 0 -> 5" in err and "--fresh" in err and "--run" in err
    (run / "mine.txt").write_text("not the run's")
    assert cli("train", "ring-diffusion", "--run", run, "--set", "train.steps=4", "--fresh")[0] == 0
    assert json.loads((run / "recipe.json").read_text())["train"]["steps"] == 4
    assert (run / "mine.txt").read_text() == "not the run's"


def test_seed_decides_the_weights(cli: Cli, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        words = ("train", "ring-gan", "--run", tmp_path / name, "--seed", seed, "--set", "train.steps=3")
        assert cli(*words)[0] == 0
    a, b, c = ((tmp_path / name / "model" / "model.safetensors").read_bytes() for name in "abc")
    assert a == b and a != c


def test_dry_run_writes_nothing(cli: Cli, tmp_path: Path) -> None:
    code, out, _ = cli("train", "ring-diffusion", "--run", tmp_path / "run", "--dry-run")
    assert code == 0 and "360 training" in out and "parameters" in out and not (tmp_path / "run").exists()


def test_own_data(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "points.csv").write_text("".join(f"{i / 20},{1 - i / 20},{i % 2}\n" for i in range(20)))
    code, out, _ = cli("train", "ring-diffusion", "--data", tmp_path / "data", "--dry-run")
    assert code == 0 and "12 training" in out


def test_sample_options_and_conditions(cli: Cli, tmp_path: Path, trained: Path) -> None:
    def points(*words: object) -> str:
        code, out, err = cli("sample", trained, "-n", 5, "-o", tmp_path, "--overwrite", *words)
        assert code == 0, err
        assert out.strip() == str(tmp_path / "points.csv")
        return (tmp_path / "points.csv").read_text()

    plain = points("--seed", 3)
    assert len(plain.splitlines()) == 5
    assert points("--seed", 3) == plain != points("--seed", 4)
    assert points("--seed", 3, "--steps", 2) != plain
    assert points("--seed", 3, "--solver", "euler") != plain
    left = points("--seed", 3, "--label", "left", "--guidance", 2)
    assert left not in (plain, points("--seed", 3, "--label", "right", "--guidance", 2))
    assert "--label" in cli("sample", "--help")[1]


def test_evaluate_shows_and_keeps_what_it_measured(cli: Cli, tmp_path: Path, trained: Path) -> None:
    code, out, _ = cli("evaluate", trained, "-n", 100)
    assert code == 0 and "distance_to_ring" in out and "Gaussian" in out
    first = json.loads(cli("evaluate", trained, "-n", 100, "--seed", 1, "--json")[1])
    assert json.loads((trained / "metrics.json").read_text())["measures"] == first
    assert first[0]["count"] == 100 and first[0]["beats_baseline"] in (True, False) and len(first[0]["interval"]) == 2
    assert first == json.loads(cli("evaluate", trained, "-n", 100, "--seed", 1, "--json")[1])
    assert "distance_to_ring" in (trained / "model" / "README.md").read_text()
    assert cli("report", trained)[1].strip() == str(trained / "report.html")
    assert "distance_to_ring" in (trained / "report.html").read_text()


def test_more_samples_never_change_the_first(trained: Path) -> None:
    model = load(trained, DOMAIN)
    few, many = model.sample(10, seed=1, batch_size=4), model.sample(30, seed=1)
    assert np.allclose(few, many[:10], atol=1e-5)
    assert load(trained / "model", DOMAIN).sample(3) == model.sample(3)


def test_a_model_moves_without_its_run(cli: Cli, tmp_path: Path, trained: Path) -> None:
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for name in ("model.safetensors", "config.json", "codec.json"):
        (moved / name).write_bytes((trained / "model" / name).read_bytes())
    assert cli("sample", moved, "-n", 2, "-o", tmp_path / "out")[0] == 0


def test_differences() -> None:
    old = {"a": {"kind": "X", "b": 1}, "c": [1, 2]}
    assert differences(old, {"a": {"kind": "X", "b": 1}, "c": (1, 2)}) == []
    assert differences(old, {"a": {"kind": "Y", "b": 1}, "c": [1, 3]}) == ['a.kind: "X" -> "Y"', "c: [1, 2] -> [1, 3]"]


def test_cell_of_the_tour(cli: Cli, tmp_path: Path) -> None:
    words = ("cell", "tour-diffusion", "--run", tmp_path / "cell", "--seed", 2, "--scale", 0.2)
    assert cli(*words)[0] == 0
    facts = json.loads((tmp_path / "cell" / "cell.json").read_text())
    assert facts["steps"] == 6 and facts["seed"] == 2 and facts["measures"][0]["name"] == "distance_to_ring"
    assert facts["seconds"] >= facts["train_seconds"] > 0


def test_interrupted_training_saves_exits_130_and_resumes(cli: Cli, tmp_path: Path) -> None:
    """Ctrl-C in a real process; the resumed weights equal those of a run never stopped."""
    script = ("import sys; sys.path.insert(0, 'tests/core'); import tiny_domain; "
              "from core.command_line.program import main; main(tiny_domain.app)")

    words = ["train", "ring-diffusion", "--set", "train.steps=800", "--set", "train.checkpoint_every=5000", "--run"]
    process = subprocess.Popen([sys.executable, "-c", script, *words, str(tmp_path / "stopped")],
                               cwd=ROOT, stderr=subprocess.PIPE, text=True)
    log = tmp_path / "stopped" / "log.jsonl"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (log.exists() and log.read_text().count("\n") > 2):
        time.sleep(0.01)
    process.send_signal(2)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "the same command continues" in err and "Traceback" not in err
    assert not (tmp_path / "stopped" / "samples").exists()
    for run in ("stopped", "straight"):
        assert cli(*words, tmp_path / run)[0] == 0
    one, two = (load_file(tmp_path / run / "model" / "model.safetensors") for run in ("stopped", "straight"))
    assert one.keys() == two.keys() and all((one[key] == two[key]).all() for key in one)
