"""A measure of generated Python: the share of its top-level definitions that are syntactically valid."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Sequence

import numpy as np

from core.errors import FourfoldError

_DEFINITION = re.compile(r"(async\s+def|def|class)\b")


def definitions(text: str) -> list[str]:
    """The whole top-level functions and classes of a piece of Python, decorators included.

    One starts with `def`, `async def`, `class` or a decorator at column 0 and lasts to the next line that has
    something else than a closing bracket or a comment at column 0. What stands before the first, and between them,
    is left out; so is one that reaches the end of the text, which may be cut there.
    """
    found: list[str] = []
    lines: list[str] = []  # of the definition that is open
    begun = False  # it has come to its `def` or `class`, past decorators
    for line in text.splitlines(keepends=True):
        if line[:1].isspace() or line[:1] in (")", "]", "}", "#"):
            if lines:
                lines.append(line)
            continue
        keyword, decorator = _DEFINITION.match(line) is not None, line.startswith("@")
        if lines and (begun or not (keyword or decorator)):
            found.append("".join(lines))
            lines = []
        if keyword or decorator:
            lines.append(line)
        begun = keyword
    return found


def parses(code: str) -> bool:
    """Whether `ast.parse` of this Python's version accepts `code`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of invalid escapes, "is" with a literal and the like
            ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # null bytes, surrogates; nested too deep
        return False
    return True


def parsed_definitions(texts: Sequence[str]) -> np.ndarray:
    """Counts int64 `[N, 2]` for each text: `definitions` that parse, and all; (0, 0) of a text that has none.

    The validity rate is the ratio of their sums. Definitions of one text go together, so bootstrap over texts, or
    take `wilson(*counts.sum(axis=0))` where there are few of them. Real windows of the same length are the ceiling:
    a string's line that begins at column 0 looks like the end of its definition.

    Raises:
        FourfoldError: no texts.
    """
    if not len(texts):
        raise FourfoldError("no texts to look for definitions in: need at least one")
    found = [definitions(text) for text in texts]
    return np.array([[sum(map(parses, some)), len(some)] for some in found], np.int64)
