"""Text <-> tokens: nothing is lost, by any tokenizer, and what was saved is what is read."""

from __future__ import annotations

import argparse
import base64
import inspect
import json
from pathlib import Path

import pytest
import torch

from apps.text.codec import TextCodec
from apps.text.migrations import CODEC_MIGRATIONS
from apps.text.tokenizers import Bytes, Characters, Pieces, fit
from core.errors import FourfoldError
from core.runs.pretrained import load_codec
from core.serialization import to_dict

REAL = inspect.getsource(argparse)
HARD = [
    "", " ", "   leading and trailing   ", "a\tb\n\n\nc\r\nd", "naïve café — 東京 🙂 e\u0301", "▁ ▁▁ x▁y",
    "\0 and \x1b\ufeff",
    "<unk> <s> </s> <0x41> [MASK:3]", "ABC " * 300, "\u2028\u00a0\u3000", "日本語だけ",
]


@pytest.fixture(scope="module", params=["characters", "bytes", "unigram", "bpe"])
def codec(request: pytest.FixtureRequest) -> TextCodec:
    return TextCodec(tokenizer=fit(request.param, [REAL[:60_000]], 400), length=64)


@pytest.mark.parametrize("text", [*HARD, REAL[60_000:]], ids=range(len(HARD) + 1))
def test_round_trip(codec: TextCodec, text: str) -> None:
    tokens = codec.tokens(text)
    assert codec.text(tokens.tolist()) == text
    assert len(tokens) == 0 or 0 <= tokens.min() <= tokens.max() < codec.end
    assert codec.byte_counts[tokens].sum() == len(text.encode())


def test_every_character_survives(codec: TextCodec) -> None:
    text = "".join(chr(i) for i in range(0x3100) if not 0xD800 <= i < 0xE000)
    assert codec.text(codec.tokens(text).tolist()) == text


def test_any_tokens_decode(codec: TextCodec) -> None:
    """A model may draw any ids: half an escape, a cut character, a document's end."""
    ids = torch.randint(codec.space.vocab, (50, 64), generator=torch.Generator().manual_seed(0))
    for row in ids.tolist():
        codec.text(row).encode()


def test_batches(codec: TextCodec) -> None:
    texts = ["import os", "if x: pass"]
    assert codec.decode(codec.encode(texts)) == texts
    for bad in ("", "word " * 100):
        with pytest.raises(FourfoldError, match="1 to 64"):
            codec.encode([bad])
    with pytest.raises(FourfoldError, match="Unicode"):
        codec.tokens("a lone surrogate \ud800")


def read(folder: Path, content: str | None, version: int) -> TextCodec:
    (folder / "config.json").write_text(json.dumps({"format": version}))
    if content is not None:
        (folder / "codec.json").write_text(content)
    return load_codec(folder, (TextCodec,), CODEC_MIGRATIONS)


def test_save_and_load(codec: TextCodec, tmp_path: Path) -> None:
    again = read(tmp_path, json.dumps(to_dict(codec)), 1)
    assert again == codec and again.space == codec.space
    assert again.tokens(REAL[:2000]).tolist() == codec.tokens(REAL[:2000]).tolist()


def test_version_0_1_0(codec: TextCodec, tmp_path: Path) -> None:
    """What that version wrote, by tokenizer."""
    tokenizer = codec.tokenizer
    if isinstance(tokenizer, Pieces):
        state = {"tokenizer": "pieces", "sentencepiece": base64.b64encode(tokenizer.proto).decode()}
    elif isinstance(tokenizer, Characters):
        state = {"tokenizer": "characters", "alphabet": tokenizer.alphabet}
    else:
        state = {"tokenizer": "bytes"}
    assert read(tmp_path, json.dumps({"length": 64, "histogram": None, "source_length": 0, **state}), 0) == codec
    lines = read(tmp_path, json.dumps({"length": 2, "histogram": [0.25, 0.75], "source_length": 9, **state}), 0)
    assert lines == TextCodec(tokenizer=tokenizer, length=2, histogram=(0.25, 0.75), source_length=9)


@pytest.mark.parametrize("content", [
    "", "[]", "{", '{"tokenizer": "characters", "length": 8}', '{"tokenizer": "words", "length": 8}',
    '{"tokenizer": "pieces", "length": 8, "sentencepiece": "AAAA"}', '{"tokenizer": ["bytes"], "length": 8}',
    '{"tokenizer": "pieces", "length": 8, "sentencepiece": "!"}', '{"tokenizer": "bytes", "length": "x"}',
    '{"tokenizer": "bytes", "length": 0}', '{"tokenizer": "bytes", "length": 8, "source_length": -1}',
    '{"tokenizer": "bytes", "length": 8, "histogram": [1.0]}',
])
def test_damaged(tmp_path: Path, content: str) -> None:
    with pytest.raises(FourfoldError, match="damaged"):
        read(tmp_path, content, 0)


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(FourfoldError, match="no such file"):
        read(tmp_path, None, 0)


def test_unknown_characters_are_spelled() -> None:
    codec = TextCodec(tokenizer=Characters("ab"), length=8)
    assert codec.tokens("aéb").tolist() == [0, 2 + 0xC, 2 + 0x3, 2 + 0xA, 2 + 0x9, 1]
    assert codec.text([0, 18, 1]) == "a\n\nb"


def test_pieces_compress() -> None:
    """Pieces must be learnt: fewer than half as many as bytes."""
    for kind in ("unigram", "bpe"):
        pieces = fit(kind, [REAL[:60_000]], 400)
        assert isinstance(pieces, Pieces)
        assert len(pieces.encode(REAL[60_000:])) < 0.55 * len(Bytes().encode(REAL[60_000:]))
    assert pieces.size == 400


def test_a_number_of_pieces_that_does_not_fit_says_which_does() -> None:
    with pytest.raises(FourfoldError, match=r"data.vocab is 5000: sentencepiece makes at most \d+ .*give more text"):
        fit("unigram", ["a few words of text\n" * 3], 5000)
    with pytest.raises(FourfoldError, match=r"data.vocab is 60000: sentencepiece makes at most (\d+) ") as caught:
        fit("bpe", [REAL[:60_000]], 60_000)
    assert "give more text" not in str(caught.value)
    many = "".join(chr(0x4E00 + i) * 20 for i in range(900))
    for kind in ("unigram", "bpe"):
        with pytest.raises(FourfoldError, match=r"data.vocab is 300: sentencepiece needs at least (\d+)") as caught:
            fit(kind, [many], 300)
        least = int(str(caught.value).split("at least ")[1].split(",")[0])
        assert fit(kind, [many], least).size == least


@pytest.mark.parametrize("end", ["\u2028", "\x85", "\x0c", "\x1c", "\v"])
def test_only_line_feeds_end_the_lines_that_pieces_are_learnt_of(end: str) -> None:
    pieces = fit("bpe", [f"ab{end}cd ef\n" * 500 + REAL[:20_000]], 400)
    (piece,) = pieces.encode(end)
    assert piece > 256, "it is a piece of its own, not spelled in bytes, as what occurs in no line is"
    assert min(pieces.encode("\n")) <= 256
