"""A vocoder: log-mel spectrograms to waveforms, trained against critics of pitch periods and of spectra.

The generator works at the frame rate and ends in an inverse Fourier transform (Vocos, Siuzdak 2306.00814). Critics:
one a period of samples (HiFi-GAN, Kong et al. 2010.05646), one a resolution of spectra (Jang et al. 2106.07889).
As a family it is a generator of waveforms `[B, 1, samples]` conditioned on "mel" `[B, mels, frames]` in [-1, 1].
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, pad, relu

from apps.audio.sound import Mel, scaled_mel
from apps.audio.waveforms import MelCondition
from core.batches import Batch
from core.conditions import ConditionSpec
from core.errors import FourfoldError, Unsupported, require, require_within
from core.families import ConditioningConfig
from core.families.family import DEFAULTS, Condition, Family, FamilyConfig, Loss, SampleSettings
from core.networks import MLPConfig
from core.networks.layers import edge
from core.seeds import Draws
from core.spaces import Space

PERIODS = (2, 3, 5, 7, 11)
RESOLUTIONS = (1024, 512, 256)
"""Windows, in samples, of the spectra that critics and losses look at; they move by a quarter."""
SOFTEST = 1e-5
"""Magnitudes below are alike: a logarithm hears no difference in silence."""


@dataclass(frozen=True, kw_only=True)
class VocoderConfig(FamilyConfig):
    """A vocoder and its critics.

    Attributes:
        width, depth: channels and blocks of the generator.
        critic_width: channels of the critics' first layers.
        alone: the share of training in which the generator learns from spectra only; then the critics begin.
        mel_weight, spectrum_weight, feature_weight: of the losses beside the critics' verdict: the distance of log-mel
            spectra, of log magnitudes at several resolutions, and of what critics see in real and generated sound.
    """

    width: int = 256
    depth: int = 8
    critic_width: int = 8
    alone: float = 0.2
    mel_weight: float = 45.0
    spectrum_weight: float = 1.0
    feature_weight: float = 2.0
    conditioning: ConditioningConfig = field(default_factory=ConditioningConfig)

    def __post_init__(self) -> None:
        require_within(8, 4096, "width", self.width)
        require_within(1, 100, "depth", self.depth)
        require_within(2, 512, "critic_width", self.critic_width)
        require(0 <= self.alone < 1, "alone", self.alone, "must be in [0, 1)")
        for key in ("mel_weight", "spectrum_weight", "feature_weight"):
            require(0 <= getattr(self, key) < 1e6, key, getattr(self, key), "must be at least 0")

    @property
    def sampling_network(self) -> MLPConfig:
        return MLPConfig(width=self.width, depth=self.depth)

    def build(self, space: Space, conditions: Mapping[str, ConditionSpec]) -> Vocoder:
        """The family for sounds with spectrograms.

        Raises:
            FourfoldError: the data are something else.
        """
        spec = conditions.get("mel")
        if not isinstance(spec, MelCondition):
            raise FourfoldError("a vocoder learns from recordings: give it RecordingData")
        return Vocoder(self, spec.mel)


class Vocoder(Family):
    """The generator against its critics."""

    players = ("critic", "generator")
    validated = "distance"

    def __init__(self, config: VocoderConfig, mel: Mel) -> None:
        super().__init__()
        self.config, self.mel = config, mel
        self.generator = Generator(config, mel)
        self.critics = nn.ModuleList([*(PeriodCritic(period, config.critic_width) for period in PERIODS),
                                      *(SpectrumCritic(size, config.critic_width) for size in RESOLUTIONS)])

    def span(self, player: str) -> tuple[float, float]:
        return (self.config.alone, 1.0) if player == "critic" else (0.0, 1.0)

    def owned(self, player: str) -> Iterator[nn.Parameter]:
        return (self.critics if player == "critic" else self.generator).parameters()

    def averaged(self) -> Iterator[tuple[str, nn.Parameter]]:
        return ((name, p) for name, p in self.named_parameters() if name.startswith("generator"))

    def passes(self, settings: SampleSettings) -> int:
        return 1

    def forward(self, batch: Batch, player: str = "generator", progress: float = 1.0) -> Loss:
        real = batch.x[:, 0]
        if player == "critic":
            with torch.no_grad():
                made = self.generator(batch.condition["mel"])
            loss = torch.zeros((), device=real.device)
            for critic in self.critics:  # the hinge loss
                true, false = critic(real)[-1], critic(made)[-1]
                loss = loss + relu(1 - true).mean() + relu(1 + false).mean()
            return Loss(loss / len(self.critics))
        made = self.generator(batch.condition["mel"])
        mel, spectrum = self.mel_distance(made, batch.condition["mel"]), spectral_distance(made, real)
        loss = self.config.mel_weight * mel + self.config.spectrum_weight * spectrum
        terms = {"mel": mel.detach(), "spectrum": spectrum.detach()}
        if progress < self.config.alone:
            return Loss(loss, terms)
        verdict, seen = torch.zeros_like(loss), torch.zeros_like(loss)
        for critic in self.critics:
            with torch.no_grad():
                true = critic(real)
            false = critic(made)
            verdict = verdict - false[-1].mean()
            seen = seen + sum(((a - b).abs().mean() for a, b in zip(true[:-1], false[:-1], strict=True)),
                              start=torch.zeros_like(loss)) / (len(true) - 1)
        verdict, seen = verdict / len(self.critics), seen / len(self.critics)
        terms |= {"verdict": verdict.detach(), "features": seen.detach()}
        return Loss(loss + verdict + self.config.feature_weight * seen, terms)

    def validation(self, batch: Batch) -> Tensor:
        """The distance of log-mel spectra, in shares of their range."""
        return self.mel_distance(self.generator(batch.condition["mel"]), batch.condition["mel"])

    def mel_distance(self, made: Tensor, mel: Tensor) -> Tensor:
        """The mean absolute difference of the spectrogram of `made` `[B, samples]` and `mel` `[B, mels, frames]`."""
        return (scaled_mel(made, self.mel) - mel).abs().mean()

    @torch.no_grad()
    def sample(
        self, n: int, condition: Condition | None = None, *, settings: SampleSettings = DEFAULTS, draws: Draws = None,
    ) -> Batch:
        """Waveforms `[n, 1, hop * (frames - 1)]` of spectrograms `[n, mels, frames]`, of any number of frames.

        Raises:
            Unsupported: no spectrograms are given.
        """
        self.check(settings)
        if condition is None or "mel" not in condition:
            raise Unsupported("a vocoder draws nothing of its own, it makes spectrograms audible: use `vocode FILE`")
        return Batch(self.generator(condition["mel"])[:, None])


@lru_cache(maxsize=16)
def _window(size: int, device: torch.device) -> Tensor:
    return torch.hann_window(size, device=device)


def spectrum_of(samples: Tensor, size: int, hop: int) -> Tensor:
    """Magnitudes `[B, size/2 + 1, frames]` of waveforms `[B, samples]`."""
    spectra = torch.stft(samples.float(), size, hop, window=_window(size, samples.device), return_complex=True)
    return (spectra.real.square() + spectra.imag.square()).clamp(min=SOFTEST**2).sqrt()


def spectral_distance(made: Tensor, real: Tensor) -> Tensor:
    """Spectral convergence and the distance of log magnitudes, over resolutions (Yamamoto et al. 1910.11480)."""
    total = torch.zeros((), device=made.device)
    for size in (2 * RESOLUTIONS[0], *RESOLUTIONS):
        a, b = spectrum_of(made, size, size // 4), spectrum_of(real, size, size // 4)
        total = total + (a - b).norm() / b.norm().clamp(min=1e-3) + (a.log() - b.log()).abs().mean()
    return total / (1 + len(RESOLUTIONS))


class Block(nn.Module):
    """A ConvNeXt block over frames `[B, channels, frames]` (Liu et al. 2201.03545)."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.mix = nn.Conv1d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width)
        self.widen, self.narrow = nn.Linear(width, 3 * width), nn.Linear(3 * width, width)
        self.scale = nn.Parameter(torch.full((width,), 1 / depth))

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(self.mix(x).transpose(1, 2))
        h = self.narrow(nn.functional.gelu(self.widen(h)))
        y: Tensor = x + (self.scale * h).transpose(1, 2)
        return y


class Generator(nn.Module):
    """Spectrograms `[B, mels, frames]` in [-1, 1] -> waveforms `[B, hop * (frames - 1)]`."""

    def __init__(self, config: VocoderConfig, mel: Mel) -> None:
        super().__init__()
        self.fft, self.hop = mel.fft, mel.hop
        self.enter = edge(nn.Conv1d(mel.mels, config.width, 7, padding=3))
        self.enter_norm = nn.LayerNorm(config.width)
        self.blocks = nn.Sequential(*(Block(config.width, config.depth) for _ in range(config.depth)))
        self.leave_norm = nn.LayerNorm(config.width)
        self.leave = edge(nn.Linear(config.width, mel.fft + 2))

    def forward(self, mel: Tensor) -> Tensor:
        x = self.enter_norm(self.enter(mel).transpose(1, 2)).transpose(1, 2)
        x = self.leave_norm(self.blocks(x).transpose(1, 2))
        log_magnitude, phase = self.leave(x).float().transpose(1, 2).chunk(2, dim=1)
        magnitude = log_magnitude.clamp(max=7).exp()  # the bound is from before training, where anything may come out
        spectra = torch.complex(magnitude * phase.cos(), magnitude * phase.sin())
        wave: Tensor = torch.istft(spectra, self.fft, self.hop, window=_window(self.fft, mel.device))
        return wave


class PeriodCritic(nn.Module):
    """Judges samples folded by a period: what its layers see, the verdict last."""

    def __init__(self, period: int, width: int) -> None:
        super().__init__()
        self.period = period
        widths = [1, width, 2 * width, 4 * width, 8 * width]
        self.layers = nn.ModuleList(nn.Conv2d(a, b, (5, 1), (3, 1), padding=(2, 0))
                                    for a, b in zip(widths, widths[1:], strict=False))
        self.verdict = nn.Conv2d(widths[-1], 1, (3, 1), padding=(1, 0))

    def forward(self, samples: Tensor) -> list[Tensor]:
        x = pad(samples[:, None], (0, -samples.shape[1] % self.period), mode="reflect")
        return judged(x.view(len(x), 1, -1, self.period), self.layers, self.verdict)


class SpectrumCritic(nn.Module):
    """Judges magnitudes of one resolution: what its layers see, the verdict last."""

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.size = size
        widths = [1, width, 2 * width, 2 * width]
        self.layers = nn.ModuleList(nn.Conv2d(a, b, (5, 3), (2, 1 + (index == 1)), padding=(2, 1))
                                    for index, (a, b) in enumerate(zip(widths, widths[1:], strict=False)))
        self.verdict = nn.Conv2d(widths[-1], 1, 3, padding=1)

    def forward(self, samples: Tensor) -> list[Tensor]:
        return judged(spectrum_of(samples, self.size, self.size // 4).log()[:, None], self.layers, self.verdict)


def judged(x: Tensor, layers: nn.ModuleList, verdict: nn.Module) -> list[Tensor]:
    """What each layer makes of x, and the verdict."""
    seen = []
    for layer in layers:
        x = leaky_relu(layer(x), 0.1)
        seen.append(x)
    return [*seen, verdict(x)]
