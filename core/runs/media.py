"""What a person can look at or listen to: kept beside a run, shown in reports."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from core.files import write_atomically


@dataclass(frozen=True, kw_only=True)
class Media:
    """Something a person can look at or listen to in a report."""

    kind: Literal["png", "gif", "wav", "text"]
    content: bytes | str
    caption: str = ""


def save_media(media: Sequence[Media], folder: Path) -> None:
    """Media as files beside an index.json, for `load_media`."""
    index = []
    for number, entry in enumerate(media):
        name = f"{number}.{'txt' if entry.kind == 'text' else entry.kind}"
        content = entry.content.encode() if isinstance(entry.content, str) else entry.content
        write_atomically(folder / name, content)
        index.append({"kind": entry.kind, "file": name, "caption": entry.caption})
    write_atomically(folder / "index.json", json.dumps(index, indent=2).encode())


def load_media(folder: Path) -> list[Media]:
    """What `save_media` wrote; nothing where there is nothing."""
    if not (folder / "index.json").is_file():
        return []
    entries = json.loads((folder / "index.json").read_text())
    contents = [(folder / entry["file"]).read_bytes() for entry in entries]
    return [
        Media(kind=e["kind"], content=c.decode() if e["kind"] == "text" else c, caption=e["caption"])
        for e, c in zip(entries, contents, strict=True)
    ]
