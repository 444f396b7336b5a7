"""Texts of a user's own: nothing is lost or misread in silence, and no copy lies on both sides."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from apps import text
from apps.text import sources
from apps.text.data import prepare
from core.data.near_copies import plain
from core.errors import FourfoldError

ENDS = "\u2028\x85\x0c\x1c\v"  # end lines for str.splitlines, and for nobody else


def essay(seed: int, sentences: int = 30) -> str:
    draw = random.Random(seed)
    words = [f"{draw.choice('bcdfgklmnprst')}{draw.choice('aeiou')}{draw.choice('lmnrst')}{i}" for i in range(90)]
    return "\n".join(" ".join(draw.choices(words, k=9)) + "." for _ in range(sentences)) + "\n"


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    caplog.set_level(logging.WARNING)
    return lambda: [record.getMessage() for record in caplog.records]


def test_a_folder_is_read_as_the_house_reads_folders(tmp_path: Path, said: Callable[[], list[str]]) -> None:
    for i in range(24):
        (tmp_path / f"{i % 3}").mkdir(exist_ok=True)
        (tmp_path / f"{i % 3}" / f"{i}.txt").write_text(essay(i))
    (tmp_path / "0" / "0.txt").write_text("first\rsecond\r\nthird\n" + essay(0))
    (tmp_path / "0" / ".draft.txt").write_text("SECRET " * 99)
    (tmp_path / ".ipynb_checkpoints").mkdir()
    (tmp_path / ".ipynb_checkpoints" / "1.txt").write_text("SECRET " * 99)
    (tmp_path / "broken.txt").write_bytes(b"caf\xe9")
    (tmp_path / "blank.md").write_text("\n \n")
    (tmp_path / "photo.png").write_bytes(b"x")
    data = text.TextData(folder=str(tmp_path), length=16)
    parts = sources.documents(data)
    every = [document for some in parts.values() for document in some]
    assert len(every) == 24 and not any("SECRET" in document for document in every)
    assert any(document.startswith("first\nsecond\nthird\n") for document in every)
    for _ in range(2):  # from the cache too
        prepare(data)
    lines = said()
    for expected in ("2 hidden files skipped", ".png 1", "1 of 26 files cannot be read", "1 of 25 texts left out"):
        assert sum(expected in line for line in lines) == 2, expected
    (tmp_path / "broken2.txt").write_bytes(b"caf\xe9")
    with pytest.raises(FourfoldError, match=r"2 of 27 files cannot be read: .*broken.txt.*; .*broken2.txt"):
        sources.documents(data)


def test_copies_and_drafts_lie_in_one_split(tmp_path: Path, said: Callable[[], list[str]]) -> None:
    for i in range(40):
        (tmp_path / f"{i:02}.txt").write_text(essay(i))
    for i in range(0, 40, 2):
        draft = essay(i).split("\n")
        draft[::5] = [f"another line of the draft {i} at place {place}." for place in range(len(draft[::5]))]
        (tmp_path / f"{i:02} draft.txt").write_text("\n".join(draft))
        (tmp_path / f"{i:02} loud.txt").write_text(essay(i).upper())
    data = text.TextData(folder=str(tmp_path), length=16)
    told: list[str] = []
    parts = sources.documents(data, told)
    where = {line.casefold(): name for name, some in parts.items() for one in some for line in one.split("\n")}
    for name, some in parts.items():
        assert some
        for document in some:
            assert all(where[line.casefold()] == name for line in document.split("\n") if line)
    assert any("60 of 80 documents are copies or near copies" in line for line in told)


def test_without_copies_the_split_is_that_of_whole_texts(tmp_path: Path) -> None:
    texts = [essay(i) for i in range(30)]
    for i, content in enumerate(texts):
        (tmp_path / f"{i:02}.txt").write_text(content)
    assert sources.documents(text.TextData(folder=str(tmp_path))) == sources.held_out(texts, texts)


def test_drafts_of_one_text_alone_are_cut_at_their_tails(tmp_path: Path) -> None:
    for i in range(4):
        (tmp_path / f"{i}.txt").write_text(essay(0) + f"The end of version {i}.\n")
    parts = sources.documents(text.TextData(folder=str(tmp_path)))
    assert len(parts["train"]) == 4 and parts["test"] == parts["validation"]
    assert parts["train"][0] + parts["test"][0] == essay(0) + "The end of version 0.\n"


def test_lines_with_the_same_words_are_not_held_out(tmp_path: Path) -> None:
    lines = essay(0, 200).strip().split("\n")
    file = tmp_path / "one" / "lines.txt"
    file.parent.mkdir()
    file.write_text("\n".join([*lines, *(line.upper() for line in lines[:100])]))
    told: list[str] = []
    parts = sources.lines(text.TextData(folder=str(file), unit="line"), told)
    words = {name: {plain(line) for line in some} for name, some in parts.items()}
    assert sum(map(len, parts.values())) == 300 and not words["train"] & (words["test"] | words["validation"])
    assert "200 of 300 lines have the words of another" in told[0]
    for i in range(12):
        (tmp_path / f"{i}.txt").write_text("\n".join(["A line that all have!", *essay(i + 1, 9).split("\n")]))
    parts = sources.lines(text.TextData(folder=str(tmp_path), unit="line"), told := [])
    assert "A line that all have!" in parts["train"] and "A line that all have!" not in parts["test"]
    assert any("lines held out for test are left out" in line for line in told)


def test_only_line_feeds_end_a_line(tmp_path: Path) -> None:
    rows = [f"a{end}b{i}" for i in range(9) for end in ENDS]
    (tmp_path / "lines.txt").write_text("\n".join(rows))
    found = sources.lines(text.TextData(folder=str(tmp_path), unit="line"))
    assert sorted(line for some in found.values() for line in some) == sorted(rows)
    pairs = tmp_path / "pairs"
    pairs.mkdir()
    (pairs / "talk.de").write_text("\n".join(rows) + "\n")
    (pairs / "talk.en").write_text("\n".join(str(i) for i in range(len(rows))) + "\n\n")
    made = sources.pairs(text.TextData(folder=str(pairs), unit="pair", pair="de-en"))
    expected = sorted((row, str(i)) for i, row in enumerate(rows))
    assert sorted(pair for some in made.values() for pair in some) == expected


def test_json_lines_hold_objects_or_strings_and_all_wrong_ones_are_counted(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text("\n".join([json.dumps(essay(0)), json.dumps({"text": essay(1)}), json.dumps(f"c\u2028{essay(2)}")]))
    found = sources.documents(text.TextData(folder=str(file)))
    assert sorted(document for some in found.values() for document in some) == sorted(
        [essay(0), essay(1), f"c\u2028{essay(2)}"])
    file.write_text('"fine"\n{text: 1}\n"fine"\n[1]\n{"a"\n')
    with pytest.raises(FourfoldError, match=r"a.jsonl, line 2: is no JSON \(and 2 more lines are wrong\)"):
        sources.documents(text.TextData(folder=str(file)))


def test_tables_of_pairs_lose_nothing_in_silence(tmp_path: Path) -> None:
    rows = [(f"source {i}", f"target {i}") for i in range(60)]
    rows[9] = ('a 5" tube', "target 9")
    rows[39] = ('a 7" tube', "target 39")
    tables = {
        "tabs.tsv": "".join(f"{a}\t{b}\n" for a, b in rows),
        "named.csv": "".join(f'{i};"{b}";"{a.replace(chr(34), chr(34) * 2)}"\r\n'
                             for i, (b, a) in [("id", ("target", "source")), *enumerate((b, a) for a, b in rows)]),
    }
    for name, content in tables.items():
        (tmp_path / name).write_text(content)
        found = sources.pairs(text.TextData(folder=str(tmp_path / name), unit="pair"), [])
        assert sorted(pair for some in found.values() for pair in some) == sorted(rows), name
    (tmp_path / "tabs.tsv").write_text(tables["tabs.tsv"] + "one\ttwo\tthree\nno target\t\nSource 3!\tagain\n")
    told: list[str] = []
    found = sources.pairs(text.TextData(folder=str(tmp_path / "tabs.tsv"), unit="pair"), told)
    assert sum(map(len, found.values())) == 61
    assert any("line 61: 3 cells instead of 2" in line for line in told)
    assert any("1 of 62 pairs left out: one side is blank" in line for line in told)
    assert any("2 of 61 pairs have the source of another" in line for line in told)
    (tmp_path / "tabs.tsv").write_text(tables["tabs.tsv"] + "one\ttwo\tthree\n" * 4)
    with pytest.raises(FourfoldError, match=r"4 of 64 rows are damaged \(line 61: 3 cells instead of 2\)"):
        sources.pairs(text.TextData(folder=str(tmp_path / "tabs.tsv"), unit="pair"))


def test_held_out_pairs_that_are_trained_on_are_told(tmp_path: Path) -> None:
    for name, numbers in (("train", range(40)), ("val", range(38, 44)), ("test", range(50, 60))):
        (tmp_path / f"{name}.tsv").write_text("".join(f"Source {i}\ttarget {i}\n" for i in numbers))
    told: list[str] = []
    sources.pairs(text.TextData(folder=str(tmp_path), unit="pair"), told)
    assert told == ["2 of 6 sources of the validation pairs are training sources too"]


# --------------------------------------------------------------------------------------------- labels, tables, chats


def reviews(path: Path) -> Path:
    """Two kinds of text, which share no word but one."""
    words = {"pos": ("good", "fine"), "neg": ("bad", "poor")}
    rows = [f'{i},"a {words[kind][i % 2]} film, no. {i}",{kind}' for i, kind in enumerate(["pos", "neg"] * 150)]
    path.write_text("\n".join(["id,review,label", *rows]))
    return path


def test_a_column_of_labels_is_a_condition(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = text.DOMAIN.guess(reviews(tmp_path / "reviews.csv"))
    assert (data.unit, data.column, data.label) == ("document", "review", "label")
    assert "left out: id" in caplog.text
    prepared = text.DOMAIN.prepare(data)
    batch = prepared.train.batch(range(200))
    kinds = ["pos" if "good" in line or "fine" in line else "neg" for line in prepared.codec.decode(batch)]
    names = prepared.codec.label_names
    assert names == ("neg", "pos") and [names[i] for i in batch.condition["label"].tolist()] == kinds


def test_labels_that_are_missing_are_named(tmp_path: Path) -> None:
    path = tmp_path / "texts.jsonl"
    path.write_text('{"text": "one", "label": "a"}\n{"text": "two"}\n{"text": "three", "label": 1}')
    with pytest.raises(FourfoldError, match='line 2: needs a class "label"'):
        text.DOMAIN.prepare(text.TextData(source="folder", folder=str(path), unit="document", label="label"))


def test_chats_are_read_as_turns(tmp_path: Path) -> None:
    path = tmp_path / "chats.jsonl"
    chats = [[{"role": "user", "content": f"What is {a}?"}, {"role": "assistant", "content": f"It is\n{a}. "}]
             for a in range(100)]
    path.write_text("\n".join(json.dumps({"messages": messages}) for messages in chats))
    data = text.DOMAIN.guess(path)
    assert data.unit == "stream"
    found = [chat for part in sources.documents(data).values() for chat in part]
    assert sorted(found) == sorted(f"USER: What is {a}?\nASSISTANT: It is\n{a}." for a in range(100))
    path.write_text('{"messages": [{"role": "user", "text": "hi"}]}')
    with pytest.raises(FourfoldError, match="message 1: must have"):
        sources.documents(data)
