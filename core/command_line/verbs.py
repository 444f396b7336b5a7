"""The verbs every domain shares, as a typer app: recipes, show, train, sample, evaluate, report.

Nothing here imports torch until a command runs, so that `--help` answers at once. Each app adds its own tasks:

    app = build("image", lambda: importlib.import_module("apps.image.domain").DOMAIN)

    @app.command()
    def upscale(run: RunFolder, photo: Path, output: Output = Path("out"), seed: Seed = 0) -> None: ...
"""

from __future__ import annotations

import inspect
import json
import sys
import time
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from core.errors import FourfoldError

if TYPE_CHECKING:
    from core.runs.domain import Domain
    from core.runs.measures import Measure
    from core.runs.recipe import Recipe

# The same words for the same things everywhere: apps use these for their own tasks.
Seed = Annotated[int, typer.Option("--seed", min=0, max=2**63 - 1, help="Seed of every random draw.")]
OptionalSeed = Annotated[int | None, typer.Option("--seed", min=0, max=2**63 - 1, help="Instead of the recipe's.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:0 or mps.")]
Output = Annotated[Path, typer.Option("--output", "-o", help="Folder to write to.")]
Num = Annotated[int, typer.Option("--num", "-n", min=1, help="How many.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder that `train` wrote, or a model folder.")]
Assignments = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key, e.g. train.steps=500.")
]
RecipeName = Annotated[str | None, typer.Argument(metavar="RECIPE", help="A recipe's name; see `recipes`.")]
RecipeFile = Annotated[Path | None, typer.Option("--recipe", help="A recipe as JSON, e.g. another run's recipe.json.")]
Solver = Annotated[str | None, typer.Option("--solver", help="euler, heun, dpmpp_2m or ancestral (diffusion).")]
Steps = Annotated[int | None, typer.Option("--steps", min=1, help="Network evaluations' schedule length (diffusion).")]
Guidance = Annotated[float | None, typer.Option("--guidance", help="Classifier-free guidance; 1 is none.")]
Temperature = Annotated[float | None, typer.Option("--temperature", help="Above 0; lower is safer, higher wilder.")]
TopK = Annotated[int | None, typer.Option("--top-k", min=1, help="Keep the k likeliest tokens.")]
TopP = Annotated[float | None, typer.Option("--top-p", help="Keep the likeliest tokens up to this share.")]
RepetitionPenalty = Annotated[
    float | None, typer.Option("--repetition-penalty", help="Above 1: what occurred before becomes less likely.")
]
MinP = Annotated[float | None, typer.Option("--min-p", help="Keep tokens above this share of the likeliest.")]


def main(app: typer.Typer | Any, arguments: Sequence[str] | None = None) -> None:
    """Run a typer app as a program: user mistakes become one line on stderr and exit code 2.

    Raises:
        SystemExit: always, with the exit code.
    """
    command = app if isinstance(app, TyperCommand) or not isinstance(app, typer.Typer) else typer.main.get_command(app)
    # click's ClickException, the class above UsageError; typer may carry its own copy of click.
    usage_errors: type[Exception] = typer.BadParameter.__mro__[2]
    try:
        code = command.main(args=arguments, standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except FourfoldError as error:
        _fail(str(error))
    except (KeyboardInterrupt, typer.Abort):
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(1)
    except OSError as error:
        if error.errno is None:
            raise
        place = f"{error.filename}: " if error.filename else ""
        _fail(f"{place}{error.strerror}")
    except usage_errors as error:  # an unknown option, a missing argument
        message = error.format_message()  # type: ignore[attr-defined]
        if not message:  # no command was given, and the help has been printed
            sys.exit(2)
        _fail(message)


def _fail(message: str) -> None:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(2)


def deferred(make: Callable[[], Any]) -> type[TyperCommand]:
    """A command class whose real command is made when it is used, not when it is listed."""

    class Deferred(TyperCommand):
        def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
            return make().make_context(info_name, args, parent, **extra)

    return Deferred


def build(name: str, load_domain: Callable[[], Domain]) -> typer.Typer:
    """The shared verbs of a domain; `load_domain` imports it when a verb runs."""
    app = typer.Typer(name=name, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
                      context_settings={"help_option_names": ["-h", "--help"]})
    for add in (_add_recipes, _add_show, _add_train, _add_sample, _add_evaluate, _add_report, _add_cell):
        add(app, load_domain)
    return app


def _add_recipes(app: typer.Typer, load_domain: Callable[[], Domain]) -> None:
    @app.command()
    def recipes(as_json: AsJson = False) -> None:
        """List the recipes: family, data, what they make."""
        domain = load_domain()
        rows = [_recipe_row(name, make) for name, make in domain.recipes.items()]
        if as_json:
            print(json.dumps(rows, indent=2))
        else:
            print_table(f"{domain.name} recipes", list(rows[0]) if rows else [], [list(row.values()) for row in rows])


def _recipe_row(name: str, make: Callable[[], Recipe]) -> dict[str, str]:
    recipe = make()
    family = type(recipe.family).__name__.removesuffix("Config").lower()
    data = ", ".join(str(v) for v in vars(recipe.data).values() if isinstance(v, str) and v)
    description = next(iter((inspect.getdoc(make) or "").splitlines()), "")
    return {"name": name, "family": family, "data": data, "description": description}


def _add_show(app: typer.Typer, load_domain: Callable[[], Domain]) -> None:
    @app.command()
    def show(
        recipe: Annotated[str, typer.Argument(metavar="RECIPE|RUN", help="A recipe's name, or a run folder.")],
        assignments: Assignments = None,
    ) -> None:
        """Print a recipe, fully resolved, as JSON."""
        from core.runs.recipe import override, recipe_to_json
        from core.runs.run import Run

        domain = load_domain()
        is_run = recipe not in domain.recipes and Path(recipe).is_dir()
        value = Run(Path(recipe)).recipe(domain) if is_run else domain.recipe(recipe)
        print(recipe_to_json(override(value, assignments or [], domain.data_type)))


def _add_train(app: typer.Typer, load_domain: Callable[[], Domain]) -> None:
    @app.command()
    def train(
        recipe: RecipeName = None,
        recipe_file: RecipeFile = None,
        run: Annotated[Path | None, typer.Option("--run", help="The run folder; runs/<recipe> by default.")] = None,
        data: Annotated[Path | None, typer.Option("--data", help="Your own folder of data.")] = None,
        start: Annotated[
            Path | None, typer.Option("--from", metavar="RUN", help="Begin with a trained run's weights and recipe.")
        ] = None,
        assignments: Assignments = None,
        seed: OptionalSeed = None,
        device: Device = "auto",
        fresh: Annotated[bool, typer.Option("--fresh", help="Start again: remove what the run folder holds.")] = False,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Prepare data and model, train nothing.")] = False,
    ) -> None:
        """Train a recipe; the same command again resumes it."""
        from core.runs.report import write_run_report
        from core.runs.run import Run
        from core.runs.run import train as fit
        from core.runtime import first_process
        from core.training.log import console

        domain = load_domain()
        value = _resolve(domain, recipe, recipe_file, data, start, assignments, seed)
        target = Run(run or Path("runs") / value.name)
        if dry_run:
            _describe(domain, value, device)
            return
        with console(f"{domain.name} {value.name}") as log:
            result = fit(domain, value, target, device=device, fresh=fresh, log=log)
        if not result.finished:
            print(f"stopped and saved at step {result.step}: the same command continues", file=sys.stderr)
            raise typer.Exit(130)
        if first_process():
            write_run_report(domain, target)
            print(f"trained {result.step} steps in {result.seconds:.0f} s")
            print(target.report)


def _resolve(
    domain: Domain, name: str | None, file: Path | None, data: Path | None, start: Path | None,
    assignments: list[str] | None, seed: int | None,
) -> Recipe:
    """The recipe that the options of `train` describe."""
    from dataclasses import fields, replace

    from core.runs.recipe import override
    from core.runs.run import read_recipe

    if sum(given is not None for given in (name, file, start)) != 1:
        raise FourfoldError("give a recipe's name, --recipe FILE or --from RUN (one of them); see the command "
                            "`recipes`")
    if start is not None:
        recipe = _tuned(domain, start)
    else:
        recipe = read_recipe(file, domain) if file is not None else domain.recipe(name or "")
    if data is not None:
        if "folder" not in {f.name for f in fields(recipe.data)}:
            raise FourfoldError(f"--data is {str(data)!r}: {domain.name} recipes take no folder of your own")
        if not data.exists():
            raise FourfoldError(f"--data is {str(data)!r}: no such folder")
        # Where a source has to be named, the folder takes the place of the recipe's.
        sources = typing.get_args(typing.get_type_hints(type(recipe.data)).get("source"))
        own = {"folder": str(data)} | ({"source": "folder"} if "folder" in sources else {})
        recipe = replace(recipe, data=replace(recipe.data, **own))
    recipe = override(recipe, assignments or [], domain.data_type)
    return recipe if seed is None else replace(recipe, seed=seed)


def _tuned(domain: Domain, start: Path) -> Recipe:
    """The recipe that goes on from a trained run: its own, with its weights and, of text, its tokenizer."""
    from dataclasses import fields, replace

    from core.files import read_json
    from core.runs.pretrained import CONFIG, model_folder
    from core.runs.recipe import recipe_from_dict

    config = read_json(model_folder(start) / CONFIG)
    if config.get("domain") != domain.name:
        raise FourfoldError(f"{start} holds a model of the domain {config.get('domain')!r}, not {domain.name!r}")
    recipe = recipe_from_dict(config.get("recipe"), domain.data_type)
    if "tokenizer_of" in {f.name for f in fields(recipe.data)}:
        recipe = replace(recipe, data=replace(recipe.data, tokenizer_of=str(start)))
    return replace(recipe, name=f"{recipe.name}-tuned", start=str(start))


def _describe(domain: Domain, recipe: Recipe, device: str) -> None:
    """Print what `train` would do, after preparing data and model."""
    from core.runs.pretrained import build as build_model
    from core.runtime import resolve_device

    prepared = domain.prepare(recipe.data)
    model = build_model(domain, recipe, prepared.codec, resolve_device(device))
    model.settings()
    parameters = sum(p.numel() for p in model.family.parameters())
    splits = {"training": prepared.train, "validation": prepared.validation, "test": prepared.test}
    print(f"recipe      {recipe.name} ({domain.name})")
    print(f"data        {', '.join(f'{len(split):,} {name}' for name, split in splits.items())} examples")
    print(f"space       {prepared.codec.space}")
    print(f"conditions  {', '.join(prepared.codec.conditions) or 'none'}")
    print(f"model       {type(model.family).__name__}, {parameters:,} parameters, on {model.device}")
    print(f"training    {recipe.train.steps:,} steps of {recipe.train.batch_size} examples, seed {recipe.seed}")


def _add_sample(app: typer.Typer, load_domain: Callable[[], Domain]) -> None:
    def make() -> Any:
        one = typer.Typer(add_completion=False, context_settings={"help_option_names": ["-h", "--help"]})
        one.command("sample")(_sampler(load_domain()))
        return typer.main.get_command(one)

    @app.command(cls=deferred(make))
    def sample() -> None:
        """Draw samples from a trained model into files."""


def _sampler(domain: Domain) -> Callable[..., None]:
    """The function behind `sample`, whose signature has an option for each of the domain's conditions."""

    def sample(
        run: RunFolder,
        num: Num = 16,
        output: Output = Path("samples"),
        seed: Seed = 0,
        device: Device = "auto",
        steps: Steps = None,
        solver: Solver = None,
        guidance: Guidance = None,
        temperature: Temperature = None,
        top_k: TopK = None,
        top_p: TopP = None,
        min_p: MinP = None,
        **conditions: str | None,
    ) -> None:
        """Draw samples from a trained model into files."""
        from core.condition_parsing import parse_condition
        from core.runs.pretrained import load

        model = load(run, domain, device)
        texts = {names[option]: text for option, text in conditions.items() if text is not None}
        condition = parse_condition(model.codec.conditions, texts, num) if texts else None
        items = model.sample(
            num, seed=seed, condition=condition, num_steps=steps, solver=solver, guidance_scale=guidance,
            temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p,
        )
        output.mkdir(parents=True, exist_ok=True)
        print_paths(domain.write(items, output))

    names = {f"condition_{option.replace('-', '_')}": name for option, name in domain.condition_options.items()}
    signature = inspect.signature(sample, eval_str=True)
    fixed = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    extra = [
        inspect.Parameter(
            f"condition_{option.replace('-', '_')}", inspect.Parameter.KEYWORD_ONLY, default=None,
            annotation=Annotated[str | None, typer.Option(f"--{option}", help=f"Condition on this {option}.")],
        )
        for option in domain.condition_options
    ]
    sample.__signature__ = signature.replace(parameters=[*fixed, *extra])  # type: ignore[attr-defined]
    return sample


def _add_evaluate(app: typer.Typer, load_domain: Callable[[], Domain]) -> None:
    @app.command()
    def evaluate(
        run: RunFolder,
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

        domain = load_domain()
        measures = judge(domain, Run(run), n=num, seed=seed, device=device)
        write_run_report(domain, Run(run))
        if as_json:
            print(json.dumps([measure_to_dict(measure) for measure in measures], indent=2))
        else:
            print_measures(f"{domain.name} · {run.name}", measures)


def _add_report(app: typer.Typer, load_domain: Callable[[], Domain]) -> None:
    @app.command()
    def report(run: RunFolder) -> None:
        """Write report.html: curve, samples, measures, environment."""
        from core.runs.report import write_run_report
        from core.runs.run import Run

        print_paths([write_run_report(load_domain(), Run(run))])


def _add_cell(app: typer.Typer, load_domain: Callable[[], Domain]) -> None:
    @app.command(hidden=True)
    def cell(
        recipe: Annotated[str, typer.Argument(metavar="RECIPE")],
        run: Annotated[Path, typer.Option("--run")],
        seed: Seed = 0,
        device: Device = "auto",
        scale: Annotated[float, typer.Option("--scale", help="Of train.steps.")] = 1.0,
    ) -> None:
        """One cell of the tour: train, sample, evaluate."""
        started = time.perf_counter()
        domain = load_domain()
        from core.runs.run import Run
        from core.tour.cell import run_cell

        if not run_cell(domain, recipe, Run(run), seed=seed, device=device, scale=scale, started=started):
            raise typer.Exit(130)


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table on stdout; on a narrow terminal its cells wrap, nothing is cut."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console = Console(markup=False, highlight=False, emoji=False)
    if not console.is_terminal:
        console.width = 200
    console.print(table)


def print_measures(title: str, measures: Sequence[Measure]) -> None:
    """Measures as a table, each with what it must be read against."""
    from core.runs.measures import measure_cells

    columns = ["measure", "value", "95 % interval", "baseline", "floor", "kind", "n"]
    verdict: Mapping[bool | None, str] = {True: "beats it", False: "does not", None: ""}
    rows = [[*measure_cells(m), verdict[m.beats_baseline]] for m in measures]
    print_table(title, [*columns, "baseline?"], rows)


def print_paths(paths: Sequence[Path]) -> None:
    """The files that were written, one a line."""
    for path in paths:
        print(path)
