"""Layers and small functions that several networks use."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn.functional import leaky_relu, pad, pixel_shuffle, pixel_unshuffle

from core.errors import FourfoldError, require, require_within
from core.spaces import Continuous, Discrete, Space

WIDEST, DEEPEST = 65_536, 1_000
"""Bounds of sizes, so that a slip of the keyboard is refused before memory is asked for."""

Layer = TypeVar("Layer", bound=nn.Module)
Edge = TypeVar("Edge", bound=nn.Parameter | nn.Module)


def edge(layer: Edge) -> Edge:
    """The argument, marked as a first or last layer of its network: Muon trains only hidden matrices, AdamW the rest.

    The mark is an attribute of each parameter: it survives moves between devices, but not `copy.deepcopy`.
    """
    for parameter in [layer] if isinstance(layer, nn.Parameter) else layer.parameters():
        parameter.is_edge = True  # type: ignore[attr-defined]
    return layer


def is_edge(parameter: nn.Parameter) -> bool:
    """Whether `edge` marked the parameter."""
    return getattr(parameter, "is_edge", False) is True


Part = tuple[str, int]
"""What a part of an axis counts, and how many of it."""


def indexed(parameter: Tensor, axis: int, *parts: Part) -> None:
    """Say what the places along an axis of a parameter stand for: a product of parts, the outermost first.

    So the weights of one model can be carried over to a model of other data (`core.networks.carrying`, which knows the
    names of parts). Like that of `edge`, the mark is an attribute of the parameter.
    """
    parameter.parts = {**parts_of(parameter), axis: parts}  # type: ignore[attr-defined]


def parts_of(parameter: Tensor) -> Mapping[int, tuple[Part, ...]]:
    """What `indexed` said, by axis."""
    found: Mapping[int, tuple[Part, ...]] = getattr(parameter, "parts", {})
    return found


def places(sizes: Sequence[int]) -> tuple[Part, ...]:
    """The parts of the axes of an array after its channels: steps of a sequence, or the two sides of a picture."""
    return (("step", sizes[0]),) if len(sizes) == 1 else tuple(("place", size) for size in sizes)


def require_stages(network: str, width: int, multipliers: tuple[int, ...], blocks: int, patch: int) -> None:
    """Refuse sizes of stages that are out of bounds.

    Raises:
        FourfoldError: one is.
    """
    require_within(1, WIDEST, f"{network}.width", width)
    require_within(1, DEEPEST, f"{network}.blocks", blocks)
    require_within(1, WIDEST, f"{network}.patch", patch)
    wide = 1 <= len(multipliers) <= 16 and min(multipliers) >= 1 and max(multipliers) * width <= WIDEST
    require(wide, f"{network}.multipliers", multipliers, f"must be 1 to 16 whole numbers of at least 1, and at most "
            f"{WIDEST:,} channels")


class NoiseEmbedding(nn.Module):
    """The noise level of each example as a vector, `[B]` -> `[B, width]`: sines of log-spaced frequency, two layers."""

    frequencies: Tensor

    def __init__(self, width: int, features: int = 64) -> None:
        super().__init__()
        frequencies = torch.exp(torch.linspace(0, math.log(200.0), features // 2))
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.layers = edge(nn.Sequential(nn.Linear(features, width), nn.SiLU(), nn.Linear(width, width)))

    def forward(self, value: Tensor) -> Tensor:
        angle = value[:, None] * self.frequencies  # [B, features / 2]
        y: Tensor = self.layers(torch.cat([angle.cos(), angle.sin()], dim=1))
        return y


class _Saved(FunctionCtx):  # the types of what `_RootMeanSquare` saves for its backward pass
    saved_tensors: tuple[Tensor, Tensor, Tensor]
    eps: float


class _RootMeanSquare(torch.autograd.Function):
    """y = g n with n = x / rms(x); dx = (g dy - n mean(g dy n)) / rms(x), dg = sum(dy n)."""

    @staticmethod
    def forward(ctx: _Saved, x: Tensor, gain: Tensor, eps: float) -> Tensor:
        square = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_().div_(x.shape[-1])
        scale = square.add_(eps).rsqrt_()
        ctx.save_for_backward(x, gain, scale)
        ctx.eps = eps
        y: Tensor = (x * scale).mul_(gain)
        return y

    @staticmethod
    def backward(ctx: _Saved, dy: Tensor) -> tuple[Tensor, Tensor, None]:
        x, gain, scale = ctx.saved_tensors
        width = x.shape[-1]
        if torch.is_grad_enabled():  # for second derivatives, as in a gradient penalty: every operation is recorded
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
    """nn.RMSNorm with a faster gradient on a CPU, where PyTorch's makes many more passes over memory."""

    def forward(self, x: Tensor) -> Tensor:
        by_hand = x.device.type == "cpu" and x.dtype == self.weight.dtype and x.dtype.itemsize >= 4
        if not by_hand or torch.compiler.is_compiling():
            return super().forward(x)
        eps = torch.finfo(x.dtype).eps if self.eps is None else self.eps
        y: Tensor = _RootMeanSquare.apply(x, self.weight, eps)
        return y


def zeroed(layer: Layer) -> Layer:
    """The layer with every parameter set to zero: a residual block whose branch ends in it starts as the identity."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def leaky(x: Tensor) -> Tensor:
    """Leaky ReLU with negative slope 0.2; its second derivative is zero, which makes gradient penalties cheap."""
    return leaky_relu(x, 0.2)


def padded(x: Tensor, factor: int) -> Tensor:
    """x `[B, C, *S]`, each axis padded with zeros at its end to a multiple of `factor`."""
    pads = [p for size in reversed(x.shape[2:]) for p in (0, -size % factor)]
    return pad(x, pads) if any(pads) else x


def cropped(x: Tensor, sizes: tuple[int, ...]) -> Tensor:
    """The first `sizes` of each axis of x `[B, C, *S]`."""
    return x[(slice(None), slice(None), *(slice(size) for size in sizes))]


def unshuffled(x: Tensor, patch: int) -> Tensor:
    """Patches as channels (pixel unshuffle): `[B, C, *S]` -> `[B, C * patch^axes, *(S / patch)]`."""
    if patch == 1:
        return x
    if x.ndim == 4:
        return pixel_unshuffle(x, patch)
    b, c, size = x.shape
    return x.reshape(b, c, size // patch, patch).transpose(2, 3).flatten(1, 2)


def shuffled(x: Tensor, patch: int) -> Tensor:
    """Channels as patches, the inverse of `unshuffled`: `[B, C * patch^axes, *S]` -> `[B, C, *(S * patch)]`."""
    if patch == 1:
        return x
    if x.ndim == 4:
        return pixel_shuffle(x, patch)
    b, c, size = x.shape
    return x.reshape(b, c // patch, patch, size).transpose(2, 3).flatten(2, 3)


def require_arrays(space: Space, network: str) -> Continuous:
    """The space, which must be of arrays; `network`: its name in the error.

    Raises:
        FourfoldError: the space is of tokens, which only a transformer takes.
    """
    if isinstance(space, Discrete):
        raise FourfoldError(f"{network} takes arrays, and the data are {space.vocab} kinds of token: use a transformer")
    return space


def array_axes(space: Space, network: str) -> int:
    """The number of axes after the channels, 1 or 2.

    Raises:
        FourfoldError: the space is of tokens, or has another number of axes.
    """
    shape = require_arrays(space, network).shape
    require(len(shape) in (2, 3), f"{network}: space.shape", shape, "arrays must have one or two axes")
    return len(shape) - 1
