"""Two processes train what one process trains."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from toy_family import Toy, toy_config, toy_data

from core.errors import FourfoldError
from core.training.distributed import World, average
from core.training.log import read_log
from core.training.loop import train

WORKER = Path(__file__).with_name("distributed_worker.py")


def launch(folder: Path, size: int, noise: float = 0.0, accumulation: int = 2) -> None:
    """Run the worker in `size` processes and wait; whether it worked is for the files to say."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder.mkdir(parents=True, exist_ok=True)
    common = {**os.environ, "WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
              "OMP_NUM_THREADS": "1"}
    running = [
        subprocess.Popen([sys.executable, str(WORKER), str(folder), str(noise), str(accumulation)],
                         env={**common, "RANK": str(rank)}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                         text=True)
        for rank in range(size)
    ]
    errors = [process.communicate(timeout=120)[1] for process in running]
    # Gloo may abort a process after its work is done, so exit codes say nothing.
    for rank in range(size):
        assert (folder / f"result-{rank}.json").exists(), errors[rank][-3000:]


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch was built without distributed")
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


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch was built without distributed")
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
