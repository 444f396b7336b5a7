"""Benchmarks of molecules: what they measure on is what they say, and they run."""

from __future__ import annotations

import numpy as np
import pytest

from apps.molecules import chemistry
from benchmarks import constrained, esol, pmo
from benchmarks.readme_figures import MOLECULES
from core.data.sources import in_data

KNOWN = ["CC(=O)Oc1ccccc1C(=O)O", "CCOC(=O)C1=C(COCCN)NC(C)=C(C(=O)OC)C1c1ccccc1Cl", "CCO"]


def test_the_twenty_tasks_of_pmo_score_from_0_to_1() -> None:
    names = list(pmo.definitions())
    assert len(names) == 20 and not set(names) & set(pmo.TRAINED)
    for name in names:
        scores = pmo.oracle(name)(KNOWN)
        assert scores.shape == (3,) and ((scores >= 0) & (scores <= 1)).all(), name
    celecoxib = "Cc1ccc(-c2cc(C(F)(F)F)nn2-c2ccc(S(N)(=O)=O)cc2)cc1"
    assert pmo.oracle("Celecoxxib_rediscovery")([celecoxib, "CCO"])[0] == pytest.approx(1)
    assert pmo.oracle("C7H8N2O2")(["CC(=O)Nc1ccc(O)nc1"])[0] == pytest.approx(1)
    amlodipine = pmo.oracle("Amlodipine_MPO")(KNOWN)
    assert amlodipine[1] == pytest.approx(np.exp(-0.5 * (1 / 0.5) ** 2) ** 0.5)  # itself, but for a ring too few
    deco = pmo.oracle("Deco_hop")(["CCCOc1cc2ncnc(Nc3ccc4ncsc4c3)c2cc1S(=O)(=O)C(C)(C)C"])[0]
    assert deco == pytest.approx(0.5)  # like itself, with the core, and with both groups that should go


def test_the_genetic_baseline_finds_better_molecules() -> None:
    first = ["CCOc1ccccc1", "CC(N)Cc1ccccc1", "OC(=O)CCc1ccncc1", "CCN(CC)C(=O)c1ccco1", "NC1CCCCC1O", "CCSc1nccs1"]
    scores = pmo.genetic(pmo.oracle("Albuterol_similarity"), first, 150, seed=0)
    assert len(scores) == 150 and max(scores) > max(scores[:6]) + 0.05
    assert pmo.genetic(pmo.oracle("Albuterol_similarity"), first, 40, seed=0) == scores[:40]


def test_fragments_to_link_have_one_point_each() -> None:
    for pair in constrained.pairs(3):
        assert [text.count("*") for text in pair] == [1, 1] and all(chemistry.canonical(pair))
    frames = constrained.scaffolds(4)
    assert len(set(frames)) == 4 and all(mol.GetRingInfo().NumRings() >= 2 for mol in chemistry.valid_molecules(frames))


def test_splits_by_scaffold_share_none() -> None:
    groups = np.repeat(np.arange(40), [9, 7, 5, *[1] * 37])
    for train, test in esol.splits(groups, 3):
        assert not set(groups[train]) & set(groups[test])
        assert abs(len(train) / len(groups) - 0.8) < 0.05 and len(test) > 4
    train, _ = esol.parts(groups, None)
    assert {0, 1, 2} <= set(groups[train])  # the largest


@pytest.mark.skipif(in_data("molecules/delaney-processed.csv") is None, reason="the file is not in $FOURFOLD_DATA")
def test_esol_is_read() -> None:
    smiles, y = esol.data()
    assert 1_110 < len(smiles) == len(set(smiles)) == len(y) <= 1_128 and -12 < y.min() < y.max() < 2


def test_figures_can_be_told() -> None:
    assert set(MOLECULES) == {"moses_metrics", "esol", "constrained", "pmo"}
