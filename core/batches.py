"""Batches of examples: a tensor, its conditions, and a mask where lengths vary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.nn.functional import pad


@dataclass(frozen=True)
class Batch:
    """B examples.

    Attributes:
        x: float `[B, *shape]` (Continuous) or int64 `[B, T]` (Discrete).
        condition: tensors `[B, ...]` by name.
        mask: bool `[B, T]`, False at padding; None where all lengths are equal.
    """

    x: Tensor
    condition: Mapping[str, Tensor] = field(default_factory=dict)
    mask: Tensor | None = None

    def __len__(self) -> int:
        return len(self.x)

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on `device`."""
        return Batch(
            self.x.to(device, non_blocking=True),
            {name: value.to(device, non_blocking=True) for name, value in self.condition.items()},
            None if self.mask is None else self.mask.to(device, non_blocking=True),
        )

    def __getitem__(self, index: slice | Tensor) -> Batch:
        """The examples that `index` selects, in its order."""
        return replace(
            self,
            x=self.x[index],
            condition={name: value[index] for name, value in self.condition.items()},
            mask=None if self.mask is None else self.mask[index],
        )


def concatenated(parts: Sequence[Batch]) -> Batch:
    """Batches joined into one; tokens with masks, `[B_i, T_i]`, are padded with 0 to the longest."""
    condition = {name: torch.cat([part.condition[name] for part in parts]) for name in parts[0].condition}
    if parts[0].mask is None:
        return Batch(torch.cat([part.x for part in parts]), condition)
    longest = max(part.x.shape[1] for part in parts)
    gaps = [(0, longest - part.x.shape[1]) for part in parts]
    x = torch.cat([pad(part.x, gap) for part, gap in zip(parts, gaps, strict=True)])
    masks = [part.mask for part in parts if part.mask is not None]
    return Batch(x, condition, torch.cat([pad(mask, gap) for mask, gap in zip(masks, gaps, strict=True)]))
