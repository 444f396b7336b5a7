"""Generated Python is cut into top-level definitions, and those that parse are counted."""

from __future__ import annotations

import argparse
import ast
import csv
import difflib
import inspect
import warnings
from types import ModuleType

import pytest

from apps.text.code_metrics import definitions, parsed_definitions, parses
from core.errors import FourfoldError

TEXT = '''    return 1  # of a definition whose head is cut

import os
def first(
    a, b,
):
    """Doc."""

# a comment at column 0
    return a

x = 3
@decorator(
    1,
)
@other
async  def second():
    pass
class Third(Base):
    def method(self): ...


def last(a):
    return a
'''


def test_definitions() -> None:
    found = definitions(TEXT)
    assert [code.split("\n")[0] for code in found] == ["def first(", "@decorator(", "class Third(Base):"]
    assert all(map(parses, found))
    assert "return a" in found[0] and "x = 3" not in found[0] and "@other" in found[1] and "method" in found[2]
    # The last is whole where something follows.
    assert len(definitions(TEXT + "x = 1\n")) == 4
    assert definitions("def only(): pass\n") == definitions("") == definitions("x = 1\nclassy = 2\ndefine()\n") == []
    # A decorator of nothing is a definition that does not parse.
    assert definitions("@decorator\nx = 1\n") == ["@decorator\n"] and not parses("@decorator\n")


@pytest.mark.parametrize("module", [argparse, ast, csv, difflib])
def test_real_code_parses(module: ModuleType) -> None:
    source = inspect.getsource(module)
    whole = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    good, all_ = parsed_definitions([source])[0]
    assert good == all_ and len(whole) - 1 <= all_ <= len(whole)


def test_broken_code_does_not() -> None:
    source = inspect.getsource(difflib)
    broken = source.replace("):\n", ")\n")
    good, all_ = parsed_definitions([source, broken])
    assert good[0] == good[1] == all_[1] > 2 * all_[0]


def test_whatever_a_model_writes_is_judged() -> None:
    for code in ("(" * 5000, "-" * 200_000 + "1", "def f():\0", "'\ud800'", "9" * 10_000, "def f(:", "x = [" * 300):
        assert not parses(code)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert parses("x = '\\d' is 3\n")


def test_counts_are_by_text() -> None:
    counts = parsed_definitions(["def f(: pass\ndef g(): pass\nx", "", "x = 1"])
    assert counts.tolist() == [[1, 2], [0, 0], [0, 0]]
    with pytest.raises(FourfoldError, match="no texts"):
        parsed_definitions([])
