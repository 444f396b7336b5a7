"""The molecules command line on a user's own file: what works, and mistakes that are one line and exit code 2."""

from __future__ import annotations

import csv
import gzip
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from command_line import succeed

from apps.molecules.chemistry import canonical
from apps.molecules.cli import app
from apps.molecules.data import MoleculeData, moses_files, prepare, read_smiles
from apps.molecules.domain import DOMAIN
from core.data.sources import read_text
from core.errors import FourfoldError
from core.runs.pretrained import build

Cli = Callable[..., tuple[int, str, str]]
SMALL = [
    "--set", "family.model.width=32", "--set", "family.model.depth=1", "--set", "family.model.heads=2",
    "--set", "train.steps=30", "--set", "train.batch_size=32", "--set", "data.merges=100",
]


@pytest.fixture(scope="module")
def smiles() -> list[str]:
    return [line.partition(",")[0] for line in read_text(moses_files()[1]).splitlines()[1:401]]


@pytest.fixture(scope="module")
def file(smiles: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A .smi file with names, a blank line, a duplicate, and two invalid molecules."""
    path = tmp_path_factory.mktemp("own") / "mine.smi"
    rows = [f"{text} name{i}" for i, text in enumerate(smiles)]
    path.write_text("\n".join([rows[0], "", "C1CC broken", *rows, "hello"]) + "\n")
    return path


@pytest.fixture(scope="module")
def trained(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny conditional model of that file, hardly trained."""
    folder = tmp_path_factory.mktemp("runs") / "mine"
    succeed(app, "train", "tour-autoregressive", "--data", file, "--run", folder, *SMALL,
            "--set", 'data.properties=["tpsa", "weight"]')
    return folder


def test_own_file_is_split_without_loss_or_leak(file: Path, smiles: list[str]) -> None:
    prepared = prepare(MoleculeData(folder=str(file), merges=50))
    parts = [prepared.codec.strings(p.x) for p in (prepared.train, prepared.validation, prepared.test)]
    assert [len(p) for p in parts][1:] == [40, 40]
    together = [s for part in parts for s in part]
    assert len(set(together)) == len(together) > 390  # once each; a rare token in a held-out molecule may cost it
    assert set(together) <= set(read_smiles(file, max_invalid=0.01))


def test_columns_are_found(tmp_path: Path, smiles: list[str]) -> None:
    rows = [[str(i), text, f"{i / 7:.2f}"] for i, text in enumerate(smiles[:60])]
    kinds = (("a", ["id", "SMILES", "y"], ".csv"), ("b", ["id", "thing", "y"], ".tsv"), ("c", None, ".csv"))
    for name, header, suffix in kinds:
        path = tmp_path / f"{name}{suffix}"
        with open(path, "w", newline="") as stream:
            table = csv.writer(stream, delimiter="\t" if suffix == ".tsv" else ",")
            table.writerows([*([header] if header else []), *rows])
        assert len(read_smiles(path)) == 60
    packed = tmp_path / "d.smi.gz"
    packed.write_bytes(gzip.compress("\n".join(["SMILES", *smiles[:60]]).encode()))
    assert len(read_smiles(packed)) == 60


def bad(name: str, file: Path, trained: Path, folder: Path, smiles: list[str]) -> tuple[list[object], str]:
    """A mistaken command line, and what its one line must say."""
    train: list[object] = ["train", "tour-autoregressive", "--dry-run", "--run", folder / "run"]

    def own(filename: str, content: str | bytes, *more: object) -> list[object]:
        path = folder / filename
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return [*train, "--data", path, *more]

    def damaged(change: Callable[[Path], object]) -> Path:
        copy = folder / "copy"
        shutil.copytree(trained, copy)
        change(copy / "model" / "codec.json")
        return copy

    many = "\n".join(smiles[:99])
    packed = gzip.compress(many.encode())
    cases: dict[str, Callable[[], tuple[list[object], str]]] = {
        "recipe": lambda: (["train", "tour-autoregresive"], "did you mean 'tour-autoregressive'"),
        "no file": lambda: ([*train, "--data", folder / "none.smi"], "no such"),
        "empty": lambda: (own("a.smi", ""), "is empty"),
        "invalid": lambda: (own("a.smi", f"{many}\nC1CC\nxyz\n"), "line 100: 'C1CC' is not valid SMILES; line 101"),
        "kind": lambda: (own("a.pdf", many), "not of a kind that is read here: .smi"),
        "binary": lambda: (own("a.smi", b"\x00\x81\xff" * 50), "binary"),
        "truncated": lambda: (own("a.smi.gz", packed[: len(packed) // 2]), "cannot be read"),
        "not gzip": lambda: (own("a.csv.gz", many), "cannot be read"),
        "few": lambda: (own("a.smi", "\n".join(smiles[:9])), "9 different molecules"),
        "no column": lambda: (own("a.csv", "a,b\n1,2\n3,4\n"), "no column of SMILES; its columns: a, b"),
        "column": lambda: (own("a.csv", "smiles,y\nCC,1\n", "--set", "data.column=smile"), "no column 'smile'"),
        "empty folder": lambda: ([*train, "--data", folder], "holds no file of the kinds .smi"),
        "limit": lambda: ([*train, "--set", "data.limit=3"], "data.limit is 3"),
        "property": lambda: ([*train, "--set", 'data.properties=["logD"]'], "did you mean 'logp'"),
        "key": lambda: ([*train, "--set", "data.max_token=9"], "did you mean 'max_tokens'"),
        "long": lambda: (own("a.smi", many, "--set", "data.max_tokens=3"), "0 different molecules of at most 3 tokens"),
        "no run": lambda: (["sample", folder / "none"], "no such run"),
        "asked name": lambda: (["sample", trained, "--property", "logp=2"], "logp"),
        "asked value": lambda: (["sample", trained, "--property", "tpsa=much,weight=300"], "much"),
        "codec lost": lambda: (["sample", damaged(Path.unlink)], "codec.json: no such file"),
        "codec cut": lambda: (["sample", damaged(lambda p: p.write_text(p.read_text()[:99]))], "codec.json is damaged"),
        "target": lambda: (["design", trained, "--property", "logd=1"], "did you mean 'logp'"),
        "target value": lambda: (["design", trained, "--property", "logp"], "must look like logp=2.5"),
        "output": lambda: (["sample", trained, "-n", "2", "-o", file / "out"], "mine.smi"),
    }
    if name == "names":
        return list(cases), ""
    return cases[name]()


NAMES = [str(name) for name in bad("names", Path(), Path(), Path(), [])[0]]


@pytest.mark.parametrize("name", NAMES)
def test_mistakes_are_one_line(
    name: str, cli: Cli, file: Path, trained: Path, tmp_path: Path, smiles: list[str]
) -> None:
    words, expected = bad(name, file, trained, tmp_path, smiles)
    code, _, err = cli(*words)
    assert code == 2, err
    assert expected in err
    assert err.startswith("error: ") and err.count("\n") == 1


@pytest.mark.parametrize("family", ["vae", "gan", "diffusion", "autoregressive"])
def test_tour_recipes_name_their_family_and_draw_strings(family: str, file: Path) -> None:
    recipe = DOMAIN.recipe(f"tour-{family}")
    assert recipe.family.kind == family
    data = MoleculeData(folder=str(file), merges=50, properties=recipe.data.properties)
    model = build(DOMAIN, replace(recipe, data=data), prepare(data).codec, torch.device("cpu"))
    assert len(model.sample(3, seed=0)) == 3


def test_design_refuses_what_the_model_cannot_give(cli: Cli, trained: Path, tmp_path: Path) -> None:
    code, out, err = cli("design", trained, "-n", 40, "--temperature", 50, "-o", tmp_path / "d")
    assert code == 2 and "were asked for" in err and not (tmp_path / "d").exists()


def test_codec_holds_what_was_asked_for(trained: Path) -> None:
    value = json.loads((trained / "model" / "codec.json").read_text())
    assert value["properties"]["names"] == ["tpsa", "weight"]
    assert len(value["merges"]) == 100


def test_tables_as_people_have_them_lose_nothing(tmp_path: Path, smiles: list[str]) -> None:
    stray, semicolons = tmp_path / "stray.tsv", tmp_path / "semicolons.csv"
    names = [f'5" tube {i}' if i in (9, 39) else f"name {i}" for i in range(60)]
    names[20] = '"quoted'
    pairs = list(zip(names, smiles, strict=False))
    stray.write_text("".join(f"{name}\t{text}\n" for name, text in [("name", "smiles"), *pairs]))
    head = '\ufeff"ChEMBL ID";"Mol. (as SMILES)"\r\n'
    semicolons.write_text(head + "".join(f'"X{i}";"{text}"\r\n' for i, text in enumerate(smiles[:60])))
    expected = canonical(smiles[:60])
    assert read_smiles(stray) == read_smiles(semicolons) == read_smiles(semicolons, "Mol. (as SMILES)") == expected
    with pytest.raises(FourfoldError, match=r"60 of 60 molecules cannot be read \(line 2: 'X0' is not valid SMILES; "):
        read_smiles(semicolons, "ChEMBL ID")


def test_what_is_skipped_is_counted_with_line_and_reason(
    tmp_path: Path, smiles: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "drugs" / "a.csv"
    (file.parent / ".cache").mkdir(parents=True)
    (file.parent / ".cache" / "old.csv").write_text("smiles\nC\n")
    rows = [f"{text},{i}" for i, text in enumerate(smiles[:100])]
    rows[3] += ",more"
    rows[5:5] = ["C1CC,y", ",no molecule", "C" * 20_000 + ",y", f"{smiles[0]},again"]
    file.write_text("\n".join(["smiles,name", *rows]) + "\n")
    with pytest.raises(FourfoldError, match=r"3 of 104 molecules cannot be read \(line 5: 3 cells instead of 2; line 7"
                                            ": 'C1CC' is not valid SMILES; line 9: 'CCC.*data.max_invalid allows 0.01"):
        prepare(MoleculeData(folder=str(file.parent)))
    for _ in range(2):  # said again where the cache has it all
        caplog.clear()
        prepared = prepare(MoleculeData(folder=str(file.parent), max_invalid=0.03))
        assert sum(map(len, (prepared.train, prepared.validation, prepared.test))) >= 95
        said = [record.getMessage() for record in caplog.records]
        assert [line for line in said if "1 hidden file skipped (.cache/old.csv)" in line]
        assert [line for line in said if line.startswith("a.csv: skipped: 3 of 104 molecules cannot be read (line 5")]
        assert "a.csv: 1 row without a SMILES skipped" in said
        assert [line for line in said if "100 molecules are 99 different ones" in line]


@pytest.mark.parametrize("bond", ["[NH3]->[Pt](Cl)Cl", "Cl[Pt]<-[NH3]", "C~C", "[U]$[U]", "*C", "[Cu]<-[NH2]C"])
def test_every_bond_that_rdkit_writes_is_read(bond: str, tmp_path: Path, smiles: list[str]) -> None:
    file = tmp_path / "a.smi"
    file.write_text("\n".join([*smiles[:60], *[bond, f"{bond}.C"] * 3, f"{bond}.CC"]))
    found = read_smiles(file)
    assert len(found) == 67
    prepared = prepare(MoleculeData(folder=str(file)))
    strings = prepared.codec.strings(prepared.train.x)
    assert len(strings) >= 48 and set(strings) <= set(found)


def test_folders_are_read_to_any_depth(tmp_path: Path, smiles: list[str]) -> None:
    for i in range(3):
        (tmp_path / f"part{i}" / "deep").mkdir(parents=True)
        (tmp_path / f"part{i}" / "deep" / "a.smi").write_text("\n".join(smiles[30 * i : 30 * i + 30]))
    prepared = prepare(MoleculeData(folder=str(tmp_path)))
    assert sum(map(len, (prepared.train, prepared.validation, prepared.test))) >= 85


def test_measure_reads_a_file_as_it_stands(tmp_path: Path, smiles: list[str], cli: Cli) -> None:
    made, held, train = tmp_path / "made.csv", tmp_path / "held.smi", tmp_path / "train.smi"
    made.write_text("\n".join(["smiles,valid", *(f"{text},1" for text in smiles[:40]), "C1CC,0", ",0", "CC,1,more"]))
    held.write_text("\n".join([*smiles[100:200], "C1CC"]))
    train.write_text("\n".join(smiles[:10]))
    code, out, err = cli("measure", made, "--reference", held, "--train", train, "--json")
    assert code == 0, err
    found = json.loads(out)
    assert found["samples"] == 43 and found["measures"]["valid"] == pytest.approx(40 / 43)
    assert found["measures"]["Novelty"] == pytest.approx(0.75) and found["measures"]["FCD/held"] > 0
    code, out, _ = cli("measure", made, "--reference", held, "-n", 5)
    assert code == 0 and out.startswith("5 samples\n") and "SNN/held" in out and "Novelty" not in out


def test_what_cannot_be_measured_is_one_line(tmp_path: Path, smiles: list[str], refused: Callable[..., str]) -> None:
    empty, table, good = tmp_path / "empty.smi", tmp_path / "table.csv", tmp_path / "good.smi"
    empty.write_text("\n\n")
    table.write_text("a,b\n1,2\n3,4\n")
    good.write_text("\n".join(smiles[:5]))
    assert "is empty: it holds no molecules" in refused("measure", empty)
    assert "no column of SMILES" in refused("measure", table)
    assert "no column 'x'" in refused("measure", table, "--column", "x")
    assert "no such file" in refused("measure", tmp_path / "none.smi")
    assert "no such file" in refused("measure", good, "--reference", tmp_path / "none.smi")
    assert "is empty" in refused("measure", good, "--train", empty)
