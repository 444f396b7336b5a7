"""Measures of text against known answers, and data held out by document."""

from __future__ import annotations

import inspect
import logging
import lzma
import math
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from apps.text import TextData, bits_per_byte, divergences, score
from apps.text.data import documents, prepare
from apps.text.domain import DOMAIN
from apps.text.metrics import baselines, compressors, divergence, evaluate, known_words, primed_bits
from core.data.arrays import ArrayData
from core.runs.measures import Measure
from core.runs.pretrained import build

MODULES = (
    "ast", "argparse", "calendar", "csv", "dis", "difflib", "glob", "heapq", "inspect", "pprint", "random", "shutil",
)
SMALL = ["data.length=16", "data.tokenizer=bytes", "family.model.width=16", "family.model.heads=2"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real text without a download: some of Python's modules."""
    folder = tmp_path_factory.mktemp("code")
    for name in MODULES:
        (folder / f"{name}.py").write_text(inspect.getsource(__import__(name)), encoding="utf-8")
    return folder


def test_bits_per_byte() -> None:
    assert bits_per_byte(np.array([math.log(2), 3 * math.log(2)]), np.array([1, 1])) == pytest.approx(2)


def test_a_uniform_model_has_the_uniform_score(folder: Path) -> None:
    """An untrained transformer's last layer is zero: every token costs log2(vocab) bits, whatever the text."""
    recipe = DOMAIN.override(DOMAIN.recipe("tour-autoregressive"), [*SMALL, f"data.folder={folder}"])
    model = build(DOMAIN, recipe, prepare(recipe.data).codec, torch.device("cpu"))
    text = "def f(x): return 'é'\n" * 5
    found = score(model, text)
    assert found.bits_per_byte == pytest.approx(math.log2(257), rel=1e-5)
    assert (found.bytes, found.tokens, found.kind) == (len(text.encode()), len(text.encode()), "exact")
    # Two tokens a byte for what an alphabet does not have: the sum of bits is over all of them.
    recipe = DOMAIN.override(recipe, ["data.tokenizer=characters"])
    model = build(DOMAIN, recipe, prepare(recipe.data).codec, torch.device("cpu"))
    vocab = model.codec.space.vocab
    assert score(model, "ab東").bits_per_byte == pytest.approx(8 * math.log2(vocab) / 5, rel=1e-5)


def test_score_of_a_known_distribution(folder: Path) -> None:
    """A model with the right bias everywhere scores a text's entropy."""
    recipe = DOMAIN.override(DOMAIN.recipe("tour-autoregressive"), [*SMALL, f"data.folder={folder}"])
    model = build(DOMAIN, recipe, prepare(recipe.data).codec, torch.device("cpu"))
    head = model.family.get_submodule("network.head")
    assert isinstance(head, nn.Linear)
    with torch.no_grad():
        head.bias.fill_(-100)
        head.bias[ord("a")], head.bias[ord("b")] = math.log(0.75), math.log(0.25)
    assert score(model, "aaab" * 10).bits_per_byte == pytest.approx(0.811278, rel=1e-4)


def test_divergences() -> None:
    texts = ["the cat sat on the mat", "a dog ate the bone"]
    assert all(value == 0 for value in divergences(texts, texts[::-1]).values())
    assert all(value == pytest.approx(1) for value in divergences(["aaaaaa"], ["bbbbbb"]).values())
    found = divergences(["aaab"], ["abbb"])  # p = (3/4, 1/4), q = (1/4, 3/4), their middle (1/2, 1/2)
    assert found[1] == pytest.approx(1 + 0.75 * math.log2(0.75) + 0.25 * math.log2(0.25))
    assert found[2] == pytest.approx(2 / 3)  # aa, aa, ab against ab, bb, bb
    assert found[4] == 1


def test_divergence_orders_texts_by_their_likeness(folder: Path) -> None:
    text = (folder / "ast.py").read_text()
    real, more = [text[i : i + 64] for i in range(0, 12_800, 128)], [text[i : i + 64] for i in range(64, 12_864, 128)]
    shuffled = ["".join(random.Random(0).sample(window, len(window))) for window in more]
    assert divergence(more, real) + 0.1 < divergence(shuffled, real) < divergence(["東" * 64] * 100, real)


def test_known_words() -> None:
    counts = known_words(["xxx the cat zat on one_ yyy", "the"], {"the", "cat"})
    assert counts.tolist() == [[2, 3], [0, 0]]  # cut words at the ends, short ones and names in code do not count


def test_documents_are_held_out(folder: Path) -> None:
    data = TextData(folder=str(folder), length=32)
    texts = documents(data)
    assert [len(texts[name]) for name in ("train", "validation", "test")] == [10, 1, 1]
    assert len({text for some in texts.values() for text in some}) == len(MODULES)
    prepared = prepare(data)
    assert len(prepared.train) == sum(len(prepared.codec.tokens(text)) + 1 for text in texts["train"]) - 31
    stream = prepared.codec.text(prepared.test.x.ravel().tolist())
    assert texts["test"][0].startswith(stream[:1000]) and len(stream) > 0.9 * len(texts["test"][0])
    assert prepare(TextData(folder=str(folder), length=32, limit=500)).train.x.shape == (470, 32)


def test_documentation_is_prose_of_whole_articles() -> None:
    found = documents(TextData(source="documentation"))
    assert len(found["train"]) > 200 and len(found["test"]) > 20
    texts = [text for part in found.values() for text in part]
    assert any(text.startswith('The "pass" statement') for text in texts)
    assert any(inspect.cleandoc(random.__doc__ or "")[-400:] in text for text in texts)
    assert not any("_inst = Random()" in text for text in texts), "no code of modules"


def test_one_file_is_split_at_its_tail(folder: Path) -> None:
    texts = documents(TextData(folder=str(folder / "ast.py")))
    whole = (folder / "ast.py").read_text()
    assert texts["train"][0] + texts["test"][0] == whole
    assert len(texts["test"][0]) == pytest.approx(len(whole) / 10, abs=2)


def test_the_trigram_is_an_honest_baseline(folder: Path) -> None:
    """Better than the unigram, and what it says of held-out text is what its windows cost."""
    prepared = prepare(TextData(folder=str(folder), length=64))
    simple = baselines(prepared)
    held: ArrayData = prepared.test
    sizes = prepared.codec.byte_counts[held.x].sum(1)
    trigram, unigram = (bits_per_byte(simple[name].nll(held.x), sizes) for name in ("trigram", "unigram"))
    assert 2.0 < trigram < 3.5 < unigram < 5.5


def test_an_untrained_model_loses(folder: Path) -> None:
    recipe = DOMAIN.override(DOMAIN.recipe("tour-diffusion"), [
        f"data.folder={folder}", "family.denoiser.width=32", "family.denoiser.heads=2", "family.denoiser.depth=1",
        "family.bound_samples=2", "sample.num_steps=4",
    ])
    prepared = prepare(recipe.data)
    measures = evaluate(build(DOMAIN, recipe, prepared.codec, torch.device("cpu")), prepared, 64, 0)
    assert {m.name for m in measures} >= {"bits_per_byte", "ngram_divergence", "known_words"}
    assert not any(m.beats_baseline for m in measures)
    floor = next(m for m in measures if m.name == "ngram_divergence")
    assert floor.floor is not None and floor.baseline is not None and floor.floor < floor.baseline


def test_compressors_that_have_read_the_training_text(folder: Path) -> None:
    """Of what they have read they need next to nothing, and of its like much less than of other text."""
    train, held = ((folder / f"{name}.py").read_bytes() for name in ("argparse", "shutil"))
    for compress in compressors().values():
        copied, like, alone = (primed_bits(compress, first, text) / len(text) for first, text in (
            (train, train[5000:9000]), (train, held), (b"", held)))
        assert copied < 0.7 < 1.2 < like < alone < 3
    assert primed_bits(lzma.compress, train, held) % 8 == 0


def test_ppmd_is_stronger_than_the_trigram(folder: Path) -> None:
    pytest.importorskip("pyppmd")
    train, held = ((folder / f"{name}.py").read_bytes() for name in ("argparse", "shutil"))
    ppmd, xz = (primed_bits(compressors()[name], train, held) for name in ("ppmd", "xz"))
    assert ppmd < 0.9 * xz


def measured(folder: Path, monkeypatch: pytest.MonkeyPatch, *settings: str) -> dict[str, Measure]:
    """The measures of a model of `folder` that writes training text word for word."""
    recipe = DOMAIN.override(DOMAIN.recipe("tour-autoregressive"), [*SMALL, f"data.folder={folder}", *settings])
    prepared = prepare(recipe.data)
    model = build(DOMAIN, recipe, prepared.codec, torch.device("cpu"))
    rows = np.random.default_rng(0).integers(0, len(prepared.train), 60)
    copies = prepared.codec.decode(prepared.train.batch(rows))
    monkeypatch.setattr(type(model), "sample", lambda self, n, **settings: copies[:n])
    return {measure.name: measure for measure in evaluate(model, prepared, 60, 0)}


def test_compressors_stand_beside_the_trigram_and_copies_are_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = measured(folder, monkeypatch, "data.length=64")
    assert found["bits_per_byte"].baseline_name == "trigram" and found["bits_per_byte"].train_value is not None
    trigram, xz = found["bits_per_byte"], found["bits_per_byte_against_xz"]
    assert xz.baseline is not None and trigram.baseline is not None
    assert 1 < xz.baseline < trigram.baseline < 3.5
    assert "primed with " in xz.remark and " bytes of training text" in xz.remark
    copies = found["copied_32_bytes"]
    assert copies.floor is not None
    assert copies.copied and copies.value > 0.9 and copies.floor < 0.3 and "known_words" in found
    assert found["ngram_divergence"].floor_is == "least"


def test_text_whose_held_out_part_is_a_copy_gets_no_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = (f"{inspect.getsource(random)[:3000]}\n").replace("\n\n", "\n")
    (tmp_path / "all.txt").write_text(line * 12)
    copies = measured(tmp_path, monkeypatch, "data.length=64")["copied_32_bytes"]
    assert copies.floor is None and not copies.copied and copies.remark.startswith("no verdict: ")


def test_words_are_not_counted_in_scripts_without_spaces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    signs = random.Random(0)
    lines = ["".join(signs.choices("日本語の文字列人口水火木金土東西南北", k=20)) for _ in range(400)]
    (tmp_path / "lines.txt").write_text("\n".join(lines))
    with caplog.at_level(logging.WARNING):
        found = measured(tmp_path, monkeypatch, "data.unit=line", "data.length=80")
    assert "ngram_divergence" in found and found["copied_32_bytes"].copied
    assert not {"known_words", "bleu4", "self_bleu4", "distinct2", "reverse_perplexity", "copied_8_grams"} & set(found)
    assert "no spaces between words: measures that count words are left out" in caplog.text
