"""Property models of a table of one's own: errors below the baseline, intervals that hold, warnings, damaged files."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from apps.molecules import chemistry, objectives, predicting
from apps.molecules.cli import app  # noqa: F401  # what `cli` runs
from apps.molecules.data import moses_file, moses_smiles
from core.errors import FourfoldError

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module", autouse=True)
def small() -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(predicting, "TREES", 40)
        patch.setattr(predicting, "FOLDS", 3)
        yield


@pytest.fixture(scope="module")
def smiles() -> list[str]:
    rows = moses_smiles(moses_file("test.csv.gz"))
    return rows[:: len(rows) // 300][:300]


@pytest.fixture(scope="module")
def polarity(smiles: list[str]) -> np.ndarray:
    """Something to learn: polar surface, seen through noise."""
    return chemistry.properties(chemistry.valid_molecules(smiles), ["tpsa"])[:, 0] + np.random.default_rng(0).normal(
        0, 4, len(smiles))


@pytest.fixture(scope="module")
def table(smiles: list[str], polarity: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 molecules, one of them three times, with a broken row, one that is no molecule and one without a value."""
    path = tmp_path_factory.mktemp("own") / "assays.csv"
    rows = [f"{text},{value:.3f},{'polar' if value > 60 else 'greasy'}"
            for text, value in zip(smiles[:200], polarity, strict=False)]
    path.write_text("\n".join(["Molecule,Polar Surface,kind", *rows, rows[0], rows[0], "C1CC,1,polar", "CCO,,polar",
                               "CCO,1,polar,more"]))
    return path


@pytest.fixture(scope="module")
def model(table: Path) -> predicting.PropertyModel:
    return predicting.fit(table, "polar surface")


def test_numbers_are_predicted_with_intervals_that_hold(
    model: predicting.PropertyModel, smiles: list[str], polarity: np.ndarray,
) -> None:
    facts = model.facts
    assert facts.molecules == 200 and not facts.classes
    assert facts.measured["rmse"] < 0.6 * facts.measured["rmse_baseline"] and facts.measured["r2"] > 0.6
    found = model(chemistry.valid_molecules(smiles[200:]))
    truth = polarity[200:]
    inside = np.mean([one.low <= value <= one.high for one, value in zip(found, truth, strict=True)])
    assert 0.8 <= inside <= 0.99
    error = np.array([float(one.value) for one in found]) - truth
    assert np.sqrt(np.mean(error**2)) < 0.6 * truth.std()
    assert np.mean([one.outside for one in found]) < 0.2
    odd = model(chemistry.valid_molecules(["[Na+].[Cl-]", "C" * 60, "OB(O)OB(O)O"]))
    assert all(one.outside for one in odd)


def test_trees_are_those_of_scikit_learn(smiles: list[str]) -> None:
    from sklearn.ensemble import ExtraTreesRegressor

    x = predicting.describe(chemistry.valid_molecules(smiles[:60]), ["MolWt", "TPSA", "MolLogP", "RingCount"])
    forest = ExtraTreesRegressor(20, random_state=0).fit(x[:40], x[:40, 0] * x[:40, 2])
    assert predicting.Trees.of(forest)(x).mean(0)[:, 0] == pytest.approx(forest.predict(x), rel=1e-9)


def test_what_was_left_out_is_said(table: Path, caplog: pytest.LogCaptureFixture) -> None:
    smiles, cells = predicting._merged(table, "polar surface", None)
    assert len(smiles) == len(set(smiles)) == len(cells) == 200
    said = " ".join(record.getMessage() for record in caplog.records)
    for expected in (
        "1 damaged rows (line 206: 4 cells instead of 3)", "1 rows that are no valid SMILES (line 204: 'C1CC'",
        "1 rows without a value", "1 molecules come more than once: they have the mean",
    ):
        assert expected in said


def test_classes_are_predicted(table: Path, smiles: list[str], polarity: np.ndarray) -> None:
    model = predicting.fit(table, "kind")
    assert model.facts.classes == ("greasy", "polar")
    measured = model.facts.measured
    assert measured["accuracy"] > measured["accuracy_baseline"] and measured["roc_auc"] > 0.85
    mols = chemistry.valid_molecules(smiles[200:])
    truth = np.where(polarity[200:] > 60, "polar", "greasy")
    found = model(mols)
    assert np.mean([one.value == kind for one, kind in zip(found, truth, strict=True)]) > 0.8
    assert np.mean([kind in one.possible for one, kind in zip(found, truth, strict=True)]) > 0.8
    assert model.goal("greasy")(mols) == pytest.approx(1 - model.goal("")(mols))
    with pytest.raises(FourfoldError, match="did you mean 'greasy'"):
        model.goal("greesy")


def test_a_model_is_saved_whole_and_is_an_objective(
    model: predicting.PropertyModel, smiles: list[str], tmp_path: Path,
) -> None:
    mols = chemistry.valid_molecules(smiles[:5])
    predicting.save(model, tmp_path)
    assert predicting.load(tmp_path)(mols) == model(mols)
    values = np.array([float(one.value) for one in model(mols)])
    scores = objectives.parse(f"model:{tmp_path}").score(smiles[:5], mols)
    assert scores == pytest.approx(((values - model.facts.low) / (model.facts.high - model.facts.low)).clip(0, 1))
    assert objectives.parse(f"model:{tmp_path}={values[0]}").score(smiles[:1], mols[:1])[0] == pytest.approx(1)
    content = bytearray((tmp_path / predicting.ARRAYS).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / predicting.ARRAYS).write_bytes(content)
    with pytest.raises(FourfoldError, match="damaged"):
        predicting.load(tmp_path)


def test_fit_and_predict_from_the_command_line(
    table: Path, smiles: list[str], tmp_path: Path, cli: Cli, caplog: pytest.LogCaptureFixture,
) -> None:
    code, out, err = cli("fit", table, "--target", "Polar Surface", "-o", tmp_path / "polar")
    assert code == 0 and "200 molecules, Polar Surface; on scaffolds left out: rmse" in out, err
    new = tmp_path / "new.smi"
    new.write_text("\n".join([*smiles[200:210], "C1CC", "C" * 60]))
    code, out, err = cli("predict", tmp_path / "polar", new, "-o", tmp_path / "out", "--json")
    assert code == 0, err
    assert "skipped: 1 of 12 molecules cannot be read" in caplog.text
    told = json.loads(out)
    assert len(told["molecules"]) == 11 and told["molecules"][-1]["outside"] == "yes"
    rows = list(csv.DictReader((tmp_path / "out" / "predicted.csv").read_text().splitlines()))
    assert list(rows[0]) == ["smiles", "Polar Surface", "low", "high", "nearest", "outside"]
    assert float(rows[0]["low"]) < float(rows[0]["Polar Surface"]) < float(rows[0]["high"])


def test_mistakes_are_one_line(table: Path, tmp_path: Path, refused: Callable[..., str]) -> None:
    few, same, lines = tmp_path / "few.csv", tmp_path / "same.csv", tmp_path / "lines.smi"
    few.write_text("smiles,y\n" + "\n".join(f"{'C' * i},{i}" for i in range(1, 20)))
    same.write_text("smiles,y\n" + "\n".join(f"{'C' * i},1" for i in range(1, 70)))
    lines.write_text("CCO\nCC\n")
    assert "--target" in refused("fit", table)
    assert "did you mean 'Polar Surface'" in refused("fit", table, "--target", "Polar Surfac")
    assert "number of molecules with a value is 19: must be at least 50" in refused("fit", few, "--target", "y")
    assert "is the same everywhere" in refused("fit", same, "--target", "y")
    assert "is no table" in refused("fit", lines, "--target", "y")
    assert "no such file" in refused("fit", tmp_path / "none.csv", "--target", "y")
    assert "holds no property model" in refused("predict", tmp_path, lines)
