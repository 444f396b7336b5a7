"""Scaffolds kept, fragments linked, molecules scored: what untrained models must keep to, mistakes as one line."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import succeed

from apps.molecules import chemistry, constrained
from apps.molecules.cli import app
from apps.molecules.data import MoleculeData, MoleculeModel, moses_file, moses_smiles, prepare
from apps.molecules.domain import DOMAIN
from apps.molecules.media import write_table
from core.errors import FourfoldError, Unsupported
from core.runs.pretrained import build
from core.runs.tasks import Progress

Cli = Callable[..., tuple[int, str, str]]
SMALL = [
    "--set", "family.model.width=32", "--set", "family.model.depth=1", "--set", "family.model.heads=2",
    "--set", "train.steps=20", "--set", "train.batch_size=32", "--set", "data.merges=60", "--set", "data.properties=[]",
]
SCAFFOLD = "c1ccc(*)cc1"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("own") / "mine.smi"
    path.write_text("\n".join(moses_smiles(moses_file("test.csv.gz"))[:300]))
    return path


@pytest.fixture(scope="module")
def untrained(file: Path) -> dict[str, MoleculeModel]:
    """A small model of each family."""
    data = MoleculeData(folder=str(file), merges=60)
    codec, models = prepare(data).codec, {}
    for family in ("vae", "diffusion", "autoregressive"):
        recipe = replace(DOMAIN.recipe(f"tour-{family}"), data=data)
        models[family] = build(DOMAIN, recipe, codec, torch.device("cpu"))
    return models


@pytest.fixture(scope="module")
def trained(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "mine"
    succeed(app, "train", "tour-autoregressive", "--data", file, "--run", folder, *SMALL)
    return folder


def mol(text: str):
    (found,) = chemistry.molecules([text])
    assert found is not None
    return found


@pytest.mark.parametrize(
    "part", [SCAFFOLD, "*c1cn(*)c2ccccc12", "O=C(*)NC1CCN(*)CC1", "*=C1CCN(*)C1", "*n1cccc1C(=O)N*"])
def test_a_part_written_to_its_end_keeps_its_other_points(part: str) -> None:
    template = constrained._part(part, "scaffold", None)
    points = len(constrained._points(template))
    for text in constrained._written(template, 0):
        before, atoms = constrained._bare(text)
        assert "*" not in before and len(atoms) == points - 1
        continued = mol(before + "C")  # what a model may write there
        assert constrained._holds(continued, [constrained._query(template)])
        again = constrained._opened(continued, atoms)
        assert len(constrained._points(again)) == points - 1
        from rdkit.Chem import MolToSmiles

        assert mol(MolToSmiles(again).replace("*", "C")).GetNumAtoms() == template.GetNumAtoms()


def test_linkers_end_where_a_chain_may_go_on() -> None:
    assert constrained._linkers("CC(=O)Nc1ccc(O)c1C") == [
        "C", "CC", "CC(=O)", "CC(=O)N", "CC(=O)Nc1ccc(O)c1", "CC(=O)Nc1ccc(O)c1C"]
    assert constrained._linkers("C1CC") == constrained._linkers(")C") == constrained._linkers("") == []
    assert constrained._linkers("Cc1ccccc1%10CC%10") == ["C", "Cc1ccccc1%10CC%10"]


def test_what_is_given_stands_in_every_string(untrained: dict[str, MoleculeModel]) -> None:
    draws = np.random.default_rng(0)
    template = constrained._part(SCAFFOLD, "scaffold", None)
    before = {constrained._bare(text)[0] for text in constrained._written(template, 0)}
    continued = constrained._decorated(untrained["autoregressive"], [template] * 6, draws, 0, {})
    assert all(text.startswith(tuple(before)) for text in continued) and len(set(continued)) == 6
    filled = constrained._decorated(untrained["diffusion"], [template] * 6, draws, 0, {})
    first, last = chemistry.canonical([SCAFFOLD])[0].split("*")  # type: ignore[union-attr]
    for text in filled:
        assert text.startswith(first) and text.endswith(last) and len(text) > len(first + last) and "*" not in text
    rows = [("c1ccccc1", "N1CCNCC1")] * 5
    for text in constrained._filled(untrained["diffusion"], rows, draws, 0, {}):
        assert text.startswith("c1ccccc1") and text.endswith("N1CCNCC1") and len(text) > 16
    for text in constrained._joined(untrained["autoregressive"], rows, 0, {}):
        assert text.startswith("c1ccccc1") and text.endswith("N1CCNCC1")
    with pytest.raises(Unsupported, match="use an autoregressive or masked diffusion model"):
        constrained.decorate(untrained["vae"], SCAFFOLD, 3)


def test_scores_are_the_likelihoods_of_the_model(untrained: dict[str, MoleculeModel], file: Path) -> None:
    model = untrained["autoregressive"]
    first = file.read_text().split()[0]
    found = constrained.score(model, [first, "C1CC", "[U]", "C" * 400, first], batch_size=2)
    assert found[0].nats > 10 and found[0].nats == pytest.approx(found[4].nats)
    assert found[0].nats == pytest.approx(float(model.bound_of(model.codec.encode([found[0].smiles]), 0)))
    for one, problem in zip(found, ("", "not a valid molecule", "have no '[U]'", "takes at most", ""), strict=True):
        assert problem in one.problem and bool(problem) == bool(one.problem)
    told = constrained.summary(found, "exact")
    assert "2 molecules" in told and "(exact); 3 cannot be scored" in told


def test_score_and_its_table(trained: Path, file: Path, tmp_path: Path, cli: Cli) -> None:
    code, out, err = cli("score", trained, file, "-o", tmp_path / "a")
    assert code == 0 and " molecules: " in out and "and 280 more" in out, err
    rows = list(csv.DictReader((tmp_path / "a" / "scores.csv").read_text().splitlines()))
    scored = [row for row in rows if not row["problem"]]
    assert len(rows) == 300 and len(scored) > 290 and all(float(row["nats"]) > 0 for row in scored)
    code, out, _ = cli("score", trained, "C1CC", "c1ccccc1O", "--json", "-o", tmp_path / "b")
    told = json.loads(out)["molecules"]
    assert code == 0 and told[0]["nats"] is None and told[0]["problem"] == "not a valid molecule"
    assert told[1]["nats"] > 0


def test_tables_of_molecules_can_be_read_again(tmp_path: Path) -> None:
    from rdkit.Chem import SDMolSupplier

    rows: list[dict[str, float | str]] = [{"smiles": "CCO", "score": 0.5}, {"smiles": "c1ccccc1", "score": 0.25}]
    paths = write_table(rows, tmp_path, "found")
    assert [path.name for path in paths] == ["found.csv", "found.sdf", "found.png"]
    read = list(SDMolSupplier(str(paths[1])))
    assert [one.GetProp("smiles") for one in read] == ["CCO", "c1ccccc1"] and read[1].GetProp("score") == "0.25"
    assert [one.GetNumAtoms() for one in read] == [3, 6]


@pytest.mark.parametrize(("words", "expected"), [
    (["decorate", "C1CC"], "is not valid SMILES"),
    (["decorate", "CC.C"], "has several parts"),
    (["decorate", "C*C"], "must have one bond"),
    (["decorate", "*"], "must have one bond"),
    (["decorate", "FC(F)(F)F"], "no hydrogen that something could replace"),
    (["decorate", "[U]*"], "training data have no '[U]'"),
    (["decorate", "CCC*", "-n", 0], "--num"),
    (["link", "CC", "C*"], "has 0 attachment points"),
    (["link", "C*", "*CC*"], "has 2 attachment points"),
    (["link", "C*", "xyz"], "second fragment 'xyz' is not valid"),
    (["score", "none.smi"], ""),
])
def test_mistakes_are_one_line(words: list[object], expected: str, trained: Path, tmp_path: Path, cli: Cli) -> None:
    code, out, err = cli(words[0], trained, *words[1:], "-o", tmp_path / "out")
    if words[0] == "score":
        assert code == 0 and "none of 1 can be scored" in out
        return
    assert code == 2 and expected in err and "Traceback" not in err


def test_too_few_molecules_are_said(untrained: dict[str, MoleculeModel]) -> None:
    with pytest.raises(FourfoldError, match=r"none of [\d,]+ samples, of which \d+ are valid, holds what was given"):
        constrained._kept(lambda count, round_: ["C1CC"] * count, [constrained._query(mol("c1ccccc1"))], 1, Progress())
