"""A domain small enough to train in a second: points on a ring, in two classes, read from a CSV or made."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from core.batches import Batch
from core.command_line.verbs import build
from core.conditions import ClassCondition, ConditionSpec
from core.data.arrays import ArrayData
from core.errors import FourfoldError, require
from core.families import AutoregressiveConfig, DiffusionConfig, GANConfig, VAEConfig
from core.networks import MLPConfig, TransformerConfig
from core.quantizers import UniformBins
from core.runs.domain import Domain, Prepared
from core.runs.measures import Measure
from core.runs.media import Media
from core.runs.recipe import Recipe
from core.spaces import Continuous, Space
from core.training.config import TrainConfig


@dataclass(frozen=True, kw_only=True)
class RingData:
    """`folder`: a folder with points.csv (rows x,y,class) instead of points made from `seed`."""

    examples: int = 600
    folder: str | None = None

    def __post_init__(self) -> None:
        require(self.examples >= 10, "data.examples", self.examples, "must be at least 10")


@dataclass(frozen=True)
class RingCodec:
    """Points (x, y) times `scale`."""

    scale: float
    space: Space = Continuous(shape=(2,))
    conditions: Mapping[str, ConditionSpec] = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        object.__setattr__(self, "conditions", {"label": ClassCondition(names=("left", "right"))})

    def encode(self, items: Sequence[Any]) -> Batch:
        return Batch(torch.tensor(items, dtype=torch.float32) * self.scale)

    def decode(self, batch: Batch) -> list[Any]:
        return [tuple(point) for point in (batch.x / self.scale).tolist()]

    def save(self, folder: Path) -> None:
        (folder / "codec.json").write_text(json.dumps({"scale": self.scale}))


def load_codec(folder: Path) -> RingCodec:
    return RingCodec(json.loads((folder / "codec.json").read_text())["scale"])


def prepare(data: RingData) -> Prepared:
    if data.folder is None:
        rng = np.random.default_rng(0)
        angle = rng.uniform(0, 2 * np.pi, data.examples)
        points = np.stack([np.cos(angle), np.sin(angle)], 1) + rng.normal(0, 0.05, (data.examples, 2))
        labels = (points[:, 0] > 0).astype(np.int64)
    else:
        points, labels = _read(Path(data.folder) / "points.csv")
    codec = RingCodec(1.0)
    everything = ArrayData(codec.space, points.astype(np.float32), {"label": labels})
    cuts = len(points) * 6 // 10, len(points) * 8 // 10
    return Prepared(codec=codec, train=everything.subset(slice(0, cuts[0])),
                    validation=everything.subset(slice(*cuts)), test=everything.subset(slice(cuts[1], None)))


def _read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    if not path.is_file():
        raise FourfoldError(f"{path}: no such file; --data needs a folder with points.csv")
    rows = []
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        try:
            x, y, label = line.split(",")
            rows.append((float(x), float(y), int(label)))
        except ValueError:
            raise FourfoldError(f"{path} line {number} is {line[:40]!r}: must be x,y,class") from None
    if not rows:
        raise FourfoldError(f"{path} is empty: it must have rows x,y,class")
    table = np.array(rows)
    return table[:, :2], table[:, 2].astype(np.int64)


def evaluate(model: Any, prepared: Prepared, n: int, seed: int) -> list[Measure]:
    points = np.array(model.sample(n, seed=seed))
    distance = float(np.abs(np.linalg.norm(points, axis=1) - 1).mean())
    rng = np.random.default_rng(seed)
    gaussian = float(np.abs(np.linalg.norm(rng.normal(0, 0.7, (n, 2)), axis=1) - 1).mean())
    return [
        Measure(name="distance_to_ring", value=distance, better="lower", count=n, interval=(distance / 2, distance * 2),
                baseline=gaussian, baseline_name="Gaussian", floor=0.04),
        Measure(name="spread", value=float(points.std()), better="higher", count=n),
    ]


def write(items: Sequence[Any], folder: Path) -> list[Path]:
    path = folder / "points.csv"
    path.write_text("".join(f"{x:.6f},{y:.6f}\n" for x, y in items))
    return [path]


def preview(items: Sequence[Any]) -> list[Media]:
    return [Media(kind="text", content="\n".join(f"{x:.2f} {y:.2f}" for x, y in items), caption="points <&>")]


TRAIN = TrainConfig(steps=30, batch_size=64, checkpoint_every=10, log_every=5)


def _recipe(name: str, family: Any) -> Recipe:
    return Recipe(name=name, domain="tiny", data=RingData(), family=family, train=TRAIN)


def ring_diffusion() -> Recipe:
    """Flow matching on a ring.

    More about it, which the table leaves out.
    """
    return _recipe("ring-diffusion", DiffusionConfig(denoiser=MLPConfig(width=32, depth=1), cond_width=16))


def ring_vae() -> Recipe:
    """A VAE of a ring."""
    network = MLPConfig(width=32, depth=1)
    return _recipe("ring-vae", VAEConfig(encoder=network, decoder=network, latent=2, cond_width=16))


def ring_gan() -> Recipe:
    """A GAN of a ring."""
    network = MLPConfig(width=32, depth=1)
    return _recipe("ring-gan", GANConfig(generator=network, critic=network, latent=4, cond_width=16))


def ring_autoregressive() -> Recipe:
    """Two quantised coordinates, one after the other."""
    model = TransformerConfig(width=32, depth=1, heads=2)
    bins = UniformBins(bins=32, low=-1.5, high=1.5)
    return _recipe("ring-autoregressive", AutoregressiveConfig(model=model, quantizer=bins, cond_width=16))


def tour_of(make: Any) -> Any:
    """The same recipe under its tour name."""

    def recipe() -> Recipe:
        family = type(made := make()).__name__ and type(made.family).__name__.removesuffix("Config").lower()
        return replace(made, name=f"tour-{family}")

    recipe.__doc__ = make.__doc__
    return recipe


FOUR = {"vae": ring_vae, "gan": ring_gan, "diffusion": ring_diffusion, "autoregressive": ring_autoregressive}

DOMAIN = Domain(
    name="tiny",
    recipes={f"ring-{family}": make for family, make in FOUR.items()}
    | {f"tour-{family}": tour_of(make) for family, make in FOUR.items()},
    data_type=RingData, prepare=prepare, load_codec=load_codec, evaluate=evaluate, write=write, preview=preview,
    condition_options={"class": "label"}, default_samples=200,
)

app = build("tiny", lambda: DOMAIN)
