"""A training set of speech where there are no recordings: sentences read by a voice that comes as a package.

The voice is hibari-tts (Apache-2.0, its model in the wheel). What it makes is a folder in LJSpeech's format:
metadata.csv with a line `name|text` a sentence, and wavs/name.wav.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from apps.audio.sound import resample, wav_bytes
from core.data.sources import read_text
from core.errors import FourfoldError
from core.extras import needed
from core.files import write_atomically
from core.runs.tasks import Progress

TEACHER_RATE = 24_000
SHORTEST, LONGEST = 3, 240
"""Characters of a sentence that is read."""


def teacher() -> Any:
    """The teacher: called with text it returns float32 samples at `TEACHER_RATE`.

    Raises:
        FourfoldError: it is not installed.
    """
    return needed("hibari", "speech").Hibari()


def sentences_of(path: Path, n: int, seed: int = 0) -> list[str]:
    """`n` different sentences of a text file (.txt, or packed as .gz), in random order.

    Lines that follow each other are one text; a blank line, or a line that ends a sentence, parts them.

    Raises:
        FourfoldError: the file cannot be read, or has no sentence.
    """
    parts = re.split(r"(?<=[.!?])[\"')]*\s+|\n\s*\n", read_text(path))
    sentences = list(dict.fromkeys(" ".join(part.split()) for part in parts))
    sentences = [s for s in sentences if SHORTEST <= len(s) <= LONGEST and any(c.isalpha() for c in s)]
    if not sentences:
        raise FourfoldError(f"{path} has no sentence of {SHORTEST} to {LONGEST} characters: give a text file")
    order = np.random.default_rng(seed).permutation(len(sentences))[:n]
    return [sentences[i] for i in order]


def write_lessons(sentences: Sequence[str], folder: Path, rate: int, progress: Progress) -> list[Path]:
    """Each sentence read by the teacher as wavs/NNNNN.wav, and metadata.csv, which is written last.

    What is there already is kept, so that the same call goes on where it was stopped.
    """
    voice, wavs = teacher(), folder / "wavs"
    wavs.mkdir(parents=True, exist_ok=True)
    lines = []
    for index, text in enumerate(sentences):
        path = wavs / f"{index:05d}.wav"
        if not path.exists():
            samples = np.asarray(voice(text, seed=index), dtype=np.float32)
            write_atomically(path, wav_bytes(resample(samples, TEACHER_RATE, rate), rate))
        lines.append(f"{path.stem}|{text.replace('|', ' ')}\n")
        progress.step(index + 1, len(sentences))
    metadata = folder / "metadata.csv"
    write_atomically(metadata, "".join(lines).encode())
    return [metadata]
