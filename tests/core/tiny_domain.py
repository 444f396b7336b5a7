"""A domain small enough to train in a second: points on a ring, in two classes, read from a CSV or made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from core.batches import Batch
from core.command_line.program import main
from core.command_line.verbs import build
from core.conditions import ClassCondition, ConditionSpec
from core.data.arrays import ArrayData
from core.errors import FourfoldError, require
from core.families import (
    AutoregressiveConfig,
    ConditioningConfig,
    DiffusionConfig,
    FamilyConfig,
    GANConfig,
    VAEConfig,
)
from core.networks import MLPConfig, TransformerConfig
from core.quantizers import UniformBins
from core.runs.codec import Codec
from core.runs.domain import Domain, Prepared
from core.runs.measures import Measure
from core.runs.media import Media
from core.runs.model import Model
from core.runs.recipe import Recipe
from core.runs.tasks import Progress, Result, Task, argument, num_option, seed_option
from core.spaces import Continuous
from core.training.config import TrainConfig

Point = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class RingData:
    """`folder`: a folder with points.csv (rows x,y,class) instead of points made from `seed`."""

    examples: int = 600
    folder: str | None = None

    def __post_init__(self) -> None:
        require(self.examples >= 10, "data.examples", self.examples, "must be at least 10")


@dataclass(frozen=True, kw_only=True)
class RingCodec(Codec[Point]):
    """Points (x, y) times `scale`."""

    scale: float = 1.0

    @property
    def space(self) -> Continuous:
        return Continuous(shape=(2,))

    @property
    def conditions(self) -> Mapping[str, ConditionSpec]:
        return {"label": ClassCondition(names=("left", "right"))}

    def encode(self, items: Sequence[Point]) -> Batch:
        return Batch(torch.tensor(items, dtype=torch.float32) * self.scale)

    def decode(self, batch: Batch) -> list[Point]:
        return [(x, y) for x, y in (batch.x / self.scale).tolist()]


RingModel = Model[RingData, RingCodec, Point]


def prepare(data: RingData) -> Prepared[RingCodec]:
    if data.folder is None:
        rng = np.random.default_rng(0)
        angle = rng.uniform(0, 2 * np.pi, data.examples)
        points = np.stack([np.cos(angle), np.sin(angle)], 1) + rng.normal(0, 0.05, (data.examples, 2))
        labels = (points[:, 0] > 0).astype(np.int64)
    else:
        points, labels = _read(Path(data.folder) / "points.csv")
    codec = RingCodec()
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


def evaluate(model: RingModel, prepared: Prepared[RingCodec], n: int, seed: int) -> list[Measure]:
    points = np.array(model.sample(n, seed=seed))
    distance = float(np.abs(np.linalg.norm(points, axis=1) - 1).mean())
    rng = np.random.default_rng(seed)
    gaussian = float(np.abs(np.linalg.norm(rng.normal(0, 0.7, (n, 2)), axis=1) - 1).mean())
    return [
        Measure(name="distance_to_ring", value=distance, better="lower", count=n, interval=(distance / 2, distance * 2),
                baseline=gaussian, baseline_name="Gaussian", floor=0.04),
        Measure(name="spread", value=float(points.std()), better="higher", count=n),
    ]


def write(items: Sequence[Point], folder: Path) -> list[Path]:
    path = folder / "points.csv"
    path.write_text("".join(f"{x:.6f},{y:.6f}\n" for x, y in items))
    return [path]


def preview(items: Sequence[Point]) -> list[Media]:
    return [Media(kind="text", content="\n".join(f"{x:.2f} {y:.2f}" for x, y in items), caption="points <&>")]


SMALL = ConditioningConfig(width=16)
TRAIN = TrainConfig(steps=30, batch_size=64, checkpoint_every=10, log_every=5)


def _recipe(name: str, family: FamilyConfig) -> Recipe[RingData]:
    return Recipe(name=name, domain="tiny", data=RingData(), family=family, train=TRAIN)


def ring_diffusion() -> Recipe[RingData]:
    """Flow matching on a ring.

    More about it, which the table leaves out.
    """
    return _recipe("ring-diffusion", DiffusionConfig(denoiser=MLPConfig(width=32, depth=1), conditioning=SMALL))


def ring_vae() -> Recipe[RingData]:
    """A VAE of a ring."""
    network = MLPConfig(width=32, depth=1)
    return _recipe("ring-vae", VAEConfig(encoder=network, decoder=network, latent=2, conditioning=SMALL))


def ring_gan() -> Recipe[RingData]:
    """A GAN of a ring."""
    network = MLPConfig(width=32, depth=1)
    return _recipe("ring-gan", GANConfig(generator=network, critic=network, latent=4, conditioning=SMALL))


def ring_autoregressive() -> Recipe[RingData]:
    """Two quantised coordinates, one after the other."""
    model = TransformerConfig(width=32, depth=1, heads=2)
    bins = UniformBins(bins=32, low=-1.5, high=1.5)
    return _recipe("ring-autoregressive", AutoregressiveConfig(model=model, quantizer=bins, conditioning=SMALL))


def tour_of(make: Callable[[], Recipe[RingData]]) -> Callable[[], Recipe[RingData]]:
    """The same recipe under its tour name."""

    def recipe() -> Recipe[RingData]:
        made = make()
        return replace(made, name=f"tour-{made.family.kind}")

    recipe.__doc__ = make.__doc__
    return recipe


FOUR = {"vae": ring_vae, "gan": ring_gan, "diffusion": ring_diffusion, "autoregressive": ring_autoregressive}


def sized(data: RingData, prepared: Prepared[RingCodec], family: str) -> Recipe[RingData]:
    return replace(FOUR[family](), data=data)


@dataclass(frozen=True, kw_only=True)
class Nearest:
    """What the task `nearest` takes."""

    x: float = argument("X", "A place.")
    y: float = argument("Y", "A place.")
    num: int = num_option(10)
    seed: int = seed_option()


def nearest(model: RingModel, parameters: Nearest, progress: Progress) -> Result:
    """The drawn point that lies nearest to a place."""
    points = np.array(model.sample(parameters.num, seed=parameters.seed, progress=progress))
    best = points[np.linalg.norm(points - [parameters.x, parameters.y], axis=1).argmin()].tolist()
    return Result(text=f"{best[0]:.3f} {best[1]:.3f}", data=best)


TASKS = (Task(name="nearest", summary="The drawn point nearest to a place.", parameters=Nearest, run=nearest,
              result="numbers"),)

DOMAIN = Domain(
    name="tiny",
    recipes={f"ring-{family}": make for family, make in FOUR.items()}
    | {f"tour-{family}": tour_of(make) for family, make in FOUR.items()},
    data_types=(RingData,), codec_types=(RingCodec,), prepare=prepare, evaluate=evaluate, write=write, preview=preview,
    own_data=lambda data, path: replace(data, folder=str(path)), guess=lambda path: RingData(folder=str(path)),
    default_family=lambda data, prepared: ("diffusion", "points"), sized=sized, result="numbers", conditions=("label",),
    default_samples=200, tasks=TASKS, suggests=lambda recipe: ["nearest {run} 1 0"],
    shows="Points of a ring.",
)

app = build("tiny", lambda: DOMAIN, TASKS, program=(__file__,))

if __name__ == "__main__":
    main(app)
