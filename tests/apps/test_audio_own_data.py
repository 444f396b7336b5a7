"""Music and sounds of a user's own: hostile files end at once, copies share a split, all that is changed is told."""

from __future__ import annotations

import contextlib
import io
import logging
import struct
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from apps.audio.data import MUSIC, ChoraleData, prepare, read_chorales, tunes_of
from apps.audio.notes import NoteData
from apps.audio.scores import Score, on_grid, read_midi, read_musicxml, to_midi
from apps.audio.sound import read_recording, read_sound
from core.data.folders import find_files
from core.errors import FourfoldError


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    caplog.set_level(logging.WARNING)
    return lambda: [record.getMessage() for record in caplog.records]


def refuses(read: Callable[[], object], expected: str) -> None:
    """One clear line, in three seconds and 200 MB."""
    start = time.process_time()
    with pytest.raises(FourfoldError) as caught:
        read()
    took = time.process_time() - start
    assert took < 3
    if took < 0.3:  # tracing takes ten times the time
        tracemalloc.start()
        try:
            with pytest.raises(FourfoldError):
                read()
            assert tracemalloc.get_traced_memory()[1] < 200e6
        finally:
            tracemalloc.stop()
    assert expected in str(caught.value) and "\n" not in str(caught.value), str(caught.value)


# MIDI ----------------------------------------------------------------------------------------------------------------


def midi(events: bytes, division: int = 1, tracks: int = 1) -> bytes:
    header = b"MThd" + struct.pack(">IHHH", 6, 0, tracks, division)
    return header + b"MTrk" + struct.pack(">I", len(events)) + events


NOTE = b"\x00\x90\x3c\x40"  # C begins
MANY = b"".join(b"\x00\x90%c\x40\x01\x80%c\x00" % (pitch, pitch) for pitch in range(40, 80))
MIDI: dict[str, tuple[bytes, str]] = {
    "long": (midi(NOTE + b"\x84\xdc\x9f\x00\x80\x3c\x00\x00\xff\x2f\x00"), "quarter notes"),
    "many notes": (midi(MANY * 1300, 480), "50,000 notes"),
    "sounding at once": (midi(b"".join(b"\x00\x90%c\x40" % p for p in range(1, 128))
                              + b"\x81\x9b\x00" + b"\x00".join(b"\x80%c\x00" % p for p in range(1, 128))), "at once"),
    "a number without end": (midi(b"\xff" * 1_000_000), "more than four bytes"),
    "a large file": (midi(b"\x00" * 2**21), "more than 2,097,152 bytes"),
    "no division": (midi(NOTE + b"\x01\x80\x3c\x00", 0), "quarter notes"),
    "frames of film": (midi(NOTE + b"\x01\x80\x3c\x00", 0xE728), "quarter notes"),
    "cut": (midi(NOTE + b"\x01\x80\x3c\x00")[:-2], "cut short"),
    "cut in a message": (midi(NOTE + b"\x01\x80\x3c"), "cut short"),
    "a text that is longer than its track": (midi(b"\x00\xff\x01\x7fabc"), "cut short"),
    "fewer tracks than said": (midi(NOTE + b"\x01\x80\x3c\x00", 1, 300), "cut short"),
    "no status": (midi(b"\x00\x3c\x40"), "no known kind"),
    "above 127": (midi(b"\x00\x90\xbc\x40"), "above 127"),
    "never ended": (midi(NOTE), "has no notes"),
    "drums only": (midi(b"\x00\x99\x3c\x40\x01\x89\x3c\x00"), "has no notes"),
    "empty": (b"", "empty"),
}


@pytest.mark.parametrize("name", MIDI)
def test_broken_midi_is_refused_at_once(name: str, tmp_path: Path) -> None:
    content, expected = MIDI[name]
    (tmp_path / "x.mid").write_bytes(content)
    refuses(lambda: on_grid(read_midi(tmp_path / "x.mid"), 4), expected)


def test_mutated_midi_is_read_or_refused(tmp_path: Path) -> None:
    random, good = np.random.default_rng(0), io.BytesIO()
    pitches = random.integers(40, 80, (32, 4)).astype(np.int16)
    to_midi(Score(pitches, np.ones((32, 4), bool), 2)).write(good)
    path, read = tmp_path / "x.mid", 0
    for _ in range(400):
        content = bytearray(good.getvalue())
        for at in random.integers(0, len(content), random.integers(1, 4)):
            content[at] = random.integers(0, 256)
        path.write_bytes(content)
        start = time.process_time()
        with contextlib.suppress(FourfoldError):
            read += len(on_grid(read_midi(path), 4)) > 0
        assert time.process_time() - start < 2
    assert 50 < read < 400


def test_running_status_program_changes_and_chords_are_read(tmp_path: Path) -> None:
    path = tmp_path / "x.mid"
    path.write_bytes(midi(b"\x00\xff\x58\x04\x04\x02\x18\x08" + b"\x00\x90\x3c\x40\x00\x40\x40\x02\x3c\x00\x00\xc0\x05"
                          b"\x00\xf0\x02\x01\xf7\x00\x90\x3e\x40\x02\x3e\x00\x00\x40\x00\x00\xff\x2f\x00junk", 2))
    grid = on_grid(read_midi(path), 1)
    assert grid.pitches.tolist() == [[64, 0, 0, 60], [62, 0, 0, 0]]


# MusicXML ------------------------------------------------------------------------------------------------------------


def musicxml(note: str = "", divisions: object = 1, duration: object = 1, head: str = "", repeat: int = 1) -> bytes:
    body = f"<note>{note or '<pitch><step>C</step><octave>4</octave></pitch>'}<duration>{duration}</duration></note>"
    return (f'<?xml version="1.0"?>{head}<score-partwise><part id="P1"><measure><attributes><divisions>{divisions}'
            f"</divisions></attributes>{body * repeat}</measure></part></score-partwise>").encode()


def pitch(step: str = "C", octave: object = 4, alter: object = 0) -> str:
    return f"<pitch><step>{step}</step><alter>{alter}</alter><octave>{octave}</octave></pitch>"


ENTITIES = "<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'>" + "".join(
    f"<!ENTITY {b} '{f'&{a};' * 10}'>" for a, b in zip("abcdefgh", "bcdefghi", strict=True)) + "]>"
XML: dict[str, tuple[bytes, str]] = {
    "alter": (musicxml(pitch(alter="inf")), "alter is 'inf'"),
    "far alter": (musicxml(pitch(alter="1e9")), "alter is '1e9'"),
    "octave": (musicxml(pitch(octave=99_999)), "octave is '99999'"),
    "high": (musicxml(pitch("B", 9)), "outside of 1 to 127"),
    "step": (musicxml(pitch("H")), "step is 'H'"),
    "fraction": (musicxml(duration="1/0"), "duration is '1/0'"),
    "exponent": (musicxml(duration="1e9999999"), "duration is '1e9999999'"),
    "negative": (musicxml(duration=-4), "duration is '-4'"),
    "long": (musicxml(duration=10**8), "quarter notes"),
    "very long": (musicxml(duration=10**80), "duration is '1000"),
    "zero": (musicxml(divisions=0), "divisions is '0'"),
    "no number": (musicxml(divisions="x"), "divisions is 'x'"),
    "many notes": (musicxml(repeat=51_000), "51,000 notes"),
    "entities": (musicxml(head=ENTITIES, note="<lyric>&i;</lyric>"), "defines entities"),
    "entities in UTF-16": (musicxml(head=ENTITIES, note="<lyric>&i;</lyric>").decode().encode("utf-16"), "entities"),
    "cut": (musicxml()[:-9], "not a readable MusicXML"),
    "deep": (b"<score-partwise>" + b"<part>" * 100_000, "not a readable MusicXML"),
    "binary": (bytes(range(256)), "not a readable MusicXML"),
    "empty": (b"", "not a readable MusicXML"),
    "large": (musicxml(head=" " * 11_000_000), "more than 10,485,760 bytes"),
}


@pytest.mark.parametrize("name", XML)
@pytest.mark.parametrize("packed", [False, True])
def test_broken_musicxml_is_refused_at_once(name: str, packed: bool, tmp_path: Path) -> None:
    content, expected = XML[name]
    path = tmp_path / ("x.mxl" if packed else "x.musicxml")
    path.write_bytes(zipped({"a.xml": content}) if packed else content)
    refuses(lambda: on_grid(read_musicxml(path), 4), expected)


def zipped(members: dict[str, bytes], rootfile: str = "a.xml") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("META-INF/container.xml", f'<container><rootfile full-path="{rootfile}"/></container>')
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def test_broken_archives_are_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "x.mxl"
    good = zipped({"a.xml": musicxml()})
    path.write_bytes(good)
    assert len(read_musicxml(path)) == 1
    bomb = zipped({"a.xml": b" " * 300_000_000})
    encrypted = good.replace(b"PK\x03\x04\x14\x00\x00", b"PK\x03\x04\x14\x00\x01").replace(
        b"PK\x01\x02\x14\x03\x14\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01")
    for content, expected in (
        (bomb, "more than 10,485,760 bytes"), (good[:-30], "not a readable"), (b"PK", "not a readable"),
        (zipped({"b.xml": b""}), "it lacks"), (zipped({}, ""), "not a readable"), (encrypted, "password required"),
    ):
        path.write_bytes(content)
        refuses(lambda: read_musicxml(path), expected)


def test_mutated_archives_are_read_or_refused(tmp_path: Path) -> None:
    random, good, path = np.random.default_rng(0), zipped({"a.xml": musicxml(repeat=40)}), tmp_path / "x.mxl"
    for _ in range(300):
        content = bytearray(good)
        for at in random.integers(0, len(content), random.integers(1, 4)):
            content[at] = random.integers(0, 256)
        path.write_bytes(content)
        try:
            read_musicxml(path)
        except FourfoldError as error:
            assert "\n" not in str(error)


def test_utf_16_and_common_forms_are_read(tmp_path: Path) -> None:
    path = tmp_path / "x.musicxml"
    head = '<!DOCTYPE score-partwise PUBLIC "-//Recordare//DTD MusicXML 3.0 Partwise//EN" "http://x/partwise.dtd">'
    content = musicxml(pitch("F", 4, 1), divisions=2, duration=3, head=head, repeat=3)
    path.write_bytes(content)
    plain = read_musicxml(path)
    path.write_bytes(content.decode().replace("?>", ' encoding="UTF-16"?>', 1).encode("utf-16"))
    assert read_musicxml(path) == plain
    assert [(note.pitch, float(note.begin), float(note.end)) for note in plain[0]] == [
        (66, 0, 1.5), (66, 1.5, 3), (66, 3, 4.5)]


# Folders of music ----------------------------------------------------------------------------------------------------


def piece(seed: int, beats: int = 24, opening: list[int] | None = None) -> Score:
    random = np.random.default_rng(seed)
    pitches = random.integers([60, 55, 50, 40], [76, 66, 60, 52], (beats, 4)).astype(np.int16)
    if opening:
        pitches[: len(opening), 0] = opening
    return Score(pitches, np.ones((beats, 4), bool), 1)


def test_a_folder_of_music_says_what_it_left_out(tmp_path: Path, said: Callable[[], list[str]]) -> None:
    for i in range(24):
        to_midi(piece(i, 8 if i == 5 else 24)).write(str(tmp_path / f"{i:02}.mid"))
    (tmp_path / "copy.mid").write_bytes((tmp_path / "03.mid").read_bytes())
    (tmp_path / "._03.mid").write_bytes(b"x")
    (tmp_path / "duet.musicxml").write_bytes(musicxml(repeat=20))
    (tmp_path / "piano.mid").write_bytes(midi(MANY, 1))
    (tmp_path / "broken.mid").write_bytes(MIDI["long"][0])
    (tmp_path / "notes.txt").write_text("x")
    for _ in range(2):  # from the cache too
        prepare(ChoraleData(folder=str(tmp_path), transpose=False))
    lines = said()
    for expected in ("1 hidden file skipped (._03.mid)", ".txt 1", "1 of 28 pieces cannot be read: ",
                     "1 of 27 pieces left out: they are not in four parts", "1 of 27 pieces have not four tracks",
                     "26 pieces are 25 different", "pieces of the train split left out: they last less than 16 beats"):
        assert sum(expected in line for line in lines) == 2, (expected, lines)


def test_no_opening_puts_most_pieces_into_one_group() -> None:
    several = [piece(i, opening=[60, 62, 64, 65, 67, 69, 71, 72, 74]) for i in (1, 2)]
    higher = Score(several[0].pitches + 2, several[0].struck, 1)
    others = [piece(i) for i in range(10, 40)]
    silent = [Score(np.where(np.arange(4) == 0, 0, piece(i).pitches), piece(i).struck, 1) for i in range(50, 90)]
    tunes, lines = tunes_of([*several, higher, *others, *silent])
    assert len(set(tunes[:3])) == 1 and len(set(tunes)) == 1 + 30 + 40 and lines == []
    still = [piece(i, opening=[60] * 12) for i in range(50, 90)]
    assert len(set(tunes_of([*others, *still])[0])) == 70
    same = [piece(i, opening=[60, 62, 64, 65, 67, 69, 71, 72, 74]) for i in range(50, 90)]
    tunes, lines = tunes_of([*others, *same, same[3]])
    assert len(set(tunes)) == 70 and tunes[-1] == tunes[33] and "41 of 71 pieces begin with the same melody" in lines[0]


def test_broken_pieces_of_a_small_folder_are_named_together(tmp_path: Path) -> None:
    for i in range(6):
        to_midi(piece(i)).write(str(tmp_path / f"{i}.mid"))
    (tmp_path / "a.mid").write_bytes(b"")
    (tmp_path / "b.mxl").write_bytes(b"")
    with pytest.raises(FourfoldError, match=r"2 of 8 pieces cannot be read: .*a.mid is .*; .*b.mxl is "):
        read_chorales(find_files(tmp_path, MUSIC), 1)


# Sounds --------------------------------------------------------------------------------------------------------------


def wav(rate: int = 16000, channels: int = 1, size: int | None = None) -> bytes:
    data = np.zeros(400, np.int16).tobytes()
    size = len(data) if size is None else size
    form = struct.pack("<HHIIHH", 1, channels, rate, (rate * 2 * channels) % 2**32, 2 * channels, 16)
    head = b"RIFF" + struct.pack("<I", 36 + len(data)) + b"WAVEfmt " + struct.pack("<I", 16) + form
    return head + b"data" + struct.pack("<I", size) + data


@pytest.mark.parametrize("rate", [0, 1, 16000 ^ 2**30, 16000 ^ 2**20, 2**32 - 1])
def test_a_wrong_rate_is_refused_at_once(rate: int, tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_bytes(wav(rate))
    refuses(lambda: read_sound(tmp_path / "x.wav", 16000), "x.wav")


def test_claimed_lengths_take_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "x.flac"
    soundfile.write(path, 0.1 * np.sin(np.arange(4000)), 16000)
    content = bytearray(path.read_bytes())
    content[21] |= 0x0F  # the count of samples of the whole file, 36 bits
    content[22:26] = b"\xff" * 4
    path.write_bytes(content)
    refuses(lambda: read_sound(path, 16000), "numbers, of")
    (tmp_path / "y.wav").write_bytes(wav(size=2**32 - 1))
    (tmp_path / "z.wav").write_bytes(wav(channels=1000))
    for name in ("x.flac", "y.wav", "z.wav"):
        tracemalloc.start()
        try:
            assert len(read_recording(tmp_path / name, 16000, 16000).samples) <= 18000
        except FourfoldError as error:
            assert "\n" not in str(error)
        assert tracemalloc.get_traced_memory()[1] < 100e6
        tracemalloc.stop()


@pytest.mark.parametrize("kind", ["wav", "flac", "ogg", "aiff"])
def test_mutated_headers_are_read_or_refused(kind: str, tmp_path: Path) -> None:
    random, path = np.random.default_rng(0), tmp_path / f"x.{kind}"
    soundfile.write(path, 0.1 * np.sin(np.arange(4000)), 16000)
    good = path.read_bytes()
    for _ in range(150):
        content = bytearray(good)
        for at in random.integers(0, min(120, len(content)), random.integers(1, 3)):
            content[at] = random.integers(0, 256)
        path.write_bytes(content)
        start = time.process_time()
        try:
            read_recording(path, 16000, 16000)
        except FourfoldError as error:
            assert "\n" not in str(error)
        assert time.process_time() - start < 3


def test_a_long_recording_is_read_as_far_as_it_is_used(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for rate in (8000, 16000, 44100, 48000):
        samples = 0.1 * random.normal(size=rate * 20)
        soundfile.write(tmp_path / "x.wav", samples, rate, subtype="FLOAT")
        whole = read_sound(tmp_path / "x.wav", 16000)
        some = read_recording(tmp_path / "x.wav", 16000, 16000)
        assert 16000 < len(some.samples) < 17000 and (some.channels, some.rate) == (1, rate)
        np.testing.assert_allclose(some.samples[:16000], whole[:16000], atol=1e-6)


def test_a_folder_of_sounds_says_what_it_made_of_them(tmp_path: Path, said: Callable[[], list[str]]) -> None:
    random = np.random.default_rng(0)
    (tmp_path / "high" / "deep").mkdir(parents=True)
    (tmp_path / "low").mkdir()
    for i in range(24):
        rate, channels, seconds = (44100, 2, 2) if i < 5 else (16000, 1, 0.25)
        samples = 0.3 * random.normal(size=(round(rate * seconds), 1)) * np.ones(channels)
        soundfile.write(tmp_path / ("high/deep" if i % 2 else "low") / f"{i}.wav", samples, rate)
    (tmp_path / "low" / "copy.wav").write_bytes((tmp_path / "low" / "6.wav").read_bytes())
    (tmp_path / "low" / "._6.wav").write_bytes(b"x")
    (tmp_path / "low" / "bad.wav").write_bytes(wav(2**31))
    soundfile.write(tmp_path / "beside.wav", np.zeros(100), 16000)
    for _ in range(2):  # from the cache too
        prepared = prepare(NoteData(folder=str(tmp_path)))
    assert prepared.codec.conditions["instrument"].names == ("high", "low")  # type: ignore[union-attr]
    assert sum(map(len, (prepared.train, prepared.validation, prepared.test))) == 25
    lines = said()
    for expected in ("1 hidden file skipped", "1 sounds beside the class folders", "1 of 26 sounds cannot be read: ",
                     "5 of 25 sounds resampled to 16,000", "5 of 25 sounds mixed down to mono",
                     "5 of 25 sounds cut to 0.99", "20 of 25 sounds padded with silence to 0.99",
                     "2 of 25 sounds are copies or near copies"):
        assert sum(expected in line for line in lines) == 2, (expected, lines)


def test_copies_of_sounds_lie_in_one_split(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for i in range(30):
        samples = 0.3 * np.sin(np.arange(16000) * 0.1 * 1.12**i)
        for copy in range(3):
            soundfile.write(tmp_path / f"{copy}-{i}.wav", samples + 1e-4 * random.normal(size=16000), 16000)
    prepared = prepare(NoteData(folder=str(tmp_path)))
    parts = [np.asarray(part.x) for part in (prepared.train, prepared.validation, prepared.test)]
    assert [len(part) for part in parts] == [69, 9, 12]
    for held in parts[1:]:
        near = np.abs(held[:, None].astype(float) - parts[0][None]).reshape(len(held), len(parts[0]), -1).mean(-1)
        assert near.min() > 2
