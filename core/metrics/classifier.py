"""A small classifier trained on a domain's labels, whose features distances between sets are computed in.

Its network is not one of `core.networks`, so that metrics stay the same when those networks change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from core.data.arrays import indices_of_step
from core.data.cache import cached
from core.errors import FourfoldError
from core.waiting import followed

VERSION = 1
"""The version of the network and its training, part of the cache's key."""


@dataclass(frozen=True)
class Classifier:
    """A trained classifier of arrays.

    Attributes:
        network: standardised arrays `[B, *shape]` -> features `[B, D]`; `head`: features -> logits `[B, classes]`.
        mean, std: of all numbers of the training data, by which arrays are standardised.
        shape: of one example; `classes`: how many; `test_accuracy`: on the test set, in [0, 1].
    """

    network: nn.Module
    head: nn.Module
    mean: float
    std: float
    shape: tuple[int, ...]
    classes: int
    test_accuracy: float

    def features(self, x: np.ndarray | Tensor) -> np.ndarray:
        """Features float32 `[N, D]` (the last hidden layer, before its activation) of `x` `[N, *shape]`.

        Raises:
            FourfoldError: x is of another shape.
        """
        return self._run(x, self.network)

    def probabilities(self, x: np.ndarray | Tensor) -> np.ndarray:
        """Class probabilities float32 `[N, classes]` of `x` `[N, *shape]`."""
        return self._run(x, nn.Sequential(self.network, self.head, nn.Softmax(dim=1)))

    def predict(self, x: np.ndarray | Tensor) -> np.ndarray:
        """Most probable classes int64 `[N]` of `x` `[N, *shape]`."""
        return np.asarray(self.probabilities(x).argmax(axis=1))

    def accuracy(self, x: np.ndarray | Tensor, y: np.ndarray | Tensor) -> float:
        """The share of `x` `[N, *shape]` whose predicted class is `y` `[N]`."""
        return float((self.predict(x) == np.asarray(y)).mean())

    def _run(self, x: np.ndarray | Tensor, module: nn.Module) -> np.ndarray:
        if tuple(x.shape[1:]) != self.shape:
            raise FourfoldError(f"this classifier takes arrays of shape {self.shape}: got {tuple(x.shape[1:])}")
        outputs = []
        with torch.inference_mode():
            for start in range(0, len(x), 512):
                block = torch.as_tensor(np.asarray(x[start : start + 512], dtype=np.float32))
                outputs.append(module((block - self.mean) / self.std).numpy())
        return np.concatenate(outputs) if outputs else np.zeros((0, 0), np.float32)


def train_classifier(
    x: np.ndarray, y: np.ndarray, test_x: np.ndarray, test_y: np.ndarray, *,
    features: int = 64, width: int = 16, steps: int = 400, batch_size: int = 128, seed: int = 0, keep: bool = True,
) -> Classifier:
    """A classifier trained (some seconds on one core) on examples `x` `[N, *shape]` and their classes `y` `[N]`.

    Args:
        x, test_x: floats; an MLP for shape `[C]`, 1-D convolutions for `[C, L]`, 2-D convolutions for `[C, H, W]`.
        y, test_y: classes from 0.
        features: width of the feature space; `width`: channels of the first convolution.
        keep: read it from the cache, or write it there; keyed by the data's contents and the settings.

    Raises:
        FourfoldError: shapes that do not fit, fewer than two classes, values that are not finite.
    """
    x, test_x = np.asarray(x), np.asarray(test_x)
    y, test_y = np.asarray(y, dtype=np.int64), np.asarray(test_y, dtype=np.int64)
    _check(x, y, test_x, test_y)
    shape, classes = tuple(x.shape[1:]), int(max(y.max(), test_y.max())) + 1

    def assembled(found: Mapping[str, np.ndarray]) -> Classifier:
        with torch.random.fork_rng(devices=[]):
            network, head = _network(shape, features, width), _head(features, classes)
        weights = {name: torch.tensor(value) for name, value in found.items() if name not in ("scale", "accuracy")}
        nn.Sequential(network, head).load_state_dict(weights)
        mean, std = found["scale"].tolist()
        return Classifier(network.eval(), head.eval(), mean, std, shape, classes, float(found["accuracy"]))

    def make() -> dict[str, np.ndarray]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = nn.Sequential(_network(shape, features, width), _head(features, classes))
            scale = (float(x.mean(dtype=np.float64)), float(x.std(dtype=np.float64)) or 1.0)
            _train(model, x, y, scale, steps, batch_size, seed)
        found = {name: value.numpy() for name, value in model.state_dict().items()} | {"scale": np.array(scale)}
        accuracy = assembled({**found, "accuracy": np.array(0.0)}).accuracy(test_x, test_y)
        return {**found, "accuracy": np.array(accuracy)}

    settings = {"features": features, "width": width, "steps": steps, "batch_size": batch_size, "seed": seed}
    parts = [x, y, test_x, test_y, settings]
    return assembled(cached("classifier", VERSION, parts, make) if keep else make())


def _check(x: np.ndarray, y: np.ndarray, test_x: np.ndarray, test_y: np.ndarray) -> None:
    if not 2 <= x.ndim <= 4 or x.dtype.kind != "f":
        raise FourfoldError(f"a classifier takes floats [N, C], [N, C, L] or [N, C, H, W]: got {x.dtype} {x.shape}")
    if test_x.shape[1:] != x.shape[1:]:
        raise FourfoldError(f"test examples have shape {test_x.shape[1:]}, those for training {x.shape[1:]}")
    if len(x) != len(y) or len(test_x) != len(test_y) or not len(x) or not len(test_x):
        raise FourfoldError(f"{len(x)} examples with {len(y)} classes and {len(test_x)} test examples with "
                            f"{len(test_y)}: need as many classes as examples, and some of both")
    if y.min() < 0 or test_y.min() < 0 or y.min() == y.max():
        raise FourfoldError(f"classes go from {y.min()} to {y.max()}: need at least two, numbered from 0")
    if not (np.isfinite(x.sum(dtype=np.float64)) and np.isfinite(test_x.sum(dtype=np.float64))):
        raise FourfoldError("a classifier's examples hold values that are not finite")


def _network(shape: tuple[int, ...], features: int, width: int) -> nn.Module:
    """Strided convolutions to at most 4 positions along each axis (two hidden layers for vectors), then features."""
    if len(shape) == 1:
        return nn.Sequential(nn.Linear(shape[0], 256), nn.GELU(), nn.Linear(256, 256), nn.GELU(),
                             nn.Linear(256, features))
    convolution: type[nn.Module] = nn.Conv1d if len(shape) == 2 else nn.Conv2d
    channels, sides, widest = shape[0], list(shape[1:]), 8 * width
    layers: list[nn.Module] = []
    if max(sides) <= 12:
        layers += [convolution(channels, width, 3, padding=1), nn.GELU()]
        channels, width = width, 2 * width
    while max(sides) > 4:
        # An axis of at most 4 positions is not strided while another is.
        stride = tuple(2 if side > 4 else 1 for side in sides)
        layers += [convolution(channels, width, 3, stride=stride, padding=1), nn.GroupNorm(4, width), nn.GELU()]
        sides = [-(-side // step) for side, step in zip(sides, stride, strict=True)]
        channels, width = width, min(2 * width, widest)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * int(np.prod(sides)), features))


def _head(features: int, classes: int) -> nn.Module:
    return nn.Sequential(nn.GELU(), nn.Linear(features, classes))


def _train(
    model: nn.Module, x: np.ndarray, y: np.ndarray, scale: tuple[float, float], steps: int, batch_size: int, seed: int
) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps, pct_start=0.1)
    size = min(batch_size, len(x))
    for step in followed(range(steps), "training a classifier to measure by"):
        rows = indices_of_step(seed, step, size, len(x))
        block = (torch.as_tensor(x[rows], dtype=torch.float32) - scale[0]) / scale[1]
        loss = nn.functional.cross_entropy(model(block), torch.as_tensor(y[rows]), label_smoothing=0.05)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
