"""Pairs and single lines: read from all kinds of files, learned, searched by beams; what is malformed is refused."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import succeed
from core.runs.model import Model

from apps import text
from apps.text import sources
from apps.text.cli import app
from apps.text.data import prepare
from apps.text.metrics import evaluate
from apps.text.recipes import summarize_docstrings
from core.errors import FourfoldError, Unsupported
from core.families import AutoregressiveConfig, DiffusionConfig, GANConfig, Masking, VAEConfig
from core.networks import MLPConfig, TransformerConfig
from core.runs.pretrained import build
from core.runs.run import Run, train
from core.training.config import TrainConfig

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


def recipe(table: Path, steps: int = 400):
    data = text.TextData(source="folder", folder=str(table), unit="pair", length=40, source_length=8)
    return replace(
        summarize_docstrings(), name="numbers", data=data,
        family=AutoregressiveConfig(model=SMALL, cond_width=64, source_depth=1, condition_dropout=0.0),
        train=TrainConfig(steps=steps, batch_size=64, learning_rate=5e-3, optimizer="muon", ema_decay=0.99),
    )


@pytest.fixture(scope="module")
def translator(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = Run(tmp_path_factory.mktemp("runs") / "numbers")
    train(text.DOMAIN, recipe(table), run, log=lambda event: None)
    return run.folder


def untrained(table: Path) -> Model:
    chosen = recipe(table)
    return build(text.DOMAIN, chosen, prepare(chosen.data).codec, torch.device("cpu"))


def test_a_translator_learns_and_an_untrained_one_has_not(translator: Path, table: Path) -> None:
    model, test = text.load(translator), sources.pairs(recipe(table).data)["test"][:100]
    given, wanted = [a for a, _ in test], [b for _, b in test]
    right = np.mean([a == b for a, b in zip(text.translate(model, given), wanted, strict=True)])
    assert right > 0.9
    assert not any(a == b for a, b in zip(text.translate(untrained(table), given), wanted, strict=True))
    measures = {m.name: m for m in evaluate(model, prepare(model.recipe.data), 50, 0)}
    assert measures["bleu"].value > 80 and measures["bleu"].beats_baseline and measures["rouge1"].value > 80
    bad = {m.name: m for m in evaluate(untrained(table), prepare(model.recipe.data), 20, 0)}
    assert bad["bleu"].value < 5 and bad["bits_per_byte"].value > 2 * measures["bits_per_byte"].value


def test_batches_and_order_of_texts_change_nothing(translator: Path) -> None:
    model, given = text.load(translator), [a for a, _ in numbers(20, seed=9)]
    made = text.translate(model, given)
    assert text.translate(model, given[::-1], batch_size=3)[::-1] == made
    assert text.summarize(model, [given[0] + "0" * 50]) and len(made) == 20
    with pytest.raises(Unsupported, match="translate"):
        text.generate(model, "eins")
    with pytest.raises(Unsupported, match="evaluate"):
        text.score(model, "eins")


def test_more_beams_find_likelier_texts(translator: Path) -> None:
    """Of a model that says something, but nothing in particular: by the search's score, log-probability over length."""
    model = text.load(translator)
    family = model.family
    torch.nn.init.normal_(family.network.head.weight, std=0.15, generator=torch.Generator().manual_seed(0))
    source = {"source": model.codec.encode_sources([a for a, _ in numbers(12, seed=5)])}

    def score(beams: int) -> float:
        found = family.likeliest(source, beams=beams)
        nats = family.bound(replace(found, condition=source))
        return float((nats / found.mask.sum(1)).sum())

    assert score(8) <= score(3) < score(1)


def test_commands(translator: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    succeed(app, "translate", translator, "12", "7")
    assert capsys.readouterr().out.splitlines() == ["eins zwei", "sieben"]
    (tmp_path / "in.txt").write_text("12\n345\n", encoding="utf-8")
    succeed(app, "summarize", translator, "--file", tmp_path / "in.txt", "--json")
    assert json.loads(capsys.readouterr().out) == ["eins zwei", "drei vier fünf"]


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
    "three columns": ({"a.tsv": "a\tb\n1\t2\t3\n"}, ["line 2", "a tab"]),
    "empty target": ({"a.tsv": "a\t\n"}, ["line 1"]),
    "empty file": ({"a.tsv": ""}, ["no pairs", "empty"]),
    "one pair": ({"a.tsv": "a\tb\n"}, ["1 different", "at least 3"]),
    "the same source thrice": ({"a.tsv": "a\tb\na\tc\na\td\n"}, ["1 different"]),
    "no json": ({"a.jsonl": "{source: 1}\n"}, ["line 1", "JSON"]),
    "no target": ({"a.jsonl": '{"source": "x"}\n'}, ["line 1", '"target"']),
    "a number": ({"a.jsonl": '{"source": "x", "target": 3}\n'}, ["line 1", '"target"']),
    "unequal counts": ({"talk.de": "eins\nzwei\ndrei\n", "talk.en": "one\ntwo\n"}, ["3 lines", "2"]),
    "no twin": ({"talk.de": "eins\n"}, ["talk.en"]),
    "no files": ({"a.png": b"x"}, ["no text", ".tsv"]),
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
    (["family.source_depth=0"], ["source_depth"]),
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
    assert bool((batch.x.gather(1, batch.mask.sum(1, keepdim=True) - 1) == codec.end).all())
    assert codec.decode(codec.encode(lines[:5])) == lines[:5]
    assert sum(codec.histogram) == pytest.approx(1)
    codec.save(tmp_path)
    assert text.DOMAIN.load_codec(tmp_path) == codec


def test_a_sentence_vae_goes_from_one_line_to_another(tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("\n".join(b for _, b in numbers(3000, seed=3)), encoding="utf-8")
    data = text.TextData(folder=str(tmp_path / "lines.txt"), unit="line", length=40)
    chosen = replace(
        summarize_docstrings(), name="lines", data=data,
        family=VAEConfig(encoder=SMALL, decoder=SMALL, latent=16, beta=0.05, word_dropout=0.5),
        train=TrainConfig(steps=500, batch_size=64, learning_rate=5e-3, optimizer="muon", ema_decay=0.99),
    )
    train(text.DOMAIN, chosen, Run(tmp_path / "run"), log=lambda event: None)
    model = text.load(tmp_path / "run")
    known = [b for _, b in numbers(60, seed=8) if b.count(" ") < 3]
    same = np.mean([a == b for a, b in zip(text.reconstruct(model, known), known, strict=True)])
    fresh = build(text.DOMAIN, chosen, model.codec, torch.device("cpu"))
    assert same > 0.4 and not any(a == b for a, b in zip(text.reconstruct(fresh, known), known, strict=True))
    path = text.interpolate(model, "eins zwei", "neun acht", 5)
    assert len(path) == 5 and path[0] == text.reconstruct(model, ["eins zwei"])[0]
    network = MLPConfig(width=16, depth=1)
    gan = GANConfig(generator=network, critic=network, latent=16, autoencoder=chosen.family)
    latent = build(text.DOMAIN, replace(chosen, family=gan), model.codec, torch.device("cpu"))
    latent.family.autoencoder.load_state_dict(model.family.state_dict())
    assert text.interpolate(latent, "eins zwei", "neun acht", 5) == path
    words = {word for line in path for word in line.split()}
    assert len(words & set(NUMBERS)) / max(1, len(words)) > 0.5
    measures = {m.name for m in evaluate(model, prepare(data), 60, 0)}
    assert {"bits_per_byte", "bleu4", "self_bleu4", "reverse_perplexity", "copied_8_grams", "distinct2"} <= measures
    for bad, error in ((("a", "b", 1), "at least 2"), (("", "b", 3), "has 0 tokens")):
        with pytest.raises(FourfoldError, match=error):
            text.interpolate(model, *bad)
    likely, strange = text.score(model, "eins zwei\n\nacht\n"), text.score(model, "zw einsei\nchta\n")
    assert likely.tokens == 9 + 1 + 4 + 1 and likely.bytes == 13 and likely.bits_per_byte < strange.bits_per_byte
    writer = build_autoregressive(data)
    made = text.generate(writer, "eins ", 3, seed=1)
    assert all(line.startswith("eins ") and "\n" not in line for line in made)
    with pytest.raises(Unsupported, match="pairs"):
        text.translate(writer, ["eins"])
    with pytest.raises(FourfoldError, match="lines have up to 39"):
        text.generate(writer, "eins " * 20)


def test_lines_are_written_on_and_filled_in_by_diffusion(tmp_path: Path) -> None:
    """A line ends where it should and nowhere before, and what is made fits what is known."""
    (tmp_path / "lines.txt").write_text("\n".join(b for _, b in numbers(3000, seed=3)), encoding="utf-8")
    data = text.TextData(folder=str(tmp_path / "lines.txt"), unit="line", length=40)
    chosen = replace(
        summarize_docstrings(), name="lines", data=data, family=DiffusionConfig(denoiser=SMALL, process=Masking()),
        train=TrainConfig(steps=500, batch_size=64, learning_rate=5e-3, optimizer="muon", ema_decay=0.99),
    )

    def spelled(lines: list[str]) -> float:
        words = [word for line in lines for word in line.split()]
        return float(np.mean([word in NUMBERS for word in words]))

    train(text.DOMAIN, chosen, Run(tmp_path / "run"), log=lambda event: None)
    model, fresh = text.load(tmp_path / "run"), build(text.DOMAIN, chosen, prepare(data).codec, torch.device("cpu"))
    made = text.generate(model, "eins ", 40, seed=1)
    assert all(line.startswith("eins ") and "\n" not in line and len(line) < 40 for line in made)
    assert len({len(line) for line in made}) > 3
    assert {len(line) for line in text.generate(model, "eins ", 5, length=12)} == {17}
    filled = text.infill(model, "eins[MASK:6]acht", 20)
    assert all(line[:4] == "eins" and line[10:] == "acht" and len(line) == 14 for line in filled)
    assert spelled(filled) > 0.75 and spelled(text.infill(fresh, "eins[MASK:6]acht", 20)) < 0.3
    with pytest.raises(FourfoldError, match="has 40 tokens with its gaps: the model's window takes 39"):
        text.infill(model, "eins[MASK:36]")


def build_autoregressive(data: text.TextData) -> Model:
    chosen = replace(summarize_docstrings(), data=data, family=AutoregressiveConfig(model=SMALL))
    return build(text.DOMAIN, chosen, prepare(data).codec, torch.device("cpu"))
