"""Groups of equal and nearly equal items, so that `core.data.splits.split` keeps each group on one side."""

from __future__ import annotations

import hashlib
import logging
import math
import re
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch

from core.data.splits import FEW, LARGEST
from core.data.unfinished import spans, unread
from core.waiting import followed, waiting

MOST_PAIRS = 2**31  # of arrays whose parts are compared: some minutes' work
MOST_PARTS = 2**27  # numbers, half a GiB: of more arrays fewer parts are compared before the arrays themselves
PARTS, FINER = 64, 12  # means that stand for an array while pairs are looked for, and how many make up each
MANY = 0.1  # pairs of near parts, of all: of pictures of noise, whose parts must be smaller to tell them apart
ROWS = 256  # arrays that are compared with all others at once
AT_ONCE = 2**22  # numbers of arrays that are compared in full at once
SENTENCE = 20  # characters of a sentence that says something
COMMON = 50  # texts that may share a sentence; one that more have is a phrase, a licence

log = logging.getLogger(__name__)


def groups_of(arrays: np.ndarray, tolerance: float = 8.0) -> np.ndarray:
    """Group numbers `[N]` (int64) of uint8 arrays `[N, ...]`: the index of the first array of the group.

    Arrays whose mean absolute difference is at most `tolerance` levels are of one group, as are the ends of a chain
    of such arrays. A group of more than a fifth of all, as there may be where pictures are mostly background, is
    taken apart with a quarter of the tolerance, then a sixteenth, then none, and that is said.

    Of more than some ten thousand arrays each is compared with those of nearest mean only, which is said too.
    """
    return Likeness(arrays).groups(tolerance)


class Likeness:
    """What of uint8 arrays `[N, ...]` is looked at to find near copies, taken in one pass: they may be on disk.

    Attributes:
        different: places of the different arrays `[M]`, in order; `place`: which of them each array equals `[N]`.
        parts: means of parts of each array, float32 `[N, P]`, in shares of their sum, `means`: float64 `[N]`.
    """

    def __init__(self, arrays: np.ndarray) -> None:
        self.arrays = arrays
        size = math.prod(arrays.shape[1:])
        finer = FINER if len(arrays) * PARTS * FINER <= MOST_PARTS else FINER // 3
        edges = np.unique(np.linspace(0, size, PARTS * finer, endpoint=False, dtype=np.int64))
        self.parts = np.zeros((len(arrays), PARTS * finer), np.float32)
        self.means = np.zeros(len(arrays))
        digests = np.zeros(len(arrays), "V16")
        with waiting("looking for near copies", len(arrays)) as wait:
            for some in spans(len(arrays), size):
                block = np.ascontiguousarray(unread(arrays)[some]).reshape(-1, size)
                digests[some] = [np.void(hashlib.blake2b(row.data, digest_size=16).digest()) for row in block]
                parts = np.add.reduceat(block, edges, axis=1, dtype=np.int64)
                self.parts[some, : len(edges)] = parts
                self.parts[some] /= size
                self.means[some] = self.parts[some].sum(axis=1, dtype=np.float64)
                wait.step(some.stop)
        _, first, place = np.unique(digests, return_index=True, return_inverse=True)
        in_order = np.argsort(first)  # of the different arrays: as they first come
        self.different, self.place = first[in_order], np.argsort(in_order)[place.reshape(-1)]

    def groups(self, tolerance: float) -> np.ndarray:
        """See `groups_of`."""
        different, place = self.different, self.place
        groups = self._near(different, tolerance)
        limit = max(FEW, LARGEST * len(place))
        for share in (1 / 4, 1 / 16, 0):
            large = _large(groups, place, limit)
            if not large:
                break
            log.warning("a group of %s near copies among %s items is taken apart: those within %g levels stay together",
                        f"{large[0][1]:,}", f"{len(place):,}", share * tolerance)
            for group, _ in large:
                rows = np.flatnonzero(groups == group)
                groups[rows] = rows[self._near(different[rows], share * tolerance)] if share else rows
        return np.asarray(different[groups][place])

    def _near(self, chosen: np.ndarray, tolerance: float) -> np.ndarray:
        """For each of the `chosen` arrays `[M]` the place in `chosen` of the first of its group."""
        labels = np.arange(len(chosen))
        members = {label: [label] for label in range(len(chosen))}
        size = math.prod(self.arrays.shape[1:])
        ones = np.ones(size, np.float32)
        for place, candidates in self._candidates(chosen, tolerance, labels):
            row = self.arrays[chosen[place]].reshape(-1)
            step = max(1, AT_ONCE // len(row))
            for start in range(0, len(candidates), step):
                part = candidates[start : start + step]
                part = part[labels[part] != labels[place]]
                rows = self.arrays[chosen[part]].reshape(-1, size)
                differences = (np.maximum(rows, row) - np.minimum(rows, row)).astype(np.float32) @ ones
                for other in np.unique(labels[part[differences <= tolerance * len(row)]]):
                    small, large = sorted((int(other), int(labels[place])), key=lambda label: len(members[label]))
                    moved = members.pop(small)
                    labels[moved] = large
                    members[large] += moved
        for places in members.values():
            labels[places] = min(places)
        return labels

    def _candidates(
        self, chosen: np.ndarray, tolerance: float, labels: np.ndarray
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Places in `chosen`, each with those of arrays that may be within the tolerance; each pair comes once at most.

        Left out are those of equal `labels`, which may change between two of them.

        The mean absolute difference of two arrays is at least that of the means of their parts, and that at least the
        difference of their means: arrays are sorted by their means, and only neighbours' parts are compared.
        """
        by_mean = np.argsort(self.means[chosen], kind="stable")
        means, parts = self.means[chosen[by_mean]], self.parts[chosen[by_mean]]
        middle = torch.from_numpy(parts.reshape(len(parts), PARTS * 4, -1).sum(axis=2))
        coarse = middle.reshape(len(parts), PARTS, 4).sum(dim=2)
        bound = tolerance + 0.01  # float32
        reach, cut = max(ROWS, MOST_PAIRS // max(1, len(chosen))), 0
        for start in followed(range(0, len(chosen), ROWS), f"comparing near copies of {len(chosen):,}"):
            rows = coarse[start : start + ROWS]
            last = int(np.searchsorted(means, means[start + len(rows) - 1] + bound, side="right"))
            cut += last > start + len(rows) + reach
            last = min(last, start + len(rows) + reach)
            near = torch.cdist(rows, coarse[start:last], p=1).le_(bound).numpy().astype(bool)
            if near.mean() > MANY:
                some = middle[start : start + ROWS]
                near &= torch.cdist(some, middle[start:last], p=1).le_(bound).numpy().astype(bool)
            for row, columns in enumerate(near, start):
                found = row + 1 + np.flatnonzero(columns[row + 1 - start :])
                found = found[labels[by_mean[found]] != labels[by_mean[row]]]
                found = found[np.abs(parts[found] - parts[row]).sum(axis=1) <= bound]
                if len(found):
                    yield int(by_mean[row]), by_mean[found]
        if cut:
            log.warning("of %s different items each is compared with the %s of nearest mean only: near copies of other "
                        "brightness may be overlooked", f"{len(chosen):,}", f"{reach:,}")


def plain(text: str) -> str:
    """A text's words, without case, punctuation and white space; the text itself where it has no word."""
    return " ".join(re.findall(r"\w+", text.casefold())) or text


def groups_of_texts(texts: Iterable[str]) -> np.ndarray:
    """Group numbers `[N]` (int64) of texts: the index of the first text of the group.

    Texts of the same words are of one group, as are two of which one shares half of its sentences with the other, and
    the ends of a chain of such texts. Where that gives a group of more than a fifth of all, which is said, only texts
    of the same words stay together in it.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    words: dict[bytes, int] = {}
    same_as, counts, hashes = list[int](), list[int](), list[np.ndarray]()
    for index, text in enumerate(followed(texts, "comparing texts")):
        same_as.append(words.setdefault(_digest(plain(text)), index))
        fresh = same_as[-1] == index
        sentences = {_digest(plain(part)) for part in re.split(r"[.!?\n]+", text) if fresh and len(part) >= SENTENCE}
        counts.append(len(sentences))
        hashes.append(np.frombuffer(b"".join(sentences), np.uint64))
    same, size = np.array(same_as), len(same_as)
    holder = np.repeat(np.arange(size), counts)
    sentence = np.concatenate(hashes)
    ordered = np.argsort(sentence, kind="stable")
    sentence, holder = sentence[ordered], holder[ordered]
    _, run, held_by = np.unique(sentence, return_inverse=True, return_counts=True)
    rare = held_by[run] <= COMMON
    sentence, holder = sentence[rare], holder[rare]
    shared = np.zeros(0, np.int64)  # pairs, as one number each, for every sentence that they share
    for apart in range(1, COMMON):
        both = np.flatnonzero(sentence[:-apart] == sentence[apart:])
        if not len(both):
            break
        shared = np.concatenate([shared, holder[both] * size + holder[both + apart]])
    pairs, times = np.unique(shared, return_counts=True)
    a, b = pairs // size, pairs % size
    fewest = np.minimum(np.array(counts)[a], np.array(counts)[b])
    alike = 2 * times >= fewest
    rows, columns = np.concatenate([a[alike], same]), np.concatenate([b[alike], np.arange(size)])
    _, labels = connected_components(coo_matrix((np.ones(len(rows)), (rows, columns)), (size, size)), directed=False)
    _, first_of, inverse = np.unique(labels, return_index=True, return_inverse=True)
    groups = first_of[inverse]
    for group, items in enumerate(np.bincount(groups).tolist()):
        if items > max(FEW, LARGEST * size) and len(np.unique(same[groups == group])) > 1:
            log.warning("%s of %s texts share many sentences: only those of the same words are taken for copies",
                        f"{items:,}", f"{size:,}")
            groups = np.where(groups == group, same, groups)
    return np.asarray(groups)


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest()


def told(
    groups: Sequence[int] | np.ndarray, what: str, are: str = "are copies or near copies of each other"
) -> list[str]:
    """A line on how many of the items share a group with others; none where each is a group of its own."""
    _, sizes = np.unique(np.asarray(groups), return_counts=True)
    sizes = sizes[sizes > 1]
    if not len(sizes):
        return []
    return [f"{sizes.sum():,} of {len(groups):,} {what} {are}, in {len(sizes):,} group{'' if len(sizes) == 1 else 's'} "
            f"of up to {sizes.max():,}; a group lies in one split"]


def _large(groups: np.ndarray, place: np.ndarray, limit: float) -> list[tuple[int, int]]:
    """Groups of different arrays that stand for more than `limit` items, and for how many, largest first.

    Args:
        groups: `[M]`, of the different arrays.
        place: `[N]`, which of them each item equals.
    """
    several = np.bincount(groups, minlength=len(groups)) > 1
    items = np.bincount(groups[place], minlength=len(groups))
    return sorted(((int(group), int(items[group])) for group in np.flatnonzero(several & (items > limit))),
                  key=lambda pair: -pair[1])
