"""Where music and sounds come from: Bach's chorales, folders of MIDI, a soundfont's notes, folders of recordings."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Literal

import numpy as np

from apps.audio.codec import AudioCodec, ChoraleCodec, NoteCodec, levels_of, tokens_of
from apps.audio.scores import Score, coarser, on_grid, read_jsb, read_midi, read_musicxml
from apps.audio.sound import EXTENSIONS, TINYSOUNDFONT, Mel, Sound, Synthesizer, fit_length, log_mel, read_sound
from core.data.arrays import ArrayData
from core.data.cache import cached
from core.data.sources import in_data, package_files
from core.data.splits import split
from core.errors import FourfoldError, require
from core.runs.domain import Prepared
from core.runs.model import Model

MUSIC21 = "10.5.1"
VERSION = 3  # of the code below: a change of what it makes must change the cache's key
SPLITS = ("train", "validation", "test")

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
class ChoraleData:
    """Windows of four-part music.

    Attributes:
        source: "music21" (Bach's chorales from music21's corpus), or "jsb" (the published splits, a file
            audio/jsb/Jsb16thSeparated.json in $FOURFOLD_DATA).
        folder: your own folder of MIDI files, instead of a source.
        beats: length of a window in quarter notes.
        steps_per_beat: 1 (quarter notes), 2 or 4 (sixteenths).
        transpose: also train on every transposition within the ranges of the voices.
    """

    source: Literal["music21", "jsb"] = "music21"
    folder: str | None = None
    beats: int = 16
    steps_per_beat: int = 1
    transpose: bool = True

    def __post_init__(self) -> None:
        require(2 <= self.beats <= 256, "data.beats", self.beats, "must be 2 to 256 quarter notes")
        require(self.steps_per_beat in (1, 2, 4), "data.steps_per_beat", self.steps_per_beat, "must be 1, 2 or 4")


@dataclass(frozen=True, kw_only=True)
class NoteData:
    """Short sounds as log-mel spectrograms, with a class each.

    Attributes:
        source: "soundfont" (notes of General MIDI instruments, rendered), or "drums" (one-shots in audio/drums
            of $FOURFOLD_DATA).
        folder: your own folder of sound files, instead of a source. Subfolders are classes; in a flat folder the
            names' part before the first "_" is.
        mel: spectrogram settings, which also fix the length.
    """

    source: Literal["soundfont", "drums"] = "soundfont"
    folder: str | None = None
    mel: Mel = field(default_factory=Mel)


AudioData = ChoraleData | NoteData
AudioModel = Model[AudioData, AudioCodec, Score | Sound]


def prepare(data: AudioData) -> Prepared[AudioCodec]:
    """Read (or take from the cache) what a recipe names, in three splits.

    Raises:
        FourfoldError: the source is missing, empty, too small, or a file of it cannot be read.
    """
    return _prepare_chorales(data) if isinstance(data, ChoraleData) else _prepare_notes(data)


# Chorales --------------------------------------------------------------------------------------------------------


def _prepare_chorales(data: ChoraleData) -> Prepared[AudioCodec]:
    root = _chorale_root(data)
    arrays = cached("chorales", VERSION, [data, root], lambda: _chorale_arrays(data, root))
    low, high = arrays["range"].tolist()
    codec = ChoraleCodec(beats=data.beats, steps_per_beat=data.steps_per_beat, low=low, high=high)
    return Prepared(codec=codec, **{name: ArrayData(codec.space, arrays[name]) for name in SPLITS})


def _chorale_root(data: ChoraleData) -> Path:
    if data.folder is not None:
        return _own_folder(data.folder)
    if data.source == "music21":
        return package_files("music21", MUSIC21) / "corpus" / "bach"
    path = in_data("audio/jsb/Jsb16thSeparated.json")
    if path is None:
        raise FourfoldError(
            "no JSB chorales: put Jsb16thSeparated.json (czhuang/JSB-Chorales-dataset on GitHub) "
            "into audio/jsb/ of the folder $FOURFOLD_DATA names"
        )
    return path


def _own_folder(path: str) -> Path:
    found = Path(path).expanduser()
    if not found.is_dir():
        raise FourfoldError(f"data.folder is {path!r}: no such folder")
    return found


def _chorale_arrays(data: ChoraleData, root: Path) -> dict[str, np.ndarray]:
    splits = read_chorales(root, data.steps_per_beat)
    steps = data.beats * data.steps_per_beat
    scores = [score for pieces in splits.values() for score in pieces]
    sounding = np.concatenate([s.pitches[s.pitches > 0] for s in scores])
    low, high = int(sounding.min()), int(sounding.max())
    arrays = {"range": np.array([low, high])}
    for name, pieces in splits.items():
        training = name == "train"
        shifts = _transpositions(pieces) if training and data.transpose else [[0]] * len(pieces)
        # Training windows begin on every beat; held-out windows do not overlap.
        stride = data.steps_per_beat if training else steps
        rows = [
            tokens_of(_shifted(s.pitches[at : at + steps], shift), s.struck[at : at + steps], low, high)
            for s, piece_shifts in zip(pieces, shifts, strict=True)
            for shift in piece_shifts
            for at in range(0, len(s) - steps + 1, stride)
        ]
        if not rows:
            raise FourfoldError(f"{root}: no piece of the {name} split lasts {data.beats} beats")
        arrays[name] = np.stack(rows).reshape(len(rows), -1).astype(np.uint8)
    return arrays


def read_chorales(root: Path, steps_per_beat: int) -> dict[str, list[Score]]:
    """Pieces by split: of a JSON file of splits, or of a folder of MusicXML or MIDI files.

    In a folder, pieces with the same opening melody, in any key, share a split; equal pieces count once.

    Raises:
        FourfoldError: no pieces, fewer than three tunes, or an unreadable file.
    """
    if root.is_file():
        published = read_jsb(root, steps_per_beat)
        return {"train": published["train"], "validation": published["valid"], "test": published["test"]}
    arrays = cached("scores", VERSION, [root], lambda: _parsed(root))
    ends = np.cumsum(arrays["lengths"])[:-1]
    pieces = zip(np.split(arrays["pitches"], ends), np.split(arrays["struck"], ends), strict=True)
    scores = list({pitches.tobytes(): Score(pitches, struck, 4) for pitches, struck in pieces}.values())
    tunes = [zlib.crc32(_opening(score).tobytes()) for score in scores]
    different = len(set(tunes))
    splits = split(tunes, test=different // 7, validation=different // 10, seed=None)
    factor = 4 // steps_per_beat
    return {name: [coarser(scores[i], factor) for i in np.sort(rows)] for name, rows in vars(splits).items()}


def _parsed(root: Path) -> dict[str, np.ndarray]:
    """A folder's four-part pieces in sixteenths, one after the other."""
    paths = sorted(p for p in root.rglob("*") if p.suffix.lower() in (".mid", ".midi", ".mxl", ".musicxml"))
    if not paths:
        raise FourfoldError(f"{root} holds no MIDI files (.mid, .midi)")
    found = [read_midi(path) if path.suffix.lower().startswith(".mid") else read_musicxml(path) for path in paths]
    scores = [on_grid(parts, 4) for parts in found if len(parts) == 4]
    if not scores:
        raise FourfoldError(f"{root} holds no music in four parts")
    return {
        "pitches": np.concatenate([s.pitches for s in scores]), "struck": np.concatenate([s.struck for s in scores]),
        "lengths": np.array([len(s) for s in scores]),
    }


def _opening(score: Score) -> np.ndarray:
    """The soprano's first eight melodic intervals from beat to beat: they name a tune in every key and ornament."""
    beats = coarser(score, score.steps_per_beat)
    melody = beats.pitches[:, 0][beats.struck[:, 0]].astype(np.int16)
    return np.asarray(np.diff(melody)[:8])


def _transpositions(pieces: list[Score]) -> list[list[int]]:
    """For each piece the shifts within an octave that keep every voice in the range it has over all pieces."""
    spans = []
    for score in pieces:
        voices = [column[column > 0] for column in score.pitches.T]
        spans.append(np.array([(v.min(), v.max()) if len(v) else (60, 60) for v in voices]))
    lowest, highest = np.min(spans, axis=0)[:, 0], np.max(spans, axis=0)[:, 1]
    shifts = []
    for span in spans:
        down, up = int((lowest - span[:, 0]).max()), int((highest - span[:, 1]).min())
        shifts.append(list(range(max(down, -6), min(up, 5) + 1)))
    return shifts


def _shifted(pitches: np.ndarray, shift: int) -> np.ndarray:
    return np.asarray(np.where(pitches > 0, pitches + shift, 0))


# Notes -----------------------------------------------------------------------------------------------------------


def _prepare_notes(data: NoteData) -> Prepared[AudioCodec]:
    if data.folder is None and data.source == "soundfont":
        names = tuple(INSTRUMENTS)
        key = [data, INSTRUMENTS, PITCHES, VELOCITIES, TINYSOUNDFONT]
        arrays = cached("notes", VERSION, key, lambda: _note_arrays(*_rendered(data.mel), data.mel))
    else:
        root = _sound_root(data.folder)
        files = _classified(root)
        names = tuple(sorted({name for _, name in files if name}))
        key = [data.mel, root]
        arrays = cached("sounds", VERSION, key, lambda: _note_arrays(*_recorded(files, names, data.mel), data.mel))
    codec = NoteCodec(mel=data.mel, names=names)
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


def _sound_root(folder: str | None) -> Path:
    if folder is not None:
        return _own_folder(folder)
    path = in_data("audio/drums")
    if path is None:
        raise FourfoldError("no drums: put folders of sound files into audio/drums/ of the folder $FOURFOLD_DATA names")
    return path


def _classified(root: Path) -> list[tuple[Path, str]]:
    """Sound files with their classes ("" where there are none)."""
    files = sorted(p for p in root.rglob("*") if p.suffix.lower() in EXTENSIONS)
    if not files:
        raise FourfoldError(f"{root} holds no sound files ({', '.join(EXTENSIONS)})")
    if any(p.parent != root for p in files):
        return [(p, p.relative_to(root).parts[0]) for p in files if p.parent != root]
    prefixes = [p.stem.split("_")[0] for p in files]
    if 2 <= len(set(prefixes)) <= len(files) // 3 and all("_" in p.stem for p in files):
        return list(zip(files, prefixes, strict=True))
    return [(p, "") for p in files]


def _recorded(files: list[tuple[Path, str]], names: tuple[str, ...], mel: Mel) -> tuple[np.ndarray, np.ndarray]:
    if len(files) < 10:
        raise FourfoldError(f"{files[0][0].parent} holds {len(files)} sound files: at least 10 are needed")
    sounds = [fit_length(read_sound(path, mel.rate), mel.samples) for path, _ in files]
    return np.stack(sounds), np.array([names.index(name) if name else 0 for _, name in files])


def _note_arrays(sounds: np.ndarray, labels: np.ndarray, mel: Mel) -> dict[str, np.ndarray]:
    """Levels uint8 `[n, 1, mels, frames]` and labels of each split, in random order."""
    levels = [levels_of(log_mel(sounds[at : at + 512], mel), mel) for at in range(0, len(sounds), 512)]
    everything = np.concatenate(levels)[:, None]
    n, arrays = len(sounds), {}
    for name, rows in vars(split(range(n), test=n // 7, validation=n // 10)).items():
        arrays[name], arrays[f"{name}_label"] = everything[rows], labels[rows]
    return arrays
