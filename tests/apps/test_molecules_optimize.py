"""Searching for molecules: scores rise, searches go on bit for bit, objectives that fail are one line."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from apps.molecules import chemistry, objectives
from apps.molecules.cli import app  # noqa: F401  # what `cli` runs
from apps.molecules.data import MoleculeData, MoleculeModel, prepare
from apps.molecules.domain import DOMAIN
from apps.molecules.optimizing import SearchConfig, auc_top_10, curve, optimize
from core.errors import FourfoldError
from core.families import AutoregressiveConfig
from core.networks import TransformerConfig
from core.runs.pretrained import build, save_description
from core.runs.tasks import Progress, Stopped
from core.training.checkpoint import save_weights
from core.training.reward import RewardConfig

CONFIG = SearchConfig(calls=400, batch=24, replay=8, reward=RewardConfig(sigma=100, learning_rate=3e-3))
ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> MoleculeModel:
    """An untrained model of chains of C, N and O, all of which are molecules."""
    path = tmp_path_factory.mktemp("chains") / "chains.smi"
    draws = random.Random(0)
    path.write_text("\n".join("".join(draws.choices("CCNO", k=draws.randint(3, 9))) for _ in range(300)))
    data = MoleculeData(folder=str(path))
    family = AutoregressiveConfig(model=TransformerConfig(width=32, depth=1, heads=2))
    recipe = replace(DOMAIN.recipe("tour-autoregressive"), data=data, family=family)
    return build(DOMAIN, recipe, prepare(data).codec, torch.device("cpu"))


def oxygen(smiles: str) -> float:
    return smiles.count("O") / len(smiles)


def test_scores_rise_and_the_diversity_filter_spreads_them(model: MoleculeModel) -> None:
    found = optimize(model, [oxygen], replace(CONFIG, bucket=0))
    scores = list(found.scores.values())
    assert len(scores) == 400 and chemistry.canonical(list(found.scores)) == list(found.scores)
    assert np.mean(scores[-100:]) > np.mean(scores[:100]) + 0.15
    top = curve(scores)
    assert [point.calls for point in top] == [100, 200, 300, 400]
    assert all(a.top_10 <= b.top_10 <= b.best for a, b in zip(top[:-1], top[1:], strict=True))
    spread = optimize(model, [oxygen], CONFIG)
    assert spread.scaffolds[""] > CONFIG.bucket  # chains have one scaffold, none: filled, it is rewarded no more
    assert np.mean(list(spread.scores.values())[-100:]) < np.mean(scores[-100:]) - 0.1


def test_a_search_goes_on_bit_for_bit_and_shows_what_it_has(model: MoleculeModel, tmp_path: Path) -> None:
    whole = optimize(model, ["2*qed", "has:O"], CONFIG)
    progress = Progress()
    progress.on_step = lambda done, total: setattr(progress, "stopped", done >= 150)
    with pytest.raises(Stopped):
        optimize(model, ["2*qed", "has:O"], CONFIG, folder=tmp_path, progress=progress)
    rows = list(csv.DictReader((tmp_path / "curve.csv").read_text().splitlines()))
    assert [row["calls"] for row in rows][0] == "100" and (tmp_path / "best.png").stat().st_size > 0
    assert float(next(csv.DictReader((tmp_path / "best.csv").read_text().splitlines()))["score"]) > 0
    again = optimize(model, ["2*qed", "has:O"], CONFIG, folder=tmp_path)
    assert list(again.scores.items()) == list(whole.scores.items()) and again.step == whole.step
    assert all(torch.equal(value, whole.agent.state()[name]) for name, value in again.agent.state().items())
    assert optimize(model, ["2*qed", "has:O"], CONFIG, folder=tmp_path).step == whole.step  # nothing is left to do
    for goals, config, said in ((["qed"], CONFIG, "goals"), (["2*qed", "has:O"], replace(CONFIG, batch=8), "settings")):
        with pytest.raises(FourfoldError, match=f"a search with another {said}: choose another folder"):
            optimize(model, goals, config, folder=tmp_path)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("x")
    with pytest.raises(FourfoldError, match="is not empty and holds no search"):
        optimize(model, ["qed"], CONFIG, folder=tmp_path / "other")


def test_the_area_is_that_of_pmo() -> None:
    assert auc_top_10([1.0] * 1000, 1000) == pytest.approx(0.95)  # from 0 at no calls to 1 at 100
    assert auc_top_10([1.0] * 200, 1000) == pytest.approx(0.95)  # what ends early keeps its last value
    assert auc_top_10([0.0] * 500 + [1.0] * 500, 1000) == pytest.approx(0.45)
    assert auc_top_10([], 100) == 0


def test_objectives_are_what_they_say() -> None:
    smiles = [ASPIRIN, "CCO", "c1ccccc1"]

    def scores(*words: str) -> list[float]:
        return objectives.product([objectives.parse(text) for text in words], smiles).tolist()

    mols = chemistry.valid_molecules(smiles)
    qed, weight = chemistry.properties(mols, ["qed", "weight"]).T
    assert scores("qed") == pytest.approx(qed)
    assert scores("weight=180.16")[0] == pytest.approx(1, abs=1e-3)
    assert scores("weight=0..100")[1:] == [1, 1] and scores("weight=0..100")[0] < 0.3
    assert scores("similar:OCC") == [pytest.approx(s) for s in scores("similar:OCC")] and scores("similar:OCC")[1] == 1
    assert scores("has:c1ccccc1") == [1, 0, 1] and scores("lacks:[O,N]") == [0, 0, 1]
    assert 0 < scores("sa")[0] < scores("sa")[2] <= 1
    assert scores("3*qed", "has:c") == pytest.approx([qed[0] ** 0.75, 0, qed[2] ** 0.75])
    assert scores("qed", "qed") == pytest.approx(qed)


@pytest.mark.parametrize(("words", "expected"), [
    ("qde", "did you mean 'qed'?"), ("logp", "must be a number, or a range"), ("logp=a", "must be a number, or a"),
    ("logp=4..2", "must be a number, or a range"), ("similar:C1CC", "is not valid SMILES"),
    ("has:[", "is not valid SMARTS"), ("lacks:", "is not valid SMARTS"), ("hass:C", "did you mean 'has'?"),
    ("model:none", "holds no property model"), ("call:x", "must look like call:module:function"), ("0*qed", "weight"),
])
def test_words_that_are_no_objective_are_one_line(words: str, expected: str) -> None:
    with pytest.raises(FourfoldError, match=None) as caught:
        objectives.parse(words)
    assert expected in str(caught.value) and "\n" not in str(caught.value)


def test_a_function_of_ones_own_and_what_may_go_wrong_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text(
        "import time\nNUMBER = 3\ndef share(smiles):\n"
        "    if smiles == 'CC': raise ValueError('no two')\n    if smiles == 'CCC': time.sleep(60)\n"
        "    return {'CCCC': float('nan'), 'CCCCC': 7}.get(smiles, 0.25)\n")
    monkeypatch.chdir(tmp_path)
    goal = objectives.parse("call:mine:share", seconds=1.5)
    assert objectives.product([goal], ["C", "CO"]).tolist() == [0.25, 0.25]
    for smiles, expected in (
        ("CCCC", "gives nan for CCCC: must be a number from 0 to 1"), ("CCCCC", "gives 7 for CCCCC"),
        ("CC", "mine:share raised ValueError: no two for CC"), ("CCC", "took more than 1.5 seconds for CCC"),
    ):
        with pytest.raises(FourfoldError) as caught:
            objectives.product([goal], [smiles])
        assert expected in str(caught.value) and "\n" not in str(caught.value)
    for target, expected in (
        ("none:share", "cannot be imported: ModuleNotFoundError"), ("mine:NUMBER", "is no function"),
        ("mine:none", "cannot be imported: AttributeError"),
    ):
        with pytest.raises(FourfoldError, match=expected):
            objectives.parse(f"call:{target}")


def test_optimize_from_the_command_line(
    model: MoleculeModel, tmp_path: Path, cli: Callable[..., tuple[int, str, str]],
) -> None:
    run = tmp_path / "run"
    (run / "model").mkdir(parents=True)
    save_description(model, run / "model")
    save_weights(run / "model", model.family.state_dict())
    words = ("optimize", run, "has:O", "weight=100", "--calls", 60, "--into", tmp_path / "found")
    code, out, err = cli(*words)
    assert code == 0 and "60 molecules scored" in out, err
    code, out, err = cli(*words, "--json")
    told = json.loads(out)
    assert code == 0 and told["calls"] == 60 and 0 < told["auc_top_10"] < 1 and told["best"][0]["score"] > 0.5
    code, _, err = cli("optimize", run, "qeed", "--into", tmp_path / "other")
    assert code == 2 and err.count("\n") == 1 and "did you mean 'qed'?" in err
