"""Pictures made worse, the way enhancement finds them: what a model that restores is trained on and is given.

Every task's degraded picture is a float array `[B, C + 1, H, W]` of the restored one's size: the picture in [-1, 1]
and a plane that says more: the noise's level (denoise), which pixels are missing (inpaint), else zero.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from core.batches import Batch
from core.errors import FourfoldError

TASKS = ("upscale2", "upscale4", "denoise", "inpaint", "colorize")
LARGEST_SIGMA = 0.4
"""Of the noise a model learns to remove; pictures range from 0 to 1."""


def tasks_of(channels: int) -> tuple[str, ...]:
    """The tasks of pictures of so many channels: grey ones have no colour to restore."""
    return TASKS if channels == 3 else TASKS[:-1]


def small(low: Tensor, factor: int) -> Tensor:
    """A picture `[B, C, h, w]` in need of `factor` times the pixels along each side: enlarged bicubically."""
    sizes = [low.shape[2] * factor, low.shape[3] * factor]
    return _with(interpolate(low, size=sizes, mode="bicubic", antialias=True).clamp(-1, 1), 0.0)


def noisy(x: Tensor, sigma: float | Tensor) -> Tensor:
    """A picture `[B, C, H, W]` with noise of standard deviation `sigma` (a number, or `[B]`) where 1 is white."""
    return _with(x, sigma)


def with_hole(x: Tensor, hole: Tensor) -> Tensor:
    """A picture whose pixels under `hole` (bool `[B, 1, H, W]`) are missing."""
    return torch.cat([x * ~hole, hole.to(x.dtype)], dim=1)


def grey(x: Tensor) -> Tensor:
    """A picture without its colours."""
    return _with(luma(x).expand_as(x), 0.0)


def luma(x: Tensor) -> Tensor:
    """Brightness `[B, 1, H, W]` of RGB (ITU-R 601, as PIL converts)."""
    return (x * x.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)


def _with(x: Tensor, value: float | Tensor) -> Tensor:
    plane = torch.as_tensor(value, dtype=x.dtype).view(-1, 1, 1, 1).expand(len(x), 1, *x.shape[2:])
    return torch.cat([x, plane], dim=1)


def degrade(task: str, x: Tensor, generator: torch.Generator) -> Tensor:
    """Whole pictures `[B, C, H, W]` as `task` would find them, at random strengths.

    Raises:
        FourfoldError: no such task.
    """
    n, _, height, width = x.shape
    if task in ("upscale2", "upscale4"):
        factor = int(task[-1])
        return small(avg_pool2d(x, factor), factor)
    if task == "denoise":
        sigma = LARGEST_SIGMA * torch.rand(n, generator=generator)
        return noisy(add_noise(x, sigma, generator), sigma)
    if task == "inpaint":
        sides = torch.tensor([height, width])
        size = (sides * (0.15 + 0.45 * torch.rand(n, 2, generator=generator))).round().clamp(min=1)
        corner = (torch.rand(n, 2, generator=generator) * (sides - size + 1)).floor()
        return with_hole(x, boxes(corner, size, height, width))
    if task == "colorize":
        return grey(x)
    raise FourfoldError(f"no task {task!r}: known are {', '.join(TASKS)}")


def add_noise(x: Tensor, sigma: float | Tensor, generator: torch.Generator) -> Tensor:
    """x plus noise of `sigma` (1 is white), cut to the range that a file can hold."""
    scale = 2 * torch.as_tensor(sigma, dtype=x.dtype).view(-1, 1, 1, 1)
    return (x + scale * torch.randn(x.shape, generator=generator)).clamp(-1, 1)


def boxes(corner: Tensor, size: Tensor, height: int, width: int) -> Tensor:
    """Masks `[B, 1, height, width]`, True in a box; `corner` (top, left) and `size` (height, width) are `[B, 2]`."""
    end = corner + size
    rows, columns = torch.arange(height), torch.arange(width)
    inside_rows = (rows >= corner[:, :1]) & (rows < end[:, :1])
    inside_columns = (columns >= corner[:, 1:]) & (columns < end[:, 1:])
    return (inside_rows[:, :, None] & inside_columns[:, None, :])[:, None]


def degrade_batch(batch: Batch, generator: torch.Generator) -> Batch:
    """Each picture as one task finds it, the tasks by turns: conditions "degraded" `[B, C + 1, H, W]` and "task"."""
    tasks = tasks_of(batch.x.shape[1])
    task = torch.arange(len(batch)) % len(tasks)
    degraded = torch.empty((len(batch), batch.x.shape[1] + 1, *batch.x.shape[2:]))
    for index, name in enumerate(tasks):
        degraded[task == index] = degrade(name, batch.x[task == index], generator)
    return replace(batch, condition={**batch.condition, "degraded": degraded, "task": task})
