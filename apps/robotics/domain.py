"""Robotics as a value: what the shared verbs need."""

from __future__ import annotations

from pathlib import Path

from core.runs.model import Model

from apps.robotics import tasks
from apps.robotics.codec import load_codec
from apps.robotics.data import RoboticsData, prepare
from apps.robotics.metrics import evaluate
from apps.robotics.recipes import RECIPES
from core.runs.domain import Domain
from core.runs.pretrained import load as load_model

DOMAIN = Domain(
    name="robotics",
    recipes=RECIPES,
    data_type=RoboticsData,
    prepare=prepare,
    load_codec=load_codec,
    evaluate=evaluate,
    write=tasks.write,
    preview=tasks.preview,
    condition_options={},
    default_samples=300,
    draw=tasks.draw,
)


def load(path: str | Path, device: str = "auto") -> Model:
    """The trained policy in a run folder or a model folder."""
    return load_model(path, DOMAIN, device)
