"""Points between latents."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import cosine_similarity


def slerp(a: Tensor, b: Tensor, t: float) -> Tensor:
    """Spherical interpolation (White 1609.04468): Gaussian latents live near a sphere, straight lines leave it."""
    cosine = cosine_similarity(a.flatten(1), b.flatten(1), dim=1).clamp(-0.9999, 0.9999)
    cosine = cosine.view(-1, *[1] * (a.ndim - 1))
    angle = cosine.acos()
    return (((1 - t) * angle).sin() * a + (t * angle).sin() * b) / angle.sin()
