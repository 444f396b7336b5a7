"""A run that is killed, stopped or damaged ends with the very weights of a run left alone."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_families import SMALL
from toy_family import Toy, toy_config, toy_data, weights

from core.errors import FourfoldError
from core.training import checkpoint
from core.training.log import read_log
from core.training.loop import train

KILLS = 20


@pytest.fixture(scope="module")
def tortured(tmp_path_factory):
    """What became of a run of each family after `KILLS` kills."""
    worker = Path(__file__).with_name("resume_worker.py")
    folder = tmp_path_factory.mktemp("resume")
    done = subprocess.run(
        [sys.executable, str(worker), str(KILLS), str(folder), *SMALL], capture_output=True, text=True, timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the runs are forked")
@pytest.mark.parametrize("name", SMALL)
def test_killed_runs_end_with_the_same_weights_and_log(tortured, name):
    result = tortured[name]
    assert result["equal"], result
    assert result["kills"] >= KILLS and len(set(result["places"])) >= 3  # killed at different stages


@pytest.fixture
def alone(tmp_path):
    """A finished run."""
    train(Toy(), toy_data(), toy_config(), tmp_path / "alone", seed=1)
    return tmp_path / "alone"


class Stop(Exception):
    """Ends a run from its listener, as a crash would."""


def crash_at(step):
    def listener(event):
        if event["step"] >= step:
            raise Stop

    return listener


def crashed(folder, step=20):
    with pytest.raises(Stop):
        train(Toy(), toy_data(), toy_config(), folder, seed=1, log=crash_at(step))
    return folder


def resume(folder, listener=None):
    return train(Toy(seed=2), toy_data(), toy_config(), folder, seed=1, log=listener)


def test_resume_is_exact_and_the_log_reads_as_if_never_stopped(alone, tmp_path):
    folder = crashed(tmp_path / "run")
    with open(folder / "log.jsonl", "a") as log:
        log.write('{"step": 21, "lo')  # cut short by the crash
    assert [event["step"] for event in read_log(folder)][-1] == 20 > checkpoint.load(folder / "state").facts["step"]
    result = resume(folder)
    assert result.finished and result.step == 30
    assert weights(folder) == weights(alone)
    steps = [event["step"] for event in read_log(folder)]
    assert steps == [event["step"] for event in read_log(alone)] == [1, 4, 8, 12, 16, 20, 24, 28, 30]
    assert [event["loss"] for event in read_log(folder)] == [event["loss"] for event in read_log(alone)]
    for line in (folder / "log.jsonl").read_text().splitlines():
        json.loads(line)


def test_seconds_add_up_over_starts(tmp_path):
    folder = crashed(tmp_path)
    saved = checkpoint.load(folder / "state")
    facts = {**saved.facts, "seconds": 1000.0}
    checkpoint.save(folder / "state", saved.tensors, facts)
    assert 1000 < resume(folder).seconds < 1100
    seconds = [event["seconds"] for event in read_log(folder)]
    assert seconds[-1] > 1000 and read_log(folder)[-1]["examples_per_second"] > 1


def test_checkpoints_of_earlier_versions_continue(alone, tmp_path):
    folder = crashed(tmp_path / "run")
    saved = checkpoint.load(folder / "state")
    older = {name: tensor for name, tensor in saved.tensors.items() if not name.startswith("losses/")}
    assert len(older) < len(saved.tensors)
    checkpoint.save(folder / "state", older, saved.facts)
    assert resume(folder).finished and weights(folder) == weights(alone)


def test_a_finished_run_is_not_touched(alone):
    def stamps():
        return {path: path.stat().st_mtime_ns for path in sorted(alone.rglob("*"))}

    before = stamps()
    family = Toy(seed=3)
    result = train(family, toy_data(), toy_config(), alone, seed=1)
    assert result.finished and result.step == 30 and stamps() == before
    reference = Toy()
    checkpoint.load_weights(alone / "model", reference)
    for name, value in family.state_dict().items():
        assert torch.equal(value, reference.state_dict()[name])


def test_a_finished_run_without_its_model_gets_it_back(alone):
    before = weights(alone)
    shutil.rmtree(alone / "model")
    resume(alone)
    assert weights(alone) == before


def damage(path, how):
    if how == "truncated":
        path.write_bytes(path.read_bytes()[:-100])
    elif how == "flipped":
        content = bytearray(path.read_bytes())
        content[-5] ^= 1
        path.write_bytes(bytes(content))
    elif how == "empty":
        path.write_bytes(b"")
    else:
        path.unlink()


@pytest.mark.parametrize("file", ["tensors.safetensors", "state.json"])
@pytest.mark.parametrize("how", ["truncated", "flipped", "empty", "missing"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(alone, tmp_path, file, how):
    folder = crashed(tmp_path / "run")
    newest, before = checkpoint.found(folder / "state")
    if (file, how) == ("state.json", "flipped"):
        (newest / file).write_text("{}")
    else:
        damage(newest / file, how)
    heard = []
    resume(folder, heard.append)
    assert heard[0]["message"].startswith(f"checkpoint {newest} is damaged")
    assert heard[0]["step"] == int(before.name.removeprefix("step-"))
    assert weights(folder) == weights(alone)
    assert len(checkpoint.found(folder / "state")) == 2 and checkpoint.load(folder / "state").facts["step"] == 30


def test_no_readable_checkpoint_is_one_line(tmp_path):
    folder = crashed(tmp_path)
    for path in checkpoint.found(folder / "state"):
        damage(path / "tensors.safetensors", "truncated")
    with pytest.raises(FourfoldError, match="no checkpoint in .* is readable: .*--fresh") as caught:
        resume(folder)
    assert "\n" not in str(caught.value)


def test_leftovers_of_a_crash_are_cleared(alone, tmp_path):
    folder = crashed(tmp_path / "run")
    (folder / "state" / ".tmp-step-00000015").mkdir()
    (folder / "state" / ".tmp-step-00000015" / "tensors.safetensors").write_bytes(b"half")
    resume(folder)
    assert weights(folder) == weights(alone) and not list(folder.rglob(".tmp-*"))


def test_other_settings_seed_data_or_model_are_refused(alone):
    data = toy_data()
    with pytest.raises(FourfoldError, match=r"another train \(learning_rate 0.001 -> 0.01\)"):
        train(Toy(), data, toy_config(learning_rate=0.01), alone, seed=1)
    with pytest.raises(FourfoldError, match=r"another seed \(1 -> 2\)"):
        train(Toy(), data, toy_config(), alone, seed=2)
    with pytest.raises(FourfoldError, match=r"another examples \(100 -> 99\)"):
        train(Toy(), toy_data(99), toy_config(), alone, seed=1)
    other = Toy()
    other.generator = torch.nn.Linear(4, 4)
    with pytest.raises(FourfoldError, match="of another model: generator"):
        train(other, data, toy_config(), alone, seed=1)
    quiet = replace(toy_config(), log_every=1, checkpoint_every=100)  # these do not change the weights
    assert train(Toy(), data, quiet, alone, seed=1).finished


@pytest.mark.parametrize("settings", [{"ema_decay": 0.0}, {"optimizer": "muon"}, {"accumulation": 2}])
def test_resume_is_exact_whatever_the_settings(tmp_path, settings):
    config = toy_config(**settings)
    train(Toy(), toy_data(), config, tmp_path / "alone")
    with pytest.raises(Stop):
        train(Toy(), toy_data(), config, tmp_path / "run", log=crash_at(20))
    train(Toy(seed=2), toy_data(), config, tmp_path / "run")
    assert weights(tmp_path / "run") == weights(tmp_path / "alone")
