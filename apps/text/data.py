"""Text as training data: windows of a stream of documents, single lines, or pairs; split, tokenised and cached."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from apps.text import sources
from apps.text.codec import TextCodec
from apps.text.large import Fitted, is_large, tokenized
from apps.text.text_data import TextData
from apps.text.tokenizers import Bytes, Characters, Pieces, Tokenizer, extended, fit
from core.data.arrays import ArrayData, windows
from core.data.cache import grown
from core.data.folders import as_array, as_lines
from core.data.unfinished import Unfinished
from core.errors import FourfoldError
from core.runs.domain import Prepared
from core.runs.model import Model
from core.serialization import from_union, to_dict

VERSION = 5  # of the cached tokens
TextModel = Model[TextData, TextCodec, str]

MODELS = Path(__file__).parent / "models"
log = logging.getLogger(__name__)


def prepare(data: TextData, known: TextCodec | None = None, grow: bool = False) -> Prepared[TextCodec]:
    """The three splits and the codec, fitted to the training text, or with the tokenizer of a `known` one.

    Where that may `grow`, characters that it lacks become tokens after its own.

    Of a stream, training windows begin at every token; validation and test windows do not overlap.
    Lines and targets of more than `length` tokens are left out, with a warning.

    Raises:
        FourfoldError: no text, text that is not UTF-8, or too little of it.
    """
    vocab = data.vocab if data.tokenizer in ("unigram", "bpe") else 0
    origin = data.source if data.folder is None else "folder"
    by = (data.tokenizer, vocab) if known is None else (known.tokenizer, "grows") if grow else known.tokenizer
    parts = (origin, data.unit, data.pair, data.column, data.label, by, data.limit, *sources.files(data))

    def fitted(texts: Iterable[str]) -> Tokenizer:
        if known is None:
            return fit(data.tokenizer, texts, data.vocab)
        return extended(known.tokenizer, texts) if grow else known.tokenizer

    make, use = (_tokenized, _stream) if data.unit == "stream" else (_tokenized_examples, _examples)
    arrays = grown("text", VERSION, parts, lambda made: make(data, fitted, made))
    for line in as_lines(arrays["said"]):
        log.warning(line)
    return use(data, arrays)


def _stream(data: TextData, arrays: dict[str, np.ndarray]) -> Prepared[TextCodec]:
    codec = TextCodec(tokenizer=_read(arrays["tokenizer"]), length=data.length)
    for name in ("train", "validation", "test"):
        if len(arrays[name]) < data.length:
            raise FourfoldError(f"the {name} text has {len(arrays[name])} tokens, a window {data.length}: "
                                "give more text or a smaller data.length")

    def split(name: str, stride: int) -> ArrayData:
        return ArrayData(codec.space, windows(arrays[name], data.length, stride))

    return Prepared(codec=codec, train=split("train", 1), validation=split("validation", data.length),
                    test=split("test", data.length))


def _tokenized(data: TextData, fitted: Fitted, made: Unfinished) -> dict[str, np.ndarray]:
    if is_large(data):
        rows, tokenizer, said = tokenized(data, fitted, made)
        return rows | {"tokenizer": _written(tokenizer), "said": as_array(said)}
    said = []
    texts = documents(data, said)
    tokenizer = fitted(texts["train"])
    codec = TextCodec(tokenizer=tokenizer, length=data.length)
    arrays = {
        name: np.concatenate([np.append(codec.tokens(text), codec.end).astype(codec.id_type) for text in some])
        for name, some in texts.items()
    }
    return arrays | {"tokenizer": _written(tokenizer), "said": as_array(said)}


def documents(data: TextData, said: list[str] | None = None) -> dict[str, list[str]]:
    """The documents of each split, "train", "validation" and "test"; of training at most `limit` characters.

    Raises:
        FourfoldError: see `prepare`.
    """
    texts, left = sources.documents(data, said), data.limit
    if data.limit:
        kept = []
        for text in texts["train"]:
            kept.append(text[:left])
            left -= len(kept[-1])
            if left <= 0:
                break
        texts["train"] = kept
    return texts


def _tokenized_examples(data: TextData, fitted: Fitted, made: Unfinished) -> dict[str, np.ndarray]:
    """The tokens of each split's targets, and of pairs' sources, one after the other, and where each begins."""
    pairs: dict[str, list[sources.Pair]]
    said: list[str] = []
    if data.unit == "pair":
        pairs = sources.pairs(data, said)
    elif data.unit == "document":
        pairs = sources.examples(data, said)
    else:
        pairs = {name: [("", line) for line in some] for name, some in sources.lines(data, said).items()}
    pairs["train"] = pairs["train"][: data.limit or None]
    # One vocabulary for both sides: names and numbers are the same in both.
    sides = [pair if data.unit == "pair" else pair[1:] for pair in pairs["train"]]
    tokenizer = fitted([text for some in sides for text in some])
    codec = TextCodec(tokenizer=tokenizer, length=data.length)
    arrays = {"tokenizer": _written(tokenizer), "said": as_array(said)}
    if data.label:
        names = sorted({label for some in pairs.values() for label, _ in some})
        arrays["labels"] = as_array(names)
        for name, some in pairs.items():
            arrays[f"{name}_label"] = np.array([names.index(label) for label, _ in some])
            pairs[name] = [("", text) for _, text in some]
    for name, some in pairs.items():
        for side, texts in zip(("source", "target"), zip(*some, strict=True), strict=True):
            rows: list[np.ndarray] = [codec.tokens(text).astype(codec.id_type) for text in texts]
            arrays[f"{name}_{side}"] = np.concatenate(rows)
            arrays[f"{name}_{side}_ends"] = np.cumsum([len(row) for row in rows])
    return arrays


def _examples(data: TextData, arrays: dict[str, np.ndarray]) -> Prepared[TextCodec]:
    lengths = np.diff(arrays["train_target_ends"], prepend=0) + 1
    histogram = np.bincount(lengths[lengths <= data.length], minlength=data.length + 1)[1:]
    if not histogram.sum():
        raise FourfoldError(f"data.length is {data.length}: every line is longer")
    codec = TextCodec(
        tokenizer=_read(arrays["tokenizer"]), length=data.length,
        histogram=tuple((histogram / histogram.sum()).tolist()),
        source_length=data.source_length if data.unit == "pair" else 0,
        label_names=tuple(as_lines(arrays["labels"])) if data.label else (),
    )

    def split(name: str) -> ArrayData:
        x, counts = _padded(arrays[f"{name}_target"], arrays[f"{name}_target_ends"], data.length, codec.end)
        fitting = counts <= data.length
        if not fitting.all():
            log.warning("%s: %d of %d examples of more than %d tokens are left out", name, (~fitting).sum(),
                        len(fitting), data.length)
        condition = {"label": arrays[f"{name}_label"][fitting]} if data.label else {}
        sizes = {}
        if data.unit == "pair":
            rows, ends = arrays[f"{name}_source"], arrays[f"{name}_source_ends"]
            source, long = _padded(rows, ends, data.source_length, codec.end)
            cut = int((long[fitting] - 1 > data.source_length).sum())
            if cut:
                log.warning("%s: %d of %d sources are cut to their first %d tokens", name, cut, fitting.sum(),
                            data.source_length)
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


def _written(tokenizer: Tokenizer) -> np.ndarray:
    return np.frombuffer(json.dumps(to_dict(tokenizer)).encode(), np.uint8)


def _read(tokenizer: np.ndarray) -> Tokenizer:
    kinds: tuple[type[Tokenizer], ...] = (Characters, Bytes, Pieces)
    return from_union(kinds, json.loads(tokenizer.tobytes()), "tokenizer")
