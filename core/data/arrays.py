"""Prepared data as (memory-mapped) numpy arrays, batches of them, and the stateless order of training.

Arrays stay numpy, in their compact integer dtypes and on disk, until a batch is made of them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from core.batches import Batch
from core.errors import FourfoldError
from core.spaces import Continuous, Discrete, Space

ROUNDS = 8
"""Of the Feistel network in `permuted`: four are said to do, more cost little."""

CHECKED_AT_ONCE = 2**26
"""Numbers up to which an array is checked when it is given; larger ones are checked batch by batch."""

TABLE = 2**20
"""Examples up to which an epoch's order is a table; the places of more are computed one by one."""

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
    """float32 for floats, int64 for integers and booleans; pictures `[B, C, H, W]` of bytes stay bytes."""
    if values.dtype == np.uint8 and values.ndim == 4:
        return torch.from_numpy(np.ascontiguousarray(values))
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
    rows: np.ndarray = batches[order(seed, bucket, BUCKET)[place]]
    return rows


def _in_order(seed: int, start: int, count: int, n: int) -> np.ndarray:
    """The examples `[count]` from position `start` on, epoch after epoch."""
    positions = np.arange(start, start + count)
    epochs = positions // n
    parts = []
    for epoch in range(epochs[0], epochs[-1] + 1):
        places = positions[epochs == epoch] % n
        parts.append(order(seed, epoch, n)[places] if n <= TABLE else permuted(seed, epoch, n, places))
    return np.concatenate(parts)


def permuted(seed: int, epoch: int, n: int, places: np.ndarray) -> np.ndarray:
    """What stands at `places` (int64, any shape, in [0, n)) of a keyed permutation of [0, n), n at least 2; no table.

    A Feistel network, of which each round adds a keyed hash of one half of the bits to the other half, permutes the
    numbers of as many bits as n - 1 has; what falls outside [0, n) goes through it again until it does not (cycle
    walking; Black & Rogaway, Ciphers with arbitrary finite domains, 2002). On average that takes less than two turns.
    """
    keys = np.random.Generator(np.random.Philox(key=np.array([seed % 2**64, epoch], np.uint64))).integers(
        2**64, size=ROUNDS, dtype=np.uint64)
    bits = max(2, (n - 1).bit_length())
    low = np.uint64(bits // 2)
    high = np.uint64(bits) - low
    found = np.array(places, np.uint64).reshape(-1)
    outside = np.arange(len(found))
    while len(outside):
        values = found[outside]
        left, right = values >> low, values & ((np.uint64(1) << low) - np.uint64(1))
        for turn in range(0, ROUNDS, 2):
            left ^= _hashed(right, keys[turn]) >> (np.uint64(64) - high)
            right ^= _hashed(left, keys[turn + 1]) >> (np.uint64(64) - low)
        values = left << low | right
        found[outside] = values
        outside = outside[values >= n]
    return found.astype(np.int64).reshape(np.shape(places))


def _hashed(values: np.ndarray, key: np.uint64) -> np.ndarray:
    """64 well-mixed bits of each value and the key (the finaliser of SplitMix64, Steele et al. 2014)."""
    mixed = values + key
    mixed = (mixed ^ mixed >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ mixed >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return np.asarray(mixed ^ mixed >> np.uint64(31))
