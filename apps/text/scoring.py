"""How well a model predicts a text."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from apps.text.data import TextModel
from core.batches import Batch
from core.errors import FourfoldError, Unsupported
from core.runs.tasks import Progress


@dataclass(frozen=True)
class Score:
    """How well a model predicts a text: `kind` is "exact" or "bound", `bytes` and `tokens` are the text's.

    `perplexity` is per token, so that it compares between models of one tokenizer only; bits per byte always do.
    """

    bits_per_byte: float
    perplexity: float
    kind: str
    bytes: int
    tokens: int


def score(
    model: TextModel, text: str, *, seed: int = 0, batch_size: int = 128, progress: Progress | None = None
) -> Score:
    """How well a text is predicted, in windows that do not overlap: each is predicted from nothing before it.

    A model of lines scores each line that is not blank by itself, its end included.

    Raises:
        Unsupported: the model has no likelihood (a GAN), or was trained on pairs.
        FourfoldError: the text is empty, or a line longer than a model of lines takes.
    """
    codec = model.codec
    if codec.source_length:
        raise Unsupported("this model predicts a target from its source, not a text: use `evaluate`")
    if codec.histogram is None:
        tokens = codec.tokens(text)
        whole = len(tokens) // codec.length * codec.length
        rows = torch.from_numpy(tokens[:whole].reshape(-1, codec.length))
        parts = [Batch(part) for part in (*torch.split(rows, batch_size), torch.from_numpy(tokens[whole:])[None])]
        size = len(text.encode())
    else:
        lines = [line.strip() for line in text.split("\n") if line.strip()]
        parts = [codec.encode(lines[start : start + batch_size]) for start in range(0, len(lines), batch_size)]
        size = sum(len(line.encode()) for line in lines)
    parts = [part for part in parts if part.x.numel()]
    if not parts:
        raise FourfoldError("the text is empty: nothing to score")
    nats, count = 0.0, 0
    for index, part in enumerate(parts):
        nats += float(model.bound_of(part, seed, index).sum())
        count += part.x.numel() if part.mask is None else int(part.mask.sum())
        if progress is not None:
            progress.step(index + 1, len(parts))
    return Score(nats / (np.log(2) * size), float(np.exp(nats / count)), model.family.likelihood, size, count)
