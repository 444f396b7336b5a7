"""Text <-> tokens, without loss: characters, bytes, or pieces of sentencepiece; saved with the model."""

from __future__ import annotations

import base64
import functools
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch

from core.batches import Batch
from core.conditions import ConditionSpec, SequenceCondition
from core.errors import FourfoldError
from core.files import write_atomically
from core.spaces import Discrete

FILE = "codec.json"
MARK = "\N{LOWER ONE EIGHTH BLOCK}"  # how sentencepiece spells a space
BETWEEN_DOCUMENTS = "\n\n"  # what a document's end looks like in decoded text

Kind = Literal["characters", "bytes", "unigram", "bpe"]


class Tokenizer(Protocol):
    """Text -> ids in [0, size), and the bytes that ids stand for."""

    @property
    def size(self) -> int: ...

    def encode(self, text: str) -> list[int]:
        """Ids of `text`; every text has some, and they decode to it."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids; what is no valid UTF-8 (a cut character) becomes U+FFFD."""
        ...

    def byte_counts(self) -> np.ndarray:
        """Bytes of UTF-8 that each id stands for, float64 `[size]`."""
        ...


@dataclass(frozen=True)
class Characters:
    """One token a character of the training text; others are their UTF-8 bytes, each two hexadecimal digits."""

    alphabet: str

    @property
    def size(self) -> int:
        return len(self.alphabet) + 16

    @functools.cached_property
    def _ids(self) -> dict[str, int]:
        return {character: i for i, character in enumerate(self.alphabet)}

    def encode(self, text: str) -> list[int]:
        ids, digits = self._ids, len(self.alphabet)
        out: list[int] = []
        for character in text:
            known = ids.get(character)
            if known is not None:
                out.append(known)
            else:
                out += [digits + half for byte in character.encode() for half in divmod(byte, 16)]
        return out

    def decode(self, ids: Sequence[int]) -> str:
        digits = len(self.alphabet)
        out, spelled = bytearray(), []
        for i in [*ids, None]:
            if i is not None and i >= digits:
                spelled.append(i - digits)
                continue
            # A window may cut an escape in its middle: half a byte says nothing.
            out += bytes(16 * high + low for high, low in zip(spelled[::2], spelled[1::2], strict=False))
            spelled.clear()
            if i is not None:
                out += self.alphabet[i].encode()
        return out.decode(errors="replace")

    def byte_counts(self) -> np.ndarray:
        return np.array([len(character.encode()) for character in self.alphabet] + [0.5] * 16)


@dataclass(frozen=True)
class Bytes:
    """One token a byte of UTF-8."""

    size: int = 256

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def decode(self, ids: Sequence[int]) -> str:
        return bytes(ids).decode(errors="replace")

    def byte_counts(self) -> np.ndarray:
        return np.ones(256)


@dataclass(frozen=True)
class Pieces:
    """Pieces of words, by a sentencepiece model (Kudo & Richardson 1808.06226) whose characters fall back to bytes."""

    proto: bytes

    @functools.cached_property
    def _processor(self) -> Any:
        from sentencepiece import SentencePieceProcessor

        return SentencePieceProcessor(model_proto=self.proto)

    @functools.cached_property
    def _bytes(self) -> list[bytes]:
        p = self._processor
        spelled = []
        for i in range(p.get_piece_size()):
            piece = p.id_to_piece(i)
            if p.is_unknown(i):
                spelled.append(b"\xff")  # never encoded; a model that draws it shows U+FFFD
            elif p.is_byte(i):
                spelled.append(bytes([int(piece[3:5], 16)]))
            else:
                spelled.append(piece.replace(MARK, " ").encode())
        return spelled

    @property
    def size(self) -> int:
        return int(self._processor.get_piece_size())

    def encode(self, text: str) -> list[int]:
        # sentencepiece would take the mark for a space, and stops at NUL: these are spelled as bytes.
        out: list[int] = []
        for part in re.split(f"([{MARK}\0])", text):
            if part in (MARK, "\0"):
                out += [self._processor.piece_to_id(f"<0x{byte:02X}>") for byte in part.encode()]
            elif part:
                out += self._processor.encode(part)
        return out

    def decode(self, ids: Sequence[int]) -> str:
        return b"".join(self._bytes[i] for i in ids).decode(errors="replace")

    def byte_counts(self) -> np.ndarray:
        return np.array([float(len(spelled)) for spelled in self._bytes])


@dataclass(frozen=True)
class TextCodec:
    """Text <-> ids; the last id of the vocabulary ends a document, a line or a target.

    Attributes:
        length: tokens in a window of a stream of documents; of lines and targets, the most, the end included.
        histogram: the share of training lines of 1, 2, ... `length` tokens; None for a stream.
        source_length: the most tokens of the source that a target is made of; 0 where there is none.
    """

    tokenizer: Tokenizer
    length: int
    histogram: tuple[float, ...] | None = None
    source_length: int = 0

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
        """The source, where targets have one: tokens padded with `end`."""
        if not self.source_length:
            return {}
        return {"source": SequenceCondition(length=self.source_length, vocab=self.tokenizer.size + 1, pad=self.end)}

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

    def save(self, folder: Path) -> None:
        """codec.json, complete: a sentencepiece model is in it, as base64."""
        kind, state = _described(self.tokenizer)
        value = {"tokenizer": kind, "length": self.length, "histogram": self.histogram,
                 "source_length": self.source_length, **state}
        write_atomically(folder / FILE, (json.dumps(value) + "\n").encode())


def _described(tokenizer: Tokenizer) -> tuple[str, dict[str, str]]:
    if isinstance(tokenizer, Characters):
        return "characters", {"alphabet": tokenizer.alphabet}
    if isinstance(tokenizer, Pieces):
        return "pieces", {"sentencepiece": base64.b64encode(tokenizer.proto).decode()}
    return "bytes", {}


def load_codec(folder: Path) -> TextCodec:
    """The codec that `TextCodec.save` wrote.

    Raises:
        FourfoldError: codec.json is missing or damaged.
    """
    path = folder / FILE
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        tokenizer: Tokenizer
        if value["tokenizer"] == "characters":
            tokenizer = Characters(str(value["alphabet"]))
        elif value["tokenizer"] == "pieces":
            tokenizer = Pieces(base64.b64decode(value["sentencepiece"], validate=True))
        elif value["tokenizer"] == "bytes":
            tokenizer = Bytes()
        else:
            raise ValueError(value["tokenizer"])
        histogram = value.get("histogram")
        codec = TextCodec(tokenizer, int(value["length"]), None if histogram is None else tuple(map(float, histogram)),
                          int(value.get("source_length", 0)))
        if histogram is not None and len(histogram) != codec.length:
            raise ValueError("histogram")
        _ = codec.space  # a damaged sentencepiece model shows when it is read
        return codec
    except FileNotFoundError:
        raise FourfoldError(f"{path} is missing: this is not the model folder of a text run") from None
    except (ValueError, KeyError, TypeError, RuntimeError, OSError) as error:
        raise FourfoldError(f"{path} is damaged ({type(error).__name__}): train the model again") from None


def fit(kind: Kind, documents: Sequence[str], vocab: int) -> Tokenizer:
    """The tokenizer of training documents; `vocab` is the number of pieces, 256 bytes and one symbol included.

    Raises:
        FourfoldError: sentencepiece cannot make so many pieces of these documents.
    """
    if kind == "bytes":
        return Bytes()
    if kind == "characters":
        counts: Counter[str] = Counter()
        for document in documents:
            counts.update(document)
        return Characters("".join(sorted(counts)))
    return Pieces(_train_pieces(kind, documents, vocab))


def _train_pieces(kind: Kind, documents: Sequence[str], vocab: int) -> bytes:
    import io

    from sentencepiece import SentencePieceTrainer

    lines = [line for document in documents for line in document.replace("\0", "").splitlines() if line.strip()]
    out = io.BytesIO()
    try:
        SentencePieceTrainer.train(
            sentence_iterator=iter(lines), model_writer=out, model_type=kind, vocab_size=vocab, byte_fallback=True,
            normalization_rule_name="identity", add_dummy_prefix=False, remove_extra_whitespaces=False,
            character_coverage=0.9999, bos_id=-1, eos_id=-1, pad_id=-1, unk_id=0, max_sentence_length=100_000,
            input_sentence_size=50_000, shuffle_input_sentence=False, num_threads=1, minloglevel=2,
            allow_whitespace_only_pieces=True,
        )
    except (RuntimeError, OSError) as error:  # its checks raise these with a source line in front
        found = re.search(r"value <= (\d+)", str(error))
        hint = f"at most {found[1]}" if found else "another number (between 300 and what the text has words for)"
        raise FourfoldError(f"data.vocab is {vocab}: sentencepiece needs {hint} for this text") from None
    return out.getvalue()
