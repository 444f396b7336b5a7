"""Two processes train what one process trains."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from command_line import succeed
from safetensors.torch import load_file
from tiny_domain import app
from toy_family import Toy, toy_config, toy_data

from core.errors import FourfoldError
from core.training.distributed import World, average
from core.training.log import read_log
from core.training.loop import train

WORKER, PROGRAM = (Path(__file__).with_name(name) for name in ("distributed_worker.py", "distributed_program.py"))
needs_distributed = pytest.mark.skipif(not torch.distributed.is_available(), reason="torch has no distributed")


def start(command: list[str], size: int) -> list[subprocess.Popen]:
    """The command in `size` processes, as torchrun starts them."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    common = {**os.environ, "WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
              "OMP_NUM_THREADS": "1"}
    return [
        subprocess.Popen(command, env={**common, "RANK": str(rank)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         text=True)
        for rank in range(size)
    ]


def launch(folder: Path, size: int, noise: float = 0.0, accumulation: int = 2) -> None:
    """Run the worker in `size` processes and wait; whether it worked is for the files to say."""
    folder.mkdir(parents=True, exist_ok=True)
    running = start([sys.executable, str(WORKER), str(folder), str(noise), str(accumulation)], size)
    errors = [process.communicate(timeout=120)[1] for process in running]
    # Gloo may abort a process after its work is done, so exit codes say nothing.
    for rank in range(size):
        assert (folder / f"result-{rank}.json").exists(), errors[rank][-3000:]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@needs_distributed
def test_processes_draw_together_what_one_draws_and_one_speaks(tmp_path, monkeypatch):
    """And they stop together, once, however often they are told (torchrun passes on what the terminal sends, too)."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    runs, alone, words = {}, tmp_path / "alone", []
    for family in ("diffusion", "autoregressive"):
        runs[family] = tmp_path / family
        succeed(app, "train", f"ring-{family}", "--run", runs[family], "--set", "train.steps=20")
        succeed(app, "sample", runs[family], "-n", 600, "-o", alone / family)
        words.append(["sample", runs[family], "-n", 600, "-o", tmp_path / "shared" / family])
    succeed(app, "evaluate", runs["diffusion"], "-n", 600)
    measures = json.loads((runs["diffusion"] / "metrics.json").read_text())["measures"]
    (runs["diffusion"] / "metrics.json").unlink()
    long = tmp_path / "long"
    words += [["evaluate", runs["diffusion"], "-n", 600, "--json"], ["sample", runs["diffusion"], "--label", "blue"],
              ["train", "ring-vae", "--run", long, "--set", "train.steps=1000000", "--set", "train.log_every=10"]]
    (tmp_path / "words.json").write_text(json.dumps(words, default=str))
    running = start([sys.executable, str(PROGRAM), str(tmp_path)], 2)
    until = time.monotonic() + 120
    while not read_log(long) and time.monotonic() < until:
        time.sleep(0.1)
    for _ in range(2):
        for process in running:
            process.send_signal(signal.SIGINT)
    (said, news), (silent, trouble) = [process.communicate(timeout=120) for process in running]
    facts = [json.loads((tmp_path / f"facts-{rank}.json").read_text()) for rank in range(2)]
    assert [fact["codes"] for fact in facts] == [[0, 0, 0, 2, 130]] * 2, news + trouble
    assert [fact["rows"] for fact in facts] == [256 + 88, 256], "each draws its own batches"
    assert contents(tmp_path / "shared") == contents(alone) != {}
    assert json.loads((runs["diffusion"] / "metrics.json").read_text())["measures"] == measures
    assert silent == "" and said.count("points.csv") == 2 and said.count('"name"') == len(measures)
    assert news.count("error: ") == 1 and news.count("stopped and saved at step") == 1
    # Only where the first process did not end it too: torchrun would have ended this one before.
    assert trouble.count("\n") == 1 and trouble.startswith("error in process 1: ") and "blue" in trouble
    assert max(int(path.name[5:]) for path in (long / "state").glob("step-*")) >= read_log(long)[-1]["step"] > 0


@needs_distributed
def test_torchrun_tells_how_its_processes_ended(tmp_path):
    words = ["train", "ring-vae", "--run", tmp_path, "--set", "train.step=3"]
    (tmp_path / "words.json").write_text(json.dumps([words], default=str))
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", str(PROGRAM), str(tmp_path)],
        capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and "exitcode  : 2" in done.stderr  # torchrun's own code for any failure is 1
    assert done.stderr.count("error: ") == 1 and "did you mean 'steps'" in done.stderr


@needs_distributed
def test_two_processes_train_what_one_does(tmp_path):
    train(Toy(noise=0.0), toy_data(), toy_config(accumulation=2), tmp_path / "one", seed=3)
    launch(tmp_path / "two", 2)
    one, two = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("one", "two"))
    for name, value in one.items():
        if name != "seen":  # a count of examples, kept by each process for its own
            torch.testing.assert_close(two[name], value, atol=1e-5, rtol=1e-4, msg=name)
    assert json.loads((tmp_path / "two" / "result-1.json").read_text()) == {"step": 30, "finished": True}
    events, reference = read_log(tmp_path / "two"), read_log(tmp_path / "one")
    assert [e["step"] for e in events] == [e["step"] for e in reference]  # only the first process writes
    for event, expected in zip(events, reference, strict=True):
        assert event["loss"] == pytest.approx(expected["loss"], abs=1e-5)
        assert event["terms"]["critic"] == pytest.approx(expected["terms"]["critic"], abs=1e-5)


@needs_distributed
def test_randomness_belongs_to_a_part_of_the_batch_not_to_a_process(tmp_path):
    """Two processes of two parts draw what one process of four draws, and go on where it stopped."""
    train(Toy(noise=1.0), toy_data(), toy_config(accumulation=4), tmp_path / "one", seed=3)
    launch(tmp_path / "two", 2, noise=1.0, accumulation=2)
    for step in (tmp_path / "one" / "state").iterdir():
        if step.name != "step-00000028":
            shutil.rmtree(step)
    launch(tmp_path / "one", 2, noise=1.0, accumulation=2)
    one, two = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("one", "two"))
    train(Toy(noise=1.0), toy_data(), toy_config(accumulation=2), tmp_path / "other", seed=3)
    other = load_file(tmp_path / "other" / "model" / "model.safetensors")
    for name, value in one.items():
        if name != "seen":
            torch.testing.assert_close(two[name], value, atol=1e-5, rtol=1e-4, msg=name)
    assert any((other[name] - value).abs().max() > 1e-3 for name, value in one.items()), "parts draw their own"


def test_the_batch_must_divide_among_processes(tmp_path, monkeypatch):
    monkeypatch.setattr("core.training.loop.connect", lambda device: (World(0, 3), device))
    with pytest.raises(FourfoldError, match="batch_size is 16: must be a multiple of 3 processes"):
        train(Toy(), toy_data(), toy_config(), tmp_path)


def test_one_process_needs_no_connection():
    tensor = torch.ones(3)
    average([tensor], World())
    assert tensor.tolist() == [1, 1, 1]


def test_unreachable_processes_are_one_line(monkeypatch):
    from core.training.distributed import connect

    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(FourfoldError, match="2 processes cannot connect"):
        connect(torch.device("cpu"))
