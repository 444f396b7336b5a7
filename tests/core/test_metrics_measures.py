"""What a measure says, in words: a win is one, and memorization and overfitting are said wherever it is shown."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.command_line.printing import print_measures
from core.metrics.memorization import memorization_test
from core.runs.measures import (
    Measure,
    against_real,
    markdown_table,
    measure_from_dict,
    measure_to_dict,
    near_copies,
    verdict,
)
from core.runs.report import measure_table
from core.tour.wall import Cell, cell_html, wall

DISTANCE = Measure(name="fd", value=3.0, better="lower", interval=(2.5, 3.5), baseline=9.0, baseline_name="Gaussian",
                   floor=2.0, floor_is="least")
COPIES = Measure(name="near_copies", value=0.06, better="lower", interval=(0.04, 0.08), floor=0.05, floor_is="copies")
NOVEL = Measure(name="novel", value=0.97, better="higher", interval=(0.95, 0.98), floor=1.0, floor_is="copies")
LOSS = Measure(name="bits_per_byte", value=1.26, better="lower", interval=(1.2, 1.3), baseline=2.8,
               baseline_name="trigram", train_value=1.2)

TOO_CLOSE = replace(DISTANCE, value=1.0, interval=(0.8, 1.2))
COPIED = replace(COPIES, value=0.6, interval=(0.5, 0.7))
STALE = replace(NOVEL, value=0.22, interval=(0.2, 0.25))
OVERFITTED = replace(LOSS, train_value=0.69)


@pytest.mark.parametrize(("measure", "words"), [
    (TOO_CLOSE, "closer to the test data than real data are"),
    (COPIED, "more copies of training data than real data have: memorized"),
    (STALE, "more copies of training data than real data have: memorized"),
    (OVERFITTED, "the training data's is 0.69, far below: overfitted"),
])
def test_suspicious_measures_say_so_wherever_they_are_shown(
    measure: Measure, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = verdict(measure)
    assert words in said.words and said.good is False
    print_measures("title", [measure])
    assert words in " ".join(capsys.readouterr().out.split())
    assert words in markdown_table([measure]) and words in measure_to_dict(measure)["verdict"]
    escaped = words.replace("'", "&#x27;")
    assert escaped in measure_table([measure])
    assert escaped in cell_html(Cell(column="text", row="vae", measures=[measure]))
    assert escaped in cell_html(Cell(column="text", row="vae", measures=[DISTANCE, measure]))


@pytest.mark.parametrize("measure", [DISTANCE, COPIES, NOVEL, LOSS])
def test_honest_measures_are_not_suspected(measure: Measure) -> None:
    said = verdict(measure)
    assert said.words == ("beats its baseline" if measure.baseline else "") and said.good is (measure.baseline and True)


def test_what_the_intervals_leave_open_is_not_said() -> None:
    assert verdict(replace(TOO_CLOSE, interval=(0.0, 2.1))).words == "beats its baseline"
    assert verdict(replace(TOO_CLOSE, floor_is="reached")).words == "beats its baseline"
    assert not verdict(replace(COPIED, interval=(0.04, 1.0))).words
    assert not replace(OVERFITTED, interval=(0.6, 1.9)).overfitted
    assert not replace(LOSS, value=0.04, interval=(0.03, 0.05), train_value=0.01).overfitted


def test_too_good_is_no_win() -> None:
    assert DISTANCE.beats_baseline and TOO_CLOSE.beats_baseline is False
    assert "baseline" not in verdict(TOO_CLOSE).words
    assert OVERFITTED.beats_baseline, "of held-out data, whatever the training data's"
    assert verdict(replace(DISTANCE, value=10.0)).words == "does not beat its baseline"
    assert replace(DISTANCE, value=float("nan")).beats_baseline is False
    cells = [Cell(column="image", row=str(i), measures=list(some)) for i, some in enumerate((
        (DISTANCE,), (DISTANCE, COPIES), (DISTANCE, COPIED), (TOO_CLOSE,)))]
    assert "2 of 4 beat their baseline" in wall("title", "", cells, {})


def test_a_baseline_better_than_real_data_is_none() -> None:
    precision = Measure(name="precision", value=0.7, better="higher", floor=0.8, baseline=0.98,
                        baseline_name="Gaussian")
    found = against_real(precision)
    assert found.baseline is None and found.beats_baseline is None
    assert verdict(found).words == "no baseline: Gaussian has 0.98, better than real data"
    assert against_real(replace(precision, baseline=0.6)).beats_baseline
    assert against_real(DISTANCE) == DISTANCE and against_real(replace(DISTANCE, baseline=1.0)).baseline is None


def test_the_verdict_on_copies_is_the_tests() -> None:
    random = np.random.default_rng(0)
    train, held, fresh = random.normal(size=(3, 300, 20))
    copied = near_copies(memorization_test(train[:100], train, held), 100)
    assert copied.copied and copied.floor is not None and copied.floor < 0.15 and copied.value == 1
    assert not verdict(near_copies(memorization_test(fresh, train, held), 300)).words
    unknown = near_copies(memorization_test(train, train, train), 300)
    assert unknown.floor is None and not unknown.copied
    assert verdict(unknown).words == "no verdict: 0 held-out without a copy in the training data, too few"


def test_measures_are_read_back_and_older_ones_too() -> None:
    for measure in (DISTANCE, COPIED, OVERFITTED, replace(COPIES, floor=None, remark="no verdict: x")):
        assert measure_from_dict(measure_to_dict(measure)) == measure
    row = measure_to_dict(DISTANCE)
    old = {name: value for name, value in row.items() if name not in ("train_value", "floor_is", "remark", "verdict")}
    assert measure_from_dict(old) == replace(DISTANCE, floor_is="reached")
