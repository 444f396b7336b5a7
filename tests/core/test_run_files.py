"""Run folders: written in full or not at all, checked when read, by one process at a time; what is lost is mended."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny_domain
from command_line import run as call
from command_line import succeed
from safetensors.torch import load_file, save_file
from tiny_domain import DOMAIN, app

from core.batches import Batch
from core.command_line import verbs
from core.data.cache import cached
from core.errors import FourfoldError
from core.files import is_vacant, new_folder, one_writer, read_json, sealed, unsealed, write_atomically, write_json
from core.runs.media import Media, load_media, save_media
from core.runs.pretrained import load
from core.runs.run import Run, evaluate, load_measures, train
from core.training import checkpoint
from core.training.log import RunLog, read_log

ROOT = Path(__file__).parent.parent.parent
TRAIN = ("train", "ring-diffusion", "--set", "train.steps=12", "--run")
PROGRAM = ("import sys; sys.path.insert(0, 'tests/core'); import tiny_domain as t; "
           "from core.command_line.program import main; main(t.app)")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "ring"
    succeed(app, *TRAIN, folder)
    succeed(app, "evaluate", folder, "-n", 50)
    return folder


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy that may be harmed."""
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a run but those that hold what the clock said."""
    return {
        str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*"))
        if path.is_file() and "events" not in path.parts and path.name not in ("report.html", "log.jsonl", "state.json")
    }


def flip(path: Path, at: int, bit: int = 0) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1 << bit
    path.write_bytes(bytes(content))


# --------------------------------------------------------------------------------------------------- what is mended


HARM: dict[str, Callable[[Path], object]] = {
    "lost": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "flipped": lambda path: flip(path, path.stat().st_size // 2),
}


@pytest.mark.parametrize("harm", HARM)
@pytest.mark.parametrize("file", [
    "recipe.json", "model/config.json", "model/codec.json", "model/README.md", "model/model.safetensors",
    "samples/points.csv", "samples/preview/index.json", "samples/preview/0.txt", "report.html",
])
def test_the_same_command_mends_a_finished_run(finished: Path, run: Path, file: str, harm: str) -> None:
    HARM[harm](run / file)
    succeed(app, *TRAIN, run)
    assert contents(run) == contents(finished)
    before, after = ((folder / "report.html").read_text().replace(str(folder), "RUN") for folder in (finished, run))
    assert before == after


def test_lost_samples_come_back_and_a_whole_run_is_not_touched(finished: Path, run: Path) -> None:
    shutil.rmtree(run / "samples")
    succeed(app, *TRAIN, run)
    assert contents(run) == contents(finished)
    stamps = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file() and path.name != "report.html"}
    succeed(app, *TRAIN, run)
    assert stamps == {path: path.stat().st_mtime_ns for path in stamps}


def test_the_card_keeps_what_was_measured(run: Path) -> None:
    before = (run / "model" / "README.md").read_text()
    succeed(app, *TRAIN, run)
    assert (run / "model" / "README.md").read_text() == before and "distance_to_ring" in before


def test_a_kill_while_samples_are_written(tmp_path: Path, finished: Path) -> None:
    """The folder is there in full or not at all, and the same command makes it."""
    folder = tmp_path / "run"

    def fail(items: Sequence[object]) -> list[Media]:
        raise ZeroDivisionError

    broken = replace(DOMAIN, preview=fail)
    recipe = Run(finished).recipe(DOMAIN)
    with pytest.raises(ZeroDivisionError):
        train(broken, recipe, Run(folder), device="cpu")
    assert not (folder / "samples").exists() and not list(folder.glob(".tmp-*"))
    (folder / ".tmp-1-samples").mkdir()
    (folder / ".tmp-1-samples" / "points.csv").write_text("half")
    (folder / "model" / ".tmp-1-config.json").write_text("half")
    (folder / "state" / ".tmp-1-step-00000012").mkdir()
    succeed(app, *TRAIN, folder)
    assert (folder / "samples" / "preview" / "index.json").is_file() and not list(folder.rglob(".tmp-*"))


@pytest.mark.parametrize("fresh", [(), ("--fresh",)])
def test_a_kill_in_the_very_first_write(tmp_path: Path, finished: Path, fresh: Sequence[str]) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / ".lock").touch()
    (folder / ".tmp-1-recipe.json").write_text("{")
    assert is_vacant(folder)
    succeed(app, *TRAIN, folder, *fresh)
    assert (folder / "model" / "model.safetensors").read_bytes() == (
        finished / "model" / "model.safetensors").read_bytes()
    assert not list(folder.rglob(".tmp-*"))


def test_a_new_folder_is_there_in_full_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    with new_folder(target) as ready:
        write_atomically(ready / "a", b"old")
    with pytest.raises(KeyboardInterrupt), new_folder(target) as ready:
        write_atomically(ready / "a", b"new")
        raise KeyboardInterrupt
    assert (target / "a").read_bytes() == b"old" and [path.name for path in tmp_path.iterdir()] == ["folder"]
    with new_folder(target) as ready:
        write_atomically(ready / "b", b"new")
    assert [path.name for path in target.iterdir()] == ["b"] and len(list(tmp_path.iterdir())) == 1
    with pytest.raises(FourfoldError, match="cannot write .*folder: No space"), new_folder(target) as ready:
        raise OSError(28, "No space left on device")


# ------------------------------------------------------------------------------------------------ what is checked


def test_no_flipped_bit_of_an_object_passes(tmp_path: Path) -> None:
    path, value = tmp_path / "x.json", {"step": 500, "rate": 1e-3, "name": "a b", "list": [1, 2.5, None, True]}
    write_json(path, value)
    whole, unnoticed = path.read_bytes(), 0
    for at in range(len(whole)):
        for bit in range(8):
            path.write_bytes(whole)
            flip(path, at, bit)
            try:
                read = read_json(path)
            except FourfoldError:
                continue
            known = {key: read.get(key) for key in value}
            assert known == value, (at, bit)  # white space, or the name of the checksum itself
            unnoticed += 1
    assert unnoticed < len(whole)
    path.write_text(json.dumps({"an": "earlier file"}))
    assert read_json(path) == {"an": "earlier file"}
    with pytest.raises(ValueError, match="crc32"):
        unsealed({**sealed(value), "step": 501})


@pytest.mark.parametrize("file", ["model/config.json", "model/codec.json", "model/model.safetensors"])
def test_no_flipped_bit_gives_another_model(run: Path, file: str) -> None:
    path, chance = run / file, random.Random(file)
    whole, before = path.read_bytes(), load(run, DOMAIN, "cpu").sample(3)
    refused = 0
    for _ in range(60):
        path.write_bytes(whole)
        flip(path, chance.randrange(len(whole)), chance.randrange(8))
        try:
            assert load(run, DOMAIN, "cpu").sample(3) == before
        except FourfoldError:
            refused += 1
    assert refused > 40


def test_weights_of_earlier_versions_have_no_checksum(run: Path) -> None:
    path = run / "model" / "model.safetensors"
    before = load(run, DOMAIN, "cpu").sample(3)
    save_file(load_file(path), path)
    assert load(run, DOMAIN, "cpu").sample(3) == before


def test_an_edited_step_is_noticed(run: Path, finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What would give other weights in silence gives way to the checkpoint before, and the same weights."""
    newest = checkpoint.found(run / "state")[0]
    for text in ((newest / "state.json").read_text().replace('"step": 12', '"step": 11'),
                 json.dumps({**read_json(newest / "state.json"), "step": 11})):
        assert '"step": 11' in text
        (newest / "state.json").write_text(text)
        capsys.readouterr()
        succeed(app, *TRAIN, run)
        assert "is damaged" in capsys.readouterr().err
        assert (run / "model" / "model.safetensors").read_bytes() == (
            finished / "model" / "model.safetensors").read_bytes()


def test_damaged_lines_of_the_log_are_counted_and_left_out(
    run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, whole = run / "log.jsonl", read_log(run)
    lines = path.read_text().splitlines()
    lines[0] = lines[0].replace('"loss": {"model": ', '"loss": {"model": 1')
    path.write_text("\n".join([*lines, '{"step": 9']))
    assert read_log(run) == whole[1:]
    assert [record.message for record in caplog.records] == ["1 damaged line of log.jsonl left out"]
    heard: list[dict[str, object]] = []
    log = RunLog(run, 12, heard.append)
    log.close()
    assert heard == [{"step": 12, "message": "1 damaged line of log.jsonl left out"}]
    assert read_log(run) == [*whole[1:], *heard]


@pytest.mark.parametrize("line", [
    '{"step": "one", "loss": {}}', '{"step": 1, "loss": 3}', '{"step": 1, "loss": {"model": "<b>"}}', "[1]", "3",
    '{"step": 1, "seconds": "<b>"}', "[" * 100000, '{"loss": {}}',
])
def test_lines_that_are_no_events_are_left_out(tmp_path: Path, line: str, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "log.jsonl").write_text(f'{line}\n{{"step": 2, "loss": {{"model": 1.5}}}}\n')
    assert read_log(tmp_path) == [{"step": 2, "loss": {"model": 1.5}}] and len(caplog.records) == 1


def test_damaged_measures_are_left_out_with_a_word(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = run / "metrics.json"
    whole, text = path.read_bytes(), path.read_text()
    value = read_json(path)["measures"][0]["value"]
    for damaged in (text.replace(f'"value": {value}', '"value": 0.5'), text[:50], json.dumps({"measures": 3}),
                    json.dumps({"measures": [{"name": "x", "value": "<b>", "better": "lower"}]}), "[]"):
        path.write_text(damaged)
        caplog.clear()
        assert load_measures(Run(run)) == [] and "evaluate" in caplog.text
        succeed(app, "report", run)
    path.write_bytes(whole)
    assert load_measures(Run(run))[0].value == value
    path.write_text(json.dumps({"measures": [{"name": "x", "value": None, "better": "lower", "interval": None}]}))
    assert np.isnan(load_measures(Run(run))[0].value)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FOURFOLD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_no_flipped_bit_of_the_cache_passes(cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    arrays: dict[str, np.ndarray] = {
        "x": np.arange(3000, dtype=np.int16).reshape(-1, 3), "small": np.linspace(0, 1, 9),
    }
    made: list[int] = []

    def make() -> dict[str, np.ndarray]:
        made.append(1)
        return arrays

    cached("test", 1, [], make)
    chance = random.Random(0)
    for turn in range(300):
        path = chance.choice(sorted(cache.rglob("*.*")))
        at = chance.randrange(min(path.stat().st_size, 128) if turn % 2 else path.stat().st_size)
        flip(path, at, chance.randrange(8))
        found = cached("test", 1, [], make)
        for name, array in arrays.items():
            assert found[name].dtype == array.dtype and np.array_equal(found[name], array), path
    assert len(made) > 200 and len(caplog.records) == len(made) - 1
    assert "the cache of test is damaged" in caplog.text and caplog.text.count("\n") == len(made) - 1


def test_large_arrays_are_checked_in_part(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.data.cache.BLOCK", 2**10)
    monkeypatch.setattr("core.data.cache.CHECKED", 8)
    made: list[int] = []

    def make() -> dict[str, np.ndarray]:
        made.append(1)
        return {"x": np.arange(2**15)}

    cached("large", 1, [], make)
    (path,) = cache.rglob("x.npy")
    for at in (9, path.stat().st_size - 1 - 2**10 * ((path.stat().st_size // 2**10) % 8)):
        flip(path, at)
        cached("large", 1, [], make)
    path.write_bytes(path.read_bytes()[:-8])
    assert cached("large", 1, [], make)["x"][-1] == 2**15 - 1 and len(made) >= 3


def test_caches_of_earlier_versions_are_read(cache: Path) -> None:
    cached("old", 1, [], lambda: {"x": np.arange(9)})
    (names,) = cache.rglob("names.json")
    names.write_text('["x"]')
    assert cached("old", 1, [], dict)["x"].tolist() == list(range(9))


def test_left_overs_of_the_cache_go_after_a_day(cache: Path) -> None:
    for name, age in (("old", 2 * 86400), ("new", 0)):
        (cache / "arrays" / f".tmp-1-{name}").mkdir(parents=True)
        os.utime(cache / "arrays" / f".tmp-1-{name}", (time.time() - age,) * 2)
    cached("x", 1, [], lambda: {"x": np.arange(9)})
    assert [path.name for path in (cache / "arrays").glob(".tmp-*")] == [".tmp-1-new"]


# ---------------------------------------------------------------------------------------------------- one writer


def test_one_run_one_writer(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(run)
    with one_writer(run):
        for more in ((), ("--fresh",)):
            assert call(app, *TRAIN, run, *more) == 2
            assert f"another process is writing to {run}" in capsys.readouterr().err
        assert contents(run) == before
        succeed(app, "report", run)  # reading is free
    succeed(app, *TRAIN, run)


@pytest.mark.slow
def test_two_processes_at_once(tmp_path: Path, finished: Path) -> None:
    """One of them trains, whoever it is, and the log has every line once."""
    command = [sys.executable, "-c", PROGRAM, "train", "ring-diffusion", "--set", "train.steps=300",
               "--set", "train.log_every=1", "--run", str(tmp_path / "run")]
    both = [subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    errors = [process.communicate(timeout=120)[1] for process in both]
    codes = sorted(process.returncode for process in both)
    assert codes in ([0, 2], [0, 0]), errors  # the second may come when the first has ended
    assert codes == [0, 0] or any("another process is writing" in text for text in errors)
    assert [event["step"] for event in read_log(tmp_path / "run") if "loss" in event] == list(range(1, 301))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the process is forked")
def test_a_lock_dies_with_its_process(tmp_path: Path) -> None:
    child = os.fork()
    if not child:
        with one_writer(tmp_path):
            (tmp_path / "held").touch()
            time.sleep(60)
        os._exit(0)
    while not (tmp_path / "held").exists():
        time.sleep(0.01)
    with pytest.raises(FourfoldError, match="another process"), one_writer(tmp_path):
        pass
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with one_writer(tmp_path):
        pass


# ------------------------------------------------------------------------------------------------------ going on


def test_what_does_not_decide_the_weights_may_change(run: Path, finished: Path) -> None:
    weights = (run / "model" / "model.safetensors").read_bytes()
    for path in checkpoint.found(run / "state")[:1]:
        shutil.rmtree(path)  # so that there is something left to train
    succeed(app, *TRAIN, run, "--set", "train.checkpoint_every=3", "--set", "train.log_every=2", "--device", "cpu")
    assert (run / "model" / "model.safetensors").read_bytes() == weights
    assert read_json(run / "recipe.json")["train"]["checkpoint_every"] == 3
    assert read_json(run / "model" / "config.json")["recipe"]["train"]["log_every"] == 2


def test_training_longer_says_how(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(app, "train", "ring-diffusion", "--set", "train.steps=20", "--run", run) == 2
    error = capsys.readouterr().err
    assert "train.steps: 12 -> 20" in error and f"--from {run}" in error and "--fresh" in error
    succeed(app, "train", "--from", run, "--set", "train.steps=20", "--run", tmp_path / "longer")
    assert call(app, "train", "ring-diffusion", "--set", "train.steps=4", "--run", run) == 2
    assert "--from" not in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------------- reports


@pytest.mark.parametrize("name", [
    "/etc/passwd", "../../secret", "link", "nothing", "..", "", "a\0b", "../preview/../../x",
])
def test_media_outside_their_folder_are_not_read(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "samples" / "preview"
    save_media([Media(kind="text", content="mine")], folder)
    assert [entry.content for entry in load_media(folder)] == ["mine"]
    (tmp_path / "secret").write_text("secret")
    (folder / "link").symlink_to(tmp_path / "secret")
    for index in ([{"kind": "text", "file": name, "caption": ""}],
                  {"media": [{"kind": "text", "file": name, "caption": ""}]}):
        (folder / "index.json").write_text(json.dumps(index))
        with pytest.raises(FourfoldError, match="index.json|cannot read"):
            load_media(folder)


@pytest.mark.parametrize("entry", [
    {"kind": 'png" onerror="x', "file": "0.txt", "caption": ""}, {"kind": "svg+xml", "file": "0.txt", "caption": ""},
    {"kind": "text", "file": "0.txt", "caption": ["<b>"]}, {"kind": "text", "file": 3, "caption": ""}, 3, None,
    {"kind": "text", "caption": ""},
])
def test_entries_of_other_kinds_are_left_out_of_reports(
    run: Path, entry: object, caplog: pytest.LogCaptureFixture
) -> None:
    (run / "samples" / "preview" / "index.json").write_text(json.dumps([entry]))
    succeed(app, "report", run)
    assert "samples are left out" in caplog.text and "onerror" not in (run / "report.html").read_text()


@pytest.mark.parametrize("file", ["recipe.json", "metrics.json", "log.jsonl", "samples"])
def test_a_report_follows_no_link_out_of_its_run(
    run: Path, tmp_path: Path, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    os.rename(run / file, tmp_path / "elsewhere")
    (run / file).symlink_to(tmp_path / "elsewhere")
    assert call(app, "report", run) == 2
    assert "leads out of" in capsys.readouterr().err
    (tmp_path / "link").symlink_to(run)  # a run may itself be reached by a link
    (run / file).unlink()
    os.rename(tmp_path / "elsewhere", run / file)
    succeed(app, "report", tmp_path / "link")


def test_all_that_a_report_shows_is_escaped(run: Path) -> None:
    evil = "<script>alert(1)</script>"
    metrics = read_json(run / "metrics.json")
    metrics["measures"][0] |= {"name": evil, "baseline_name": evil}
    write_json(run / "metrics.json", {**metrics, "environment": {evil: evil}})
    (run / "log.jsonl").write_text("".join(json.dumps({"step": s, "loss": {evil: 1.0}}) + "\n" for s in (1, 2)))
    shutil.rmtree(run / "samples")
    (run / "samples").mkdir()
    save_media([Media(kind="text", content=evil, caption=evil), Media(kind="png", content=b"x", caption=f'"{evil}')],
               run / "samples" / "preview")
    succeed(app, "report", run)
    text = (run / "report.html").read_text()
    assert "<script" not in text and text.count("&lt;script&gt;") >= 7


# ------------------------------------------------------------------------------------------------------- streams


def started(*words: object, **settings: object) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **settings.pop("env", {})}  # type: ignore[dict-item]
    command = [sys.executable, "-c", PROGRAM, *map(str, words)]
    return subprocess.run(command, cwd=ROOT, env=environment, timeout=120, **settings)  # type: ignore[call-overload]


@pytest.mark.slow
def test_a_stream_that_cannot_show_a_character_loses_it_alone(run: Path, tmp_path: Path) -> None:
    env = {"PYTHONIOENCODING": "cp1252:strict", "PYTHONUTF8": "0"}
    out = tmp_path / "ﬁgures 数"
    done = started("sample", run, "-n", 2, "-o", out, env=env, capture_output=True)
    assert done.returncode == 0 and b"gures ?" in done.stdout and (out / "points.csv").exists(), done.stderr
    made = started("sample", run, "-n", 2, "-o", out, "--overwrite", "--json", env=env, capture_output=True)
    assert json.loads(made.stdout)["files"] == [str(out / "points.csv")]
    lost = started("sample", tmp_path / "数", env={"PYTHONIOENCODING": "ascii:strict", "PYTHONUTF8": "0"},
                   capture_output=True)
    assert lost.returncode == 2 and lost.stderr.startswith(b"error: ") and lost.stderr.count(b"\n") == 1


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="streams are closed by a shell")
@pytest.mark.parametrize("closing", ["0<&- >&- 2>&-", "2> >(exec 0<&-; sleep 0.2)", "2>/dev/full"])
def test_closed_streams_end_no_training(tmp_path: Path, closing: str) -> None:
    command = f'exec "$0" -c "$1" train ring-diffusion --set train.log_every=1 --run "$2" {closing}'
    words = ["bash", "-c", command, sys.executable, PROGRAM, str(tmp_path / "run")]
    done = subprocess.run(words, cwd=ROOT, timeout=120)
    assert done.returncode == 0
    assert (tmp_path / "run" / "report.html").exists()
    assert sum("loss" in event for event in read_log(tmp_path / "run")) == 30


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full disk")
def test_a_full_disk_behind_stdout_has_a_name(run: Path) -> None:
    with open("/dev/full", "w") as full:
        done = started("show", run, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 2
    assert done.stderr == b"error: cannot write to standard output: No space left on device\n"


@pytest.mark.parametrize("parts", [1, 4])
def test_many_samples_are_written_while_they_are_drawn(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Callable[..., tuple[int, str, str]], parts: int
) -> None:
    """Never more than two parts are in memory, and they hold what one part would."""
    succeed(app, "sample", run, "-n", 1000, "-o", tmp_path / "whole")
    monkeypatch.setattr(verbs, "PART", 256 if parts > 1 else 1000)
    seen: list[int] = []

    def decode(codec: tiny_domain.RingCodec, batch: Batch) -> list[tuple[float, float]]:
        seen.append(len(list(tmp_path.glob("out/part-*"))))
        return [(x, y) for x, y in batch.x.tolist()]

    monkeypatch.setattr(tiny_domain.RingCodec, "decode", decode)
    code, out, _ = cli("sample", run, "-n", 1000, "-o", tmp_path / "out")
    assert code == 0 and seen == ([0, 1, 2, 3] if parts > 1 else [0] * 4)
    folders = sorted(tmp_path.glob("out/part-*")) or [tmp_path / "out"]
    assert len(folders) == parts and len(out.splitlines()) == parts
    text = "".join((folder / "points.csv").read_text() for folder in folders)
    assert text == (tmp_path / "whole" / "points.csv").read_text()


def test_episodes_are_drawn_in_parts_too(run: Path) -> None:
    asked: list[tuple[int, int]] = []

    def draw(model: object, n: int, seed: int, settings: object) -> list[tuple[float, float]]:
        asked.append((n, seed))
        return [(0.0, 0.0)] * n

    domain = replace(DOMAIN, draw=draw)
    parts = list(domain.parts(load(run, DOMAIN, "cpu"), 25, 10, seed=3))
    assert [len(part) for part in parts] == [10, 10, 5] and asked[0] == (10, 3)
    assert len({seed for _, seed in asked}) == 3


def test_evaluate_is_what_report_reads(run: Path) -> None:
    measures = evaluate(DOMAIN, Run(run), n=20, device="cpu")
    assert load_measures(Run(run)) == measures
