"""One reader of folders: which files of the user's are read, which are left out and why, and what class each is of."""

from __future__ import annotations

import json
import math
import os
import stat
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np

from core.errors import FourfoldError
from core.waiting import followed

Item = TypeVar("Item")

LITTER = ("__MACOSX", "Thumbs.db")  # what archives and file managers leave; with names that begin with a dot: hidden
FEW = 20  # of fewer files none may be broken
NAMED = 5  # broken files that an error names


@dataclass(frozen=True)
class Found:
    """The files found under a root, and what was left out.

    Attributes:
        root: a folder, or a single file.
        files: sorted by their path under the root.
        hidden: how many files are hidden, or lie in a hidden folder.
        others: how many files there are of each other suffix ("" for none, "special" for pipes and devices).
        broken: how many links lead nowhere.
        repeated: how many paths lead to a folder that is read already by another, or that holds the root.
        examples: a path under the root for each kind of thing that was left out, by the names above.
    """

    root: Path
    files: tuple[Path, ...]
    hidden: int = 0
    others: Mapping[str, int] = field(default_factory=dict)
    broken: int = 0
    repeated: int = 0
    examples: Mapping[str, str] = field(default_factory=dict)

    def class_of(self, path: Path) -> str | None:
        """The folder just under the root that one of the files lies in; None for a file beside those folders."""
        parts = path.relative_to(self.root).parts
        return parts[0] if len(parts) > 1 else None

    @cached_property
    def classified(self) -> tuple[tuple[Path, str], ...]:
        """The files that have a class, each with it."""
        return tuple((path, name) for path in self.files if (name := self.class_of(path)) is not None)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, sorted."""
        return tuple(sorted({name for _, name in self.classified}))

    @property
    def beside(self) -> tuple[Path, ...]:
        """Files directly in the root although there are class folders; they have no class."""
        return tuple(path for path in self.files if self.class_of(path) is None) if self.classified else ()

    def report(self, what: str = "files", *, by_class: bool = False) -> list[str]:
        """What the user should know: one line for each kind of thing that is left out, with an example.

        Args:
            what: the files are, "images".
            by_class: whether the files beside class folders are left out.
        """
        said = []
        if self.hidden:
            said.append(f"{_count(self.hidden, 'hidden file')} skipped{self._example('hidden', self.hidden)}")
        if self.others:
            count = sum(self.others.values())
            said.append(f"{_count(count, 'file')} of other kinds left out ({_kinds(self.others)})")
        if self.broken:
            said.append(f"{_count(self.broken, 'broken link')} skipped{self._example('broken', self.broken)}")
        if self.repeated:
            said.append(f"{_count(self.repeated, 'folder')} skipped, read already by another path or around this one"
                        f"{self._example('repeated', self.repeated)}")
        if by_class and self.beside:
            said.append(f"{len(self.beside):,} {what} beside the class folders left out ({_shown(self.beside[0].name)}"
                        f"{_more(len(self.beside))}): move them into one")
        return [f"{_shown(self.root.name) or self.root}: {line}" for line in said]

    def _example(self, kind: str, count: int) -> str:
        return f" ({_shown(self.examples[kind])}{_more(count)})"


def find_files(
    root: Path, suffixes: Collection[str], *, packed: bool = False, known: Collection[str] = ()
) -> Found:
    """All files under `root` of the wanted suffixes, in any case; `root` may be a file itself.

    Left out are hidden files (any part of the path under the root begins with ".", or is of `LITTER`), other kinds,
    and links that lead nowhere. A folder is walked once, whatever links lead to it, and never one that holds the root.

    Args:
        suffixes: with their dots, ".png".
        packed: whether ".gz" may follow the suffix.
        known: names of files directly in the root that the caller reads by itself: they are not told of as left out.

    Raises:
        FourfoldError: `root` is not there, a folder cannot be read, or there is no file of the wanted kinds.
    """
    wanted = {suffix.lower() for suffix in suffixes}
    kinds = ", ".join(suffixes) + (", each also as .gz" if packed else "")
    if not os.path.exists(root):  # unlike Path.exists, False too where it may not be looked at
        raise FourfoldError(f"{root}: no such file or folder")
    if not root.is_dir():
        if _suffix(root, packed) not in wanted:
            raise FourfoldError(f"{root} is not of a kind that is read here: {kinds}")
        return Found(root, (root,))
    files: list[Path] = []
    left: Counter[str] = Counter()
    others: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for path, reason in _walked(root):
        name = path.relative_to(root).as_posix()
        if not reason and _suffix(path, packed) in wanted:
            files.append(path)
        elif reason in ("", "special"):
            others[reason or _suffix(path, packed)] += name not in known
        else:
            left[reason] += 1
            examples[reason] = min(name, examples.get(reason, name))
    found = Found(
        root, tuple(sorted(files, key=lambda path: path.relative_to(root).parts)),
        left["hidden"], dict(+others), left["broken"], left["repeated"], examples,
    )
    if not files:
        there = [_count(left["hidden"], "hidden file")] if left["hidden"] else []
        there += [f"{_count(others.total(), 'file')} of other kinds ({_kinds(found.others)})"] if found.others else []
        there += [_count(left["broken"], "broken link")] if left["broken"] else []
        raise FourfoldError(f"{root} holds no file of the kinds {kinds}"
                            + (f"; there are {' and '.join(there)}" if there else ""))
    return found


def read_all(
    files: Sequence[Path],
    read: Callable[[Path], Item],
    *,
    max_broken: float = 0.05,
    what: str = "files",
) -> tuple[list[tuple[int, Item]], list[str]]:
    """What `read` makes of each file, with the file's index, and lines that tell of those that were skipped.

    All broken files, those for which `read` raises a `FourfoldError`, are found in one run. They are skipped where
    they are at most a share of `max_broken`, or a single one, of 20 files or more; of fewer none may be broken, as
    each is dear then, nor where `max_broken` is 0.

    Args:
        what: the files are, "images".

    Raises:
        FourfoldError: too many files are broken; it counts them and names the first.
    """
    items, broken = read_some(followed(files, f"reading {what}"), read)
    return items, skipped(broken, len(files), max_broken, what)


def read_some(files: Iterable[Path], read: Callable[[Path], Item]) -> tuple[list[tuple[int, Item]], list[str]]:
    """What `read` makes of each file that is not broken, with the file's index, and a line for each that is."""
    items: list[tuple[int, Item]] = []
    broken: list[str] = []
    for index, path in enumerate(files):
        try:
            items.append((index, read(path)))
        except FourfoldError as error:
            broken.append(str(error) if path.name in str(error) else f"{path}: {error}")
    return items, broken


def skipped(broken: Sequence[str], count: int, max_broken: float = 0.05, what: str = "files") -> list[str]:
    """Lines that tell of the `broken` ones of `count` files.

    Raises:
        FourfoldError: they are too many, see `read_all`.
    """
    if not broken:
        return []
    allowed = may_fail(count, max_broken)
    told = (f"{len(broken):,} of {count:,} {what} cannot be read: {'; '.join(broken[:NAMED])}"
            f"{f'; and {len(broken) - NAMED:,} more' if len(broken) > NAMED else ''}")
    if len(broken) > allowed:
        raise FourfoldError(f"{told} (at most {allowed:,} may be broken)" if allowed else told)
    return [f"skipped: {told}"]


def may_fail(count: int, share: float = 0.05) -> int:
    """How many of `count` items may be broken: `share` of them, or a single one, but none of fewer than 20."""
    # 1e-9: 0.29 of 100 is 28.999999999999996.
    return max(1, math.floor(share * count + 1e-9)) if share > 0 and count >= FEW else 0


def as_array(lines: Sequence[str]) -> np.ndarray:
    """Lines that tell of what was read, as an array to be cached beside it; `as_lines` gives them back."""
    return np.frombuffer(json.dumps(lines).encode(), np.uint8)


def as_lines(array: np.ndarray) -> list[str]:
    """The lines that `as_array` packed."""
    lines: list[str] = json.loads(array.tobytes())
    return lines


def _walked(root: Path) -> Iterator[tuple[Path, str]]:
    """Each file under a folder, and why it is left out: "hidden", "special", "broken", "repeated"; "" if it is not."""
    seen = {_identity(parent) for parent in root.resolve().parents}
    # Links to folders come last, in order, so that a folder under the root is found by its own path.
    folders, links = [root], deque[Path]()
    while folders or links:
        folder = folders.pop() if folders else links.popleft()
        identity = _identity(folder)
        if identity in seen:
            yield folder, "repeated"
            continue
        seen.add(identity)
        for entry in _listed(folder):
            path = folder / entry.name
            if entry.name.startswith(".") or entry.name in LITTER:
                yield from ((inner, "hidden") for inner in _inside(path))
                continue
            try:
                mode = entry.stat().st_mode
            except PermissionError as error:
                raise FourfoldError(f"cannot read {path}: {error.strerror}") from None
            except OSError:  # leads nowhere, or in a circle
                yield path, "broken"
                continue
            if stat.S_ISDIR(mode):
                (links if entry.is_symlink() else folders).append(path)
            else:
                yield path, "" if stat.S_ISREG(mode) else "special"


def _listed(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise FourfoldError(f"cannot list the folder {folder}: {error.strerror}") from None


def _inside(hidden: Path) -> Iterator[Path]:
    """A hidden file, or the files in a hidden folder, as far as they can be seen; links are not followed."""
    if hidden.is_symlink() or not hidden.is_dir():
        yield hidden
    for home, _, names in os.walk(hidden):
        yield from (Path(home, name) for name in names)


def _identity(folder: Path) -> tuple[int, int]:
    about = folder.stat()
    return about.st_dev, about.st_ino


def _suffix(path: Path, packed: bool) -> str:
    name = path.name.lower()
    return Path(name.removesuffix(".gz") if packed else name).suffix


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _more(count: int) -> str:
    return " ..." if count > 1 else ""


def _kinds(others: Mapping[str, int]) -> str:
    """The most frequent suffixes with their counts: ".txt 3, .pdf 1"."""
    ordered = sorted(others.items(), key=lambda pair: (-pair[1], pair[0]))
    return ", ".join(f"{_shown(suffix) or 'no suffix'} {count:,}" for suffix, count in ordered[:NAMED]) + (
        " ..." if len(ordered) > NAMED else "")


def _shown(name: str) -> str:
    """A name that fits on a line: those with line ends or undecodable bytes are escaped."""
    return name if name.isprintable() else ascii(name)
