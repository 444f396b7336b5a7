"""Pairs and single lines: read from all kinds of files; what is malformed is refused."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from apps import text
from apps.text import sources
from apps.text.cli import app  # noqa: F401 - the fixture `refused` runs it
from apps.text.codec import TextCodec
from apps.text.data import TextModel, prepare
from apps.text.recipes import summarize_docstrings
from core.errors import FourfoldError, Unsupported
from core.families import AutoregressiveConfig, ConditioningConfig, DiffusionConfig, GANConfig, Masking, VAEConfig
from core.families.family import FamilyConfig
from core.networks import MLPConfig, TransformerConfig
from core.runs.pretrained import build, save_description
from core.runs.recipe import Recipe
from core.serialization import from_dict, to_dict
from core.training.checkpoint import save_weights

NUMBERS = ["null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun"]
SMALL = TransformerConfig(width=64, depth=1, heads=2)


def numbers(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """Digits and their names: a language that a small model can learn."""
    draws = random.Random(seed)
    rows = [[draws.randrange(10) for _ in range(draws.randint(1, 5))] for _ in range(count)]
    return [("".join(map(str, row)), " ".join(NUMBERS[i] for i in row)) for row in rows]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pairs") / "numbers.tsv"
    path.write_text("".join(f"{a}\t{b}\n" for a, b in numbers(3000)), encoding="utf-8")
    return path


def recipe(table: Path) -> Recipe[text.TextData]:
    data = text.TextData(source="folder", folder=str(table), unit="pair", length=40, source_length=8)
    conditioning = ConditioningConfig(width=64, dropout=0.0, source_depth=1)
    family = AutoregressiveConfig(model=SMALL, conditioning=conditioning)
    return replace(summarize_docstrings(), name="numbers", data=data, family=family)


@pytest.fixture(scope="module")
def translator(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder of first weights."""
    target = tmp_path_factory.mktemp("translator")
    model = untrained(table)
    save_description(model, target)
    save_weights(target, model.family.state_dict())
    return target


def untrained(table: Path) -> TextModel:
    chosen = recipe(table)
    return build(text.DOMAIN, chosen, prepare(chosen.data).codec, torch.device("cpu"))


def test_a_model_of_pairs_says_what_it_is_for(table: Path) -> None:
    with pytest.raises(Unsupported, match="translate"):
        text.generate(untrained(table), "eins")
    with pytest.raises(Unsupported, match="evaluate"):
        text.score(untrained(table), "eins")


def test_the_encoder_of_a_source_has_the_models_dropout() -> None:
    for name in ("translate-de-en", "summarize-descriptions", "summarize-docstrings"):
        family = text.DOMAIN.recipe(name).family
        assert isinstance(family, AutoregressiveConfig)
        assert family.conditioning.source_dropout == family.model.dropout > 0


@pytest.mark.parametrize(("words", "expected"), [
    ([], ["--file"]),
    (["12", "--file", "x.txt"], ["not both"]),
    (["--file", "nowhere.txt"], ["no such file"]),
    (["--file", "empty.txt"], ["empty"]),
    (["--file", "blank.txt"], ["line 2 is empty"]),
    (["--file", "binary.txt"], ["binary"]),
    (["--file", "latin.txt"], ["UTF-8"]),
    ([""], ["empty"]),
    (["123456789"], ["9 tokens", "reads 8"]),
    (["12", "--beams", "0"], ["--beams"]),
    (["12", "--length-penalty", "-1"], ["--length-penalty"]),
    (["bad \udcff"], ["Unicode"]),
])
def test_refused_translations(
    refused: Callable[..., str], translator: Path, tmp_path: Path, words: list[str], expected: list[str]
) -> None:
    (tmp_path / "empty.txt").touch()
    (tmp_path / "blank.txt").write_text("12\n\n3\n")
    (tmp_path / "binary.txt").write_bytes(b"\0\1" * 9)
    (tmp_path / "latin.txt").write_bytes("caf\xe9".encode("latin-1"))
    message = refused("translate", translator, *[str(tmp_path / w) if w.endswith(".txt") else w for w in words])
    assert all(word in message for word in expected), message


FILES: dict[str, tuple[dict[str, str | bytes], list[str]]] = {
    "no tab": ({"a.tsv": "one two\n"}, ["line 1", "a tab"]),
    "three columns": ({"a.tsv": "a\tb\n1\t2\t3\n"}, ["1 of 2 rows", "line 2: 3 cells instead of 2"]),
    "empty target": ({"a.tsv": "a\t\n"}, ["no pairs"]),
    "empty file": ({"a.tsv": ""}, ["a.tsv", "empty"]),
    "one pair": ({"a.tsv": "a\tb\n"}, ["1 different", "at least 3"]),
    "the same source thrice": ({"a.tsv": "a\tb\na\tc\na\td\n"}, ["1 different"]),
    "no json": ({"a.jsonl": "{source: 1}\n"}, ["line 1", "JSON"]),
    "no target": ({"a.jsonl": '{"source": "x"}\n'}, ["line 1", '"target"']),
    "a number": ({"a.jsonl": '{"source": "x", "target": 3}\n'}, ["line 1", '"target"']),
    "unequal counts": ({"talk.de": "eins\nzwei\ndrei\n", "talk.en": "one\ntwo\n"}, ["3 lines", "2"]),
    "no twin": ({"talk.de": "eins\n"}, ["talk.en"]),
    "no files": ({"a.png": b"x"}, ["no file of the kinds .tsv", ".png 1"]),
    "latin": ({"a.tsv": "é\tx\n".encode("latin-1")}, ["UTF-8"]),
    "binary": ({"a.tsv": b"\0\1\2"}, ["binary"]),
    "damaged gz": ({"a.tsv.gz": b"no gzip"}, ["a.tsv.gz"]),
    "only a training split": ({"train.tsv": "a\tb\nc\td\n"}, ["validation", "test"]),
}


@pytest.mark.parametrize("name", FILES)
def test_refused_pairs(refused: Callable[..., str], tmp_path: Path, name: str) -> None:
    files, expected = FILES[name]
    for file, content in files.items():
        (tmp_path / file).write_bytes(content if isinstance(content, bytes) else content.encode())
    message = refused("train", "summarize-docstrings", "--data", tmp_path, "--set", "data.pair=de-en",
                      "--run", tmp_path / "run")
    assert all(word in message for word in expected), message
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("settings", "expected"), [
    (["data.source=multi30k"], ["data.pair", "de-en"]),
    (["data.source=descriptions", "data.pair=en-it"], ["data.pair", "en-summary"]),
    (["data.source=shakespeare"], ["data.unit", "no pairs"]),
    (["data.unit=line"], ["data.unit", "is pairs"]),
    (["data.pair=german"], ["data.pair", "de-en"]),
    (["data.source_length=3"], ["data.source_length"]),
    (["family.conditioning.source_depth=0"], ["source_depth"]),
    (["family.label_smoothing=1"], ["label_smoothing"]),
])
def test_refused_settings(
    refused: Callable[..., str], tmp_path: Path, settings: list[str], expected: list[str]
) -> None:
    words = [word for setting in settings for word in ("--set", setting)]
    message = refused("train", "summarize-docstrings", *words, "--run", tmp_path / "run")
    assert all(word in message for word in expected), message


def test_all_kinds_of_files_hold_the_same_pairs(tmp_path: Path) -> None:
    pairs = numbers(60)
    tables = {
        "a.tsv": "".join(f"{a}\t{b}\n" for a, b in pairs).encode(),
        "b.jsonl": "".join(json.dumps({"source": a, "target": b}) + "\n" for a, b in pairs).encode(),
        "c.tsv.gz": gzip.compress("".join(f"{a}\t{b}\r\n" for a, b in pairs).encode()),
    }
    found = []
    for name, content in tables.items():
        (tmp_path / name).write_bytes(content)
        found.append(sources.pairs(text.TextData(folder=str(tmp_path / name), unit="pair")))
    parallel = tmp_path / "parallel"
    parallel.mkdir()
    for side, column in (("de", 0), ("en", 1)):
        (parallel / f"talk.v2.{side}").write_text("".join(pair[column] + "\n" for pair in pairs), encoding="utf-8")
    found.append(sources.pairs(text.TextData(folder=str(parallel), unit="pair", pair="de-en")))
    assert all(one == found[0] for one in found)
    assert sorted(pair for some in found[0].values() for pair in some) == sorted(pairs)
    held = {a for name in ("validation", "test") for a, _ in found[0][name]}
    assert held and not held & {a for a, _ in found[0]["train"]}, "one source is in one split only"


def test_named_splits_are_kept(tmp_path: Path) -> None:
    for name, count in (("train", 30), ("val", 5), ("test", 6)):
        (tmp_path / f"{name}.tsv").write_text("".join(f"{a}\t{b}\n" for a, b in numbers(count, seed=count)))
    found = sources.pairs(text.TextData(folder=str(tmp_path), unit="pair"))
    assert {name: len(some) for name, some in found.items()} == {"train": 30, "validation": 5, "test": 6}


def test_docstrings_are_at_hand() -> None:
    data = summarize_docstrings().data
    prepared = prepare(replace(data, limit=400))
    assert len(prepared.train) > 300 and len(prepared.test) > 20
    batch = prepared.train.batch([0, 1, 2])
    assert batch.condition["source"].shape[1] == prepared.train.condition_lengths["source"][:3].max()
    assert all(len(line) >= 10 and "\n" not in line for line in prepared.codec.decode(batch))


def test_long_targets_are_left_out_and_long_sources_cut(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [*numbers(40), ("1" * 500, "eins"), ("2", "zwei " * 90)]
    (tmp_path / "a.tsv").write_text("".join(f"{a}\t{b}\n" for a, b in rows), encoding="utf-8")
    prepared = prepare(text.TextData(folder=str(tmp_path), unit="pair", length=40, source_length=8))
    assert len(prepared.train) + len(prepared.validation) + len(prepared.test) == len(rows) - 1
    assert "1 of" in caplog.text and "left out" in caplog.text
    assert prepared.train.x.max() == prepared.codec.end


def test_lines_are_examples_with_an_end(tmp_path: Path) -> None:
    lines = [b for _, b in numbers(400, seed=3)]
    (tmp_path / "lines.txt").write_text("\n\n".join(lines), encoding="utf-8")
    data = text.TextData(folder=str(tmp_path / "lines.txt"), unit="line", length=40)
    prepared = prepare(data)
    codec = prepared.codec
    batch = prepared.train.batch(range(20))
    assert set(codec.decode(batch)) <= set(lines)
    assert batch.mask is not None and codec.histogram is not None
    assert bool((batch.x.gather(1, batch.mask.sum(1, keepdim=True) - 1) == codec.end).all())
    assert codec.decode(codec.encode(lines[:5])) == lines[:5]
    assert sum(codec.histogram) == pytest.approx(1)
    assert from_dict(TextCodec, to_dict(codec), "codec") == codec


def test_tasks_of_lines(tmp_path: Path) -> None:
    """A latent GAN's autoencoder is a VAE: the same weights make the same texts."""
    (tmp_path / "lines.txt").write_text("\n".join(b for _, b in numbers(400, seed=3)), encoding="utf-8")
    data = text.TextData(folder=str(tmp_path / "lines.txt"), unit="line", length=40)
    codec = prepare(data).codec

    def model(family: FamilyConfig) -> TextModel:
        return build(text.DOMAIN, replace(summarize_docstrings(), data=data, family=family), codec, torch.device("cpu"))

    autoencoder, network = VAEConfig(encoder=SMALL, decoder=SMALL, latent=16), MLPConfig(width=16, depth=1)
    vae = model(autoencoder)
    draws = torch.Generator().manual_seed(0)
    for parameter in vae.family.parameters():
        if not parameter.any():  # first weights are 0 where a latent enters
            torch.nn.init.normal_(parameter, generator=draws)
    gan = model(GANConfig(generator=network, critic=network, latent=16, autoencoder=autoencoder))
    gan.family.get_submodule("autoencoder").load_state_dict(vae.family.state_dict())
    path = text.interpolate(vae, "eins zwei", "neun acht", 5)
    assert text.interpolate(gan, "eins zwei", "neun acht", 5) == path and len(set(path)) > 1
    assert text.reconstruct(gan, ["eins zwei", "neun"]) == text.reconstruct(vae, ["eins zwei", "neun"])
    for bad, error in ((("a", "b", 1), "at least two"), (("", "b", 3), "has 0 tokens")):
        with pytest.raises(FourfoldError, match=error):
            text.interpolate(vae, *bad)
    writer = model(AutoregressiveConfig(model=SMALL))
    made = text.generate(writer, "eins ", 3, seed=1)
    assert all(line.startswith("eins ") and "\n" not in line for line in made)
    assert {len(line) for line in text.generate(writer, "eins ", 30, length=1)} <= {5, 6}
    with pytest.raises(Unsupported, match="pairs"):
        text.translate(writer, ["eins"])
    with pytest.raises(FourfoldError, match="lines have up to 39"):
        text.generate(writer, "eins " * 20)
    with pytest.raises(FourfoldError, match="has 40 tokens with its gaps: the model's window takes 39"):
        text.infill(model(DiffusionConfig(denoiser=SMALL, process=Masking())), "eins[MASK:36]")
