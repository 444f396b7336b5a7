"""Rows of data in memory, whoever made them: tables of `datasets` and pandas, lists of dicts, dicts of lists."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Protocol, runtime_checkable

from core.errors import FourfoldError

log = logging.getLogger(__name__)
Row = Mapping[str, Any]


@runtime_checkable
class _Frame(Protocol):
    """A table of pandas or polars."""

    columns: Any

    def to_dict(self, *args: Any) -> Any: ...


def items_of(data: Iterable[Any]) -> Iterator[Any]:
    """What there is to train on, one after the other: a table's rows as dicts, anything else's items as they are.

    Of a dict of splits the one called "train" is taken, which is said; a dict of columns is a table.

    Raises:
        FourfoldError: columns of a dict have different lengths.
    """
    if isinstance(data, Mapping):
        if "train" in data and not isinstance(data["train"], str):
            log.warning("of the splits %s, train is read: a part of it is held out", ", ".join(map(str, data)))
            yield from items_of(data["train"])
            return
        columns = {str(name): list(values) for name, values in data.items()}
        if len({len(values) for values in columns.values()}) > 1:
            raise FourfoldError(f"columns have {', '.join(f'{len(v):,} ({k})' for k, v in columns.items())} values: "
                                "all need as many")
        yield from (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))
    elif isinstance(data, _Frame):
        yield from items_of({str(name): list(data[name]) for name in data.columns})  # type: ignore[index]
    else:
        yield from data


def peeked(items: Iterable[Any]) -> tuple[Any, Iterator[Any]]:
    """The first item, and all of them.

    Raises:
        FourfoldError: there is none.
    """
    iterator = iter(items)
    for first in iterator:
        return first, chain([first], iterator)
    raise FourfoldError("nothing to train on: there are no items")


def column(row: Row, names: Sequence[str], what: str) -> str:
    """The key of `row` that holds `what`: the first of `names` that is there, in any case.

    Raises:
        FourfoldError: none is there.
    """
    found = optional_column(row, names)
    if found is None:
        raise FourfoldError(f"no column of {what}: there are {', '.join(map(str, row))}, name one {names[0]!r}")
    return found


def optional_column(row: Row, names: Sequence[str]) -> str | None:
    """`column`, or None."""
    lowered = {str(key).casefold(): str(key) for key in row}
    return next((lowered[name] for name in names if name in lowered), None)


def tell_columns(row: Row, used: Mapping[str, str | None]) -> None:
    """Say which columns of a table are read as what, and which are left out."""
    known = {what: key for what, key in used.items() if key is not None}
    left = [str(key) for key in row if key not in known.values()]
    read = ", ".join(f"{what} from the column {key!r}" for what, key in known.items())
    log.warning(read + (f"; left out: {', '.join(left)}" if left else ""))


def class_names(data: object, key: str) -> Sequence[str] | None:
    """The names of classes that a table of `datasets` stores as numbers; None where it has none."""
    feature = (getattr(data, "features", None) or {}).get(key)
    names = getattr(feature, "names", None)
    return None if names is None else [str(name) for name in names]


def class_of(row: Row, key: str | None, names: Sequence[str] | None) -> object:
    """The class of a row: the value of its column `key`, by its name where `class_names` has it; None without one."""
    value = None if key is None else row[key]
    return names[value] if names is not None and isinstance(value, int) else value


def beside(items: Iterable[Any], values: Iterable[object] | None, what: str) -> Iterator[tuple[Any, Any]]:
    """Each item with its value, None where no values are given.

    Raises:
        FourfoldError: there are more of one than of the other.
    """
    if values is None:
        yield from ((item, None) for item in items)
        return
    try:
        yield from zip(items, values, strict=True)
    except ValueError:
        raise FourfoldError(f"there are not as many {what} as items: give one for each") from None
