"""Optimisers of one player: fused AdamW, or Muon for hidden matrices beside it; and learning-rate schedules."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from core.networks.layers import is_edge
from core.training.config import TrainConfig


def learning_rate(step: int, config: TrainConfig, steps: int | None = None) -> float:
    """The learning rate of step `step` of `steps` (default: all of training): linear warm-up, then the schedule.

    "wsd" (Hu et al., MiniCPM, 2024) stays and falls linearly to zero over the last fifth; "cosine" falls from the
    end of the warm-up; "constant" stays.
    """
    steps = config.steps if steps is None else steps
    warm = round(config.warmup * steps)
    if step < warm:
        return config.learning_rate * (step + 1) / warm
    if config.schedule == "cosine":
        progress = (step - warm) / max(1, steps - warm)
        return config.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))
    if config.schedule == "wsd":
        cool = max(1, steps // 5)
        return config.learning_rate * min(1.0, (steps - step) / cool)
    return config.learning_rate


def is_hidden_matrix(parameter: nn.Parameter) -> bool:
    """Whether Muon should update it: a matrix or convolution kernel between a network's first and last layer."""
    return parameter.ndim >= 2 and not is_edge(parameter)


class PlayerOptimizer:
    """The optimiser of one player's parameters. Vectors are not decayed.

    Muon's rate is scaled to match AdamW's update size (Liu et al., Muon is Scalable, 2025), so that one learning
    rate serves both. It takes convolution kernels as matrices `[out, in * kernel]`.
    """

    def __init__(self, named: Iterable[tuple[str, nn.Parameter]], config: TrainConfig) -> None:
        self.named, self.config = list(named), config
        self.parameters = [p for _, p in self.named]
        hidden = {n for n, p in self.named if config.optimizer == "muon" and is_hidden_matrix(p)}
        # A kernel's matrix shares its memory: stepping the view steps the kernel.
        self.matrices = [(p, nn.Parameter(p.detach().view(len(p), -1))) for n, p in self.named if n in hidden]
        rest = [p for n, p in self.named if n not in hidden]
        groups = [
            {"params": [p for p in rest if p.ndim >= 2], "weight_decay": config.weight_decay},
            {"params": [p for p in rest if p.ndim < 2], "weight_decay": 0.0},
        ]
        self.adamw = torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas, fused=True)
        self.muon: torch.optim.Optimizer | None = None
        if self.matrices:
            self.muon = torch.optim.Muon(
                [matrix for _, matrix in self.matrices],
                lr=config.learning_rate, weight_decay=config.weight_decay, adjust_lr_fn="match_rms_adamw",
            )

    def zero_grad(self) -> None:
        """Forget gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    def gradients(self) -> list[Tensor]:
        """The gradients there are."""
        return [p.grad for p in self.parameters if p.grad is not None]

    def step(self, rate: float, skip: Tensor) -> None:
        """Update the parameters with learning rate `rate`, unless `skip` (float scalar, 0 or 1) is 1.

        AdamW reads `skip` on the device, as a gradient scaler's `found_inf`: nothing waits. Muon has no such
        switch, so with it the host waits for the gradient on an accelerator.
        """
        for group in self.adamw.param_groups:
            group["lr"] = rate
        self.adamw.found_inf = skip  # type: ignore[attr-defined]
        self.adamw.step()
        if self.muon is None or bool(skip):
            return
        for group in self.muon.param_groups:
            group["lr"] = rate
        for parameter, matrix in self.matrices:
            matrix.grad = None if parameter.grad is None else parameter.grad.view_as(matrix)
        self.muon.step()

    def _slots(self) -> dict[str, tuple[torch.optim.Optimizer, Tensor]]:
        """By name: the optimiser of each parameter and what it calls the parameter."""
        matrix_of = {id(p): matrix for p, matrix in self.matrices}
        slots: dict[str, tuple[torch.optim.Optimizer, Tensor]] = {}
        for name, p in self.named:
            matrix = matrix_of.get(id(p))
            slots[name] = (self.adamw, p) if matrix is None or self.muon is None else (self.muon, matrix)
        return slots

    def state(self) -> dict[str, Tensor]:
        """Its memory as tensors, named "<what>/<parameter>"."""
        return {
            f"{key}/{name}": value
            for name, (optimizer, p) in self._slots().items()
            for key, value in optimizer.state.get(p, {}).items()
        }

    def load(self, state: Mapping[str, Tensor]) -> int:
        """Take up the memory that `state` returned; returns how many parameters another optimiser had updated.

        Their memory is left out: Muon keeps a momentum, AdamW two moments, and neither is the other's.

        Raises:
            KeyError, RuntimeError: it is of other parameters.
        """
        slots, others = self._slots(), set()
        for full, value in state.items():
            key, _, name = full.partition("/")
            optimizer, p = slots[name]
            if (key == "momentum_buffer") != (optimizer is self.muon):
                others.add(name)
                continue
            like = torch.empty((), dtype=value.dtype, device=p.device) if value.ndim == 0 else torch.empty_like(p)
            optimizer.state[p][key] = like.copy_(value)
        return len(others)
