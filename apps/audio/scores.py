"""Scores in parts on a grid of steps: read from MusicXML, MIDI and the JSB JSON files, written as MIDI and pictures."""

from __future__ import annotations

import codecs
import io
import json
import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from xml.etree import ElementTree

import numpy as np

from core.errors import FourfoldError

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pretty_midi import PrettyMIDI

VOICES = ("soprano", "alto", "tenor", "bass")
STEP_OF = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
MOST_BEATS = 20_000  # quarter notes of a piece: two hours and more
MOST_NOTES = 50_000
MOST_MIDI, MOST_XML = 2**21, 10 * 2**20  # bytes of a file
FINEST = 10**9  # parts of a quarter note
COLOURS = ("#c0392b", "#e08e2b", "#2e8b57", "#2c5aa0")


@dataclass(frozen=True)
class Score:
    """Four voices on a grid.

    Attributes:
        pitches: int `[T, 4]`, soprano first; MIDI numbers, 0 where a voice is silent.
        struck: bool `[T, 4]`, True where a note begins, False where it is held on (or silent).
        steps_per_beat: grid steps in a quarter note.
    """

    pitches: np.ndarray
    struck: np.ndarray
    steps_per_beat: int

    def __len__(self) -> int:
        return len(self.pitches)


@dataclass(frozen=True)
class Note:
    """A note of a part: beginning and end in quarter notes, and its MIDI number."""

    begin: Fraction
    end: Fraction
    pitch: int


def on_grid(parts: list[list[Note]], steps_per_beat: int) -> Score:
    """Sample four parts' notes at every step; of notes that sound together in one part the latest begun counts."""
    steps = max((int(note.end * steps_per_beat) for part in parts for note in part), default=0)
    pitches = np.zeros((steps, len(parts)), dtype=np.int16)
    owner = np.full((steps, len(parts)), -1, dtype=np.int32)
    for voice, part in enumerate(parts):
        for index, note in enumerate(sorted(part, key=lambda n: n.begin)):
            # A step belongs to the note that sounds at its beginning.
            first, last = -int(-note.begin * steps_per_beat // 1), -int(-note.end * steps_per_beat // 1)
            pitches[first:last, voice], owner[first:last, voice] = note.pitch, index
    before = np.vstack([np.full((1, len(parts)), -1, dtype=np.int32), owner[:-1]]) if steps else owner
    return Score(pitches, (owner != before) & (owner >= 0), steps_per_beat)


def coarser(score: Score, factor: int) -> Score:
    """Every `factor`-th step of a score: what sounds there, struck if its note began since the last step kept."""
    pitches = score.pitches[::factor]
    padded = np.vstack([np.zeros((factor - 1, score.struck.shape[1]), dtype=bool), score.struck])
    began = np.lib.stride_tricks.sliding_window_view(padded, factor, axis=0)[::factor].any(-1)
    return Score(pitches, began & (pitches > 0), score.steps_per_beat // factor)


def notes_of(score: Score) -> Iterator[tuple[int, int, int, int]]:
    """(voice, first step, last step + 1, pitch) of every note; a held step without a note before it is silence."""
    for voice in range(score.pitches.shape[1]):
        begin, pitch = 0, 0
        for step in range(len(score) + 1):
            ends = step == len(score) or score.struck[step, voice] or score.pitches[step, voice] != pitch
            if not ends:
                continue
            if pitch > 0:
                yield voice, begin, step, pitch
            if step < len(score):
                begin, pitch = step, int(score.pitches[step, voice])


# Reading ---------------------------------------------------------------------------------------------------------


def read_musicxml(path: Path) -> list[list[Note]]:
    """Parts (that have notes) of a .mxl or .musicxml file, repeats not unfolded; tied notes are one note.

    Raises:
        FourfoldError: not a MusicXML file, or one without bounds.
    """
    try:
        content = _content(path, MOST_XML)
        if path.suffix.lower() == ".mxl":
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                listing = _tree(_member(archive, "META-INF/container.xml"))
                name = next(e.get("full-path") for e in listing.iter() if e.tag.endswith("rootfile"))
                content = _member(archive, name or "")
        parts = (_part_of(part) for part in _tree(content).iter("part"))
        return _bounded([notes for notes in parts if notes])
    except Exception as error:  # zipfile raises whatever its decoders stumble over: zlib.error, NotImplementedError ...
        reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error) or type(error).__name__
        raise FourfoldError(f"{path} is not a readable MusicXML file: {reason}") from error


def _content(path: Path, most: int) -> bytes:
    with open(path, "rb") as stream:
        content = stream.read(most + 1)
    if len(content) > most:
        raise ValueError(f"it has more than {most:,} bytes")
    return content


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    """A file in an archive, whatever size the archive says that it has."""
    with archive.open(name) as stream:
        content = stream.read(MOST_XML + 1)
    if len(content) > MOST_XML:
        raise ValueError(f"{name} has more than {MOST_XML:,} bytes")
    return content


def _tree(content: bytes) -> ElementTree.Element:
    if content[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        content = re.sub(r"^<\?.*?\?>", "", content.decode("utf-16")).encode()
    if b"<!ENTITY" in content:
        raise ValueError("it defines entities, with which few bytes can stand for very many")
    return ElementTree.fromstring(content)


def _number(element: ElementTree.Element, name: str, allowed: str, default: str) -> str:
    """The text of a child, of the form that a pattern allows."""
    text = (element.findtext(name) or default).strip()
    if not re.fullmatch(allowed, text):
        raise ValueError(f"{name} is {text[:20]!r}")
    return text


def _part_of(part: ElementTree.Element) -> list[Note]:
    notes: list[Note] = []
    tied: dict[int, int] = {}  # pitch -> index of the note that a tie will continue
    now, last_begin, divisions = Fraction(0), Fraction(0), 1
    for measure in part.iter("measure"):
        for element in measure:
            if element.tag == "attributes":
                divisions = int(_number(element, "divisions", r"0*[1-9][0-9]{0,5}", str(divisions)))
            length = Fraction(_number(element, "duration", r"[0-9]{1,9}(\.[0-9]{0,3})?", "0")) / divisions
            if element.tag in ("forward", "backup"):
                now += length if element.tag == "forward" else -length
            if element.tag != "note" or element.find("grace") is not None:
                continue
            begin = last_begin if element.find("chord") is not None else now
            last_begin, now = begin, max(now, begin + length)
            if now.denominator > FINEST:
                raise ValueError("its durations fit no common grid")
            pitch = element.find("pitch")
            if pitch is None or element.find("cue") is not None:
                continue
            number = 12 * (int(_number(pitch, "octave", "[0-9]", "4")) + 1)
            number += STEP_OF[_number(pitch, "step", "[A-G]", "")]
            number += int(float(_number(pitch, "alter", r"[+-]?[0-9](\.[0-9]{0,9})?", "0")))
            ties = {tie.get("type") for tie in element.findall("tie")}
            if "stop" in ties and number in tied and notes[tied[number]].end == begin:
                notes[tied[number]] = Note(notes[tied[number]].begin, begin + length, number)
                index = tied.pop(number)
            else:
                notes.append(Note(begin, begin + length, number))
                index = len(notes) - 1
            if "start" in ties:
                tied[number] = index
    return notes


def _bounded(parts: list[list[Note]]) -> list[list[Note]]:
    """The parts, unless they would take very much time or memory on a grid."""
    notes = [note for part in parts for note in part]
    if len(notes) > MOST_NOTES:
        raise ValueError(f"it has {len(notes):,} notes, of {MOST_NOTES:,} at most")
    if any(not 0 < note.pitch < 128 or note.begin < 0 for note in notes):
        raise ValueError("it has notes outside of 1 to 127, or before its beginning")
    if max((note.end for note in notes), default=0) > MOST_BEATS:
        raise ValueError(f"it lasts more than {MOST_BEATS:,} quarter notes")
    if sum(float(note.end - note.begin) for note in notes) > 32 * MOST_BEATS:
        raise ValueError("too many of its notes sound at once")
    return parts


def read_midi(path: Path) -> list[list[Note]]:
    """Four parts from a MIDI file: its four tracks of notes, or one stream of chords dealt out to four voices.

    Raises:
        FourfoldError: not a MIDI file, one without notes, or one without bounds.
    """
    return voices(midi_tracks(path))


def voices(tracks: list[list[Note]]) -> list[list[Note]]:
    """The parts of the tracks of a MIDI file, the highest first; see `read_midi`."""
    if len(tracks) == 4:
        return sorted(tracks, key=lambda part: -sum(n.pitch for n in part) / len(part))
    return _dealt([note for part in tracks for note in part])


def midi_tracks(path: Path) -> list[list[Note]]:
    """The notes of each channel of each track of a MIDI file; percussion is left out.

    Raises:
        FourfoldError: as `read_midi`.
    """
    try:
        content = _content(path, MOST_MIDI)
        if content[:4] != b"MThd" or len(content) < 14:
            raise ValueError("it does not begin with a header" if content else "it is empty")
        division, at = int.from_bytes(content[12:14]), 8 + int.from_bytes(content[4:8])
        if not 0 < division < 0x8000:
            raise ValueError("its time is not in parts of quarter notes")
        tracks, left = [], int.from_bytes(content[10:12])
        while left and at < len(content):
            kind, size = content[at : at + 4], int.from_bytes(content[at + 4 : at + 8])
            at += 8 + size
            if at > len(content):
                raise ValueError("it is cut short")
            if kind == b"MTrk":
                left -= 1
                tracks += _track(content[at - size : at], division)
        if left:
            raise ValueError("it is cut short")
        found = _bounded([notes for notes in tracks if notes])
    except (ValueError, IndexError, OSError) as error:
        reason = "it is cut short" if isinstance(error, IndexError) else str(error)
        raise FourfoldError(f"{path} is not a readable MIDI file: {reason}") from error
    if not found:
        raise FourfoldError(f"{path} has no notes")
    return found


def _track(content: bytes, division: int) -> list[list[Note]]:
    """The notes of a track's channels, but for those that never end; IndexError where it is cut short."""
    notes: dict[int, list[Note]] = {}
    sounding: dict[tuple[int, int], list[int]] = {}  # channel and pitch -> the ticks when they began
    at = tick = running = count = 0
    while at < len(content):
        delta, at = _varying(content, at)
        tick += delta
        status = content[at]
        if status < 0x80:
            status = running
        else:
            at += 1
        if status in (0xFF, 0xF0, 0xF7):  # about the file, or for a certain machine
            if status == 0xFF and content[at] == 0x2F:
                break  # the end of the track
            size, at = _varying(content, at + (status == 0xFF))
            at += size
            if at > len(content):
                raise ValueError("it is cut short")
            continue
        if not 0x80 <= status < 0xF0:
            raise ValueError("it has a message of no known kind")
        running, kind, channel = status, status >> 4, status & 15
        pitch = content[at]
        velocity = content[at + 1] if kind not in (12, 13) else 0
        at += 1 if kind in (12, 13) else 2
        if max(pitch, velocity) > 127:
            raise ValueError("it has a number above 127")
        if channel == 9 or kind not in (8, 9) or not pitch:
            continue
        if kind == 9 and velocity:
            sounding.setdefault((channel, pitch), []).append(tick)
            continue
        begun = sounding.pop((channel, pitch), [])
        ended = [begin for begin in begun if begin != tick]
        if ended and len(ended) < len(begun):  # those that begin where others end go on
            sounding[channel, pitch] = [tick] * (len(begun) - len(ended))
        count += len(ended)
        if count > MOST_NOTES or tick > MOST_BEATS * division:
            raise ValueError(f"it has more than {MOST_NOTES:,} notes or {MOST_BEATS:,} quarter notes")
        end = Fraction(tick, division)
        notes.setdefault(channel, []).extend(Note(Fraction(begin, division), end, pitch) for begin in ended)
    return list(notes.values())


def _varying(content: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, of four bytes at most, and where it ends."""
    number = 0
    for place in range(at, at + 4):
        number = number << 7 | content[place] & 0x7F
        if content[place] < 0x80:
            return number, place + 1
    raise ValueError("it has a number of more than four bytes")


def _dealt(notes: list[Note]) -> list[list[Note]]:
    """Chords to voices: of the notes that begin together the highest goes to the soprano, the lowest to the bass."""
    parts: list[list[Note]] = [[], [], [], []]
    by_begin: dict[Fraction, list[Note]] = {}
    for note in notes:
        by_begin.setdefault(note.begin, []).append(note)
    for chord in by_begin.values():
        ordered = sorted(chord, key=lambda n: -n.pitch)
        slots = {1: (0,), 2: (0, 3), 3: (0, 1, 3)}.get(len(ordered), (0, 1, 2, 3))
        chosen = ordered if len(ordered) <= 4 else [*ordered[:3], ordered[-1]]
        for slot, note in zip(slots, chosen, strict=True):
            parts[slot].append(note)
    return parts


def read_jsb(path: Path, steps_per_beat: int) -> dict[str, list[Score]]:
    """The published splits of the JSB chorales in sixteenths, by name ("train", "valid", "test").

    The files hold no note beginnings: a pitch is taken as held within a beat and struck anew on every beat.

    Raises:
        FourfoldError: not that kind of file.
    """
    try:
        splits = json.loads(path.read_text(encoding="utf-8"))
        grids = {name: [np.array(piece) for piece in splits[name]] for name in ("train", "valid", "test")}
        for grid in chain(*grids.values()):
            whole = grid.ndim == 2 and grid.shape[1] == 4 and grid.dtype.kind == "i"
            if not (whole and ((grid >= -1) & (grid < 128)).all()):
                raise ValueError("pieces must be steps of four voices, each a MIDI number or -1")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise FourfoldError(f"{path} is not a JSON file of four-part JSB splits: {error}") from error
    return {name: [_held_within_beats(grid, steps_per_beat) for grid in pieces] for name, pieces in grids.items()}


def _held_within_beats(sixteenths: np.ndarray, steps_per_beat: int) -> Score:
    pitches = np.maximum(sixteenths[:: 4 // steps_per_beat], 0).astype(np.int16)
    changed = np.vstack([np.ones((1, 4), dtype=bool), pitches[1:] != pitches[:-1]])
    changed[::steps_per_beat] = True
    return Score(pitches, changed & (pitches > 0), steps_per_beat)


# Writing ---------------------------------------------------------------------------------------------------------


def to_midi(score: Score, beats_per_minute: float = 84.0, program: int = 52) -> PrettyMIDI:
    """A MIDI file with a track a voice; `program` 52 is choir aahs, 19 a church organ."""
    import pretty_midi

    midi = pretty_midi.PrettyMIDI(initial_tempo=beats_per_minute)
    step = 60.0 / beats_per_minute / score.steps_per_beat
    names = VOICES if score.pitches.shape[1] == 4 else tuple(map(str, range(score.pitches.shape[1])))
    midi.instruments = [pretty_midi.Instrument(program=program, name=name) for name in names]
    for voice, begin, end, pitch in notes_of(score):
        note = pretty_midi.Note(velocity=90, pitch=pitch, start=begin * step, end=end * step)
        midi.instruments[voice].notes.append(note)
    return midi


def midi_bytes(score: Score, beats_per_minute: float = 84.0) -> bytes:
    """A MIDI file's bytes."""
    buffer = io.BytesIO()
    to_midi(score, beats_per_minute).write(buffer)
    return buffer.getvalue()


def piano_rolls(scores: Sequence[Score], columns: int = 4, kind: Literal["png", "svg"] = "png") -> bytes:
    """A picture of piano rolls in so many columns, a colour a voice."""
    from matplotlib.figure import Figure

    rows = -(-len(scores) // columns)
    figure = Figure(figsize=(3.0 * columns, 2.0 * rows), dpi=90, layout="constrained")
    axes = np.atleast_1d(figure.subplots(rows, columns, sharey=True, squeeze=False)).ravel()
    for ax, score in zip(axes, scores, strict=False):
        for voice, begin, end, pitch in notes_of(score):
            beats = (begin / score.steps_per_beat, (end - begin) / score.steps_per_beat - 0.06)
            ax.broken_barh([beats], (pitch - 0.4, 0.8), facecolors=COLOURS[voice % 4])
        ax.set(xlim=(0, len(score) / score.steps_per_beat), ylim=(34, 84))
        ax.set_yticks([36, 48, 60, 72, 84], ["C2", "C3", "C4", "C5", "C6"], fontsize=7)
        ax.set_xticks(range(0, len(score) // score.steps_per_beat + 1, 4))
        ax.tick_params(labelsize=7)
        ax.grid(alpha=0.3)
    for ax in axes[len(scores):]:
        ax.axis("off")
    return figure_bytes(figure, kind)


def figure_bytes(figure: Figure, kind: Literal["png", "svg"] = "png") -> bytes:
    """A matplotlib figure as a file of this kind."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind)
    return buffer.getvalue()
