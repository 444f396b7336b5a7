"""Variational autoencoders (Kingma & Welling 1312.6114) of arrays and of tokens, with importance-weighted bounds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor, nn

from core.batches import Batch
from core.conditions import ConditionSpec
from core.errors import require, require_within
from core.families.family import (
    DEFAULTS,
    Condition,
    Family,
    FamilyConfig,
    Loss,
    SampleSettings,
    has_sequence,
    refuse_arrays,
    truncations,
)
from core.families.lengths import mean_length
from core.likelihood import Bernoulli, Gaussian, LogisticMixture, categorical_nll
from core.networks import ConvConfig, MLPConfig, TransformerConfig
from core.networks.conditioning import Conditioner, Conditioning, ConditioningConfig
from core.networks.layers import WIDEST
from core.networks.transformer import TokenField
from core.samplers.tokens import generate, truncate
from core.seeds import Draws, normal
from core.spaces import Continuous, Discrete, Space


@dataclass(frozen=True, kw_only=True)
class VAEConfig(FamilyConfig):
    """A VAE with a standard normal prior.

    Attributes:
        decoder: for tokens a transformer, which then is autoregressive and sees the latent at every layer.
        likelihood: of arrays, p(x | z); tokens are categorical.
        output: whether samples are the likelihood's mean or draws from it (arrays).
        beta: weight of the KL term, reached after `kl_warmup` of training.
        free_bits: nats per latent dimension below which the KL is not pressed further (Kingma et al. 1606.04934).
        word_dropout: share of the decoder's input tokens hidden in training (Bowman et al. 1511.06349).
        importance_samples: k of the importance-weighted bound (Burda et al. 1509.00519).
    """

    encoder: TransformerConfig | ConvConfig | MLPConfig
    decoder: TransformerConfig | ConvConfig | MLPConfig
    latent: int
    likelihood: Bernoulli | Gaussian | LogisticMixture = field(default_factory=Gaussian)
    output: Literal["mean", "draw"] = "mean"
    beta: float = 1.0
    kl_warmup: float = 0.2
    free_bits: float = 0.0
    word_dropout: float = 0.0
    conditioning: ConditioningConfig = field(default_factory=ConditioningConfig)
    importance_samples: int = 16

    def __post_init__(self) -> None:
        require_within(1, WIDEST, "latent", self.latent)
        require(self.beta >= 0, "beta", self.beta, "must be at least 0")
        require(self.free_bits >= 0, "free_bits", self.free_bits, "must be at least 0")
        require_within(1, 10**6, "importance_samples", self.importance_samples)
        for key in ("kl_warmup", "word_dropout"):
            require(0 <= getattr(self, key) <= 1, key, getattr(self, key), "must be in [0, 1]")

    @property
    def sampling_network(self) -> TransformerConfig | ConvConfig | MLPConfig:
        return self.decoder

    def tuned(self, rate: float) -> VAEConfig:
        return replace(self, kl_warmup=0.0)

    def build(self, space: Space, conditions: Mapping[str, ConditionSpec]) -> VAE:
        """The family for a space.

        Raises:
            FourfoldError: the decoder or the likelihood does not fit the space.
        """
        refuse_arrays(conditions, "a VAE")
        if isinstance(space, Discrete):
            require(isinstance(self.decoder, TransformerConfig), "decoder", self.decoder, "tokens need a transformer")
        elif isinstance(self.likelihood, Bernoulli):
            require(space.levels == 2, "likelihood", self.likelihood, "Bernoulli needs data of 2 levels")
        elif isinstance(self.likelihood, LogisticMixture):
            require(self.likelihood.levels == space.levels, "likelihood.levels", self.likelihood.levels,
                    f"the data have {space.levels} levels")
        return VAE(self, space, conditions)


class VAE(Family):
    """q(z | x) from the encoder, p(x | z) from the decoder, p(z) standard normal."""

    likelihood = "bound"

    def __init__(self, config: VAEConfig, space: Space, conditions: Mapping[str, ConditionSpec]) -> None:
        super().__init__()
        self.config, self.space = config, space
        self.scale = space.dims if isinstance(space, Continuous) else mean_length(space)  # of the loss
        width = config.conditioning.width if conditions else 0
        self.conditioner = Conditioner(conditions, config.conditioning)
        self.encoder = config.encoder.encoder(space, 2 * config.latent, cond_width=width)
        self.decoder: nn.Module
        if isinstance(space, Discrete):
            assert isinstance(config.decoder, TransformerConfig)
            self.latent_to_vector = nn.Linear(config.latent, config.conditioning.width)
            self.decoder = config.decoder.field(
                space, cond_width=config.conditioning.width, causal=True, cross=has_sequence(conditions)
            )
            self.options = frozenset({"temperature", "top_k", "top_p", "min_p"})
        else:
            self.decoder = config.decoder.decoder(
                config.latent, space, config.likelihood.channels(space.shape[0]), cond_width=width
            )
            self.options = frozenset({"temperature"})

    def passes(self, settings: SampleSettings) -> int:
        return self.space.length if isinstance(self.space, Discrete) else 1

    @property
    def latent_shape(self) -> tuple[int, ...]:
        return (self.config.latent,)

    def posterior(self, batch: Batch, cond: Conditioning) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of q(z | x), `[B, latent]` each."""
        parameters: Tensor = self.encoder(batch.x, cond, batch.mask)
        mean, log_std = parameters.float().chunk(2, dim=1)
        return mean, log_std.clamp(-7, 5).exp()

    def reconstruction_nll(self, batch: Batch, z: Tensor, cond: Conditioning) -> Tensor:
        """-log p(x | z) in nats `[B]`."""
        if isinstance(self.space, Discrete):
            inputs = self._shifted(batch.x, self.space)
            if self.training and self.config.word_dropout > 0:
                hide = torch.rand(inputs.shape, device=inputs.device) < self.config.word_dropout
                inputs = inputs.masked_fill(hide, self.space.vocab)
            logits = self.decoder(inputs, self._decoder_cond(z, cond), batch.mask)
            return categorical_nll(logits, batch.x, batch.mask)
        return self.config.likelihood.nll(self.decoder(z, cond).float(), batch.x)

    def forward(self, batch: Batch, player: str = "model", progress: float = 1.0) -> Loss:
        config, n = self.config, len(batch)
        cond = self.conditioner(batch.condition, n, self.conditioner.hidden(n, batch.x.device))
        mean, std = self.posterior(batch, cond)
        z = mean + std * torch.randn_like(std)
        nll = self.reconstruction_nll(batch, z, cond).mean()
        kl = (0.5 * (mean.square() + std.square() - 1) - std.log()).mean(0)  # nats per latent dimension
        beta = config.beta * (min(1.0, progress / config.kl_warmup) if config.kl_warmup > 0 else 1.0)
        penalty = beta * kl.clamp(min=config.free_bits).sum()
        return Loss((nll + penalty) / self.scale, {"nll": nll.detach(), "kl": kl.detach().sum()})

    def bound(self, batch: Batch, *, generator: torch.Generator | None = None) -> Tensor:
        return self.importance_bound(batch, self.config.importance_samples, generator)

    @torch.no_grad()
    def importance_bound(self, batch: Batch, k: int, generator: torch.Generator | None = None) -> Tensor:
        """The k-sample importance-weighted bound in nats `[B]` (IWAE, eq. 8); k = 1 is the negative ELBO."""
        batch, volume = self._dequantized(batch, generator)
        cond = self.conditioner(batch.condition, len(batch))
        mean, std = self.posterior(batch, cond)
        log_weights = []
        for _ in range(k):
            noise = torch.randn(std.shape, generator=generator, device=std.device)
            z = mean + std * noise
            log_prior_over_posterior = (0.5 * (noise.square() - z.square()) + std.log()).sum(1)
            log_weights.append(log_prior_over_posterior - self.reconstruction_nll(batch, z, cond))
        return math.log(k) - torch.stack(log_weights).logsumexp(0) - volume

    @torch.no_grad()
    def encode(self, batch: Batch) -> Tensor:
        """Posterior means `[B, latent]`."""
        return self.posterior(batch, self.conditioner(batch.condition, len(batch)))[0]

    @torch.no_grad()
    def decode(
        self, z: Tensor, condition: Condition | None = None, *, settings: SampleSettings = DEFAULTS,
        draws: Draws = None,
    ) -> Batch:
        """Data from latents `[n, latent]`."""
        cond = self.conditioner(condition, len(z))
        if isinstance(self.space, Continuous):
            parameters = self.decoder(z, cond).float()
            likelihood = self.config.likelihood
            mean = self.config.output == "mean"
            return Batch(likelihood.mean(parameters) if mean else likelihood.draw(parameters, draws=draws))
        decoder, vector = self.decoder, self._decoder_cond(z, cond)
        assert isinstance(decoder, TokenField)
        cache = decoder.new_cache(len(z), self.space.length, z.device)
        start = torch.full((len(z), 1), self.space.vocab, device=z.device)
        tokens, mask = generate(
            lambda fresh: decoder(fresh, vector, cache=cache)[:, -1], start, self.space.length, self.space.eos,
            transform=lambda logits: truncate(logits, **truncations(settings)), draws=draws,
        )
        return Batch(tokens, {}, None if self.space.eos is None else mask)

    def sample(
        self, n: int, condition: Condition | None = None, *, settings: SampleSettings = DEFAULTS,
        draws: Draws = None,
    ) -> Batch:
        """`temperature` scales the latent noise of arrays, and divides the logits of tokens."""
        self.check(settings)
        z = normal(draws, (n, self.config.latent), self.device)
        if isinstance(self.space, Continuous) and settings.temperature is not None:
            z = z * settings.temperature
        return self.decode(z, condition, settings=settings, draws=draws)

    def _dequantized(self, batch: Batch, generator: torch.Generator | None) -> tuple[Batch, float]:
        """Data of levels made real for a density (Theis et al. 1511.01844), and the log volume of a level's cell."""
        space = self.space
        if isinstance(space, Discrete) or space.levels is None or not isinstance(self.config.likelihood, Gaussian):
            return batch, 0.0
        width = 2 / (space.levels - 1)
        noise = torch.rand(batch.x.shape, generator=generator, device=batch.x.device) - 0.5
        return replace(batch, x=batch.x + width * noise), space.dims * math.log(width)

    def _shifted(self, x: Tensor, space: Discrete) -> Tensor:
        start = torch.full_like(x[:, :1], space.vocab)
        return torch.cat([start, x[:, :-1]], dim=1)

    def _decoder_cond(self, z: Tensor, cond: Conditioning) -> Conditioning:
        vector = self.latent_to_vector(z)
        if cond.vector is not None:
            vector = vector + cond.vector
        return Conditioning(vector, cond.sequence, cond.sequence_mask)
