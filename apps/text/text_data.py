"""What a text model is trained on, as a value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from apps.text.tokenizers import Kind
from core.errors import require

PAIRED = ("multi30k", "descriptions", "docstrings")
LANGUAGES = {
    "multi30k": tuple(f"{a}-{b}" for a in ("de", "en", "fr") for b in ("de", "en", "fr") if a != b),
    "descriptions": ("en-summary", "en-de", "en-fr"),
}


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
        unit: what an example is. "stream": a window of all documents one after the other; "document"; "line"; "pair": a
            source and its target, of tab-separated or jsonl files ({"source": ..., "target": ...}) or parallel ones.
        column: the key of texts in jsonl files ("text" where none is given), and their column in .csv and .tsv files,
            which are read where one is given. Chats ("messages", each with a role and content) are read as
            `apps.text.chats` writes them.
        label: the key or column that holds each document's class: what the model is conditioned on.
        pair: which pairs: "de-en" of multi30k, "en-summary" of descriptions, the suffixes of parallel files.
        tokenizer: "characters", "bytes", or pieces of sentencepiece: "unigram" or "bpe".
        vocab: number of pieces, for sentencepiece.
        length: tokens in a window; the most of a document, a line or a target, its end included.
        source_length: the most tokens of a pair's source; what is longer is cut.
        limit: use only so many characters of the training documents, or training lines or pairs (0: all).
    """

    source: Literal["shakespeare", "stdlib", "documentation", "tinyshakespeare", "texygen_coco", "multi30k",
                    "descriptions", "docstrings", "folder"] = "shakespeare"
    folder: str | None = None
    unit: Literal["stream", "document", "line", "pair"] = "stream"
    column: str = ""
    label: str = ""
    pair: str = ""
    tokenizer: Kind = "characters"
    vocab: int = 1000
    length: int = 128
    source_length: int = 128
    limit: int = 0

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
        require(not self.label or self.unit == "document", "data.label", self.label, "goes with data.unit=document")
        require(not self.label or self.folder is not None, "data.label", self.label, f"{self.source} has no labels")
        if self.pair:
            require(self.pair.count("-") == 1 and all(self.pair.split("-")), "data.pair", self.pair,
                    "must be two suffixes, as de-en")
