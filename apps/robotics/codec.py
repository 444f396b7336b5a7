"""Action chunks and observations as tensors; the normaliser travels with the model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from apps.robotics.environments import Floats
from core.batches import Batch
from core.conditions import ConditionSpec, VectorCondition
from core.errors import FourfoldError
from core.spaces import Continuous

CONDITION = "observation"
LARGEST = 6.0
"""Standard deviations to which observations are clipped: a network is not to see what it cannot have learned."""


@dataclass(frozen=True, kw_only=True)
class ActionChunk:
    """The actions `[horizon, A]` that a model proposes, and the observations `[history, D]` it saw, if any.

    Both in the task's units.
    """

    task: str
    actions: np.ndarray
    observations: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True)
class ChunkCodec:
    """Chunks as `Continuous` arrays `[A, horizon]` in about [-1, 1], the last observations as a standardised vector.

    Attributes:
        low, high: the training actions' least and greatest values, which become -1 and 1; `[A]` each.
        mean, std: of the training observations, `[D]` each.
    """

    task: str
    history: int
    horizon: int
    action_names: tuple[str, ...]
    observation_names: tuple[str, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @staticmethod
    def fit(
        task: str, history: int, horizon: int, names: tuple[tuple[str, ...], tuple[str, ...]],
        observations: np.ndarray, actions: np.ndarray,
    ) -> ChunkCodec:
        """A codec for training observations `[N, D]` and actions `[N, A]`; `names` of (actions, observations)."""
        low, high = actions.min(0), actions.max(0)
        constant = high - low < 1e-6
        std = observations.std(0)
        return ChunkCodec(
            task=task, history=history, horizon=horizon, action_names=names[0], observation_names=names[1],
            low=_numbers(np.where(constant, low - 1, low)), high=_numbers(np.where(constant, high + 1, high)),
            mean=_numbers(observations.mean(0)), std=_numbers(np.where(std < 1e-3, 1.0, std)),
        )

    @property
    def space(self) -> Continuous:
        """Chunks of all action numbers over the horizon."""
        return Continuous(shape=(len(self.action_names), self.horizon))

    @property
    def conditions(self) -> Mapping[str, ConditionSpec]:
        """The observations of the last `history` steps, oldest first, as one vector."""
        names = tuple(f"{name}@{t}" for t in range(1 - self.history, 1) for name in self.observation_names)
        return {CONDITION: VectorCondition(names=names, mean=self.mean * self.history, std=self.std * self.history)}

    def standardised(self, histories: Floats) -> np.ndarray:
        """Observations `[N, history, D]` as float32 `[N, history * D]` of about unit variance, clipped."""
        flat = (histories - np.asarray(self.mean)) / np.asarray(self.std)
        return np.clip(flat, -LARGEST, LARGEST).reshape(len(histories), -1).astype(np.float32)

    def observe(self, histories: Floats) -> dict[str, Tensor]:
        """Observations `[N, history, D]` as the condition of a model."""
        return {CONDITION: torch.from_numpy(self.standardised(histories))}

    def normalised(self, chunks: Floats) -> np.ndarray:
        """Actions `[N, horizon, A]` as float32 `[N, A, horizon]` in [-1, 1]."""
        low, high = np.asarray(self.low), np.asarray(self.high)
        return np.swapaxes(2 * (chunks - low) / (high - low) - 1, 1, 2).astype(np.float32)

    def actions(self, x: Tensor) -> Floats:
        """The inverse of `normalised`: `[N, A, horizon]` -> `[N, horizon, A]`, held to the demonstrated range."""
        low, high = np.asarray(self.low), np.asarray(self.high)
        unit = np.swapaxes(x.detach().cpu().numpy().astype(np.float64), 1, 2)
        return low + (np.clip(np.nan_to_num(unit), -1, 1) + 1) / 2 * (high - low)

    def encode(self, items: Sequence[Any]) -> Batch:
        """`ActionChunk`s, or arrays `[horizon, A]`, as a batch.

        Raises:
            FourfoldError: an item of another shape, or with values that are not finite.
        """
        wanted = (self.horizon, len(self.action_names))
        chunks = []
        for index, item in enumerate(items):
            chunk = np.asarray(item.actions if isinstance(item, ActionChunk) else item, dtype=np.float64)
            if chunk.shape != wanted:
                raise FourfoldError(f"chunk {index} has shape {chunk.shape}: must be {wanted} (steps, action numbers)")
            if not np.isfinite(chunk).all():
                raise FourfoldError(f"chunk {index} has actions that are not finite")
            chunks.append(chunk)
        return Batch(torch.from_numpy(self.normalised(np.stack(chunks))))

    def decode(self, batch: Batch) -> list[ActionChunk]:
        """A batch as chunks, with the observations they were drawn for."""
        actions = self.actions(batch.x)
        seen: list[np.ndarray | None] = [None] * len(actions)
        if CONDITION in batch.condition:
            flat = batch.condition[CONDITION].cpu().numpy().reshape(len(actions), self.history, -1)
            seen = list(flat * np.asarray(self.std) + np.asarray(self.mean))
        return [ActionChunk(task=self.task, actions=a, observations=o) for a, o in zip(actions, seen, strict=True)]

    def save(self, folder: Path) -> None:
        """Write `codec.json`."""
        (folder / "codec.json").write_text(json.dumps(asdict(self), indent=2) + "\n")


def load_codec(folder: Path) -> ChunkCodec:
    """The codec that `ChunkCodec.save` wrote.

    Raises:
        OSError, ValueError, KeyError, TypeError: the file is missing or damaged.
    """
    text = json.loads((folder / "codec.json").read_text())
    values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in text.items()}
    codec = ChunkCodec(**values)
    sizes = [len(codec.action_names)] * 2 + [len(codec.observation_names)] * 2
    found = [len(v) for v in (codec.low, codec.high, codec.mean, codec.std)]
    if found != sizes or codec.horizon < 1 or codec.history < 1:
        raise ValueError("sizes disagree")
    if not np.isfinite([*codec.low, *codec.high, *codec.mean, *codec.std]).all() or min(codec.std) <= 0:
        raise ValueError("numbers are not finite")
    return codec


def _numbers(values: np.ndarray) -> tuple[float, ...]:
    return tuple(float(v) for v in values)
