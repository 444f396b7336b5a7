"""What README and docs say keeps up with the program: command lines parse, imports, links and figures are right."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from benchmarks import readme, readme_figures
from benchmarks.results_file import FOLDER
from core.runs.sizing import FAMILIES

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
RESULTS = (ROOT / "docs" / "results.md").read_text()
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def page(path: Path) -> str:
    return str(path.relative_to(ROOT))


def blocks(*languages: str) -> list[str]:
    text = "\n".join(path.read_text() for path in PAGES)
    found = re.findall(r"^```(\w*)\n(.*?)^```", text, flags=re.M | re.S)
    return [body for language, body in found if language in languages]


def command_lines() -> list[str]:
    """Lines of shell blocks that start one of our programs, and the commands that results name."""
    joined = "\n".join(blocks("sh", "bash", "console", "shell")).replace("\\\n", " ")
    parts = [part.strip().removeprefix("$ ") for line in joined.splitlines() for part in line.split("&&")]
    parts += re.findall(r"`(python -m benchmarks[^`]+)`", RESULTS)
    return [part for part in parts if re.match(r"(fourfold|python -m (apps|benchmarks))\b", part)]


def parse(line: str) -> None:
    """Parse a command line down to its last command, without running it."""
    words = shlex.split(line, comments=True)
    if words[0] == "python":
        words = words[2:]
        if words[0].startswith("benchmarks."):
            assert importlib.util.find_spec(words[0]), f"{line}: no such benchmark"
            return
        words = ["fourfold", *([words[0].split(".")[1]] if words[0] != "apps.cli" else []), *words[1:]]
    from apps.cli import app

    command: Any = typer.main.get_command(app)
    context: Any = None
    name, arguments = words[0], words[1:]
    while True:
        context = command.make_context(name, arguments, parent=context)
        command = context.command
        if not hasattr(command, "commands"):
            break
        name, command, arguments = command.resolve_command(context, [*context._protected_args, *context.args])
    if name == "train" and context.params.get("recipe"):
        domain = importlib.import_module(f"apps.{words[1]}.domain").DOMAIN
        recipe = context.params["recipe"]
        assert recipe in domain.recipes or context.params["data"] and recipe in FAMILIES, f"{line}: no such recipe"


def test_there_are_commands() -> None:
    lines = command_lines()
    assert any("tour" in line for line in lines) and len(lines) >= 5


@pytest.mark.parametrize("line", command_lines())
def test_commands_parse(line: str) -> None:
    parse(line)


def test_wrong_commands_do_not_parse() -> None:
    for line in ("fourfold image trian x", "fourfold image train no-such-recipe", "fourfold tour --minute 3"):
        with pytest.raises(Exception, match=r"No such|no such"):
            parse(line)


@pytest.mark.parametrize("code", blocks("python"))
def test_code_imports_what_exists(code: str) -> None:
    tree = ast.parse(code)
    modules: dict[str, Any] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in ("apps", "core"):
            for alias in node.names:
                module = importlib.import_module(node.module or "")
                modules[alias.asname or alias.name] = (
                    getattr(module, alias.name) if hasattr(module, alias.name)
                    else importlib.import_module(f"{node.module}.{alias.name}")
                )
    assert modules, "a Python block that imports nothing of ours"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            assert hasattr(modules[node.value.id], node.attr), f"{node.value.id} has no {node.attr}"


def between(text: str, name: str) -> str:
    """What a page has between its markers of that name."""
    return text.split(f"<!-- {name}: begin -->\n")[1].split(f"\n<!-- {name}: end -->")[0]


@pytest.mark.parametrize("name", readme_figures.SECTIONS)
def test_figures_are_those_of_the_results(name: str) -> None:
    assert between(RESULTS, name) == readme_figures.section(readme_figures.SECTIONS[name], FOLDER)


def test_tables_are_those_of_the_tour() -> None:
    results = json.loads((FOLDER / "tour.json").read_text())
    assert between(RESULTS, readme.MARKERS) == readme.table(results)
    assert between(README, readme.MARKERS) == readme.summary(results)


def test_every_result_is_told() -> None:
    told = {"tour", *(part for parts in readme_figures.SECTIONS.values() for part in parts)}
    assert {path.stem for path in FOLDER.glob("*.json")} <= told


def test_readme_has_one_table() -> None:
    assert len(re.findall(r"^\|---", README, flags=re.M)) == 1


@pytest.mark.parametrize("path", PAGES, ids=page)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
        file = target.partition("#")[0]
        assert "://" in target or not file or (path.parent / file).exists(), f"{page(path)}: {target} is not there"


@pytest.mark.parametrize("path", PAGES, ids=page)
def test_files_that_pages_name_exist(path: Path) -> None:
    for name in re.findall(r"`((?:core|apps|tests|benchmarks|docs)/[\w./-]+)`", path.read_text()):
        assert (ROOT / name).exists(), f"{page(path)}: {name} is not there"
