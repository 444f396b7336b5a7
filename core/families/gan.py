"""Generative adversarial networks: of arrays, and of tokens in the latent space of a sequence autoencoder."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import softplus
from torch.utils.weak import WeakTensorKeyDictionary

from core.batches import Batch
from core.conditions import ConditionSpec
from core.errors import FourfoldError, require, require_within
from core.families.family import (
    DEFAULTS,
    Condition,
    Family,
    FamilyConfig,
    Loss,
    PlayerSettings,
    SampleSettings,
    refuse_arrays,
)
from core.families.vae import VAE, VAEConfig
from core.networks import ConvConfig, MLPConfig, TransformerConfig
from core.networks.conditioning import Conditioner, ConditioningConfig
from core.networks.layers import WIDEST
from core.seeds import Draws, normal
from core.spaces import Continuous, Discrete, Space


@dataclass(frozen=True, kw_only=True)
class GANConfig(FamilyConfig):
    """An adversarial pair.

    Attributes:
        latent: numbers of the generator's standard normal input.
        loss: "relativistic" with zero-centred penalties on real and generated data (R3GAN, Huang et al. 2501.05441),
            or "nonsaturating" (Goodfellow et al. 1406.2661) with the same penalties.
        gamma: weight of the penalties. The rule: start at about 1 for data of unit scale, whatever its size (R3GAN's
            own settings are 0.1 to 2 from 32 to 256 pixels), and a tenth or a hundredth of that for data of few
            dimensions whose modes are narrow (0.01 for the grid of 25 Gaussians); training that oscillates wants
            more. It falls to a tenth, by a cosine, over training.
        packing: examples the critic judges together, against mode collapse (PacGAN, Lin et al. 1712.04086).
        autoencoder: for tokens: the sequence VAE in whose latent space the pair works; it is trained first.
        autoencoder_share: of training, spent on it.
        pair_learning_rate: of the pair in those latents, by AdamW without momentum, whatever trains the autoencoder.
    """

    generator: ConvConfig | MLPConfig | TransformerConfig
    critic: ConvConfig | MLPConfig | TransformerConfig
    latent: int = 64
    loss: Literal["relativistic", "nonsaturating"] = "relativistic"
    gamma: float = 1.0
    packing: int = 1
    conditioning: ConditioningConfig = field(default_factory=ConditioningConfig)
    autoencoder: VAEConfig | None = None
    autoencoder_share: float = 0.6
    pair_learning_rate: float = 1e-3

    def __post_init__(self) -> None:
        require_within(1, WIDEST, "latent", self.latent)
        require_within(1, 1_000, "packing", self.packing)
        require(self.pair_learning_rate > 0, "pair_learning_rate", self.pair_learning_rate, "must be above 0")
        require(self.gamma >= 0, "gamma", self.gamma, "must be at least 0")
        require(0 < self.autoencoder_share < 1, "autoencoder_share", self.autoencoder_share, "must be in (0, 1)")

    @property
    def sampling_network(self) -> ConvConfig | MLPConfig | TransformerConfig:
        return self.generator

    def tuned(self, rate: float) -> GANConfig:
        autoencoder = None if self.autoencoder is None else self.autoencoder.tuned(rate)
        return replace(self, pair_learning_rate=rate * self.pair_learning_rate, autoencoder=autoencoder)

    def build(self, space: Space, conditions: Mapping[str, ConditionSpec]) -> Family:
        """The family for a space.

        Raises:
            FourfoldError: tokens without an autoencoder, arrays with one.
        """
        refuse_arrays(conditions, "a GAN")
        if isinstance(space, Discrete):
            if self.autoencoder is None:
                raise FourfoldError("autoencoder is None: tokens need one, as a VAEConfig")
            return LatentGAN(self, self.autoencoder, space, conditions)
        require(self.autoencoder is None, "autoencoder", self.autoencoder, "arrays need none")
        require(self.packing == 1 or not conditions, "packing", self.packing, "must be 1 with a condition")
        return GAN(self, space, conditions)


class GAN(Family):
    """Generator against critic on arrays."""

    players = ("critic", "generator")
    options = frozenset({"temperature"})
    validated = "distance"

    def __init__(self, config: GANConfig, space: Continuous, conditions: Mapping[str, ConditionSpec]) -> None:
        super().__init__()
        self.config, self.space = config, space
        width = config.conditioning.width if conditions else 0
        packed = replace(space, shape=(space.shape[0] * config.packing, *space.shape[1:]))
        self.generator_conditioner = Conditioner(conditions, config.conditioning)
        self.generator = config.generator.decoder(config.latent, space, cond_width=width)
        self.critic_conditioner = Conditioner(conditions, config.conditioning)
        self.critic = config.critic.encoder(packed, 1, cond_width=width)

    def owned(self, player: str) -> Iterator[nn.Parameter]:
        if player == "critic":
            yield from self.critic.parameters()
            yield from self.critic_conditioner.parameters()
        else:
            yield from self.generator.parameters()
            yield from self.generator_conditioner.parameters()

    def averaged(self) -> Iterator[tuple[str, nn.Parameter]]:
        return ((name, p) for name, p in self.named_parameters() if name.startswith("generator"))

    def compiled(self) -> Iterator[nn.Module]:
        """Not the critic: compiled code has no second derivatives, which its penalties need."""
        yield from (self.generator_conditioner, self.generator, self.critic_conditioner)

    def passes(self, settings: SampleSettings) -> int:
        return 1

    def forward(self, batch: Batch, player: str = "generator", progress: float = 1.0) -> Loss:
        packing = self.config.packing
        batch = batch[: len(batch) // packing * packing]
        n = len(batch)
        drop = self.generator_conditioner.hidden(n, batch.x.device)
        with torch.set_grad_enabled(player == "generator"):
            fake = self.generate(n, batch.condition, drop)
        if player == "generator":
            gap = self.scores(fake, batch, drop)
            if self.config.loss == "relativistic":
                gap = gap - self.scores(batch.x, batch, drop)
            return Loss(softplus(-gap).mean())
        # Fused attention has no second derivative on a CPU, which the penalties need.
        with sdpa_kernel(SDPBackend.MATH):
            x = torch.cat([batch.x, fake]).requires_grad_()
            twice = {name: torch.cat([value, value]) for name, value in batch.condition.items()}
            scores = self.scores(x, Batch(x, twice), None if drop is None else torch.cat([drop, drop]))
            penalty = 2 * squared_gradient(scores, x)  # the sum of that of real and of made examples
        real, fake = scores.chunk(2)
        if self.config.loss == "relativistic":
            adversarial = softplus(fake - real).mean()
        else:
            adversarial = softplus(fake).mean() + softplus(-real).mean()
        gamma = self.config.gamma * (0.55 + 0.45 * math.cos(math.pi * progress))
        terms = {"gap": (real - fake).mean().detach(), "penalty": penalty.detach()}
        return Loss(adversarial + gamma / 2 * penalty, terms)

    def validation(self, batch: Batch) -> Tensor:
        """The energy distance of as many samples, for the same conditions, to held-out examples."""
        return energy_distance(self.generate(len(batch), batch.condition), batch.x)

    def generate(
        self, n: int, condition: Condition | None, drop: Tensor | None = None, *, temperature: float = 1.0,
        draws: Draws = None,
    ) -> Tensor:
        """`n` samples `[n, *shape]`, differentiable."""
        z = temperature * normal(draws, (n, self.config.latent), self.device)
        made: Tensor = self.generator(z, self.generator_conditioner(condition, n, drop))
        return made.float()

    @property
    def latent_shape(self) -> tuple[int, ...]:
        return (self.config.latent,)

    @torch.no_grad()
    def decode(
        self, z: Tensor, condition: Condition | None = None, *, settings: SampleSettings = DEFAULTS,
        draws: Draws = None,
    ) -> Batch:
        self.check(settings)
        return Batch(self.generator(z, self.generator_conditioner(condition, len(z))).float())

    def scores(self, x: Tensor, batch: Batch, drop: Tensor | None) -> Tensor:
        """The critic's logits `[n / packing]`; packed examples are stacked as channels."""
        m = self.config.packing
        packed = x.reshape(len(x) // m, m * x.shape[1], *x.shape[2:])
        # Only an unconditional critic packs, so that conditions and scores correspond one to one.
        cond = self.critic_conditioner(batch.condition, len(packed), drop if m == 1 else None)
        logits: Tensor = self.critic(packed, cond)
        return logits.float().squeeze(1)

    @torch.no_grad()
    def sample(
        self, n: int, condition: Condition | None = None, *, settings: SampleSettings = DEFAULTS,
        draws: Draws = None,
    ) -> Batch:
        self.check(settings)
        temperature = 1.0 if settings.temperature is None else settings.temperature
        return Batch(self.generate(n, condition, temperature=temperature, draws=draws))


class LatentGAN(Family):
    """A GAN of a sequence VAE's latents (LatentGAN, Prykhodko et al. 2019): tokens have no gradient, latents do.

    The VAE is trained first, usually with little weight on its KL, so that latents say much about their
    sequence; the GAN then learns where latents lie, which the VAE's own prior does not know.
    """

    players = ("autoencoder", "critic", "generator")
    options = frozenset({"temperature", "top_k", "top_p", "min_p"})
    validated = "distance"

    def __init__(
        self, config: GANConfig, autoencoder: VAEConfig, space: Discrete, conditions: Mapping[str, ConditionSpec]
    ) -> None:
        super().__init__()
        self.config, self.space = config, space
        self.autoencoder = VAE(autoencoder, space, conditions)
        # Of a batch in training: mean and standard deviation of its latents.
        self._encoded: MutableMapping[Tensor, tuple[Tensor, Tensor]] = WeakTensorKeyDictionary()
        self.gan = GAN(config, Continuous(shape=(autoencoder.latent,)), conditions)

    def span(self, player: str) -> tuple[float, float]:
        share = self.config.autoencoder_share
        return (0.0, share) if player == "autoencoder" else (share, 1.0)

    def owned(self, player: str) -> Iterator[nn.Parameter]:
        return self.autoencoder.parameters() if player == "autoencoder" else self.gan.owned(player)

    def player_settings(self, player: str) -> PlayerSettings:
        if player == "autoencoder":
            return {}
        return {"optimizer": "adamw", "learning_rate": self.config.pair_learning_rate, "betas": (0.0, 0.99)}

    def averaged(self) -> Iterator[tuple[str, nn.Parameter]]:
        for name, parameter in self.named_parameters():
            if not name.startswith("gan.critic"):
                yield name, parameter

    def forward(self, batch: Batch, player: str = "generator", progress: float = 1.0) -> Loss:
        share = self.config.autoencoder_share
        if player == "autoencoder":
            return self.autoencoder.forward(batch, progress=progress / share)
        # The critic's posterior serves the generator, too: no player changes the autoencoder between them.
        known = self._encoded.pop(batch.x, None)
        if player == "critic" or known is None:
            with torch.no_grad():
                cond = self.autoencoder.conditioner(batch.condition, len(batch))
                known = self.autoencoder.posterior(batch, cond)
        if player == "critic":
            self._encoded[batch.x] = known
        mean, std = known
        latents = mean + std * torch.randn_like(std)
        return self.gan.forward(Batch(latents, batch.condition), player, (progress - share) / (1 - share))

    def validation(self, batch: Batch) -> Tensor:
        """The energy distance of the generator's latents to those of held-out sequences."""
        return self.gan.validation(Batch(self.encode(batch), batch.condition))

    def passes(self, settings: SampleSettings) -> int:
        return self.autoencoder.passes(settings)

    def encode(self, batch: Batch) -> Tensor:
        """Latents of the autoencoder, which `decode` decodes; the generator draws such latents, not normal ones."""
        return self.autoencoder.encode(batch)

    def decode(
        self, z: Tensor, condition: Condition | None = None, *, settings: SampleSettings = DEFAULTS,
        draws: Draws = None,
    ) -> Batch:
        self.check(settings)
        return self.autoencoder.decode(z, condition, settings=settings, draws=draws)

    @torch.no_grad()
    def sample(
        self, n: int, condition: Condition | None = None, *, settings: SampleSettings = DEFAULTS,
        draws: Draws = None,
    ) -> Batch:
        """`temperature` and the truncations are the decoder's."""
        return self.decode(self.gan.generate(n, condition, draws=draws), condition, settings=settings,
                           draws=draws)


def energy_distance(x: Tensor, y: Tensor) -> Tensor:
    """Energy distance of samples x and y `[n, ...]` (Székely and Rizzo 2013), unbiased: it may fall below zero."""
    x, y = x.flatten(1).float(), y.flatten(1).float()
    pairs = max(1, len(x) * (len(x) - 1))
    within = (torch.cdist(x, x).sum() + torch.cdist(y, y).sum()) / pairs
    return 2 * torch.cdist(x, y).mean() - within


def squared_gradient(scores: Tensor, x: Tensor) -> Tensor:
    """Mean over examples of |d score / d x|^2 (R1 of Mescheder et al. 1801.04406), differentiable."""
    (gradient,) = torch.autograd.grad(scores.sum(), x, create_graph=True)
    return gradient.square().flatten(1).sum(1).mean() * len(x) / len(scores)
