"""Errors that speak to the user: one clear line that says what is wrong and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

SHOWN = 200
"""Characters of a refused value that an error's line shows."""
LONGEST, END = 2000, 400
"""Characters of an error's line, and of those the last that stay when its middle is left out."""


class FourfoldError(Exception):
    """A mistake the user can mend. The command line prints its one line and exits with code 2.

    Messages tell of names and values that users, or those who sent them a file, chose freely: what would end the line
    or command a terminal is shown as an escape, and what is very long is cut.
    """

    def __init__(self, message: str) -> None:
        line = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in message.replace("\n", " "))
        super().__init__(line if len(line) <= LONGEST else f"{line[: LONGEST - END - 5]} ... {line[-END:]}")


class Unsupported(FourfoldError):
    """Something this family or space cannot do, such as the likelihood of a GAN."""


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """The end of an error's line: the closest of `choices` to `name`, or all of them when none is close."""
    known = sorted(choices)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    shown = ", ".join(known) if len(known) <= 60 else f"{', '.join(known[:60])} and {len(known) - 60:,} more"
    return f"known: {shown}" if known else "none are known"


def require(condition: bool, key: str, value: object, allowed: str) -> None:
    """Refuse a setting's value, in the one form that all such errors take.

    Raises:
        FourfoldError: `condition` is false.
    """
    if not condition:
        try:
            shown = repr(value)
        except ValueError:  # a whole number of more digits than Python prints
            shown = "a number of thousands of digits"
        shown = shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}..."
        raise FourfoldError(f"{key} is {shown}: {allowed}")


def require_within(low: float, high: float, key: str, value: float) -> None:
    """Refuse a number outside [low, high].

    Raises:
        FourfoldError: it is.
    """
    require(low <= value <= high, key, value, f"must be in [{low:,}, {high:,}]")
