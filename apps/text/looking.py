"""What a user's text is like, from a look at a part of it: documents, lines, or pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from apps.text.sources import DOCUMENTS, PAIRS
from core.data.folders import find_files
from core.data.sources import read_text
from core.data.tables import read_json_lines, read_table
from core.errors import FourfoldError

LOOKED_AT = 100
"""Files that are opened, evenly spread."""


@dataclass(frozen=True)
class Seen:
    """What was seen of a user's text.

    Attributes:
        unit: as of `TextData`.
        characters: about how many there are.
        long, long_source: characters of a long example (of a hundred one is longer), and of its source; 0 of a stream.
        words: what it is, for people.
    """

    unit: Literal["stream", "line", "pair"]
    characters: int
    words: str
    long: int = 0
    long_source: int = 0


def look(path: Path) -> Seen:
    """Look at a user's folder or file.

    Raises:
        FourfoldError: no text there, or none of what was opened can be read.
    """
    path = path.expanduser()
    files = (path,) if path.is_file() else find_files(path, sorted({*DOCUMENTS, *PAIRS}), packed=True).files
    some = [files[i] for i in range(0, len(files), -(-len(files) // LOOKED_AT))]
    share = sum(file.stat().st_size for file in files) / max(1, sum(file.stat().st_size for file in some))
    pairs: list[tuple[str, str]] = []
    texts: list[str] = []
    wrong: FourfoldError | None = None
    for file in some:
        try:
            sides = _pairs(file)
            pairs += sides
            texts += [] if sides else [read_text(file)]
        except FourfoldError as error:
            wrong = error
    if pairs and not texts:
        return Seen("pair", round(share * sum(len(a) + len(b) for a, b in pairs)), "pairs of a source and its target",
                    _nearly_all([b for _, b in pairs]), _nearly_all([a for a, _ in pairs]))
    if not any(text.strip() for text in texts):
        raise wrong or FourfoldError(f"{path} holds no text: its files are empty")
    characters = round(share * sum(map(len, texts)))
    lines = [line for text in texts for line in text.rstrip("\n").split("\n")]
    if len(files) <= 2 and _are_items(lines):
        return Seen("line", characters, "examples of a line each", _nearly_all(lines))
    return Seen("stream", characters, f"{len(files):,} documents, one after the other" if len(files) > 1
                else "one stream of text")


def _pairs(path: Path) -> list[tuple[str, str]]:
    """The pairs of a file that names its columns "source" and "target"; none of another."""
    kind = Path(path.name.lower().removesuffix(".gz")).suffix
    if kind in (".csv", ".tsv"):
        table = read_table(path, columns=("source", "target"))
        return list(zip(table.column("source"), table.column("target"), strict=True)) if table.header else []
    if kind == ".jsonl":
        entries = [entry for _, entry in read_json_lines(path, "text")]
        return [(str(entry["source"]), str(entry["target"])) for entry in entries if {"source", "target"} <= {*entry}]
    return []


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
