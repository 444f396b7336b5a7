"""What a user's text is like, from a look at a part of it: documents, lines, or pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from apps.text.chats import chat_text
from apps.text.large import AT_ONCE, WHOLE, part_of
from apps.text.sources import DOCUMENTS, PAIRS, TABLES
from core.data.folders import find_files
from core.data.sources import read_text
from core.data.tables import read_json_lines, read_table
from core.errors import FourfoldError

LABELS = ("label", "class", "category", "labels", "sentiment", "topic", "genre")
"""Names of columns that are taken for a class of the text beside them."""
LONGEST = 1000
"""Characters of a document that can be an example by itself; longer ones are read one after the other."""
LOOKED_AT = 100
"""Files that are opened, evenly spread."""
BEGINNING = 16 * AT_ONCE
"""Bytes of a file that are read, where it need not be read in one piece."""


@dataclass(frozen=True)
class Seen:
    """What was seen of a user's text.

    Attributes:
        unit: as of `TextData`.
        characters: about how many there are.
        long, long_source: characters of a long example (of a hundred one is longer), and of its source; 0 of a stream.
        words: what it is, for people.
        column, label: as of `TextData`.
    """

    unit: Literal["stream", "document", "line", "pair"]
    characters: int
    words: str
    long: int = 0
    long_source: int = 0
    column: str = ""
    label: str = ""


def look(path: Path) -> Seen:
    """Look at a user's folder or file.

    Raises:
        FourfoldError: no text there, or none of what was opened can be read.
    """
    path = path.expanduser()
    files = (path,) if path.is_file() else find_files(path, sorted({*DOCUMENTS, *PAIRS}), packed=True).files
    some = [files[i] for i in range(0, len(files), -(-len(files) // LOOKED_AT))]
    share = sum(file.stat().st_size for file in files) / max(1, sum(map(_looked_at, some)))
    rows: list[Mapping[str, object]] = []
    texts: list[str] = []
    tables, wrong = False, None
    for file in some:
        kind = Path(file.name.lower().removesuffix(".gz")).suffix
        try:
            if kind in PAIRS:
                tables |= kind in TABLES
                rows += _rows(file, kind)
            else:
                texts.append(_beginning(file))
        except FourfoldError as error:
            wrong = error
    if rows and not texts:
        return _of_rows(path, rows, share, tables)
    if not any(text.strip() for text in texts):
        raise wrong or FourfoldError(f"{path} holds no text: its files are empty")
    characters = round(share * sum(map(len, texts)))
    lines = [line for text in texts for line in text.rstrip("\n").split("\n")]
    if len(files) <= 2 and _are_items(lines):
        return Seen("line", characters, "examples of a line each", _nearly_all(lines))
    return Seen("stream", characters, f"{len(files):,} documents, one after the other" if len(files) > 1
                else "one stream of text")


def _looked_at(path: Path) -> int:
    """Bytes of a file that are looked at."""
    size = path.stat().st_size
    return size if path.suffix.lower() in (*WHOLE, *PAIRS) else min(size, BEGINNING)


def _beginning(path: Path) -> str:
    """The text of a file, of a large one its beginning."""
    if _looked_at(path) == path.stat().st_size:
        return read_text(path)
    return "".join(part_of(path, start) for start in range(0, BEGINNING, AT_ONCE))


def _rows(path: Path, kind: str) -> list[Mapping[str, object]]:
    """The rows of a table, of its own or numbered columns, or the objects of a jsonl file."""
    if kind == ".jsonl":
        return [entry for _, entry in read_json_lines(path, "text")]
    table = read_table(path)
    return [dict(zip(table.names, row, strict=True)) for row in table.rows]


def _of_rows(path: Path, rows: Sequence[Mapping[str, object]], share: float, tables: bool) -> Seen:
    """What rows are: pairs, chats, or documents with or without a label."""
    keys = dict.fromkeys(key for row in rows for key in row)
    columns = {key: [text for row in rows if isinstance(text := row.get(key), str)] for key in keys}
    for source, target in (("source", "target"), ("1", "2")):
        if source in columns and target in columns and (source == "source" or len(columns) == 2):
            sides = columns[source], columns[target]
            return Seen("pair", round(share * sum(len(text) for side in sides for text in side)),
                        "pairs of a source and its target", _nearly_all(sides[1]), _nearly_all(sides[0]))
    if "messages" in keys and "text" not in keys:
        chats = [chat_text(row.get("messages"), f"{path}, chat {number}") for number, row in enumerate(rows, start=1)]
        return Seen("stream", round(share * sum(map(len, chats))), f"{len(chats):,} chats, one after the other")
    full = {key: texts for key, texts in columns.items() if len(texts) > 0.9 * len(rows)}
    if not full:
        raise FourfoldError(f"{path} has no column of texts: {', '.join(keys)}")
    column = "text" if "text" in full else max(full, key=lambda key: sum(map(len, full[key])))
    texts = full[column]
    long, characters = _nearly_all(texts), round(share * sum(map(len, texts)))
    # A class: one of few values in every row.
    kinds = {key: {str(row.get(key)) for row in rows} for key in LABELS if key in keys}
    label = next((key for key, values in kinds.items() if 1 < len(values) <= len(rows) / 10), "")
    others = [key for key in keys if key not in (column, label)]
    words = f"{len(texts):,} documents of the column {column!r}" + (f", by {label!r}" if label else "") + (
        f" (left out: {', '.join(others)}; data.column and data.label say otherwise)" if others else "")
    named = column if tables or column != "text" else ""
    if long <= LONGEST or label:
        return Seen("document", characters, words, long, column=named, label=label)
    return Seen("stream", characters, f"{words}, one after the other", column=named)


def _are_items(lines: Sequence[str]) -> bool:
    """Whether lines are examples, not a text's: many, short, hardly any blank, indented or ending where a page does."""
    odd = sum(not line.strip() or line[0].isspace() for line in lines)
    lengths = sorted(map(len, lines))
    middle, long = lengths[len(lines) // 2], lengths[95 * len(lines) // 100]
    wrapped = 60 <= long <= 100 and middle > 0.8 * long
    return len(lines) >= 100 and odd <= 0.01 * len(lines) and middle <= 200 and not wrapped


def _nearly_all(texts: Sequence[str]) -> int:
    """Characters of a long one: one of a hundred is longer."""
    return sorted(map(len, texts))[99 * len(texts) // 100]
