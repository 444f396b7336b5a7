"""Measures of molecules: known answers, agreement with fcd_torch and RDKit, and the FCD's order of real and false."""

import io
import pickle
import zipfile

import numpy as np
import pytest
import torch

from apps.molecules import chemistry, chemnet, drawing
from apps.molecules import metrics as measures
from apps.molecules import moses_metrics as metrics
from apps.molecules.baselines import Trigram
from apps.molecules.codec import EOS
from apps.molecules.data import moses_files
from apps.molecules.domain import DOMAIN
from apps.molecules.measuring import MOSES, describe, measure, published
from apps.molecules.metrics import evaluate
from benchmarks import moses_peer
from core.data.arrays import ArrayData, order
from core.data.sources import read_text
from core.errors import FourfoldError
from core.runs.domain import Prepared
from core.runs.measures import Measure, verdict
from core.runs.pretrained import build

ASPIRIN, CAFFEINE, BENZENE = "CC(=O)Oc1ccccc1C(=O)O", "Cn1c(=O)c2c(ncn2C)n(C)c1=O", "c1ccccc1"


@pytest.fixture(scope="module")
def moses() -> list[str]:
    """600 of MOSES' test molecules."""
    rows = [line.partition(",")[0] for line in read_text(moses_files()[1]).splitlines()[1:]]
    return [rows[i] for i in order(0, 0, len(rows))[:600]]


def test_valid_unique_novel() -> None:
    assert metrics.valid(["CCO", BENZENE, "C1CC", "hello", ""]) == pytest.approx(0.4)  # open ring, word, nothing
    assert metrics.valid([]) == 0
    assert metrics.unique(["CCO", "CCO", "C"]) == pytest.approx(2 / 3)
    assert metrics.unique(["CCO", "CCO", "C"], 2) == pytest.approx(1 / 2)
    assert metrics.novel(["CCO", "CCO", "C", "CC"], ["CC"]) == pytest.approx(2 / 3)
    assert chemistry.canonical(["OCC", "C1CC"]) == ["CCO", None]


def test_rdkit_says_nothing(capfd) -> None:
    chemistry.canonical(["C1CC", "C(C)(C)(C)(C)C", "c1cccc1"])
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""


def valid(*smiles: str) -> list:
    found = [mol for mol in chemistry.molecules(smiles) if mol is not None]
    assert len(found) == len(smiles)
    return found


def test_properties_of_aspirin() -> None:
    mols = valid(ASPIRIN)
    logp, qed, weight, tpsa, sa = chemistry.properties(mols, list(chemistry.PROPERTIES))[0]
    assert logp == pytest.approx(1.31, abs=0.01)
    assert qed == pytest.approx(0.55, abs=0.01)
    assert weight == pytest.approx(180.16, abs=0.01)
    assert tpsa == pytest.approx(63.6, abs=0.1)
    assert sa == pytest.approx(1.58, abs=0.02)
    with pytest.raises(FourfoldError, match="did you mean 'logp'"):
        chemistry.properties(mols, ["logP"])


def test_fragment_scores_are_read_without_running_a_pickle() -> None:
    class Attack:
        def __reduce__(self) -> tuple:
            return (print, ("run",))

    with pytest.raises(FourfoldError, match="builtins.print"):
        chemistry.NumbersOnly(io.BytesIO(pickle.dumps([[1.0, Attack()]]))).load()


def test_diversity_and_similarity() -> None:
    a = np.array([[1, 1, 0, 0], [0, 0, 1, 1]], np.float32)
    assert metrics.tanimoto(a, a).tolist() == [[1, 0], [0, 1]]
    assert metrics.internal_diversity(a) == [pytest.approx(0.5)]  # each is like itself and unlike the other
    assert metrics.internal_diversity(a[:1].repeat(5, 0)) == [pytest.approx(0)]
    assert metrics.internal_diversity(a, (1, 2)) == pytest.approx([0.5, 1 - np.sqrt(0.5)])
    assert metrics.nearest_similarity(a, a).tolist() == [1, 1]
    third = np.array([[1, 0, 0, 0]], np.float32)
    assert metrics.nearest_similarity(third, a) == [pytest.approx(0.5)]
    same = chemistry.scaffolds(valid("c1ccc2ccccc2c1", "Cc1ccc2ccccc2c1", "CCc1ccccc1"))
    assert same == {"c1ccc2ccccc2c1": 2}  # one ring is too few, as in MOSES
    assert metrics.cosine(same, same) == pytest.approx(1)


def test_features_equal_fcd_torch(moses, monkeypatch) -> None:
    package = pytest.importorskip("fcd_torch")
    monkeypatch.setattr(np, "row_stack", np.vstack, raising=False)  # the package wants numpy 1
    strings = [*moses[:60], "C[Si](C)C", "[Na+].[Cl-]", "C/C=C/Br"]
    theirs = package.FCD(batch_size=64, canonize=False).get_predictions(strings)
    np.testing.assert_allclose(chemnet.features(strings), theirs, atol=1e-6)


def test_fcd_tells_real_from_false(moses) -> None:
    reference, held = chemnet.features(moses[:300]), moses[300:]
    floor = metrics.fcd(held, reference)
    alkanes = metrics.fcd(["C" * n for n in range(2, 60)], reference)
    one = metrics.fcd([ASPIRIN] * 100, reference)
    assert metrics.fcd(reference, reference) == pytest.approx(0, abs=0.05)
    assert 0.5 < floor < 10  # 300 against 300: the bias of small samples
    assert alkanes > 5 * floor
    assert one > 5 * floor
    assert metrics.fcd([ASPIRIN, "not valid"], reference) == float("inf")


def test_the_nearest_is_found_among_references_of_all_sizes() -> None:
    draws = np.random.default_rng(0)
    bits, others = (draws.random((n, 64)) < draws.random((n, 1)) for n in (50, 300))
    others[0] = bits[0] = False  # two empty ones are alike
    a, b = bits.astype(np.float32), others.astype(np.uint8)
    np.testing.assert_allclose(metrics.nearest_similarity(a, b), metrics.tanimoto(a, b.astype(np.float32)).max(1))


def test_filters_find_what_trying_every_pattern_finds(moses) -> None:
    from rdkit import Chem

    bad = ["O=C1C=CC(=O)C=C1", "N#CC(C#N)=Cc1ccc(O)cc1", "CN(C)c1ccc(/N=N/c2ccccc2)cc1", "O=CC1CC1", "CCBr", "CC(=O)Cl"]
    mols = valid(*bad, *moses[:40])
    patterns, _ = metrics._filters()
    slow = [not any(Chem.AddHs(mol).HasSubstructMatch(pattern) for pattern in patterns) for mol in mols]
    assert metrics.passes_filters(mols) == slow
    assert not any(slow[:5]) and all(slow[6:])  # MOSES was filtered by them
    assert metrics.passes_filters(valid("C1CCCCCCC1", "C[NH3+]", "C[Si](C)C")) == [False] * 3  # ring, charge, element


def test_measures_name_their_reference(moses) -> None:
    found = measure([*moses[:100], "C1CC"], references={"Near": moses[300:], "Benzenes": [BENZENE, "Cc1ccccc1"]},
                    train=moses[:50], unique_at=(50,))
    both = [f"{name}/{reference}" for name in ("FCD", "SNN", "Frag", "Scaf", "logP", "SA", "QED", "weight")
            for reference in ("Near", "Benzenes")]
    assert list(found) == ["valid", "unique@50", *both, "IntDiv", "IntDiv2", "Filters", "Novelty", "copies",
                           "near_copies", "near_copies_expected"]
    assert found["valid"] == pytest.approx(100 / 101) and found["unique@50"] == 1 and found["Filters"] == 1
    assert found["Novelty"] == found["copies"] == pytest.approx(0.5)
    assert found["near_copies"] >= 0.5 > found["near_copies_expected"]
    assert found["IntDiv"] == pytest.approx(0.855, abs=0.02)  # the published value of MOSES' own molecules
    assert found["SNN/Near"] < 0.6 and found["Frag/Near"] > 0.9
    for name in ("logP", "weight", "FCD"):
        assert found[f"{name}/Near"] < found[f"{name}/Benzenes"]
    bad = measure(["C1CC", "x"], references={"Test": moses[:20]})
    assert bad["valid"] == 0 and bad["FCD/Test"] == float("inf")
    with pytest.raises(FourfoldError, match="no samples"):
        measure([], references={"Test": moses[:20]})
    with pytest.raises(FourfoldError, match="'Test' holds no valid molecules"):
        measure(moses[:5], references={"Test": ["C1CC"]})


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what the peer calls
def test_measures_equal_those_of_molsets(moses) -> None:
    made = [*moses[:50], *moses[:5], "C1CC", "O=C1C=CC(=O)C=C1", "C[N+](C)(C)CC(=O)[O-]", "OC[C@H](N)c1ccccc1", BENZENE]
    peer = moses_peer.measures()
    test, others, train = moses[300:360], moses[360:400], moses[:20]
    theirs = peer.get_all_metrics(made, k=[10, 50], test=test, test_scaffolds=others, train=train)
    ours = measure(made, references={"Test": test, "TestSF": others}, train=train, unique_at=(10, 50))
    ours |= {name: ours[f"{name}/Test"] for name in ("logP", "SA", "QED", "weight")}
    assert len(theirs) == 19 and {name: ours[name] for name in theirs} == pytest.approx(theirs, abs=5e-4)


def test_published_statistics_are_read_without_running_a_pickle(moses, tmp_path, monkeypatch) -> None:
    found = published(MOSES["Test"])
    assert len(found.bits) == 176_074 and found.moments is not None
    mine = describe(moses[:100])
    assert mine.moments is not None and 5 < mine.moments.distance(found.moments) < 25  # 100 of them
    assert metrics.nearest_similarity(mine.bits.astype(np.float32), found.bits[:9000]).mean() < 1
    assert metrics.cosine(mine.fragments, found.fragments) > 0.95
    assert metrics.wasserstein(mine.values["QED"], found.values["QED"]) < 0.05

    class Attack:
        def __reduce__(self) -> tuple:
            return (print, ("run",))

    with zipfile.ZipFile(tmp_path / "attack.npz", "w") as archive, archive.open("stats.npy", "w") as stream:
        np.lib.format.write_array_header_1_0(stream, {"descr": "|O", "fortran_order": False, "shape": ()})
        stream.write(pickle.dumps(Attack(), 2))
    monkeypatch.setattr("apps.molecules.measuring.moses_file", lambda name: tmp_path / "attack.npz")
    with pytest.raises(FourfoldError, match="__builtin__.print"):
        published("any")


def evaluated(samples: list[str], moses: list[str], n: int, monkeypatch: pytest.MonkeyPatch) -> dict[str, Measure]:
    """The measures of these samples, after training on 400 molecules with 40 for validation and 100 for the test."""
    recipe = DOMAIN.override(DOMAIN.recipe("tour-gan"), [])
    codec = DOMAIN.prepare(recipe.data).codec
    space, parts = codec.space, {}
    for name, some in (("train", moses[:400]), ("validation", moses[400:440]), ("test", moses[440:540])):
        batch = codec.encode(some)
        x = np.full((len(some), space.length), EOS, np.int64)
        x[:, : batch.x.shape[1]] = batch.x.numpy()
        parts[name] = ArrayData(space, x, lengths=np.array([len(codec.encode([one]).x[0]) for one in some]))
    model = build(DOMAIN, recipe, codec, torch.device("cpu"))
    monkeypatch.setattr(measures, "RESAMPLES", 2)
    monkeypatch.setattr(type(model), "sample", lambda self, n, **settings: samples[:n])
    return {m.name: m for m in evaluate(model, Prepared(codec=codec, **parts), n, 0)}


def test_the_floor_is_of_as_many_molecules_as_are_measured(moses, monkeypatch) -> None:
    found = evaluated(moses[:400], moses, 120, monkeypatch)
    assert found["fcd"].count == 90 and "of 90 of 120 samples" in found["fcd"].remark  # 50 and 40 of validation
    assert found["valid"].count == 120
    assert evaluated(moses[:400], moses, 80, monkeypatch)["fcd"].count == 80


def test_copied_molecules_are_called_memorized_and_others_are_not(moses, monkeypatch) -> None:
    copies, honest = (evaluated(some, moses, 60, monkeypatch) for some in (moses[:100], moses[540:]))
    for name in ("novel", "near_copies_of_training"):
        assert copies[name].copied and "memorized" in verdict(copies[name]).words
        assert not honest[name].copied
    assert copies["novel"].value == 0 and copies["near_copies_of_training"].value == 1


def test_trigram_is_a_distribution_over_strings(moses) -> None:
    trigram = Trigram.fit(moses)
    nll, lengths = trigram.nll(moses[:200])
    assert 1 < (nll.sum() / lengths.sum()) / np.log(2) < 2.5  # bits a token
    assert trigram.sample(20, 3) == trigram.sample(20, 3) != trigram.sample(20, 4)
    assert metrics.valid(trigram.sample(200, 0)) < 0.2


def test_drawings_with_and_without_system_libraries(monkeypatch) -> None:
    image = pytest.importorskip("PIL.Image")
    for route in ("rdkit", "pillow"):
        if route == "pillow":
            monkeypatch.setattr(drawing, "cairo", lambda: None)
        picture = image.open(io.BytesIO(drawing.grid([ASPIRIN, CAFFEINE, "C1CC"], columns=2, size=150)))
        assert picture.size == (300, 300)
        cells = [np.asarray(picture.convert("L").crop((x, y, x + 150, y + 150))) for y in (0, 150) for x in (0, 150)]
        inked = [float((cell < 200).mean()) > 0.01 for cell in cells]
        assert inked == [True, True, False, False]  # what is not valid leaves its cell blank
