"""The verbs every domain shares, as a typer app: recipes, show, train, sample, evaluate, report; and its tasks.

    app = build("image", lambda: importlib.import_module("apps.image.domain").DOMAIN, TASKS)
"""

from __future__ import annotations

import dataclasses
import inspect
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from core.command_line.compare_command import add_compare
from core.command_line.options import (
    AsJson,
    Assignments,
    Device,
    Minutes,
    OptionalRun,
    OptionalSeed,
    RecipeFile,
    RecipeName,
    RunFolder,
    Seed,
)
from core.command_line.printing import print_json, print_measures, print_paths, print_table, shown_progress
from core.command_line.program import HELP, deferred
from core.command_line.run_argument import run_by_default
from core.command_line.task_commands import task_command
from core.errors import FourfoldError
from core.files import DAY, new_folder, remove_leftovers
from core.runs.tasks import (
    Progress,
    Result,
    Task,
    changes,
    guidance_option,
    min_p_option,
    num_option,
    num_steps_option,
    option,
    seed_option,
    solver_option,
    temperature_option,
    top_k_option,
    top_p_option,
)

if TYPE_CHECKING:
    from core.conditions import ConditionSpec
    from core.runs.domain import Domain, Prepared
    from core.runs.model import CodecT, DataT, Item, Model
    from core.runs.recipe import Recipe


def build(
    name: str, load_domain: Callable[[], Domain[DataT, CodecT, Item]], tasks: Sequence[Task], *,
    program: Sequence[str] = (),
) -> typer.Typer:
    """The shared verbs of a domain, then its tasks; `load_domain` imports it when a command runs.

    `program`: what `python` runs as this program, such as ("-m", "apps.image"): `compare` starts others of it.
    """
    app = typer.Typer(name=name, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
                      context_settings=HELP)
    for add in (_add_recipes, _add_show, _add_train, _add_sample, _add_evaluate, _add_report, _add_cell):
        add(app, load_domain)
    add_compare(app, load_domain, [sys.executable, *program])

    def load_model(run: Path, device: str) -> Model[DataT, CodecT, Item]:
        from core.runs.pretrained import load_shared

        return load_shared(run, load_domain(), device)

    for task in tasks:
        kind = run_by_default(load_domain, task) if task.takes_model else None
        app.command(task.name, cls=kind, epilog=_examples(f"{name} {task.name} {task.example}"))(
            task_command(task, load_model))
    return app


def _examples(*commands: str) -> str:
    """The end of a command's help; a line break needs an empty line, and brackets are not markup."""
    return "\n\n".join(["Examples:", *(f"fourfold {command.strip()}" for command in commands)]).replace("[", "\\[")


def _add_recipes(app: typer.Typer, load_domain: Callable[[], Domain[DataT, CodecT, Item]]) -> None:
    @app.command(epilog=_examples(f"{app.info.name} recipes", f"{app.info.name} recipes --json"))
    def recipes(
        as_json: AsJson = False,
        pace: Annotated[
            bool, typer.Option("--measure", help="First train a few steps of each whose data are here: its minutes.")
        ] = False,
    ) -> None:
        """List the recipes: family, data, steps, minutes, what must be fetched, what they make."""
        domain = load_domain()
        if pace:
            _measure_pace(domain)
        print_recipes([domain], as_json)


def _measure_pace(domain: Domain[DataT, CodecT, Item]) -> None:
    """Measure what a step of each recipe takes whose data are at hand."""
    from core.runs.costs import measure, minutes
    from core.runs.pretrained import build as build_model
    from core.runtime import resolve_device

    names = [name for name, make in domain.recipes.items() if not minutes(make).measured
             and all(origin.at_hand for origin in domain.origins(make().data))]
    with shown_progress("measuring") as progress:
        for done, name in enumerate(names, start=1):
            recipe = domain.recipe(name)
            prepared = domain.ready(recipe.data)
            model = build_model(domain, recipe, prepared.codec, resolve_device())
            measure(recipe, model.family, prepared.train, model.device)
            progress.step(done, len(names))


def print_recipes(domains: Sequence[Domain[DataT, CodecT, Item]], as_json: bool) -> None:
    """A table of the domains' recipes; minutes are of this machine, or with "~" of their author's."""
    rows = [_recipe_row(domain, name) for domain in domains for name in domain.recipes]
    if as_json:
        print_json(rows)
        return
    shown = [name for name in rows[0] if len(domains) > 1 or name != "domain"] if rows else []
    title = f"{domains[0].name} recipes" if len(domains) == 1 else "recipes"
    print_table(title, shown, [["" if row[name] is None else str(row[name]) for name in shown] for row in rows])


def _recipe_row(domain: Domain[DataT, CodecT, Item], name: str) -> dict[str, str | int | None]:
    from core.runs.costs import minutes

    make = domain.recipes[name]
    recipe = make()
    data = ", ".join(str(v) for v in vars(recipe.data).values() if isinstance(v, str) and v)
    missing = [origin for origin in domain.origins(recipe.data) if not origin.at_hand]
    fetch = " + ".join(f"{origin.megabytes:.0f} MB" if origin.megabytes else "yours to give" for origin in missing)
    return {
        "domain": domain.name, "name": name, "family": recipe.family.kind, "data": data, "steps": recipe.train.steps,
        "minutes": minutes(make).told, "to fetch": fetch,
        "description": next(iter((inspect.getdoc(make) or "").splitlines()), ""),
    }


def _add_show(app: typer.Typer, load_domain: Callable[[], Domain[DataT, CodecT, Item]]) -> None:
    @app.command(epilog=_examples(f"{app.info.name} show tour-vae --set train.steps=500"))
    def show(
        recipe: Annotated[str, typer.Argument(metavar="RECIPE|RUN", help="A recipe's name, or a run folder.")],
        assignments: Assignments = None,
    ) -> None:
        """Print a recipe, fully resolved, as JSON."""
        from core.runs.run import recipe_to_json

        domain = load_domain()
        value = domain.recipe(recipe) if recipe in domain.recipes else _recipe_of(domain, recipe)
        print(recipe_to_json(domain.override(value, assignments or [])))


def _recipe_of(domain: Domain[DataT, CodecT, Item], name: str) -> Recipe[DataT]:
    """The recipe of a run or a model folder."""
    from core.runs.places import find
    from core.runs.pretrained import load_recipe, model_folder
    from core.runs.run import Run

    found = find(name, domain.name, domain.models)
    if found is None:
        return domain.recipe(name)  # says which recipe may be meant
    return Run(found).recipe(domain) if Run(found).recipe_file.is_file() else load_recipe(model_folder(found), domain)


def _add_train(app: typer.Typer, load_domain: Callable[[], Domain[DataT, CodecT, Item]]) -> None:
    examples = _examples(f"{app.info.name} train tour-diffusion", f"{app.info.name} train tour-vae --dry-run",
                         f"{app.info.name} train tour-gan --set train.steps=500 --seed 1 --run runs/mine")

    @app.command(epilog=examples)
    def train(
        recipe: RecipeName = None,
        recipe_file: RecipeFile = None,
        run: Annotated[
            Path | None, typer.Option("--run", help="The run folder; runs/<domain>/<recipe> by default.")
        ] = None,
        data: Annotated[
            Path | None, typer.Option("--data", help="Your own folder or file; RECIPE may be a family, or left out.")
        ] = None,
        start: Annotated[
            str | None, typer.Option("--from", metavar="RUN|MODEL", help="Begin with a trained model, at a lower rate.")
        ] = None,
        minutes: Minutes = None,
        assignments: Assignments = None,
        seed: OptionalSeed = None,
        device: Device = "auto",
        fresh: Annotated[bool, typer.Option("--fresh", help="Start again: remove what the run folder holds.")] = False,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Prepare data and model, train nothing.")] = False,
    ) -> None:
        """Train a recipe; the same command again resumes it."""
        from core.runs.costs import remember
        from core.runs.places import default_folder
        from core.runs.report import write_run_report
        from core.runs.run import Run
        from core.runs.run import train as fit
        from core.runtime import first_process
        from core.training.log import console

        domain = load_domain()
        value, prepared = _resolve(domain, recipe, recipe_file, data, start, run, assignments, seed, minutes)
        target = Run(run or default_folder(value.name, domain.name))
        if dry_run:
            _describe(domain, value, device, prepared)
            return
        with console(f"{domain.name} {value.name}") as log:
            result = fit(domain, value, target, device=device, fresh=fresh, log=log, prepared=prepared)
        if not result.finished:
            print(f"stopped and saved at step {result.step}: the same command continues", file=sys.stderr)
            raise typer.Exit(130)
        if first_process():
            write_run_report(domain, target)
            remember(value, result.seconds / max(1, result.step))
            print(f"trained {result.step} steps in {result.seconds:.0f} s")
            print(target.report)
            print("next:", *domain.next_commands(value, target.folder), sep="\n  ")


def _resolve(
    domain: Domain[DataT, CodecT, Item], name: str | None, file: Path | None, data: Path | None, start: str | None,
    run: Path | None, assignments: Sequence[str] | None, seed: int | None, minutes: float | None,
) -> tuple[Recipe[DataT], Prepared[CodecT] | None]:
    """The recipe that the options of `train` describe, and its data where they had to be looked at."""
    from core.runs.places import default_folder
    from core.runs.run import Run, load_recipe_file
    from core.runs.sizing import FAMILIES, own_recipe
    from core.runs.tuning import tuned_name, tuned_recipe

    if data is not None and not data.exists():
        raise FourfoldError(f"--data is {str(data)!r}: no such folder or file")
    if data is not None and file is None and start is None and (name is None or name in FAMILIES):
        recipe, prepared, why = own_recipe(domain, data, name, assignments or [], minutes=minutes)
        print(why)
        return recipe if seed is None else replace(recipe, seed=seed), prepared
    if sum(given is not None for given in (name, file, start)) != 1:
        raise FourfoldError("give a recipe's name, --recipe FILE or --from RUN (one of them; see the command "
                            "`recipes`), or your own --data")
    if start is not None:
        target = Run(run or default_folder(tuned_name(start, data), domain.name))
        recipe, ready, why = tuned_recipe(domain, start, data, target, assignments or [], minutes=minutes)
        print(why)
        return recipe if seed is None else replace(recipe, seed=seed), ready
    recipe = load_recipe_file(file, domain) if file is not None else domain.recipe(name or "")
    if data is not None:
        recipe = replace(recipe, data=domain.own_data(recipe.data, data))
    recipe = domain.override(recipe, assignments or [])
    if minutes is not None:
        recipe = replace(recipe, train=replace(recipe.train, minutes=minutes))
    return recipe if seed is None else replace(recipe, seed=seed), None


def _describe(
    domain: Domain[DataT, CodecT, Item], recipe: Recipe[DataT], device: str, prepared: Prepared[CodecT] | None
) -> None:
    """Print what `train` would do, after preparing data and model."""
    from core.runs.costs import STEPS, measure, peak_memory
    from core.runs.pretrained import begin, prepared_for
    from core.runs.pretrained import build as build_model
    from core.runtime import resolve_device

    prepared = prepared or prepared_for(domain, recipe)
    model = build_model(domain, recipe, prepared.codec, resolve_device(device))
    if recipe.start is not None:
        begin(domain, model, recipe.start)
    model.settings()
    parameters = sum(p.numel() for p in model.family.parameters())
    splits = {"training": prepared.train, "validation": prepared.validation, "test": prepared.test}
    print(f"recipe      {recipe.name} ({domain.name})")
    print(f"data        {', '.join(f'{len(split):,} {name}' for name, split in splits.items())} examples")
    print(f"space       {prepared.codec.space}")
    print(f"conditions  {', '.join(map(_told, prepared.codec.conditions.items())) or 'none'}")
    print(f"model       {type(model.family).__name__}, {parameters:,} parameters, on {model.device}")
    print(f"training    {recipe.train.length} of {recipe.train.batch_size} examples, seed {recipe.seed}")
    seconds = measure(recipe, model.family, prepared.train, model.device)
    took = recipe.train.minutes or seconds * recipe.train.steps / 60
    print(f"time        {took:.1f} minutes; a step took {seconds:.3f} s of {STEPS} just now")
    print(f"memory      {peak_memory() / 1e9:.1f} GB of this process at most")


def _told(condition: tuple[str, ConditionSpec]) -> str:
    """A condition, with its classes."""
    name, spec = condition
    names = getattr(spec, "names", ())
    shown = f"{', '.join(names[:12])}{' ...' if len(names) > 12 else ''}"
    return f"{name} ({len(names)} classes: {shown})" if names else name


PART = 10_240
"""More samples than these are written while they are drawn, into folders of so many: they need not fit in memory."""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """What `sample` takes in every domain, besides the domain's conditions."""

    num: int = num_option(16)
    seed: int = seed_option()
    num_steps: int | None = num_steps_option()
    solver: str | None = solver_option()
    guidance_scale: float | None = guidance_option()
    temperature: float | None = temperature_option()
    top_k: int | None = top_k_option()
    top_p: float | None = top_p_option()
    min_p: float | None = min_p_option()


def sampling_task(domain: Domain[DataT, CodecT, Item]) -> Task:
    """`sample` as a task: it has an option for each of the domain's conditions."""

    def run(model: Model[DataT, CodecT, Item], parameters: Sampling, progress: Progress) -> Result:
        texts = {name: getattr(parameters, f"condition_{name}") for name in domain.conditions}
        drawn = domain.parts(model, parameters.num, PART, seed=parameters.seed, texts=texts,
                             settings=changes(parameters), progress=progress)
        parts = chain([next(drawn)], drawn)  # what is refused is so before a folder is made
        if not model.world.writes:
            deque(parts, maxlen=0)  # this process only helps to draw
            return Result()

        def write(folder: Path) -> list[Path]:
            if parameters.num <= PART:
                return domain.write(next(parts), folder)
            remove_leftovers(folder, DAY)
            paths = []
            for index, items in enumerate(parts):
                paths.append(folder / f"part-{index:04d}")
                with new_folder(paths[-1], lasting=False) as ready:
                    domain.write(items, ready)
            return paths

        return Result(write=write)

    conditions = [
        (f"condition_{name}", str | None, option(None, f"Condition on this {name}.", f"--{name.replace('_', '-')}"))
        for name in domain.conditions
    ]
    return Task(
        name="sample", summary="Draw samples from a trained model into files.", run=run, output="samples",
        result=domain.result,
        parameters=dataclasses.make_dataclass("Sampling", conditions, bases=(Sampling,), frozen=True, kw_only=True),
    )


def _add_sample(app: typer.Typer, load_domain: Callable[[], Domain[DataT, CodecT, Item]]) -> None:
    def make() -> object:
        from core.runs.pretrained import load_shared

        domain = load_domain()
        one = typer.Typer(add_completion=False, context_settings=HELP)
        examples = (f"{domain.name} sample -n 4", f"{domain.name} sample tour-diffusion -n 16 --seed 1 -o drawn")
        one.command("sample", cls=run_by_default(load_domain), epilog=_examples(*examples))(
            task_command(sampling_task(domain), lambda run, device: load_shared(run, domain, device)))
        return typer.main.get_command(one)

    @app.command(cls=deferred(make))
    def sample() -> None:
        """Draw samples from a trained model into files."""


def _add_evaluate(app: typer.Typer, load_domain: Callable[[], Domain[DataT, CodecT, Item]]) -> None:
    examples = _examples(f"{app.info.name} evaluate tour-diffusion", f"{app.info.name} evaluate -n 100 --json")

    @app.command(cls=run_by_default(load_domain), epilog=examples)
    def evaluate(
        run: OptionalRun = None,
        num: Annotated[int | None, typer.Option("--num", "-n", min=1, help="Samples to draw.")] = None,
        seed: Seed = 0,
        device: Device = "auto",
        as_json: AsJson = False,
    ) -> None:
        """Measure a trained model against its baselines; writes metrics.json."""
        from core.runs.measures import measure_to_dict
        from core.runs.report import write_run_report
        from core.runs.run import Run
        from core.runs.run import evaluate as judge
        from core.runtime import first_process

        domain = load_domain()
        assert run is not None  # `run_by_default` names one
        held = Run(domain.find(run))
        measures = judge(domain, held, n=num, seed=seed, device=device)
        if held.is_run and first_process():
            write_run_report(domain, held)
        if as_json:
            print_json([measure_to_dict(measure) for measure in measures])
        else:
            print_measures(f"{domain.name} · {run.name}", measures)


def _add_report(app: typer.Typer, load_domain: Callable[[], Domain[DataT, CodecT, Item]]) -> None:
    @app.command(epilog=_examples(f"{app.info.name} report tour-diffusion"))
    def report(run: RunFolder) -> None:
        """Write report.html: curve, samples, measures, environment."""
        from core.runs.report import write_run_report
        from core.runs.run import Run
        from core.runtime import first_process

        if first_process():
            domain = load_domain()
            print_paths([write_run_report(domain, Run(domain.find(run)))])


def _add_cell(app: typer.Typer, load_domain: Callable[[], Domain[DataT, CodecT, Item]]) -> None:
    @app.command(hidden=True)
    def cell(
        run: Annotated[Path, typer.Option("--run")],
        recipe: RecipeName = None,
        recipe_file: RecipeFile = None,
        seed: OptionalSeed = None,
        device: Device = "auto",
        scale: Annotated[float, typer.Option("--scale", help="Of train.steps.")] = 1.0,
        judged: Annotated[str | None, typer.Option("--judge", help="A run or function, on the recipe's data.")] = None,
    ) -> None:
        """One cell of the tour or of a comparison: train, sample, evaluate."""
        started = time.perf_counter()
        domain = load_domain()
        from core.runs.run import Run, load_recipe_file
        from core.tour.cell import judge, run_cell, stop_with_parent

        stop_with_parent()
        value = load_recipe_file(recipe_file, domain) if recipe_file is not None else domain.recipe(recipe or "")
        value = value if seed is None else replace(value, seed=seed)
        if judged is not None:
            judge(domain, value, Run(run), judged, device=device, started=started)
        elif not run_cell(domain, value, Run(run), device=device, scale=scale, started=started):
            raise typer.Exit(130)
