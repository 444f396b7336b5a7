"""Text through its command line: input that is refused in one line; how texts are written and gaps filled."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from apps import text
from apps.text.cli import app  # noqa: F401 - the fixture `refused` runs it
from apps.text.codec import TextCodec
from apps.text.generation import Writing
from apps.text.tokenizers import Bytes, Characters, Tokenizer
from core.batches import Batch
from core.errors import Unsupported
from core.runs.pretrained import build, save_description
from core.training.checkpoint import save_weights

MODULES = ("ast", "argparse", "calendar", "csv", "difflib", "heapq", "inspect", "pprint", "random", "shutil")
GAP = "import [MASK:4] as x"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real text without a download: some of Python's modules."""
    folder = tmp_path_factory.mktemp("code")
    for name in MODULES:
        (folder / f"{name}.py").write_text(inspect.getsource(__import__(name)), encoding="utf-8")
    return folder


def untrained(name: str, folder: Path, target: Path, *changes: str) -> Path:
    """A model folder of a recipe's first weights."""
    recipe = text.DOMAIN.override(text.DOMAIN.recipe(name), ["data.length=32", f"data.folder={folder}", *changes])
    model = build(text.DOMAIN, recipe, text.DOMAIN.prepare(recipe.data).codec, torch.device("cpu"))
    save_description(model, target)
    save_weights(target, model.family.state_dict())
    return target


@pytest.fixture(scope="module")
def writer(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return untrained("tour-autoregressive", folder, tmp_path_factory.mktemp("writer"), "family.model.depth=1")


@pytest.fixture(scope="module")
def diffusion(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return untrained("tour-diffusion", folder, tmp_path_factory.mktemp("diffusion"), "family.denoiser.depth=1")


@pytest.fixture(scope="module")
def vae(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return untrained("tour-vae", folder, tmp_path_factory.mktemp("vae"), "family.decoder.depth=1")


@pytest.mark.parametrize("tokenizer", [Bytes(), Characters("abc \n")])
def test_a_long_text_is_shown_without_a_seam(tokenizer: Tokenizer) -> None:
    """Its characters may be several tokens, and where it is cut to be decoded may be any of them."""
    codec = TextCodec(tokenizer=tokenizer, length=32)
    pieces: list[str] = []
    said = "".join("abc \n€😀ï"[(7 * i * i + i // 3) % 8] for i in range(400))
    writing = Writing(codec, "", 1, ("never",), pieces.append)
    ids = [*codec.tokens(said), codec.end, *codec.tokens("after")]
    for token in ids:
        writing(torch.tensor([token]))
    writing.show(writing.text(0), last=True)
    assert writing.text(0) == "".join(pieces) == codec.text(ids)
    assert codec.text(ids).startswith(said) and writing.decoded[0][1] > len(ids) - 100


def test_diffusion_fills_gaps_and_writes_on(diffusion: Path) -> None:
    model = text.load(diffusion)
    for filled in text.infill(model, GAP, 3, seed=1):
        assert filled.startswith("import ") and filled.endswith(" as x")
    for prompt, length in (("import ", None), ("x" * 32, None), ("", 20), ("import ", 100), ("x" * 70, 9)):
        made = text.generate(model, prompt, 2, length=length)
        assert all(one.startswith(prompt) for one in made) and made[0] != made[1]
    with pytest.raises(Unsupported, match="left to right.*autoregressive"):
        text.generate(model, "import ", stop=["x"])


def test_a_family_without_prefixes_draws_whole_windows(vae: Path) -> None:
    model = text.load(vae)
    made = text.generate(model, n=3, seed=2)
    assert made == model.sample(3, seed=2)
    beginnings = Batch(model.sample_batch(3, seed=2).x[:, :5])
    assert text.generate(model, n=3, seed=2, length=5) == model.codec.decode(beginnings)


@pytest.mark.parametrize(("words", "expected"), [
    (["generate", "/nowhere", "--prompt", "x"], ["/nowhere", "no such run"]),
    (["generate", "writer", "--top-p", "7"], ["top_p", "7"]),
    (["generate", "writer", "--temperature", "0"], ["temperature", "0"]),
    (["generate", "writer", "--steps", "9"], ["num_steps", "Autoregressive"]),
    (["generate", "writer", "--length", "0"], ["--length"]),
    (["generate", "writer", "-n", "0"], ["--num"]),
    (["generate", "writer", "--prompt", "bad \udcff bytes"], ["Unicode", "character 4"]),
    (["generate", "vae", "--prompt", "Once"], ["VAE", "continues no prefix"]),
    (["generate", "vae", "--stop", "x"], ["VAE", "continues no prefix"]),
    (["generate", "diffusion", "--stream"], ["cannot stream"]),
    (["generate", "writer", "--stop", ""], ["stop", "empty"]),
    (["generate", "writer", "--stream", "-n", "2"], ["stream 2"]),
    (["generate", "writer", "--stream", "--json"], ["--json"]),
    (["generate", "writer", "--repetition-penalty", "0"], ["repetition_penalty"]),
    (["interpolate", "writer", "a", "b"], ["Autoregressive", "VAE", "GAN"]),
    (["interpolate", "vae", "", "b"], ["0 tokens"]),
    (["interpolate", "vae", "a", "b" * 33], ["33 tokens"]),
    (["interpolate", "vae", "a", "b", "--steps", "1"], ["--steps"]),
    (["translate", "writer", "a"], ["pairs", "generate"]),
    (["generate", "vae", "--length", "500"], ["VAE", "continues no prefix"]),
    (["infill", "writer", GAP], ["Autoregressive", "diffusion model"]),
    (["infill", "diffusion", "no gap"], ["no gap", "[MASK:8]"]),
    (["infill", "diffusion", "a [MASK:many] b"], ["[MASK:many]"]),
    (["infill", "diffusion", "a [MASK:0] b"], ["[MASK:0]"]),
    (["infill", "diffusion", "a [MASK:900] b"], ["window", "32"]),
    (["infill", "diffusion"], ["TEXT"]),
    (["score", "writer", "/nowhere.txt"], ["/nowhere.txt", "no such file"]),
    (["score", "writer", "empty.txt"], ["empty"]),
    (["score", "writer", "binary.txt"], ["binary.txt", "binary"]),
    (["score", "writer", "latin.txt"], ["latin.txt", "UTF-8", "byte 3"]),
    (["score", "writer", "."], ["Is a directory"]),
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
    ("empty", ["no file of the kinds .txt", ".png 1"]),
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
    (["tour-vae", "--from", "writer"], ["one of them"]),
])
def test_refused_beginnings(refused: Callable[..., str], writer: Path, folder: Path, tmp_path: Path,
                            words: list[str], expected: list[str]) -> None:
    message = refused("train", *[str(writer) if word == "writer" else word for word in words], "--data", folder,
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
