"""Text <-> token ids, without loss: characters, bytes, or pieces of sentencepiece."""

from __future__ import annotations

import functools
import io
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from core.errors import FourfoldError
from core.waiting import followed

if TYPE_CHECKING:
    from sentencepiece import SentencePieceProcessor

MARK = "\N{LOWER ONE EIGHTH BLOCK}"  # how sentencepiece spells a space

Kind = Literal["characters", "bytes", "unigram", "bpe"]


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

    def spells(self, character: str) -> bool:
        """Whether a character has no token of its own."""
        return character not in self._ids

    def byte_counts(self) -> np.ndarray:
        return np.array([len(character.encode()) for character in self.alphabet] + [0.5] * 16)


@dataclass(frozen=True)
class Bytes:
    """One token a byte of UTF-8."""

    @property
    def size(self) -> int:
        return 256

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def decode(self, ids: Sequence[int]) -> str:
        return bytes(ids).decode(errors="replace")

    def byte_counts(self) -> np.ndarray:
        return np.ones(256)


@dataclass(frozen=True)
class Pieces:
    """Pieces of words, by a sentencepiece model (Kudo & Richardson 1808.06226) whose characters fall back to bytes.

    `added`: characters with a token of their own, after the model's.
    """

    proto: bytes
    added: str = ""

    @functools.cached_property
    def _processor(self) -> SentencePieceProcessor:
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
        return spelled + [character.encode() for character in self.added]

    @property
    def size(self) -> int:
        return int(self._processor.get_piece_size()) + len(self.added)

    def encode(self, text: str) -> list[int]:
        # sentencepiece would take the mark for a space, and stops at NUL: these are spelled as bytes.
        out: list[int] = []
        for part in re.split(f"([{MARK}\0{re.escape(self.added)}])", text):
            if part and part in self.added:
                out.append(int(self._processor.get_piece_size()) + self.added.index(part))
            elif part in (MARK, "\0"):
                out += [self._processor.piece_to_id(f"<0x{byte:02X}>") for byte in part.encode()]
            elif part:
                out += self._processor.encode(part)
        return out

    def decode(self, ids: Sequence[int]) -> str:
        return b"".join(self._bytes[i] for i in ids).decode(errors="replace")

    def spells(self, character: str) -> bool:
        """Whether a character has no token of its own."""
        processor = self._processor
        return character not in self.added + MARK + "\0" and any(
            processor.is_byte(i) or processor.is_unknown(i) for i in processor.encode(character))

    def byte_counts(self) -> np.ndarray:
        return np.array([float(len(spelled)) for spelled in self._bytes])


Tokenizer = Characters | Bytes | Pieces
"""Text -> ids in [0, `size`), of which every text has some, and back.

`decode` makes U+FFFD of what is no valid UTF-8 (a cut character); `byte_counts` are the bytes of UTF-8 that each id
stands for, float64 `[size]`.
"""


def fit(kind: Kind, documents: Iterable[str], vocab: int) -> Tokenizer:
    """The tokenizer of training documents; `vocab` is the number of pieces, 256 bytes and one symbol included.

    Raises:
        FourfoldError: sentencepiece cannot make so many, or so few, pieces of these documents.
    """
    if kind == "bytes":
        return Bytes()
    if kind == "characters":
        counts: Counter[str] = Counter()
        for document in followed(documents, "counting the characters of the training text"):
            counts.update(document)
        return Characters("".join(sorted(counts)))
    return Pieces(_train_pieces(kind, documents, vocab))


def extended(tokenizer: Tokenizer, documents: Iterable[str]) -> Tokenizer:
    """A trained model's tokenizer with tokens for the characters of other documents that it can only spell by bytes.

    Old tokens stay; of `Pieces` so many characters are added that at most one of 10,000 in the text is spelled.
    """
    if isinstance(tokenizer, Bytes):
        return tokenizer
    counts: Counter[str] = Counter()
    for document in followed(documents, "counting the characters of the training text"):
        counts.update(document)
    missing = [(character, count) for character, count in counts.most_common() if tokenizer.spells(character)]
    if isinstance(tokenizer, Characters):
        return Characters(tokenizer.alphabet + "".join(sorted(character for character, _ in missing)))
    left, added = sum(count for _, count in missing), ""
    for character, count in missing:
        if left * 10_000 <= counts.total():
            break
        added, left = added + character, left - count
    return Pieces(tokenizer.proto, tokenizer.added + added)


def made_of(new: Tokenizer, old: Tokenizer) -> list[tuple[int, ...]]:
    """Which of an older tokenizer's tokens each of its extension stands for: the same, or those that spelled it."""
    if isinstance(new, Characters) and isinstance(old, Characters):
        digits = range(len(old.alphabet), old.size)
        return [*(tuple(old.encode(character)) for character in new.alphabet), *((digit,) for digit in digits)]
    if isinstance(new, Pieces) and isinstance(old, Pieces):
        base = new.size - len(new.added)
        return [*((index,) for index in range(base)), *(tuple(old.encode(character)) for character in new.added)]
    return [(index,) for index in range(new.size)]


def _train_pieces(kind: Kind, documents: Iterable[str], vocab: int) -> bytes:
    from sentencepiece import SentencePieceTrainer

    lines = (line for document in documents for line in document.replace("\0", "").split("\n") if line.strip())
    out = io.BytesIO()
    try:
        SentencePieceTrainer.train(
            sentence_iterator=lines, model_writer=out, model_type=kind, vocab_size=vocab, byte_fallback=True,
            normalization_rule_name="identity", add_dummy_prefix=False, remove_extra_whitespaces=False,
            character_coverage=0.9999, bos_id=-1, eos_id=-1, pad_id=-1, unk_id=0, max_sentence_length=100_000,
            input_sentence_size=50_000, shuffle_input_sentence=False, num_threads=1, minloglevel=2,
            allow_whitespace_only_pieces=True,
        )
    except (RuntimeError, OSError) as error:  # its checks raise these with a source line in front
        most, least = re.search(r"value <= (\d+)", str(error)), re.search(r"\d+ vs (\d+)", str(error))
        if most:
            why = f"sentencepiece makes at most {most[1]} pieces of this text"
            why += "" if int(most[1]) >= 300 else ": give more text, or data.tokenizer=characters"
        elif least:
            why = f"sentencepiece needs at least {least[1]}, for the many characters of this text"
        else:
            why = f"sentencepiece refuses it ({error})"
        raise FourfoldError(f"data.vocab is {vocab}: {why}") from None
    return out.getvalue()
