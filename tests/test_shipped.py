"""Every model that ships loads, has a complete card and a licence, is small, and measures what its card says."""

from __future__ import annotations

import importlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from apps.cli import DOMAINS, app  # noqa: F401  (the fixtures' program)
from benchmarks import ship
from core.errors import FourfoldError
from core.files import read_json
from core.runs.pretrained import load
from core.runs.shipped import ALL_LIMIT, FACTS, WEIGHTS_LIMIT, Shipped, shipped

ROOT = Path(__file__).parent.parent
MODELS = shipped({domain: ROOT / "apps" / domain / "models" for domain in DOMAINS})
RUN = ROOT / "tests" / "data" / "version-0.1.0" / "image-vae"


def domain_of(name: str) -> Any:
    return importlib.import_module(f"apps.{name}.domain").DOMAIN


def complaints(model: Shipped) -> list[str]:
    """What is wrong with a model's folder."""
    card = (model.folder / "README.md").read_text()
    head = yaml.safe_load(card.split("---\n")[1])
    facts = read_json(model.folder / FACTS)
    found = [f"the card has no {key}" for key in ("license", "datasets", "pipeline_tag", "model-index")
             if not head.get(key)]
    found += [] if head["model-index"][0]["results"][0]["metrics"][0]["value"] else ["the card has no figure"]
    found += [] if model.size <= WEIGHTS_LIMIT else [f"it takes {model.size:,} bytes"]
    text = json.dumps([facts, read_json(model.folder / "config.json")]) + card
    found += [f"it names {word}" for word in ("/home/", "/root/", "/work/", "/tmp/") if word in text]
    found += [f"it has no {key}" for key in ("command", "seed", "license", "measures") if facts.get(key) in (None, "")]
    check, domain = facts["check"], domain_of(model.domain)
    loaded = load(model.folder, domain, "cpu")
    value = ship.held_out(loaded, domain.ready_for(loaded))
    if abs(value - check["value"]) > ship.CHANGE * max(1.0, abs(check["value"])):
        found.append(f"the {check['name']} is {value:.4g}, the card says {check['value']:.4g}")
    return found


@pytest.mark.parametrize("model", MODELS, ids=lambda model: f"{model.domain}-{model.name}")
def test_a_model_is_what_its_card_says(model: Shipped) -> None:
    domain = domain_of(model.domain)
    missing = [origin.name for origin in domain.origins(load(model.folder, domain, "cpu").recipe.data)
               if not origin.at_hand and origin.megabytes is None]
    if missing:
        pytest.skip(f"the user must put {', '.join(missing)} in place")
    try:
        found = complaints(model)
    except FourfoldError as error:
        if str(error).startswith("cannot fetch"):
            pytest.skip(str(error))
        raise
    assert found == []


def test_what_commands_ask_by_default_ships() -> None:
    names = {(model.domain, model.name) for model in MODELS}
    for name in DOMAINS:
        domain = domain_of(name)
        asked = {domain.model, *(task.model for task in domain.tasks)} - {None}
        # No chats at hand may be passed on, and no vocoder is trained for long enough: these tasks ask for a run.
        assert {(name, model) for model in asked - {"chats", "vocoder"}} <= names


def test_all_of_them_are_small() -> None:
    assert sum(model.size for model in MODELS) <= ALL_LIMIT


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of models with one, `mine`, that a run of few steps became."""
    folder = tmp_path_factory.mktemp("models")
    run = next(path.parent.parent for path in sorted(RUN.rglob("model/config.json")))
    shipping = ["ship", str(run), "--domain", "image", "--name", "mine", "--what", "Small digits", "--license",
                "CC-BY-4.0", "--data", "digits", "--samples", "100", "--output", str(folder / "image")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", shipping)
        ship.main()
    return folder


def test_a_run_becomes_a_model_that_ships(
    home: Path, cli: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FOURFOLD_MODELS", str(home))
    monkeypatch.chdir(tmp_path)
    assert {path.name for path in (home / "image" / "mine").iterdir()} == {
        "model.safetensors", "config.json", "codec.json", "README.md", "facts.json"}
    mine = next(model for model in shipped({"image": tmp_path}) if model.name == "mine")
    assert complaints(mine) == []
    full = sum(path.stat().st_size for path in RUN.rglob("model.safetensors"))
    assert (mine.folder / "model.safetensors").stat().st_size < 0.7 * full
    row = next(row for row in json.loads(cli("models", "--json")[1]) if row["name"] == "mine")
    assert row["family"] == "vae" and row["licence"] == "CC-BY-4.0" and "fd_digits_cnn" in row["measure"]
    assert "Small digits" in cli("models")[1]
    code, out, err = cli("image", "sample", "mine", "-n", 2)
    assert code == 0 and Path(out.split()[0]).is_file(), err


def test_a_model_that_changed_is_found_out(home: Path, tmp_path: Path) -> None:
    from core.files import write_json
    from core.runs.shipped import read_shipped

    other = tmp_path / "mine"
    shutil.copytree(home / "image" / "mine", other)
    facts = read_json(other / FACTS)
    check = facts["check"]
    write_json(other / FACTS, {**facts, "license": "", "check": {**check, "value": check["value"] * 1.1}})
    found = complaints(read_shipped("image", other))
    assert "it has no license" in found and any("the card says" in line for line in found)
