"""What people come for: `design`, `decorate`, `link`, `score`, `fit`, `predict`, `optimize`, `measure`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import FourfoldError
from core.runs.tasks import (
    Progress,
    Result,
    Task,
    argument,
    changes,
    num_option,
    option,
    seed_option,
    temperature_option,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from apps.molecules.data import MoleculeModel
    from apps.molecules.designing import Molecule

SHOWN = 20
"""Lines of a long table that are printed."""


@dataclass(frozen=True, kw_only=True)
class Design:
    """What `design` takes."""

    num: int = num_option(20)
    targets: str | None = option(
        None, "Targets in real units: logp=2.5,qed=0.8 (logp, qed, weight, tpsa, sa).", "--property"
    )
    novel: bool = option(False, "Leave out molecules of the training set.")
    choose_from: int = option(4, "Candidates for each molecule, the nearest to the targets win.", minimum=1,
                             maximum=10_000)
    temperature: float | None = temperature_option()
    seed: int = seed_option()


def design(model: MoleculeModel, parameters: Design, progress: Progress) -> Result:
    """Molecules near the targets, as a table and a picture."""
    from apps.molecules import designing

    targets = designing.parse_targets(parameters.targets)
    known = designing.training_molecules(model) if parameters.novel else set()
    found = designing.design(
        model, parameters.num, targets=targets, known=known, choose_from=parameters.choose_from, seed=parameters.seed,
        progress=progress, **changes(parameters),
    )
    return _molecules(found, "designed")


def _molecules(found: Sequence[Molecule], name: str, text: str = "") -> Result:
    """Molecules and their properties as a table, an SDF and a picture."""
    from apps.molecules.media import preview, write_table

    rows: list[dict[str, float | str]] = [{"smiles": molecule.smiles, **molecule.properties} for molecule in found]
    return Result(text=text, data={"molecules": rows}, write=lambda folder: write_table(rows, folder, name),
                  media=lambda: preview([molecule.smiles for molecule in found]))


@dataclass(frozen=True, kw_only=True)
class Decorate:
    """What `decorate` takes."""

    scaffold: str = argument("SCAFFOLD", "SMILES to keep; * is where something is attached: 'c1ccc(*)cc1'.")
    num: int = num_option(20)
    temperature: float | None = temperature_option()
    seed: int = seed_option()


def decorate(model: MoleculeModel, parameters: Decorate, progress: Progress) -> Result:
    """Molecules that hold a scaffold."""
    from apps.molecules import constrained

    found = constrained.decorate(model, parameters.scaffold, parameters.num, seed=parameters.seed, progress=progress,
                                 **changes(parameters))
    return _molecules(found.molecules, "decorated", found.summary)


@dataclass(frozen=True, kw_only=True)
class Link:
    """What `link` takes."""

    first: str = argument("FRAGMENT", "SMILES with one attachment point: 'c1ccccc1*'.")
    second: str = argument("FRAGMENT", "Another: '*C1CCNCC1'.")
    num: int = num_option(20)
    temperature: float | None = temperature_option()
    seed: int = seed_option()


def link(model: MoleculeModel, parameters: Link, progress: Progress) -> Result:
    """Molecules that hold two fragments."""
    from apps.molecules import constrained

    found = constrained.link(model, parameters.first, parameters.second, parameters.num, seed=parameters.seed,
                             progress=progress, **changes(parameters))
    return _molecules(found.molecules, "linked", found.summary)


@dataclass(frozen=True, kw_only=True)
class Score:
    """What `score` takes."""

    molecules: list[str] = argument("MOLECULES...", "SMILES, or one file of them: .smi, .csv, .tsv or .txt, .gz too.")
    column: str | None = option(None, "The SMILES column of a table; found unless given.")
    seed: int = seed_option()


def score(model: MoleculeModel, parameters: Score, progress: Progress) -> Result:
    """Nats of each molecule; those that have none are said."""
    from apps.molecules import constrained
    from apps.molecules.data import read_samples
    from apps.molecules.media import write_scores

    given = parameters.molecules
    if len(given) == 1 and Path(given[0]).is_file():
        given = read_samples(Path(given[0]), parameters.column)
    found = constrained.score(model, given, seed=parameters.seed)
    lines = [f"{one.smiles}: {one.problem}" if one.problem else
             f"{one.nats:8.2f} nats, {one.tokens} tokens: {one.smiles}" for one in found]
    more = [f"... and {len(lines) - SHOWN:,} more"] if len(lines) > SHOWN else []
    return Result(
        text="\n".join([*lines[:SHOWN], *more, constrained.summary(found, model.family.likelihood)]),
        data={"molecules": [{"smiles": one.smiles, "nats": None if one.problem else one.nats, "tokens": one.tokens,
                             "problem": one.problem} for one in found]},
        write=lambda folder: write_scores(found, folder),
    )


@dataclass(frozen=True, kw_only=True)
class MeasureFile:
    """What `measure` takes."""

    file: Path = argument("FILE", "Generated SMILES as they were drawn: .smi, .csv, .tsv or .txt, .gz too.")
    column: str | None = option(None, "The SMILES column of a table; found unless given.")
    num: int | None = option(None, "Only the first so many; published rows are of 30,000.", "--num", "-n", minimum=1)
    reference: Path | None = option(None, "A file of held-out molecules to compare with instead of MOSES' test sets.")
    train: Path | None = option(None, "A file of training molecules, for novelty and copies; MOSES' by default.")


def measure(model: None, parameters: MeasureFile, progress: Progress) -> Result:
    """MOSES' table of a file of SMILES."""
    from apps.molecules import measuring
    from apps.molecules.data import read_samples, read_smiles

    smiles = read_samples(parameters.file, parameters.column)[: parameters.num]
    reference, train = parameters.reference, parameters.train
    found = measuring.measure(
        smiles, references=None if reference is None else {reference.stem: read_smiles(reference, max_invalid=1)},
        train=None if train is None else read_smiles(train, max_invalid=1),
    )
    return Result(text=measuring.table(found, len(smiles), published=reference is None),
                  data={"samples": len(smiles), "measures": measuring.finite(found)})


@dataclass(frozen=True, kw_only=True)
class Fit:
    """What `fit` takes."""

    file: Path = argument("FILE", "A table of measured molecules: .csv or .tsv, .gz too.")
    target: str = option("", "The column to predict: numbers, or classes.", "--target")
    column: str | None = option(None, "The SMILES column; found unless given.")
    seed: int = seed_option()


def fit(model: None, parameters: Fit, progress: Progress) -> Result:
    """A property model of a user's table, and how good it is."""
    from apps.molecules import predicting

    if not parameters.target:
        raise FourfoldError("name the column to predict with --target")
    made = predicting.fit(parameters.file, parameters.target, column=parameters.column, seed=parameters.seed)
    facts = made.facts
    text = ", ".join(f"{name} {value:.4g}" for name, value in facts.measured.items())
    return Result(
        text=f"{facts.molecules:,} molecules, {facts.target}; on scaffolds left out: {text}",
        data={"target": facts.target, "classes": facts.classes, "molecules": facts.molecules, **facts.measured},
        write=lambda folder: predicting.save(made, folder),
    )


@dataclass(frozen=True, kw_only=True)
class Predict:
    """What `predict` takes."""

    property: Path = argument("MODEL", "A folder that `fit` wrote.")
    file: Path = argument("FILE", "Molecules: .smi, .csv, .tsv or .txt, .gz too.")
    column: str | None = option(None, "The SMILES column of a table; found unless given.")


def predict(model: None, parameters: Predict, progress: Progress) -> Result:
    """Predictions of a file's molecules, with 90 % intervals."""
    from apps.molecules import predicting
    from apps.molecules.data import read_smiles
    from apps.molecules.media import write_table

    made = predicting.load(parameters.property)
    smiles = read_smiles(parameters.file, parameters.column, max_invalid=1)
    rows = predicting.rows(made, smiles)
    outside = sum(row["outside"] == "yes" for row in rows)
    lines = [" ".join(f"{row[key]:.4g}" if isinstance(row[key], float) else str(row[key]) for key in row)
             for row in rows[:SHOWN]]
    more = [f"... and {len(rows) - SHOWN:,} more"] if len(rows) > SHOWN else []
    told = [f"{outside:,} of {len(rows):,} are unlike all training molecules: do not rely on these"] if outside else []
    return Result(text="\n".join([" ".join(rows[0]), *lines, *more, *told]), data={"molecules": rows},
                  write=lambda folder: write_table(rows, folder, "predicted"))


@dataclass(frozen=True, kw_only=True)
class Optimize:
    """What `optimize` takes."""

    objectives: list[str] = argument(
        "OBJECTIVES...", "Multiplied, each from 0 to 1: qed, sa, logp=2.5, weight=300..400, similar:SMILES, "
        "has:SMARTS, lacks:SMARTS, model:FOLDER (of `fit`), call:MODULE:FUNCTION (yours); 2*qed weighs twice.")
    calls: int = option(2_000, "Different molecules that are scored at most.", minimum=1, maximum=10**7)
    into: Path = option(Path("optimized"), "Folder of the search; the same command goes on there.")
    sigma: float = option(500.0, "How much a score of 1 weighs against the model's likelihood, in nats.", minimum=0)
    diverse: int = option(25, "Good molecules of a scaffold after which it is not rewarded; 0: never.", minimum=0)
    timeout: float = option(60.0, "Seconds that a function of yours may take for a molecule.", minimum=0.1)
    seed: int = seed_option()


def optimize(model: MoleculeModel, parameters: Optimize, progress: Progress) -> Result:
    """The best molecules that a search finds, in its folder."""
    from apps.molecules import optimizing
    from core.training.reward import RewardConfig

    config = optimizing.SearchConfig(calls=parameters.calls, bucket=parameters.diverse, seed=parameters.seed,
                                     reward=RewardConfig(sigma=parameters.sigma))
    found = optimizing.optimize(model, parameters.objectives, config, folder=parameters.into,
                                seconds=parameters.timeout, progress=progress)
    scores = list(found.scores.values())
    return Result(
        text=f"{optimizing.summary(found, parameters.calls)}\n{parameters.into}",
        data={"best": [{"smiles": text, "score": score} for text, score in found.best(100)], "calls": len(scores),
              "auc_top_10": optimizing.auc_top_10(scores, parameters.calls), "folder": str(parameters.into)},
    )


TASKS = (
    Task(name="design", summary="Design valid, different molecules, near wanted properties: CSV, SDF and a picture.",
         parameters=Design, run=design, result="molecules", output="designed",
         example="-n 20 --property logp=2.5,qed=0.8"),
    Task(name="decorate", summary="Keep a scaffold and write something at its attachment points.",
         parameters=Decorate, run=decorate, result="molecules", output="decorated", example="'c1ccc(*)cc1' -n 20"),
    Task(name="link", summary="Join two fragments at their attachment points.", parameters=Link, run=link,
         result="molecules", output="linked", example="'c1ccccc1*' '*C1CCNCC1' -n 20"),
    Task(name="score", summary="How likely given molecules are.", parameters=Score, run=score, result="numbers",
         output="scored", example="'CCO' 'c1ccccc1O'"),
    Task(name="fit", summary="Fit a property model to a column of your own table.", parameters=Fit, run=fit,
         result="numbers", output="property", takes_model=False, example="assays.csv --target activity -o activity"),
    Task(name="predict", summary="Predict a property with 90 % intervals, by a model of `fit`.", parameters=Predict,
         run=predict, result="numbers", output="predicted", takes_model=False, example="activity new.smi"),
    Task(name="optimize", summary="Search for molecules that score high: any product of objectives.",
         parameters=Optimize, run=optimize, result="molecules", example="qed similar:CCO --calls 2000"),
    Task(name="measure", summary="Measure any file of generated SMILES: MOSES' whole table, on Test and TestSF.",
         parameters=MeasureFile, run=measure, result="numbers", takes_model=False, example="generated.smi"),
)
