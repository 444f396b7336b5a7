"""Text that is too large for memory is prepared as any other: the same splits, tokens and words to the user."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest

from apps import text
from apps.text import large, looking
from apps.text.data import prepare
from apps.text.tokenizers import Kind
from core.errors import FourfoldError

PLAY = Path(large.__file__).read_text() * 3


def stories(folder: Path, ends: tuple[str, ...]) -> Path:
    """Documents of many kinds: all line ends, wide characters, copies, jsonl, a blank and a broken one."""
    folder.mkdir()
    words = [f"{word}{i}" for i in range(40) for word in ("ant", "bee", "çat", "dög", "emú", "fox—", "狐", "🙂")]
    random = np.random.default_rng(0)
    for i in range(24):
        lines = [" ".join(random.choice(words, random.integers(1, 90))) + "." for _ in range(random.integers(1, 60))]
        (folder / f"{i:02}.txt").write_bytes(random.choice(ends).join(lines).encode())
    (folder / "20 copy.md").write_bytes(b"\xef\xbb\xbf" + (folder / "20.txt").read_bytes().upper())
    (folder / "strings.jsonl").write_text("\n".join(json.dumps(f"text {i}\n" * i) for i in range(1, 9)))
    (folder / "blank.txt").write_text(" \n \r\n" * 300)
    (folder / "broken.txt").write_bytes(b"fine " * 300 + b"caf\xe9" + b" fine" * 300)
    return folder


@pytest.mark.parametrize(("kind", "limit"), [("characters", 0), ("bytes", 9_999), ("unigram", 0), ("bpe", 12_345)])
def test_large_text_is_prepared_as_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, kind: Kind, limit: int
) -> None:
    play = tmp_path / "play.txt"
    play.write_text(PLAY + "é " * 400)  # one document: its end is held out
    ends = ("\n", "\r\n", "\r", " ") if kind in ("characters", "bytes") else ("\n", "\r\n", "\r")  # " ": a long line
    for folder in (stories(tmp_path / "stories", ends), play):
        data = text.TextData(folder=str(folder), tokenizer=kind, vocab=400, length=32, limit=limit)
        found = []
        for bound in (2**26, 0):
            caplog.clear()
            with caplog.at_level(logging.WARNING), monkeypatch.context() as patch:
                patch.setenv("FOURFOLD_CACHE", str(tmp_path / f"{bound}"))
                patch.setattr(large, "LARGE", bound)
                patch.setattr(large, "AT_ONCE", 1000)
                found.append((prepare(data), caplog.messages))
        (one, said), (other, also_said) = found
        assert one.codec == other.codec and said == also_said
        for part in ("train", "validation", "test"):
            assert np.array_equal(getattr(one, part).x, getattr(other, part).x)
            assert getattr(one, part).x.dtype == getattr(other, part).x.dtype


def test_large_text_is_refused_as_any(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOURFOLD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(large, "LARGE", 0)
    monkeypatch.setattr(large, "AT_ONCE", 1000)
    file = tmp_path / "a.txt"
    for content, reason in ((b"x" * 1500 + b"\xe9 y", "not UTF-8 text .byte 1500"), (b"\0" * 10, "binary"),
                            (b"\n" * 3000, "holds no text")):
        file.write_bytes(content)
        with pytest.raises(FourfoldError, match=reason):
            prepare(text.TextData(folder=str(file), length=16))


def test_a_large_file_is_looked_at_in_its_beginning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.txt"
    file.write_text("A line of a story that goes on and on.\n\n" * 3000)
    whole = looking.look(file)
    monkeypatch.setattr(looking, "BEGINNING", 16_000)
    monkeypatch.setattr(looking, "AT_ONCE", 1000)
    monkeypatch.setattr(large, "AT_ONCE", 1000)
    assert looking.look(file) == whole and whole.characters == 3000 * 40
