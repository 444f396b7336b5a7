"""Text through its command line: small models end to end, and input that is refused in one line."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from command_line import succeed

from apps import text
from apps.text.cli import app
from apps.text.codec import Bytes, Characters, TextCodec, Tokenizer
from apps.text.metrics import evaluate
from apps.text.tasks import _Written
from core.errors import Unsupported
from core.runs.pretrained import build, save_description
from core.runs.recipe import override
from core.training.checkpoint import save_weights

MODULES = ("ast", "argparse", "calendar", "csv", "difflib", "heapq", "inspect", "pprint", "random", "shutil")
SIZE = ["--set", "data.length=32", "--set", "train.checkpoint_every=1000"]
GAP = "import [MASK:4] as x"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real text without a download: some of Python's modules."""
    folder = tmp_path_factory.mktemp("code")
    for name in MODULES:
        (folder / f"{name}.py").write_text(inspect.getsource(__import__(name)), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def trained(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run_folder = tmp_path_factory.mktemp("runs") / "autoregressive"
    network = ["--set", "family.model.width=64", "--set", "family.model.depth=2", "--set", "train.learning_rate=0.01"]
    succeed(app, "train", "tour-autoregressive", "--data", folder, *SIZE, *network, "--set", "train.steps=160",
            "--set", "train.batch_size=64", "--set", "data.limit=200000", "--run", run_folder)
    return run_folder


def untrained(name: str, folder: Path, target: Path, *changes: str) -> Path:
    """A model folder of a recipe's first weights."""
    recipe = override(text.DOMAIN.recipe(name), ["data.length=32", f"data.folder={folder}", *changes], text.TextData)
    model = build(text.DOMAIN, recipe, text.DOMAIN.prepare(recipe.data).codec, torch.device("cpu"))
    save_description(model, target)
    save_weights(target, model.family.state_dict())
    return target


@pytest.fixture(scope="module")
def diffusion(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return untrained("tour-diffusion", folder, tmp_path_factory.mktemp("diffusion"), "family.denoiser.depth=1")


@pytest.fixture(scope="module")
def vae(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return untrained("tour-vae", folder, tmp_path_factory.mktemp("vae"), "family.decoder.depth=1")


def test_trained_beats_the_trigram_and_untrained_does_not(
    trained: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    succeed(app, "evaluate", trained, "-n", "64", "--json")
    found = json.loads(capsys.readouterr().out)
    measures = {m["name"]: m for m in found}
    assert found[0]["name"] == "bits_per_byte" and measures["bits_per_byte"]["kind"] == "exact"
    assert measures["bits_per_byte"]["beats_baseline"] and measures["bits_per_byte"]["baseline_name"] == "trigram"
    assert measures["ngram_divergence"]["beats_baseline"] and measures["ngram_divergence"]["floor"] > 0
    blank = text.load(untrained("tour-autoregressive", folder, tmp_path))
    assert not any(m.beats_baseline for m in evaluate(blank, text.DOMAIN.prepare(blank.recipe.data), 64, 0))
    assert (trained / "report.html").is_file() and list((trained / "samples").glob("*.txt"))


def test_generate_goes_on_from_a_prompt(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    succeed(app, "generate", trained, "--prompt", "def naïve(", "-n", 2, "--length", 90, "--json")
    texts = json.loads(capsys.readouterr().out)
    assert len(texts) == 2 and texts[0] != texts[1]
    assert all(made.startswith("def naïve(") for made in texts)
    model = text.load(trained)
    assert text.generate(model, "def naïve(", 2, length=90) == texts, "the same seed writes the same"
    assert text.generate(model, "x" * 100, length=20)[0].startswith("x" * 100), "longer than a window"
    assert len(model.codec.tokens(text.generate(model, "", length=200)[0])) >= 195


def test_generation_stops_streams_and_avoids_repetition(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = text.load(trained)
    plain = text.generate(model, "import ", 3, length=120, seed=3)
    cut = text.generate(model, "import ", 3, length=120, seed=3, stop=["e", "\n"])
    assert all(whole.startswith(part) for whole, part in zip(plain, cut, strict=True))
    assert not set("e\n") & set("".join(part[7:] for part in cut))
    pieces: list[str] = []
    alone = text.generate(model, "import ", length=120, seed=3, stream=pieces.append)
    assert "".join(pieces) == alone[0] and len(pieces) > 50 and pieces[0] == "import "
    pieces.clear()
    ended = text.generate(model, "import ", length=120, seed=3, stop=["re", alone[0][40:45]], stream=pieces.append)
    assert "".join(pieces) == ended[0] and alone[0].startswith(ended[0]) and len(ended[0]) < len(alone[0])
    capsys.readouterr()
    succeed(app, "generate", trained, "--prompt", "import ", "--length", 120, "--seed", 3, "--stream")
    assert capsys.readouterr().out == alone[0] + "\n"
    usual, varied = (text.generate(model, "x", 4, length=100, top_k=2, repetition_penalty=p) for p in (1.0, 3.0))
    assert sum(len(set(made)) for made in varied) > 1.5 * sum(len(set(made)) for made in usual)


@pytest.mark.parametrize("tokenizer", [Bytes(), Characters("abc \n")])
def test_a_long_text_is_told_without_a_seam(tokenizer: Tokenizer) -> None:
    """Its characters may be several tokens, and where it is cut to be decoded may be any of them."""
    codec, pieces = TextCodec(tokenizer, 32), []
    told = "".join("abc \n€😀ï"[(7 * i * i + i // 3) % 8] for i in range(400))
    written = _Written(codec, "", 1, ("never",), pieces.append)
    ids = [*codec.tokens(told), codec.end, *codec.tokens("after")]
    for token in ids:
        written(torch.tensor([token]))
    assert written.texts() == [codec.text(ids)] and "".join(pieces) == codec.text(ids)
    assert codec.text(ids).startswith(told) and written.decoded[0][1] > len(ids) - 100


def test_a_model_is_trained_further_on_other_text(trained: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.txt"
    own.write_text("".join(f"The {i % 7} cats — of number {i} — sat on the mat.\n" for i in range(2000)))
    words = ["--data", own, "--set", "train.learning_rate=0.003", "--set", "train.batch_size=32"]
    succeed(app, "train", "--from", trained, *words, "--set", "train.steps=40", "--run", tmp_path / "tuned")
    tuned, before = text.load(tmp_path / "tuned"), text.load(trained)
    assert tuned.codec.tokenizer == before.codec.tokenizer and tuned.recipe.name == "tour-autoregressive-tuned"
    sentence = "The 3 cats — of number 10 — sat on the mat.\n" * 3
    assert text.score(tuned, sentence).bits_per_byte < 0.5 * text.score(before, sentence).bits_per_byte
    succeed(app, "train", "--from", trained, *words, "--set", "train.steps=1", "--set", "train.learning_rate=1e-9",
            "--run", tmp_path / "still")
    still = text.score(text.load(tmp_path / "still"), sentence).bits_per_byte
    assert still == pytest.approx(text.score(before, sentence).bits_per_byte, rel=1e-3), "it begins where the run ended"


def test_real_text_scores_better_than_shuffled(trained: Path, folder: Path, tmp_path: Path,
                                               capsys: pytest.CaptureFixture[str]) -> None:
    real = (folder / "heapq.py").read_text()[:4000]
    (tmp_path / "real.py").write_text(real)
    (tmp_path / "sorted.py").write_text("".join(sorted(real)))
    scores = []
    for name in ("real", "sorted"):
        capsys.readouterr()
        succeed(app, "score", trained, tmp_path / f"{name}.py", "--json")
        scores.append(json.loads(capsys.readouterr().out))
    assert scores[0]["bytes"] == len(real.encode()) and scores[0]["kind"] == "exact"
    assert scores[0]["bits_per_byte"] < 4 < scores[1]["bits_per_byte"] + 1.5
    assert scores[0]["bits_per_byte"] < scores[1]["bits_per_byte"]


def test_infill_keeps_what_is_given(diffusion: Path) -> None:
    model = text.load(diffusion)
    for made in text.infill(model, GAP, 3, seed=1):
        assert made.startswith("import ") and made.endswith(" as x")
    made = text.generate(model, "import ", 2)
    assert all(one.startswith("import ") for one in made)
    with pytest.raises(Unsupported, match="autoregressive"):
        text.generate(model, "import ", length=100)


@pytest.mark.parametrize(("words", "expected"), [
    (["generate", "/nowhere", "--prompt", "x"], ["/nowhere", "no such run"]),
    (["generate", "trained", "--top-p", "7"], ["top_p", "7"]),
    (["generate", "trained", "--temperature", "0"], ["temperature", "0"]),
    (["generate", "trained", "--steps", "9"], ["num_steps", "Autoregressive"]),
    (["generate", "trained", "--length", "0"], ["--length"]),
    (["generate", "trained", "-n", "0"], ["--num"]),
    (["generate", "trained", "--prompt", "bad \udcff bytes"], ["Unicode", "character 4"]),
    (["generate", "vae", "--prompt", "Once"], ["VAE", "no prompt"]),
    (["generate", "vae", "--stop", "x"], ["VAE", "no stop"]),
    (["generate", "diffusion", "--stream"], ["cannot stream"]),
    (["generate", "trained", "--stop", ""], ["stop", "empty"]),
    (["generate", "trained", "--stream", "-n", "2"], ["stream 2"]),
    (["generate", "trained", "--stream", "--json"], ["--json"]),
    (["generate", "trained", "--repetition-penalty", "0"], ["repetition_penalty"]),
    (["interpolate", "trained", "a", "b"], ["Autoregressive", "VAE", "GAN"]),
    (["interpolate", "vae", "", "b"], ["0 tokens"]),
    (["interpolate", "vae", "a", "b" * 33], ["33 tokens"]),
    (["interpolate", "vae", "a", "b", "--steps", "1"], ["--steps"]),
    (["translate", "trained", "a"], ["pairs", "generate"]),
    (["generate", "vae", "--length", "500"], ["window", "32"]),
    (["generate", "diffusion", "--prompt", "x" * 32], ["32 tokens", "window"]),
    (["infill", "trained", GAP], ["Autoregressive", "masked diffusion"]),
    (["infill", "diffusion", "no gap"], ["no gap", "[MASK:8]"]),
    (["infill", "diffusion", "a [MASK:many] b"], ["[MASK:many]"]),
    (["infill", "diffusion", "a [MASK:0] b"], ["[MASK:0]"]),
    (["infill", "diffusion", "a [MASK:900] b"], ["window", "32"]),
    (["infill", "diffusion"], ["TEXT"]),
    (["score", "trained", "/nowhere.txt"], ["/nowhere.txt", "no such file"]),
    (["score", "trained", "empty.txt"], ["empty"]),
    (["score", "trained", "binary.txt"], ["binary.txt", "binary"]),
    (["score", "trained", "latin.txt"], ["latin.txt", "UTF-8", "byte 3"]),
    (["score", "trained", "."], ["Is a directory"]),
    (["score", "gan", "good.txt"], ["LatentGAN", "no likelihood"]),
])
def test_refused_tasks(refused: Callable[..., str], bad: Path, request: pytest.FixtureRequest, folder: Path,
                       words: list[str], expected: list[str]) -> None:
    if words[1] == "gan":
        place = untrained("tour-gan", folder, bad / "gan")
    else:
        place = Path(words[1]) if words[1].startswith("/") else request.getfixturevalue(words[1])
    rest = [str(bad / word) if word.endswith("txt") or word == "." else word for word in words[2:]]
    message = refused(words[0], place, *rest)
    assert all(word in message for word in expected), message


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    """Files that are no text."""
    (tmp_path / "empty.txt").touch()
    (tmp_path / "binary.txt").write_bytes(b"MZ\0\1\2" * 100)
    (tmp_path / "latin.txt").write_bytes("caf\xe9 au lait".encode("latin-1"))
    (tmp_path / "good.txt").write_text("some words")
    return tmp_path


@pytest.mark.parametrize(("data", "expected"), [
    ("nowhere", ["nowhere"]),
    ("empty", ["no text", ".txt"]),
    ("blank", ["no text", "empty"]),
    ("binary.txt", ["binary"]),
    ("latin.txt", ["latin.txt", "UTF-8", "byte 3"]),
    ("good.txt", ["window", "data.length"]),
])
def test_refused_data(refused: Callable[..., str], bad: Path, data: str, expected: list[str]) -> None:
    (bad / "empty").mkdir()
    (bad / "empty" / "photo.png").write_bytes(b"x")
    (bad / "blank").mkdir()
    for name in "abc":
        (bad / "blank" / f"{name}.txt").write_text("\n \n")
    message = refused("train", "tour-vae", "--data", bad / data, "--run", bad / "run")
    assert all(word in message for word in expected), message
    assert not (bad / "run").exists()


@pytest.mark.parametrize(("words", "expected"), [
    (["--from", "/nowhere"], ["/nowhere", "no such run"]),
    (["tour-vae", "--from", "trained"], ["one of them"]),
    (["--from", "trained", "--set", "family.model.width=32"], ["another model"]),
    (["--from", "trained", "--set", "data.tokenizer_of=/nowhere"], ["/nowhere"]),
])
def test_refused_beginnings(refused: Callable[..., str], trained: Path, folder: Path, tmp_path: Path,
                            words: list[str], expected: list[str]) -> None:
    message = refused("train", *[str(trained) if word == "trained" else word for word in words], "--data", folder,
                      "--run", tmp_path / "run")
    assert all(word in message for word in expected), message
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("setting", "expected"), [
    ("data.length=4", ["data.length", "4", "[8, 65536]"]),
    ("data.vocab=12", ["data.vocab", "12"]),
    ("data.vocab=60000", ["data.vocab", "60000", "at most"]),
    ("data.tokenizer=word", ["data.tokenizer", "word", "characters"]),
    ("data.source=hamlet", ["data.source", "hamlet", "shakespeare"]),
    ("data.limit=-1", ["data.limit", "-1"]),
    ("data.limit=20", ["train text", "window"]),
    ("data.lenght=64", ["lenght", "did you mean 'length'"]),
])
def test_refused_settings(
    refused: Callable[..., str], folder: Path, tmp_path: Path, setting: str, expected: list[str]
) -> None:
    words = ["--set", "data.tokenizer=unigram", "--set", setting] if "vocab=60000" in setting else ["--set", setting]
    message = refused("train", "tour-vae", "--data", folder, *words, "--run", tmp_path / "run")
    assert all(word in message for word in expected), message


def test_refused_source_without_its_file(
    refused: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOURFOLD_DATA", str(tmp_path))
    monkeypatch.setenv("FOURFOLD_CACHE", str(tmp_path / "cache"))
    message = refused("train", "tour-vae", "--set", "data.source=tinyshakespeare", "--run", tmp_path / "run")
    assert "tinyshakespeare" in message and "input.txt" in message
