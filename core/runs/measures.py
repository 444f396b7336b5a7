"""A measured number, with what it must be read against, as JSON and as a person reads it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

from core.errors import require
from core.serialization import Json, from_dict

if TYPE_CHECKING:
    from core.metrics.memorization import Memorization

COPIES = 0.05  # the share of copies over real data's that is no chance
OVERFIT, LEAST = 0.2, 0.05  # how far a training loss may be below the test loss: a share of it, and at least so much


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One measured number, with what it must be read against.

    Attributes:
        name: the measure's full name, e.g. "fd_digits_cnn" or "bits_per_byte".
        value: the figure; `interval`: its 95 % interval, where known.
        better: which direction is good.
        kind: "exact" or "bound" for likelihoods, "estimate" for anything measured on samples.
        count: examples or samples measured.
        baseline: the same measure of the baseline called `baseline_name`.
        floor: the same measure of real data against real data, as many as the samples.
        train_value: of a likelihood, the same measure of training examples: as many, unless the remark says how many.
        floor_is: how the floor is read. "reached": real data's own score. "least": samples are not closer to the test
            data than real data are, unless they are copies. "copies": the share of held-out data that training data
            hold too (of novelty, where higher is better: that they do not hold).
        remark: what else a reader must know, in words.
    """

    name: str
    value: float
    better: Literal["lower", "higher"]
    kind: Literal["exact", "bound", "estimate"] = "estimate"
    count: int = 0
    interval: tuple[float, float] | None = None
    baseline: float | None = None
    baseline_name: str | None = None
    floor: float | None = None
    train_value: float | None = None
    floor_is: Literal["reached", "least", "copies"] = "reached"
    remark: str = ""

    @property
    def beats_baseline(self) -> bool | None:
        """Whether the value is on the good side of the baseline, and not so good that it is no win; None without one.
        """
        if self.baseline is None:
            return None
        return self._gain(self.value, self.baseline) > 0 and not self.too_close and not self.copied

    @property
    def too_close(self) -> bool:
        """Whether samples are closer to the test data than real data are, beyond the interval."""
        if self.floor is None or self.interval is None or self.floor_is != "least":
            return False
        return min(self._gain(end, self.floor) for end in self.interval) > 0

    @property
    def copied(self) -> bool:
        """Whether samples hold more of the training data than real data do, beyond the interval."""
        if self.floor is None or self.floor_is != "copies":
            return False
        return (self._gain(self.value, self.floor) < -COPIES
                and max(self._gain(end, self.floor) for end in self.interval or (self.value,)) < 0)

    @property
    def overfitted(self) -> bool:
        """Whether training examples are far likelier than test examples, beyond the interval."""
        if self.train_value is None:
            return False
        gap = self.value - self.train_value
        return bool(gap > max(LEAST, OVERFIT * abs(self.value))
                    and self.train_value < min(self.interval or (self.value,)))

    def _gain(self, value: float, other: float) -> float:
        """How much better `value` is than `other`; NaN is not."""
        return float(other - value if self.better == "lower" else value - other)


@dataclass(frozen=True)
class Verdict:
    """What a measure says, in words; `good`: whether it is good news, None for neither."""

    words: str
    good: bool | None


def verdict(measure: Measure) -> Verdict:
    """What a measure says: whether it beats its baseline, what makes that suspicious, and its remark."""
    warnings = [words for words, holds in (
        ("closer to the test data than real data are: memorized or overfitted?", measure.too_close),
        ("more copies of training data than real data have: memorized", measure.copied),
        (f"the training data's is {figure(measure.train_value)}, far below: overfitted", measure.overfitted),
    ) if holds]
    won = measure.beats_baseline
    plain = {True: ["beats its baseline"], False: ["does not beat its baseline"], None: []}[won]
    if won is False and (measure.too_close or measure.copied):
        plain = []
    words = "; ".join([*plain, *warnings, *filter(None, [measure.remark])])
    return Verdict(words, False if warnings else won)


def against_real(measure: Measure) -> Measure:
    """The measure without a baseline that is better than real data are, such as the precision of a fitted Gaussian:
    nobody need beat it."""
    if measure.baseline is None or measure.floor is None or not measure._gain(measure.baseline, measure.floor) > 0:
        return measure
    said = f"no baseline: {measure.baseline_name} has {figure(measure.baseline)}, better than real data"
    remark = "; ".join(filter(None, [said, measure.remark]))
    return dataclasses.replace(measure, baseline=None, baseline_name=None, remark=remark)


def near_copies(found: Memorization, count: int) -> Measure:
    """What `memorization_test` found of so many samples, whose verdict it keeps."""
    from core.metrics.intervals import wilson

    remark = f"held-out copies of training data: {found['twins']:,}" if found["twins"] else ""
    if found["memorized"] is None:
        remark = f"no verdict: {found['held_out']:,} held-out without a copy in the training data, too few"
    return Measure(
        name="near_copies_of_training", value=found["share"], better="lower", count=count,
        interval=wilson(round(found["share"] * count), count),
        floor=None if found["memorized"] is None else found["control_share"],
        floor_is="copies" if found["memorized"] else "reached", remark=remark,
    )


def measure_to_dict(measure: Measure) -> Json:
    """A measure as JSON values, with what it says; what is not finite becomes null, since JSON has no NaN."""
    said = {"beats_baseline": measure.beats_baseline, "verdict": verdict(measure).words}
    values = dataclasses.asdict(measure) | said
    return {name: v if _finite(v) else None for name, v in values.items()}


def _finite(value: object) -> bool:
    """Whether a value is no number, or a finite one; an interval, if both its ends are."""
    if isinstance(value, (tuple, list)):
        return all(map(_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def measure_from_dict(row: object) -> Measure:
    """What `measure_to_dict` made.

    Raises:
        FourfoldError: it is of another shape.
    """
    known = {f.name for f in dataclasses.fields(Measure)}
    require(isinstance(row, dict), "measure", row, "must be an object")
    values = {name: value if _finite(value) else None for name, value in cast(Json, row).items() if name in known}
    lost = values.get("value", 0) is None
    measure = from_dict(Measure, values | {"value": 0.0} if lost else values, "measure")
    return dataclasses.replace(measure, value=math.nan) if lost else measure


HEADS = ("measure", "value", "95 % interval", "baseline", "floor", "kind", "n", "what it says")


def markdown_table(measures: Sequence[Measure]) -> str:
    """Measures as a markdown table."""
    head = f"| {' | '.join(HEADS)} |\n|{'---|' * len(HEADS)}\n"
    return head + "".join(f"| {' | '.join(measure_cells(measure))} |\n" for measure in measures)


def measure_cells(measure: Measure) -> tuple[str, ...]:
    """A measure as a person reads it, by `HEADS`: its name has an arrow to the good side, and a likelihood's value
    stands beside that of training data."""
    arrow = "↓" if measure.better == "lower" else "↑"
    train = "" if measure.train_value is None else f" (training data {figure(measure.train_value)})"
    interval = "" if measure.interval is None else " – ".join(figure(bound) for bound in measure.interval)
    baseline = "" if measure.baseline is None else f"{figure(measure.baseline)} {measure.baseline_name or ''}".strip()
    return (f"{measure.name} {arrow}", figure(measure.value) + train, interval, baseline, figure(measure.floor),
            measure.kind, f"{measure.count:,}", verdict(measure).words)


def row_cells(measure: Measure) -> tuple[str, ...]:
    """`measure_cells` of a table of one measure for several models, whose name stands in the measure's place."""
    return (measure.name, *measure_cells(measure)[1:])


def figure(value: float | None) -> str:
    """A number with four significant figures; nothing for None."""
    return "" if value is None else f"{value:.4g}"
