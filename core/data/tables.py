"""One reader of tables (.csv, .tsv and their like), one of JSON lines, one of plain lines; each also of .gz.

Tables are read with the csv module, a row at a time, as the libraries misread what people have. Tried were
polars 2.1 and pandas 3.1 on files such as those in tests/core/test_tables.py:
- A quote that is not closed: polars refuses the file; pandas joins the lines up to the next quote into one cell
  (C engine) or loses them (Python engine), in silence.
- Rows too short or too long: both fill the short in silence; the long polars refuses or cuts, pandas refuses or
  drops with a warning.
- Lines that end in CR: polars takes the file for a single line. UTF-16: both have to be told.
- Neither gives the line on which a row begins, so no later error ("no valid SMILES") could name it.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import itertools
import json
import zlib
from array import array
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from core.errors import FourfoldError, did_you_mean

LONGEST_CELL = 1_000_000
LONGEST_LINE = 8_000_000
LONGEST_JOINED = 2_000_000  # characters of a row over several lines; a quote not closed by then is looked into
SEPARATORS = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".psv": "|"}
STRAYS = 100  # stray quotes after which quotes join no lines; bounds the time of looking for those that close them


class Dropped(NamedTuple):
    """A row that is left out, by its first line."""

    line: int
    reason: str


@dataclass(frozen=True)
class Table:
    """A table's rows of as many cells as the first one has.

    Attributes:
        path: the file.
        names: of the columns that are kept: what the header says, without spaces around; "1", "2" ... without one.
        columns: their cells, one list a column.
        lines: the line on which each row begins, from 1.
        dropped: rows that are left out.
        header: whether the first row is one; it is in `names`, not in `columns`.
        blank: how many lines are empty, or hold white space only.
        stray: lines with a stray quote, which are read without quoting.
        joined: the first lines of rows over several lines, for a cell in quotes holds line ends.
        physical: how many lines the file has.
    """

    path: Path
    names: tuple[str, ...]
    columns: tuple[list[str], ...]
    lines: Sequence[int]
    dropped: tuple[Dropped, ...]
    header: bool
    blank: int
    stray: tuple[int, ...]
    joined: tuple[int, ...]
    physical: int

    def __len__(self) -> int:
        return len(self.lines)

    @property
    def rows(self) -> list[list[str]]:
        """The cells, one list a row, made anew."""
        return [list(row) for row in zip(*self.columns, strict=True)]

    def column(self, name: str) -> list[str]:
        """The cells of a column, named in any case.

        Raises:
            FourfoldError: there is no such column, or more than one.
        """
        found = [cells for own, cells in zip(self.names, self.columns, strict=True) if _plain(own) == _plain(name)]
        if not found:
            raise FourfoldError(f"{self.path} has no column {name!r}; {did_you_mean(name, self.names)}")
        if len(found) > 1:
            raise FourfoldError(f"{self.path} has {len(found)} columns {name!r}: rename all but one")
        return found[0]

    def report(self) -> list[str]:
        """What the user should know: one line for each kind of thing that was not read as it stands."""
        said = []
        if self.dropped:
            reasons = (f"line {line:,}: {reason}" for line, reason in self.dropped)
            said.append(f"{_count(len(self.dropped), 'row')} dropped ({_some(reasons, '; ')})")
        if self.stray:
            said.append(f"{_count(len(self.stray), 'line')} read without quoting, for a stray quote "
                        f"({_lines_named(self.stray)})")
        if self.joined:
            said.append(f"{_count(len(self.joined), 'row')} with a cell in quotes over several lines "
                        f"({_lines_named(self.joined)})")
        return [f"{self.path.name}: {line}" for line in said]


def read_table(path: Path, *, header: bool | None = None, columns: Collection[str] = ()) -> Table:
    """A table of UTF-8, or of UTF-16 with its mark; the separator (comma, tab, semicolon, pipe) is found.

    Quoting is that of RFC 4180. A stray quote swallows nothing: a cell in quotes that is never closed, is followed
    by text, or takes in lines that are rows themselves, is none, and its line is read without quoting.
    Every line becomes part of a row that is read, is empty, or is among `dropped`.

    Args:
        header: whether the first row is one. None: it is if it holds one of `columns`; where no columns are given,
            if its cells are different words, no number among them.
        columns: names, in any case, of those to keep; the others take no memory. With `header=True` all must be
            there; else those are kept that are there, or all columns where none is.

    Raises:
        FourfoldError: the file cannot be read, is no text, holds no row, lacks a column, or has a cell of more than
            a million characters.
    """
    tape = _Tape(_lines(path, LONGEST_LINE))
    with _long_cells():
        separator = _separator(path, tape)
        records = _records(tape, separator)
        first = next((record for record in records if record.cells), None)
        if first is None:
            raise FourfoldError(f"{path} is empty: it holds no table")
        names, headed = _names(path, first.cells, header, columns)
        wanted = {_plain(name) for name in columns}
        kept = [i for i, name in enumerate(names) if _plain(name) in wanted] or list(range(len(names)))
        kept_cells: list[list[str]] = [[] for _ in kept]
        lines, dropped, stray, joined = array("q"), [], [], []
        counted = blank = first.line - 1
        for record in itertools.chain([first], records):
            counted += record.lines
            if record.stray:
                stray.append(record.line)
            elif record.lines > 1:
                joined.append(record.line)
            if max(map(len, record.cells), default=0) > LONGEST_CELL:
                raise FourfoldError(f"{path}, line {record.line:,}: has a cell of more than {LONGEST_CELL:,} "
                                    "characters; is a quote not closed?")
            if not record.cells:
                blank += 1
            elif len(record.cells) != len(names):
                dropped.append(Dropped(record.line, f"{_count(len(record.cells), 'cell')} instead of {len(names):,}"))
            elif record is not first or not headed:
                lines.append(record.line)
                for cells, i in zip(kept_cells, kept, strict=True):
                    cells.append(record.cells[i])
    assert counted == tape.number, f"{path}: {counted} of {tape.number} lines are accounted for"
    if not lines:
        why = f" (line {dropped[0].line:,}: {dropped[0].reason})" if dropped else ""
        raise FourfoldError(f"{path} holds no row{' under its header' if headed else ''}{why}")
    return Table(path, tuple(names[i] for i in kept), tuple(kept_cells), lines, tuple(dropped), headed, blank,
                 tuple(stray), tuple(joined), counted)


def read_json_lines(path: Path, bare: str | None = None) -> list[tuple[int, dict[str, object]]]:
    """The object on each line that is not blank, with the line's number; only "\\n" ends a line.

    Args:
        bare: of which name a line that is only a string is the value; None refuses such lines.

    Raises:
        FourfoldError: the file cannot be read, is no text, or lines are no JSON objects.
    """
    found: list[tuple[int, dict[str, object]]] = []
    wrong: list[str] = []
    for number, line in enumerate(_lines(path, newline="\n"), start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            if "\\u" in line:
                json.dumps(entry, ensure_ascii=False).encode()  # half a pair ("\ud83d" alone) is no text
        except UnicodeEncodeError:
            wrong.append(f"line {number}: holds half a character (\\ud800 to \\udfff alone)")
        except (ValueError, RecursionError):
            wrong.append(f"line {number}: is no JSON")
        else:
            if isinstance(entry, str) and bare is not None:
                entry = {bare: entry}
            if isinstance(entry, dict):
                found.append((number, entry))
            else:
                wrong.append(f'line {number}: must be an object, {{"name": ...}}')
    if wrong:
        more = f" (and {len(wrong) - 1:,} more lines are wrong)" if len(wrong) > 1 else ""
        raise FourfoldError(f"{path}, {wrong[0]}{more}")
    return found


def read_lines(path: Path) -> list[tuple[int, str]]:
    """All lines of a text file, empty ones too, with their numbers; only "\\n", "\\r\\n" and "\\r" end one.

    Raises:
        FourfoldError: the file cannot be read, or is no text.
    """
    return list(each_line(path))


def each_line(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of `read_lines` one after the other, of files that are larger than memory."""
    for number, line in enumerate(_lines(path), start=1):
        yield number, line.rstrip("\r\n")


# ------------------------------------------------------------------------------------------------- lines of a file


def _lines(path: Path, longest: int = -1, newline: str = "") -> Iterator[str]:
    """A text file's lines with their ends.

    Args:
        longest: characters; a longer line is refused before it fills the memory.
        newline: "" for lines that end in LF, CR LF or CR, "\\n" for LF only.
    """
    number = 1
    try:
        with gzip.open(path) if path.suffix.lower() == ".gz" else open(path, "rb") as binary:
            marked = binary.peek(2)[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
            # Bytes that are not UTF-8 are let through, so that the check below can name their line.
            stream = io.TextIOWrapper(binary, "utf-16" if marked else "utf-8-sig", "surrogateescape", newline)
            while line := stream.readline(longest):
                if len(line) == longest:
                    raise FourfoldError(f"{path}, line {number:,}: is longer than {longest:,} characters")
                if "\0" in line:
                    raise FourfoldError(f"{path}, line {number:,}: is not text but binary: text is needed, as UTF-8")
                if not line.isascii():
                    line.encode()
                yield line
                number += 1
    except FileNotFoundError:
        raise FourfoldError(f"{path}: no such file") from None
    except UnicodeError:
        raise FourfoldError(f"{path}, line {number:,}: is not UTF-8 text: save the file as UTF-8") from None
    except (OSError, EOFError, zlib.error) as error:
        raise FourfoldError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None


class _Tape:
    """Lines, of which some may be given back; `number` is that of the last one taken."""

    def __init__(self, lines: Iterator[str]) -> None:
        self.number = 0
        self._lines = lines
        self._returned: deque[str] = deque()

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._returned.popleft() if self._returned else next(self._lines)
        self.number += 1
        return line

    def give_back(self, lines: Sequence[str]) -> None:
        self._returned.extendleft(reversed(lines))
        self.number -= len(lines)


# ---------------------------------------------------------------------------------------------------- rows of lines


class _Record(NamedTuple):
    """A row as it stands: its first line, how many lines it takes, its cells (none: an empty line)."""

    line: int
    lines: int
    cells: list[str]
    stray: bool = False


def _records(tape: _Tape, separator: str) -> Iterator[_Record]:
    width, strays = 0, 0
    for line in tape:
        number, taken, stray = tape.number, [line], False
        if '"' in line:
            cells = _with_quotes(tape, taken, separator, width, LONGEST_JOINED if strays < STRAYS else 0)
            if stray := not cells:
                tape.give_back(taken[1:])
                strays += len(taken) > 1
                del taken[1:]
                cells = _split(line, separator)
        else:
            cells = [] if line.isspace() and separator not in line else _split(line, separator)
        width = width or len(cells)
        yield _Record(number, len(taken), cells, stray)


def _split(line: str, separator: str) -> list[str]:
    return line.rstrip("\r\n").split(separator)


def _following(tape: _Tape, taken: list[str], limit: int) -> Iterator[str]:
    """The line in `taken`, and then those that follow, which it takes too, up to `limit` characters in all."""
    yield taken[0]
    size = len(taken[0])
    while size < limit and (line := next(tape, None)) is not None:
        taken.append(line)
        size += len(line)
        yield line


def _with_quotes(tape: _Tape, taken: list[str], separator: str, width: int, limit: int) -> list[str]:
    """The row that begins with the line in `taken`; lines are added there as cells need them. [] if a quote is stray.

    Args:
        width: cells of the table's first row, 0 for that row itself.
        limit: characters of the lines in all.
    """
    try:
        cells = next(csv.reader(_following(tape, taken, limit), delimiter=separator, strict=True))
    except csv.Error:  # a quote is not closed, or text follows it
        if len(taken) > 1 and sum(map(len, taken)) >= limit:
            widths = [len(_split(line, separator)) for line in taken]
            if width < 2 or 2 * widths.count(width) < len(widths):
                return ["".join(taken)]  # no rows that a quote has swallowed: a cell that is too long
        return []
    return [] if _swallows(taken, cells, separator, width) else cells


def _swallows(lines: Sequence[str], cells: Sequence[str], separator: str, width: int) -> bool:
    """Whether two stray quotes, of different cells, look like one cell in quotes: `lines` as `cells`."""
    tabs = separator == "\t"  # unlike commas they hardly ever are in a cell
    fits = width in (0, len(cells))
    if len(lines) == 1 and (fits or not tabs):
        return False
    widths = [len(_split(line, separator)) for line in lines if not line.isspace()]
    if not fits and widths[0] == width:
        return True  # without the quotes the line fits, with them it does not
    # Are the lines rows themselves (but for a few)? Two may look so by chance: "A dog" and "and a cat, both black".
    return len(cells) > 1 and len(widths) >= (2 if tabs else 3) and widths.count(len(cells)) >= 0.9 * len(widths)


@contextmanager
def _long_cells() -> Iterator[None]:
    """The csv module's own limit (131,072 characters, the same for all that use it) is set aside, and comes back."""
    before = csv.field_size_limit(LONGEST_LINE + LONGEST_JOINED)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _separator(path: Path, tape: _Tape) -> str:
    """What separates cells: what gives the most rows the width of the first, which must be at least 2.

    Of equals, tab comes first, as it is not in cells by chance; then what the file's suffix promises.
    """
    lines: list[str] = []
    for line in tape:
        lines.append(line)
        if len(lines) == 100 or sum(map(len, lines)) > LONGEST_CELL:
            break
    tape.give_back(lines)
    promised = SEPARATORS.get(Path(path.name.lower().removesuffix(".gz")).suffix, ",")

    def share(separator: str) -> float:
        widths = [len(record.cells) for record in _records(_Tape(iter(lines)), separator) if record.cells]
        return widths.count(widths[0]) / len(widths) if widths and widths[0] > 1 else 0

    shares = {separator: share(separator) for separator in ("\t", promised, ",", ";", "|")}
    best = max(shares, key=shares.__getitem__)
    return best if shares[best] else promised


# ---------------------------------------------------------------------------------------------------- names, words


def _names(
    path: Path, cells: Sequence[str], header: bool | None, columns: Collection[str]
) -> tuple[list[str], bool]:
    """The names of all columns, and whether they are a header, which the first row's `cells` are or are not."""
    names = [cell.strip() for cell in cells]
    known = {_plain(name) for name in names}
    if header is None:
        header = any(_plain(name) in known for name in columns) if columns else _are_names(names)
    elif header:
        for name in columns:
            if _plain(name) not in known:
                raise FourfoldError(f"{path} has no column {name!r}; {did_you_mean(name, names)}")
    return names if header else [str(number) for number in range(1, len(names) + 1)], header


def _are_names(cells: Sequence[str]) -> bool:
    return len({_plain(cell) for cell in cells}) == len(cells) and any(cells) and not any(map(_is_number, cells))


def _is_number(cell: str) -> bool:
    try:
        float(cell.replace(",", "."))
    except ValueError:
        return False
    return True


def _plain(name: str) -> str:
    return name.strip().casefold()


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _some(texts: Iterable[str], glue: str = ", ") -> str:
    """The first three, and dots for the others."""
    first = list(itertools.islice(texts, 4))
    return glue.join(first[:3]) + (" ..." if len(first) > 3 else "")


def _lines_named(numbers: Sequence[int]) -> str:
    return f"line{'' if len(numbers) == 1 else 's'} " + _some(f"{number:,}" for number in numbers)
