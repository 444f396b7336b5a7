"""Short sounds as spectrograms: notes of a soundfont, spoken digits, drums, a folder of one's own."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Literal

import numpy as np

from apps.audio.codec import NoteCodec, levels_of
from apps.audio.recordings import sound_folder
from apps.audio.sound import EXTENSIONS, TINYSOUNDFONT, Mel, Synthesizer, fit_length, log_mel, read_recording
from apps.audio.vocoding import vocoder_of
from core.data.arrays import ArrayData
from core.data.cache import cached
from core.data.folders import as_array, as_lines, find_files, read_all
from core.data.near_copies import groups_of, told
from core.data.splits import split
from core.data.tables import read_table
from core.errors import FourfoldError
from core.runs.domain import Prepared

VERSION = 4  # of the code below: a change of what it makes must change the cache's key
SPLITS = ("train", "validation", "test")
SAME_SOUND = 2.0  # levels of a spectrogram, of 256, on average; most of a short sound is silence
LABEL_FILES = ("labels.csv", "metadata.csv")
FILE_NAMES, LABEL_NAMES = ("file", "file_name", "filename", "path"), ("label", "class", "category", "instrument")
"""What the columns of a table of labels may be called."""
DIGIT_TEST, DIGIT_VALIDATION = range(5), range(5, 7)
"""Which takes of a spoken digit are held out; the test split is the published one."""

log = logging.getLogger(__name__)

# General MIDI programs (from 0) that make up a class; several a class, so that a class is not one timbre.
INSTRUMENTS = {
    "piano": (0, 1, 2, 4, 5, 6),
    "mallets": (8, 9, 10, 11, 12, 13),
    "organ": (16, 17, 18, 19, 20, 21),
    "guitar": (24, 25, 26, 27, 28, 29),
    "bass": (32, 33, 34, 35, 36, 38),
    "strings": (40, 41, 42, 43, 48, 49),
    "brass": (56, 57, 58, 59, 60, 61),
    "reed": (64, 65, 66, 68, 70, 71),
    "flute": (72, 73, 74, 75, 77, 79),
    "choir": (52, 53, 54, 85, 91, 94),
}
PITCHES = range(36, 84)
VELOCITIES = (60, 85, 110)


@dataclass(frozen=True, kw_only=True)
class NoteData:
    """Short sounds as log-mel spectrograms, with a class each.

    Attributes:
        source: "soundfont" (notes of General MIDI instruments, rendered), or of $FOURFOLD_DATA "drums" (one-shots)
            or "fsdd" (spoken digits).
        folder: your own folder of sound files, instead of a source. Subfolders are classes; in a flat folder the
            names' part before the first "_" is.
        mel: spectrogram settings, which also fix the length.
        vocoder: the run or model that makes spectrograms audible; "" for Griffin-Lim.
    """

    source: Literal["soundfont", "drums", "fsdd"] = "soundfont"
    folder: str | None = None
    mel: Mel = field(default_factory=Mel)
    vocoder: str = ""


def prepare_notes(data: NoteData) -> Prepared[NoteCodec]:
    """Spectrograms and their classes in three splits.

    Raises:
        FourfoldError: the folder is missing, holds too few sounds or too many that cannot be read, or the vocoder is
            missing or of other spectrograms.
    """
    vocoder_of(data.vocoder, data.mel)  # refuses one that does not fit before an hour of training, not after
    if data.folder is None and data.source == "soundfont":
        names = tuple(INSTRUMENTS)
        key = [replace(data, vocoder=""), INSTRUMENTS, PITCHES, VELOCITIES, TINYSOUNDFONT]
        arrays = cached("notes", VERSION, key, lambda: _split_arrays(*_rendered_levels(data.mel)))
    else:
        root = sound_folder(data.folder, data.source)
        files, said = classified(root)
        names = tuple(sorted({name for _, name in files if name}))
        own, digits = data.folder is not None, data.folder is None and data.source == "fsdd"
        key = [data.mel, own, root.name, *files]
        arrays = cached("sounds", VERSION + 1, key, lambda: _recorded(files, names, data.mel, root.name, own, digits))
        for line in [*said, *as_lines(arrays["said"])]:
            log.warning(line)
    codec = NoteCodec(mel=data.mel, names=names, vocoder=data.vocoder)
    splits = {
        name: ArrayData(codec.space, arrays[name], {"instrument": arrays[f"{name}_label"]} if names else {})
        for name in SPLITS
    }
    return Prepared(codec=codec, **splits)


def _rendered(mel: Mel) -> tuple[np.ndarray, np.ndarray]:
    """Waveforms `[N, samples]` and labels `[N]`: every instrument, pitch and velocity, held for 70 % of the time."""
    synthesizer, held = Synthesizer(mel.rate), int(0.7 * mel.samples)
    programs = [(label, program) for label, several in enumerate(INSTRUMENTS.values()) for program in several]
    notes = list(product(programs, PITCHES, VELOCITIES))
    sounds = [synthesizer.note(program, pitch, velocity, held, mel.samples).astype(np.float16)
              for (_, program), pitch, velocity in notes]
    return np.stack(sounds), np.array([label for (label, _), *_ in notes])


def classified(root: Path) -> tuple[list[tuple[Path, str]], list[str]]:
    """A folder's sound files with their classes ("" where there are none), and what to tell.

    Classes are named by labels.csv or metadata.csv (columns file,label) if there is one; else by sub-folders, or in a
    flat folder by the names' part before the first "_".

    Raises:
        FourfoldError: there are no sounds, or a table that does not fit them.
    """
    labels = _labels(root)
    found = find_files(root, EXTENSIONS, known=LABEL_FILES if labels else ())
    files = found.files
    if labels is not None:
        there = {path.relative_to(root).as_posix(): path for path in files}
        for name in labels:
            if name not in there:
                raise FourfoldError(f"{root}: its table of labels names {name!r}, and there is no such sound")
        left = len(files) - len(labels)
        said = [f"{root.name}: {left:,} sounds without a label left out"] if left else []
        return [(there[name], label) for name, label in labels.items()], [*found.report("sounds"), *said]
    if found.classes:
        return list(found.classified), found.report("sounds", by_class=True)
    prefixes = [p.stem.split("_")[0] for p in files]
    named = 2 <= len(set(prefixes)) <= len(files) // 3 and all("_" in p.stem for p in files)
    return list(zip(files, prefixes if named else [""] * len(files), strict=True)), found.report("sounds")


def _labels(root: Path) -> dict[str, str] | None:
    """The class of each file that a folder's table names; None where it has no table of labels."""
    for path in (root / name for name in LABEL_FILES):
        if not path.is_file():
            continue
        table = read_table(path, columns=(*FILE_NAMES, *LABEL_NAMES))
        file, label = (next((own for own in table.names if own.strip().casefold() in names), None)
                       for names in (FILE_NAMES, LABEL_NAMES))
        if not table.header or file is None or label is None:
            if path.name == "metadata.csv":  # of something else, such as LJSpeech's
                continue
            raise FourfoldError(f"{path} must have the columns file,label")
        if table.dropped:
            raise FourfoldError(f"{path}, line {table.dropped[0].line:,}: has {table.dropped[0].reason}")
        found: dict[str, str] = {}
        for line, name, given in zip(table.lines, table.column(file), table.column(label), strict=True):
            place, given = Path(name.strip()).as_posix(), given.strip()
            if not given or found.setdefault(place, given) != given:
                raise FourfoldError(f"{path}, line {line:,}: {place!r} has {'two labels' if given else 'no label'}")
        return found
    return None


def _recorded(
    files: list[tuple[Path, str]], names: tuple[str, ...], mel: Mel, where: str, own: bool, digits: bool
) -> dict[str, np.ndarray]:
    """The arrays of a folder of sounds, and what to tell; of the user's `own` sounds near copies share a split, and
    spoken `digits` have the published test split."""
    if len(files) < 10:
        raise FourfoldError(f"{files[0][0].parent} holds {len(files)} sound files: at least 10 are needed")
    changed: Counter[str] = Counter()

    def read(path: Path) -> np.ndarray:
        recording = read_recording(path, mel.rate, mel.samples)
        changed[f"resampled to {mel.rate:,} samples a second"] += recording.rate != mel.rate
        changed["mixed down to mono"] += recording.channels > 1
        changed["read from one channel, for their mix is silent"] += recording.cancelled
        changed["silent"] += not recording.samples.any()
        changed[f"cut to {mel.samples / mel.rate:.2f} seconds"] += len(recording.samples) > mel.samples
        changed[f"padded with silence to {mel.samples / mel.rate:.2f} seconds"] += len(recording.samples) < mel.samples
        return fit_length(recording.samples, mel.samples)

    found, said = read_all([path for path, _ in files], read, what="sounds")
    said += [f"{count:,} of {len(found):,} sounds {what}" for what, count in sorted((+changed).items())]
    levels = _levels(np.stack([sound for _, sound in found]), mel)
    labels = np.array([names.index(files[i][1]) if files[i][1] else 0 for i, _ in found])
    if digits:
        takes = np.array([int(files[i][0].stem.rsplit("_", 1)[1]) for i, _ in found])
        test, validation = np.isin(takes, DIGIT_TEST), np.isin(takes, DIGIT_VALIDATION)
        arrays: dict[str, np.ndarray] = {}
        for name, rows in {"train": ~(test | validation), "validation": validation, "test": test}.items():
            arrays |= {name: levels[rows], f"{name}_label": labels[rows]}
    else:
        groups = groups_of(levels, SAME_SOUND) if own else np.arange(len(levels))
        said += told(groups, "sounds")
        arrays = _split_arrays(levels, labels, groups)
    return arrays | {"said": as_array([f"{where}: {line}" for line in said])}


def _rendered_levels(mel: Mel) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Levels and labels of `_rendered`, each a group of its own."""
    sounds, labels = _rendered(mel)
    return _levels(sounds, mel), labels, np.arange(len(labels))


def _levels(sounds: np.ndarray, mel: Mel) -> np.ndarray:
    """Waveforms `[n, samples]` -> levels uint8 `[n, 1, mels, frames]`."""
    levels = [levels_of(log_mel(sounds[at : at + 512], mel), mel) for at in range(0, len(sounds), 512)]
    return np.concatenate(levels)[:, None]


def _split_arrays(levels: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> dict[str, np.ndarray]:
    """Levels and labels of each split, in random order; a group lies in one split."""
    n, arrays = len(np.unique(groups)), {}
    for name, rows in vars(split(groups.tolist(), test=n // 7, validation=n // 10)).items():
        arrays[name], arrays[f"{name}_label"] = levels[rows], labels[rows]
    return arrays
