"""Autoregressive models of tokens, and of arrays through a quantiser."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from core.batches import Batch
from core.conditions import ConditionSpec, SequenceCondition
from core.errors import FourfoldError, Unsupported, require
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
from core.likelihood import categorical_nll
from core.networks import ConvConfig, TransformerConfig
from core.networks.conditioning import Conditioner, Conditioning, ConditioningConfig
from core.quantizers import FSQ, UniformBins
from core.samplers.tokens import beam_search, generate, truncate
from core.seeds import Draws
from core.spaces import Continuous, Discrete, Space


@dataclass(frozen=True, kw_only=True)
class LearnedCodes:
    """An autoencoder whose bottleneck is finite scalar quantisation (Mentzer et al. 2309.15505)."""

    network: ConvConfig
    fsq: FSQ
    share: float = 0.4  # of training spent on the autoencoder, before the model of its codes

    def __post_init__(self) -> None:
        require(0 < self.share < 1, "quantizer.share", self.share, "must be in (0, 1)")


@dataclass(frozen=True, kw_only=True)
class AutoregressiveConfig(FamilyConfig):
    """A causal transformer over tokens; arrays need a `quantizer` that makes them tokens.

    `copy`: the source's tokens may be copied (pointer-generator, 1704.04368); source and data share a vocabulary.
    """

    model: TransformerConfig
    quantizer: UniformBins | LearnedCodes | None = None
    conditioning: ConditioningConfig = field(default_factory=ConditioningConfig)
    copy: bool = False
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        require(0 <= self.label_smoothing < 1, "label_smoothing", self.label_smoothing, "must be in [0, 1)")

    @property
    def sampling_network(self) -> TransformerConfig:
        return self.model

    def build(self, space: Space, conditions: Mapping[str, ConditionSpec]) -> Family:
        """The family for a space.

        Raises:
            FourfoldError: arrays without a quantiser, or tokens with one.
        """
        refuse_arrays(conditions, "an autoregressive model")
        if self.copy:
            sources = [spec for spec in conditions.values() if isinstance(spec, SequenceCondition)]
            same = len(sources) == 1 and isinstance(space, Discrete) and space.vocab == sources[0].vocab
            require(same, "copy", self.copy, "needs one source, of the data's vocabulary")
        if isinstance(space, Discrete):
            require(self.quantizer is None, "quantizer", self.quantizer, "tokens need none")
            return Autoregressive(self, space, conditions)
        if isinstance(self.quantizer, LearnedCodes):
            return CodeAutoregressive(self, self.quantizer, space, conditions)
        if isinstance(self.quantizer, UniformBins):
            return BinAutoregressive(self, self.quantizer, space, conditions)
        raise FourfoldError("quantizer is None: arrays need UniformBins or LearnedCodes")


class Autoregressive(Family):
    """p(x) as the product of p(x_t | x_<t): exact likelihood, sampling with a key-value cache."""

    options = frozenset({"guidance_scale", "temperature", "top_k", "top_p", "min_p", "repetition_penalty", "int8"})
    likelihood = "exact"

    def __init__(self, config: AutoregressiveConfig, space: Discrete, conditions: Mapping[str, ConditionSpec]) -> None:
        super().__init__()
        self.config, self.space, self.mean_length = config, space, mean_length(space)
        self.conditioner = Conditioner(conditions, config.conditioning)
        self.network = config.model.field(
            space, cond_width=config.conditioning.width if conditions else 0, causal=True,
            cross=has_sequence(conditions), copy=config.copy,
        )

    def passes(self, settings: SampleSettings) -> int:
        return self.space.length

    def logits(self, x: Tensor, cond: Conditioning, mask: Tensor | None = None) -> Tensor:
        """Logits `[B, T, vocab]`, those at t a function of x_<t."""
        start = torch.full_like(x[:, :1], self.space.vocab)
        logits: Tensor = self.network(torch.cat([start, x[:, :-1]], dim=1), cond, mask)
        return logits

    def forward(self, batch: Batch, player: str = "model", progress: float = 1.0) -> Loss:
        n = len(batch)
        cond = self.conditioner(batch.condition, n, self.conditioner.hidden(n, batch.x.device))
        logits = self.logits(batch.x, cond, batch.mask)
        nll = categorical_nll(logits, batch.x, batch.mask, self.config.label_smoothing)
        return Loss(nll.mean() / self.mean_length)

    def nll(self, batch: Batch) -> Tensor:
        cond = self.conditioner(batch.condition, len(batch))
        return categorical_nll(self.logits(batch.x, cond, batch.mask), batch.x, batch.mask)

    @torch.no_grad()
    def bound(self, batch: Batch, *, generator: torch.Generator | None = None) -> Tensor:
        """-log p(x | condition), exact."""
        return self.nll(batch)

    @torch.no_grad()
    def sample(
        self, n: int, condition: Condition | None = None, *, settings: SampleSettings = DEFAULTS,
        draws: Draws = None,
    ) -> Batch:
        nothing = torch.zeros((n, 0), dtype=torch.int64, device=self.device)
        return self.continue_prefix(nothing, condition, settings=settings, draws=draws)

    @torch.no_grad()
    def continue_prefix(
        self, prefix: Tensor, condition: Condition | None = None, *, length: int | None = None,
        settings: SampleSettings = DEFAULTS, draws: Draws = None, watch: Callable[[Tensor], bool] | None = None,
    ) -> Batch:
        self.check(settings)
        n, begun = prefix.shape
        longest = self.space.length if length is None else min(length, self.space.length)
        if begun >= longest:
            raise Unsupported(f"a prefix of {begun} tokens leaves no room in {longest}")
        prefix = prefix.to(self.device)
        start = torch.full((n, 1), self.space.vocab, device=self.device)
        tokens, mask = generate(
            self._next_logits(n, condition, settings), torch.cat([start, prefix], dim=1),
            longest - begun, self.space.eos, draws=draws, watch=watch,
            transform=lambda logits: truncate(logits, **truncations(settings)),
            repetition_penalty=1.0 if settings.repetition_penalty is None else settings.repetition_penalty,
        )
        mask = torch.cat([torch.ones_like(prefix, dtype=torch.bool), mask], dim=1)
        return Batch(torch.cat([prefix, tokens], dim=1), {}, None if self.space.eos is None else mask)

    @torch.no_grad()
    def search(self, condition: Mapping[str, Tensor], *, beams: int, length_penalty: float = 1.0) -> Batch:
        if self.space.eos is None:
            raise Unsupported("windows of a stream have no end: a beam search needs sequences that end")
        n, device = len(next(iter(condition.values()))), self.device
        repeated = {name: value.repeat_interleave(beams, 0) for name, value in condition.items()}
        cond = self.conditioner(repeated, n * beams)
        cache = self.network.new_cache(n * beams, self.space.length + 1, device)
        tokens, mask = beam_search(
            lambda fresh: self.network(fresh, cond, cache=cache)[:, -1], cache.keep,
            torch.full((n, 1), self.space.vocab, device=device), self.space.length, self.space.eos, beams=beams,
            length_penalty=length_penalty,
        )
        return Batch(tokens, {}, mask)

    def _next_logits(self, n: int, condition: Condition | None, settings: SampleSettings) -> Callable[[Tensor], Tensor]:
        """What `generate` calls: with guidance, the conditional and the null half share one doubled batch."""
        device, scale, int8 = self.device, settings.guidance_scale, bool(settings.int8)
        if scale is None or scale == 1 or not condition:
            cond = self.conditioner(condition, n)
            cache = self.network.new_cache(n, self.space.length + 1, device, int8)
            return lambda fresh: self.network(fresh, cond, cache=cache)[:, -1]
        doubled = {name: torch.cat([value, value]) for name, value in condition.items()}
        drop = torch.arange(2 * n, device=device) >= n
        cond = self.conditioner(doubled, 2 * n, drop)
        cache = self.network.new_cache(2 * n, self.space.length + 1, device, int8)

        def next_logits(fresh: Tensor) -> Tensor:
            with_condition, without = self.network(torch.cat([fresh, fresh]), cond, cache=cache)[:, -1].chunk(2)
            logits: Tensor = without + scale * (with_condition - without)
            return logits

        return next_logits


class BinAutoregressive(Family):
    """Arrays as one token a number, or a patch of them.

    Exact on data of as many levels as bins, else a piecewise constant density.
    """

    options = Autoregressive.options
    likelihood = "exact"

    def __init__(
        self, config: AutoregressiveConfig, bins: UniformBins, space: Continuous,
        conditions: Mapping[str, ConditionSpec],
    ) -> None:
        super().__init__()
        self.space, self.bins = space, bins
        require(space.levels in (None, self.bins.bins), "quantizer.bins", self.bins.bins,
                f"must equal the data's levels ({space.levels})")
        self.tokens = Autoregressive(config, self.bins.space(space), conditions)

    def passes(self, settings: SampleSettings) -> int:
        return self.tokens.passes(settings)

    def forward(self, batch: Batch, player: str = "model", progress: float = 1.0) -> Loss:
        return self.tokens.forward(self._quantized(batch))

    def bound(self, batch: Batch, *, generator: torch.Generator | None = None) -> Tensor:
        nll = self.tokens.bound(self._quantized(batch))
        if self.space.levels is None:
            nll = nll + self.space.dims * math.log(self.bins.width)
        return nll

    def sample(
        self, n: int, condition: Condition | None = None, *, settings: SampleSettings = DEFAULTS,
        draws: Draws = None,
    ) -> Batch:
        tokens = self.tokens.sample(n, condition, settings=settings, draws=draws).x
        return Batch(self.bins.decode(tokens, self.space.shape))

    def _quantized(self, batch: Batch) -> Batch:
        return Batch(self.bins.encode(batch.x), batch.condition)


class CodeAutoregressive(Family):
    """Arrays as the codes of a quantised autoencoder, trained first; then a model of the codes (VQGAN's two stages).

    The autoencoder loses detail, so there is no likelihood of the data.
    """

    players = ("autoencoder", "model")
    options = Autoregressive.options

    def __init__(
        self, config: AutoregressiveConfig, codes: LearnedCodes, space: Continuous,
        conditions: Mapping[str, ConditionSpec],
    ) -> None:
        super().__init__()
        self.space, self.codes = space, codes
        fsq, network = self.codes.fsq, self.codes.network
        self.encoder = network.downsample(space, fsq.channels)
        self.decoder = network.upsample(fsq.channels, space)
        self.grid = tuple(math.ceil(size / network.factor) for size in space.shape[1:])
        self.tokens = Autoregressive(config, Discrete(length=math.prod(self.grid), vocab=fsq.codes), conditions)

    def passes(self, settings: SampleSettings) -> int:
        return self.tokens.passes(settings)

    def span(self, player: str) -> tuple[float, float]:
        return (0.0, self.codes.share) if player == "autoencoder" else (self.codes.share, 1.0)

    def owned(self, player: str) -> Iterator[nn.Parameter]:
        if player == "model":
            yield from self.tokens.parameters()
        else:
            yield from self.encoder.parameters()
            yield from self.decoder.parameters()

    def forward(self, batch: Batch, player: str = "model", progress: float = 1.0) -> Loss:
        if player == "model":
            with torch.no_grad():
                tokens = self.codes.fsq.to_tokens(self.codes.fsq.quantize(self.encoder(batch.x).float()))
            return self.tokens.forward(Batch(tokens, batch.condition))
        return Loss((self.through_codes(batch.x) - batch.x).square().mean())

    def through_codes(self, x: Tensor) -> Tensor:
        """x `[B, *shape]` quantised and decoded again, differentiable."""
        decoded: Tensor = self.decoder(self.codes.fsq.quantize(self.encoder(x).float()))
        return decoded.float()

    @torch.no_grad()
    def reconstruct(self, batch: Batch, *, settings: SampleSettings = DEFAULTS, draws: Draws = None) -> Batch:
        """The autoencoder's own loss of detail: data as their codes tell them."""
        return Batch(self.through_codes(batch.x), batch.condition)

    @torch.no_grad()
    def sample(
        self, n: int, condition: Condition | None = None, *, settings: SampleSettings = DEFAULTS,
        draws: Draws = None,
    ) -> Batch:
        tokens = self.tokens.sample(n, condition, settings=settings, draws=draws).x
        return Batch(self.decoder(self.codes.fsq.from_tokens(tokens, self.grid)).float())
