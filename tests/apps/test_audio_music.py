"""Scores: reading, tokens, MIDI and back, and the musical measures on known answers."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from apps.audio.codec import HOLD, REST, ChoraleCodec, pitches_of
from apps.audio.data import MUSIC, ChoraleData, prepare, read_chorales
from apps.audio.metrics import chord_counts, interval_counts, overlap, pitch_class_counts
from apps.audio.scores import Note, Score, coarser, notes_of, on_grid, piano_rolls, read_midi, read_musicxml, to_midi
from core.data.folders import find_files
from core.data.sources import package_files
from core.serialization import from_union, to_dict
from core.spaces import Discrete


def corpus() -> Path:
    return package_files("music21", "10.5.1") / "corpus" / "bach"


def test_musicxml_is_read_as_music21_reads_it() -> None:
    music21 = pytest.importorskip("music21")
    path = corpus() / "bwv66.6.mxl"
    ours = on_grid(read_musicxml(path), 4)
    theirs = music21.converter.parse(path)
    expected = np.zeros_like(ours.pitches)
    for voice, part in enumerate(theirs.parts):
        for note in part.flatten().notes:
            expected[int(note.offset * 4) : int((note.offset + note.quarterLength) * 4), voice] = note.pitch.midi
    assert len(ours) == 144
    assert (ours.pitches == expected).all()
    struck = sum(len(part.flatten().notes) for part in theirs.stripTies().parts)
    assert ours.struck.sum() == struck


def test_grid_samples_notes_at_steps() -> None:
    half = Fraction(1, 2)
    soprano = [Note(Fraction(0), Fraction(2), 60), Note(Fraction(2), 2 + half, 62), Note(2 + half, Fraction(4), 62)]
    score = on_grid([soprano, [], [], [Note(Fraction(1), Fraction(4), 48)]], 2)
    assert score.pitches[:, 0].tolist() == [60] * 4 + [62] * 4
    assert score.struck[:, 0].tolist() == [True, False, False, False, True, True, False, False]
    assert score.pitches[:, 3].tolist() == [0, 0] + [48] * 6
    assert not score.pitches[:, 1].any()
    fine = coarser(on_grid([soprano, [], [], [Note(Fraction(1), Fraction(4), 48)]], 4), 2)
    assert (fine.pitches == score.pitches).all() and (fine.struck == score.struck).all()
    assert sorted(notes_of(score)) == [(0, 0, 4, 60), (0, 4, 5, 62), (0, 5, 8, 62), (3, 2, 8, 48)]


def test_tokens_to_midi_and_back(tmp_path: Path) -> None:
    prepared = prepare(ChoraleData(beats=8, steps_per_beat=2))
    codec, batch = prepared.codec, prepared.test.batch(range(8))
    assert isinstance(codec, ChoraleCodec)
    for index, score in enumerate(codec.decode(batch)):
        path = tmp_path / f"{index}.mid"
        to_midi(score).write(str(path))
        again = on_grid(read_midi(path), 2)
        # Silence at the end is not in a MIDI file.
        assert (again.pitches == score.pitches[: len(again)]).all()
        assert not score.pitches[len(again) :].any()
        if len(again) == len(score):
            assert (codec.encode([again]).x[0] == batch.x[index]).all()


def test_codec_is_saved_folds_octaves_and_takes_stray_holds_for_rests() -> None:
    codec = ChoraleCodec(beats=2, steps_per_beat=1, low=48, high=72)
    assert codec.space == Discrete(length=8, vocab=27)
    assert from_union((ChoraleCodec,), to_dict(codec), "codec") == codec
    pitches = np.array([[84, 72, 60, 36], [84, 0, 62, 37]], dtype=np.int16)
    struck = np.array([[True] * 4, [False, False, True, True]])
    tokens = codec.encode([Score(pitches, struck, 1)]).x
    assert tokens.tolist() == [[26, 26, 14, 2, HOLD, REST, 16, 3]]
    assert pitches_of(np.array([[HOLD, HOLD], [REST, 5], [HOLD, HOLD]]), 48).tolist() == [[0, 0], [0, 51], [0, 51]]


def test_splits_share_no_tune_and_training_is_transposed() -> None:
    splits, _ = read_chorales(find_files(corpus(), MUSIC), 1)
    assert sum(map(len, splits.values())) > 300
    prepared = prepare(ChoraleData())
    grid = np.asarray(prepared.train.x).reshape(len(prepared.train), -1, 4).astype(int)
    assert len(prepared.train) > 5 * sum(len(s) - 15 for s in splits["train"] if len(s) >= 16)
    assert isinstance(prepared.codec, ChoraleCodec)
    pitches = pitches_of(grid, prepared.codec.low)
    soprano = pitches[:, :, 0][pitches[:, :, 0] > 0]
    assert soprano.min() >= 55 and soprano.max() <= 84
    openings = {name: {np.diff(s.pitches[:, 0][s.struck[:, 0]])[:8].tobytes() for s in pieces}
                for name, pieces in splits.items()}
    assert not openings["train"] & openings["test"]
    assert not openings["train"] & openings["validation"]


def test_measures_on_known_music() -> None:
    scale = np.array([60, 62, 64, 65, 67, 69, 71, 72])
    pitches = np.stack([scale, scale - 3, scale - 8, scale - 12], axis=1)[None].astype(np.int16)
    struck = np.ones_like(pitches, dtype=bool)
    intervals = interval_counts(pitches, struck)[0]
    assert intervals[12 + 2] == 5 * 4 and intervals[12 + 1] == 2 * 4 and intervals.sum() == 28
    unison = np.stack([scale] * 4, axis=1)[None]
    for shift in range(12):  # the same in every key
        assert pitch_class_counts(unison + shift)[0].tolist() == [8, 0, 4, 0, 4, 4, 0, 4, 0, 4, 0, 4]
    chord = np.array([[[72, 67, 64, 48], [72, 67, 0, 48]]])
    assert np.flatnonzero(chord_counts(chord)[0]).tolist() == [1 << 0 | 1 << 4 | 1 << 7]
    a, b = np.array([[1.0, 1, 0], [1, 1, 0]]), np.array([[0.0, 2, 2]])
    assert overlap(a, a) == 1 and overlap(a, b) == 0.5 and overlap(a[:, :1], b[:, :1]) == 0


def test_piano_roll_is_a_picture() -> None:
    prepared = prepare(ChoraleData())
    assert isinstance(prepared.codec, ChoraleCodec)
    assert piano_rolls(prepared.codec.decode(prepared.test.batch(range(3)))).startswith(b"\x89PNG")
