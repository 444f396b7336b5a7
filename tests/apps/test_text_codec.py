"""Text <-> tokens: nothing is lost, by any tokenizer, and what was saved is what is read."""

from __future__ import annotations

import argparse
import inspect
from pathlib import Path

import pytest
import torch

from apps.text.codec import Bytes, Characters, Pieces, TextCodec, fit, load_codec
from core.errors import FourfoldError

REAL = inspect.getsource(argparse)
HARD = [
    "", " ", "   leading and trailing   ", "a\tb\n\n\nc\r\nd", "naïve café — 東京 🙂 e\u0301", "▁ ▁▁ x▁y",
    "\0 and \x1b\ufeff",
    "<unk> <s> </s> <0x41> [MASK:3]", "ABC " * 300, "\u2028\u00a0\u3000", "日本語だけ",
]


@pytest.fixture(scope="module", params=["characters", "bytes", "unigram", "bpe"])
def codec(request: pytest.FixtureRequest) -> TextCodec:
    return TextCodec(fit(request.param, [REAL[:60_000]], 400), 64)


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


def test_save_and_load(codec: TextCodec, tmp_path: Path) -> None:
    codec.save(tmp_path)
    again = load_codec(tmp_path)
    assert again.space == codec.space
    assert again.tokens(REAL[:2000]).tolist() == codec.tokens(REAL[:2000]).tolist()


@pytest.mark.parametrize("content", [
    None, "", "[]", "{", '{"tokenizer": "characters", "length": 8}', '{"tokenizer": "words", "length": 8}',
    '{"tokenizer": "pieces", "length": 8, "sentencepiece": "AAAA"}',
    '{"tokenizer": "pieces", "length": 8, "sentencepiece": "!"}', '{"tokenizer": "bytes", "length": "x"}',
])
def test_damaged(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "codec.json").write_text(content)
    with pytest.raises(FourfoldError, match="missing" if content is None else "damaged"):
        load_codec(tmp_path)


def test_unknown_characters_are_spelled() -> None:
    codec = TextCodec(Characters("ab"), 8)
    assert codec.tokens("aéb").tolist() == [0, 2 + 0xC, 2 + 0x3, 2 + 0xA, 2 + 0x9, 1]
    assert codec.text([0, 18, 1]) == "a\n\nb"


def test_pieces_compress() -> None:
    """Pieces must be learnt: fewer than half as many as bytes."""
    for kind in ("unigram", "bpe"):
        pieces = fit(kind, [REAL[:60_000]], 400)
        assert isinstance(pieces, Pieces)
        assert len(pieces.encode(REAL[60_000:])) < 0.55 * len(Bytes().encode(REAL[60_000:]))
    assert pieces.size == 400


def test_too_many_pieces() -> None:
    with pytest.raises(FourfoldError, match=r"data.vocab is 5000.*at most \d+"):
        fit("unigram", ["a few words of text\n" * 3], 5000)
