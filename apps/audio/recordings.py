"""Recordings as waveforms, for vocoders: speech, drums, or whatever a folder holds."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from apps.audio.sound import EXTENSIONS, Mel, read_recording, scaled_mel
from apps.audio.waveforms import WaveCodec
from core.batches import Batch
from core.data.arrays import ArrayData
from core.data.cache import cached
from core.data.folders import as_array, as_lines, find_files, read_all
from core.data.sources import in_data
from core.data.splits import split
from core.errors import FourfoldError, require
from core.runs.domain import Prepared
from core.spaces import Continuous

VERSION = 1
ROW = 4
"""Examples that a stored row is long: each step cuts one out of it, anywhere."""
SPEECH = Mel(rate=16_000, fft=1024, hop=200, mels=80, frames=41, low=20.0, floor=-60.0)
"""80 bands, 80 spectra a second, half a second an example."""
SOURCES = {"fsdd": "audio/fsdd/recordings", "asterisk-en": "audio/asterisk-en/wav", "drums": "audio/drums"}

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class RecordingData:
    """Waveforms with their spectrograms.

    Attributes:
        source: a folder of $FOURFOLD_DATA: "fsdd" (spoken digits), "asterisk-en" (a telephone's prompts) or "drums".
        folder: your own folder of sound files, instead of a source.
        mel: spectrogram settings; `mel.frames` is the length of an example.
    """

    source: Literal["fsdd", "asterisk-en", "drums"] = "asterisk-en"
    folder: str | None = None
    mel: Mel = field(default_factory=lambda: SPEECH)

    def __post_init__(self) -> None:
        require(self.mel.samples >= self.mel.fft, "data.mel.frames", self.mel.frames, "must last at least mel.fft")


def sound_folder(folder: str | None, source: str) -> Path:
    """The user's own folder, or the one in $FOURFOLD_DATA that a source names.

    Raises:
        FourfoldError: it is not there.
    """
    if folder is not None:
        found = Path(folder).expanduser()
        if not found.is_dir():
            raise FourfoldError(f"data.folder is {folder!r}: no such folder")
        return found
    path = in_data(SOURCES[source])
    if path is None:
        raise FourfoldError(f"no {source}: put its sound files into {SOURCES[source]}/ of the folder $FOURFOLD_DATA "
                            "names, or give a folder of your own with --data")
    return path


def prepare_recordings(data: RecordingData) -> Prepared[WaveCodec]:
    """Waveforms of whole recordings in three splits.

    Raises:
        FourfoldError: the folder is missing, holds too few sounds, or too many that cannot be read.
    """
    root, mel = sound_folder(data.folder, data.source), data.mel
    found = find_files(root, EXTENSIONS, known=("metadata.csv",))  # of speech
    arrays = cached("recordings", VERSION, [mel, root.name, *found.files],
                    lambda: _recording_arrays(root, found.files, mel))
    for line in [*found.report("recordings"), *as_lines(arrays["said"])]:
        log.warning(line)
    codec = WaveCodec(mel=mel)
    space = Continuous(shape=(1, ROW * mel.samples), levels=2**16)
    return Prepared(codec=codec, **{
        name: ArrayData(space, arrays[name], vary=partial(with_spectrograms, mel)) for name in
        ("train", "validation", "test")
    })


def with_spectrograms(mel: Mel, batch: Batch, generator: torch.Generator) -> Batch:
    """An example cut out of each row, at random, and its spectrogram as the condition "mel"."""
    starts = torch.randint(batch.x.shape[2] - mel.samples + 1, (len(batch),), generator=generator)
    x = torch.stack([row[:, at : at + mel.samples] for row, at in zip(batch.x, starts.tolist(), strict=True)])
    return Batch(x, {"mel": scaled_mel(x[:, 0], mel)})


def _recording_arrays(root: Path, files: tuple[Path, ...], mel: Mel) -> dict[str, np.ndarray]:
    """Of each split rows of 16-bit levels `[n, 1, ROW * mel.samples]`; recordings follow one another without a gap."""
    if len(files) < 10:
        raise FourfoldError(f"{root} holds {len(files)} sound files: at least 10 are needed")
    changed: Counter[str] = Counter()

    def read(path: Path) -> np.ndarray:
        recording = read_recording(path, mel.rate)
        changed[f"resampled to {mel.rate:,} samples a second"] += recording.rate != mel.rate
        changed["mixed down to mono"] += recording.channels > 1
        return np.asarray(np.rint((recording.samples.clip(-1, 1) + 1) * (2**16 - 1) / 2), dtype=np.uint16)

    found, said = read_all(files, read, what="recordings")
    said += [f"{count:,} of {len(found):,} recordings {what}" for what, count in sorted((+changed).items())]
    sounds = [samples for _, samples in found]
    held, row = min(100, max(1, len(sounds) // 10)), ROW * mel.samples
    arrays = {"said": as_array([f"{root.name}: {line}" for line in said])}
    for name, rows in vars(split(list(range(len(sounds))), test=held, validation=held)).items():
        stream = np.concatenate([sounds[i] for i in rows])
        if len(stream) < row:
            seconds, needed = len(stream) / mel.rate, row / mel.rate
            raise FourfoldError(f"{root}: the recordings of the {name} split last {seconds:.1f} seconds, and at least "
                                f"{needed:.1f} are needed: give more of them")
        arrays[name] = stream[: len(stream) // row * row].reshape(-1, 1, row)
    return arrays
