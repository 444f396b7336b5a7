"""The walls that keep the house simple: who may import whom, and what apps leave to the core."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CORE = sorted((ROOT / "core").rglob("*.py"))
APPS = sorted((ROOT / "apps").rglob("*.py"))
DOMAINS = ("image", "text", "audio", "molecules", "robotics")

# Imports point down: a module imports from its own layer or from those before it.
LAYERS = (
    {"errors", "lazy"},
    {"space", "recipe", "runtime", "domain"},
    {"data"},
    {"conditioning", "likelihood", "quantizers", "networks"},
    {"samplers"},
    {"families"},
    {"training"},
    {"metrics"},
    {"pretrained", "run", "report"},
    {"cell", "tour"},
    {"cli"},
)
# Reading a recipe checks it against the four family configs; it imports them when called.
UPWARD = {("recipe", "families"), ("data", "training")}


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imports(path: Path) -> set[str]:
    """Modules that a file imports when it runs: anywhere in it, but not for type checkers only."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            for child in node.orelse:
                visit(child)
            return
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name(path)} has a relative import: name the package"
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text()))
    return found


def layer(module: str) -> int:
    """The layer of "core.networks.unet" is that of "networks"."""
    part = module.split(".")[1]
    for index, parts in enumerate(LAYERS):
        if part in parts:
            return index
    raise AssertionError(f"core.{part} has no layer: add it to LAYERS")


def test_there_is_something_to_check() -> None:
    assert len(CORE) > 20 and {path.parent.name for path in APPS} >= set(DOMAINS)


@pytest.mark.parametrize("path", APPS, ids=name)
def test_apps_leave_training_to_the_core(path: Path) -> None:
    text = path.read_text()
    for forbidden in (".backward(", "optimizer.step(", "torch.distributed", "torch.optim"):
        assert forbidden not in text, f"{name(path)} has {forbidden!r}: core.training does that, once"


@pytest.mark.parametrize("path", CORE, ids=name)
def test_core_knows_no_app(path: Path) -> None:
    assert not [module for module in imports(path) if module.split(".")[0] == "apps"]


@pytest.mark.parametrize("path", [path for path in APPS if path.parent.name in DOMAINS], ids=name)
def test_no_app_knows_another(path: Path) -> None:
    relative = path.relative_to(ROOT / "apps").parts[0]
    others = [f"apps.{domain}" for domain in DOMAINS if domain != relative]
    assert not [module for module in imports(path) if any(f"{module}.".startswith(f"{other}.") for other in others)]


@pytest.mark.parametrize("path", CORE, ids=name)
def test_imports_inside_the_core_point_one_way(path: Path) -> None:
    relative = path.relative_to(ROOT).with_suffix("")
    if relative.parts == ("core", "__init__"):
        return
    own, part = layer(".".join(relative.parts)), relative.parts[1]
    for module in imports(path):
        if module.startswith("core.") and (part, module.split(".")[1]) not in UPWARD:
            assert layer(module) <= own, f"{name(path)} imports {module}, which is above it"


@pytest.mark.parametrize("path", [*CORE, *APPS], ids=name)
def test_no_drawer_for_everything(path: Path) -> None:
    assert path.stem not in {"utils", "util", "helpers", "common", "misc", "manager", "base"}


@pytest.mark.parametrize("path", [*CORE, *APPS], ids=name)
def test_nothing_that_is_loaded_is_executed(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        call, options = ast.unparse(node.func), {word.arg: ast.unparse(word.value) for word in node.keywords}
        assert call not in {"eval", "exec", "pickle.load", "pickle.loads", "joblib.load"}, f"{name(path)}: {call}"
        assert options.get("allow_pickle", "False") == "False", f"{name(path)}: {ast.unparse(node)}"
        if call == "torch.load":
            assert options.get("weights_only") == "True", f"{name(path)}: {ast.unparse(node)}"


@pytest.mark.parametrize("domain", DOMAINS)
def test_the_same_rooms_in_every_app(domain: str) -> None:
    for room in ("__init__", "__main__", "cli", "domain", "data", "codec", "metrics", "recipes"):
        assert (ROOT / "apps" / domain / f"{room}.py").is_file(), f"apps/{domain} has no {room}.py"


def test_types_are_shipped() -> None:
    assert (ROOT / "core" / "py.typed").is_file() and (ROOT / "apps" / "py.typed").is_file()
