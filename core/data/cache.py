"""Arrays that are made once: a cache named by all that they depend on."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from core.data.sources import cache_folder
from core.errors import FourfoldError


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
    home = cache_folder() / "arrays" / content_hash(what, version, *parts)
    try:
        return _mapped(home)
    except (OSError, ValueError, EOFError):  # not there, or cut short, say by a full disk
        pass
    arrays = make()
    try:
        _store(home, arrays)
        return _mapped(home)
    except OSError as error:
        raise FourfoldError(f"cannot write the cache {home.parent}: {error.strerror}; "
                            "point $FOURFOLD_CACHE at a writable folder") from error


def _store(home: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write `arrays` as the folder `home`, which appears in full or not at all."""
    shutil.rmtree(home, ignore_errors=True)
    home.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".tmp-", dir=home.parent) as scratch:
        ready = Path(scratch) / home.name
        ready.mkdir()
        for name, array in arrays.items():
            np.save(ready / f"{name}.npy", array, allow_pickle=False)
        (ready / "names.json").write_text(json.dumps(list(arrays)))
        try:
            os.rename(ready, home)
        except OSError:
            if not home.is_dir():  # else another process was faster, and its arrays are as good
                raise


def _mapped(home: Path) -> dict[str, np.ndarray]:
    """The arrays in `home`, mapped; small ones are read (empty ones cannot be mapped)."""
    arrays = {}
    for name in json.loads((home / "names.json").read_text()):
        path = home / f"{name}.npy"
        arrays[name] = np.load(path, mmap_mode="r" if path.stat().st_size > 4096 else None, allow_pickle=False)
    return arrays


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
