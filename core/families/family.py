"""The interface of a generative family: a loss for each player, samples, and a likelihood where it has one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from core.batches import Batch
from core.conditions import ArrayCondition, ConditionSpec, SequenceCondition
from core.errors import FourfoldError, Unsupported, require
from core.families.family import Loss


@dataclass(frozen=True, kw_only=True)
class SampleSettings:
    """How to draw samples. None leaves a setting at the family's default; a family refuses what it cannot honour.

    Attributes:
        num_steps: network evaluations' schedule length (diffusion), >= 1.
        solver: "euler", "heun", "dpmpp_2m" or "ancestral" (continuous diffusion).
        guidance_scale: classifier-free guidance, >= 0; 1 is none (diffusion, autoregressive).
        guidance_interval: noise levels (sigma_low, sigma_high) in which guidance acts (diffusion).
        temperature: > 0; divides logits, or scales latent noise.
        top_k, top_p, min_p: truncations of the next-token distribution.
        repetition_penalty: > 1 makes tokens that occurred before less likely (autoregressive).
    """

    num_steps: int | None = None
    solver: str | None = None
    guidance_scale: float | None = None
    guidance_interval: tuple[float, float] | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None

    def __post_init__(self) -> None:
        limits = {
            "num_steps": (1, 100_000), "guidance_scale": (0, 1e4), "temperature": (1e-6, 1e4),
            "top_k": (1, 10**9), "top_p": (1e-9, 1), "min_p": (0, 1), "repetition_penalty": (0.01, 100),
        }
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            require(value is None or low <= value <= high, name, value, f"must be in [{low:g}, {high:g}]")


class Family(nn.Module, ABC):
    """A family is an objective with players; it holds its networks and is the unit that is trained and saved.

    Random draws in `forward` come from torch's global generator, which the training loop seeds anew for
    every step from (seed, step, rank): a step is a pure function of (state, seed, step).
    """

    players: ClassVar[tuple[str, ...]] = ("model",)
    options: frozenset[str] = frozenset()  # the SampleSettings this family honours
    likelihood: Literal["exact", "bound", "estimate", "none"] = "none"  # what `bound` returns

    def span(self, player: str) -> tuple[float, float]:
        """The part of training, in shares of it, in which `player` steps; its learning-rate schedule spans it."""
        return 0.0, 1.0

    def owned(self, player: str) -> Iterator[nn.Parameter]:
        """The parameters that `player`'s optimiser updates."""
        return self.parameters()

    def train_settings(self, player: str) -> dict[str, Any]:
        """What `player`'s optimiser needs otherwise than the run's `TrainConfig` says, by its names."""
        return {}

    def averaged(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Named parameters whose moving average is kept: those that sampling uses."""
        return self.named_parameters()

    @abstractmethod
    def forward(self, batch: Batch, player: str = "model", progress: float = 1.0) -> Loss:
        """The loss of `player` on `batch`."""

    @abstractmethod
    def sample(
        self,
        n: int,
        condition: Mapping[str, Tensor] | None = None,
        *,
        settings: SampleSettings = SampleSettings(),
        generator: torch.Generator | None = None,
    ) -> Batch:
        """`n` samples: `x` of the space's shape, and `mask` where lengths vary.

        `condition`: tensors `[n, ...]` by name; None draws unconditionally (the null condition).
        """

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Shape of the standard normal latents that `decode` turns into data.

        Raises:
            Unsupported: the family draws its samples otherwise.
        """
        raise Unsupported(f"a {type(self).__name__} has no latents to interpolate between: use a VAE, GAN or diffusion")

    def decode(
        self,
        z: Tensor,
        condition: Mapping[str, Tensor] | None = None,
        *,
        settings: SampleSettings = SampleSettings(),
        generator: torch.Generator | None = None,
    ) -> Batch:
        """Data from latents `[n, *latent_shape]`.

        Raises:
            Unsupported: see `latent_shape`.
        """
        raise Unsupported(f"a {type(self).__name__} has no latents to decode: use a VAE, GAN or diffusion")

    def bound(self, batch: Batch, *, generator: torch.Generator | None = None) -> Tensor:
        """Nats per example `[B]`, at least -log p(x | condition) in expectation; see `likelihood` for what it is."""
        raise Unsupported(f"a {type(self).__name__} has no likelihood: judge it by its samples")

    def check(self, settings: SampleSettings) -> None:
        """Refuse settings this family would ignore.

        Raises:
            FourfoldError: a setting is given that is not in `options`.
        """
        for name, value in vars(settings).items():
            if value is not None and name not in self.options:
                takes = ", ".join(sorted(self.options)) or "none"
                raise FourfoldError(f"{name} does not apply to a {type(self).__name__}; it takes: {takes}")


def truncations(settings: SampleSettings) -> dict[str, Any]:
    """The settings that `core.samplers.tokens.truncate` takes."""
    return {
        "temperature": 1.0 if settings.temperature is None else settings.temperature,
        "top_k": settings.top_k,
        "top_p": settings.top_p,
        "min_p": settings.min_p,
    }


def condition_drop(n: int, share: float, device: torch.device) -> Tensor | None:
    """Which of `n` training examples hide their condition, bool `[n]`; None hides nobody's."""
    return torch.rand(n, device=device) < share if share > 0 else None


def array_channels(conditions: Mapping[str, ConditionSpec]) -> int:
    """Channels that array conditions add to a network's input."""
    return sum(spec.shape[0] for spec in conditions.values() if isinstance(spec, ArrayCondition))


def refuse_arrays(conditions: Mapping[str, ConditionSpec], family: str) -> None:
    """Refuse array conditions, which only diffusion of arrays reads.

    Raises:
        FourfoldError: there is one.
    """
    for name, spec in conditions.items():
        if isinstance(spec, ArrayCondition):
            raise FourfoldError(f"condition {name!r} is an array, which {family} does not read: use diffusion")


def has_sequence(conditions: Mapping[str, ConditionSpec]) -> bool:
    """Whether a condition is a source sequence, which networks read by cross-attention."""
    return any(isinstance(spec, SequenceCondition) for spec in conditions.values())
