"""Captions: read from a file among a folder's pictures, and turned into the words that a model is conditioned on."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from core.batches import Batch
from core.data.sources import read_text
from core.data.tables import read_json_lines, read_lines, read_table
from core.errors import FourfoldError, did_you_mean

log = logging.getLogger(__name__)
Entry = tuple[str, str, str]
"""Where it stands, file and caption."""
LONGEST = 12
"""Words of a caption that count; what follows them is cut."""
CAPTION_FILES = ("captions.csv", "captions.txt", "captions.json", "captions.jsonl", "metadata.csv", "metadata.jsonl")
FILE_NAMES, CAPTION_NAMES = ("file", "file_name"), ("caption", "text")
"""What the two columns of a table, or the two keys of a line, may be called."""


def caption_files(root: Path) -> list[str]:
    """The files in a folder of pictures that hold captions, as paths under it: one of `CAPTION_FILES` directly in it,
    else each text file that may belong to the picture of the same name."""
    found = [name for name in CAPTION_FILES if (root / name).is_file()]
    if found:
        return found
    paths = list(root.rglob("*"))
    others = {path.with_suffix("") for path in paths if path.suffix != ".txt"}
    return [path.relative_to(root).as_posix() for path in paths
            if path.suffix == ".txt" and path.with_suffix("") in others]


def words_of(text: str) -> list[str]:
    """A caption's words: runs of letters and digits, in lower case."""
    return re.findall(r"[^\W_]+", text.lower())


def vocabulary(captions: Sequence[str]) -> tuple[tuple[str, ...], int]:
    """All words of some captions, sorted, and the number of words in the longest."""
    whole = [words_of(caption) for caption in captions]
    if cut := sum(len(words) > LONGEST for words in whole):
        log.warning(f"{cut:,} of {len(captions):,} captions have more than {LONGEST} words: only those count")
    split = [words[:LONGEST] for words in whole]
    return tuple(sorted({word for words in split for word in words})), max(map(len, split), default=0)


def tokens(captions: Sequence[str], words: Sequence[str], length: int) -> np.ndarray:
    """Captions as places in `words`, int64 `[N, length]`, padded with `len(words)`; unknown words are left out."""
    place = {word: index for index, word in enumerate(words)}
    made = np.full((len(captions), length), len(words), dtype=np.int64)
    for row, caption in zip(made, captions, strict=True):
        known = [place[word] for word in words_of(caption) if word in place][:length]
        row[: len(known)] = known
    return made


def word_tokens(text: str, words: Sequence[str], length: int, name: str) -> np.ndarray:
    """The same of one caption that a user wrote, int64 `[length]`; what is longer is cut.

    Raises:
        FourfoldError: no words, or one that the model never saw; `name` is the condition's.
    """
    asked = words_of(text)
    if not asked:
        raise FourfoldError(f"{name} is {text!r}: must have words")
    for word in asked:
        if word not in words:
            raise FourfoldError(f"{name} has the word {word!r}, which this model never saw: "
                                f"{did_you_mean(word, words)}")
    if len(asked) > length:
        log.warning(f"{name} has {len(asked):,} words: only the first {length:,} count")
    return tokens([text], words, length).reshape(length)


def with_fewer_words(batch: Batch, generator: torch.Generator, pad: int) -> Batch:
    """The batch with some words of half its captions left out, never all of them: users write fewer than captions do.

    Without, "smiling cat" says little to a model that was always told "smiling cat face with open mouth".
    """
    rows = batch.condition["prompt"]
    draws = torch.rand(rows.shape, generator=generator).masked_fill(rows == pad, 0.0)
    share, chosen = torch.rand(2, len(rows), 1, generator=generator)
    kept = (rows != pad) & ((draws >= share * (chosen < 0.5)) | (draws == draws.amax(1, keepdim=True)))
    # Those kept move to the front, in their order.
    order = (~kept).to(torch.uint8).argsort(dim=1, stable=True)
    fewer = torch.where(kept, rows, pad).gather(1, order)
    return replace(batch, condition={**batch.condition, "prompt": fewer})


def read_captions(root: Path, files: Sequence[Path]) -> tuple[dict[Path, str], list[str]]:
    """The caption of each of the pictures `files` of a folder, and what to say of how they were read.

    They are in one file directly in `root`, captions.csv or metadata.csv (columns file,caption or file_name,text),
    captions.txt (file, a tab, caption), captions.json ({file: caption}), captions.jsonl or metadata.jsonl (a line
    {"file": ..., "caption": ...} each); or each picture has a text file of its own name beside it.

    Raises:
        FourfoldError: there is no such file or more than one, it is malformed, or it does not fit the pictures.
    """
    found = [root / name for name in caption_files(root)]
    if not found:
        raise FourfoldError(f"{root} has no captions: put captions.csv (with the columns file,caption), captions.txt "
                            "(file, a tab, caption), captions.json or captions.jsonl into it, or beside each picture a "
                            ".txt of its name")
    if found[0].name not in CAPTION_FILES:
        return _from_neighbours(root, files), []
    if len(found) > 1:
        raise FourfoldError(f"{root} has {found[0].name} and {found[1].name}: keep one of them")
    path = found[0]
    read = {".csv": _from_csv, ".txt": _from_lines, ".json": _from_json, ".jsonl": _from_json_lines}[path.suffix]
    entries, said = read(path)
    known = {file.relative_to(root).as_posix(): file for file in files}
    captions: dict[Path, str] = {}
    for where, name, caption in entries:
        file = known.get(Path(name).as_posix())
        if file is None:
            raise FourfoldError(f"{path}, {where}: there is no image {name!r} in {root}")
        if file in captions:
            raise FourfoldError(f"{path}, {where}: {name!r} has a caption already, keep one")
        if not words_of(caption):
            raise FourfoldError(f"{path}, {where}: the caption of {name!r} has no words")
        captions[file] = caption
    for name, file in known.items():
        if file not in captions:
            raise FourfoldError(f"{path} has no caption for {name!r}: every image needs one")
    return captions, said


def _from_neighbours(root: Path, files: Sequence[Path]) -> dict[Path, str]:
    captions = {}
    for file in files:
        text = file.with_suffix(".txt")
        if not text.is_file():
            raise FourfoldError(f"{root} has no caption for {file.relative_to(root).as_posix()!r}: every image needs "
                                f"one, there in {text.name}")
        captions[file] = " ".join(read_text(text).split())
        if not words_of(captions[file]):
            raise FourfoldError(f"{text}: the caption has no words")
    return captions


def _named(names: Sequence[str], known: Iterable[str]) -> str:
    """The one of `names` that is `known`, else the first, which will be missed."""
    there = {name.strip().casefold() for name in known}
    return next((name for name in names if name in there), names[0])


def _from_json_lines(path: Path) -> tuple[list[Entry], list[str]]:
    entries = []
    for line, entry in read_json_lines(path):
        name, caption = (entry.get(_named(names, entry)) for names in (FILE_NAMES, CAPTION_NAMES))
        if not isinstance(name, str) or not isinstance(caption, str):
            raise FourfoldError(f'{path}, line {line:,}: must be {{"file": ..., "caption": ...}}, both of text')
        entries.append((f"line {line:,}", name, caption))
    return entries, []


def _from_csv(path: Path) -> tuple[list[Entry], list[str]]:
    table = read_table(path, columns=(*FILE_NAMES, *CAPTION_NAMES))
    columns = _named(FILE_NAMES, table.names), _named(CAPTION_NAMES, table.names)
    if table.dropped:
        line, reason = table.dropped[0]
        raise FourfoldError(f"{path}, line {line:,}: has {reason}: put double quotes around a caption with commas")
    rows = zip(table.lines, table.column(columns[0]), table.column(columns[1]), strict=True)
    return [(f"line {line:,}", file.strip(), caption) for line, file, caption in rows], table.report()


def _from_lines(path: Path) -> tuple[list[Entry], list[str]]:
    entries = []
    for number, line in read_lines(path):
        name, tab, caption = line.partition("\t")
        if tab:
            entries.append((f"line {number:,}", name.strip(), caption))
        elif line.strip():
            raise FourfoldError(f"{path}, line {number:,}: must be a file, a tab and its caption")
    return entries, []


def _from_json(path: Path) -> tuple[list[Entry], list[str]]:
    text = read_text(path)
    pairs: list[tuple[str, object]] = []

    def last(found: list[tuple[str, object]]) -> None:
        pairs[:] = found  # the outermost object is read last; a dict would hide a file that is named twice

    try:
        content = json.loads(text, object_pairs_hook=last)
    except (ValueError, RecursionError) as error:
        raise FourfoldError(f"{path} is no JSON: {error}") from error
    if content is not None or not text.lstrip().startswith("{"):
        raise FourfoldError(f'{path}: must be an object of captions by file, {{"a.png": "a cat", ...}}')
    entries = []
    for name, caption in pairs:
        if not isinstance(caption, str):
            raise FourfoldError(f"{path}: the caption of {name!r} must be text")
        entries.append((f"entry {name!r}", name, caption))
    return entries, []
