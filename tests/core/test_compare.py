"""`compare`: four families and what a user adds on the same data, one table, one report, a winner to go on with."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import tiny_domain
from command_line import run
from tiny_domain import app

import core.tour.compare
from core.errors import FourfoldError
from core.files import Busy, one_writer, read_json
from core.runs.domain import Prepared
from core.runs.measures import Measure
from core.runs.recipe import Recipe
from core.tour.compare import rank, separated
from core.tour.jobs import Job

HERE = Path(__file__).parent
Cli = Callable[..., tuple[int, str, str]]
OWN = """
import numpy as np

def ring(n, seed):
    angle = np.random.default_rng(seed).uniform(0, 2 * np.pi, n)
    return list(zip(np.cos(angle).tolist(), np.sin(angle).tolist()))

def few(n, seed):
    return [(1.0, 0.0)]

notes = 3
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of points, and a module of functions where the user stands."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(HERE.parent.parent))
    monkeypatch.setattr(sys, "path", [*sys.path])
    sys.modules.pop("ring_functions", None)
    (tmp_path / "ring_functions.py").write_text(OWN)
    rows = [(math.cos(i), math.sin(i), int(math.cos(i) > 0)) for i in range(300)]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "points.csv").write_text("".join(f"{x:.4f},{y:.4f},{label}\n" for x, y, label in rows))
    return tmp_path


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Cells run in this process, which imports torch once; returns the names of those that ran, as they do."""
    ran: list[str] = []

    def run_jobs(jobs: Sequence[Job], workers: int, save: Callable[[], None]) -> None:
        save()
        for job in jobs:
            if job.result() is None:
                ran.append(job.family)
                code = run(app, *job.command()[2:])
                job.error = None if code == 0 else f"exit code {code}"
            save()

    monkeypatch.setattr(core.tour.compare, "run_jobs", run_jobs)
    return ran


def test_from_data_to_a_winner_that_is_ready(own: Path, cli: Cli, here: list[str]) -> None:
    words = ("compare", "--data", "mine", "--families", "vae,diffusion", "--with", "ring_functions:ring")
    code, out, err = cli(*words, "--minutes", "0.04")
    assert code == 0, err
    home = own / "runs" / "tiny" / "compare-mine"
    record = read_json(home / "compare.json")
    assert record["decided_by"] == "distance_to_ring" and record["minutes_each"] == 0.02 and record["finished"]
    assert record["ranking"][0] == "ring_functions:ring" and "Better still: ring_functions:ring" in out
    counts = {name: row["count"] for name, row in record["rows"].items()}
    assert counts == {"vae": 200, "diffusion": 200, "ring_functions:ring": 200}
    winner = record["winner"]["family"]
    assert winner in ("vae", "diffusion") and f"{winner} suits mine best" in out
    assert record["winner"]["separated"] in (True, False) and "overlap" in out and "0.04 " in out, "the floor is told"
    page = (home / "report.html").read_text()
    for word in ("vae · mine", "diffusion · mine", "ring_functions:ring · mine", "real data, held out · mine",
                 "All measures", f"{winner} suits mine best", "spread ↑", f'href="{winner}/report.html"', "floor"):
        assert word in page, word
    command = next(line.split() for line in out.splitlines() if line.startswith("  fourfold tiny sample"))
    assert command[3] in page and run(app, *command[2:]) == 0

    here.clear()
    code, out, _ = cli(*words, "--minutes", "0.04", "--json")
    assert code == 0 and json.loads(out)["rows"].keys() == counts.keys()
    assert here == ["ring_functions:ring"], "what is finished is kept, what a user adds is judged anew"
    assert read_json(home / "vae" / "cell.json")["minutes"] == 0.02
    assert cli("compare", "--data", "mine", "--families", "vae", "--minutes", "0.03")[0] == 0
    assert read_json(home / "vae" / "cell.json")["minutes"] == 0.03, "more minutes train on"
    assert "as many --minutes as before" in cli(*words, "--minutes", "0.04")[2]

    with open(own / "mine" / "points.csv", "a") as stream:
        stream.write("0.5,0.5,1\n" * 5)
    code, _, err = cli("compare", "--data", "mine", "--families", "vae", "--minutes", "0.03")
    assert code == 2 and "--fresh" in err


def test_the_same_command_goes_on_where_it_was_killed(own: Path, cli: Cli) -> None:
    words = ("compare", "ring-gan", "--families", "gan", "--minutes", "0.1")
    process = subprocess.Popen([sys.executable, str(HERE / "tiny_domain.py"), *words], stderr=subprocess.DEVNULL)
    home = own / "runs" / "tiny" / "compare-ring-gan"
    _until(lambda: any(home.glob("gan/state/step-*/state.json")))
    process.kill()
    process.wait()
    # Its cell sees that, saves and ends; until then the run folder is in use.
    _until(lambda: not _is_written(home / "gan"))
    assert not (home / "gan" / "cell.json").exists() and not (home / "report.html").exists()
    code, out, err = cli(*words)
    assert code == 0 and "there is no second" in out, err
    events = [json.loads(line) for line in (home / "gan" / "log.jsonl").read_text().splitlines()]
    assert sum(event.get("step") == 1 for event in events) == 1, "it began anew"
    assert read_json(home / "compare.json")["finished"] and (home / "report.html").is_file()


def _until(reached: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, "took too long"
        time.sleep(0.02)


def _is_written(folder: Path) -> bool:
    """Whether a process writes to a run."""
    try:
        with one_writer(folder):
            return False
    except Busy:
        return True


def test_a_run_is_a_row_and_a_family_that_cannot_is_left_out(
    own: Path, cli: Cli, here: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sized = tiny_domain.DOMAIN.sized

    def choosy(
        data: tiny_domain.RingData, prepared: Prepared[tiny_domain.RingCodec], family: str
    ) -> Recipe[tiny_domain.RingData]:
        if family == "gan":
            raise FourfoldError("points are no data for a GAN")
        return sized(data, prepared, family)

    monkeypatch.setattr(tiny_domain, "DOMAIN", replace(tiny_domain.DOMAIN, sized=choosy))
    assert run(app, "train", "ring-vae", "--data", "mine", "--set", "train.steps=5", "--run", "earlier") == 0
    code, _, err = cli("compare", "--data", "mine", "--minutes", "0.02", "--families", "gan,diffusion",
                       "--with", "earlier", "--with", "ring_functions:few")
    assert "gan is left out: points are no data for a GAN" in caplog.text
    record = read_json(own / "runs" / "tiny" / "compare-mine" / "compare.json")
    assert record["rows"]["gan"] == {"left_out": "points are no data for a GAN"} and record["minutes_each"] == 0.02
    assert set(record["ranking"]) == {"diffusion", "earlier"} and record["winner"]["family"] == "diffusion"
    assert code == 1 and "gave 1 items: must give 200" in err and "error" in record["rows"]["ring_functions:few"]
    page = (own / "runs" / "tiny" / "compare-mine" / "report.html").read_text()
    assert "gan is left out" in page and "earlier · mine" in page


@pytest.mark.parametrize(("words", "said"), [
    (("--data", "nowhere"), "no such folder or file"),
    (("--data", "mine", "--families", "vea"), "did you mean 'vae'"),
    (("ring-vae", "--data", "mine"), "not both"),
    (("--data", "mine", "--with", "runs/none"), "no such run"),
    (("--data", "mine", "--with", "nothing_here:draw"), "cannot be imported"),
    (("--data", "mine", "--with", "ring_functions:notes"), "is no function"),
    (("--data", "mine", "--set", "train.steps=4"), "give --minutes"),
    (("--data", "mine", "--set", "trian.seed=4"), "trian"),
    (("--data", "few"), "too few"),
    (("--data", "mine", "--run", "mine"), "not a comparison"),
])
def test_what_cannot_be_compared_is_refused_in_a_line(
    own: Path, refused: Callable[..., str], words: tuple[str, ...], said: str
) -> None:
    (own / "few").mkdir()
    (own / "few" / "points.csv").write_text("0,1,0\n1,0,1\n" * 6)
    assert said in refused("compare", *words)
    assert not (own / "runs").exists() and os.listdir(own / "mine") == ["points.csv"]


def fd(value: float, interval: tuple[float, float] | None = None, floor: float | None = None) -> Measure:
    return Measure(name="fd", value=value, better="lower", interval=interval, floor=floor, floor_is="least")


def test_the_first_shared_measure_decides_and_who_copies_comes_last() -> None:
    bits = Measure(name="bits", value=1.0, better="lower", kind="exact")
    copies = Measure(name="near_copies", value=0.5, better="lower", interval=(0.4, 0.6), floor=0.01, floor_is="copies")
    found = rank({"vae": [bits, fd(3)], "gan": [fd(2)], "diffusion": [bits, fd(1), copies], "autoregressive": [
        bits, fd(math.nan)]})
    assert found.measure == "fd ↓" and list(found.measures) == ["gan", "vae", "autoregressive", "diffusion"]
    assert found.winner(list(found.measures)) == "gan" and found.second(["autoregressive", "vae", "gan"]) == "vae"
    assert found.winner(["vae", "diffusion"]) == "vae" and found.winner(["diffusion"]) is None
    assert "memorized" in found.measures["diffusion"].remark
    assert rank({"vae": [bits, fd(3)], "autoregressive": [replace(bits, value=0.5), fd(9)]}).measure == "bits ↓"
    up = [Measure(name="success", value=value, better="higher") for value in (0.2, 0.9)]
    assert list(rank({"vae": up[:1], "gan": up[1:]}).measures) == ["gan", "vae"]
    closer = rank({"vae": [fd(1, (0.9, 1.1), floor=2.0)], "gan": [fd(3, (2.9, 3.1), floor=2.0)]})
    assert list(closer.measures) == ["gan", "vae"] and not rank({}).measures


def test_intervals_tell_apart_or_do_not() -> None:
    assert separated(fd(1, (0.9, 1.1)), fd(2, (1.2, 2.8))) is True
    assert separated(fd(1, (0.9, 1.1)), fd(2, (1.05, 2.8))) is False
    assert separated(fd(1), fd(2, (1.2, 2.8))) is None
