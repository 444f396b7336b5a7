"""Molecules as a user meets them: a file, `train`, `sample`, `evaluate`, `design`, and the trained run as a library."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import succeed

from apps import molecules
from apps.molecules import chemistry
from apps.molecules.cli import app
from apps.molecules.data import moses_files
from apps.molecules.domain import DOMAIN
from core.data.sources import read_text
from core.runs.pretrained import build

pytestmark = pytest.mark.slow
Cli = Callable[..., tuple[int, str, str]]
SETTINGS = [
    "family.model.width=64", "family.model.depth=2", "family.model.heads=2", "data.merges=200",
    'data.properties=["tpsa"]', "train.steps=360", "train.batch_size=48", "train.learning_rate=0.01",
]


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's file: 6,000 molecules with names."""
    lines = read_text(moses_files()[1]).splitlines()[1:6001]
    path = tmp_path_factory.mktemp("own") / "mine.smi"
    path.write_text("".join(f"{line.partition(',')[0]} molecule{i}\n" for i, line in enumerate(lines)))
    return path


@pytest.fixture(scope="module")
def run(own: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "mine"
    succeed(app, "train", "tour-autoregressive", "--data", own, "--run", folder, "--device", "cpu",
            *(word for setting in SETTINGS for word in ("--set", setting)))
    return folder


def test_trained_beats_the_trigram_and_untrained_does_not(run: Path, cli: Cli) -> None:
    code, out, err = cli("evaluate", run, "-n", 150, "--device", "cpu", "--json")
    assert code == 0, err
    found = {measure["name"]: measure for measure in json.loads(out)}
    assert next(iter(found)) == "fcd"
    for name in ("fcd", "nats_per_molecule", "bits_per_token", "wasserstein_logp", "valid"):
        assert found[name]["beats_baseline"], found[name]
    assert found["fcd"]["floor"] < found["fcd"]["value"] < found["fcd"]["baseline"]
    assert found["nats_per_molecule"]["value"] < 32  # the trigram's is 46
    assert found["valid"]["value"] > 0.15  # the trigram's is 0.05
    assert found["novel"]["value"] > 0.9
    assert found["correlation_tpsa"]["value"] > 0.3

    model = molecules.load(run, device="cpu")
    prepared = DOMAIN.prepare(model.recipe.data)
    untrained = build(DOMAIN, model.recipe, prepared.codec, torch.device("cpu"))
    poor = {measure.name: measure for measure in DOMAIN.evaluate(untrained, prepared, 60, 0)}
    for name in ("fcd", "nats_per_molecule", "wasserstein_logp"):
        assert not poor[name].beats_baseline, poor[name]


def test_samples_are_files_and_the_same_from_the_library(run: Path, cli: Cli, tmp_path: Path) -> None:
    code, out, err = cli("sample", run, "-n", 40, "--seed", 3, "--property", "tpsa=60", "-o", tmp_path)
    assert code == 0, err
    assert out.split() == [str(tmp_path / "samples.csv"), str(tmp_path / "samples.png")]
    rows = list(csv.DictReader((tmp_path / "samples.csv").read_text().splitlines()))
    assert len(rows) == 40
    for row in rows:
        assert row["canonical"] == (chemistry.canonical([row["smiles"]])[0] or "")
        assert bool(int(row["valid"])) == bool(row["canonical"]) == bool(row["logp"])
    assert (tmp_path / "samples.png").read_bytes().startswith(b"\x89PNG")
    model = molecules.load(run)
    condition = model.codec.parse_conditions({"property": "tpsa=60"}, 40)
    assert model.sample(40, seed=3, condition=condition) == [row["smiles"] for row in rows]


def test_design_moves_the_property_and_gives_new_molecules(run: Path, own: Path, cli: Cli, tmp_path: Path) -> None:
    words = ("design", run, "-n", 8, "--novel", "--choose-from", 3, "--seed", 1, "--device", "cpu", "--json")
    found = {}
    for target in (40, 95):
        code, out, err = cli(*words, "--property", f"tpsa={target}", "-o", tmp_path / str(target))
        assert code == 0, err
        found[target] = json.loads(out)
        assert all(Path(path).stat().st_size for path in found[target]["files"])
    known = set(molecules.read_smiles(own))
    for target, reach in ((40, 15), (95, 20)):
        designed = found[target]["molecules"]
        smiles = [molecule["smiles"] for molecule in designed]
        assert abs(np.mean([molecule["tpsa"] for molecule in designed]) - target) < reach
        assert len(set(smiles)) == 8 and chemistry.canonical(smiles) == smiles
        assert len(known & set(smiles)) <= 1  # the file's held-out tenths may be met again
    model = molecules.load(run)
    train = set(model.codec.strings(DOMAIN.prepare(model.recipe.data).train.x))
    again = molecules.design(model, 8, targets={"tpsa": 40.0}, known=train, choose_from=3, seed=1)
    assert [{"smiles": one.smiles, **one.properties} for one in again] == found[40]["molecules"]
    assert not train & {one.smiles for one in again}


def test_scaffolds_are_kept_and_fragments_linked(run: Path, cli: Cli, tmp_path: Path) -> None:
    benzene, piperidine = (chemistry.valid_molecules([text])[0] for text in ("c1ccccc1", "C1CCNCC1"))
    code, out, err = cli("decorate", run, "c1ccc(*)cc1", "-n", 5, "-o", tmp_path / "a", "--json")
    assert code == 0, err
    found = [molecule["smiles"] for molecule in json.loads(out)["molecules"]]
    assert len(set(found)) == 5
    assert all(mol.HasSubstructMatch(benzene) for mol in chemistry.valid_molecules(found))
    code, out, err = cli("link", run, "c1ccccc1*", "*N1CCCCC1", "-n", 4, "-o", tmp_path / "b", "--json")
    assert code == 0, err
    told = json.loads(out)
    for mol in chemistry.valid_molecules([molecule["smiles"] for molecule in told["molecules"]]):
        assert mol.HasSubstructMatch(benzene) and mol.HasSubstructMatch(piperidine)
    assert sorted(Path(path).name for path in told["files"]) == ["linked.csv", "linked.png", "linked.sdf"]


def test_real_molecules_are_likelier_than_shuffled_ones(run: Path, own: Path) -> None:
    model = molecules.load(run, device="cpu")
    real = molecules.read_smiles(own)[-40:]
    odd = ["C" * (10 + i % 9) + "N" * (i % 4) + "O" for i in range(40)]
    nats = [[one.nats for one in molecules.score(model, some) if not one.problem] for some in (real, odd)]
    assert len(nats[0]) > 35 and np.median(nats[0]) < np.median(nats[1])
