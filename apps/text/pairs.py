"""What models of pairs are for: translations and summaries, by beam search."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from apps.text.data import TextModel
from core.errors import FourfoldError, Unsupported
from core.runs.tasks import Progress


def translate(
    model: TextModel, texts: Sequence[str], *, beams: int = 4, length_penalty: float = 1.0, cut: bool = False,
    batch_size: int = 64, progress: Progress | None = None,
) -> list[str]:
    """What a model of pairs makes of each text, by beam search: its translation, its summary.

    Args:
        cut: read only the beginning of a text that is longer than the model reads, instead of refusing it.

    Raises:
        Unsupported: the model is not autoregressive, or was not trained on pairs.
        FourfoldError: an empty text, one that is too long, beams below 1.
    """
    codec = model.codec
    if not codec.source_length:
        raise Unsupported("this model goes on from a text, it was not trained on pairs: use `generate`")
    if beams < 1 or batch_size < 1:
        raise FourfoldError(f"beams is {beams} and batch_size {batch_size}: both must be at least 1")
    sources = codec.encode_sources(texts, cut=cut)
    counts = (sources != codec.end).sum(1)
    made = [""] * len(texts)
    done = 0
    # Those of one length together: a batch is as wide as its longest.
    for rows in torch.split(counts.argsort(stable=True), batch_size):
        batch = {"source": sources[rows, : int(counts[rows].max())]}
        found = codec.decode(model.search(batch, beams=beams, length_penalty=length_penalty))
        for row, text in zip(rows.tolist(), found, strict=True):
            made[row] = text
        done += len(rows)
        if progress is not None:
            progress.step(done, len(texts))
    return made


def summarize(
    model: TextModel, texts: Sequence[str], *, beams: int = 4, length_penalty: float = 1.0,
    progress: Progress | None = None,
) -> list[str]:
    """A summary of each text, of whose beginning the model reads as much as it was trained to; see `translate`."""
    return translate(model, texts, beams=beams, length_penalty=length_penalty, cut=True, progress=progress)
