"""Files that are there in full or not at all, and JSON read with one line for what is wrong with it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import FourfoldError
from core.serialization import Json


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn a full disk or a read-only folder into one line that names `path`."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise FourfoldError(f"cannot write {path}: {reason}; free space or choose another folder") from error


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file that is there in full or not at all, whatever happens.

    Raises:
        FourfoldError: the disk is full or the folder cannot be written.
    """
    temporary = path.with_name(f".tmp-{path.name}")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write_through(temporary, content)
            os.replace(temporary, path)
            flush_folder(path.parent)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise


def write_through(path: Path, content: bytes) -> None:
    with open(path, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def flush_folder(path: Path) -> None:
    """Make a rename in the folder last (POSIX; Windows cannot open folders and needs no such thing)."""
    if os.name == "posix":
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def read_json(path: Path) -> Json:
    """A JSON object from a file.

    Raises:
        FourfoldError: the file is missing, not JSON, or no object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FourfoldError(f"{path}: no such file") from None
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise FourfoldError(f"{path} is not valid JSON: {one_line(error)}") from error
    if not isinstance(value, dict):
        raise FourfoldError(f"{path} holds {type(value).__name__}: must be a JSON object")
    return value


def one_line(error: BaseException) -> str:
    """An exception's message on one line of bounded length."""
    return " ".join(str(error).split())[:200] or type(error).__name__
