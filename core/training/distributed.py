"""Several processes started by torchrun: who am I, averages over all, values of all. One process needs none of it."""

from __future__ import annotations

import atexit
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor

from core.errors import FourfoldError

T = TypeVar("T")


@dataclass(frozen=True)
class World:
    """This process's `rank` among `size`; rank 0 writes."""

    rank: int = 0
    size: int = 1

    @property
    def writes(self) -> bool:
        """Whether this process writes files."""
        return self.rank == 0


def connect(device: torch.device) -> tuple[World, torch.device]:
    """Join the processes that torchrun started, if any; returns this process's own GPU if `device` is one.

    Raises:
        FourfoldError: torchrun's environment is there but the processes do not find each other.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return World(), device
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        try:
            dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
        except (RuntimeError, ValueError) as error:
            raise FourfoldError(f"the {size} processes cannot connect: {str(error).splitlines()[0]}") from error
        atexit.register(dist.destroy_process_group)
    return World(dist.get_rank(), size), device


def average(tensors: Sequence[Tensor], world: World) -> None:
    """Replace each float tensor by its mean over processes: one flat all_reduce."""
    if world.size == 1 or not tensors:
        return
    flat = torch.cat([t.reshape(-1) for t in tensors])
    dist.all_reduce(flat)
    flat /= world.size
    for tensor, part in zip(tensors, torch.split(flat, [t.numel() for t in tensors]), strict=True):
        tensor.copy_(part.view_as(tensor))


def broadcast(tensors: Sequence[Tensor], world: World) -> None:
    """Give every process rank 0's values."""
    if world.size > 1:
        for tensor in tensors:
            dist.broadcast(tensor.detach(), 0)


def any_of(flag: bool, world: World, device: torch.device) -> bool:
    """Whether `flag` holds in any process; all must ask at the same moment."""
    if world.size == 1:
        return flag
    seen = torch.tensor(int(flag), device=device)
    dist.all_reduce(seen, dist.ReduceOp.MAX)
    return bool(seen)


def of_all(value: T, world: World) -> list[T]:
    """Every process's value, by rank; all must ask at the same moment."""
    if world.size == 1:
        return [value]
    found: list[T | None] = [None] * world.size
    dist.all_gather_object(found, value)
    return cast(list[T], found)


def barrier(world: World) -> None:
    """Wait for all processes."""
    if world.size > 1:
        dist.barrier()
