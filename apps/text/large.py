"""A user's text that is too large for memory: read, split and tokenised in parts that lie on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path

import numpy as np

from apps.text.codec import TextCodec
from apps.text.sources import HELD_OUT, own_files, texts_of
from apps.text.text_data import TextData
from apps.text.tokenizers import Tokenizer
from core.data.folders import read_some, skipped
from core.data.near_copies import groups_of_texts, told
from core.data.splits import split
from core.data.unfinished import Part, Unfinished
from core.errors import FourfoldError

LARGE = 2**26
"""Bytes of a user's files from which on their text is prepared here."""
AT_ONCE = 2**20
"""Bytes that are read or tokenised at once."""
WHOLE = (".gz", ".jsonl")
"""Files that are read in one piece."""
Fitted = Callable[[Iterable[str]], Tokenizer]
"""Training documents -> the tokenizer to read them with."""
Span = tuple[int, int, bool]
"""Where a text begins and ends, in bytes, and whether a document ends with it."""


@dataclass(frozen=True)
class Documents:
    """Texts that lie one after the other in a file, as UTF-8.

    Attributes:
        bytes: of all of them `[T]`, mapped.
        starts, ends: where each lies `[N]`.
    """

    bytes: np.ndarray
    starts: np.ndarray
    ends: np.ndarray

    def __len__(self) -> int:
        return len(self.starts)

    def text(self, span: Span) -> str:
        """A text that lies there."""
        return self.bytes[span[0] : span[1]].tobytes().decode()

    def texts(self) -> Iterator[str]:
        """One after the other."""
        for start, end in zip(self.starts.tolist(), self.ends.tolist(), strict=True):
            yield self.text((start, end, True))

    def cut(self, index: int, characters: int) -> int:
        """Where so many characters of a document end."""
        start, end = int(self.starts[index]), int(self.ends[index])
        while start < end:
            begins = np.flatnonzero((self.bytes[start : min(end, start + AT_ONCE)] & 0xC0) != 0x80)
            if characters < len(begins):
                return start + int(begins[characters])
            characters -= len(begins)
            start = min(end, start + AT_ONCE)
        return end

    def parts(self, spans: Sequence[Span]) -> Iterator[Span]:
        """Texts in parts that end with a line, or where there are none for long a space, or anywhere: no tokenizer of
        ours joins what lies on two sides of a line's end, nor pieces of words what a space is between."""
        for start, end, ends in spans:
            while end - start > 2 * AT_ONCE:
                block = self.bytes[start + AT_ONCE : start + 2 * AT_ONCE]
                found = [np.flatnonzero(test) for test in (block == 10, block == 32, (block & 0xC0) != 0x80)]
                if len(found[0]):
                    stop = start + AT_ONCE + int(found[0][0]) + 1
                else:
                    stop = start + AT_ONCE + int(next(some for some in found[1:] if len(some))[0])
                yield start, stop, False
                start = stop
            yield start, end, ends


def is_large(data: TextData) -> bool:
    """Whether a user's text is too large to be held in memory."""
    return data.folder is not None and sum(path.stat().st_size for path in own_files(data).files) > LARGE


def tokenized(data: TextData, fitted: Fitted, made: Unfinished) -> tuple[
    dict[str, np.ndarray], Tokenizer, list[str]
]:
    """Ids of each split's documents, each with the codec's end after it, in one row; the tokenizer; what to tell.

    Raises:
        FourfoldError: no text, too many broken files, too little of it to split.
    """
    said: list[str] = []
    documents, characters = _read(data, made, said)
    spans = _split(data, documents, characters, said)
    pieces = (documents.text(part) for part in documents.parts(spans["train"]))
    tokenizer = fitted(pieces)
    codec = TextCodec(tokenizer=tokenizer, length=data.length)
    arrays = {}
    for name, some in spans.items():
        parts = list(documents.parts(some))
        jobs = [parts[at : at + 64] for at in range(0, len(parts), 64)] if len(parts) > 10_000 else [[p] for p in parts]
        path = Path(str(documents.bytes.filename)) if isinstance(documents.bytes, np.memmap) else Path()
        found, _ = made.make(name, partial(_ids, codec, path), jobs, what=f"tokenising the {name} text",
                             sizes=[sum(end - start for start, end, _ in job) for job in jobs])
        arrays[name] = found["ids"]
    return arrays, tokenizer, said


def _ids(codec: TextCodec, path: Path, spans: Sequence[Span]) -> Part:
    rows = []
    with open(path, "rb") as stream:
        for start, end, ends in spans:
            stream.seek(start)
            ids = codec.tokens(stream.read(end - start).decode())
            rows.append(np.append(ids, codec.end) if ends else ids)
    return {"ids": np.concatenate(rows).astype(codec.id_type)}, {}


def _read(data: TextData, made: Unfinished, said: list[str]) -> tuple[Documents, np.ndarray]:
    """A user's documents that are not blank, and how many characters each has."""
    found = own_files(data)
    jobs = [(index, path, start) for index, path in enumerate(found.files)
            for start in (range(0, max(1, path.stat().st_size), AT_ONCE) if path.suffix not in WHOLE else (-1,))]
    arrays, notes = made.make(
        "text", partial(_piece, data), jobs, what="reading text",
        sizes=[path.stat().st_size if start < 0 else min(AT_ONCE, path.stat().st_size - start)
               for _, path, start in jobs])
    broken = {index: note["broken"] for (index, _, _), note in reversed([*zip(jobs, notes, strict=True)])
              if note["broken"]}
    said += [*found.report(), *skipped(list(broken.values())[::-1], len(found.files))]
    ends = np.cumsum(arrays["bytes"])
    begin = ends - arrays["bytes"]
    firsts = np.cumsum([0, *(note["documents"] for note in notes)])
    # The parts of a file make one document.
    documents = []
    for index, group in groupby(range(len(jobs)), key=lambda job: jobs[job][0]):
        if index in broken:
            continue
        own = list(group)
        places = range(firsts[own[0]], firsts[own[-1] + 1])
        documents += [(i, i) for i in places] if jobs[own[0]][2] < 0 else [(places[0], places[-1])] * bool(places)
    first, last = np.array(documents, np.int64).reshape(-1, 2).T
    said_something = np.array([bool(arrays["filled"][a : b + 1].any()) for a, b in zip(first, last, strict=True)], bool)
    if not said_something.any():
        raise FourfoldError(f"{data.folder} holds no text: its files are empty")
    if not said_something.all():
        said.append(f"{(~said_something).sum():,} of {len(first):,} texts left out: they are blank")
    first, last = first[said_something], last[said_something]
    counted = np.concatenate([[0], np.cumsum(arrays["characters"])])
    return Documents(arrays["text"], begin[first], ends[last]), counted[last + 1] - counted[first]


def _piece(data: TextData, job: tuple[int, Path, int]) -> Part:
    """The documents of a file, or the part of its one document that begins at a byte."""
    _, path, start = job
    read, broken = read_some([path], lambda file: texts_of(file, data) if start < 0 else [part_of(file, start)])
    texts = [text for _, some in read for text in some]
    coded = [text.encode() for text in texts]
    return {
        "text": np.frombuffer(b"".join(coded), np.uint8), "bytes": np.array([len(text) for text in coded], np.int64),
        "characters": np.array([len(text) for text in texts], np.int64),
        "filled": np.array([bool(text.strip()) for text in texts], bool),
    }, {"documents": len(texts), "broken": broken[0] if broken else ""}


def part_of(path: Path, start: int) -> str:
    """The characters of a text file that begin in `AT_ONCE` bytes from `start` on; line ends become those of Unix."""
    try:
        with open(path, "rb") as stream:
            stream.seek(max(0, start - 1))
            before = stream.read(min(start, 1))
            content = stream.read(AT_ONCE + 3)
    except OSError as error:
        raise FourfoldError(f"{path} cannot be read: {error.strerror}") from None
    if start == 0 and b"\0" in content[:65_536]:
        raise FourfoldError(f"{path} is a binary file: text is needed, as UTF-8")
    first = last = 0
    while start and first < min(3, len(content)) and content[first] & 0xC0 == 0x80:
        first += 1  # of a character that begins in the part before
    while AT_ONCE + last < len(content) and content[AT_ONCE + last] & 0xC0 == 0x80:
        last += 1
    try:
        text = content[first : AT_ONCE + last].decode("utf-8" if start else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise FourfoldError(f"{path} is not UTF-8 text (byte {start + first + error.start}): convert it, or leave it "
                            "out") from None
    if before == b"\r":
        text = text.removeprefix("\n")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _split(
    data: TextData, documents: Documents, characters: np.ndarray, said: list[str]
) -> dict[str, list[Span]]:
    """Where the texts of each split lie; of training at most `limit` characters. The rule is that of `sources`."""
    groups = np.arange(len(documents))
    if len(documents) >= 3:
        groups = groups_of_texts(documents.texts())
        said += told(groups, "documents")
    starts, ends = documents.starts.tolist(), documents.ends.tolist()
    if len(np.unique(groups)) < 3:
        kept = [round(count * (1 - HELD_OUT)) for count in characters.tolist()]
        cuts = [documents.cut(index, count) for index, count in enumerate(kept)]
        tail = [(cut, end, True) for cut, end in zip(cuts, ends, strict=True)]
        train = list(range(len(starts)))
        spans = {"train": [(start, cut, True) for start, cut in zip(starts, cuts, strict=True)],
                 "validation": tail, "test": tail}
        characters = np.array(kept)
    else:
        parts = split(groups.tolist(), test=HELD_OUT, validation=HELD_OUT / 2)
        train = parts.train.tolist()
        spans = {name: [(starts[i], ends[i], True) for i in rows] for name, rows in vars(parts).items()}
    left = data.limit
    for place, index in enumerate(train if left else ()):
        if left <= characters[index]:
            start, end, _ = spans["train"][place]
            spans["train"][place:] = [(start, min(end, documents.cut(index, left)), True)]
            break
        left -= int(characters[index])
    return spans
