"""The molecules domain as a value."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from apps.molecules.codec import SmilesCodec, from_version_0_1_0
from apps.molecules.data import MoleculeData, MoleculeModel, origins, prepare
from apps.molecules.media import preview, write
from apps.molecules.metrics import evaluate
from apps.molecules.recipes import RECIPES
from apps.molecules.sizing import default_family, guess, sized
from apps.molecules.tasks import TASKS
from core.runs import pretrained
from core.runs.domain import Domain

MODELS = Path(__file__).parent / "models"
DOMAIN = Domain(
    name="molecules", recipes=RECIPES, data_types=(MoleculeData,), codec_types=(SmilesCodec,), prepare=prepare,
    evaluate=evaluate, write=write, preview=preview, own_data=lambda data, path: replace(data, folder=str(path)),
    guess=guess, default_family=default_family, sized=sized, prepare_as=prepare,
    result="molecules", conditions=("property", "class"), tasks=TASKS, origins=origins, models=MODELS, model="moses",
    suggests=lambda recipe: ["design {run} -n 20 --property logp=2.5"],
    shows="Drug-like molecules from SMILES that the model wrote; those that are no molecule cannot be drawn, and are "
          "counted.",
    codec_migrations=(from_version_0_1_0,),
    default_samples=1_000,  # for all families alike: the FCD depends on the count
)


def load(path: str | Path, device: str = "auto") -> MoleculeModel:
    """The trained model in a run or model folder."""
    return pretrained.load(path, DOMAIN, device)
