"""Which family suits these data? All that can learn them, for equal minutes, judged alike, in one report.

Each family is a cell, as in the tour (`core.tour.jobs`): a run of its own, sized for the data by the rule of
`core.runs.sizing`. What a user adds (`core.tour.others`) is judged beside them. The rule that names a winner:

- the first measure that all rows have decides: the domain's headline where families share it, else (a GAN has no
  likelihood) the first measure of samples;
- who holds more copies of the training data than real data do, or is closer to the held-out data than real data are,
  comes after all who do not;
- the best family wins; whether it is told apart from the second is whether their 95 % intervals overlap. An interval is
  of the examples and samples measured, not of training anew with another seed.
"""

from __future__ import annotations

import hashlib
import html
import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np

from core.errors import FourfoldError
from core.files import new_folder, one_writer, read_json, remove, remove_leftovers, write_atomically, write_json
from core.runs.domain import Domain, Prepared
from core.runs.measures import Measure, figure, measure_cells, measure_to_dict, verdict
from core.runs.media import are_whole, load_media, save_media
from core.runs.model import CodecT, DataT, Item
from core.runs.places import default_folder
from core.runs.recipe import Recipe
from core.runs.report import commands_html, measure_table
from core.runs.run import PREVIEW, Run, clear, may_hold, write_recipe
from core.runs.sizing import assigned, name_of, own_data
from core.runtime import environment
from core.serialization import Json
from core.tour.jobs import Job, card, headline, measures_of, refuse_foreign, run_jobs, usual_workers
from core.tour.others import refuse_other
from core.tour.tour import FAMILIES
from core.tour.wall import Cell, wall

RECORD = "compare.json"
OTHERS, REAL = "others", "real"
FEWEST = 10
"""Held-out examples that a comparison needs."""
MOST_COPIED = 512
"""Held-out examples that tell whether the data are the same as before."""
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ranking:
    """Rows by the measure that decides, the best first; those that copy come last.

    Attributes:
        measures: the deciding measure of each row; its remark says what else is suspicious about the row.
        suspicious: the rows that come last for that.
    """

    measures: Mapping[str, Measure]
    suspicious: frozenset[str]

    @property
    def measure(self) -> str:
        """The name of the measure that decides."""
        return next((measure_cells(measure)[0] for measure in self.measures.values()), "none")

    def winner(self, among: Sequence[str]) -> str | None:
        """The best of those that do not copy."""
        return next((name for name in self.measures if name in among and name not in self.suspicious), None)

    def second(self, among: Sequence[str]) -> str | None:
        """The next best after the winner."""
        return next((name for name in self.measures if name in among and name != self.winner(among)), None)


def rank(rows: Mapping[str, Sequence[Measure]]) -> Ranking:
    """The rows, by name, in the order that the first measure gives that all of them have."""
    names = [{measure.name for measure in measures} for measures in rows.values()]
    shared = [measure for measures in rows.values() for measure in measures if all(measure.name in n for n in names)]
    if not shared:
        return Ranking({}, frozenset())
    decides = shared[0].name
    found = {name: next(m for m in measures if m.name == decides) for name, measures in rows.items()}
    suspicious = frozenset(name for name, measures in rows.items()
                           if found[name].too_close or any(measure.copied for measure in measures))

    def order(name: str) -> tuple[bool, bool, float]:
        value = found[name].value if found[name].better == "lower" else -found[name].value
        return name in suspicious, math.isnan(value), value

    def remarked(name: str) -> Measure:
        said = [found[name].remark] + [f"{m.name}: {verdict(m).words}" for m in rows[name]
                                       if m.name != decides and (m.too_close or m.copied or m.overfitted)]
        return replace(found[name], remark="; ".join(filter(None, said)))

    return Ranking({name: remarked(name) for name in sorted(rows, key=order)}, suspicious)


def separated(one: Measure, other: Measure) -> bool | None:
    """Whether two intervals do not overlap; None where one of the measures has none."""
    if one.interval is None or other.interval is None:
        return None
    return max(one.interval) < min(other.interval) or max(other.interval) < min(one.interval)


@dataclass(frozen=True)
class Outcome:
    """What a comparison found.

    Attributes:
        succeeded: whether every row was measured.
        record: what compare.json holds.
        sentence: who won, and whether that is certain.
        commands: what to do with the winner.
    """

    succeeded: bool
    ranking: Ranking
    record: Json
    sentence: str
    commands: Sequence[str]
    report: Path


@dataclass(frozen=True, kw_only=True)
class _Comparison:
    """What is compared, and where."""

    domain: str
    name: str
    folder: Path
    families: Sequence[Job]
    others: Sequence[Job]
    left_out: Mapping[str, str]
    facts: Json
    began: float
    spent: float

    @property
    def jobs(self) -> list[Job]:
        return [*self.families, *self.others]

    def outcome(self) -> Outcome:
        """What is known so far, which the record and the report tell."""
        results = {job.family: result for job in self.jobs if (result := job.result()) is not None}
        ranking = rank({name: measures_of(result) for name, result in results.items()})
        families = [job.family for job in self.families]
        winner = ranking.winner(families)
        minutes = round(self.spent + (time.monotonic() - self.began) / 60, 2)
        rows: dict[str, Json] = {family: {"left_out": why} for family, why in self.left_out.items()}
        for job in self.jobs:
            if job.family in results:
                result = results[job.family]
                rows[job.family] = {**headline(result), "measures": result["measures"], "run": str(job.folder)}
            elif job.error is not None:
                rows[job.family] = {"error": job.error}
        told, sentence = self._told(ranking, winner, families)
        record: Json = {
            **self.facts, "minutes_spent": minutes, "rows": rows, "decided_by": ranking.measure.rpartition(" ")[0],
            "ranking": list(ranking.measures), "suspicious": sorted(ranking.suspicious), "winner": told,
            "finished": len(results) == len(self.jobs),
            "environment": {**environment(), "date": date.today().isoformat()},
        }
        commands = [] if winner is None else [str(command) for command in results[winner]["commands"]]
        return Outcome(len(results) == len(self.jobs), ranking, record, sentence, commands,
                       self.folder / "report.html")

    def _told(self, ranking: Ranking, winner: str | None, families: Sequence[str]) -> tuple[Json | None, str]:
        """The winner as values and as a sentence."""
        if winner is None:
            why = "all copy their training data" if ranking.measures else "no family is finished"
            return None, f"No family is named: {why}."
        best = ranking.measures[winner]
        value = measure_to_dict(best)["value"]
        told: Json = {"family": winner, "measure": best.name, "value": value, "interval": best.interval, "second": None,
                      "separated": None}
        finished = [name for name in families if name in ranking.measures]
        far = "" if len(finished) == len(families) else f", of the {len(finished)} finished"
        words = f"{winner} suits {self.name} best{far}: {ranking.measure} {_with_interval(best)}"
        second = ranking.second(families)
        lost = "" if best.beats_baseline is not False or best.baseline is None else (
            f" It does not beat its baseline, {measure_cells(best)[3]}: train longer before you trust the order.")
        if second is None:
            return told, f"{words}; there is no second to compare it with.{lost}"
        other = ranking.measures[second]
        apart = separated(best, other)
        told |= {"second": second, "separated": apart}
        words += f", then {second}, {_with_interval(other)}. "
        words += {
            True: "Their intervals do not overlap.",
            False: "Their intervals overlap: too close to call after so little; more --minutes may tell them apart.",
            None: "There are no intervals to tell them apart by.",
        }[apart]
        words += lost
        if second in ranking.suspicious:
            words += f" ({second} comes after it as it copies.)"
        names = list(ranking.measures)
        ahead = [name for name in names[: names.index(winner)] if name not in families]
        if ahead:
            words += f" Better still: {', '.join(ahead)}."
        return told, words

    def save(self) -> None:
        """Write compare.json, and the report once there is something to see."""
        outcome = self.outcome()
        write_json(self.folder / RECORD, outcome.record)
        if any("measures" in row or "error" in row for row in outcome.record["rows"].values()):
            write_atomically(outcome.report, self._page(outcome).encode())

    def _page(self, outcome: Outcome) -> str:
        """The report: who won, the table, then a card for each row and one for real data."""
        ranking, results = outcome.ranking, [job.result() for job in self.jobs]
        shows = next((str(result.get("shows", "")) for result in results if result is not None), "")
        table = [replace(measure, name=name) for name, measure in ranking.measures.items()]
        rule = (f"Decided by {ranking.measure}, the first measure that all of them have; who copies comes last. An "
                "interval is of the samples and examples measured, not of training anew with another seed.")
        left = "".join(f"<li>{html.escape(name)} is left out: {html.escape(why)}</li>"
                       for name, why in self.left_out.items())
        before = [f'<p style="font-size: 1.15rem; margin: 1rem 0">{html.escape(outcome.sentence)}</p>']
        if table:
            before.append(measure_table(table, of_models=True) + f'<p class="dim small">{html.escape(rule)}</p>')
        if left:
            before.append(f'<ul class="dim small">{left}</ul>')
        if outcome.commands:
            before.append(f"<h2>Use the best</h2>{commands_html(outcome.commands)}")
        cells = [card(job, self.folder, job.family, self.name) for job in self.jobs]
        real = load_media(self.folder / REAL / "preview")
        if real:
            cells.append(Cell(column="real data, held out", row=self.name, media=real))
        words = (f"Which family suits {self.facts['data']}? {self.facts['minutes_each']:g} minutes of training each, "
                 f"sized for the data; judged by the same measures, on the same {self.facts['held_out']:,} held-out "
                 f"examples, with as many samples. {shows}")
        environment_facts = {"data": self.facts["data"], "seed": self.facts["seed"], **outcome.record["environment"],
                             "minutes in all": outcome.record["minutes_spent"]}
        after = f"<h2>All measures</h2>{_matrix({j.family: measures_of(r) for j in self.jobs if (r := j.result())})}"
        return wall(f"Compare: {self.name}", words, cells, environment_facts, columns=FAMILIES,
                    before="\n".join(before), after=after)


def compare(
    domain: Domain[DataT, CodecT, Item], program: Sequence[str], *, data: Path | None, recipe: str | None = None,
    minutes: float, families: Sequence[str] = tuple(FAMILIES), others: Sequence[str] = (),
    assignments: Sequence[str] = (), seed: int = 0, folder: Path | None = None, workers: int | None = None,
    fresh: bool = False,
) -> Outcome:
    """Train families on the same data for equal minutes, judge them and `others`; writes compare.json and report.html.

    Finished families are kept, interrupted ones go on, and more minutes train finished ones on; what is added is judged
    anew each time.

    Args:
        program: the command line of the domain's program, without arguments: each cell is a process of it.
        data: a user's folder or file; without it the data are those of `recipe`, or of the domain's first.
        minutes: of training in total, shared equally by the families; judging takes some more.
        others: runs, or functions (n, seed) -> items as "module:function", as further rows.
        assignments: `--set` of a recipe's keys, for all families.
        folder: by default runs/<domain>/compare-<the name of the data>.
        workers: families that train at a time; by default one for each core, at most four.

    Raises:
        FourfoldError: bad data or settings, no family that can learn them, another comparison in the folder.
    """
    if data is not None and not data.exists():
        raise FourfoldError(f"--data is {str(data)!r}: no such folder or file")
    if data is not None and recipe is not None:
        raise FourfoldError(f"give --data or a recipe's name ({recipe!r}), whose data are taken: not both")
    if any(each.startswith("train.steps=") for each in assignments):
        raise FourfoldError("--set train.steps: families are compared after equal minutes: give --minutes instead")
    of_recipe = domain.recipe(recipe or next(iter(domain.recipes)))
    name = name_of(data) if data is not None else of_recipe.name
    config = own_data(domain, data, assignments) if data is not None else domain.override(of_recipe, [
        each for each in assignments if each.startswith("data.")]).data
    home = folder or default_folder(f"compare-{name}", domain.name)
    refuse_foreign(home, RECORD, "a comparison")
    prepared = domain.ready(config)
    if len(prepared.test) < FEWEST:
        raise FourfoldError(f"{len(prepared.test)} held-out examples are too few to compare by: at least {FEWEST} are "
                            "needed; give more data")
    for what in others:
        refuse_other(domain, prepared, what)
    recipes, left_out = _recipes(domain, config, prepared, families, assignments, minutes, name, seed)
    with one_writer(home):
        remove_leftovers(home)
        if fresh:
            _clear(home)
        facts: Json = {
            "domain": domain.name, "data": str(data) if data is not None else f"the data of {of_recipe.name}",
            "name": name, "seed": seed, "minutes": minutes, "training": len(prepared.train),
            "held_out": len(prepared.test), "fingerprint": _fingerprint(prepared),
        }
        spent = _may_hold(home, facts)
        each = next(iter(recipes.values()))
        facts["minutes_each"] = each.train.minutes
        for family, one in recipes.items():
            _make_way(Run(home / family), one, domain)
        _keep_real(domain, prepared, home / REAL)
        trained = [_job(domain.name, family, home / family, program, ("--run", str(home / family), "--recipe", str(
            Run(home / family).recipe_file))) for family in recipes]
        first = Run(home / next(iter(recipes))).recipe_file
        comparison = _Comparison(
            domain=domain.name, name=name, folder=home, families=trained,
            others=[_other(domain.name, home, program, first, what, recipes) for what in dict.fromkeys(others)],
            left_out=left_out, facts=facts, began=time.monotonic(), spent=spent)
        run_jobs(comparison.jobs, workers or usual_workers(), comparison.save)
        return comparison.outcome()


def _recipes(
    domain: Domain[DataT, CodecT, Item], config: DataT, prepared: Prepared[CodecT], families: Sequence[str],
    assignments: Sequence[str], minutes: float, name: str, seed: int,
) -> tuple[dict[str, Recipe[DataT]], dict[str, str]]:
    """A recipe for each family that can learn the data, and why the others cannot.

    Raises:
        FourfoldError: none can; the line is that of the first.
    """
    def made(family: str, minutes: float) -> tuple[Recipe[DataT], str]:
        return assigned(domain, config, prepared, family, assignments, minutes=minutes, name=name)

    able, left_out = [], {}
    for family in families:
        try:
            made(family, minutes)
            able.append(family)
        except FourfoldError as error:
            left_out[family] = str(error)
    if not able:
        raise FourfoldError(next(iter(left_out.values())))
    for family, why in left_out.items():
        logger.warning(f"{family} is left out: {why}")
    recipes = {}
    for family in able:
        recipe, why = made(family, round(minutes / len(able), 4))
        recipes[family] = replace(recipe, seed=seed)
        logger.warning(why)
    return recipes, left_out


def _job(domain: str, name: str, folder: Path, program: Sequence[str], words: Sequence[str]) -> Job:
    return Job(domain, name, folder, lambda: [*program, "cell", *words])


def _other(
    domain: str, home: Path, program: Sequence[str], recipe: Path, what: str, taken: Mapping[str, object]
) -> Job:
    """The job that judges a run or a function; what it made before is removed, for that may have changed since."""
    name = Path(what).name if Path(what).name not in taken else what
    folder = home / OTHERS / "".join(letter if letter.isalnum() or letter in "-._" else "_" for letter in what)
    remove(folder / "cell.json")
    return _job(domain, name, folder, program, (
        "--run", str(folder), "--recipe", str(recipe), "--judge", what))


def _make_way(run: Run, recipe: Recipe[DataT], domain: Domain[DataT, CodecT, Item]) -> None:
    """Make the folder this recipe's run; a result of fewer minutes is dropped, so that training goes on.

    Raises:
        FourfoldError: it holds another recipe, or one that trained longer.
    """
    if may_hold(run, recipe, domain):
        before, now = run.recipe(domain).train.minutes, recipe.train.minutes
        if before is not None and now is not None and before > now:
            raise FourfoldError(f"{run.folder} was given {before:g} minutes, and is to have {now:g}: give as many "
                                "--minutes as before or more, start again with --fresh, or choose another folder with "
                                "--run")
        if before != now:
            remove(run.cell_file)
    run.folder.mkdir(parents=True, exist_ok=True)
    write_recipe(run, recipe)


def _may_hold(home: Path, facts: Json) -> float:
    """Check that what the folder holds is of these data and this seed, if anything; returns the minutes spent."""
    if not (home / RECORD).exists():
        write_json(home / RECORD, {**facts, "minutes_spent": 0.0})
        return 0.0
    try:
        old = read_json(home / RECORD)
    except FourfoldError as error:
        raise FourfoldError(f"{error}: start again with --fresh") from None
    for key in ("seed", "training", "held_out", "fingerprint"):
        if old.get(key) != facts[key]:
            words = (f"the data of {home} have changed since" if key == "fingerprint" else
                     f"{home} holds a comparison of other data or another seed ({key}: {old.get(key)} -> {facts[key]})")
            raise FourfoldError(f"{words}: start it again with --fresh, or choose another folder with --run")
    spent = old.get("minutes_spent", 0.0)
    return float(spent) if isinstance(spent, int | float) else 0.0


def _fingerprint(prepared: Prepared[CodecT]) -> str:
    """Eight hexadecimal digits for some of the held-out examples."""
    rows = np.unique(np.linspace(0, len(prepared.test) - 1, MOST_COPIED).astype(np.int64))
    return hashlib.blake2b(prepared.test.batch(rows).x.numpy().tobytes(), digest_size=4).hexdigest()


def _clear(home: Path) -> None:
    """Remove the runs of a comparison, each of which says that it is one by its recipe.json, and all that goes with
    them."""
    for path in home.glob("*/recipe.json"):
        clear(Run(path.parent))
    for name in (OTHERS, REAL, RECORD, "report.html"):
        remove(home / name)


def _keep_real(domain: Domain[DataT, CodecT, Item], prepared: Prepared[CodecT], folder: Path) -> None:
    """Keep some held-out items to look at beside the samples, where the items are what the data are made of."""
    if domain.draw is not None or are_whole(folder / "preview") and load_media(folder / "preview"):
        return
    batch = prepared.test.batch(np.arange(min(PREVIEW, len(prepared.test))))
    with new_folder(folder) as ready:
        save_media(domain.preview(prepared.codec.decode(batch)), ready / "preview")


def _with_interval(measure: Measure) -> str:
    interval = measure_cells(measure)[2]
    return f"{figure(measure.value)} ({interval})" if interval else figure(measure.value)


def _matrix(rows: Mapping[str, Sequence[Measure]]) -> str:
    """A table of all measures by row of the comparison, with their intervals, baselines and the floor of real data."""
    names = list(dict.fromkeys(measure_cells(m)[0] for measures in rows.values() for m in measures))
    heads = ["measure", *rows, "baseline", "real data"]
    lines = []
    for name in names:
        found = {row: m for row, measures in rows.items() for m in measures if measure_cells(m)[0] == name}
        cells = [name]
        for row in rows:
            cells.append(_with_interval(found[row]) if row in found else "")
        for column in (3, 4):
            cells.append("; ".join(dict.fromkeys(filter(None, (measure_cells(m)[column] for m in found.values())))))
        lines.append("<tr>" + "".join(f'<td data-head="{html.escape(head, quote=True)}">{html.escape(cell)}</td>'
                                      for head, cell in zip(heads, cells, strict=True)) + "</tr>")
    head = "".join(f"<th>{html.escape(name)}</th>" for name in heads)
    return f'<table class="stack small"><tr>{head}</tr>{"".join(lines)}</table>'

