"""The walls that keep the house simple: who may import whom, and what apps leave to the core."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CORE = sorted((ROOT / "core").rglob("*.py"))
APPS = sorted((ROOT / "apps").rglob("*.py"))
DOMAINS = ("image", "text", "audio", "molecules", "robotics")
ROOMS = ("__init__", "__main__", "cli", "codec", "data", "domain", "media", "metrics", "recipes", "tasks")

# Imports point down: a module imports from its own layer or from those before it, type-only imports included.
LAYERS = (
    {"errors", "extras", "lazy"},
    {"spaces", "conditions", "batches", "files", "runtime", "seeds", "serialization", "waiting"},
    {"condition_parsing", "likelihood", "quantizers"},
    {"data"},
    {"networks"},
    {"samplers"},
    {"families"},
    {"training"},
    {"metrics"},
    {"runs"},
    {"tour"},
    {"command_line"},
)
PRIVATE = {
    "core/networks/decoding.py": "PyTorch's products for few rows, which have no public name",
    "core/training/ema.py": "torch._foreach_lerp_",
    "core/training/optimizers.py": "torch._foreach_lerp_ and the like",
    "core/training/loop.py": "what module.compile() made, to undo it",
    "apps/robotics/manipulation.py": "Meta-World draws goals anew only by two private switches",
    "apps/text/translation_metrics.py": "sacrebleu's counts of each sentence, to resample them",
    "apps/molecules/chemistry.py": "the table behind RDKit's SA score, to read it without unpickling code",
}
"""The files that use a private attribute of another package, and why."""


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imports(path: Path) -> set[str]:
    """Modules that a file imports anywhere in it, for type checkers only too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name(path)} has a relative import: name the package"
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


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


@pytest.mark.parametrize("path", APPS, ids=name)
def test_apps_do_not_ask_which_family_they_have(path: Path) -> None:
    """A verb raises `Unsupported` by itself; a fact is asked of the family."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "isinstance":
            asked = ast.unparse(node.args[1])
            kinds = r"\b(Family|VAE|GAN|LatentGAN|\w*Diffusion|\w*Autoregressive)\b"
            assert not re.search(kinds, asked), ast.unparse(node)


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
    if path.parent == ROOT / "core" and path.stem == "__init__":
        return
    own = layer(module_of(path))
    for module in imports(path):
        if module.startswith("core."):
            assert layer(module) <= own, f"{name(path)} imports {module}, which is above it"


def test_no_circle_of_imports_of_any_kind() -> None:
    """Of modules, imports inside functions and for type checkers included; a package's lazy names do not count."""
    modules = {module_of(path): path for path in [*CORE, *APPS]}
    graph = {}
    for module, path in modules.items():
        found = imports(path)
        if path.name == "__init__.py" and "core.lazy.lazy" in found:
            found = set()
        graph[module] = {
            target for wanted in found for target in (wanted, wanted.rpartition(".")[0])
            if target in modules and target != module and modules[target].name != "__init__.py"
        }
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join([*trail[trail.index(module):], module])
        if module not in done:
            for target in sorted(graph[module]):
                visit(target, (*trail, module))
            done.add(module)

    for module in sorted(graph):
        visit(module, ())


@pytest.mark.parametrize("path", [*CORE, *APPS], ids=name)
def test_private_attributes_of_others_are_listed(path: Path) -> None:
    tree = ast.parse(path.read_text())
    bound = {alias.asname or alias.name.split(".")[0]
             for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom) for alias in node.names
             if ((node.module or "") if isinstance(node, ast.ImportFrom) else alias.name).split(".")[0] not in
             ("core", "apps", "__future__")}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] not in ("core", "apps"):
            assert all(not alias.name.startswith("_") for alias in node.names), f"{name(path)}: {ast.unparse(node)}"
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in ("core", "apps"):
            assert all(not alias.name.startswith("_") for alias in node.names), f"{name(path)}: {ast.unparse(node)}"
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            owner = ast.unparse(node.value)
            foreign = owner.split(".")[0].split("(")[0] in bound
            if foreign:
                assert name(path) in PRIVATE, f"{name(path)} uses {ast.unparse(node)}: list it in PRIVATE with a reason"


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
    for room in ROOMS:
        assert (ROOT / "apps" / domain / f"{room}.py").is_file(), f"apps/{domain} has no {room}.py"


def test_the_core_names_no_field_of_a_domain() -> None:
    for path in CORE:
        for word in ("tokenizer.", "data.folder", '"folder"', 'source="folder'):
            assert word not in path.read_text(), f"{name(path)} has {word!r}: a domain states it"


def test_types_are_shipped() -> None:
    assert (ROOT / "core" / "py.typed").is_file() and (ROOT / "apps" / "py.typed").is_file()
