"""How good generated images are: distances on a small classifier's features, coverage, copies, likelihood."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial
from typing import Literal

import numpy as np
import torch

from apps.image.codec import ImageCodec
from apps.image.data import ImageData, ImageModel, labels
from apps.image.degradations import add_noise, boxes, degrade, noisy, tasks_of, with_hole
from apps.image.enhancement import restored
from core.data.arrays import ArrayData
from core.errors import FourfoldError
from core.extras import needed
from core.metrics.classifier import Classifier, train_classifier
from core.metrics.frechet import frechet_distance
from core.metrics.gaussian import FittedGaussian, Histogram
from core.metrics.intervals import bootstrap, wilson
from core.metrics.kernel import kernel_distance
from core.metrics.memorization import memorization_test
from core.metrics.precision_recall import prdc
from core.runs.domain import Prepared
from core.runs.measures import Measure, against_real, near_copies

LARGEST = 10_000  # real images that distances are measured against, at most
FEWEST = 10  # held-out images that measures need
SAME = 2 / 255  # of the range of levels: the root-mean-square difference that nobody sees, as of a file saved again
LIKELIHOOD_IMAGES = 128  # test images whose likelihood is measured, at most: a flow's takes 128 evaluations each
TRAINING_IMAGES = 32  # training images beside them: enough to tell overfitting, which is a fifth and more


def evaluate(model: ImageModel, prepared: Prepared[ImageCodec], n: int, seed: int) -> list[Measure]:
    """Measures of `n` samples, conditioned on the test images' classes where the model is: Fréchet distance first.

    Raises:
        FourfoldError: too few held-out images.
    """
    if len(prepared.test) < FEWEST:
        raise FourfoldError(f"{len(prepared.test)} held-out images are too few to measure by: at least {FEWEST} are "
                            f"needed, which a folder of {10 * FEWEST} images has")
    if prepared.codec.restores:
        return evaluate_restoration(model, prepared, n, seed)
    condition = None
    if model.codec.conditions:
        picks = np.random.default_rng(seed).integers(len(prepared.test), size=n)
        condition = dict(prepared.test.batch(picks).condition)
    started = time.perf_counter()
    fake = model.sample_batch(n, seed=seed, condition=condition).x
    speed = n / (time.perf_counter() - started)
    drawn = _rounded(fake, prepared)  # what is measured is what a person is given: 8-bit images
    name, features = feature_space(model, prepared)
    measures = distances(name, features, drawn, prepared, n, seed)
    if condition is not None and "class" in condition:
        measures += _class_measures(model, prepared, drawn, condition["class"].numpy(), seed)
    kind = model.family.likelihood
    if kind != "none":
        measures.append(_bits(model, prepared, kind, n, seed))
    measures.append(Measure(name="samples_per_second", value=speed, better="higher", count=n))
    return measures


def feature_space(model: ImageModel, prepared: Prepared[ImageCodec]) -> tuple[str, Callable[[np.ndarray], np.ndarray]]:
    """The space that distances live in: its name, and images `[N, C, H, W]` in [-1, 1] -> features `[N, D]`.

    A classifier of the data's classes, trained here once and cached; without classes, the 64 first principal
    components of pixels.
    """
    if labels(model.recipe.data):
        return f"{model.recipe.data.source}_cnn", classifier(model.recipe.data, prepared).features
    train = _real(prepared.train)
    mean = train.reshape(len(train), -1).mean(0)
    _, _, axes = np.linalg.svd(train.reshape(len(train), -1)[:2000] - mean, full_matrices=False)
    return "pixels_pca", lambda x: (x.reshape(len(x), -1) - mean) @ axes[:64].T


def classifier(data: ImageData, prepared: Prepared[ImageCodec]) -> Classifier:
    """A small classifier of the data's classes, whether or not a model is conditioned on them; cached.

    Raises:
        FourfoldError: the data have no classes.
    """
    y = labels(data)
    if not y:
        raise FourfoldError(f"{data.folder or data.source} has no classes to learn features from")
    return _trained(_real(prepared.train, len(prepared.train)), y["train"], _real(prepared.test), y["test"])


def _trained(x: np.ndarray, y: np.ndarray, test_x: np.ndarray, test_y: np.ndarray, keep: bool = True) -> Classifier:
    """A classifier trained for as many steps as there is to learn."""
    y, test_y = y[: len(x)], test_y[: len(test_x)]
    if x[0].size <= 256:
        return train_classifier(x, y, test_x, test_y, features=32, keep=keep)
    steps = 1500 if len(x) >= 10_000 else 400 if len(x) >= 500 else 100
    return train_classifier(x, y, test_x, test_y, features=64, width=32, steps=steps, keep=keep)


def distances(
    name: str, features: Callable[[np.ndarray], np.ndarray], fake: np.ndarray, prepared: Prepared[ImageCodec], n: int,
    seed: int,
) -> list[Measure]:
    """Distances, coverage and copies of images `fake` `[n, C, H, W]` in [-1, 1], on `features` called `name`.

    The floor is of other real images, of the training data; where these are fewer, as few samples are measured.
    """
    train_x, test_x = _real(prepared.train, max(LARGEST, n)), _real(prepared.test)
    count = min(n, len(train_x))
    gaussian_x = FittedGaussian.fit(train_x, levels=prepared.codec.levels).sample(count, seed)
    train, test, drawn, gaussian = (features(x) for x in (train_x, test_x, fake[:count], gaussian_x))
    floor = train[np.random.default_rng(seed).permutation(len(train))[:count]]
    distance = frechet_distance(test, drawn)
    interval = bootstrap(frechet_distance, test, drawn, n=100, seed=seed, paired=False, around=distance)
    ours, theirs, real = prdc(test, drawn), prdc(test, gaussian), prdc(test, floor)
    fewer = f"of {count:,} of {n:,} samples, as many as there are real images for the floor" if count < n else ""
    compared = partial(Measure, count=count, baseline_name="fitted Gaussian", remark=fewer)
    measures = [
        compared(name=f"fd_{name}", value=distance, better="lower", interval=interval, floor_is="least",
                 baseline=frechet_distance(test, gaussian), floor=frechet_distance(test, floor)),
        compared(name=f"kd_{name}", value=kernel_distance(test, drawn), better="lower",
                 baseline=kernel_distance(test, gaussian), floor=kernel_distance(test, floor)),
        *(compared(name=key, value=ours[key], better="higher", baseline=theirs[key], floor=real[key])
          for key in ("precision", "recall", "density", "coverage")),
    ]
    # In levels, against every training image: a copy of one that was left out would go unseen.
    top = prepared.codec.levels - 1
    copies = memorization_test(((fake + 1) / 2 * top).round(), prepared.train.x, prepared.test.x,
                               near=SAME * top * math.sqrt(fake[0].size))
    return [*map(against_real, measures), near_copies(copies, n)]


def _class_measures(
    model: ImageModel, prepared: Prepared[ImageCodec], fake: np.ndarray, wanted: np.ndarray, seed: int
) -> list[Measure]:
    """How often a classifier of real images sees the class asked for; and how well one of generated images knows real
    ones (the classification accuracy score, CAS, of Ravuri & Vinyals 1905.10887)."""
    y, trained = labels(model.recipe.data), classifier(model.recipe.data, prepared)
    train, test = _real(prepared.train, len(prepared.train)), _real(prepared.test)
    rows = np.random.default_rng(seed).permutation(len(train))[: len(fake)]

    def score(x: np.ndarray, classes: np.ndarray) -> float:
        return _trained(x, classes, test, y["test"], keep=False).test_accuracy

    frequent = float(np.bincount(y["test"]).max() / len(y["test"]))
    seen, known = trained.accuracy(fake, wanted), score(fake, wanted)
    scored = partial(Measure, better="higher", count=len(fake), baseline=frequent, baseline_name="most frequent class")
    return [
        scored(name="class_accuracy", value=seen, floor=trained.test_accuracy,
               interval=wilson(round(seen * len(fake)), len(fake))),
        scored(name="classification_accuracy_score", value=known, floor=score(train[rows], y["train"][rows]),
               interval=wilson(round(known * len(test)), len(test))),
    ]


def _bits(
    model: ImageModel, prepared: Prepared[ImageCodec], kind: Literal["exact", "bound", "estimate"], n: int, seed: int
) -> Measure:
    """Negative log-likelihood of up to `n` held-out images in bits a number (binary images: in nats, as is the custom),
    against each pixel's histogram."""
    count, levels = min(len(prepared.test), n, LIKELIHOOD_IMAGES), prepared.codec.levels
    known = min(len(prepared.train), count, TRAINING_IMAGES)
    unit = 1.0 if levels == 2 else 1 / (math.log(2) * prepared.test.x[0].size)
    values, trained = (model.bound(data, rows, seed=seed).numpy() * unit
                       for data, rows in ((prepared.test, count), (prepared.train, known)))
    histogram = Histogram.fit(_real(prepared.train), levels)
    return Measure(
        name="nats_per_image" if levels == 2 else "bits_per_dim", value=float(values.mean()), better="lower", kind=kind,
        count=count, interval=bootstrap(np.mean, values, seed=seed), train_value=float(trained.mean()),
        baseline=float(histogram.nll(_real(prepared.test)[:count]).mean() * unit), baseline_name="pixel histograms",
        remark=f"training data's is of {known} images",
    )


def _real(data: ArrayData, most: int = 0) -> np.ndarray:
    """Up to `most` (by default `LARGEST`) images as floats in [-1, 1]."""
    return data.batch(np.arange(min(len(data), most or LARGEST))).x.numpy()


def evaluate_restoration(model: ImageModel, prepared: Prepared[ImageCodec], n: int, seed: int) -> list[Measure]:
    """PSNR (dB, of pictures in [0, 1]) and Fréchet distance of `n` held-out images restored, for each task.

    Against what needs no training: bicubic enlargement, non-local means (which is told the noise's level, as the model
    is), biharmonic inpainting of the centre, and the grey picture itself. Noise has sigma = 0.2, holes are the middle
    10/28 of each side. The floor of a distance is other real images against these.
    """
    n = min(n, len(prepared.test))
    real = torch.from_numpy(_real(prepared.test)[:n])
    name, features = feature_space(model, prepared)
    held = features(real.numpy())
    train = _real(prepared.train)
    floor = frechet_distance(held, features(train[np.random.default_rng(seed).permutation(len(train))[:n]]))
    measures = []
    for task in tasks_of(real.shape[1]):
        degraded = example(task, real, torch.Generator().manual_seed(seed))
        made = restored(model, task, degraded, seed)
        if task == "inpaint":
            made = torch.where(degraded[:, -1:] > 0, made, real)
        baseline_name, baseline = classical(task, degraded)
        compared = partial(Measure, count=n, baseline_name=baseline_name)
        ours, theirs = _psnr(made, real), _psnr(baseline, real)
        drawn = features(_rounded(made, prepared))
        distance = frechet_distance(held, drawn)
        measures += [
            compared(name=f"psnr_{task}", value=float(ours.mean()), better="higher", baseline=float(theirs.mean()),
                     interval=bootstrap(np.mean, ours, seed=seed)),
            compared(name=f"fd_{name}_{task}", value=distance, better="lower", floor=floor,
                     baseline=frechet_distance(held, features(_rounded(baseline, prepared))),
                     interval=bootstrap(frechet_distance, held, drawn, n=50, seed=seed, around=distance)),
        ]
    return measures


def example(task: str, x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Images `[N, C, H, W]` as the benchmark of `task` degrades them, `[N, C + 1, H, W]`."""
    if task == "denoise":
        return noisy(add_noise(x, 0.2, generator), 0.2)
    if task == "inpaint":
        height, width = x.shape[2:]
        size = torch.tensor([[round(height * 10 / 28), round(width * 10 / 28)]])
        hole = boxes((torch.tensor([[height, width]]) - size) // 2, size, height, width)
        return with_hole(x, hole.expand(len(x), -1, -1, -1))
    return degrade(task, x, generator)


def classical(task: str, degraded: torch.Tensor) -> tuple[str, torch.Tensor]:
    """What the best-known method without training makes of `example`'s pictures: its name, and `[N, C, H, W]`."""
    picture, plane = degraded[:, :-1], degraded[:, -1].numpy()
    if task.startswith("upscale"):
        return "bicubic", picture  # which is how `degradations.small` hands it over
    if task == "colorize":
        return "grey", picture
    pixels = ((picture + 1) / 2).permute(0, 2, 3, 1).numpy()
    restoration = needed("skimage.restoration", "image")
    if task == "denoise":
        # The settings of scikit-image's own example for a known sigma.
        made = [restoration.denoise_nl_means(x, h=0.8 * s.flat[0], sigma=s.flat[0], patch_size=5, patch_distance=6,
                                             fast_mode=True, channel_axis=-1)
                for x, s in zip(pixels, plane, strict=True)]
        name = "non-local means"
    else:
        made = [restoration.inpaint_biharmonic(x, hole > 0, channel_axis=-1)
                for x, hole in zip(pixels, plane, strict=True)]
        name = "biharmonic"
    stacked = np.stack(made).astype(np.float32).reshape(pixels.shape)  # one channel comes back without its axis
    return name, torch.from_numpy(stacked).permute(0, 3, 1, 2).clamp(0, 1) * 2 - 1


def _psnr(made: torch.Tensor, real: torch.Tensor) -> np.ndarray:
    """Decibels `[N]` of each image."""
    error = ((made.clamp(-1, 1) - real) / 2).square().flatten(1).mean(1)
    return (-10 * error.clamp(min=1e-10).log10()).double().numpy()


def _rounded(x: torch.Tensor, prepared: Prepared[ImageCodec]) -> np.ndarray:
    """Images as a file holds them: on levels."""
    steps = prepared.codec.levels - 1
    return (((x.clamp(-1, 1) + 1) / 2 * steps).round() / steps * 2 - 1).numpy()
