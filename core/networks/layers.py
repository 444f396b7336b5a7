"""Pieces that networks share."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu


class NoiseEmbedding(nn.Module):
    """A number an example -> a vector: log-spaced sine features, then two layers. `[B]` -> `[B, width]`."""

    def __init__(self, width: int, features: int = 64) -> None:
        super().__init__()
        frequencies = torch.exp(torch.linspace(0, math.log(200.0), features // 2))
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.layers = nn.Sequential(nn.Linear(features, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, value: Tensor) -> Tensor:
        angle = value[:, None] * self.frequencies
        return self.layers(torch.cat([angle.cos(), angle.sin()], dim=1))


def leaky(x: Tensor) -> Tensor:
    """Leaky ReLU of slope 0.2: its second derivative is zero, which halves the cost of gradient penalties."""
    return leaky_relu(x, 0.2)
