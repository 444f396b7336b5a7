"""The wheel works where nothing of the source tree is, and help answers at once."""

from __future__ import annotations

import os
import shutil
import site
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODEL = ROOT / "tests" / "data" / "version-0.1.0" / "image-vae" / "finished" / "model"


def run(*words: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run([str(word) for word in words], cwd=cwd, env={**inherited, **environment},
                          capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean environment's bin folder, with the wheel installed and this environment's packages visible."""
    home = tmp_path_factory.mktemp("clean")
    source = home / "source"
    source.mkdir()
    for name in ("core", "apps"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(MODEL, source / "apps" / "image" / "models" / "mine")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    isolation = [] if _setuptools() < 77 else ["--no-build-isolation"]
    built = run(sys.executable, "-m", "pip", "wheel", "--no-deps", "-q", *isolation, "-w", home, source, cwd=home)
    assert built.returncode == 0, built.stderr
    wheel = next(home.glob("fourfold-*.whl"))
    assert run(sys.executable, "-m", "venv", "--without-pip", home / "venv", cwd=home).returncode == 0
    scripts = home / "venv" / ("Scripts" if os.name == "nt" else "bin")
    python = scripts / "python"
    packages = run(python, "-c", "import site; print(site.getsitepackages()[0])", cwd=home).stdout.strip()
    done = run(sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", wheel, cwd=home)
    assert done.returncode == 0, done.stderr
    # Other packages' folders, as plain paths: what is installed as editable there stays invisible.
    (Path(packages) / "borrowed.pth").write_text("\n".join(site.getsitepackages()))
    return scripts


def _setuptools() -> int:
    try:
        import setuptools
    except ImportError:
        return 0
    return int(setuptools.__version__.split(".")[0])


def test_the_wheel_is_what_runs(installed: Path, tmp_path: Path) -> None:
    places = run(installed / "python", "-c", "import core, apps; print(core.__file__, apps.__file__)", cwd=tmp_path)
    assert places.stdout.count(str(installed.parent)) == 2, places
    types = run(installed / "python", "-c", "from importlib.resources import files; "
                "print((files('core') / 'py.typed').is_file(), (files('apps') / 'py.typed').is_file())", cwd=tmp_path)
    assert types.stdout.split() == ["True", "True"]


def test_models_ship_in_the_wheel(installed: Path, tmp_path: Path) -> None:
    sample = run(installed / "fourfold", "image", "sample", "mine", "-n", "2", cwd=tmp_path)
    assert sample.returncode == 0 and (tmp_path / sample.stdout.split()[0]).is_file(), sample.stderr
    assert "mine" in run(installed / "fourfold", "models", cwd=tmp_path).stdout


def test_it_trains_and_samples(installed: Path, tmp_path: Path) -> None:
    help_ = run(installed / "fourfold", "--help", cwd=tmp_path)
    assert help_.returncode == 0 and all(d in help_.stdout for d in ("image", "text", "audio", "molecules", "robotics"))
    train = run(installed / "fourfold", "image", "train", "tour-diffusion", "--set", "train.steps=3", "--run", "mine",
                cwd=tmp_path)
    assert train.returncode == 0, train.stderr
    words = ("image", "sample", "mine", "-n", "2", "--steps", "2", "-o", "out")
    sample = run(installed / "fourfold", *words, cwd=tmp_path)
    assert sample.returncode == 0, sample.stderr
    assert all((tmp_path / line).stat().st_size > 0 for line in sample.stdout.split())
    # A folder called core or apps where the user stands does not matter to the console script.
    (tmp_path / "core").mkdir()
    (tmp_path / "core" / "__init__.py").write_text("raise SystemExit('the wrong core')")
    assert run(installed / "fourfold", "image", "show", "mine", cwd=tmp_path).returncode == 0


COMMANDS = [["apps.cli", "--help"], ["apps.image", "--help"], ["apps.text", "--help"], ["apps.audio", "--help"],
            ["apps.molecules", "--help"], ["apps.robotics", "--help"], ["apps.image", "train", "--help"],
            ["apps.cli", "tour", "--help"]]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_answers_in_half_a_second(words: list[str]) -> None:
    fastest = float("inf")
    for _ in range(8):  # the machine may be busy: it is fast if it is fast once
        started = time.perf_counter()
        done = run(sys.executable, "-m", *words, cwd=ROOT)
        fastest = min(fastest, time.perf_counter() - started)
        assert done.returncode == 0 and "Usage" in done.stdout, done.stderr
        if fastest < 0.5:
            break
    assert fastest < 0.5


@pytest.mark.parametrize("name", ["apps.cli", "apps.image.cli", "apps.text.cli", "apps.audio.cli", "apps.molecules.cli",
                                  "apps.robotics.cli", "core.tour"])
def test_command_lines_import_without_torch(name: str) -> None:
    done = run(sys.executable, "-c", f"import sys, {name}; print('torch' in sys.modules)", cwd=ROOT)
    assert done.stdout.strip() == "False", done.stderr


def test_ci_runs_what_the_readme_says() -> None:
    text = (ROOT / "README.md").read_text()
    script = (ROOT / ".ci" / "run").read_text()
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    for heading in ("Run the tests", "Check"):
        assert f'"{heading}"' in script
        block = text.split(f"# {heading}")[1].split("```")[1]
        assert "python -m" in block or "ruff" in block, f"README has no command under {heading!r}"
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {"pytest", "ruff", "mypy"} <= {entry.split(">")[0] for entry in extras["test"]}
