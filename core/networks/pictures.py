"""A small convolutional encoder of pictures, for networks that are conditioned on what is seen."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, relu

from core.conditions import PictureCondition
from core.networks.layers import edge

MAPS = 64
SHIFT = 16
"""Training shifts pictures by up to a 16th of their sides (DrQ, Kostrikov et al. 2004.13649)."""


class PictureEncoder(nn.Module):
    """uint8 `[B, C, H, W]` -> `[B, width]`: where each of `MAPS` features is (a spatial softmax, Levine et al.
    1504.00702), and how strong it is at most."""

    def __init__(self, spec: PictureCondition, width: int) -> None:
        super().__init__()
        channels, height, wide = spec.shape
        self.shift = max(1, min(height, wide) // SHIFT)
        self.enter = edge(nn.Conv2d(channels, 32, 5, stride=2, padding=2))
        self.first, self.second = nn.Conv2d(32, 32, 3, stride=2, padding=1), nn.Conv2d(32, MAPS, 3, padding=1)
        self.norms = nn.ModuleList([nn.GroupNorm(8, 32), nn.GroupNorm(8, 32)])
        self.leave = edge(nn.Sequential(nn.Linear(3 * MAPS, width), nn.SiLU(), nn.Linear(width, width)))

    def forward(self, pictures: Tensor) -> Tensor:
        x = self._shifted(pictures) if self.training else pictures
        h = relu(self.norms[0](self.enter(x.float() / 127.5 - 1)))
        h = relu(self.norms[1](self.first(h)))
        h = self.second(h)  # [B, MAPS, h, w]
        share = h.flatten(2).softmax(2).view_as(h)
        rows, columns = (torch.linspace(-1, 1, size, device=h.device) for size in h.shape[2:])
        places = [(share.sum(3) * rows).sum(2), (share.sum(2) * columns).sum(2)]  # [B, MAPS] each
        y: Tensor = self.leave(torch.cat([*places, h.amax((2, 3))], dim=1))
        return y

    def _shifted(self, pictures: Tensor) -> Tensor:
        """Each picture moved by a few pixels; its edge fills the gap."""
        height, width = pictures.shape[2:]
        wider = pad(pictures.float(), [self.shift] * 4, mode="replicate")
        moves = torch.randint(0, 2 * self.shift + 1, (len(pictures), 2)).tolist()
        return torch.stack([picture[:, y : y + height, x : x + width]
                            for picture, (y, x) in zip(wider, moves, strict=True)])
