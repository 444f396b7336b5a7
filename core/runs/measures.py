"""A measured number, with what it must be read against, as JSON and as a person reads it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from core.serialization import Json


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
        floor: the same measure of real data against real data.
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

    @property
    def beats_baseline(self) -> bool | None:
        """Whether the value is on the good side of the baseline; None without one."""
        if self.baseline is None:
            return None
        return self.value < self.baseline if self.better == "lower" else self.value > self.baseline


def measure_to_dict(measure: Measure) -> Json:
    """A measure as JSON values; what is not finite becomes null, since JSON has no NaN."""
    values = dataclasses.asdict(measure) | {"beats_baseline": measure.beats_baseline}
    return {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in values.items()}


def measure_from_dict(row: Json) -> Measure:
    """What `measure_to_dict` made."""
    known = {f.name for f in dataclasses.fields(Measure)}
    values = {name: value for name, value in row.items() if name in known}
    values["value"] = math.nan if values["value"] is None else values["value"]
    values["interval"] = tuple(values["interval"]) if values["interval"] else None
    return Measure(**values)


def markdown_table(measures: Sequence[Measure]) -> str:
    """Measures as a markdown table."""
    head = "| measure | value | 95 % interval | baseline | floor | kind | n |\n|---|---|---|---|---|---|---|\n"
    return head + "".join(f"| {' | '.join(measure_cells(measure))} |\n" for measure in measures)


def measure_cells(measure: Measure) -> tuple[str, ...]:
    """Name (with an arrow to the good side), value, interval, baseline, floor, kind, count as a person reads them."""
    arrow = "↓" if measure.better == "lower" else "↑"
    interval = "" if measure.interval is None else " – ".join(figure(bound) for bound in measure.interval)
    baseline = "" if measure.baseline is None else f"{figure(measure.baseline)} {measure.baseline_name or ''}".strip()
    return (f"{measure.name} {arrow}", figure(measure.value), interval, baseline, figure(measure.floor),
            measure.kind, f"{measure.count:,}")


def figure(value: float | None) -> str:
    """A number with four significant figures; nothing for None."""
    return "" if value is None else f"{value:.4g}"
