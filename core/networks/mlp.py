"""Residual multi-layer perceptrons over flattened arrays."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from core.errors import require
from core.networks.conditioning import Conditioning
from core.networks.layers import leaky, require_arrays, zeroed
from core.spaces import Continuous


@dataclass(frozen=True, kw_only=True)
class MLPConfig:
    """`depth` residual blocks of `width`."""

    width: int = 128
    depth: int = 3

    def __post_init__(self) -> None:
        require(self.width >= 1, "mlp.width", self.width, "must be at least 1")
        require(self.depth >= 0, "mlp.depth", self.depth, "must be at least 0")

    def field(
        self, space: Continuous, out: int | None = None, cond_width: int = 0, causal: bool = False, cross: bool = False
    ) -> nn.Module:
        """`[B, C, *S]` -> `[B, out or C, *S]`."""
        require(not causal and not cross, "mlp", self, "cannot be causal or read a sequence: use a transformer")
        require_arrays(space, "mlp")
        shape = (out or space.shape[0], *space.shape[1:])
        # A denoiser starts at zero output, as all of ours do; its target is centred.
        return MLP(self, space.dims, shape, cond_width, zero=True)

    def encoder(self, space: Continuous, out: int, cond_width: int = 0) -> nn.Module:
        """`[B, C, *S]` -> `[B, out]`."""
        require_arrays(space, "mlp")
        return MLP(self, space.dims, (out,), cond_width)

    def decoder(self, latent: int, space: Continuous, out: int | None = None, cond_width: int = 0) -> nn.Module:
        """`[B, latent]` -> `[B, out or C, *S]`."""
        return MLP(self, latent, (out or space.shape[0], *space.shape[1:]), cond_width)


class MLP(nn.Module):
    """Residual blocks that see the input's projection plus the condition, which also modulates each of them."""

    def __init__(
        self, config: MLPConfig, dims: int, shape: tuple[int, ...], cond_width: int, zero: bool = False
    ) -> None:
        super().__init__()
        self.shape = shape
        self.enter = nn.Linear(dims, config.width)
        self.condition = nn.Linear(cond_width, config.width) if cond_width else None
        self.modulations = nn.ModuleList(
            zeroed(nn.Linear(cond_width, config.width)) for _ in range(config.depth if cond_width else 0)
        )
        self.first = nn.ModuleList(nn.Linear(config.width, 2 * config.width) for _ in range(config.depth))
        self.second = nn.ModuleList(nn.Linear(2 * config.width, config.width) for _ in range(config.depth))
        self.leave = nn.Linear(config.width, int(torch.Size(shape).numel()))
        if zero:
            zeroed(self.leave)

    def forward(self, x: Tensor, cond: Conditioning | None = None, mask: Tensor | None = None) -> Tensor:
        h = self.enter(x.flatten(1))
        vector = None
        if self.condition is not None and cond is not None and cond.vector is not None:
            vector = leaky(cond.vector)
            h = h + self.condition(vector)
        for index, (first, second) in enumerate(zip(self.first, self.second, strict=True)):
            inner = h if vector is None else h + self.modulations[index](vector)
            h = h + second(leaky(first(leaky(inner))))
        return self.leave(leaky(h)).view(-1, *self.shape)
