"""Residual multi-layer perceptrons over flattened arrays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from core.errors import require, require_within
from core.networks.conditioning import Conditioning
from core.networks.layers import DEEPEST, WIDEST, Part, edge, indexed, leaky, places, require_arrays, zeroed
from core.spaces import Continuous, Space


@dataclass(frozen=True, kw_only=True)
class MLPConfig:
    """`depth` residual blocks of `width`."""

    width: int = 128
    depth: int = 3

    def __post_init__(self) -> None:
        require_within(1, WIDEST, "mlp.width", self.width)
        require_within(0, DEEPEST, "mlp.depth", self.depth)

    def field(
        self, space: Space, out: int | None = None, cond_width: int = 0, causal: bool = False, cross: bool = False
    ) -> nn.Module:
        """`[B, C, *S]` -> `[B, out or C, *S]`, zero at first. FourfoldError for `causal`, `cross` or tokens."""
        require(not causal and not cross, "mlp", self, "cannot be causal or read a sequence: use a transformer")
        space = require_arrays(space, "mlp")
        return MLP(self, _array(space.shape), _array((out or space.shape[0], *space.shape[1:])), cond_width, zero=True)

    def encoder(self, space: Space, out: int, cond_width: int = 0) -> nn.Module:
        """`[B, C, *S]` -> `[B, out]`. FourfoldError for tokens."""
        return MLP(self, _array(require_arrays(space, "mlp").shape), (("", out),), cond_width)

    def decoder(self, latent: int, space: Continuous, out: int | None = None, cond_width: int = 0) -> nn.Module:
        """`[B, latent]` -> `[B, out or C, *S]`."""
        return MLP(self, (("", latent),), _array((out or space.shape[0], *space.shape[1:])), cond_width)


def _array(shape: Sequence[int]) -> tuple[Part, ...]:
    """The parts of a flattened array."""
    return (("channels", shape[0]), *places(shape[1:]))


class MLP(nn.Module):
    """Linear layers and `depth` residual blocks between them; the condition is added to the input of each block.

    Input and output are flattened arrays of the parts given.
    """

    def __init__(
        self, config: MLPConfig, seen: tuple[Part, ...], made: tuple[Part, ...], cond_width: int, zero: bool = False
    ) -> None:
        super().__init__()
        self.shape = tuple(size for _, size in made)
        self.enter = edge(nn.Linear(math.prod(size for _, size in seen), config.width))
        indexed(self.enter.weight, 1, *seen)
        self.condition = nn.Linear(cond_width, config.width) if cond_width else None
        self.modulations = nn.ModuleList(
            zeroed(nn.Linear(cond_width, config.width)) for _ in range(config.depth if cond_width else 0)
        )
        self.first = nn.ModuleList(nn.Linear(config.width, 2 * config.width) for _ in range(config.depth))
        self.second = nn.ModuleList(nn.Linear(2 * config.width, config.width) for _ in range(config.depth))
        self.leave = edge(nn.Linear(config.width, math.prod(self.shape)))
        for parameter in self.leave.parameters():
            indexed(parameter, 0, *made)
        if zero:
            zeroed(self.leave)

    def forward(self, x: Tensor, cond: Conditioning | None = None, mask: Tensor | None = None) -> Tensor:
        h: Tensor = self.enter(x.flatten(1))  # [B, width]
        vector = None
        if self.condition is not None and cond is not None and cond.vector is not None:
            vector = leaky(cond.vector)
            h = h + self.condition(vector)
        for index, (first, second) in enumerate(zip(self.first, self.second, strict=True)):
            inner = h if vector is None else h + self.modulations[index](vector)
            h = h + second(leaky(first(leaky(inner))))
        y: Tensor = self.leave(leaky(h)).view(-1, *self.shape)
        return y
