"""What a person can look at or listen to: kept beside a run, shown in reports."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from core.errors import FourfoldError
from core.files import inside, one_line, read_json, write_atomically, write_json
from core.serialization import from_dict

Kind = Literal["png", "svg", "gif", "wav", "text"]
INDEX = "index.json"


@dataclass(frozen=True, kw_only=True)
class Media:
    """Something a person can look at or listen to in a report."""

    kind: Kind
    content: bytes | str
    caption: str = ""


def save_media(media: Sequence[Media], folder: Path) -> None:
    """Media as files beside an index, for `load_media`; it has the checksums of the files in the folder above, too."""
    entries = []
    for number, entry in enumerate(media):
        name = f"{number}.{'txt' if entry.kind == 'text' else entry.kind}"
        content = entry.content.encode(errors="replace") if isinstance(entry.content, str) else entry.content
        write_atomically(folder / name, content)
        entries.append({"kind": entry.kind, "file": name, "caption": entry.caption, "checksum": zlib.crc32(content)})
    beside = [{"file": path.name, "checksum": zlib.crc32(path.read_bytes())}
              for path in sorted(folder.parent.iterdir()) if path.is_file()]
    write_json(folder / INDEX, {"media": entries, "beside": beside})


def load_media(folder: Path) -> list[Media]:
    """What `save_media` wrote; nothing where there is nothing.

    Raises:
        FourfoldError: a file is damaged, missing or outside the folder.
    """
    if not (folder / INDEX).is_file():
        return []
    media = []
    for entry in _index(folder).media:
        content = _read(folder, entry.file, entry.checksum)
        shown = content.decode(errors="replace") if entry.kind == "text" else content
        media.append(Media(kind=entry.kind, content=shown, caption=entry.caption))
    return media


def are_whole(folder: Path) -> bool:
    """Whether all that `save_media` wrote, and the files in the folder above, are there and undamaged."""
    try:
        load_media(folder)
        for entry in _index(folder).beside:
            _read(folder.parent, entry.file, entry.checksum)
    except FourfoldError:
        return False
    return True


@dataclass(frozen=True, kw_only=True)
class _File:
    file: str
    checksum: int | None = None  # version 0.1.0 wrote none


@dataclass(frozen=True, kw_only=True)
class _Entry(_File):
    kind: Kind
    caption: str


@dataclass(frozen=True, kw_only=True)
class _Index:
    media: tuple[_Entry, ...]
    beside: tuple[_File, ...] = ()


def _index(folder: Path) -> _Index:
    path = folder / INDEX
    try:
        old = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        old = None
    value = {"media": old} if isinstance(old, list) else read_json(path)
    return from_dict(_Index, value, str(path))


def _read(folder: Path, name: str, checksum: int | None) -> bytes:
    path = folder / name
    try:
        if not (inside(path, folder) and path.is_file()):
            raise FourfoldError(f"{folder / INDEX} names {name!r}, which is no file in {folder}")
        content = path.read_bytes()
    except (OSError, ValueError) as error:
        raise FourfoldError(f"cannot read {name!r} in {folder}: {one_line(error)}") from error
    if checksum is not None and zlib.crc32(content) != checksum:
        raise FourfoldError(f"{path} is damaged: its contents do not match their checksum")
    return content
