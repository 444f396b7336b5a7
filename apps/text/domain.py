"""The text domain as a value, and how its samples are written and shown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from core.runs.model import Model

from apps.text.codec import load_codec
from apps.text.data import TextData, prepare
from apps.text.metrics import evaluate
from apps.text.recipes import RECIPES
from core.files import write_atomically
from core.runs import pretrained
from core.runs.domain import Domain
from core.runs.media import Media

SAMPLES = 256
SHOWN = 6


def load(path: str | Path, device: str = "auto") -> Model:
    """The trained model in a run or model folder."""
    return pretrained.load(path, DOMAIN, device)


def write(items: Sequence[str], folder: Path) -> list[Path]:
    """One .txt file for each text."""
    digits = len(str(max(0, len(items) - 1)))
    paths = [folder / f"{i:0{digits}}.txt" for i in range(len(items))]
    for path, item in zip(paths, items, strict=True):
        write_atomically(path, item.encode(errors="replace"))
    return paths


def preview(items: Sequence[str]) -> list[Media]:
    """The first few texts."""
    shown = items[:SHOWN]
    return [Media(kind="text", content="\n\n– – –\n\n".join(shown), caption=f"{len(shown)} samples")]


DOMAIN = Domain(
    name="text",
    recipes=RECIPES,
    data_type=TextData,
    prepare=prepare,
    load_codec=load_codec,
    evaluate=evaluate,
    write=write,
    preview=preview,
    condition_options={},
    default_samples=SAMPLES,
)
