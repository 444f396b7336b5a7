"""Files and folders that are there in full or not at all, JSON that knows when it was damaged, one writer at a time."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, count
from pathlib import Path

from core.errors import FourfoldError
from core.serialization import Json

TEMPORARY = ".tmp-"
"""Names of what is being written begin so."""
LOCK = ".lock"
DAY = 24 * 3600.0
SEAL = "crc32"
"""The key of a JSON object's own checksum."""


class Busy(FourfoldError):
    """Another process writes where this one wants to."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn a full disk or a read-only folder into one line that names `path`."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise FourfoldError(f"cannot write {path}: {reason}; free space or choose another folder") from error


def _temporary(path: Path) -> Path:
    """What `path` is called while this process writes it."""
    return path.with_name(f"{TEMPORARY}{os.getpid()}-{path.name}")


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file that is there in full or not at all, whatever happens.

    In a folder of `new_folder`, which itself appears in full or not at all, the file is only written.

    Raises:
        FourfoldError: the disk is full or the folder cannot be written.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        own = f"{TEMPORARY}{os.getpid()}-"
        if any(part.startswith(own) for part in path.parts[:-1]):
            path.write_bytes(content)
            return
        temporary = _temporary(path)
        try:
            temporary.write_bytes(content)
            _flush(temporary)
            os.replace(temporary, path)
            _flush(path.parent)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def write_if_changed(path: Path, content: bytes) -> None:
    """Write a file unless it holds just this.

    Raises:
        FourfoldError: the disk is full or the folder cannot be written.
    """
    with writing(path):
        same = path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content
    if not same:
        write_atomically(path, content)


def _flush(path: Path) -> None:
    """Wait until the disk has a file's bytes or a folder's names (Windows cannot open folders and need not)."""
    if os.name == "posix" or path.is_file():
        handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextmanager
def new_folder(path: Path, *, lasting: bool = True) -> Iterator[Path]:
    """A folder to fill, which becomes `path` in full or not at all; what was there before is replaced.

    `lasting`: wait until the disk has it, so that it is whole even when the power fails.

    Raises:
        FourfoldError: the disk is full or the folder cannot be written.
    """
    ready, old = _temporary(path), _temporary(path.with_name(f"old-{path.name}"))
    with writing(path):
        try:
            remove(ready)
            ready.mkdir(parents=True)
            yield ready
            if lasting:
                for written in [*ready.rglob("*"), ready]:
                    _flush(written)
            if path.exists():
                os.rename(path, old)
            os.rename(ready, path)
            _flush(path.parent)
        finally:
            for left in (ready, old):
                shutil.rmtree(left, ignore_errors=True)


def remove(path: Path) -> None:
    """Remove a file, a link or a folder with all that is in it, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def remove_leftovers(folder: Path, age: float = 0.0) -> None:
    """Remove what processes that were killed left half-written in `folder`.

    `age`: seconds for which it must not have changed, where others may be writing.
    """
    with writing(folder):
        for path in folder.glob(f"{TEMPORARY}*"):
            if time.time() - path.lstat().st_mtime >= age:
                remove(path)


def is_vacant(folder: Path, *besides: str) -> bool:
    """Whether a folder holds nothing, or only what a process left that was killed in its first write, and `besides`."""
    return all(path.name in (LOCK, *besides) or path.name.startswith(TEMPORARY) for path in folder.iterdir())


def free_name(path: Path) -> Path:
    """`path`, or `path-2`, `path-3` ...: the first that is not there, or an empty folder."""
    names = chain([path], (path.with_name(f"{path.stem}-{number}{path.suffix}") for number in count(2)))
    return next(name for name in names if not name.exists() or (name.is_dir() and is_vacant(name)))


def inside(path: Path, folder: Path) -> bool:
    """Whether `path`, all links followed, is in `folder`."""
    return path.resolve().is_relative_to(folder.resolve())


@contextmanager
def one_writer(folder: Path) -> Iterator[None]:
    """Be the only process that writes into `folder`; the lock goes when the process does, however it ends.

    Where a file system knows no locks, nothing is locked.

    Raises:
        Busy: another process is writing there.
        FourfoldError: the folder cannot be written.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        stream = open(folder / LOCK, "ab")  # noqa: SIM115
    with stream:
        try:
            if sys.platform == "win32":
                import msvcrt

                msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                import fcntl

                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            raise Busy(f"another process is writing to {folder}: wait until it ends, or choose another "
                       "folder with --run") from None
        except OSError:
            pass
        yield


def write_json(path: Path, value: Json) -> None:
    """Write a JSON object with a checksum of its own, for `read_json`.

    Raises:
        FourfoldError: the disk is full or the folder cannot be written.
    """
    write_atomically(path, to_json(value))


def to_json(value: Json) -> bytes:
    """A JSON object with its checksum, as the lines of a file."""
    return (json.dumps(sealed(value), indent=2) + "\n").encode()


def sealed(value: Json) -> Json:
    """A JSON object with its checksum."""
    return {**value, SEAL: _checksum(value)}


def unsealed(value: Json) -> Json:
    """What `sealed` was given; objects without a checksum, of earlier versions or of people, pass as they are.

    Raises:
        ValueError: it is not what the checksum was made of.
    """
    rest = {key: item for key, item in value.items() if key != SEAL}
    if SEAL in value and value[SEAL] != _checksum(rest):
        raise ValueError(f'its contents do not match their checksum (if you edited it, remove "{SEAL}" from it)')
    return rest


def _checksum(value: Json) -> int:
    return zlib.crc32(json.dumps(value, sort_keys=True).encode())


def read_json(path: Path) -> Json:
    """A JSON object from a file, without its checksum.

    Raises:
        FourfoldError: the file is missing, damaged, not JSON, or no object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FourfoldError(f"{path}: no such file") from None
    except OSError as error:
        raise FourfoldError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise FourfoldError(f"{path} is not valid JSON: {one_line(error)}") from error
    if not isinstance(value, dict):
        raise FourfoldError(f"{path} holds {type(value).__name__}: must be a JSON object")
    try:
        return unsealed(value)
    except ValueError as error:
        raise FourfoldError(f"{path} is damaged: {error}") from None


def one_line(error: BaseException) -> str:
    """An exception's message on one line of bounded length."""
    return " ".join(str(error).split())[:200] or type(error).__name__
