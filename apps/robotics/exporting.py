"""A policy as an ONNX file, for programs without Python or PyTorch."""

from __future__ import annotations

import json
import logging
import tempfile
import warnings
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import torch
from torch import Tensor, nn

from apps.robotics.codec import CONDITION, LARGEST, PICTURE
from apps.robotics.model import RoboticsModel
from core.errors import FourfoldError, Unsupported
from core.extras import needed
from core.families.family import SampleSettings, SettingChanges
from core.files import one_line, write_atomically

TOLERANCE = 1e-3
"""Of an action's range: how far the file's actions may be from the model's."""


class Acting(nn.Module):
    """observation `[1, history * D]` in its own units, noise `[1, ...]` -> actions `[1, horizon, A]` in theirs.

    Inputs follow in this order, those that the model has: observation, picture uint8 `[1, C, P, P]`, noise.
    """

    def __init__(self, model: RoboticsModel, settings: SampleSettings) -> None:
        super().__init__()
        codec = model.codec
        self.family, self.settings, self.names = model.family, settings, list(codec.conditions)
        self.mean, self.std = torch.tensor(codec.mean * codec.history), torch.tensor(codec.std * codec.history)
        self.low, self.high = torch.tensor(codec.low), torch.tensor(codec.high)
        try:
            self.latent: tuple[int, ...] | None = model.family.latent_shape
        except Unsupported:
            self.latent = None

    def inputs(self, model: RoboticsModel, seed: int) -> dict[str, Tensor]:
        """Inputs like those that the policy meets."""
        draws = torch.Generator().manual_seed(seed)
        found = {}
        if CONDITION in self.names:
            found[CONDITION] = self.mean + self.std * torch.randn(1, len(self.mean), generator=draws)
        if PICTURE in self.names:
            shape = model.codec.channels * model.codec.history, model.codec.picture, model.codec.picture
            found[PICTURE] = torch.randint(0, 256, (1, *shape), generator=draws, dtype=torch.uint8)
        if self.latent is not None:
            found["noise"] = torch.randn(1, *self.latent, generator=draws)
        return found

    def forward(self, *given: Tensor) -> Tensor:
        condition = dict(zip(self.names, given, strict=False))
        if CONDITION in condition:
            condition[CONDITION] = ((condition[CONDITION] - self.mean) / self.std).clamp(-LARGEST, LARGEST)
        if self.latent is not None:
            x = self.family.decode(given[-1], condition, settings=self.settings).x
        else:
            x = self.family.sample(1, condition, settings=self.settings).x
        return self.low + (x.transpose(1, 2).clamp(-1, 1) + 1) / 2 * (self.high - self.low)


def export(model: RoboticsModel, path: Path, **changes: Unpack[SettingChanges]) -> float:
    """Write a policy's chunk of actions as a function of its observations and noise; returns how far ONNX Runtime's
    actions are from the model's at most, in shares of their range.

    The noise is standard normal. Names, sizes and settings are in the file's metadata.

    Raises:
        FourfoldError: a family that draws token by token, a network that ONNX cannot hold, a missing package, or
            actions that are further off than `TOLERANCE`.
    """
    onnx: Any = needed("onnx", "robotics")
    runtime: Any = needed("onnxruntime", "robotics")
    if model.recipe.family.kind == "autoregressive":
        raise FourfoldError("an autoregressive policy draws number by number, which is no ONNX function: export one of "
                            "another family")
    settings, codec = model.settings(**changes), model.codec
    acting = Acting(model, settings).eval()
    inputs = acting.inputs(model, 0)
    try:
        with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "policy.onnx"
            warnings.simplefilter("ignore")  # of steps that are fixed as they are traced
            logging.getLogger("torch.onnx").setLevel(logging.ERROR)
            torch.onnx.export(acting, tuple(inputs.values()), file, input_names=list(inputs),
                              output_names=["actions"], opset_version=18, dynamo=False)
            made = onnx.load(file)
    except Exception as error:
        raise FourfoldError(f"this policy cannot be written as ONNX ({one_line(error)})") from error
    about = {"history": codec.history, "horizon": codec.horizon, "execute": model.recipe.data.execute,
             "observation_names": codec.observation_names, "action_names": codec.action_names, "task": codec.task}
    for key, value in about.items():
        made.metadata_props.add(key=key, value=json.dumps(value))
    content = made.SerializeToString()
    session = runtime.InferenceSession(content, providers=["CPUExecutionProvider"])
    worst = 0.0
    with torch.inference_mode():
        for seed in range(8):
            given = acting.inputs(model, seed)
            ours = acting(*given.values()).numpy()
            [theirs] = session.run(None, {name: value.numpy() for name, value in given.items()})
            off = np.abs(ours - theirs) / (np.asarray(codec.high) - np.asarray(codec.low))
            worst = max(worst, float(off.max()))
    if not worst <= TOLERANCE:
        raise FourfoldError(f"ONNX Runtime's actions are {worst:.2g} of their range off the model's: nothing is "
                            "written")
    write_atomically(path, content)
    return worst
