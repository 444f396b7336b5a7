"""What people come for: compose four-part music, and make sound effects and instrument notes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from core.runs.model import Model
from torch import Tensor

from apps.audio.codec import ChoraleCodec, NoteCodec, score_of
from apps.audio.scores import Score, piano_roll_png, to_midi
from apps.audio.sound import Sound, mel_png, render, wav_bytes, waves
from core.condition_parsing import parse_condition
from core.errors import FourfoldError

LONGEST = 1024  # beats


def compose(
    model: Model, n: int = 4, *, beats: int | None = None, seed: int = 0, temperature: float | None = None
) -> list[Score]:
    """`n` four-part scores of `beats` quarter notes (by default the model's window).

    Longer scores are written a window at a time, each beginning with the second half of the one before:
    an autoregressive model continues it, a masked diffusion fills in the rest.

    Raises:
        FourfoldError: the model makes no scores, or cannot make them as long as asked for.
    """
    codec = _score_codec(model)
    beats = codec.beats if beats is None else beats
    if not 1 <= beats <= LONGEST:
        raise FourfoldError(f"beats is {beats}: must be 1 to {LONGEST}")
    tokens = model.sample_batch(n, seed=seed, temperature=temperature).x
    wanted, index = 4 * codec.steps_per_beat * beats, 0
    while tokens.shape[1] < wanted:
        index += 1
        tokens = torch.cat([tokens, _continued(model, tokens, codec, seed + index, temperature)], dim=1)
    rows = tokens[:, :wanted].numpy().reshape(n, -1, 4)
    return [score_of(row, codec.low, codec.steps_per_beat) for row in rows]


def _score_codec(model: Model) -> ChoraleCodec:
    if not isinstance(model.codec, ChoraleCodec):
        raise FourfoldError(f"{model.recipe.name} makes sounds, not scores: use `effect`")
    return model.codec


def _continued(model: Model, tokens: Tensor, codec: ChoraleCodec, seed: int, temperature: float | None) -> Tensor:
    """The next half window `[n, T / 2]` after `tokens`."""
    from core.families.autoregressive import Autoregressive
    from core.families.diffusion import MaskedDiffusion

    kept = 4 * codec.steps_per_beat * (codec.beats - codec.beats // 2)
    known = tokens[:, -kept:]
    if isinstance(model.family, Autoregressive):
        generator = torch.Generator(model.device).manual_seed(seed)
        with model.sampling_precision():
            drawn = model.family.sample(len(tokens), settings=model.settings(temperature=temperature),
                                        generator=generator, prefix=known.to(model.device)).x.cpu()
    elif isinstance(model.family, MaskedDiffusion):
        empty = torch.full((len(tokens), 4 * codec.steps - kept), -1)
        drawn = model.fill(torch.cat([known, empty], dim=1), seed=seed, temperature=temperature)
    else:
        raise FourfoldError(
            f"a {type(model.family).__name__} writes windows of {codec.beats} beats only: ask for at most that, "
            "or use an autoregressive or diffusion model"
        )
    return drawn[:, kept:]


def effect(model: Model, n: int = 8, *, kind: str | None = None, seed: int = 0, **settings: Any) -> list[Sound]:
    """`n` short sounds, of the class `kind` or of all in turn.

    Raises:
        FourfoldError: the model makes no sounds, or has no such class.
    """
    if not isinstance(model.codec, NoteCodec):
        raise FourfoldError(f"{model.recipe.name} makes scores, not sounds: use `compose`")
    return model.sample(n, seed=seed, condition=_classes(model, n, kind), **settings)


def _classes(model: Model, n: int, kind: str | None) -> Mapping[str, Tensor] | None:
    if kind is not None:
        condition: Mapping[str, Tensor] = parse_condition(model.codec.conditions, {"instrument": kind}, n)
        return condition
    names = model.codec.names  # type: ignore[attr-defined]
    return {"instrument": torch.arange(n) % len(names)} if names else None


def trimmed(samples: np.ndarray, rate: int, below: float = 1e-3) -> np.ndarray:
    """A waveform without the silence at its end, and at peak 0.9 unless it is all silence."""
    peak = float(np.abs(samples).max())
    if peak < 1e-4:
        return samples
    last = int(np.flatnonzero(np.abs(samples) > below * peak)[-1]) + 1
    return samples[: max(last, rate // 20)] * (0.9 / peak)


def write_scores(scores: list[Score], folder: Path, beats_per_minute: float = 84.0) -> list[Path]:
    """A MIDI and a WAV file a score, and one picture of piano rolls; returns their paths."""
    paths = []
    for index, score in enumerate(scores):
        path = folder / f"{index:03d}.mid"
        to_midi(score, beats_per_minute).write(str(path))
        sound = folder / f"{index:03d}.wav"
        sound.write_bytes(wav_bytes(render(score, 22050, beats_per_minute), 22050))
        paths += [path, sound]
    picture = folder / "piano-rolls.png"
    picture.write_bytes(piano_roll_png(scores[:32]))
    return [*paths, picture]


def write_sounds(sounds: list[Sound], folder: Path) -> list[Path]:
    """A WAV file a sound (by Griffin-Lim, peak 0.9, silence trimmed), and one picture; returns their paths."""
    paths = []
    for at in range(0, len(sounds), 64):
        for index, samples in enumerate(waves(sounds[at : at + 64]), start=at):
            sound = sounds[index]
            path = folder / f"{index:03d}{f'-{sound.label}' if sound.label else ''}.wav"
            path.write_bytes(wav_bytes(trimmed(samples, sound.mel.rate), sound.mel.rate))
            paths.append(path)
    picture = folder / "spectrograms.png"
    picture.write_bytes(mel_png(sounds[:64]))
    return [*paths, picture]
