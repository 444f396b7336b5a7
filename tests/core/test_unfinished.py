"""Arrays made job by job: whole, in order, in all cores, and not made again after an interruption."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from core.data import unfinished
from core.data.cache import cached, grown
from core.data.unfinished import Part, Taken, Unfinished, in_parallel, unread
from core.errors import FourfoldError


def squares(job: range) -> Part:
    x = np.array(job, np.int32)
    return {"square": x**2, "pair": np.stack([x, -x], 1).astype(np.int8)}, {"pid": os.getpid(), "first": job.start}


JOBS = [range(start, start + 5) for start in range(0, 50, 5)]


def check(arrays: dict[str, np.ndarray], notes: list) -> None:
    assert arrays["square"].tolist() == [x**2 for x in range(50)] and arrays["pair"].shape == (50, 2)
    assert [note["first"] for note in notes] == [job.start for job in JOBS]


def test_rows_of_all_jobs_stand_one_after_the_other(tmp_path: Path) -> None:
    check(*Unfinished(tmp_path / "new").make("squares", squares, JOBS, what="squaring"))


def test_what_is_made_is_not_made_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = []

    def work(job: range, broken: int | None = 30) -> Part:
        if job.start == broken:
            raise FourfoldError("the power fails")
        made.append(job.start)
        return squares(job)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unfinished, "SAVED", 0.0)
        with pytest.raises(FourfoldError, match="the power fails"):
            Unfinished(tmp_path).make("squares", work, JOBS, what="squaring")
    for path in tmp_path.iterdir():  # what was written after the last line of the journal, or in half
        with open(path, "ab") as stream:
            stream.write(b'{"done": 9')
    check(*Unfinished(tmp_path).make("squares", lambda job: work(job, None), JOBS, what="squaring", sizes=[5] * 10))
    assert made == [job.start for job in JOBS]
    assert caplog.messages == ["squaring: goes on at 30 of 50, where an earlier process stopped"]
    check(*Unfinished(tmp_path).make("squares", lambda job: pytest.fail("again"), JOBS, what="squaring"))
    (tmp_path / "squares-pair").write_bytes(b"")
    check(*Unfinished(tmp_path).make("squares", squares, JOBS, what="squaring"))


def test_long_work_is_shared_and_stays_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unfinished, "WORTH", 0.0)
    monkeypatch.setattr(unfinished, "cpu_count", lambda: 2)
    found = list(in_parallel(slow, range(12)))
    assert [number for number, _ in found] == list(range(12))
    others = {pid for _, pid in found} - {os.getpid()}
    assert len(others) == 2
    time.sleep(0.2)
    assert not any(Path(f"/proc/{pid}").exists() for pid in others)
    with pytest.raises(FourfoldError, match="number 7"):
        list(in_parallel(fails_late, range(12)))


def slow(number: int) -> tuple[int, int]:
    time.sleep(0.05)
    return number, os.getpid()


def fails_late(number: int) -> int:
    time.sleep(0.01)
    if number == 7:
        raise FourfoldError(f"number {number} is broken")
    return number


SCRIPT = """
import sys, time
from core.data.cache import grown
from tests_of_unfinished import squares, JOBS
import core.data.unfinished as unfinished
unfinished.SAVED = 0.0
def work(job):
    print(job.start, flush=True)
    time.sleep(float(sys.argv[1]))
    return squares(job)
arrays = grown("squares", 1, ["a key"], lambda bench: bench.make("squares", work, JOBS, what="squaring")[0])
print(arrays["square"].sum())
"""


def test_a_killed_process_is_gone_on_with_and_two_make_no_double_work(tmp_path: Path) -> None:
    (tmp_path / "tests_of_unfinished.py").write_text(Path(__file__).read_text())
    (tmp_path / "script.py").write_text(SCRIPT)  # without a guard against being imported
    paths = os.pathsep.join([str(Path(__file__).parents[2]), str(tmp_path)])
    environment = {**os.environ, "PYTHONPATH": paths, "FOURFOLD_CACHE": str(tmp_path / "cache")}

    def start(seconds: float) -> subprocess.Popen:
        return subprocess.Popen([sys.executable, tmp_path / "script.py", str(seconds)], env=environment, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    with start(0.05) as first:
        assert first.stdout is not None
        while first.stdout.readline() != "20\n":
            pass
        first.send_signal(signal.SIGKILL)
    both = [start(0.02), start(0.02)]
    said = [process.communicate(timeout=60) for process in both]
    lines = [out.split() for out, _ in said]
    total = str(sum(x**2 for x in range(50)))
    assert [some[-1] for some in lines] == [total, total], said
    worked = [some[:-1] for some in lines if some[:-1]]
    assert worked in ([["20", "25", "30", "35", "40", "45"]], [["15", "20", "25", "30", "35", "40", "45"]])
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == ["arrays", "unfinished"]
    assert not list((tmp_path / "cache" / "unfinished").iterdir())


def test_rows_taken_of_a_mapped_array_are_written_as_any_array(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOURFOLD_CACHE", str(tmp_path))
    monkeypatch.setattr(unfinished, "AT_ONCE", 64)
    x = np.random.default_rng(0).integers(0, 255, (40, 3, 5), dtype=np.uint8)
    np.save(tmp_path / "x.npy", x)
    mapped, rows = np.load(tmp_path / "x.npy", mmap_mode="r"), np.random.default_rng(1).permutation(40)[:33]
    assert unread(mapped) is not mapped and np.array_equal(unread(mapped), x)
    assert unread(mapped[3:]).base is not None and np.array_equal(unread(mapped[3:]), x[3:])
    one = grown("taken", 1, ["x"], lambda bench: {"x": Taken(mapped, rows), "y": mapped, "z": x[:0]})
    other = cached("plain", 1, ["x"], lambda: {"x": x[rows], "y": x, "z": x[:0]})
    for name in "xyz":
        assert np.array_equal(one[name], other[name]) and one[name].dtype == other[name].dtype
    homes = sorted((tmp_path / "arrays").iterdir())
    contents = [{path.name: path.read_bytes() for path in home.iterdir()} for home in homes]
    assert len(homes) == 2 and contents[0] == contents[1]
    assert json.loads((homes[0] / "names.json").read_text())["arrays"].keys() == set("xyz")
