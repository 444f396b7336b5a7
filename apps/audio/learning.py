"""Training on sounds and music from Python."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from apps.audio.data import MUSIC, AudioModel
from apps.audio.domain import DOMAIN
from apps.audio.scores import Score, midi_bytes
from apps.audio.sound import EXTENSIONS
from core.data.rows import beside, class_names, class_of, column, items_of, optional_column, peeked, tell_columns
from core.errors import FourfoldError
from core.runs.own import Settings, train_own
from core.training.log import Listener

SOUNDS, LABELS = ("audio", "sound", "file", "path"), ("label", "labels", "class", "instrument", "category")


def train(
    sounds: str | Path | Iterable[Any], *, rate: int | None = None, labels: Iterable[object] | None = None,
    start: str | Path | None = None, family: str | None = None, minutes: float | None = None,
    run: str | Path | None = None, seed: int = 0, device: str = "auto", settings: Settings | None = None,
    progress: Listener | None = None,
) -> AudioModel:
    """A model of your own sounds or music, trained here: `audio.train(sounds, rate=16000, minutes=10).sample(4)`.

    Args:
        sounds: a folder of sounds or of music; or an iterable of arrays `[samples]` or `[samples, channels]` (floats
            from -1 to 1, or int16), of dicts {"array": ..., "sampling_rate": ...}, of paths, or of `Score`s; or a table
            whose rows have such an `audio` and perhaps a `label` (`datasets`, dicts).
        rate: samples a second of the arrays.
        labels: the class of each sound, on which the model is conditioned:
            `model.sample(8, condition={"instrument": "snare"})`.
        start: a run, or the name of a model that ships: its training goes on with these data.
        family: "vae", "gan", "diffusion" or "autoregressive"; None picks what suits the sounds.
        minutes: how long to train, 20 unless `settings` has train.steps.
        run: the run folder, in which sounds and model are kept; None names one. The same call again resumes it.
        settings: a recipe's keys and their values, {"data.mel.frames": 64, "train.batch_size": 32}.

    Raises:
        FourfoldError: sounds that cannot be read, too few of them, a refused setting, a run folder of something else.
    """
    items: Any
    if isinstance(sounds, str | Path):
        if labels is not None:
            raise FourfoldError("labels of a folder are its sub-folders: leave them out")
        items = Path(sounds)
    else:
        first, every = peeked(items_of(sounds))
        table = isinstance(first, dict) and "array" not in first
        rows = _from_table(first, every, sounds) if table else beside(every, labels, "labels")
        items = _files(rows, rate)
    return train_own(DOMAIN, items, start=start, family=family, minutes=minutes, run=run, seed=seed, device=device,
                     settings=settings, progress=progress)


def _from_table(first: dict[str, Any], rows: Iterable[dict[str, Any]], table: object) -> Iterator[tuple[Any, Any]]:
    sound, label = column(first, SOUNDS, "sounds"), optional_column(first, LABELS)
    tell_columns(first, {"sounds": sound, "labels": label})
    names = class_names(table, label) if label else None
    for row in rows:
        yield row[sound], class_of(row, label, names)


def _files(rows: Iterable[tuple[Any, Any]], rate: int | None) -> Iterator[tuple[str, bytes]]:
    """A WAV or MIDI file an item, or a copy of the user's file, in a folder of its class."""
    for index, (item, label) in enumerate(rows):
        name = "" if label is None else str(label)
        if name.startswith(".") or not name.isprintable() or set(name) & set("/\\"):
            raise FourfoldError(f"label {index} is {name!r}: must be a folder's name, printable, without / and \\")
        stem = f"{name}/{index:06d}" if name else f"{index:06d}"
        if isinstance(item, Score):
            yield f"{stem}.mid", midi_bytes(item)
        elif isinstance(item, str | Path):
            path = Path(item)
            if path.suffix.lower() not in (*MUSIC, *EXTENSIONS) or not path.is_file():
                raise FourfoldError(f"item {index}, {path}: no such file of a kind that is read, "
                                    f"{', '.join((*EXTENSIONS, *MUSIC))}")
            yield f"{stem}{path.suffix.lower()}", path.read_bytes()
        elif isinstance(item, dict):
            yield f"{stem}.wav", _wav(item.get("array"), item.get("sampling_rate"), index)
        else:
            yield f"{stem}.wav", _wav(item, rate, index)


def _wav(samples: Any, rate: Any, index: int) -> bytes:
    """Samples as a WAV file that keeps them as they are."""
    import soundfile

    array = np.asarray(samples)
    if array.ndim not in (1, 2) or not array.size or not (array.dtype.kind == "f" or array.dtype == np.int16):
        raise FourfoldError(f"sound {index} is {array.dtype} of shape {array.shape}: must be floats from -1 to 1 or "
                            "int16, [samples] or [samples, channels]")
    if array.ndim == 2 and array.shape[0] <= 2 < array.shape[1]:
        array = array.T  # channels first, as torch has them
    if not isinstance(rate, int | np.integer):
        raise FourfoldError(f"sound {index} has no rate: give samples a second as rate, or as its sampling_rate")
    content = io.BytesIO()
    soundfile.write(content, array, int(rate), format="WAV", subtype="PCM_16" if array.dtype == np.int16 else "FLOAT")
    return content.getvalue()
