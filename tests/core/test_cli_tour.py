"""The tour: every cell a process, one failure is one failure, finished cells are kept, Ctrl-C saves."""

from __future__ import annotations

import html
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core.errors import FourfoldError
from core.tour.tour import OTHER_SECONDS, TRAIN_SECONDS, _scale, choose, tour

HERE = Path(__file__).parent
CELL = ("import sys; sys.path.insert(0, {!r}); import tiny_domain; from core.command_line.program import main; "
        "main(tiny_domain.app)")


def command(domain: str, recipe: str) -> list[str]:
    """Cells of the tiny domain; "broken" is a domain whose cells fail."""
    return [sys.executable, "-c", CELL.format(str(HERE)), "cell", recipe if domain == "tiny" else "nonsense"]


def test_one_failure_is_one_failure_and_finished_cells_are_kept(tmp_path: Path) -> None:
    folder = tmp_path / "tour"
    assert not tour(["tiny", "broken"], ["diffusion"], folder, command, seed=3, workers=2)
    record = json.loads((folder / "tour.json").read_text())
    good, bad = record["cells"]["tiny"]["diffusion"], record["cells"]["broken"]["diffusion"]
    assert good["measure"] == "distance_to_ring" and good["beats_baseline"] in (True, False)
    assert {"value", "baseline", "floor", "interval", "seconds", "measures"} <= good.keys()
    assert "nonsense" in bad["error"] and record["minutes"] > 0 and record["environment"]["seed"] == 3
    page = (folder / "report.html").read_text()
    assert "points &lt;&amp;&gt;" in page and "nonsense" in page and "distance_to_ring" in page and "<svg" in page
    assert (folder / "tiny/diffusion/report.html").is_file() and 'href="tiny/diffusion/report.html"' in page
    commands = [html.unescape(line) for line in re.findall(r'<pre class="command">(.*?)</pre>', page)]
    assert [line.split()[2] for line in commands] == ["sample", "evaluate", "nearest"]
    assert all(str(folder / "tiny" / "diffusion") in line for line in commands)

    cell = folder / "tiny" / "diffusion" / "cell.json"
    before = cell.stat().st_mtime_ns
    assert tour(["tiny"], ["diffusion"], folder, command, seed=3)
    assert cell.stat().st_mtime_ns == before
    with pytest.raises(FourfoldError, match="--fresh"):
        tour(["tiny"], ["diffusion"], folder, command, seed=4)


def test_the_report_appears_with_the_first_cell_and_lines_have_verdicts(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def spy(domain: str, recipe: str) -> list[str]:
        page = tmp_path / "report.html"
        pages.append(page.read_text() if page.exists() else "")
        return command(domain, recipe)

    pages: list[str] = []
    tour(["broken", "tiny"], ["vae"], tmp_path, spy, workers=1)
    assert pages[0] == "" and "1 of 2 are finished: reload this page" in pages[1]
    assert "reload this page" not in (tmp_path / "report.html").read_text()
    said = next(line for line in capfd.readouterr().err.splitlines() if "tiny vae" in line)
    assert "beats its baseline" in said or "does not beat its baseline" in said


def test_ctrl_c_stops_the_workers_and_the_next_start_continues(tmp_path: Path) -> None:
    script = (f"import sys; sys.path.insert(0, {str(HERE)!r}); from pathlib import Path; import test_cli_tour as t; "
              f"t.tour(['tiny'], ['gan'], Path({str(tmp_path / 'tour')!r}), t.command, minutes=60)")
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent.parent)}
    process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True, env=environment)
    log = tmp_path / "tour" / "tiny" / "gan" / "log.jsonl"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (log.exists() and log.read_text().count("\n") > 2):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode != 0
    saved = [json.loads((path / "state.json").read_text())["step"] for path in log.parent.glob("state/step-*")]
    assert saved, "the worker saved nothing"
    # A worker that still lived would go on writing.
    size = log.stat().st_size
    time.sleep(0.5)
    assert log.stat().st_size == size and not (log.parent / "cell.json").exists()
    assert max(saved) < 30 * _scale(60, 1, 1)


def test_minutes_scale_training() -> None:
    assert _scale((OTHER_SECONDS + TRAIN_SECONDS) * 20 / 60 / 2, 2, 20) == 1.0
    assert _scale(100, 2, 20) > 2 and _scale(0.1, 2, 20) == 0.02


def test_choose() -> None:
    assert choose(None, ["a", "b"], "--x") == ["a", "b"]
    assert choose("b, a", ["a", "b"], "--x") == ["a", "b"]
    with pytest.raises(FourfoldError, match="did you mean 'image'"):
        choose("imag", ["image", "text"], "--domains")


def test_a_foreign_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "photo.txt").write_text("mine")
    for fresh in (False, True):
        with pytest.raises(FourfoldError, match="not a tour"):
            tour(["tiny"], ["vae"], tmp_path, command, fresh=fresh)
    assert [path.name for path in tmp_path.iterdir()] == ["photo.txt"]
