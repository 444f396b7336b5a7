"""How good generated images are: distances on a small classifier's features, coverage, copies, likelihood."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from apps.image.codec import ImageCodec
from apps.image.data import labels
from core.data.arrays import ArrayData
from core.domain import Measure, Prepared
from core.errors import FourfoldError
from core.metrics import (
    Classifier,
    FittedGaussian,
    Histogram,
    bootstrap,
    frechet_distance,
    kernel_distance,
    memorization_test,
    prdc,
    train_classifier,
)

if TYPE_CHECKING:
    from core.pretrained import Model

LARGEST = 10_000  # real images that distances are measured against, at most
FEWEST = 10  # held-out images that a judgement needs
LIKELIHOOD_IMAGES = 128  # test images whose likelihood is measured, at most: a flow's takes 128 evaluations each


def evaluate(model: Model, prepared: Prepared, n: int, seed: int) -> list[Measure]:
    """Measures of `n` samples, conditioned on the test images' classes where the model is: Fréchet distance first.

    Raises:
        FourfoldError: too few held-out images.
    """
    if len(prepared.test) < FEWEST:
        raise FourfoldError(f"{len(prepared.test)} held-out images are too few to judge by: at least {FEWEST} are "
                            f"needed, which a folder of {10 * FEWEST} images has")
    condition = None
    if model.codec.conditions:
        picks = np.random.default_rng(seed).integers(len(prepared.test), size=n)
        condition = {"class": torch.from_numpy(np.asarray(prepared.test.condition["class"])[picks])}
    fake = model.sample_batch(n, seed=seed, condition=condition).x
    levels = levels_of(prepared)
    # What is judged is what a person is given: 8-bit images.
    fake = ((fake.clamp(-1, 1) + 1) / 2 * (levels - 1)).round() / (levels - 1) * 2 - 1
    name, features = feature_space(model, prepared)
    measures = distances(name, features, fake.numpy(), prepared, n, seed)
    if condition is not None:
        measures.append(_class_accuracy(model, prepared, fake.numpy(), condition["class"].numpy()))
    kind = model.family.likelihood
    if kind != "none":
        measures.append(_bits(model, prepared, kind, seed))
    return measures


def feature_space(model: Model, prepared: Prepared) -> tuple[str, Callable[[np.ndarray], np.ndarray]]:
    """The space that distances live in: its name, and images `[N, C, H, W]` in [-1, 1] -> features `[N, D]`.

    A classifier of the data's classes, trained here once and cached; without classes, the 64 first principal
    components of pixels.
    """
    if labels(model.recipe.data):
        return f"{model.recipe.data.source}_cnn", classifier(model, prepared).features
    train = _real(prepared.train)
    mean = train.reshape(len(train), -1).mean(0)
    _, _, axes = np.linalg.svd(train.reshape(len(train), -1)[:2000] - mean, full_matrices=False)
    return "pixels_pca", lambda x: (x.reshape(len(x), -1) - mean) @ axes[:64].T


def classifier(model: Model, prepared: Prepared) -> Classifier:
    """A small classifier of the data's classes, whether or not the model is conditioned on them; cached."""
    y = labels(model.recipe.data)
    train, test = _real(prepared.train), _real(prepared.test)
    return train_classifier(train, y["train"][: len(train)], test, y["test"][: len(test)], features=32)


def distances(
    name: str, features: Callable[[np.ndarray], np.ndarray], fake: np.ndarray, prepared: Prepared, n: int, seed: int
) -> list[Measure]:
    """Distances, coverage and copies of images `fake` `[n, C, H, W]` in [-1, 1], on `features` called `name`."""
    train_x, test_x = _real(prepared.train), _real(prepared.test)
    gaussian_x = FittedGaussian.fit(train_x, levels=levels_of(prepared)).sample(n, seed)
    train, test, drawn, gaussian = (features(x) for x in (train_x, test_x, fake, gaussian_x))
    floor = train[np.random.default_rng(seed).permutation(len(train))[:n]]
    distance = frechet_distance(test, drawn)
    interval = bootstrap(frechet_distance, test, drawn, n=100, seed=seed, paired=False, around=distance)
    measures = [
        Measure(
            name=f"fd_{name}", value=distance, better="lower", count=n, interval=interval,
            baseline=frechet_distance(test, gaussian), baseline_name="fitted Gaussian",
            floor=frechet_distance(test, floor),
        ),
        Measure(
            name=f"kd_{name}", value=kernel_distance(test, drawn), better="lower", count=n,
            baseline=kernel_distance(test, gaussian), baseline_name="fitted Gaussian",
            floor=kernel_distance(test, floor),
        ),
    ]
    ours, theirs, real = prdc(test, drawn), prdc(test, gaussian), prdc(test, floor)
    measures += [
        Measure(name=key, value=ours[key], better="higher", count=n, baseline=theirs[key],
                baseline_name="fitted Gaussian", floor=real[key])
        for key in ("precision", "recall", "density", "coverage")
    ]
    # In levels, against every training image: a copy of one that was left out would go unseen.
    in_levels = ((fake + 1) / 2 * (levels_of(prepared) - 1)).round()
    copies = memorization_test(in_levels, prepared.train.x, prepared.test.x)
    measures.append(Measure(name="near_copies_of_training", value=copies["share"], better="lower", count=n,
                            floor=copies["control_share"]))
    return measures


def _class_accuracy(model: Model, prepared: Prepared, fake: np.ndarray, wanted: np.ndarray) -> Measure:
    """How often the data's classifier sees the class that was asked for."""
    y, judge = labels(model.recipe.data), classifier(model, prepared)
    return Measure(
        name="class_accuracy", value=judge.accuracy(fake, wanted), better="higher", count=len(fake),
        baseline=float(np.bincount(y["test"]).max() / len(y["test"])), baseline_name="most frequent class",
        floor=judge.test_accuracy,
    )


def _bits(model: Model, prepared: Prepared, kind: Literal["exact", "bound", "estimate"], seed: int) -> Measure:
    """Negative log-likelihood of held-out images in bits a number, against each pixel's histogram."""
    count = min(len(prepared.test), LIKELIHOOD_IMAGES)
    bits = 1 / (math.log(2) * prepared.test.x[0].size)
    nats = model.bound(prepared.test, count, seed=seed).numpy() * bits
    histogram = Histogram.fit(_real(prepared.train), levels_of(prepared))
    return Measure(
        name="bits_per_dim", value=float(nats.mean()), better="lower", kind=kind, count=count,
        interval=bootstrap(np.mean, nats, seed=seed),
        baseline=float(histogram.nll(_real(prepared.test)[:count]).mean() * bits), baseline_name="pixel histograms",
    )


def levels_of(prepared: Prepared) -> int:
    """How many values a channel takes."""
    assert isinstance(prepared.codec, ImageCodec)
    return prepared.codec.levels


def _real(data: ArrayData) -> np.ndarray:
    """Up to `LARGEST` images as floats in [-1, 1]."""
    return data.batch(np.arange(min(len(data), LARGEST))).x.numpy()
