"""Where music and sounds come from: Bach's chorales, folders of MIDI, a soundfont's notes, folders of sounds."""

from __future__ import annotations

import logging
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from apps.audio.codec import AudioCodec, ChoraleCodec, tokens_of
from apps.audio.notes import NoteData, prepare_notes
from apps.audio.recordings import SOURCES, RecordingData, prepare_recordings
from apps.audio.scores import Score, coarser, midi_tracks, on_grid, read_jsb, read_musicxml, voices
from apps.audio.sound import TINYSOUNDFONT, Sound
from core.data.arrays import ArrayData
from core.data.cache import cached
from core.data.folders import Found, as_array, as_lines, find_files, read_all
from core.data.near_copies import told
from core.data.sources import Origin, file_origin, folder_origin, in_data, package_files, package_origin
from core.data.splits import FEW, LARGEST, split
from core.errors import FourfoldError, require
from core.runs.domain import Prepared
from core.runs.model import Model

MUSIC21 = "10.5.1"
VERSION = 4  # of the code below: a change of what it makes must change the cache's key
SPLITS = ("train", "validation", "test")
MUSIC = (".mid", ".midi", ".mxl", ".musicxml")

log = logging.getLogger(__name__)


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


AudioData = ChoraleData | NoteData | RecordingData
Range = tuple[int, int]
"""The lowest and the highest MIDI number with a token."""
AudioModel = Model[AudioData, AudioCodec, Score | Sound]


def prepare(data: AudioData, known: AudioCodec | None = None, grow: bool = False) -> Prepared[AudioCodec]:
    """Read (or take from the cache) what a recipe names, in three splits.

    Pitches are those of a `known` codec, and where that may `grow` those of the music beyond them.

    Raises:
        FourfoldError: the source is missing, empty, too small, or a file of it cannot be read.
    """
    if isinstance(data, ChoraleData):
        return _prepare_chorales(data, (known.low, known.high) if isinstance(known, ChoraleCodec) else None, grow)
    made = prepare_recordings(data) if isinstance(data, RecordingData) else prepare_notes(data)
    return Prepared(codec=made.codec, train=made.train, validation=made.validation, test=made.test)


# Chorales --------------------------------------------------------------------------------------------------------


def _prepare_chorales(data: ChoraleData, known: Range | None, grow: bool) -> Prepared[AudioCodec]:
    root = _chorale_root(data)
    found = find_files(root, MUSIC) if root.is_dir() else Found(root, (root,))
    key = [data, *found.files] if known is None else [data, known, grow, *found.files]
    arrays = cached("chorales", VERSION, key, lambda: _chorale_arrays(data, found, known, grow))
    if data.folder is not None:
        for line in [*found.report("pieces"), *as_lines(arrays["said"])]:
            log.warning(line)
    low, high = arrays["range"].tolist()
    codec = ChoraleCodec(beats=data.beats, steps_per_beat=data.steps_per_beat, low=low, high=high)
    return Prepared(codec=codec, **{name: ArrayData(codec.space, arrays[name]) for name in SPLITS})


def origins(data: AudioData) -> list[Origin]:
    """Where music and sounds come from."""
    if data.folder is not None:
        return [folder_origin(data.folder)]
    if data.source in SOURCES:
        return [file_origin(SOURCES[data.source], None)]
    return {
        "music21": lambda: [package_origin("music21", MUSIC21, 22)],
        "jsb": lambda: [file_origin("audio/jsb/Jsb16thSeparated.json", None)],
        "soundfont": lambda: [package_origin("tinysoundfont", TINYSOUNDFONT, 1)],
    }[data.source]()


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


def _chorale_arrays(data: ChoraleData, found: Found, known: Range | None, grow: bool) -> dict[str, np.ndarray]:
    root = found.root
    splits, said = read_chorales(found, data.steps_per_beat)
    steps = data.beats * data.steps_per_beat
    scores = [score for pieces in splits.values() for score in pieces]
    sounding = np.concatenate([s.pitches[s.pitches > 0] for s in scores])
    low, high = int(sounding.min()), int(sounding.max())
    if known is not None:
        low, high = (min(low, known[0]), max(high, known[1])) if grow else known
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
        short = sum(len(piece) < steps for piece in pieces)
        if short:
            said.append(f"{root.name}: {short:,} of {len(pieces):,} pieces of the {name} split left out: they last "
                        f"less than {data.beats} beats")
        arrays[name] = np.stack(rows).reshape(len(rows), -1).astype(np.uint8)
    return arrays | {"said": as_array(said)}


def read_chorales(found: Found, steps_per_beat: int) -> tuple[dict[str, list[Score]], list[str]]:
    """Pieces by split, and what to tell: of a JSON file of splits, or of MusicXML or MIDI files found in a folder.

    In a folder, pieces with the same opening melody, in any key, share a split; equal pieces count once.

    Raises:
        FourfoldError: no pieces, fewer than three tunes, or too many unreadable files.
    """
    root = found.root
    if root.is_file():
        published = read_jsb(root, steps_per_beat)
        return {"train": published["train"], "validation": published["valid"], "test": published["test"]}, []
    arrays = cached("scores", VERSION, found.files, lambda: _parsed(found))
    ends, said = np.cumsum(arrays["lengths"])[:-1], as_lines(arrays["said"])
    pieces = zip(np.split(arrays["pitches"], ends), np.split(arrays["struck"], ends), strict=True)
    scores = list({pitches.tobytes(): Score(pitches, struck, 4) for pitches, struck in pieces}.values())
    if len(scores) < len(arrays["lengths"]):
        said.append(f"{len(arrays['lengths']):,} pieces are {len(scores):,} different ones; each counts once")
    tunes, broken_up = tunes_of(scores)
    different = len(set(tunes))
    said += [*broken_up, *told(tunes, "pieces", "begin with the same melody")]
    splits = split(tunes, test=different // 7, validation=different // 10, seed=None)
    factor = 4 // steps_per_beat
    parts = {name: [coarser(scores[i], factor) for i in np.sort(rows)] for name, rows in vars(splits).items()}
    return parts, [f"{root.name}: {line}" for line in said]


def tunes_of(scores: Sequence[Score]) -> tuple[list[int], list[str]]:
    """A number for each piece, the same for those of one tune, and what to tell.

    Openings name tunes, but for short ones and those of one note; where very many pieces have the same, it names none.
    """
    openings = [_opening(score) for score in scores]
    contents = [zlib.crc32(_intervals(score).tobytes()) for score in scores]
    tunes = [zlib.crc32(opening.tobytes()) if len(opening) == 8 and opening.any() else content
             for opening, content in zip(openings, contents, strict=True)]
    tune, most = Counter(tunes).most_common(1)[0]
    if most <= max(FEW, LARGEST * len(scores)):
        return tunes, []
    return ([content if own == tune else own for own, content in zip(tunes, contents, strict=True)],
            [f"{most:,} of {len(scores):,} pieces begin with the same melody: only equal ones are taken for one tune"])


def _intervals(score: Score) -> np.ndarray:
    """A piece in any key: pitches below its highest, and 255 where a voice is silent."""
    return np.where(score.pitches > 0, score.pitches.max() - score.pitches, 255).astype(np.uint8)


def _parsed(files: Found) -> dict[str, np.ndarray]:
    """A folder's four-part pieces in sixteenths, one after the other, and what to tell."""
    dealt = 0

    def read(path: Path) -> Score | None:
        nonlocal dealt
        if not path.suffix.lower().startswith(".mid"):
            parts = read_musicxml(path)
            return on_grid(parts, 4) if len(parts) == 4 else None
        tracks = midi_tracks(path)
        dealt += len(tracks) != 4
        return on_grid(voices(tracks), 4)

    found, said = read_all(files.files, read, what="pieces")
    scores = [score for _, score in found if score is not None]
    if not scores:
        raise FourfoldError(f"{files.root} holds no music in four parts")
    if len(scores) < len(found):
        said.append(f"{len(found) - len(scores):,} of {len(found):,} pieces left out: they are not in four parts")
    if dealt:
        said.append(f"{dealt:,} of {len(found):,} pieces have not four tracks: their chords are dealt to four voices")
    return {
        "pitches": np.concatenate([s.pitches for s in scores]), "struck": np.concatenate([s.struck for s in scores]),
        "lengths": np.array([len(s) for s in scores]), "said": as_array(said),
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
