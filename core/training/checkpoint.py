"""Checkpoints that survive any moment's death, and the weights a trained model is loaded from.

A checkpoint is a folder `state/step-00000500/` of `tensors.safetensors` and `state.json`, written under a temporary
name, flushed to disk and renamed, so that a folder with a final name is complete. `state.json` holds the tensors'
checksum, so that damage done later is noticed and the checkpoint before is used.
"""

from __future__ import annotations

import json
import os
import shutil
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from core.errors import FourfoldError
from core.files import flush_folder, write_atomically, write_through, writing
from core.serialization import Json

TENSORS, FACTS, WEIGHTS = "tensors.safetensors", "state.json", "model.safetensors"
KEPT = 2


@dataclass(frozen=True)
class Checkpoint:
    """What a run needs to continue: tensors by name, and plain JSON facts ("step" among them)."""

    tensors: Mapping[str, Tensor]
    facts: Json


def to_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    """Tensors as safetensors; tied weights are written once for each name."""
    seen: set[int] = set()
    ready = {}
    for name, tensor in tensors.items():
        tensor = tensor.detach().contiguous()
        place = tensor.untyped_storage().data_ptr()
        ready[name] = tensor.clone() if place in seen else tensor
        seen.add(place)
    return safetensors.torch.save(ready)


def save(folder: Path, tensors: Mapping[str, Tensor], facts: Json) -> None:
    """Write the checkpoint of `facts["step"]` into `folder` and keep the two newest.

    Raises:
        FourfoldError: the disk is full or the folder cannot be written.
    """
    final = folder / f"step-{facts['step']:08d}"
    temporary = folder / f".tmp-{final.name}"
    content = to_bytes(tensors)
    with writing(folder):
        try:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            write_through(temporary / TENSORS, content)
            summary = {**facts, "checksum": zlib.crc32(content)}
            write_through(temporary / FACTS, json.dumps(summary, indent=2).encode())
            flush_folder(temporary)
            if final.exists():
                shutil.rmtree(final)
            os.rename(temporary, final)
            flush_folder(folder)
        except OSError:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        for old in found(folder)[KEPT:]:
            shutil.rmtree(old, ignore_errors=True)


def found(folder: Path) -> list[Path]:
    """The checkpoints in `folder`, newest first; they may be damaged."""
    return sorted(folder.glob("step-*"), key=lambda path: path.name, reverse=True)


def load(folder: Path, warn: Callable[[str], None] = lambda line: None) -> Checkpoint | None:
    """The newest readable checkpoint in `folder`, None if there are none; damaged newer ones are named to `warn`.

    Raises:
        FourfoldError: there are checkpoints and none is readable.
    """
    paths = found(folder)
    for path in paths:
        try:
            return _read(path)
        except (ValueError, KeyError, FileNotFoundError, SafetensorError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            warn(f"checkpoint {path} is damaged ({reason}): using the one before")
        except OSError as error:
            raise FourfoldError(f"cannot read checkpoint {path}: {error.strerror}") from error
    if paths:
        raise FourfoldError(f"no checkpoint in {folder} is readable: start again with --fresh or another folder")
    return None


def _read(path: Path) -> Checkpoint:
    facts = json.loads((path / FACTS).read_text())
    content = (path / TENSORS).read_bytes()
    if zlib.crc32(content) != facts["checksum"]:
        raise ValueError("its contents do not match their checksum")
    return Checkpoint(safetensors.torch.load(content), facts)


def discard_damaged(folder: Path, step: int) -> None:
    """Remove what was never finished, and checkpoints newer than the one of `step`, the newest readable."""
    with writing(folder):
        for path in [*folder.glob(".tmp-*"), *(p for p in found(folder) if p.name > f"step-{step:08d}")]:
            shutil.rmtree(path)


def save_weights(folder: Path, state: Mapping[str, Tensor]) -> Path:
    """Write a family's state_dict as `folder/model.safetensors`; returns the file.

    Raises:
        FourfoldError: the disk is full or the folder cannot be written.
    """
    path = folder / WEIGHTS
    write_atomically(path, to_bytes(state))
    return path


def load_weights(folder: Path, family: nn.Module) -> None:
    """Load `folder/model.safetensors` into `family`.

    Raises:
        FourfoldError: the file is missing, damaged, or of another model.
    """
    path = folder / WEIGHTS
    try:
        state = safetensors.torch.load(path.read_bytes())
    except FileNotFoundError as error:
        raise FourfoldError(f"no weights at {path}: train the model first") from error
    except (SafetensorError, ValueError) as error:
        raise FourfoldError(f"weights {path} are damaged ({str(error).splitlines()[0]})") from error
    except OSError as error:
        raise FourfoldError(f"cannot read weights {path}: {error.strerror}") from error
    fill(family, state, str(path))


def fill(family: nn.Module, state: Mapping[str, Tensor], name: str) -> None:
    """Load `state` into `family` strictly; `name`: where it came from, for errors.

    Raises:
        FourfoldError: names or shapes differ.
    """
    own = family.state_dict()
    for key in sorted(set(own) | set(state)):
        if key not in own or key not in state:
            where = "the file" if key not in state else "the model"
            raise FourfoldError(f"{name} is of another model: {key} is not in {where}")
        if own[key].shape != state[key].shape:
            raise FourfoldError(f"{name} is of another model: {key} has shape {list(state[key].shape)}, "
                                f"the model's is {list(own[key].shape)}")
    with torch.no_grad():
        family.load_state_dict(dict(state))
