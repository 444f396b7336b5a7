"""How music and sounds are judged: likelihood per note, overlaps of musical histograms, Fréchet distance of notes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from apps.audio.codec import FIRST_PITCH, pitches_of

if TYPE_CHECKING:
    pass

# Krumhansl & Kessler (1982): how well each degree fits a major and a minor key.
MAJOR = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
MINOR = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)
LARGEST_INTERVAL = 12


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Overlapping area of two histograms of counts, summed over their first axes `[N, bins]`: 1 when equal, 0 when disjoint."""
    p, q = a.sum(0, dtype=np.float64), b.sum(0, dtype=np.float64)
    return float(np.minimum(p / max(p.sum(), 1), q / max(q.sum(), 1)).sum())


def pitch_class_counts(pitches: np.ndarray) -> np.ndarray:
    """Time that each pitch class sounds, counted from the window's tonic: `[N, T, 4]` -> `[N, 12]`.

    The tonic is the one of the best-correlated of the 24 keys (Krumhansl 1990), so that a piece counts the
    same in every transposition.
    """
    counts = np.stack([((pitches % 12 == c) & (pitches > 0)).sum((1, 2)) for c in range(12)], axis=1)
    profiles = np.array([np.roll(profile, tonic) for profile in (MAJOR, MINOR) for tonic in range(12)])
    centred = counts - counts.mean(1, keepdims=True)
    tonic = (centred @ (profiles - profiles.mean(1, keepdims=True)).T).argmax(1) % 12
    return np.take_along_axis(counts, (tonic[:, None] + np.arange(12)) % 12, axis=1)


def interval_counts(pitches: np.ndarray, struck: np.ndarray) -> np.ndarray:
    """Melodic intervals in semitones, larger than an octave counted as an octave: `[N, T, 4]` -> `[N, 25]`."""
    counts = np.zeros((len(pitches), 2 * LARGEST_INTERVAL + 1))
    for voice in range(pitches.shape[2]):
        for row, (line, begins) in enumerate(zip(pitches[:, :, voice], struck[:, :, voice], strict=True)):
            steps = np.diff(line[begins].astype(np.int64)).clip(-LARGEST_INTERVAL, LARGEST_INTERVAL)
            counts[row] += np.bincount(steps + LARGEST_INTERVAL, minlength=counts.shape[1])
    return counts


def chord_counts(pitches: np.ndarray) -> np.ndarray:
    """Chords by their pitch classes above the bass: `[N, T, 4]` -> `[N, 4096]` counts of sets."""
    full = (pitches > 0).all(2)
    above = (pitches - pitches.min(2, keepdims=True)) % 12
    sets = np.bitwise_or.reduce(1 << above.astype(np.int64), axis=2)
    counts = np.zeros((len(pitches), 4096), dtype=np.float32)
    for row in range(len(pitches)):
        counts[row] = np.bincount(sets[row][full[row]], minlength=4096)
    return counts


def music_counts(tokens: np.ndarray, low: int) -> dict[str, np.ndarray]:
    """The histograms, per window, by the name of their overlap; tokens `[N, 4 T]` with `low` the lowest pitch."""
    grid = tokens.reshape(len(tokens), -1, 4).astype(np.int64)
    pitches, struck = pitches_of(grid, low), grid >= FIRST_PITCH
    return {
        "melodic_interval_overlap": interval_counts(pitches, struck),
        "pitch_class_overlap": pitch_class_counts(pitches),
        "chord_overlap": chord_counts(pitches),
    }
