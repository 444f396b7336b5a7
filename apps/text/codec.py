"""Texts <-> batches of tokens; saved with the model."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from apps.text.tokenizers import Tokenizer, made_of
from core.batches import Batch
from core.conditions import ClassCondition, ConditionSpec, SequenceCondition
from core.errors import FourfoldError, require
from core.networks.carrying import Sources
from core.runs.codec import Codec
from core.spaces import Discrete

BETWEEN_DOCUMENTS = "\n\n"  # what a document's end looks like in decoded text


@dataclass(frozen=True, kw_only=True)
class TextCodec(Codec[str]):
    """Text <-> ids; the last id of the vocabulary ends a document, a line or a target.

    Attributes:
        length: tokens in a window of a stream of documents; of lines and targets, the most, the end included.
        histogram: the share of training lines of 1, 2, ... `length` tokens; None for a stream.
        source_length: the most tokens of the source that a target is made of; 0 where there is none.
        label_names: the classes of documents; empty without labels.
    """

    tokenizer: Tokenizer
    length: int
    histogram: tuple[float, ...] | None = None
    source_length: int = 0
    label_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        require(self.length >= 1, "length", self.length, "must be at least 1")
        require(self.source_length >= 0, "source_length", self.source_length, "must be at least 0")
        sizes = self.length if self.histogram is None else len(self.histogram)
        require(sizes == self.length, "histogram", sizes, f"must have {self.length} entries")

    @property
    def end(self) -> int:
        """The id after a document's last token."""
        return self.tokenizer.size

    @property
    def space(self) -> Discrete:
        vocab = self.tokenizer.size + 1
        if self.histogram is None:
            return Discrete(length=self.length, vocab=vocab)
        return Discrete(length=self.length, vocab=vocab, eos=self.end, length_histogram=self.histogram)

    @property
    def conditions(self) -> Mapping[str, ConditionSpec]:
        """The source, where targets have one: tokens padded with `end`; the label, where documents have one."""
        if not self.source_length:
            return {"label": ClassCondition(names=self.label_names)} if self.label_names else {}
        return {"source": SequenceCondition(length=self.source_length, vocab=self.tokenizer.size + 1, pad=self.end)}

    def made_of(self, old: TextCodec) -> Mapping[str, Sources]:
        tokens = [*made_of(self.tokenizer, old.tokenizer), (old.end,)]
        return {"tokens": tokens, "source": tokens}

    @property
    def id_type(self) -> type:
        """What ids are kept as."""
        return np.uint16 if self.space.vocab <= 2**16 else np.int32

    @functools.cached_property
    def byte_counts(self) -> np.ndarray:
        """Bytes of text that each id of the space stands for, float64 `[vocab]`; a document's end has none."""
        return np.append(self.tokenizer.byte_counts(), 0.0)

    def tokens(self, text: str) -> np.ndarray:
        """Ids of a text of any length, int64 `[T]`."""
        try:
            text.encode()
        except UnicodeEncodeError as error:  # a lone surrogate, as a broken command line makes
            raise FourfoldError(f"the text is not valid Unicode at character {error.start}: give UTF-8") from None
        return np.array(self.tokenizer.encode(text), np.int64)

    def text(self, ids: Iterable[int]) -> str:
        """The text of ids; documents' ends become an empty line."""
        documents: list[list[int]] = [[]]
        for i in ids:
            if i == self.end:
                documents.append([])
            else:
                documents[-1].append(i)
        return BETWEEN_DOCUMENTS.join(self.tokenizer.decode(document) for document in documents)

    def encode(self, items: Sequence[str]) -> Batch:
        """Texts -> batch, padded with the end symbol and masked; a line's end is a token that counts.

        Raises:
            FourfoldError: a text is empty or longer than a window.
        """
        ends = [] if self.histogram is None else [self.end]
        rows = [np.append(self.tokens(item), ends).astype(np.int64) for item in items]
        for item, row in zip(items, rows, strict=True):
            if not 1 + len(ends) <= len(row) <= self.length:
                raise FourfoldError(f"the text {item[:40]!r} has {len(row) - len(ends)} tokens: must have 1 to "
                                    f"{self.length - len(ends)}")
        x = torch.full((len(rows), max(map(len, rows), default=0)), self.end)
        mask = torch.zeros_like(x, dtype=torch.bool)
        for i, row in enumerate(rows):
            x[i, : len(row)], mask[i, : len(row)] = torch.from_numpy(row), True
        return Batch(x, {}, None if bool(mask.all()) else mask)

    def decode(self, batch: Batch) -> list[str]:
        """Batch -> texts; of lines, each up to its first end."""
        rows = batch.x.tolist()
        if batch.mask is not None:
            rows = [row[keep].tolist() for row, keep in zip(batch.x, batch.mask, strict=True)]
        if self.histogram is not None:
            rows = [row[: row.index(self.end)] if self.end in row else row for row in rows]
        return [self.text(row) for row in rows]

    def encode_sources(self, texts: Sequence[str], *, cut: bool = False) -> torch.Tensor:
        """Sources as tokens `[N, source_length]`, padded with `end`.

        Raises:
            FourfoldError: a text is empty, or too long and not to be `cut`.
        """
        rows = [self.tokens(text) for text in texts]
        made = torch.full((len(rows), self.source_length), self.end)
        for text, row, place in zip(texts, rows, made, strict=True):
            if not len(row):
                raise FourfoldError("a source is empty: give it text")
            if len(row) > self.source_length and not cut:
                raise FourfoldError(f"the source {text[:40]!r} has {len(row)} tokens: this model reads "
                                    f"{self.source_length}; give it in parts")
            place[: len(row)] = torch.from_numpy(row[: self.source_length])
        return made
