"""How a family is trained, as a value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.errors import require


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How a family is trained. `steps` counts optimiser steps; see `core.training.loop` for what each does.

    Attributes:
        batch_size: examples per optimiser step over all processes and accumulation parts.
        accumulation: parts a batch is split into, to save memory.
        optimizer: "adamw" (fused), or "muon" for hidden matrices with AdamW for the rest.
        schedule: "constant", "cosine" to zero, or "wsd" (warm up, stay, decay linearly over the last fifth).
        warmup: share of `steps` spent warming up.
        clip: largest gradient norm; 0 turns clipping off.
        ema_decay: of the weights' moving average, warmed up as (1 + step) / (10 + step); 0 turns it off.
        precision: "float32", or "bfloat16" where the machine multiplies faster in it (autocast; weights stay float32).
        minutes: train so long instead of for `steps`: the measured speed sets the number of steps, again and again.
        validations: how often over training the held-out loss is measured; 0 never.
        keep: which weights the model gets at the end: of the "best" validation so far, or the "last" (GANs: always).
        patience: validations in a row without a better one after which training ends; 0 goes on to the end.
        checkpoint_every, log_every: in steps.
        compile: torch.compile the networks (worth it on a GPU and for long runs).
    """

    steps: int = 1000
    batch_size: int = 128
    accumulation: int = 1
    optimizer: Literal["adamw", "muon"] = "adamw"
    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.01
    schedule: Literal["constant", "cosine", "wsd"] = "wsd"
    warmup: float = 0.05
    clip: float = 1.0
    ema_decay: float = 0.999
    precision: Literal["float32", "bfloat16"] = "float32"
    minutes: float | None = None
    validations: int = 10
    keep: Literal["best", "last"] = "best"
    patience: int = 0
    checkpoint_every: int = 500
    log_every: int = 20
    compile: bool = False

    @property
    def length(self) -> str:
        """How long training is, in words."""
        return f"{self.steps:,} steps" if self.minutes is None else f"{self.minutes:g} minutes of steps"

    def __post_init__(self) -> None:
        for key in ("steps", "batch_size", "accumulation", "checkpoint_every", "log_every"):
            require(getattr(self, key) >= 1, f"train.{key}", getattr(self, key), "must be at least 1")
        require(self.steps <= 10**9, "train.steps", self.steps, "must be at most a thousand million")
        require(self.minutes is None or 0 < self.minutes <= 10**6, "train.minutes", self.minutes,
                "must be more than 0 and at most a million")
        require(0 <= self.validations <= 10**6, "train.validations", self.validations, "must be in [0, a million]")
        require(self.patience >= 0, "train.patience", self.patience, "must be at least 0")
        require(self.batch_size <= 10**6, "train.batch_size", self.batch_size, "must be at most a million")
        require(self.batch_size % self.accumulation == 0, "train.accumulation", self.accumulation,
                f"must divide train.batch_size ({self.batch_size})")
        # `0 < nan` is false, so NaN is refused by the same comparison.
        require(0 < self.learning_rate < 1e3, "train.learning_rate", self.learning_rate, "must be positive and finite")
        require(all(0 <= beta < 1 for beta in self.betas), "train.betas", self.betas, "each must be in [0, 1)")
        require(0 <= self.weight_decay < 1e3, "train.weight_decay", self.weight_decay, "must be at least 0")
        require(0 <= self.warmup < 1, "train.warmup", self.warmup, "must be in [0, 1)")
        require(0 <= self.clip < float("inf"), "train.clip", self.clip, "must be at least 0")
        require(0 <= self.ema_decay < 1, "train.ema_decay", self.ema_decay, "must be in [0, 1)")
