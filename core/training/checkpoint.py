"""Checkpoints that survive any moment's death, and the weights a trained model is loaded from.

A checkpoint is a folder `state/step-00000500/` of `tensors.safetensors` and `state.json`, written under a temporary
name, flushed to disk and renamed, so that a folder with a final name is complete. Both have a checksum, so that damage
done later is noticed and the checkpoint before is used.
"""

from __future__ import annotations

import json
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
from core.files import SEAL, new_folder, one_line, read_json, write_if_changed, write_json, writing
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
    content = to_bytes(tensors)
    with new_folder(folder / f"step-{facts['step']:08d}") as ready:
        (ready / TENSORS).write_bytes(content)
        write_json(ready / FACTS, {**facts, "checksum": zlib.crc32(content)})
    with writing(folder):
        for old in found(folder)[KEPT:]:
            shutil.rmtree(old, ignore_errors=True)


def found(folder: Path) -> list[Path]:
    """The checkpoints in `folder`, newest first; they may be damaged."""
    return sorted((path for path in folder.glob("step-*") if path.name[5:].isdecimal()), key=_step, reverse=True)


def _step(path: Path) -> int:
    return int(path.name[5:])


def load(folder: Path, warn: Callable[[str], None] = lambda line: None) -> Checkpoint | None:
    """The newest readable checkpoint in `folder`, None if there are none; damaged newer ones are named to `warn`.

    Raises:
        FourfoldError: there are checkpoints and none is readable.
    """
    paths = found(folder)
    for path in paths:
        try:
            return _read(path)
        except (FourfoldError, ValueError, KeyError, TypeError, FileNotFoundError, SafetensorError) as error:
            warn(f"checkpoint {path} is damaged ({one_line(error)}): using the one before")
        except OSError as error:
            raise FourfoldError(f"cannot read checkpoint {path}: {error.strerror}") from error
    if paths:
        raise FourfoldError(f"no checkpoint in {folder} is readable: start again with --fresh or another folder")
    return None


def _read(path: Path) -> Checkpoint:
    content = (path / TENSORS).read_bytes()
    facts = read_json(path / FACTS)
    if zlib.crc32(content) != facts["checksum"]:
        raise ValueError("its tensors do not match their checksum")
    if facts["step"] != _step(path):
        raise ValueError(f"it says that it is of step {facts['step']}")
    return Checkpoint(safetensors.torch.load(content), facts)


def tidy(folder: Path, step: int) -> None:
    """Keep of the checkpoints the one of `step`, the newest readable, and the one before."""
    with writing(folder):
        paths = found(folder)
        older = [path for path in paths if _step(path) <= step]
        for path in paths:
            if path not in older[:KEPT]:
                shutil.rmtree(path)


def save_weights(folder: Path, state: Mapping[str, Tensor]) -> Path:
    """Write a family's state_dict as `folder/model.safetensors`, if the file does not hold it yet; returns the file.

    Raises:
        FourfoldError: the disk is full or the folder cannot be written.
    """
    path = folder / WEIGHTS
    write_if_changed(path, _with_checksum(to_bytes(state)))
    return path


def _with_checksum(content: bytes) -> bytes:
    """Safetensors with a checksum in their metadata, which other readers of the format leave alone."""
    header, data = _parts(content)
    text = json.dumps({"__metadata__": {SEAL: _checksum(header, data)}, **header}).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([len(text).to_bytes(8, "little"), text, data])


def _parts(content: bytes) -> tuple[Json, memoryview]:
    """The header and the numbers of safetensors."""
    end = 8 + int.from_bytes(content[:8], "little")
    try:
        header = json.loads(content[8:end])
    except RecursionError:
        raise ValueError("its header is nested too deeply") from None
    if not isinstance(header, dict):
        raise ValueError("its header is no object")
    return header, memoryview(content)[end:]


def _checksum(header: Json, data: memoryview) -> str:
    return str(zlib.crc32(data, zlib.crc32(json.dumps(header, sort_keys=True).encode())))


def _checked(content: bytes) -> bytes:
    """Safetensors whose numbers are those of their checksum; those without one, of earlier versions, pass.

    Raises:
        ValueError: they are not.
    """
    header, data = _parts(content)
    metadata = header.pop("__metadata__", {})
    if SEAL in metadata and metadata[SEAL] != _checksum(header, data):
        raise ValueError("its contents do not match their checksum")
    return content


def load_weights(folder: Path, family: nn.Module) -> None:
    """Load `folder/model.safetensors` into `family`.

    Raises:
        FourfoldError: the file is missing, damaged, or of another model.
    """
    path = folder / WEIGHTS
    try:
        state = safetensors.torch.load(_checked(path.read_bytes()))
    except FileNotFoundError as error:
        raise FourfoldError(f"no weights at {path}: train the model first") from error
    except (SafetensorError, ValueError, TypeError) as error:
        raise FourfoldError(f"weights {path} are damaged ({one_line(error)}): the command that trained them mends "
                            "them") from error
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
