"""Action chunks and observations as tensors; the normaliser travels with the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from apps.robotics.simulation import Floats
from core.batches import Batch
from core.conditions import ConditionSpec, VectorCondition
from core.errors import FourfoldError, require
from core.networks.carrying import Sources, by_name
from core.runs.codec import Codec
from core.serialization import Json
from core.spaces import Continuous

CONDITION = "observation"
LARGEST = 6.0  # standard deviations to which observations are clipped: a network learns nothing of what lies beyond


@dataclass(frozen=True, kw_only=True)
class ActionChunk:
    """The actions `[horizon, A]` that a model proposes, and the observations `[history, D]` it saw, if any.

    Both in the task's units.
    """

    task: str
    actions: np.ndarray
    observations: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True)
class ChunkCodec(Codec[ActionChunk]):
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

    def __post_init__(self) -> None:
        require(self.history >= 1, "history", self.history, "must be at least 1")
        require(self.horizon >= 1, "horizon", self.horizon, "must be at least 1")
        for name, names in (("low", self.action_names), ("high", self.action_names),
                            ("mean", self.observation_names), ("std", self.observation_names)):
            values: tuple[float, ...] = getattr(self, name)
            require(len(values) == len(names) and bool(np.isfinite(values).all()), name, values,
                    f"must be {len(names)} finite numbers, one for each of {', '.join(names)}")
        require(min(self.std) > 0, "std", self.std, "must be above 0")

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
            low=tuple(np.where(constant, low - 1, low).tolist()), mean=tuple(observations.mean(0).tolist()),
            high=tuple(np.where(constant, high + 1, high).tolist()), std=tuple(np.where(std < 1e-3, 1.0, std).tolist()),
        )

    def made_of(self, old: ChunkCodec) -> Mapping[str, Sources]:
        return {"channels": by_name(old.action_names, self.action_names)}

    def within(self, old: ChunkCodec) -> ChunkCodec:
        """The codec with the ranges of a trained model's actions, where those of its own lie in them, else with both.

        A model's outputs then mean the same actions as before.
        """
        least, most = (dict(zip(old.action_names, values, strict=True)) for values in (old.low, old.high))
        own = list(zip(self.action_names, self.low, self.high, strict=True))
        return replace(self, low=tuple(min(low, least.get(name, low)) for name, low, _ in own),
                       high=tuple(max(high, most.get(name, high)) for name, _, high in own))

    @property
    def space(self) -> Continuous:
        return Continuous(shape=(len(self.action_names), self.horizon))

    @property
    def conditions(self) -> Mapping[str, ConditionSpec]:
        """The observations of the last `history` steps, oldest first, as one vector."""
        names = tuple(f"{name}@{t}" for t in range(1 - self.history, 1) for name in self.observation_names)
        return {CONDITION: VectorCondition(names=names, mean=self.mean * self.history, std=self.std * self.history)}

    def standardised(self, histories: Floats) -> np.ndarray:
        """Observations `[N, history, D]` as float32 `[N, history * D]` of about unit variance, clipped."""
        flat = (histories - np.asarray(self.mean)) / np.asarray(self.std)
        rows: np.ndarray = np.clip(flat, -LARGEST, LARGEST).reshape(len(histories), -1).astype(np.float32)
        return rows

    def observe(self, histories: Floats) -> dict[str, Tensor]:
        """Observations `[N, history, D]` as the condition of a model."""
        return {CONDITION: torch.from_numpy(self.standardised(histories))}

    def normalised(self, chunks: Floats) -> np.ndarray:
        """Actions `[N, horizon, A]` as float32 `[N, A, horizon]` in [-1, 1]."""
        low, high = np.asarray(self.low), np.asarray(self.high)
        scaled: np.ndarray = np.swapaxes(2 * (chunks - low) / (high - low) - 1, 1, 2).astype(np.float32)
        return scaled

    def actions(self, x: Tensor) -> Floats:
        """The inverse of `normalised`: `[N, A, horizon]` -> `[N, horizon, A]`, clipped to the demonstrated range."""
        low, high = np.asarray(self.low), np.asarray(self.high)
        unit = np.swapaxes(x.detach().cpu().numpy().astype(np.float64), 1, 2)
        chunks: Floats = low + (np.clip(np.nan_to_num(unit), -1, 1) + 1) / 2 * (high - low)
        return chunks

    def encode(self, items: Sequence[ActionChunk | np.ndarray]) -> Batch:
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


def from_version_0_1_0(value: Json) -> Json:
    """A codec.json of version 0.1.0 as one of today's."""
    return {"kind": "ChunkCodec", **value}
