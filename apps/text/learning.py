"""Training on texts from Python."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from apps.text.data import TextModel
from apps.text.domain import DOMAIN
from core.data.rows import beside, class_names, class_of, column, items_of, optional_column, peeked, tell_columns
from core.errors import FourfoldError
from core.runs.own import Settings, train_own
from core.training.log import Listener

TEXTS, LABELS = ("text", "content", "sentence", "document", "review"), ("label", "labels", "class", "category")


def train(
    texts: str | Path | Iterable[Any], *, labels: Iterable[object] | None = None,
    start: str | Path | None = None, family: str | None = None, minutes: float | None = None,
    run: str | Path | None = None, seed: int = 0, device: str = "auto", settings: Settings | None = None,
    progress: Listener | None = None,
) -> TextModel:
    """A model of your own texts, trained here: `text.train(list_of_strings, minutes=10).sample(3)`.

    Args:
        texts: a folder or file; or an iterable of strings, of pairs of strings (source, target), of chats (lists of
            messages {"role": ..., "content": ...}); or a table whose rows have a `text` and perhaps a `label`, or
            `messages`, or `source` and `target` (`datasets`, pandas, dicts). Texts of up to 1,000 characters are
            examples by themselves, longer ones are read as one stream.
        labels: the class of each text, on which the model is conditioned:
            `model.sample(8, condition={"label": "good"})`.
        start: a run, or the name of a model that ships: its training goes on with these data.
        family: "vae", "gan", "diffusion" or "autoregressive"; None picks what suits the texts.
        minutes: how long to train, 20 unless `settings` has train.steps.
        run: the run folder, in which texts and model are kept; None names one. The same call again resumes it.
        settings: a recipe's keys and their values, {"data.length": 256, "train.batch_size": 32}.

    Raises:
        FourfoldError: no texts or too few of them, a refused setting, a run folder of something else.
    """
    items: Any
    if isinstance(texts, str | Path):
        if labels is not None:
            raise FourfoldError("labels of a file are its column data.label: leave them out")
        if not Path(texts).exists():
            raise FourfoldError(f"{str(texts)[:80]!r} is no folder or file: give a list of texts, or a path")
        items = Path(texts)
    else:
        items = _file(texts, labels)
    return train_own(DOMAIN, items, start=start, family=family, minutes=minutes, run=run, seed=seed, device=device,
                     settings=settings, progress=progress)


def _file(texts: Iterable[Any], labels: Iterable[object] | None) -> Iterator[tuple[str, bytes]]:
    """The texts as lines of JSON."""
    first, every = peeked(items_of(texts))
    if isinstance(first, dict) and labels is None:
        rows = _from_table(first, every, texts)
    else:
        rows = (_row(item, label, index) for index, (item, label) in enumerate(beside(every, labels, "labels")))
    yield "texts.jsonl", "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def _row(item: Any, label: object, index: int) -> dict[str, Any]:
    """A line of texts.jsonl."""
    if isinstance(item, str):
        return {"text": item} if label is None else {"text": item, "label": str(label)}
    if isinstance(item, tuple) and len(item) == 2 and all(isinstance(side, str) for side in item) and label is None:
        return {"source": item[0], "target": item[1]}
    if isinstance(item, list) and all(isinstance(message, dict) for message in item) and label is None:
        return {"messages": item}
    raise FourfoldError(f"item {index} is of type {type(item).__name__}: must be a string, a pair of "
                        "strings, or a chat")


def _from_table(first: dict[str, Any], rows: Iterable[dict[str, Any]], table: object) -> Iterator[dict[str, Any]]:
    for keys in (("messages",), ("source", "target")):
        if set(keys) <= set(first):
            tell_columns(first, {key: key for key in keys})
            yield from ({key: row[key] for key in keys} for row in rows)
            return
    text, label = column(first, TEXTS, "texts"), optional_column(first, LABELS)
    tell_columns(first, {"texts": text, "labels": label})
    names = class_names(table, label) if label else None
    for index, row in enumerate(rows):
        yield _row(row[text], class_of(row, label, names), index)
