"""Text from a user's files to a model's answers, through the command line, and as a library."""

from __future__ import annotations

import inspect
import io
import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import succeed

from apps import text
from apps.text.cli import app
from apps.text.data import TextModel
from apps.text.metrics import evaluate
from apps.text.tokenizers import Characters
from core.errors import Unsupported
from core.runs.pretrained import build

MODULES = ("ast", "argparse", "calendar", "csv", "difflib", "heapq", "inspect", "pprint", "random", "shutil")
NUMBERS = ["null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun"]
SMALL = {"kind": "TransformerConfig", "width": 64, "depth": 1, "heads": 2, "dropout": 0.0}
pytestmark = pytest.mark.slow  # four trainings of about ten seconds


def numbers(count: int, seed: int) -> list[tuple[str, str]]:
    """Digits and their names: a language that a small model can learn."""
    draws = random.Random(seed)
    rows = [[draws.randrange(10) for _ in range(draws.randint(1, 5))] for _ in range(count)]
    return [("".join(map(str, row)), " ".join(NUMBERS[i] for i in row)) for row in rows]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's files: a folder of code, a file of lines, a table of pairs."""
    home = tmp_path_factory.mktemp("home")
    (home / "code").mkdir()
    for name in MODULES:
        (home / "code" / f"{name}.py").write_text(inspect.getsource(__import__(name)), encoding="utf-8")
    (home / "lines.txt").write_text("\n".join(name for _, name in numbers(3000, 3)), encoding="utf-8")
    (home / "pairs.tsv").write_text("".join(f"{a}\t{b}\n" for a, b in numbers(3000, 0)), encoding="utf-8")
    return home


def trained(recipe: str, data: Path, run: Path, **settings: object) -> Path:
    """Train by the command line; a setting's "__" is a dot, a network is set as a whole."""
    changes = {"checkpoint_every": 1000, "batch_size": 64, "learning_rate": 5e-3, "ema_decay": 0.99}
    words = [f"train.{name}={value}" for name, value in changes.items()]
    words += [f"{name.replace('__', '.')}={json.dumps(value)}" for name, value in settings.items()]
    succeed(app, "train", recipe, "--data", data, "--run", run, *[word for w in words for word in ("--set", w)])
    return run


@pytest.fixture(scope="module")
def writer(home: Path) -> Path:
    """An autoregressive model of a stream."""
    return trained("tour-autoregressive", home / "code", home / "writer", data__length=32, data__limit=200_000,
                   family__model={**SMALL, "depth": 2}, train__steps=160, train__learning_rate=0.01)


@pytest.fixture(scope="module")
def translator(home: Path) -> Path:
    return trained(
        "summarize-docstrings", home / "pairs.tsv", home / "translator", data__length=40, data__source_length=8,
        data__tokenizer="characters", family__model=SMALL, family__copy=False, train__steps=300,
        family__conditioning={"width": 64, "dropout": 0.0, "source_depth": 1}, train__precision="float32",
    )


@pytest.fixture(scope="module")
def vae(home: Path) -> Path:
    return trained(
        "coco-vae", home / "lines.txt", home / "vae", data__tokenizer="characters", family__encoder=SMALL,
        family__decoder=SMALL, family__beta=0.05, family__free_bits=0.0, family__word_dropout=0.5,
        family__importance_samples=16, train__steps=400, train__precision="float32",
    )


@pytest.fixture(scope="module")
def diffusion(home: Path) -> Path:
    return trained("coco-diffusion", home / "lines.txt", home / "diffusion", data__tokenizer="characters",
                   family__denoiser=SMALL, train__steps=400, train__precision="float32")


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What a command prints."""
    def of(*words: object) -> str:
        capsys.readouterr()
        succeed(app, *words)
        return capsys.readouterr().out

    return of


def untrained(run: Path) -> TextModel:
    """The same model before its training."""
    model = text.load(run)
    return build(text.DOMAIN, model.recipe, model.codec, torch.device("cpu"))


def test_a_trained_model_beats_the_trigram_and_an_untrained_one_does_not(
    writer: Path, tmp_path: Path, printed: Callable[..., str]
) -> None:
    found = json.loads(printed("evaluate", writer, "-n", 64, "--json"))
    measures = {m["name"]: m for m in found}
    assert found[0]["name"] == "bits_per_byte" and measures["bits_per_byte"]["kind"] == "exact"
    assert measures["bits_per_byte"]["beats_baseline"] and measures["bits_per_byte"]["baseline_name"] == "trigram"
    assert measures["ngram_divergence"]["beats_baseline"] and measures["ngram_divergence"]["floor"] > 0
    blank = untrained(writer)
    assert not any(m.beats_baseline for m in evaluate(blank, text.DOMAIN.prepare(blank.recipe.data), 64, 0))
    assert (writer / "report.html").is_file() and list((writer / "samples").glob("*.txt"))
    paths = printed("sample", writer, "-n", 3, "--seed", 4, "-o", tmp_path).splitlines()
    assert [Path(path).read_text() for path in paths] == text.load(writer).sample(3, seed=4)


def test_generate_goes_on_from_a_prompt(writer: Path, printed: Callable[..., str]) -> None:
    words = ("--prompt", "def naïve(", "-n", 2, "--length", 90)
    texts = json.loads(printed("generate", writer, *words, "--json"))
    assert len(texts) == 2 and texts[0] != texts[1]
    assert all(made.startswith("def naïve(") for made in texts)
    assert printed("generate", writer, *words) == "\n\n– – –\n\n".join(texts) + "\n"
    model = text.load(writer)
    assert text.generate(model, "def naïve(", 2, length=90) == texts, "the same seed writes the same"
    assert text.generate(model, "x" * 100, length=20)[0].startswith("x" * 100), "longer than a window"
    assert len(model.codec.tokens(text.generate(model, "", length=200)[0])) >= 195


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_generation_stops_streams_and_avoids_repetition(
    writer: Path, printed: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = text.load(writer)
    plain = text.generate(model, "import ", 3, length=120, seed=3)
    cut = text.generate(model, "import ", 3, length=120, seed=3, stop=["e", "\n"])
    assert all(whole.startswith(part) for whole, part in zip(plain, cut, strict=True))
    assert not set("e\n") & set("".join(part[7:] for part in cut))
    pieces: list[str] = []
    alone = text.generate(model, "import ", length=120, seed=3, stream=pieces.append)
    assert alone == text.generate(model, "import ", length=120, seed=3)
    assert "".join(pieces) == alone[0] and len(pieces) > 50 and pieces[0] == "import "
    pieces.clear()
    ended = text.generate(model, "import ", length=120, seed=3, stop=["re", alone[0][40:45]], stream=pieces.append)
    assert "".join(pieces) == ended[0] and alone[0].startswith(ended[0]) and len(ended[0]) < len(alone[0])
    assert printed("generate", writer, "-p", "import ", "--length", 120, "--seed", 3, "--stream") == alone[0] + "\n"
    # On a terminal too, where other tasks show a bar: no piece on a line of its own, and all of it on stdout.
    monkeypatch.setattr("sys.stderr", Terminal())
    assert printed("generate", writer, "-p", "import ", "--length", 120, "--seed", 3, "--stream") == alone[0] + "\n"
    usual, varied = (text.generate(model, "x", 4, length=100, top_k=2, repetition_penalty=p) for p in (1.0, 3.0))
    assert sum(len(set(made)) for made in varied) > 1.5 * sum(len(set(made)) for made in usual)


def test_a_model_is_trained_further_on_other_text(writer: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.txt"
    own.write_text("".join(f"The {i % 7} cats — of number {i} — sat on the mat.\n" for i in range(2000)))
    words = ["--data", own, "--set", "train.learning_rate=0.003", "--set", "train.batch_size=32"]
    succeed(app, "train", "--from", writer, *words, "--set", "train.steps=40", "--run", tmp_path / "tuned")
    tuned, before = text.load(tmp_path / "tuned"), text.load(writer)
    known = before.codec.tokenizer
    assert isinstance(known, Characters) and tuned.codec.tokenizer == Characters(known.alphabet + "—")
    assert tuned.recipe.name == "own-from-writer"
    sentence = "The 3 cats — of number 10 — sat on the mat.\n" * 3
    assert text.score(tuned, sentence).bits_per_byte < 0.5 * text.score(before, sentence).bits_per_byte
    succeed(app, "train", "--from", writer, *words, "--set", "train.steps=1", "--set", "train.learning_rate=1e-9",
            "--run", tmp_path / "still")
    plain = sentence.replace("—", "-")  # the new token takes but a little from the others
    still = text.score(text.load(tmp_path / "still"), plain).bits_per_byte
    assert still == pytest.approx(text.score(before, plain).bits_per_byte, rel=0.03), "it begins where the run ended"


def test_real_text_scores_better_than_shuffled(
    writer: Path, home: Path, tmp_path: Path, printed: Callable[..., str]
) -> None:
    real = (home / "code" / "heapq.py").read_text()[:4000]
    (tmp_path / "real.py").write_text(real)
    (tmp_path / "sorted.py").write_text("".join(sorted(real)))
    first, second = (json.loads(printed("score", writer, tmp_path / f"{n}.py", "--json")) for n in ("real", "sorted"))
    assert first["bytes"] == len(real.encode()) and first["kind"] == "exact"
    assert first["bits_per_byte"] < 4 < second["bits_per_byte"] + 1.5
    assert first["bits_per_byte"] < second["bits_per_byte"]
    assert f"{first['bits_per_byte']:.3f} bits per byte" in printed("score", writer, tmp_path / "real.py")


def test_a_translator_learns(translator: Path, printed: Callable[..., str]) -> None:
    model, blank = text.load(translator), untrained(translator)
    given, wanted = zip(*numbers(100, seed=7), strict=True)
    right = np.mean([a == b for a, b in zip(text.translate(model, given), wanted, strict=True)])
    assert right > 0.9
    assert not any(a == b for a, b in zip(text.translate(blank, given), wanted, strict=True))
    measures = {m["name"]: m for m in json.loads(printed("evaluate", translator, "-n", 50, "--json"))}
    assert measures["bleu"]["value"] > 80 and measures["bleu"]["beats_baseline"] and measures["rouge1"]["value"] > 80
    bad = {m.name: m for m in evaluate(blank, text.DOMAIN.prepare(model.recipe.data), 20, 0)}
    assert bad["bleu"].value < 5 and bad["bits_per_byte"].value > 2 * measures["bits_per_byte"]["value"]


def test_translate_and_summarize(translator: Path, tmp_path: Path, printed: Callable[..., str]) -> None:
    assert printed("translate", translator, "12", "7").splitlines() == ["eins zwei", "sieben"]
    (tmp_path / "in.txt").write_text("12\n345\n", encoding="utf-8")
    listed = printed("summarize", translator, "--file", tmp_path / "in.txt", "--beams", 2, "--json")
    assert json.loads(listed) == ["eins zwei", "drei vier fünf"]
    model, given = text.load(translator), [a for a, _ in numbers(20, seed=9)]
    made = text.translate(model, given)
    assert text.translate(model, given[::-1], batch_size=3)[::-1] == made, "neither batches nor order change anything"
    assert text.summarize(model, [given[0] + "0" * 50]) and len(made) == 20


def test_more_beams_find_more_probable_texts(translator: Path) -> None:
    """Of a model with random logits: by the search's score, log-probability over length."""
    model = text.load(translator)
    head = model.family.get_submodule("network.head")
    assert isinstance(head, torch.nn.Linear)
    torch.nn.init.normal_(head.weight, std=0.15, generator=torch.Generator().manual_seed(0))
    source = {"source": model.codec.encode_sources([a for a, _ in numbers(12, seed=5)])}

    def score(beams: int) -> float:
        found = model.search(source, beams=beams)
        assert found.mask is not None
        nats = model.bound_of(replace(found, condition=source), 0)
        return float((nats / found.mask.sum(1)).sum())

    assert score(8) <= score(3) < score(1)


def test_a_sentence_vae_goes_from_one_line_to_another(vae: Path, printed: Callable[..., str]) -> None:
    model = text.load(vae)
    known = [b for _, b in numbers(60, seed=8) if b.count(" ") < 3]
    same = np.mean([a == b for a, b in zip(text.reconstruct(model, known), known, strict=True)])
    fresh = text.reconstruct(untrained(vae), known)
    assert same > 0.4 and not any(a == b for a, b in zip(fresh, known, strict=True))
    path = printed("interpolate", vae, "eins zwei", "neun acht", "--steps", 5).splitlines()
    assert path == text.interpolate(model, "eins zwei", "neun acht", 5)
    assert len(path) == 5 and path[0] == text.reconstruct(model, ["eins zwei"])[0]
    words = {word for line in path for word in line.split()}
    assert len(words & set(NUMBERS)) / max(1, len(words)) > 0.5
    measures = {m["name"] for m in json.loads(printed("evaluate", vae, "-n", 60, "--json"))}
    assert {"bits_per_byte", "bleu4", "self_bleu4", "reverse_perplexity", "copied_8_grams", "distinct2"} <= measures
    likely, strange = text.score(model, "eins zwei\n\nacht\n"), text.score(model, "zw einsei\nchta\n")
    assert likely.tokens == 9 + 1 + 4 + 1 and likely.bytes == 13 and likely.bits_per_byte < strange.bits_per_byte
    assert len(text.generate(model, n=3)) == 3, "whole lines without a prompt"
    with pytest.raises(Unsupported, match="continues no prefix"):
        text.generate(model, "eins")


def test_lines_are_written_on_and_filled_in_by_diffusion(diffusion: Path, printed: Callable[..., str]) -> None:
    """A line ends where it should and nowhere before, and what is made fits what is known."""
    def spelled(lines: list[str]) -> float:
        return float(np.mean([word in NUMBERS for line in lines for word in line.split()]))

    model = text.load(diffusion)
    made = text.generate(model, "eins ", 40, seed=1)
    assert all(line.startswith("eins ") and "\n" not in line and len(line) < 40 for line in made)
    assert len({len(line) for line in made}) > 3
    assert {len(line) for line in text.generate(model, "eins ", 5, length=12)} == {17}
    filled = json.loads(printed("infill", diffusion, "eins[MASK:6]acht", "-n", 20, "--steps", 40, "--json"))
    assert all(line[:4] == "eins" and line[10:] == "acht" and len(line) == 14 for line in filled)
    assert spelled(filled) > 0.75 and spelled(text.infill(untrained(diffusion), "eins[MASK:6]acht", 20)) < 0.3
