"""The robotics domain as a value."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from apps.robotics.codec import ChunkCodec, from_version_0_1_0
from apps.robotics.data import prepare
from apps.robotics.media import preview, write
from apps.robotics.metrics import evaluate
from apps.robotics.model import RoboticsData, RoboticsModel
from apps.robotics.policy import TrainedPolicy
from apps.robotics.recipes import RECIPES
from apps.robotics.rollouts import draw
from apps.robotics.sizing import default_family, guess, sized, tuned_data
from apps.robotics.tasks import TASKS
from core.data.sources import folder_origin
from core.runs import pretrained
from core.runs.domain import Domain

MODELS = Path(__file__).parent / "models"
DOMAIN = Domain(
    name="robotics", recipes=RECIPES, data_types=(RoboticsData,), codec_types=(ChunkCodec,), prepare=prepare,
    evaluate=evaluate, write=write, preview=preview, own_data=lambda data, path: replace(data, folder=str(path)),
    guess=guess, default_family=default_family, sized=sized, tuned_data=tuned_data, prepare_as=prepare,
    result="episodes", default_samples=300, tasks=TASKS,
    origins=lambda data: [folder_origin(data.folder)] if data.folder else [],
    models=MODELS, model="planar",
    suggests=lambda recipe: ["rollout {run} -n 20"],
    shows="Episodes of the policy, seen from above: to the green goal, around the grey obstacle on the left (blue) or "
          "on the right (orange); red ones fail.",
    codec_migrations=(from_version_0_1_0,), draw=draw,
)


def load(path: str | Path, device: str = "auto") -> TrainedPolicy:
    """The trained policy in a run folder or a model folder."""
    return acting(pretrained.load(path, DOMAIN, device))


def acting(model: RoboticsModel) -> TrainedPolicy:
    """A model that acts."""
    return TrainedPolicy(**vars(model))
