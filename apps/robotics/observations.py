"""Observations and actions of any nesting as one vector of numbers and one picture, and back.

Dictionaries, tuples, arrays, choices and pictures are laid out once, in `Part`s that travel with the model; so a policy
reads what its environment gives, and answers as it wants to be answered, without that environment's packages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.errors import FourfoldError, require

Floats = NDArray[np.float64]
Value = Any
"""What an environment gives or takes: an array, a number, or dictionaries and tuples of them."""
LARGEST_PICTURE, MOST_NUMBERS = 512, 100_000


@dataclass(frozen=True, kw_only=True)
class Part:
    """One array of an observation or action.

    Attributes:
        path: keys from the outside in, joined by "/"; "" where the array stands alone.
        kind: "numbers" of a shape; "choice", of which there are `shape[0]`, from `start` on: a whole number outside,
            a one among zeros inside; "choices", each of as many as `shape` says; "picture" `[h, w, c]` or
            `[c, h, w]` or `[h, w]`, of whole numbers in [0, 255].
    """

    path: str = ""
    kind: Literal["numbers", "choice", "choices", "picture"] = "numbers"
    shape: tuple[int, ...] = ()
    start: int = 0

    def __post_init__(self) -> None:
        require(all(0 < size <= MOST_NUMBERS for size in self.shape), "shape", self.shape, "must be of positive sizes")
        require(self.width <= MOST_NUMBERS, "shape", self.shape, f"must be of at most {MOST_NUMBERS:,} numbers")

    @property
    def width(self) -> int:
        """Numbers that it is in the vector."""
        if self.kind == "picture":
            return 0
        return sum(self.shape) if self.kind in ("choice", "choices") else int(np.prod(self.shape))

    @property
    def channels(self) -> int:
        """Channels that it is in the picture: 3 for colour, 1 for grey."""
        if self.kind != "picture":
            return 0
        return 1 if len(self.shape) == 2 or 1 in (self.shape[0], self.shape[-1]) else 3

    def names(self, alone: str) -> list[str]:
        """A name for each of its numbers; `alone`: what one is called that has no path."""
        base = self.path.replace("/", ".")
        if self.kind == "numbers" and self.shape == ():
            return [base or alone]
        return [f"{base}[{i}]" if base else f"{alone}{i}" for i in range(self.width)]

    def inside(self, value: Value, what: str) -> Floats:
        """Its numbers `[width]`.

        Raises:
            FourfoldError: `value` has another shape, is no number, not finite, or no such choice.
        """
        try:
            array = np.asarray(value, dtype=np.float64)
        except (TypeError, ValueError):
            raise FourfoldError(f"{what} is {type(value).__name__}: must be numbers of shape {self.shape}") from None
        wanted = {"choice": (), "choices": (len(self.shape),)}.get(self.kind, self.shape)
        if array.shape != wanted and not (array.size == 1 and wanted in ((), (1,))):
            raise FourfoldError(f"{what} has shape {array.shape}: must be {wanted}")
        if not np.isfinite(array).all():
            raise FourfoldError(f"{what} has numbers that are not finite")
        if self.kind == "numbers":
            return array.reshape(-1)
        hot = []
        for number, count in zip(array.reshape(-1) - self.start, self.shape, strict=True):
            if number != int(number) or not 0 <= number < count:
                raise FourfoldError(f"{what} is {int(number) + self.start}: must be a whole number in "
                                    f"[{self.start}, {self.start + count})")
            hot.append(np.eye(count)[int(number)])
        return np.concatenate(hot)

    def outside(self, numbers: Floats) -> Value:
        """What stands for `numbers` `[width]` outside: of choices the most pronounced."""
        if self.kind == "numbers":
            return numbers.reshape(self.shape)
        ends = np.cumsum(self.shape)
        chosen = [self.start + int(numbers[end - count : end].argmax())
                  for count, end in zip(self.shape, ends, strict=True)]
        return chosen[0] if self.kind == "choice" else np.array(chosen)

    def picture(self, value: Value, size: int, what: str) -> np.ndarray:
        """A picture as uint8 `[size, size, channels]`, its sides scaled each by itself.

        Raises:
            FourfoldError: another shape, or not of whole numbers in [0, 255].
        """
        array = np.asarray(value)
        if array.ndim != len(self.shape) or array.size == 0:
            raise FourfoldError(f"{what} has shape {array.shape}: must be a picture such as {self.shape}")
        if array.dtype != np.uint8:
            if array.dtype.kind not in "ui" or array.min() < 0 or array.max() > 255:
                raise FourfoldError(f"{what} is of {array.dtype}: a picture must be of whole numbers in [0, 255]")
            array = array.astype(np.uint8)
        if array.ndim == 3 and array.shape[0] in (1, 3, 4) and array.shape[-1] not in (1, 3, 4):
            array = np.moveaxis(array, 0, -1)
        return resized(array if array.ndim == 2 else array[..., : self.channels], size)


def resized(picture: np.ndarray, size: int) -> np.ndarray:
    """A uint8 picture `[h, w]` or `[h, w, c]` as `[size, size, c]`."""
    picture = picture if picture.ndim == 3 else picture[..., None]
    if picture.shape[:2] == (size, size):
        return picture
    image = Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture)
    scaled = np.asarray(image.resize((size, size), Image.Resampling.BOX))
    return scaled if scaled.ndim == 3 else scaled[..., None]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How the parts of an observation or action stand in one vector, and its pictures' channels in one picture.

    `names`: one for each number of the vector.
    """

    parts: tuple[Part, ...]
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        require(len(self.names) == self.width, "names", self.names, f"must be {self.width}")

    @staticmethod
    def of(parts: Sequence[Part], alone: str) -> Layout:
        """With names made of the parts' paths; `alone`: what numbers are called that have none."""
        return Layout(parts=tuple(parts), names=tuple(name for part in parts for name in part.names(alone)))

    @staticmethod
    def plain(*names: str) -> Layout:
        """The layout of a vector."""
        return Layout(parts=(Part(shape=(len(names),)),), names=names)

    @property
    def width(self) -> int:
        """Numbers of the vector."""
        return sum(part.width for part in self.parts)

    @property
    def channels(self) -> int:
        """Channels of the picture."""
        return sum(part.channels for part in self.parts)

    def vector(self, value: Value, what: str = "the observation") -> Floats:
        """The numbers `[width]` of what an environment gave.

        Raises:
            FourfoldError: a part is missing, or not as it was; the line names it.
        """
        rows = [part.inside(_at(value, part, what), _told(part, what)) for part in self.parts if part.kind != "picture"]
        return np.concatenate(rows) if rows else np.zeros(0)

    def picture(self, value: Value, size: int, what: str = "the observation") -> np.ndarray | None:
        """The pictures of what an environment gave, uint8 `[size, size, channels]`; None without any."""
        found = [part.picture(_at(value, part, what), size, _told(part, what))
                 for part in self.parts if part.kind == "picture"]
        return np.concatenate(found, axis=2) if found else None

    def value(self, vector: Floats) -> Value:
        """What stands for a vector `[width]` outside; pictures are not in it."""
        tree: dict[str, Any] = {}
        end = 0
        for part in self.parts:
            if part.kind == "picture":
                continue
            end += part.width
            found = part.outside(vector[end - part.width : end])
            if not part.path:
                return found
            *outer, last = part.path.split("/")
            node = tree
            for key in outer:
                node = node.setdefault(key, {})
            node[last] = found
        return _tuples(tree)


def _told(part: Part, what: str) -> str:
    return f"{what}[{part.path!r}]" if part.path else what


def _tuples(tree: Any) -> Any:
    """Dictionaries whose keys are 0, 1, 2 ... as the tuples they were."""
    if not isinstance(tree, dict):
        return tree
    values = [_tuples(value) for value in tree.values()]
    return tuple(values) if list(tree) == [str(i) for i in range(len(tree))] else dict(zip(tree, values, strict=True))


def _at(value: Value, part: Part, what: str) -> Value:
    for key in part.path.split("/") if part.path else ():
        if isinstance(value, Mapping) and key in value:
            value = value[key]
        elif isinstance(value, Sequence) and key.isdigit() and int(key) < len(value):
            value = value[int(key)]
        else:
            keys = f" among {', '.join(map(str, value))}" if isinstance(value, Mapping) else ""
            raise FourfoldError(f"{what} has no {part.path!r}{keys}")
    return value


def of_value(value: Value) -> Layout:
    """The layout of an observation as it was given, where nothing says what it may be.

    Raises:
        FourfoldError: something in it is neither numbers nor a dictionary or tuple of them.
    """
    return Layout.of(_value_parts(value, ""), "o")


def _value_parts(value: Value, path: str) -> list[Part]:
    if isinstance(value, Mapping | tuple):
        items = value.items() if isinstance(value, Mapping) else enumerate(value)
        return [part for key, item in items for part in _value_parts(item, _below(path, key))]
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise FourfoldError(f"the observation{f'[{path!r}]' if path else ''} is {type(value).__name__}: must be "
                            "numbers, or a dictionary or tuple of them")
    return [Part(path=path, kind="picture" if is_picture(array.dtype, array.shape) else "numbers", shape=array.shape)]


def is_picture(dtype: object, shape: tuple[int, ...]) -> bool:
    """Whether an array of this type and shape is taken for a picture."""
    if dtype != np.uint8 or len(shape) not in (2, 3):
        return False
    return min(shape) >= 8 if len(shape) == 2 else 1 <= shape[-1] <= 4 or 1 <= shape[0] <= 4


def of_space(space: Any, alone: str) -> Layout:
    """The layout of a gymnasium space; `alone`: what numbers are called that stand in no dictionary.

    Raises:
        FourfoldError: a kind of space that has no fixed number of numbers.
    """
    return Layout.of(_space_parts(space, ""), alone)


def _space_parts(space: Any, path: str) -> list[Part]:
    from gymnasium import spaces

    if isinstance(space, spaces.Dict | spaces.Tuple):
        items = space.spaces.items() if isinstance(space, spaces.Dict) else enumerate(space.spaces)
        return [part for key, item in items for part in _space_parts(item, _below(path, key))]
    if isinstance(space, spaces.Box):
        shape = tuple(int(size) for size in space.shape)
        return [Part(path=path, kind="picture" if is_picture(space.dtype, shape) else "numbers", shape=shape)]
    if isinstance(space, spaces.Discrete):
        return [Part(path=path, kind="choice", shape=(int(space.n),), start=int(space.start))]
    if isinstance(space, spaces.MultiDiscrete) and space.nvec.ndim == 1:
        return [Part(path=path, kind="choices", shape=tuple(space.nvec.tolist()))]
    if isinstance(space, spaces.MultiBinary) and len(space.shape) == 1:
        return [Part(path=path, kind="choices", shape=(2,) * int(space.shape[0]))]
    raise FourfoldError(f"the space{f' {path!r}' if path else ''} is {type(space).__name__}: must be Box, Discrete, "
                        "MultiDiscrete, MultiBinary, or Dict or Tuple of them")


def _below(path: str, key: object) -> str:
    return f"{path}/{key}" if path else str(key)
