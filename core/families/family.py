"""The interface of a generative family: a loss for each player, samples, and a likelihood where it has one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from core.errors import FourfoldError, Unsupported
from core.space import Batch, Loss


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
    """

    num_steps: int | None = None
    solver: str | None = None
    guidance_scale: float | None = None
    guidance_interval: tuple[float, float] | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None


class Family(nn.Module, ABC):
    """A family is an objective with players; it holds its networks and is the unit that is trained and saved.

    Random draws in `forward` come from torch's global generator, which the training loop seeds anew for
    every step from (seed, step, rank): a step is a pure function of (state, seed, step).
    """

    players: ClassVar[tuple[str, ...]] = ("model",)
    options: ClassVar[frozenset[str]] = frozenset()  # the SampleSettings this family honours
    likelihood: ClassVar[str] = "none"  # what `bound` returns: "exact", "bound", "estimate" or "none"

    def active(self, progress: float) -> tuple[str, ...]:
        """Who steps, in order, when `progress` in [0, 1) of training is done."""
        return self.players

    def owned(self, player: str) -> Iterator[nn.Parameter]:
        """The parameters that `player`'s optimiser updates."""
        return self.parameters()

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
