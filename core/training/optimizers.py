"""Optimisers of one player: fused AdamW, or Muon for hidden matrices beside it; and learning-rate schedules."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from core.networks.layers import is_edge
from core.runtime import fast_in_bfloat16
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


class Muon(torch.optim.Muon):
    """torch.optim.Muon, all matrices of one shape at a time: with one after another small networks wait for it.

    Its products are in bfloat16 only where the machine is fast in it. Rates are scaled to AdamW's update size.
    """

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """Update the matrices that have a gradient."""
        (group,) = self.param_groups
        momentum, rate, decay = group["momentum"], group["lr"], group["weight_decay"]
        matrices = [p for p in group["params"] if p.grad is not None]
        if not matrices:
            return
        gradients = [p.grad for p in matrices]
        for p in matrices:
            if "momentum_buffer" not in self.state[p]:
                self.state[p]["momentum_buffer"] = torch.zeros_like(p)
        memory = [self.state[p]["momentum_buffer"] for p in matrices]
        torch._foreach_lerp_(memory, gradients, 1 - momentum)
        updates = torch._foreach_lerp(gradients, memory, momentum)  # Nesterov's
        torch._foreach_mul_(matrices, 1 - rate * decay)
        alike: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for index, update in enumerate(updates):
            alike[tuple(sorted(update.shape))].append(index)
        for (_, long), indices in alike.items():
            flat = torch.stack([updates[i] if updates[i].shape[1] == long else updates[i].T for i in indices])
            flat = orthogonalized(flat, group["ns_coefficients"], group["ns_steps"])
            for i, turned in zip(indices, flat, strict=True):
                matrices[i].add_(turned if turned.shape == matrices[i].shape else turned.T,
                                 alpha=-rate * 0.2 * math.sqrt(long))


def orthogonalized(matrices: Tensor, coefficients: tuple[float, float, float], steps: int) -> Tensor:
    """Matrices `[N, a, b]`, a <= b, with singular values brought near 1 by `steps` of Newton and Schulz's iteration."""
    a, b, c = coefficients
    x = matrices.bfloat16() if fast_in_bfloat16(matrices.device) else matrices
    x = x / x.flatten(1).norm(dim=1).clamp(min=1e-7)[:, None, None]
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.to(matrices.dtype)


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
        self.muon: Muon | None = None
        if self.matrices:
            self.muon = Muon([matrix for _, matrix in self.matrices], lr=config.learning_rate,
                             weight_decay=config.weight_decay)

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
