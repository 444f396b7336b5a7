"""Diffusion: a denoiser of arrays (flow matching, EDM) or of tokens (masking)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from core.batches import Batch
from core.conditions import ArrayCondition, ConditionSpec
from core.errors import FourfoldError, Unsupported, did_you_mean, require, require_within
from core.families.family import (
    DEFAULTS,
    Condition,
    Family,
    FamilyConfig,
    Loss,
    SampleSettings,
    array_channels,
    has_sequence,
    refuse_arrays,
    truncations,
)
from core.families.lengths import draw_lengths, draw_lengths_around, length_nll, lengths, mean_length
from core.families.processes import EDM, FlowMatching, GaussianProcess, Masking, Process, training_sigmas
from core.likelihood import categorical_nll
from core.networks import MLPConfig, TransformerConfig, UNetConfig
from core.networks.conditioning import Conditioner, Conditioning, ConditioningConfig
from core.networks.layers import NoiseEmbedding
from core.samplers.ode import SOLVERS, Denoiser, filled, flow_log_prob, guided
from core.samplers.tokens import truncate
from core.samplers.unmask import unmask
from core.seeds import Draws, normal
from core.spaces import Continuous, Discrete, Space

NUM_STEPS = 18
"""Steps of a sampler where neither the recipe nor the user gives a number."""


@dataclass(frozen=True, kw_only=True)
class DiffusionConfig(FamilyConfig):
    """A diffusion model: the raw network and the process it undoes.

    Attributes:
        process: FlowMatching or EDM for arrays, Masking for tokens.
        bound_samples: draws behind each example's bound (masking).
        likelihood_steps: steps, of four evaluations each, of the flow's ODE behind a log-probability (arrays).
    """

    denoiser: TransformerConfig | UNetConfig | MLPConfig
    process: FlowMatching | EDM | Masking = field(default_factory=FlowMatching)
    conditioning: ConditioningConfig = field(default_factory=ConditioningConfig)
    bound_samples: int = 16
    likelihood_steps: int = 32

    def __post_init__(self) -> None:
        require_within(1, 10**6, "bound_samples", self.bound_samples)
        require_within(1, 10**6, "likelihood_steps", self.likelihood_steps)

    @property
    def sampling_network(self) -> TransformerConfig | UNetConfig | MLPConfig:
        return self.denoiser

    def build(self, space: Space, conditions: Mapping[str, ConditionSpec]) -> Family:
        """The family for a space: continuous or masked diffusion.

        Raises:
            FourfoldError: the process does not fit the space.
        """
        if isinstance(space, Discrete):
            refuse_arrays(conditions, "masked diffusion")
            require(isinstance(self.process, Masking), "process", self.process, "tokens need Masking")
            return MaskedDiffusion(self, space, conditions)
        require(not isinstance(self.process, Masking), "process", self.process, "arrays need FlowMatching or EDM")
        return Diffusion(self, space, conditions)


class Diffusion(Family):
    """Continuous diffusion: D(x; sigma) regresses clean data; see `core.families.processes` for the processes."""

    options = frozenset({"num_steps", "solver", "guidance_scale", "guidance_interval"})

    def __init__(self, config: DiffusionConfig, space: Continuous, conditions: Mapping[str, ConditionSpec]) -> None:
        super().__init__()
        self.config, self.space, self.process = config, space, _gaussian(config.process)
        # With levels the bound is variational (dequantisation); without, the ODE's log-density, estimated.
        self.likelihood = "estimate" if space.levels is None else "bound"
        self.conditioner = Conditioner(conditions, config.conditioning)
        self.noise_embedding = NoiseEmbedding(config.conditioning.width)
        seen = replace(space, shape=(space.shape[0] + array_channels(conditions), *space.shape[1:]))
        self.network = config.denoiser.field(
            seen, space.shape[0], cond_width=config.conditioning.width, cross=has_sequence(conditions)
        )

    def passes(self, settings: SampleSettings) -> int:
        return settings.num_steps or NUM_STEPS

    @property
    def latent_shape(self) -> tuple[int, ...]:
        return self.space.shape

    def denoise(self, x: Tensor, sigma: Tensor, cond: Conditioning) -> Tensor:
        """D(x; sigma): clean data `[B, ...]` from x `[B, ...]` at noise levels `[B]`."""
        coefficients = self.process.coefficients(sigma.view(-1, *[1] * (x.ndim - 1)))
        vector = self.noise_embedding(sigma.log() / 4)  # c_noise of EDM
        if cond.vector is not None:
            vector = vector + cond.vector
        seen = coefficients.input * x
        if cond.array is not None:
            seen = torch.cat([seen, cond.array], dim=1)
        raw: Tensor = self.network(seen, Conditioning(vector, cond.sequence, cond.sequence_mask))
        return coefficients.skip * x + coefficients.out * raw.float()

    def forward(self, batch: Batch, player: str = "model", progress: float = 1.0) -> Loss:
        x, n = batch.x, len(batch)
        cond = self.conditioner(batch.condition, n, self.conditioner.hidden(n, x.device))
        sigma = training_sigmas(self.process, n, x.device)
        wide = sigma.view(-1, *[1] * (x.ndim - 1))
        error = self.denoise(x + wide * torch.randn_like(x), sigma, cond) - x
        weight = self.process.coefficients(wide).out.square().reciprocal()
        return Loss((weight * error.square()).mean())

    def denoiser(self, condition: Condition | None, n: int, settings: SampleSettings) -> Denoiser:
        """The denoiser that samplers take, with the condition and its guidance bound in."""

        def bound_to(cond: Conditioning) -> Denoiser:
            return lambda x, sigma: self.denoise(x, sigma.expand(n), cond)

        conditional = bound_to(self.conditioner(condition, n))
        if settings.guidance_scale in (None, 1):
            return conditional
        unconditional = bound_to(self.conditioner(None, n))
        return guided(conditional, unconditional, settings.guidance_scale, settings.guidance_interval)

    @torch.no_grad()
    def sample(
        self, n: int, condition: Condition | None = None, *, settings: SampleSettings = DEFAULTS,
        draws: Draws = None,
    ) -> Batch:
        """With an array condition samples have its extent, which may differ from that of training."""
        shape = self.space.shape
        for name, spec in self.conditioner.specs.items():
            if isinstance(spec, ArrayCondition) and condition is not None and name in condition:
                shape = (shape[0], *condition[name].shape[2:])
        noise = normal(draws, (n, *shape), self.device)
        return self.decode(noise, condition, settings=settings, draws=draws)

    @torch.no_grad()
    def decode(
        self, z: Tensor, condition: Condition | None = None, *, settings: SampleSettings = DEFAULTS,
        draws: Draws = None,
    ) -> Batch:
        sigmas = self.process.sigmas(settings.num_steps or NUM_STEPS).to(z.device)
        return self._solve(self._prior_std() * z, sigmas, condition, settings, draws)

    @torch.no_grad()
    def vary(
        self, x: Tensor, strength: float, condition: Condition | None = None, *, settings: SampleSettings = DEFAULTS,
        draws: Draws = None,
    ) -> Batch:
        """Data near x `[n, *shape]` (SDEdit, Meng et al. 2108.01073): noised, then denoised again.

        `strength` in (0, 1] is the share of the schedule's steps that are walked back and solved anew.
        """
        require(0 < strength <= 1, "strength", strength, "must be in (0, 1]")
        sigmas = self.process.sigmas(settings.num_steps or NUM_STEPS).to(x.device)
        steps = len(sigmas) - 1
        sigmas = sigmas[steps - max(1, round(strength * steps)) :]
        noise = normal(draws, x.shape, x.device)
        return self._solve(x + sigmas[0] * noise, sigmas, condition, settings, draws)

    @torch.no_grad()
    def fill(
        self, known: Tensor, condition: Condition | None = None, *, settings: SampleSettings = DEFAULTS,
        draws: Draws = None,
    ) -> Batch:
        """Arrays like `known` `[n, *shape]`, filled in where it is NaN; its solver is its own, see `filled`."""
        self.check(settings)
        known = known.to(self.device)
        sigmas = self.process.sigmas(settings.num_steps or NUM_STEPS).to(self.device)
        return Batch(filled(self.denoiser(condition, len(known), settings), known, sigmas, draws))

    def _solve(
        self, start: Tensor, sigmas: Tensor, condition: Condition | None, settings: SampleSettings, draws: Draws
    ) -> Batch:
        self.check(settings)
        solver = settings.solver or "heun"
        if solver not in SOLVERS:
            raise FourfoldError(f"solver is {solver!r}: {did_you_mean(solver, SOLVERS)}")
        return Batch(SOLVERS[solver](self.denoiser(condition, len(start), settings), start, sigmas, draws))

    def bound(self, batch: Batch, *, generator: torch.Generator | None = None) -> Tensor:
        """-log p(x) by the flow's ODE; over levels, of uniformly dequantised data: an upper bound (1511.01844)."""
        x = batch.x
        sigma_min = max(self.process.sigma_min, 1e-3)
        volume = 0.0
        if self.space.levels is not None:
            width = 2 / (self.space.levels - 1)
            x = x + width * (torch.rand(x.shape, generator=generator, device=x.device) - 0.5)
            volume = self.space.dims * math.log(width)
        sigmas = torch.logspace(
            math.log10(sigma_min), math.log10(self.process.sigma_max), self.config.likelihood_steps + 1
        ).to(x.device)
        denoiser = self.denoiser(batch.condition, len(x), SampleSettings())
        return -flow_log_prob(denoiser, x, sigmas, self._prior_std(), generator) - volume

    def _prior_std(self) -> float:
        return math.hypot(self.process.sigma_max, self.process.sigma_data)


class MaskedDiffusion(Family):
    """Masked diffusion of tokens: predict hidden tokens from visible ones, at every rate of hiding (MDLM).

    The number of hidden tokens k is uniform over 1..length, stratified over the batch, and hidden tokens
    weigh length / k: the continuous-time bound of MDLM with the time given k integrated out, the same
    expectation with less variance (the order-agnostic bound of Hoogeboom et al. 2110.02037).
    """

    options = frozenset({"num_steps", "guidance_scale", "temperature", "top_k", "top_p", "min_p"})
    likelihood = "bound"

    def __init__(self, config: DiffusionConfig, space: Discrete, conditions: Mapping[str, ConditionSpec]) -> None:
        super().__init__()
        self.config, self.space, self.mean_length = config, space, mean_length(space)
        width = config.conditioning.width if conditions else 0
        self.conditioner = Conditioner(conditions, config.conditioning)
        self.network = config.denoiser.field(space, cond_width=width, cross=has_sequence(conditions))

    def passes(self, settings: SampleSettings) -> int:
        return settings.num_steps or self.space.length

    def forward(self, batch: Batch, player: str = "model", progress: float = 1.0) -> Loss:
        n, device = len(batch), batch.x.device
        cond = self.conditioner(batch.condition, n, self.conditioner.hidden(n, device))
        uniform = (torch.randperm(n, device=device) + torch.rand(n, device=device)) / n
        nll = self._weighted_nll(batch, cond, uniform, None)
        return Loss(nll.mean() / self.mean_length)

    def _weighted_nll(
        self, batch: Batch, cond: Conditioning, uniform: Tensor, generator: torch.Generator | None
    ) -> Tensor:
        """One draw of each example's bound `[n]`; `uniform` `[n]` in [0, 1) chooses how many tokens hide."""
        length = lengths(batch)
        hidden_count = (uniform * length).long().clamp(max=length - 1) + 1
        score = torch.rand(batch.x.shape, generator=generator, device=batch.x.device)
        if batch.mask is not None:
            score = score.masked_fill(~batch.mask, 2.0)
        hidden = score.argsort(1).argsort(1) < hidden_count[:, None]
        logits = self.network(batch.x.masked_fill(hidden, self.space.vocab), cond, batch.mask)
        return categorical_nll(logits, batch.x, hidden) * length / hidden_count

    @torch.no_grad()
    def bound(self, batch: Batch, *, generator: torch.Generator | None = None) -> Tensor:
        """The bound estimated from `bound_samples` stratified draws, plus -log p(length) where it varies."""
        n, count = len(batch), self.config.bound_samples
        cond = self.conditioner(batch.condition, n)
        total = torch.zeros(n, device=batch.x.device)
        for index in range(count):
            jitter = torch.rand(n, generator=generator, device=batch.x.device)
            total += self._weighted_nll(batch, cond, (index + jitter) / count, generator)
        return total / count + length_nll(self.space, batch)

    @torch.no_grad()
    def sample(
        self, n: int, condition: Condition | None = None, *, settings: SampleSettings = DEFAULTS,
        draws: Draws = None,
    ) -> Batch:
        mask = draw_lengths(self.space, n, self.device, draws)
        width = self.space.length if mask is None else mask.shape[1]
        tokens = torch.full((n, width), self.space.vocab, device=self.device)
        return self._unmasked(tokens, mask, condition, settings, draws)

    @torch.no_grad()
    def fill(
        self, known: Tensor, condition: Condition | None = None, *, settings: SampleSettings = DEFAULTS,
        draws: Draws = None,
    ) -> Batch:
        """Sequences like `known` `[n, T]`, filled in where it is -1.

        Of sequences that end, a row ends with its first known end; without one it gets a length that has room for
        all that is known.
        """
        known = known.to(self.device)
        mask = draw_lengths_around(self.space, known, draws)
        tokens = torch.where(known < 0, self.space.vocab, known)
        return self._unmasked(tokens, mask, condition, settings, draws)

    def continue_prefix(
        self, prefix: Tensor, condition: Condition | None = None, *, length: int | None = None,
        settings: SampleSettings = DEFAULTS, draws: Draws = None, watch: Callable[[Tensor], bool] | None = None,
    ) -> Batch:
        """The rest of a window is filled in at once. Of sequences that end, `length` tokens are followed by an end."""
        if watch is not None:
            raise self._unsupported("does not write from left to right: it takes no stop and cannot stream",
                                    "an autoregressive model")
        n, begun = prefix.shape
        longest = self.space.length if length is None else min(length, self.space.length)
        if begun >= longest:
            raise Unsupported(f"a prefix of {begun} tokens leaves no room in {longest}")
        known = torch.full((n, self.space.length), -1)
        known[:, :begun] = prefix
        if self.space.eos is not None:
            known[:, longest:] = self.space.eos
        filled = self.fill(known, condition, settings=settings, draws=draws)
        return filled if self.space.eos is not None else Batch(filled.x[:, :longest])

    def _unmasked(
        self, tokens: Tensor, mask: Tensor | None, condition: Condition | None, settings: SampleSettings,
        draws: Draws,
    ) -> Batch:
        """The mask symbols among `tokens` `[n, T]` drawn; `mask` `[n, T]`: which positions a sequence has."""
        self.check(settings)
        n = len(tokens)
        hidden, eos = tokens == self.space.vocab, None if mask is None else self.space.eos
        if mask is not None and eos is not None:
            # An end stands at the end and nowhere else.
            last = mask.sum(1, keepdim=True) - 1
            tokens, hidden = tokens.scatter(1, last, eos), (hidden & mask).scatter(1, last, False)
        cond, null = self.conditioner(condition, n), self.conditioner(None, n)
        scale = settings.guidance_scale

        def logits_of(tokens: Tensor) -> Tensor:
            logits: Tensor = self.network(tokens, cond, mask)
            if scale is None or scale == 1:
                return logits
            without: Tensor = self.network(tokens, null, mask)
            return without + scale * (logits - without)

        def transform(logits: Tensor) -> Tensor:
            if eos is not None:
                logits[..., eos] = -torch.inf
            return truncate(logits, **truncations(settings))

        filled = unmask(logits_of, tokens, hidden, settings.num_steps or tokens.shape[1], transform=transform,
                        draws=draws, length=self.space.length)
        # A padded position holds no data: give it a token that every codec can look up.
        return Batch(filled if mask is None else filled.masked_fill(~mask, eos or 0), {}, mask)


def _gaussian(process: Process) -> GaussianProcess:
    if isinstance(process, Masking):
        raise Unsupported("masking is a process of tokens")
    return process
