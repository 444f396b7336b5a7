"""What takes long says so: how far it is and how long yet, or at least that it is alive."""

import re
import time

import pytest

from core import waiting
from core.waiting import Wait, followed


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "QUIET", 0.2)
    monkeypatch.setattr(waiting, "BETWEEN", 0.3)


def test_lines_tell_how_far_and_how_long(hasty: None, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in followed(range(10), "reading pictures"):
        time.sleep(0.1)
    lines = capsys.readouterr().err.splitlines()
    assert 2 <= len(lines) <= 4
    assert re.fullmatch(r"reading pictures: [1-3] of 10, \d+ a second, \d\.\d s left", lines[0]), lines


def test_one_long_call_is_no_silence_and_a_short_one_says_nothing(
    hasty: None, capsys: pytest.CaptureFixture[str]
) -> None:
    with waiting.waiting("fitting"):
        time.sleep(0.1)
    assert capsys.readouterr().err == ""
    with waiting.waiting("fitting"):
        time.sleep(0.4)
    assert re.fullmatch(r"fitting: 0\.\d s so far\n", capsys.readouterr().err)


def test_the_innermost_wait_is_told(
    hasty: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with waiting.waiting("evaluating"), waiting.waiting("drawing", 100) as inner:
        inner.started -= 2
        inner.step(50)
        time.sleep(0.3)
    assert capsys.readouterr().err.startswith("drawing: 50 of 100, ")
    monkeypatch.setenv("RANK", "1")  # a process beside the first
    with waiting.waiting("evaluating"):
        time.sleep(0.3)
    assert capsys.readouterr().err == ""


def test_a_terminal_shows_a_bar_and_clears_it(
    hasty: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich then takes any stream for a terminal
    monkeypatch.setenv("TERM", "xterm")
    with waiting.waiting("evaluating"):
        for _ in followed(range(4), "drawing"):
            time.sleep(0.5)
    err = capsys.readouterr().err
    assert "evaluating: " in err and re.search(r"drawing: \d of 4, ", err) and "left" in err
    assert err.rstrip("\r").endswith("\x1b[2K") or "\x1b[?25h" in err


def test_what_was_done_before_does_not_count_for_the_rate() -> None:
    wait = Wait("computing", 10_000)
    wait.skip(9_000)
    wait.started -= 100
    wait.step(9_500)
    assert wait.line == "computing: 9,500 of 10,000, 5 a second, 1.7 min left"
    wait.step(9_010)
    assert wait.line == "computing: 9,010 of 10,000, 10 s each, 2.8 h left"
