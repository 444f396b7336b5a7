"""Arrays larger than memory, made job by job in all cores; what an interrupted process has made is not made again."""

from __future__ import annotations

import json
import logging
import math
import mmap
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np

from core.files import sealed, unsealed, writing
from core.runtime import cpu_count
from core.serialization import Json
from core.waiting import waiting

Job = TypeVar("Job")
Made = TypeVar("Made")
Part = tuple[Mapping[str, np.ndarray], Json]
"""What is made of a job: rows of each array, by name, and a note, which is a JSON object."""

Make = Callable[..., tuple[dict[str, np.ndarray], list[Json]]]
"""`Unfinished.make` with its name given, or `in_memory`."""

WORTH = 60.0
"""Seconds of work from which on it is shared among processes, whose start takes seconds."""
MOST = 16
"""Processes at most: each takes 0.1 to 0.3 GB."""
SAVED = 5.0
"""Seconds after which what is made is on disk for good."""
AT_ONCE = 2**24
"""Bytes of rows that are copied at once."""

log = logging.getLogger(__name__)


class Unfinished:
    """Arrays in the making in a folder of their own: of each kind of work there are files that grow, and a journal."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def make(
        self, name: str, work: Callable[[Job], Part], jobs: Sequence[Job], *, what: str,
        sizes: Sequence[int] | None = None,
    ) -> tuple[dict[str, np.ndarray], list[Json]]:
        """The rows that `work` makes of all jobs, one after the other, as memory-mapped arrays; and all notes.

        An earlier process' rows are taken over: `work` must be a pure function, and work and jobs the same for the same
        folder. Both are pickled where other processes share the work.

        Args:
            name: of this work, in file names.
            jobs: at least one, of about a second's work each; every job makes the same arrays.
            what: they are doing, "reading pictures"; sizes: how many items each job has, to tell how far it is.

        Raises:
            FourfoldError: the disk is full; what `work` raises.
        """
        sizes = sizes or [1] * len(jobs)
        with writing(self.folder), ExitStack() as held, waiting(what, sum(sizes)) as wait:
            self.folder.mkdir(parents=True, exist_ok=True)
            journal = _Journal(self.folder / name)
            held.callback(journal.close)
            wait.skip(done := sum(sizes[: journal.done]))
            if 0 < journal.done < len(jobs):
                log.warning("%s: goes on at %s of %s, where an earlier process stopped", what, f"{done:,}",
                            f"{wait.total:,}")
            for size, part in zip(sizes[journal.done :], in_parallel(work, jobs[journal.done :]), strict=True):
                journal.add(part)
                wait.step(wait.done + size)
            journal.save()
            return journal.arrays(), journal.notes


def in_memory(
    work: Callable[[Job], Part], jobs: Sequence[Job], *, what: str, sizes: Sequence[int] | None = None
) -> tuple[dict[str, np.ndarray], list[Json]]:
    """`Unfinished.make` of what is small, and kept nowhere."""
    sizes, rows, notes = sizes or [1] * len(jobs), dict[str, list[np.ndarray]](), []
    with waiting(what, sum(sizes)) as wait:
        for size, (arrays, note) in zip(sizes, in_parallel(work, jobs), strict=True):
            for name, some in arrays.items():
                rows.setdefault(name, []).append(some)
            notes.append(note)
            wait.step(wait.done + size)
    return {name: np.concatenate(some) for name, some in rows.items()}, notes


class _Journal:
    """Files that grow, and how far each was when they were last saved."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.done, self.notes = 0, list[Json]()
        self.kinds: dict[str, tuple[str, list[int]]] = {}  # type, and shape of all rows
        self.streams: dict[str, BinaryIO] = {}
        self.saved, self.told = time.monotonic(), 0
        kept = self._read()
        self.lines = open(path.with_suffix(".journal"), "r+b" if kept else "w+b")  # noqa: SIM115
        self.lines.truncate(kept)
        self.lines.seek(kept)
        for name in self.kinds:
            self.streams[name] = open(self._file(name), "r+b")  # noqa: SIM115
            self.streams[name].truncate(self._bytes(name))
            self.streams[name].seek(0, os.SEEK_END)

    def add(self, part: Part) -> None:
        arrays, note = part
        for name, rows in arrays.items():
            if name not in self.streams:
                self.streams[name] = open(self._file(name), "w+b")  # noqa: SIM115
                self.kinds[name] = (rows.dtype.str, [0, *rows.shape[1:]])
            kind, shape = self.kinds[name]
            if (kind, shape[1:]) != (rows.dtype.str, list(rows.shape[1:])):
                raise ValueError(f"{name}: rows of {rows.dtype} {rows.shape[1:]} follow those of {kind} {shape[1:]}")
            self.streams[name].write(np.ascontiguousarray(rows).data)
            shape[0] += len(rows)
        self.notes.append(note)
        self.done += 1
        if time.monotonic() - self.saved > SAVED:
            self.save()

    def save(self) -> None:
        """Have the disk keep all rows, then the line that counts them."""
        for stream in self.streams.values():
            stream.flush()
            os.fsync(stream.fileno())
        line = {"done": self.done, "kinds": self.kinds, "notes": self.notes[self.told :]}
        self.lines.write(json.dumps(sealed(line)).encode() + b"\n")
        self.lines.flush()
        os.fsync(self.lines.fileno())
        self.saved, self.told = time.monotonic(), len(self.notes)

    def arrays(self) -> dict[str, np.ndarray]:
        found: dict[str, np.ndarray] = {}
        for name, (kind, shape) in self.kinds.items():
            some = self._bytes(name) > 0  # nothing cannot be mapped
            found[name] = np.memmap(self._file(name), np.dtype(kind), "r", 0, tuple(shape)) if some else np.empty(
                shape, np.dtype(kind))
        return found

    def close(self) -> None:
        for stream in [*self.streams.values(), self.lines]:
            stream.close()

    def _read(self) -> int:
        """Take over what is whole; how many bytes of the journal that is."""
        path, kept = self.path.with_suffix(".journal"), 0
        for text in path.read_bytes().splitlines(keepends=True) if path.is_file() else ():
            try:
                line = unsealed(json.loads(text))
            except ValueError:
                break
            self.done, self.notes = line["done"], self.notes + line["notes"]
            self.kinds = {name: (kind, shape) for name, (kind, shape) in line["kinds"].items()}
            kept += len(text)
        if not all(self._file(name).is_file() and self._file(name).stat().st_size >= self._bytes(name)
                   for name in self.kinds):
            self.done, self.notes, self.kinds, kept = 0, [], {}, 0
        self.told = len(self.notes)
        return kept

    def _file(self, name: str) -> Path:
        return self.path.with_name(f"{self.path.name}-{name}")

    def _bytes(self, name: str) -> int:
        kind, shape = self.kinds[name]
        return math.prod(shape) * np.dtype(kind).itemsize


def in_parallel(work: Callable[[Job], Made], jobs: Sequence[Job]) -> Iterator[Made]:
    """What `work` makes of each job, in order; in all cores where the first jobs show that it takes long."""
    spent, done = 0.0, 0
    for job in jobs:
        before = time.perf_counter()
        made = work(job)
        spent += time.perf_counter() - before if done else 0.0  # the first has to import and warm up
        done += 1
        yield made
        if cpu_count() > 1 and done > 1 and spent / (done - 1) * (len(jobs) - done) > WORTH:
            break
    rest, workers = jobs[done:], min(cpu_count(), MOST)
    if not rest:
        return
    from joblib.externals.loky import ProcessPoolExecutor  # unlike multiprocessing's it never runs the user's script

    executor = ProcessPoolExecutor(workers, initializer=quiet, env={"OMP_NUM_THREADS": "1"})
    pending: deque[Future[Made]] = deque()
    try:
        for job in rest:
            pending.append(executor.submit(work, job))
            if len(pending) > 2 * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()
        executor.shutdown()


def quiet() -> None:
    """Ctrl-C is for the process that gave the work."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@dataclass(frozen=True)
class Taken:
    """Some rows of a mapped array, in an order of their own, which are read only when they are written.

    Attributes:
        array: `[N, ...]`.
        rows: `[M]` places in it; None for all, as they stand.
    """

    array: np.ndarray
    rows: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.array if self.rows is None else self.rows)

    def blocks(self) -> Iterator[np.ndarray]:
        """The rows, some at a time."""
        for some in spans(len(self), self.array[:1].nbytes):
            yield unread(self.array)[some if self.rows is None else self.rows[some]]


def spans(count: int, size: int) -> Iterator[slice]:
    """Parts of `count` rows of `size` bytes each that fit in memory."""
    step = max(1, AT_ONCE // max(1, size))
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


def unread(array: np.ndarray) -> np.ndarray:
    """A mapped array mapped anew, as what was read of a mapping stays in memory; any other array itself."""
    if isinstance(array, np.memmap) and isinstance(array.base, mmap.mmap) and array.flags.c_contiguous:
        return np.memmap(array.filename, array.dtype, "r", array.offset, array.shape)
    return array
