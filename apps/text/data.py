"""Text as training data: windows of a stream of documents, single lines, or pairs; split, tokenised and cached."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from apps.text import sources
from apps.text.codec import Bytes, Characters, Kind, Pieces, TextCodec, Tokenizer, fit, load_codec
from core.data.arrays import ArrayData, windows
from core.data.cache import cached
from core.errors import FourfoldError, require
from core.runs.domain import Prepared
from core.runs.pretrained import model_folder

VERSION = 2  # of the cached tokens
PAIRED = ("multi30k", "descriptions", "docstrings")
LANGUAGES = {
    "multi30k": tuple(f"{a}-{b}" for a in ("de", "en", "fr") for b in ("de", "en", "fr") if a != b),
    "descriptions": ("en-summary", "en-de", "en-fr"),
}

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class TextData:
    """What to train on.

    Attributes:
        source: documents: "shakespeare" (37 plays and Edward III), "stdlib" (the running Python's own sources),
            "documentation" (its reference by topics, and the long docstrings of its modules),
            "tinyshakespeare" (one file in $FOURFOLD_DATA, its last tenth held out); captions, one a line:
            "texygen_coco"; pairs: "multi30k", "descriptions" (of packages), "docstrings" (-> their first line);
            or "folder".
        folder: your own text, a folder or one file; takes the place of `source`.
        unit: what an example is. "stream": a window of all documents one after the other; "line"; "pair": a
            source and its target, of tab-separated or jsonl files ({"source": ..., "target": ...}) or parallel ones.
        pair: which pairs: "de-en" of multi30k, "en-summary" of descriptions, the suffixes of parallel files.
        tokenizer: "characters", "bytes", or pieces of sentencepiece: "unigram" or "bpe".
        vocab: number of pieces, for sentencepiece.
        length: tokens in a window; the most of a line or a target, its end included.
        source_length: the most tokens of a pair's source; what is longer is cut.
        limit: use only so many characters of the training documents, or training lines or pairs (0: all).
        tokenizer_of: a run or model folder whose tokenizer is used instead of a new one: to train its model further.
    """

    source: Literal["shakespeare", "stdlib", "documentation", "tinyshakespeare", "texygen_coco", "multi30k",
                    "descriptions", "docstrings", "folder"] = "shakespeare"
    folder: str | None = None
    unit: Literal["stream", "line", "pair"] = "stream"
    pair: str = ""
    tokenizer: Kind = "characters"
    vocab: int = 1000
    length: int = 128
    source_length: int = 128
    limit: int = 0
    tokenizer_of: str | None = None

    def __post_init__(self) -> None:
        require(300 <= self.vocab <= 64_000, "data.vocab", self.vocab, "must be in [300, 64000]")
        require(8 <= self.length <= 65_536, "data.length", self.length, "must be in [8, 65536] tokens")
        require(8 <= self.source_length <= 65_536, "data.source_length", self.source_length,
                "must be in [8, 65536] tokens")
        require(self.limit >= 0, "data.limit", self.limit, "must be at least 0")
        require(self.source != "folder" or bool(self.folder), "data.folder", self.folder, "name a folder of text")
        if self.folder is None:
            require((self.unit == "pair") == (self.source in PAIRED), "data.unit", self.unit,
                    f"{self.source} is {'pairs' if self.source in PAIRED else 'no pairs'}")
            known = LANGUAGES.get(self.source)
            require(known is None or self.pair in known, "data.pair", self.pair, f"one of {', '.join(known or ())}")
        if self.pair:
            require(self.pair.count("-") == 1 and all(self.pair.split("-")), "data.pair", self.pair,
                    "must be two suffixes, as de-en")


def prepare(data: TextData) -> Prepared:
    """The three splits and the codec, fitted to the training text.

    Of a stream, training windows begin at every token; validation and test windows do not overlap.
    Lines and targets of more than `length` tokens are left out, with a warning.

    Raises:
        FourfoldError: no text, text that is not UTF-8, or too little of it.
    """
    files = sources.files(data)
    # A file is known by its place, size and time: reading a large tree to hash it would take the time of using it.
    stamp = tuple((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files)
    vocab = data.vocab if data.tokenizer in ("unigram", "bpe") else 0
    origin = data.source if data.folder is None else "folder"
    given = None if data.tokenizer_of is None else load_codec(model_folder(Path(data.tokenizer_of).expanduser()))
    made_by = (data.tokenizer, vocab) if given is None else repr(given.tokenizer)
    key = ("text", VERSION, origin, data.unit, data.pair, made_by, data.limit, stamp)
    tokenizer = None if given is None else given.tokenizer
    if data.unit == "stream":
        return _stream(data, tokenizer, cached(key, lambda: _tokenized(data, tokenizer)))
    return _examples(data, given, cached(key, lambda: _tokenized_examples(data, tokenizer)))


def _stream(data: TextData, tokenizer: Tokenizer | None, arrays: dict[str, np.ndarray]) -> Prepared:
    codec = TextCodec(tokenizer or _tokenizer(data.tokenizer, arrays["tokenizer"]), data.length)
    for name in ("train", "validation", "test"):
        if len(arrays[name]) < data.length:
            raise FourfoldError(f"the {name} text has {len(arrays[name])} tokens, a window {data.length}: "
                                "give more text or a smaller data.length")

    def split(name: str, stride: int) -> ArrayData:
        return ArrayData(codec.space, windows(arrays[name], data.length, stride))

    return Prepared(codec=codec, train=split("train", 1), validation=split("validation", data.length),
                    test=split("test", data.length))


def _tokenized(data: TextData, tokenizer: Tokenizer | None) -> dict[str, np.ndarray]:
    texts = sources.documents(data)
    texts["train"] = _limited(texts["train"], data.limit)
    tokenizer = tokenizer or fit(data.tokenizer, texts["train"], data.vocab)
    codec = TextCodec(tokenizer, data.length)
    arrays = {
        name: np.concatenate([np.append(codec.tokens(text), codec.end).astype(_dtype(codec)) for text in some])
        for name, some in texts.items()
    }
    return arrays | {"tokenizer": _state(tokenizer)}


def _limited(texts: list[str], limit: int) -> list[str]:
    if not limit:
        return texts
    kept: list[str] = []
    for text in texts:
        kept.append(text[:limit])
        limit -= len(kept[-1])
        if limit <= 0:
            break
    return kept


def _tokenized_examples(data: TextData, tokenizer: Tokenizer | None) -> dict[str, np.ndarray]:
    """The tokens of each split's targets, and of pairs' sources, one after the other, and where each begins."""
    pairs: sources.Splits[sources.Pair]
    if data.unit == "pair":
        pairs = sources.pairs(data)
    else:
        pairs = {name: [("", line) for line in some] for name, some in sources.lines(data).items()}
    pairs["train"] = pairs["train"][: data.limit or None]
    # One vocabulary for both sides: names and numbers are the same in both.
    tokenizer = tokenizer or fit(data.tokenizer, [side for pair in pairs["train"] for side in pair if side], data.vocab)
    codec = TextCodec(tokenizer, data.length)
    arrays = {"tokenizer": _state(tokenizer)}
    for name, some in pairs.items():
        for side, texts in zip(("source", "target"), zip(*some, strict=True), strict=True):
            rows: list[np.ndarray] = [codec.tokens(text).astype(_dtype(codec)) for text in texts]
            arrays[f"{name}_{side}"] = np.concatenate(rows)
            arrays[f"{name}_{side}_ends"] = np.cumsum([len(row) for row in rows])
    return arrays


def _examples(data: TextData, given: TextCodec | None, arrays: dict[str, np.ndarray]) -> Prepared:
    tokenizer = _tokenizer(data.tokenizer, arrays["tokenizer"]) if given is None else given.tokenizer
    plain = TextCodec(tokenizer, data.length)
    lengths = np.diff(arrays["train_target_ends"], prepend=0) + 1
    histogram = np.bincount(lengths[lengths <= data.length], minlength=data.length + 1)[1:]
    if not histogram.sum():
        raise FourfoldError(f"data.length is {data.length}: every line is longer")
    codec = TextCodec(tokenizer, data.length, tuple((histogram / histogram.sum()).tolist()),
                      data.source_length if data.unit == "pair" else 0)

    def split(name: str) -> ArrayData:
        x, counts = _padded(arrays[f"{name}_target"], arrays[f"{name}_target_ends"], data.length, plain.end)
        fitting = counts <= data.length
        if not fitting.all():
            log.warning("%s: %d of %d examples of more than %d tokens are left out", name, (~fitting).sum(),
                        len(fitting), data.length)
        condition, sizes = {}, {}
        if data.unit == "pair":
            source, long = _padded(arrays[f"{name}_source"], arrays[f"{name}_source_ends"], data.source_length,
                                   plain.end)
            condition["source"] = source[fitting]
            sizes["source"] = np.clip(long[fitting] - 1, 1, data.source_length)
        return ArrayData(codec.space, x[fitting], condition, counts[fitting], condition_lengths=sizes)

    return Prepared(codec=codec, train=split("train"), validation=split("validation"), test=split("test"))


def _padded(tokens: np.ndarray, ends: np.ndarray, length: int, end: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of a flat array, cut or filled up with `end` to `[N, length]`, and how long each is with one `end`."""
    counts = np.diff(ends, prepend=0)
    x = np.full((len(counts), length), end, tokens.dtype)
    columns = np.arange(length)
    inside = columns < counts[:, None]
    x[inside] = tokens[((ends - counts)[:, None] + columns)[inside]]
    return x, counts + 1


def _dtype(codec: TextCodec) -> type:
    return np.uint16 if codec.space.vocab <= 2**16 else np.int32


def _state(tokenizer: Tokenizer) -> np.ndarray:
    if isinstance(tokenizer, Characters):
        return np.array([ord(character) for character in tokenizer.alphabet], np.uint32)
    return np.frombuffer(tokenizer.proto if isinstance(tokenizer, Pieces) else b"", np.uint8)


def _tokenizer(kind: Kind, state: np.ndarray) -> Tokenizer:
    if kind == "characters":
        return Characters("".join(map(chr, state.tolist())))
    return Bytes() if kind == "bytes" else Pieces(state.tobytes())


def documents(data: TextData) -> dict[str, list[str]]:
    """The documents of each split: "train", "validation", "test".

    Raises:
        FourfoldError: see `prepare`.
    """
    texts = sources.documents(data)
    return texts | {"train": _limited(texts["train"], data.limit)}
