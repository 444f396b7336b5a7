"""Prepared data as (memory-mapped) numpy arrays, batches of them, and the stateless order of training.

Arrays stay numpy, in their compact integer dtypes and on disk, until a batch is made of them.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core.errors import FourfoldError
from core.space import Batch, Continuous, Discrete, Space

CHECKED_AT_ONCE = 2**26
"""Numbers up to which an array is checked when it is given; larger ones are checked batch by batch."""

BUCKET = 64
"""Batches among which examples of like size are brought together."""


@dataclass(frozen=True)
class ArrayData:
    """Examples as arrays that share their first axis.

    Attributes:
        space: what `x` is an array of.
        x: `[N, *shape]` floats, or integer level indices in [0, levels), for Continuous;
            `[N, length]` integers in [0, vocab) for Discrete.
        condition: arrays `[N, ...]` by name: integers (classes, tokens) or floats (vectors).
        lengths: `[N]` tokens that count in each row (eos included), for Discrete of variable length.
        condition_lengths: `[N]` tokens that count of a condition `[N, S]`, by its name: batches are trimmed likewise.
        vary: changes each batch that `batch` makes, with random draws from the generator it is given: dynamic
            binarisation, degraded copies to learn restoring from. `space` is that of x before it.

    Raises:
        FourfoldError: shapes that disagree with the space or each other, NaN or infinite values, values out of range.
    """

    space: Space
    x: np.ndarray
    condition: Mapping[str, np.ndarray] = field(default_factory=dict)
    lengths: np.ndarray | None = None
    vary: Callable[[Batch, torch.Generator], Batch] | None = None
    condition_lengths: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shape = self.space.shape if isinstance(self.space, Continuous) else (self.space.length,)
        if self.x.ndim < 1 or tuple(self.x.shape[1:]) != tuple(shape):
            raise FourfoldError(f"data x has shape {self.x.shape}: its space needs [N, {', '.join(map(str, shape))}]")
        integer = self.x.dtype.kind in "iub"
        if not integer and (isinstance(self.space, Discrete) or self.x.dtype.kind != "f"):
            needs = "integers" if isinstance(self.space, Discrete) else "numbers"
            raise FourfoldError(f"data x is of type {self.x.dtype}: its space needs {needs}")
        if isinstance(self.space, Continuous) and integer and self.space.levels is None:
            raise FourfoldError(f"data x is of type {self.x.dtype}: whole numbers need a space with levels")
        for name, values in self._beside().items():
            if len(values) != len(self.x):
                raise FourfoldError(f"data {name!r} has {len(values)} entries for {len(self.x)} examples")
            if values.dtype.kind not in "iubf":
                raise FourfoldError(f"data {name!r} is of type {values.dtype}: must be numbers")
        if self.lengths is not None and len(self.lengths):
            low, high = int(self.lengths.min()), int(self.lengths.max())
            if low < 1 or high > self.x.shape[1]:
                raise FourfoldError(f"data 'lengths' go from {low} to {high}: must be in [1, {self.x.shape[1]}]")
        self._check_all()

    def _beside(self) -> dict[str, np.ndarray]:
        """The arrays beside x."""
        lengths = {} if self.lengths is None else {"lengths": self.lengths}
        return {**self.condition, **lengths, **{f"{name} lengths": v for name, v in self.condition_lengths.items()}}

    @functools.cached_property
    def sizes(self) -> np.ndarray | None:
        """How many tokens each example has in all `[N]`; None where all have as many."""
        counts = [*([] if self.lengths is None else [self.lengths]), *self.condition_lengths.values()]
        return np.sum([np.asarray(count, np.int64) for count in counts], axis=0) if counts else None

    def _check_all(self) -> None:
        """Check what is cheap to check at once, in chunks that fit the processor's cache."""
        if self.x.size <= CHECKED_AT_ONCE:
            rows = max(1, 2**22 // max(1, self.x[:1].size))
            for start in range(0, len(self.x), rows):
                self._check("x", self.x[start : start + rows], start)
        for name, values in self.condition.items():
            self._check(name, values, 0)

    def __len__(self) -> int:
        return len(self.x)

    def _check(self, name: str, values: np.ndarray, first: int | np.ndarray) -> None:
        """Refuse numbers that training cannot use; `first`: index of the first example, or of each."""
        if not values.size:
            return
        if values.dtype.kind == "f":
            with np.errstate(over="ignore", invalid="ignore"):
                if np.isfinite(values.sum(dtype=np.float64)):  # one cheap pass; the exact look only on suspicion
                    return
            bad = ~np.isfinite(values).reshape(len(values), -1).all(axis=1)
            reason = "not a number or infinite"
        elif name == "x":
            limit = self.space.levels if isinstance(self.space, Continuous) else self.space.vocab
            if limit is None or (values.min() >= 0 and values.max() < limit):
                return
            bad = ((values < 0) | (values >= limit)).reshape(len(values), -1).any(axis=1)
            reason = f"outside [0, {limit})"
        else:
            return
        if bad.any():
            row = int(bad.argmax())
            example = int(first[row]) if isinstance(first, np.ndarray) else first + row
            raise FourfoldError(f"data {name!r} of example {example} holds values that are {reason}")

    def batch(self, indices: np.ndarray | Sequence[int], seed: int = 0) -> Batch:
        """The examples at `indices` `[B]`, as tensors in memory.

        Continuous x is float32; level indices i become `2 i / (levels - 1) - 1`. Discrete x is int64; with
        `lengths` it is trimmed to the batch's longest row and `mask` is True on tokens that count.
        `seed` is of the draws of `vary`.
        """
        indices = np.asarray(indices, dtype=np.int64)
        lengths = None if self.lengths is None else np.asarray(self.lengths)[indices].astype(np.int64)
        rows = self.x if lengths is None or not len(lengths) else self.x[:, : lengths.max()]
        values = rows[indices]
        if self.x.size > CHECKED_AT_ONCE:
            self._check("x", values, indices)
        condition = {}
        for name, array in self.condition.items():
            taken = np.asarray(array)[indices]
            if name in self.condition_lengths and len(indices):
                taken = taken[:, : self.condition_lengths[name][indices].max()]
            condition[name] = _tensor(taken)
        x = _tensor(values)
        if isinstance(self.space, Continuous) and not x.is_floating_point() and self.space.levels is not None:
            x = x.to(torch.float32).mul_(2 / (self.space.levels - 1)).sub_(1)
        mask = None
        if lengths is not None:
            mask = torch.arange(x.shape[1]) < torch.from_numpy(lengths)[:, None]
        made = Batch(x, condition, mask)
        return made if self.vary is None else self.vary(made, torch.Generator().manual_seed(seed))

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """Every example once, in order; the last batch may be smaller."""
        for start in range(0, len(self), batch_size):
            yield self.batch(np.arange(start, min(start + batch_size, len(self))))

    def subset(self, rows: slice | np.ndarray | Sequence[int]) -> ArrayData:
        """Some of the examples: a slice is a view, indices are copied."""
        pick = rows if isinstance(rows, slice) else np.asarray(rows)
        return replace(
            self,
            x=self.x[pick],
            condition={name: np.asarray(values)[pick] for name, values in self.condition.items()},
            lengths=None if self.lengths is None else np.asarray(self.lengths)[pick],
            condition_lengths={name: np.asarray(values)[pick] for name, values in self.condition_lengths.items()},
        )


def _tensor(values: np.ndarray) -> Tensor:
    """float32 for floats, int64 for integers and booleans."""
    kind = np.float32 if values.dtype.kind == "f" else np.int64
    return torch.from_numpy(np.ascontiguousarray(values, dtype=kind))


def windows(tokens: np.ndarray, length: int, stride: int | None = None) -> np.ndarray:
    """Windows `[N, length]` over a token stream `[T]`, every `stride` (default: `length`) tokens; a view, no copy.

    Raises:
        FourfoldError: the stream is shorter than one window.
    """
    if len(tokens) < length:
        raise FourfoldError(f"the data have {len(tokens)} tokens: one window needs {length}")
    return np.lib.stride_tricks.sliding_window_view(np.asarray(tokens), length)[:: stride or length]


@functools.lru_cache(maxsize=4)
def order(seed: int, epoch: int, n: int) -> np.ndarray:
    """The order `[n]` (int64, read-only) of `n` examples in an epoch: a pure function of its arguments."""
    # Philox is keyed, so (seed, epoch) name a stream directly; the seed may be any 64-bit number.
    key = np.array([seed % 2**64, epoch], dtype=np.uint64)
    permutation = np.random.Generator(np.random.Philox(key=key)).permutation(n)
    permutation.flags.writeable = False
    return permutation


def indices_of_step(
    seed: int, step: int, batch_size: int, n: int, sizes: np.ndarray | None = None
) -> np.ndarray:
    """The `[batch_size]` examples of optimiser step `step`; epochs follow each other without a gap.

    With the `sizes` `[n]` of examples those of a batch are about as long as each other, so that little of it is
    padding: of every `BUCKET` steps' examples, sorted by size, each step takes a batch, in random order.

    Raises:
        FourfoldError: there are no examples.
    """
    if n < 1:
        raise FourfoldError("the training data are empty: nothing to learn from")
    if sizes is None:
        return _in_order(seed, step * batch_size, batch_size, n)
    bucket, place = divmod(step, BUCKET)
    together = _in_order(seed, bucket * BUCKET * batch_size, BUCKET * batch_size, n)
    batches = together[np.argsort(sizes[together], kind="stable")].reshape(BUCKET, batch_size)
    return batches[order(seed, bucket, BUCKET)[place]]


def _in_order(seed: int, start: int, count: int, n: int) -> np.ndarray:
    """The examples `[count]` from position `start` on, epoch after epoch."""
    positions = np.arange(start, start + count)
    epochs = positions // n
    parts = [order(seed, int(epoch), n)[positions[epochs == epoch] % n] for epoch in range(epochs[0], epochs[-1] + 1)]
    return np.concatenate(parts)


def cached(key_parts: Sequence[Any], make: Callable[[], Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The arrays that `make` returns, memory-mapped from the cache; `make` runs only the first time.

    Args:
        key_parts: all that the arrays depend on: numbers, text, frozen dataclasses, arrays, and `Path`s of files or
            folders, which count by their contents. Include a version number of the code that makes them.
        make: name -> array (no object arrays).

    Raises:
        FourfoldError: the cache cannot be written.
    """
    from core.data.sources import cache_folder

    home = cache_folder() / "arrays" / content_hash(*key_parts)
    try:
        return _mapped(home)
    except (OSError, ValueError, EOFError):  # not there, or cut short, say by a full disk
        pass
    arrays = make()
    try:
        _store(home, arrays)
        return _mapped(home)
    except OSError as error:
        raise FourfoldError(f"cannot write the cache {home.parent}: {error.strerror}; "
                            "point $FOURFOLD_CACHE at a writable folder") from error


def _store(home: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write `arrays` as the folder `home`, which appears in full or not at all."""
    shutil.rmtree(home, ignore_errors=True)
    home.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".tmp-", dir=home.parent) as scratch:
        ready = Path(scratch) / home.name
        ready.mkdir()
        for name, array in arrays.items():
            np.save(ready / f"{name}.npy", array, allow_pickle=False)
        (ready / "names.json").write_text(json.dumps(list(arrays)))
        try:
            os.rename(ready, home)
        except OSError:
            if not home.is_dir():  # else another process was faster, and its arrays are as good
                raise


def _mapped(home: Path) -> dict[str, np.ndarray]:
    """The arrays in `home`, mapped; small ones are read (empty ones cannot be mapped)."""
    arrays = {}
    for name in json.loads((home / "names.json").read_text()):
        path = home / f"{name}.npy"
        arrays[name] = np.load(path, mmap_mode="r" if path.stat().st_size > 4096 else None, allow_pickle=False)
    return arrays


def content_hash(*parts: Any) -> str:
    """A name (32 hexadecimal digits) for contents: paths by their bytes, arrays by their numbers, others by repr."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        if isinstance(part, Path):
            files = sorted(p for p in part.rglob("*") if p.is_file()) if part.is_dir() else [part]
            for file in files:
                digest.update(str(file.relative_to(part)).encode() + b"\0")
                with open(file, "rb") as stream:
                    digest.update(hashlib.file_digest(stream, "blake2b").digest())
        elif isinstance(part, np.ndarray):
            digest.update(f"{part.dtype}{part.shape}".encode())
            digest.update(np.ascontiguousarray(part).data)
        else:
            digest.update(repr(part).encode())
        digest.update(b"\1")
    return digest.hexdigest()
