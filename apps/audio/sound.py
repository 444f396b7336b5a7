"""Waveforms: reading and writing files, log-mel spectrograms and back, and a soundfont synthesizer."""

from __future__ import annotations

import importlib
import io
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import Tensor, nn

from apps.audio.scores import Score, notes_of, to_midi
from core.errors import FourfoldError, require

TINYSOUNDFONT = "0.3.7"
EXTENSIONS = (".wav", ".flac", ".ogg", ".mp3", ".aif", ".aiff")
LOWEST_RATE, HIGHEST_RATE = 1_000, 400_000  # samples a second of a file
MOST_NUMBERS = 2**26  # samples times channels that are read of a file


@dataclass(frozen=True, kw_only=True)
class Mel:
    """The settings of a log-mel spectrogram of fixed length.

    Attributes:
        rate: samples a second; sounds are resampled to it.
        fft, hop: window and step in samples.
        mels: bands from `low` Hz to half the rate.
        frames: spectra in one example; it lasts `hop * (frames - 1)` samples.
        floor, ceiling: decibels (of a mel band's power) under which all is silence, and that none exceeds.
    """

    rate: int = 16000
    fft: int = 1024
    hop: int = 512
    mels: int = 32
    frames: int = 32
    low: float = 30.0
    floor: float = -50.0
    ceiling: float = 30.0

    def __post_init__(self) -> None:
        require(4000 <= self.rate <= 48000, "mel.rate", self.rate, "must be 4000 to 48000 samples a second")
        require(8 <= self.mels <= 256, "mel.mels", self.mels, "must be 8 to 256")
        require(8 <= self.frames <= 1024, "mel.frames", self.frames, "must be 8 to 1024")
        require(16 <= self.fft <= 16_384, "mel.fft", self.fft, "must be 16 to 16384 samples")
        require(1 <= self.hop <= self.fft // 2, "mel.hop", self.hop, "must be at most half of mel.fft")
        require(self.floor < self.ceiling, "mel.floor", self.floor, "must be below mel.ceiling")

    @property
    def samples(self) -> int:
        """Length of an example's waveform."""
        return self.hop * (self.frames - 1)


@dataclass(frozen=True)
class Sound:
    """A sound as a log-mel spectrogram.

    Attributes:
        decibels: `[mels, frames]` between `mel.floor` and `mel.ceiling`; label: its class.
        samples: its waveform, where it is known.
        vocoder: what makes it audible where it is not, `[N, mels, frames]` -> `[N, samples]`; None for Griffin-Lim.
    """

    decibels: np.ndarray
    mel: Mel
    label: str | None = None
    samples: np.ndarray | None = None
    vocoder: Callable[[np.ndarray], np.ndarray] | None = None

    def wave(self) -> np.ndarray:
        """The waveform `[samples]`, in [-1, 1]."""
        return waves([self])[0]


def torchaudio_transforms() -> ModuleType:
    """`torchaudio.transforms`.

    Raises:
        FourfoldError: torchaudio is missing or built for another torch.
    """
    try:
        return importlib.import_module("torchaudio.transforms")
    except (ImportError, OSError) as error:
        reason = str(error).split("\n")[0] if str(error) else type(error).__name__
        raise FourfoldError(
            f"torchaudio does not load ({reason}): install the torchaudio that matches torch {torch.__version__}"
        ) from error


@lru_cache(maxsize=4)
def _forward(mel: Mel) -> nn.Module:
    transform: nn.Module = torchaudio_transforms().MelSpectrogram(
        sample_rate=mel.rate, n_fft=mel.fft, hop_length=mel.hop, n_mels=mel.mels, f_min=mel.low, norm="slaney",
        mel_scale="slaney",
    )
    return transform


def log_mel(waveforms: np.ndarray, mel: Mel) -> np.ndarray:
    """Waveforms `[N, mel.samples]` at `mel.rate` -> decibels `[N, mels, frames]` between floor and ceiling."""
    power = power_mel(torch.as_tensor(waveforms, dtype=torch.float32), mel)
    return (10 * power.clamp(min=1e-12).log10()).clamp(mel.floor, mel.ceiling).numpy()


def power_mel(waveforms: Tensor, mel: Mel) -> Tensor:
    """Waveforms `[N, samples]` -> the power in each mel band `[N, mels, frames]`, differentiable."""
    power: Tensor = _forward(mel)(waveforms)
    return power


def scaled_mel(waveforms: Tensor, mel: Mel) -> Tensor:
    """Waveforms `[N, samples]` -> log-mel spectrograms `[N, mels, frames]`, floor to ceiling as -1 to 1."""
    decibels = 10 * power_mel(waveforms, mel).clamp(min=10 ** (mel.floor / 10)).log10()
    return scaled(decibels.clamp(max=mel.ceiling), mel)


def scaled(decibels: Tensor, mel: Mel) -> Tensor:
    """Decibels from floor to ceiling as -1 to 1."""
    return (decibels - mel.floor) * (2 / (mel.ceiling - mel.floor)) - 1


def waves(sounds: Sequence[Sound]) -> list[np.ndarray]:
    """The waveforms `[samples]` of sounds of one `Mel` and one vocoder, in [-1, 1]."""
    known = [sound.samples for sound in sounds if sound.samples is not None]
    if len(known) == len(sounds):
        return known
    decibels, vocoder = np.stack([sound.decibels for sound in sounds]), sounds[0].vocoder
    return list(griffin_lim(decibels, sounds[0].mel) if vocoder is None else vocoder(decibels))


@torch.no_grad()
def griffin_lim(decibels: np.ndarray, mel: Mel, iterations: int = 48) -> np.ndarray:
    """Spectrograms `[N, mels, frames]` -> waveforms `[N, hop * (frames - 1)]` by fast Griffin-Lim (Perraudin 2013)."""
    values = torch.as_tensor(decibels, dtype=torch.float32)
    power = torch.where(values <= mel.floor, 0.0, 10 ** (values / 10))
    invert = torchaudio_transforms().GriffinLim(
        n_fft=mel.fft, hop_length=mel.hop, n_iter=iterations, power=2.0, length=mel.hop * (values.shape[2] - 1),
        rand_init=False,
    )
    return np.asarray(invert(_spectra(power, mel)).clamp(-1, 1))


def _spectra(power: Tensor, mel: Mel, iterations: int = 60) -> Tensor:
    """Non-negative spectra `[N, fft/2 + 1, frames]` whose mel bands are `power` `[N, mels, frames]`.

    Multiplicative updates (Lee & Seung 2001) keep spectra non-negative and their bands within a fraction of a decibel.
    """
    bank = _forward(mel).get_buffer("mel_scale.fb").T  # [mels, bins]
    weight = bank.sum(0)[:, None].clamp(min=1e-12)
    spectra = bank.T @ (power / bank.sum(1)[:, None])
    for _ in range(iterations):
        spectra = spectra * (bank.T @ (power / (bank @ spectra).clamp(min=1e-12))) / weight
    return spectra


# Files -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Recording:
    """Mono float32 samples `[n]`, and how many channels at which rate the file has.

    `cancelled`: the mix of its channels was silent, as they are in opposite phase: the loudest one is taken.
    """

    samples: np.ndarray
    channels: int
    rate: int
    cancelled: bool = False


def duration(path: Path) -> float:
    """Seconds that a sound file lasts; 0 of one that cannot be read."""
    import soundfile

    try:
        return float(soundfile.info(path).duration)
    except (soundfile.LibsndfileError, RuntimeError, OSError, TypeError, ValueError):
        return 0.0


def read_sound(path: Path, rate: int) -> np.ndarray:
    """A sound file as mono float32 `[samples]` at `rate`; channels are averaged.

    Raises:
        FourfoldError: missing, empty, unreadable, too long, or with values that are not finite.
    """
    return read_recording(path, rate).samples


def read_recording(path: Path, rate: int, longest: int | None = None) -> Recording:
    """`read_sound`, with what the file says of itself; of a long sound only `longest` samples, and some more, are read.

    Raises:
        FourfoldError: as `read_sound`.
    """
    import soundfile

    try:
        with soundfile.SoundFile(path) as file:
            frames, channels, own_rate = file.frames, file.channels, file.samplerate
            if not LOWEST_RATE <= own_rate <= HIGHEST_RATE:
                raise RuntimeError(f"it claims {own_rate:,} samples a second, of {LOWEST_RATE:,} to {HIGHEST_RATE:,}")
            if longest is not None:  # and what the resampling filter reaches
                frames = min(frames, longest * own_rate // rate + 20 * max(1, own_rate // rate) + 20)
            if frames * channels > MOST_NUMBERS:
                raise RuntimeError(f"it has {frames * channels:,} numbers, of {MOST_NUMBERS:,} at most")
            samples = file.read(max(frames, 0), dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError, OSError, TypeError, ValueError) as error:
        raise FourfoldError(f"{path} is not a readable sound file: {str(error).rstrip('.')}") from error
    if len(samples) == 0:
        raise FourfoldError(f"{path} holds no samples")
    if not np.isfinite(samples).all():
        raise FourfoldError(f"{path} holds samples that are not finite")
    mono, loudest = samples.mean(1), samples[:, np.abs(samples).max(0).argmax()]
    cancelled = bool(np.abs(mono).max() < 1e-3 * np.abs(loudest).max())
    return Recording(resample(loudest if cancelled else mono, own_rate, rate), channels, own_rate, cancelled)


def resample(samples: np.ndarray, rate: int, target: int) -> np.ndarray:
    """`samples` `[n]` at `rate` -> float32 at `target` samples a second."""
    if rate == target:
        return samples.astype(np.float32)
    from math import gcd

    from scipy.signal import resample_poly

    common = gcd(rate, target)
    return np.asarray(resample_poly(samples, target // common, rate // common), dtype=np.float32)


def fit_length(samples: np.ndarray, length: int) -> np.ndarray:
    """`samples` cut (with a short fade) or padded with silence to `length`."""
    if len(samples) < length:
        return np.pad(samples, (0, length - len(samples)))
    cut = samples[:length].copy()
    fade = min(length, 256)
    if len(samples) > length:
        cut[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
    return cut


def wav_bytes(samples: np.ndarray, rate: int) -> bytes:
    """A 16-bit mono WAV file's bytes; samples beyond [-1, 1] are clipped."""
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, np.clip(samples, -1, 1), rate, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


def mel_png(sounds: Sequence[Sound], columns: int = 8) -> bytes:
    """A PNG of mel spectrograms with their labels, low bands below."""
    from matplotlib.figure import Figure

    from apps.audio.scores import figure_bytes

    rows = -(-len(sounds) // columns)
    figure = Figure(figsize=(1.5 * columns, 1.6 * rows), dpi=90, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for index, ax in enumerate(axes):
        ax.axis("off")
        if index < len(sounds):
            sound = sounds[index]
            ax.imshow(sound.decibels, origin="lower", aspect="auto", cmap="magma",
                      vmin=sound.mel.floor, vmax=sound.mel.ceiling - 10)
            ax.set_title(sound.label or "", fontsize=7)
    return figure_bytes(figure)


# A synthesizer ---------------------------------------------------------------------------------------------------


def tinysoundfont() -> ModuleType:
    """The synthesizer module, from its wheel's folder: its one declared dependency, pyaudio, is for loudspeakers only.

    Raises:
        FourfoldError: the wheel is not there and cannot be fetched, or does not load.
    """
    if "tinysoundfont" in sys.modules:
        return sys.modules["tinysoundfont"]
    from core.data.sources import package_files

    parent = str(package_files("tinysoundfont", TINYSOUNDFONT).parent)
    sys.path.insert(0, parent)
    try:
        return importlib.import_module("tinysoundfont")
    except (ImportError, OSError) as error:
        raise FourfoldError(f"tinysoundfont {TINYSOUNDFONT} does not load: {error}") from error
    finally:
        sys.path.remove(parent)


class Synthesizer:
    """Renders notes with the General MIDI soundfont that ships inside `pretty_midi` (TimGM6mb)."""

    def __init__(self, rate: int, gain: float = 0.0) -> None:
        from core.data.sources import package_files

        self.rate = rate
        self.synth = tinysoundfont().Synth(gain=gain, samplerate=rate)
        self.font = self.synth.sfload(str(package_files("pretty_midi", "0.2.11") / "TimGM6mb.sf2"))

    def note(self, program: int, pitch: int, velocity: int, held: int, length: int) -> np.ndarray:
        """One note, held for `held` samples of `length`: mono float32 `[length]`."""
        self.synth.sounds_off(0)
        self.synth.program_select(0, self.font, 0, program)
        self.synth.noteon(0, pitch, velocity)
        before = self._generate(held)
        self.synth.noteoff(0, pitch)
        return np.concatenate([before, self._generate(length - held)])

    def score(self, score: Score, beats_per_minute: float = 84.0, program: int = 52) -> np.ndarray:
        """A score with a channel a voice: mono float32, with a second for the last chord to fade."""
        step = self.rate * 60.0 / beats_per_minute / score.steps_per_beat
        events: list[tuple[int, bool, int, int]] = []
        for voice, begin, end, pitch in notes_of(score):
            events += [(round(begin * step), True, voice, pitch), (round(end * step) - 1, False, voice, pitch)]
        for voice in range(score.pitches.shape[1]):
            self.synth.program_select(voice, self.font, 0, program)
        return self._play(sorted(events), round(len(score) * step) + self.rate)

    def _play(self, events: Iterable[tuple[int, bool, int, int]], length: int) -> np.ndarray:
        parts, now = [], 0
        for time, begins, channel, pitch in events:
            if time > now:
                parts.append(self._generate(time - now))
                now = time
            if begins:
                self.synth.noteon(channel, pitch, 90)
            else:
                self.synth.noteoff(channel, pitch)
        parts.append(self._generate(length - now))
        return np.concatenate(parts)

    def _generate(self, samples: int) -> np.ndarray:
        stereo = np.frombuffer(self.synth.generate(samples), dtype=np.float32)
        return np.asarray(stereo.reshape(-1, 2).mean(1))


def render(score: Score, rate: int = 16000, beats_per_minute: float = 84.0) -> np.ndarray:
    """A score as a choir's waveform, peak 0.7; in sine tones where the synthesizer cannot be had (offline)."""
    try:
        samples = Synthesizer(rate).score(score, beats_per_minute)
    except FourfoldError:
        seconds = len(score) * 60.0 / beats_per_minute / score.steps_per_beat + 1
        samples = fit_length(to_midi(score, beats_per_minute).synthesize(fs=rate), round(seconds * rate))
    return samples * (0.7 / max(float(np.abs(samples).max()), 1e-6))
