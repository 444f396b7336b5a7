"""The interface of a generative family: a loss for each player, verbs, and facts that programs ask for.

A verb that a family cannot do raises `Unsupported`: callers call it and need not know which family they have.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal, TypedDict

import torch
from torch import Tensor, nn

from core.batches import Batch
from core.conditions import ArrayCondition, ConditionSpec, SequenceCondition
from core.errors import FourfoldError, Unsupported, require
from core.networks import NetworkConfig
from core.networks.conditioning import ConditioningConfig
from core.seeds import Draws
from core.spaces import Space

Likelihood = Literal["exact", "bound", "estimate", "none"]
Condition = Mapping[str, Tensor]


@dataclass(frozen=True)
class Loss:
    """What a player minimises: a scalar, and named parts for the log (detached scalars)."""

    value: Tensor
    terms: Mapping[str, Tensor] = field(default_factory=dict)


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
        int8: read bfloat16 weights as int8: faster for one text or two on a CPU, not quite the same (autoregressive).
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
    int8: bool | None = None

    def __post_init__(self) -> None:
        limits = {
            "num_steps": (1, 100_000), "guidance_scale": (0, 1e4), "temperature": (1e-6, 1e4),
            "top_k": (1, 10**9), "top_p": (1e-9, 1), "min_p": (0, 1), "repetition_penalty": (0.01, 100),
        }
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            require(value is None or low <= value <= high, name, value, f"must be in [{low:g}, {high:g}]")


DEFAULTS = SampleSettings()


class SettingChanges(TypedDict, total=False):
    """`SampleSettings` as keyword arguments; None leaves a setting as it is."""

    num_steps: int | None
    solver: str | None
    guidance_scale: float | None
    guidance_interval: tuple[float, float] | None
    temperature: float | None
    top_k: int | None
    top_p: float | None
    min_p: float | None
    repetition_penalty: float | None
    int8: bool | None


class Truncations(TypedDict):
    """What `core.samplers.tokens.truncate` takes."""

    temperature: float
    top_k: int | None
    top_p: float | None
    min_p: float | None


class PlayerSettings(TypedDict, total=False):
    """What a player's optimiser needs otherwise than the run's training config says, by its names."""

    optimizer: Literal["adamw", "muon"]
    learning_rate: float
    betas: tuple[float, float]


class FamilyConfig(ABC):
    """The sizes and settings of a family: a frozen dataclass that builds it."""

    conditioning: ConditioningConfig

    @property
    def kind(self) -> str:
        """What the family is called: "vae" of `VAEConfig`."""
        return type(self).__name__.removesuffix("Config").lower()

    @property
    @abstractmethod
    def sampling_network(self) -> NetworkConfig:
        """The network that draws samples: what a comparison with another method gives that method too."""

    def tuned(self, rate: float) -> FamilyConfig:
        """The config to train on with: own learning rates times `rate`, and no terms that come in by and by."""
        return self

    @abstractmethod
    def build(self, space: Space, conditions: Mapping[str, ConditionSpec]) -> Family:
        """The family, untrained, for a space.

        Raises:
            FourfoldError: the config does not fit the space or the conditions.
        """


class Family(nn.Module, ABC):
    """A family is an objective with players; it holds its networks and is the unit that is trained and saved.

    Random draws in `forward` come from torch's global generator, which the training loop seeds anew for
    every step from (seed, step, player, part of the batch): a step is a pure function of (state, seed, step).
    """

    players: ClassVar[tuple[str, ...]] = ("model",)
    options: frozenset[str] = frozenset()  # the SampleSettings this family honours
    likelihood: Likelihood = "none"  # what `bound` returns
    validated: str = "loss"  # what `validation` returns

    # Facts --------------------------------------------------------------------------------------------------------

    @property
    def device(self) -> torch.device:
        """Where its parameters are."""
        return next(self.parameters()).device

    def span(self, player: str) -> tuple[float, float]:
        """The part of training, in shares of it, in which `player` steps; its learning-rate schedule spans it."""
        return 0.0, 1.0

    def owned(self, player: str) -> Iterator[nn.Parameter]:
        """The parameters that `player`'s optimiser updates."""
        return self.parameters()

    def player_settings(self, player: str) -> PlayerSettings:
        """What `player`'s optimiser needs otherwise than the run's training config says."""
        return {}

    def averaged(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Named parameters whose moving average is kept: those that sampling uses."""
        return self.named_parameters()

    def compiled(self) -> Iterator[nn.Module]:
        """The networks that torch.compile may take."""
        for child in self.children():
            if isinstance(child, Family):
                yield from child.compiled()
            else:
                yield child

    @abstractmethod
    def passes(self, settings: SampleSettings) -> int:
        """About how many passes of a network one batch of samples takes."""

    def check(self, settings: SampleSettings) -> None:
        """Refuse settings this family would ignore.

        Raises:
            FourfoldError: a setting is given that is not in `options`.
        """
        for name, value in vars(settings).items():
            if value is not None and name not in self.options:
                takes = ", ".join(sorted(self.options)) or "none"
                raise FourfoldError(f"{name} does not apply to a {type(self).__name__}; it takes: {takes}")

    # Verbs --------------------------------------------------------------------------------------------------------

    @abstractmethod
    def forward(self, batch: Batch, player: str = "model", progress: float = 1.0) -> Loss:
        """The loss of `player` on `batch`."""

    def validation(self, batch: Batch) -> Tensor:
        """How well held-out examples are modelled: a scalar, less is better; here the loss that is trained.

        Without its own notion a family of several players cannot be validated by one loss, and overrides this.
        """
        loss: Loss = self(batch, self.players[-1])
        return loss.value

    @abstractmethod
    def sample(
        self, n: int, condition: Condition | None = None, *, settings: SampleSettings = DEFAULTS,
        draws: Draws = None,
    ) -> Batch:
        """`n` samples: `x` of the space's shape, and `mask` where lengths vary.

        `condition`: tensors `[n, ...]` by name; None draws unconditionally (the null condition).
        """

    def continue_prefix(
        self, prefix: Tensor, condition: Condition | None = None, *, length: int | None = None,
        settings: SampleSettings = DEFAULTS, draws: Draws = None, watch: Callable[[Tensor], bool] | None = None,
    ) -> Batch:
        """Sequences that begin with `prefix` `[n, P]`, up to the space's length, or of at most `length` tokens.

        `watch` is shown each `[n]` tokens as they are drawn; where it returns True, they are the last.

        Raises:
            Unsupported: the family cannot, cannot be watched, or the prefix leaves no room.
        """
        raise self._unsupported("continues no prefix", "an autoregressive or masked diffusion model")

    def fill(
        self, known: Tensor, condition: Condition | None = None, *, settings: SampleSettings = DEFAULTS,
        draws: Draws = None,
    ) -> Batch:
        """Sequences like `known` `[n, T]`, filled in where it is -1; arrays `[n, *shape]`, where it is NaN.

        Raises:
            Unsupported: the family cannot.
        """
        raise self._unsupported("cannot fill gaps", "a diffusion model")

    def search(self, condition: Mapping[str, Tensor], *, beams: int, length_penalty: float = 1.0) -> Batch:
        """One sequence for each row of the condition: the most probable that a beam search finds.

        Raises:
            Unsupported: the family cannot.
        """
        raise self._unsupported("cannot search", "an autoregressive model")

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Shape of the standard normal latents that `decode` turns into data.

        Raises:
            Unsupported: the family draws its samples otherwise.
        """
        raise self._unsupported("has no latents to draw from", "a VAE, GAN or diffusion")

    def encode(self, batch: Batch) -> Tensor:
        """Latents `[n, ...]` of data, for `decode`.

        Raises:
            Unsupported: the family has no way back from data.
        """
        raise self._unsupported("has no latents to go back through", "a VAE, or a latent GAN of text")

    def decode(
        self, z: Tensor, condition: Condition | None = None, *, settings: SampleSettings = DEFAULTS,
        draws: Draws = None,
    ) -> Batch:
        """Data from latents `[n, ...]`: drawn of `latent_shape`, or of `encode`.

        Raises:
            Unsupported: the family has no latents.
        """
        raise self._unsupported("has no latents to decode", "a VAE, GAN or diffusion")

    def reconstruct(self, batch: Batch, *, settings: SampleSettings = DEFAULTS, draws: Draws = None) -> Batch:
        """Data through their latents and back, with their conditions.

        Raises:
            Unsupported: the family has no way back from data.
        """
        return self.decode(self.encode(batch), batch.condition, settings=settings, draws=draws)

    def vary(
        self, x: Tensor, strength: float, condition: Condition | None = None, *, settings: SampleSettings = DEFAULTS,
        draws: Draws = None,
    ) -> Batch:
        """Data near x `[n, *shape]`: a share `strength` in (0, 1] of them is made anew.

        Raises:
            Unsupported: the family cannot.
            FourfoldError: strength is out of range.
        """
        raise self._unsupported("makes no variations", "a diffusion model of arrays")

    def nll(self, batch: Batch) -> Tensor:
        """-log p(x | condition) `[B]`, exact, which gradients go through: what a reward is trained by.

        Raises:
            Unsupported: the family has no exact likelihood.
        """
        raise self._unsupported("has no exact likelihood to train by a reward", "an autoregressive model")

    def bound(self, batch: Batch, *, generator: torch.Generator | None = None) -> Tensor:
        """Nats per example `[B]`, at least -log p(x | condition) in expectation; see `likelihood` for what it is.

        Raises:
            Unsupported: the family has no likelihood.
        """
        raise Unsupported(f"a {type(self).__name__} has no likelihood: judge it by its samples")

    def _unsupported(self, cannot: str, instead: str) -> Unsupported:
        return Unsupported(f"a {type(self).__name__} {cannot}: use {instead}")


def truncations(settings: SampleSettings) -> Truncations:
    """The settings that `core.samplers.tokens.truncate` takes."""
    temperature = 1.0 if settings.temperature is None else settings.temperature
    return {"temperature": temperature, "top_k": settings.top_k, "top_p": settings.top_p, "min_p": settings.min_p}


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
