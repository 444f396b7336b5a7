"""Action chunks and observations as tensors; the normaliser travels with the model."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from apps.robotics.observations import Layout, Part
from apps.robotics.simulation import Floats
from core.batches import Batch
from core.conditions import ConditionSpec, PictureCondition, VectorCondition
from core.errors import FourfoldError, require
from core.networks.carrying import Sources, by_name
from core.runs.codec import Codec
from core.serialization import Json
from core.spaces import Continuous

log = logging.getLogger(__name__)
CONDITION, PICTURE = "observation", "picture"
LARGEST = 6.0  # standard deviations to which observations are clipped: a network learns nothing of what lies beyond
TRIMMED, FAR = 0.005, 20.0
"""Outliers lie beyond `FAR` times the range of all but this share of the values at either end, from their middle."""


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
        observation_parts, action_parts: how observations and actions look outside; nothing for plain vectors.
        picture, channels: pixels a side of the pictures in observations, and their channels; 0 without pictures.
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
    observation_parts: tuple[Part, ...] = ()
    action_parts: tuple[Part, ...] = ()
    picture: int = 0
    channels: int = 0

    def __post_init__(self) -> None:
        require(self.history >= 1, "history", self.history, "must be at least 1")
        require(self.horizon >= 1, "horizon", self.horizon, "must be at least 1")
        for name, names in (("low", self.action_names), ("high", self.action_names),
                            ("mean", self.observation_names), ("std", self.observation_names)):
            values: tuple[float, ...] = getattr(self, name)
            require(len(values) == len(names) and bool(np.isfinite(values).all()), name, values,
                    f"must be {len(names)} finite numbers, one for each of {', '.join(names)}")
        require(min(self.std, default=1) > 0, "std", self.std, "must be above 0")
        require(0 <= self.picture <= 512 and 0 <= self.channels <= 64, "picture", self.picture, "must be in [0, 512]")
        _ = self.observation, self.action  # are refused where names and parts disagree

    @staticmethod
    def fit(
        task: str, history: int, horizon: int, layouts: tuple[Layout, Layout], observations: np.ndarray,
        actions: np.ndarray, pictures: tuple[int, int] = (0, 0), say: bool = True,
    ) -> ChunkCodec:
        """A codec for training observations `[N, D]` and actions `[N, A]`; outliers and what is constant are said.

        Args: layouts: of observations and actions; pictures: their pixels a side and channels; say: what is constant.
        """
        seen, acted = layouts
        actions, observations = _held(actions, acted.names, "actions"), _held(observations, seen.names, "observations")
        low, high = actions.min(0), actions.max(0)
        still = high - low < 1e-6 * np.maximum(1e-6, np.abs(actions).max(0))
        still |= high - low < 1e-9
        std = observations.std(0)
        # What hardly moves says nothing, and would be blown up to unit variance; but all may be in small units.
        moving = std[std > 1e-9 * np.maximum(1e-9, np.abs(observations).max(0))]
        constant = std < 1e-3 * min(1.0, float(np.median(moving)) if len(moving) else 1.0)
        for what, names, which in (("actions", acted.names, still), ("observations", seen.names, constant)):
            if say and which.any():
                shown = [name for name, each in zip(names, which, strict=True) if each]
                log.warning(f"{len(shown)} of {len(names)} numbers of {what} are constant, and left as they are: "
                            f"{', '.join(shown[:6])}{' ...' if len(shown) > 6 else ''}")
        return ChunkCodec(
            task=task, history=history, horizon=horizon, action_names=acted.names, observation_names=seen.names,
            low=tuple(np.where(still, low - 1, low).tolist()), mean=tuple(observations.mean(0).tolist()),
            high=tuple(np.where(still, high + 1, high).tolist()), std=tuple(np.where(constant, 1.0, std).tolist()),
            observation_parts=seen.parts, action_parts=acted.parts, picture=pictures[0], channels=pictures[1],
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
    def observation(self) -> Layout:
        """How an observation looks outside."""
        plain = (Part(shape=(len(self.observation_names),)),) if self.observation_names else ()
        return Layout(parts=self.observation_parts or plain, names=self.observation_names)

    @property
    def action(self) -> Layout:
        """How an action looks outside."""
        return Layout(parts=self.action_parts or (Part(shape=(len(self.action_names),)),), names=self.action_names)

    @property
    def space(self) -> Continuous:
        return Continuous(shape=(len(self.action_names), self.horizon))

    @property
    def conditions(self) -> Mapping[str, ConditionSpec]:
        """The observations of the last `history` steps, oldest first: numbers as one vector, pictures as channels."""
        found: dict[str, ConditionSpec] = {}
        if self.observation_names:
            names = tuple(f"{name}@{t}" for t in range(1 - self.history, 1) for name in self.observation_names)
            found[CONDITION] = VectorCondition(names=names, mean=self.mean * self.history, std=self.std * self.history)
        if self.picture:
            found[PICTURE] = PictureCondition(shape=(self.channels * self.history, self.picture, self.picture))
        return found

    def standardised(self, histories: Floats) -> np.ndarray:
        """Observations `[N, history, D]` as float32 `[N, history * D]` of about unit variance, clipped."""
        flat = (histories - np.asarray(self.mean)) / np.asarray(self.std)
        rows: np.ndarray = np.clip(flat, -LARGEST, LARGEST).reshape(len(histories), -1).astype(np.float32)
        return rows

    def seen(self, histories: Floats, pictures: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """Observations `[N, history, D]` and pictures uint8 `[N, history, P, P, C]` as arrays of the conditions."""
        found = {CONDITION: self.standardised(histories)} if self.observation_names else {}
        if self.picture and pictures is not None:
            channels_first = np.moveaxis(pictures, -1, 2)
            found[PICTURE] = channels_first.reshape(len(pictures), -1, self.picture, self.picture)
        return found

    def observe(self, histories: Floats, pictures: np.ndarray | None = None) -> dict[str, Tensor]:
        """The same as the condition of a model."""
        return {name: torch.from_numpy(value) for name, value in self.seen(histories, pictures).items()}

    def typical(self, n: int) -> dict[str, Tensor]:
        """The mean observation, n times, as the condition of a model; of pictures a grey one."""
        grey = np.full((n, self.history, self.picture, self.picture, self.channels), 127, np.uint8)
        return self.observe(np.tile(np.asarray(self.mean), (n, self.history, 1)), grey)

    def normalised(self, chunks: Floats) -> np.ndarray:
        """Actions `[N, horizon, A]` as float32 `[N, A, horizon]` in [-1, 1]; outliers are held to that."""
        low, high = np.asarray(self.low), np.asarray(self.high)
        scaled = np.swapaxes(2 * (chunks - low) / (high - low) - 1, 1, 2)
        unit: np.ndarray = np.clip(scaled, -1, 1).astype(np.float32)
        return unit

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


def limits_of(values: np.ndarray) -> tuple[Floats, Floats]:
    """The least and greatest value `[D]` of numbers `[N, D]` that are no outliers."""
    ordered = np.sort(values.astype(np.float64), axis=0)
    cut = min(max(1, round(TRIMMED * len(ordered))), (len(ordered) - 1) // 2)
    low, high = ordered[cut], ordered[len(ordered) - 1 - cut]
    middle, reach = (low + high) / 2, FAR * (high - low)
    # Where nearly all values are the same (a gripper, a flag), the few others are what matters.
    spread = high - low > 1e-9 * np.maximum(np.abs(low), np.abs(high))
    inside = (np.abs(ordered - middle) <= reach) | ~spread
    return (np.where(inside, ordered, np.inf).min(0), np.where(inside, ordered, -np.inf).max(0))


def outliers(values: np.ndarray) -> np.ndarray:
    """How many of numbers `[N, D]` are outliers, `[D]`."""
    low, high = limits_of(values)
    return np.asarray(((values < low) | (values > high)).sum(0))


def _held(values: np.ndarray, names: Sequence[str], what: str) -> np.ndarray:
    """Numbers `[N, D]` with outliers held to the limits of the others, which is said."""
    count, (low, high) = outliers(values), limits_of(values)
    for index in np.flatnonzero(count).tolist():
        column = values[:, index]
        worst = column[np.abs(column - (low + high)[index] / 2).argmax()]
        log.warning(f"{what}: {int(count[index])} of {len(column):,} values of {names[index]} lie far outside the "
                    f"others' [{low[index]:.4g}, {high[index]:.4g}] (as far as {worst:.4g}): they are held to it")
    held: np.ndarray = np.clip(values, low, high)
    return held


def from_version_0_1_0(value: Json) -> Json:
    """A codec.json of version 0.1.0 as one of today's."""
    return {"kind": "ChunkCodec", **value}
