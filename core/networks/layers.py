"""Pieces that networks share."""

from __future__ import annotations

import math
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, pixel_shuffle, pixel_unshuffle

from core.errors import FourfoldError, require
from core.spaces import Continuous, Discrete, Space

Layer = TypeVar("Layer", bound=nn.Module)
Edge = TypeVar("Edge", bound=nn.Parameter | nn.Module)


def edge(layer: Edge) -> Edge:
    """Mark a parameter, or all of a layer, as a network's first or last: Muon, for hidden matrices, leaves it be."""
    for parameter in [layer] if isinstance(layer, nn.Parameter) else layer.parameters():
        parameter.is_edge = True  # type: ignore[attr-defined]
    return layer


def is_edge(parameter: nn.Parameter) -> bool:
    """Whether `edge` marked it."""
    return getattr(parameter, "is_edge", False)


class NoiseEmbedding(nn.Module):
    """A number an example -> a vector: log-spaced sine features, then two layers. `[B]` -> `[B, width]`."""

    frequencies: Tensor

    def __init__(self, width: int, features: int = 64) -> None:
        super().__init__()
        frequencies = torch.exp(torch.linspace(0, math.log(200.0), features // 2))
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.layers = nn.Sequential(nn.Linear(features, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, value: Tensor) -> Tensor:
        angle = value[:, None] * self.frequencies
        return self.layers(torch.cat([angle.cos(), angle.sin()], dim=1))


class _RootMeanSquare(torch.autograd.Function):
    """y = g n with n = x / rms(x); dx = (g dy - n mean(g dy n)) / rms(x), dg = sum(dy n)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: Tensor, eps: float) -> Tensor:
        square = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_().div_(x.shape[-1])
        scale = square.add_(eps).rsqrt_()
        ctx.save_for_backward(x, gain, scale)
        ctx.eps = eps
        return (x * scale).mul_(gain)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, Tensor, None]:
        x, gain, scale = ctx.saved_tensors
        width = x.shape[-1]
        if torch.is_grad_enabled():  # a gradient penalty differentiates this once more, down to x
            scale = (x.square().mean(-1, keepdim=True) + ctx.eps).rsqrt()
            normed, slope = x * scale, dy * gain
            dx = scale * (slope - normed * (slope * normed).mean(-1, keepdim=True))
            return dx, (dy * normed).reshape(-1, width).sum(0), None
        product = dy * x
        rows = product.reshape(-1, width)
        shrink = torch.mv(rows, gain).view(scale.shape).mul_(scale.pow(3)).div_(-width)
        dgain = torch.mv(rows.t(), scale.flatten())
        return torch.mul(dy, gain, out=product).mul_(scale).addcmul_(x, shrink), dgain, None


class RMSNorm(nn.RMSNorm):
    """nn.RMSNorm, whose gradient on a CPU PyTorch puts together of many passes over memory: here of few."""

    def forward(self, x: Tensor) -> Tensor:
        by_hand = x.device.type == "cpu" and x.dtype == self.weight.dtype and x.dtype.itemsize >= 4
        if not by_hand or torch.compiler.is_compiling():
            return super().forward(x)
        eps = torch.finfo(x.dtype).eps if self.eps is None else self.eps
        y: Tensor = _RootMeanSquare.apply(x, self.weight, eps)
        return y


def zeroed(layer: Layer) -> Layer:
    """The layer with every parameter zero: a residual branch that ends in it starts as the identity."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def leaky(x: Tensor) -> Tensor:
    """Leaky ReLU of slope 0.2: its second derivative is zero, so a gradient penalty's second pass skips it."""
    return leaky_relu(x, 0.2)


def unshuffled(x: Tensor, patch: int) -> Tensor:
    """Patches as channels: `[B, C, *S]` -> `[B, C * patch^axes, *(S / patch)]`."""
    if patch == 1:
        return x
    if x.ndim == 4:
        return pixel_unshuffle(x, patch)
    return x.unflatten(2, (-1, patch)).transpose(2, 3).flatten(1, 2)


def shuffled(x: Tensor, patch: int) -> Tensor:
    """`unshuffled` undone."""
    if patch == 1:
        return x
    if x.ndim == 4:
        return pixel_shuffle(x, patch)
    return x.unflatten(1, (-1, patch)).transpose(2, 3).flatten(2, 3)


def require_arrays(space: Space, network: str) -> None:
    """Refuse tokens, which only a transformer reads.

    Raises:
        FourfoldError: the space is `Discrete`.
    """
    if isinstance(space, Discrete):
        raise FourfoldError(f"{network} takes arrays, and the data are {space.vocab} kinds of token: use a transformer")


def array_axes(space: Continuous, network: str) -> int:
    """The number of axes behind the channels, 1 or 2.

    Raises:
        FourfoldError: the space is of tokens, or has another number of axes.
    """
    require_arrays(space, network)
    require(len(space.shape) in (2, 3), f"{network}: space.shape", space.shape, "arrays must have one or two axes")
    return len(space.shape) - 1
