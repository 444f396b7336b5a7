"""Arrays that are made once: a cache named by all that they depend on.

A folder of the cache holds an .npy file an array and names.json, with the size of each file and a checksum of each of
its blocks. A process checks them when it first opens the arrays: all blocks of small files, a sample of large ones'.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import cache
from pathlib import Path

import numpy as np

from core.data.sources import cache_folder
from core.data.unfinished import Taken, Unfinished
from core.errors import FourfoldError
from core.files import (
    DAY,
    SEAL,
    Busy,
    is_vacant,
    new_folder,
    one_line,
    one_writer,
    read_json,
    remove_leftovers,
    write_json,
)
from core.waiting import waiting

BLOCK = 2**20
CHECKED = 256
"""Blocks of a file that are checked at most, with the first, evenly spread, others in each process: 0.3 s."""
FORGOTTEN = 14 * DAY
"""Seconds after which what was never finished is removed."""
ELSEWHERE = "point $FOURFOLD_CACHE at a writable folder"
logger = logging.getLogger(__name__)


def cached(
    what: str, version: int, parts: Sequence[object], make: Callable[[], Mapping[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """The arrays that `make` returns, memory-mapped from the cache; `make` runs only the first time.

    Args:
        what, version: what is made, by which version of the code: a change of what it makes needs another number.
        parts: all that the arrays depend on; see `content_hash`.
        make: name -> array (no object arrays).

    Raises:
        FourfoldError: the cache cannot be written.
    """
    home = _home(what, version, parts)
    return _found(what, home) or _saved(home, make())


def grown(
    what: str, version: int, parts: Sequence[object], make: Callable[[Unfinished], Mapping[str, np.ndarray | Taken]]
) -> dict[str, np.ndarray]:
    """`cached` of arrays that take long or are large: what `make` lets an `Unfinished` make is not lost if it ends.

    One process makes them, others that want the same wait.
    """
    home = _home(what, version, parts)
    if found := _found(what, home):
        return found
    folder = cache_folder() / "unfinished" / home.name
    _remove_forgotten(folder.parent)
    with ExitStack() as held:
        with waiting(f"waiting for another process that prepares {what}"):
            while True:
                try:
                    held.enter_context(one_writer(folder))
                    break
                except Busy:
                    time.sleep(0.2)
                except FourfoldError as error:
                    raise FourfoldError(f"{error}; {ELSEWHERE}") from error
        try:
            found = _found(what, home) or _saved(home, make(Unfinished(folder)))
        finally:
            if found or is_vacant(folder):
                shutil.rmtree(folder, ignore_errors=True)
    return found


def _home(what: str, version: int, parts: Sequence[object]) -> Path:
    return cache_folder() / "arrays" / content_hash(what, version, *parts)


def _found(what: str, home: Path) -> dict[str, np.ndarray]:
    """The arrays in `home`; none where it is not there or damaged."""
    if home.exists():
        try:
            return _mapped(home)
        except (FourfoldError, OSError, ValueError, EOFError, LookupError, TypeError, AttributeError,
                RecursionError) as error:
            logger.warning("the cache of %s is damaged (%s): it is made again", what, one_line(error))
    return {}


def _saved(home: Path, arrays: Mapping[str, np.ndarray | Taken]) -> dict[str, np.ndarray]:
    """The arrays, written to `home` and mapped.

    Raises:
        FourfoldError: the cache cannot be written.
    """
    try:
        remove_leftovers(home.parent, DAY)
        with new_folder(home, lasting=False) as ready:
            for name, array in arrays.items():
                _save(ready / f"{name}.npy", array)
            write_json(ready / "names.json", {"arrays": {name: _blocks(ready / f"{name}.npy") for name in arrays}})
    except FourfoldError as error:
        if not home.is_dir():  # else another process was faster, and its arrays are as good
            raise FourfoldError(f"{error}; {ELSEWHERE}") from error
    return _mapped(home)


def _save(path: Path, array: np.ndarray | Taken) -> None:
    """Write an .npy file; of what is mapped only a part is in memory at a time."""
    if isinstance(array, np.memmap):
        array = Taken(array)
    if isinstance(array, np.ndarray):
        np.save(path, array, allow_pickle=False)
        return
    shape, kind = (len(array), *array.array.shape[1:]), np.lib.format.dtype_to_descr(array.array.dtype)
    with open(path, "wb") as stream, waiting("writing prepared data", shape[0]) as wait:
        np.lib.format.write_array_header_1_0(stream, {"descr": kind, "fortran_order": False, "shape": shape})
        for block in array.blocks():
            stream.write(np.ascontiguousarray(block).data)
            wait.step(wait.done + len(block))


def _remove_forgotten(folder: Path) -> None:
    """Remove what nobody has gone on with for weeks."""
    for unfinished in folder.iterdir() if folder.is_dir() else ():
        with suppress(FileNotFoundError):  # another process may finish and remove it at the same moment
            changed = max(path.stat().st_mtime for path in [unfinished, *unfinished.iterdir()])
            if time.time() - changed > FORGOTTEN:
                shutil.rmtree(unfinished, ignore_errors=True)


def _mapped(home: Path) -> dict[str, np.ndarray]:
    """The arrays in `home`, mapped; small ones are read (empty ones cannot be mapped)."""
    arrays = {}
    for name, blocks in _names(home).items():
        path = home / f"{name}.npy"
        facts = path.stat()
        if blocks is not None:
            _check(path, tuple(blocks), facts.st_size, facts.st_mtime_ns)
        arrays[name] = np.load(path, mmap_mode="r" if facts.st_size > 4096 else None, allow_pickle=False)
    return arrays


def _names(home: Path) -> Mapping[str, Sequence[int] | None]:
    """The arrays in `home`, each with its size and its blocks' checksums; None for those of version 0.1.0."""
    path = home / "names.json"
    names = json.loads(path.read_text())
    if isinstance(names, dict) and SEAL not in names:
        raise ValueError("names.json has lost its checksum")
    found: Mapping[str, Sequence[int] | None] = (
        dict.fromkeys(names) if isinstance(names, list) else read_json(path)["arrays"])
    return found


def _blocks(path: Path) -> list[int]:
    """A file's size, and the checksum of each of its blocks."""
    found = [path.stat().st_size]
    with open(path, "rb") as stream:
        while block := stream.read(BLOCK):
            found.append(zlib.crc32(block))
    return found


@cache
def _check(path: Path, blocks: tuple[int, ...], size: int, changed: int) -> None:
    """Check a file against what `_blocks` found, once in a process as long as it is not `changed`.

    Raises:
        ValueError: it is damaged.
    """
    if size != blocks[0]:
        raise ValueError(f"{path.name} is cut short")
    every = -(-(len(blocks) - 1) // CHECKED)
    with open(path, "rb") as stream:
        for index in sorted({0, *range(os.getpid() % max(1, every), len(blocks) - 1, max(1, every))}):
            stream.seek(index * BLOCK)
            if zlib.crc32(stream.read(BLOCK)) != blocks[1 + index]:
                raise ValueError(f"{path.name} does not match its checksums")


def content_hash(*parts: object) -> str:
    """A name (32 hexadecimal digits) for what something is made of: numbers, text, frozen dataclasses, arrays, files.

    Arrays count by their numbers. A `Path` counts by name, size and time of its file, or of all files in its folder:
    to read a large tree would take as long as to use it. All else counts by its repr.
    """
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        if isinstance(part, Path):
            files = sorted(p for p in part.rglob("*") if p.is_file()) if part.is_dir() else [part]
            facts = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
            digest.update(repr(facts).encode())
        elif isinstance(part, np.ndarray):
            digest.update(f"{part.dtype}{part.shape}".encode())
            digest.update(np.ascontiguousarray(part).data)
        else:
            digest.update(repr(part).encode())
        digest.update(b"\1")
    return digest.hexdigest()
