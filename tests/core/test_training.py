"""The training loop: exactness, guards, files. Resuming has its own tests."""

import json
import math
import os
import signal
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from toy_family import SPACE, Toy, toy_config, toy_data, weights

from core.data.arrays import ArrayData, indices_of_step
from core.errors import FourfoldError
from core.families.family import Loss
from core.networks.layers import edge
from core.seeds import derive, seed_step
from core.training import checkpoint
from core.training.log import console, read_log
from core.training.loop import PATIENCE, train
from core.training.optimizers import Muon, PlayerOptimizer, learning_rate
from core.training.plan import Plan


class Unlike(Toy):
    """Its critic is trained with settings of its own."""

    def player_settings(self, player):
        return {"learning_rate": 2e-3, "betas": (0.0, 0.5)} if player == "critic" else {}


@pytest.mark.parametrize("toy", [Toy, Unlike])
def test_the_loop_equals_the_same_steps_written_out(tmp_path, toy):
    """Both players by hand with torch's own optimiser and clipping, on the loop's order and seeds."""
    config = toy_config(steps=12, weight_decay=0.0, ema_decay=0.0, clip=0.05)
    trained, by_hand, data = toy(), toy(), toy_data()
    train(trained, data, config, tmp_path, seed=5)
    configs = {p: replace(config, **by_hand.player_settings(p)) for p in by_hand.players}
    optimizers = {p: torch.optim.AdamW(by_hand.owned(p), betas=configs[p].betas, weight_decay=0.0) for p in configs}
    for step in range(12):
        batch = data.batch(indices_of_step(5, step, config.batch_size, len(data)))
        for index, player in enumerate(by_hand.players):
            by_hand.zero_grad()
            seed_step(5, step, index, 0, torch.device("cpu"))
            by_hand(batch, player).value.backward()
            torch.nn.utils.clip_grad_norm_(list(by_hand.owned(player)), config.clip)
            optimizers[player].param_groups[0]["lr"] = learning_rate(step, configs[player])
            optimizers[player].step()
    for name, value in by_hand.state_dict().items():
        torch.testing.assert_close(trained.state_dict()[name], value, msg=name)


def test_training_learns(tmp_path):
    family = Toy()
    config = toy_config(steps=400, batch_size=64, learning_rate=1e-2, betas=(0.0, 0.99), ema_decay=0.99)
    train(family, toy_data(500), replace(config, checkpoint_every=1000), tmp_path)
    with torch.no_grad():
        assert family.sample(500).x.mean(0).sub(1).abs().max() < 0.4  # the data's mean is 1, an untrained one's near 0


def test_accumulation_equals_the_full_batch(tmp_path):
    results = []
    for parts in (1, 4):
        family = Toy(noise=0.0)  # its loss is a mean over the batch and draws nothing
        train(family, toy_data(), toy_config(accumulation=parts), tmp_path / str(parts))
        results.append(family.state_dict())
    for name, value in results[0].items():
        torch.testing.assert_close(results[1][name], value, atol=1e-5, rtol=1e-4, msg=name)


def test_model_folder_holds_the_moving_average(tmp_path):
    family = Toy()
    train(family, toy_data(), toy_config(), tmp_path)
    state = checkpoint.load(tmp_path / "state").tensors
    written = load_file(tmp_path / "model" / "model.safetensors")
    key = "generator.0.weight"
    assert torch.equal(written[key], state[f"average/{key}"])
    assert not torch.equal(written[key], state[f"family/{key}"])
    assert torch.equal(written["critic.0.weight"], state["family/critic.0.weight"])
    other = Toy(seed=9)
    checkpoint.load_weights(tmp_path / "model", other)
    for name, value in family.state_dict().items():
        assert torch.equal(other.state_dict()[name], value)
    assert not family.training


def test_training_leaves_the_callers_random_numbers_alone(tmp_path):
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    train(Toy(), toy_data(), toy_config(steps=2), tmp_path)
    assert torch.equal(torch.rand(3), expected)


def test_every_step_and_player_draws_anew(tmp_path):
    class Recorder(Toy):
        def forward(self, batch, player="model", progress=1.0):
            drawn.append(torch.rand(()).item())
            return super().forward(batch, player, progress)

    runs = []
    for seed in (0, 0, 1):
        drawn: list[float] = []
        train(Recorder(), toy_data(), toy_config(steps=5), tmp_path / str(len(runs)), seed=seed)
        runs.append(drawn)
    assert runs[0] == runs[1] and len(set(runs[0] + runs[2])) == 20


def test_small_data_wrap_around(tmp_path):
    assert train(Toy(), toy_data(5), toy_config(steps=4), tmp_path).finished


def test_bfloat16_trains_float32_weights(tmp_path):
    family = Toy()
    train(family, toy_data(), toy_config(precision="bfloat16"), tmp_path)
    assert family.generator[0].weight.dtype == torch.float32
    assert all(math.isfinite(v) for event in read_log(tmp_path) for v in event["loss"].values())


class Staged(Toy):
    """Its generator is trained first, then its critic."""

    def span(self, player):
        return (0.0, 0.5) if player == "generator" else (0.5, 1.0)


def test_players_step_in_their_spans_and_later_ones_build_on_averages(tmp_path):
    untrained, states = Staged().state_dict(), {}
    config = toy_config(steps=40, checkpoint_every=20, log_every=1)

    def look(event):
        if event["step"] in (19, 22):
            states[event["step"]] = {name: value.clone() for name, value in family.state_dict().items()}

    family = Staged()
    train(family, toy_data(), config, tmp_path, log=look)
    tensors = checkpoint.load(tmp_path / "state").tensors
    generator, critic = "generator.0.weight", "critic.0.weight"
    assert not torch.equal(states[19][generator], untrained[generator])
    assert torch.equal(states[19][critic], untrained[critic]) and not torch.equal(states[22][critic], untrained[critic])
    assert torch.equal(states[22][generator], tensors[f"average/{generator}"])
    assert torch.equal(tensors[f"family/{generator}"], tensors[f"average/{generator}"])
    rates = [event["learning_rate"] for event in read_log(tmp_path)]
    assert rates[:20] == rates[20:] and max(rates) == rates[10] > rates[19] > 0  # each has the whole schedule
    assert [set(event["loss"]) for event in read_log(tmp_path)] == [{"generator"}] * 20 + [{"critic"}] * 20


# ---------------------------------------------------------------------------------------- minutes and validation


def test_minutes_set_the_steps_and_the_schedule_ends_with_its_decay(tmp_path):
    result = train(Toy(), toy_data(), toy_config(steps=5, minutes=0.1), tmp_path)
    assert result.finished and 4 < result.seconds < 9
    events = [event for event in read_log(tmp_path) if "loss" in event]
    assert events[-1]["step"] == events[-1]["steps"] == result.step > 100
    # A slow machine takes few steps of the decay, so its last rate is not quite zero.
    assert events[-1]["learning_rate"] < 0.1 * max(event["learning_rate"] for event in events)
    again = train(Toy(), toy_data(), toy_config(steps=5, minutes=0.1), tmp_path)
    assert (again.step, again.seconds) == (result.step, pytest.approx(result.seconds, abs=0.5))
    longer = train(Toy(), toy_data(), toy_config(steps=5, minutes=0.15), tmp_path)
    assert longer.step > result.step and 6 < longer.seconds < 12
    assert read_log(tmp_path)[-1]["learning_rate"] < 0.1 * max(event["learning_rate"] for event in events)


def test_a_revised_plan_skips_no_span():
    plan = Plan(1000).revised(400, 600)
    positions = [plan.position(step) for step in range(400, 601)]
    assert positions[0] == round(0.4 * 600) and positions[-1] == 600 and positions == sorted(positions)
    assert plan.revised(500, 501).done(501) == 1


def test_the_staged_players_follow_a_clock(tmp_path):
    family = Staged()
    result = train(family, toy_data(), toy_config(steps=5, minutes=0.05, log_every=1), tmp_path)
    players = [set(event["loss"]) for event in read_log(tmp_path) if "loss" in event]
    assert result.finished and players[0] == {"generator"} and players[-1] == {"critic"}
    tensors = checkpoint.load(tmp_path / "state").tensors
    generator = "generator.0.weight"
    assert torch.equal(tensors[f"family/{generator}"], tensors[f"average/{generator}"])  # applied at its span's end


class Validated(Toy):
    """Its validation falls for a while and then rises."""

    values = iter(())

    def validation(self, batch):
        return torch.tensor(next(self.values))


def validated(values, folder, log=None, **config):
    family = Validated(noise=0)
    family.values = iter(values)
    result = train(family, toy_data(), toy_config(validations=6, batch_size=100, **config), folder, seed=1, log=log,
                   validation=toy_data(50, seed=9))
    return family, result


def test_the_best_validation_s_weights_are_kept(tmp_path):
    values = [3.0, 1.0, 2.0, 2.5, 2.6, 2.7]
    best, result = validated(values, tmp_path / "best", keep="best")
    last, _ = validated(values, tmp_path / "last", keep="last")
    assert result.step == 30 and weights(tmp_path / "best") != weights(tmp_path / "last")
    events = [event for event in read_log(tmp_path / "best") if "validation" in event]
    assert [event["step"] for event in events] == [5, 10, 15, 20, 25, 30]
    assert [event["best_step"] for event in events] == [5, 10, 10, 10, 10, 10]
    assert any("overfits" in event.get("message", "") for event in read_log(tmp_path / "best"))


def test_patience_ends_training(tmp_path):
    _, result = validated([3.0, 1.0, 2.0, 2.5], tmp_path, patience=2)
    assert result.finished and result.step == 20
    again = train(Validated(noise=0), toy_data(), toy_config(validations=6, batch_size=100, patience=2), tmp_path,
                  seed=1, validation=toy_data(50, seed=9))
    assert again.finished and again.step == 20


def test_validation_does_not_change_what_is_learned_and_resumes_exactly(tmp_path):
    def run(folder, validation, log=None, **config):
        train(Toy(), toy_data(), toy_config(validations=6, **config), folder, seed=1, log=log, validation=validation)

    held = toy_data(50, seed=9)
    run(tmp_path / "with", held, keep="last")
    run(tmp_path / "without", None, keep="last")
    assert weights(tmp_path / "with") == weights(tmp_path / "without")
    run(tmp_path / "alone", held)
    with pytest.raises(ZeroDivisionError):
        run(tmp_path / "killed", held, log=lambda event: 1 / (event["step"] < 20))
    run(tmp_path / "killed", held)
    assert weights(tmp_path / "alone") == weights(tmp_path / "killed")
    lines = [[event.get("validation") for event in read_log(tmp_path / name)] for name in ("alone", "killed")]
    assert lines[0] == lines[1] and sum(line is not None for line in lines[0]) == 6


# ------------------------------------------------------------------------------------------------------- errors


def test_bad_data_is_one_line(tmp_path):
    with pytest.raises(FourfoldError, match="empty"):
        train(Toy(), toy_data(0), toy_config(), tmp_path)
    with pytest.raises(FourfoldError, match="example 3"):
        x = np.zeros((8, 4))
        x[3, 2] = np.nan
        train(Toy(), ArrayData(SPACE, x), toy_config(), tmp_path)


def test_unwritable_folders_are_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(FourfoldError, match="cannot write .*file/run"):
        train(Toy(), toy_data(), toy_config(), tmp_path / "file" / "run")


def test_a_full_disk_is_one_line_and_keeps_the_last_checkpoint(tmp_path):
    resource = pytest.importorskip("resource")
    train(Toy(), toy_data(), toy_config(steps=30), tmp_path)
    before = checkpoint.load(tmp_path / "state").facts["step"]
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))  # as full as a disk can be made without root
    try:
        with pytest.raises(FourfoldError, match="cannot write"):
            checkpoint.save(tmp_path / "state", {"x": torch.zeros(10000)}, {"step": 99})
        with pytest.raises(FourfoldError, match="cannot write"):
            checkpoint.save_weights(tmp_path / "model", {"x": torch.zeros(10000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert checkpoint.load(tmp_path / "state").facts["step"] == before
    assert not [p for p in tmp_path.rglob(".tmp-*")]


@pytest.mark.parametrize("content, message", [
    (None, "no weights"), (b"nonsense", "damaged"), ("cut", "damaged"), ("other", "of another model"),
])
def test_weights_that_cannot_be_loaded(tmp_path, content, message):
    path = checkpoint.save_weights(tmp_path, Toy().state_dict())
    if content is None:
        path.unlink()
    elif content == "cut":
        path.write_bytes(path.read_bytes()[:-8])
    elif content == "other":
        checkpoint.save_weights(tmp_path, torch.nn.Linear(3, 3).state_dict())
    else:
        path.write_bytes(content)
    with pytest.raises(FourfoldError, match=message):
        checkpoint.load_weights(tmp_path, Toy())


class Faulty(Toy):
    """Its generator's loss is not finite at some steps."""

    def __init__(self, bad=range(0), **settings):
        super().__init__(**settings)
        self.bad, self.turn = bad, 0

    def forward(self, batch, player="model", progress=1.0):
        loss = super().forward(batch, player, progress)
        if player == "generator":
            self.turn += 1
            if self.turn - 1 in self.bad:
                return Loss(loss.value * float("nan"))
        return loss


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_non_finite_update_is_skipped_for_its_player_only(tmp_path, optimizer):
    states = {}
    for steps, bad in ((4, range(0)), (5, [4])):
        family = Faulty(bad)
        config = toy_config(steps=steps, schedule="constant", warmup=0.0, optimizer=optimizer)
        result = train(family, toy_data(), config, tmp_path / str(steps))
        states[steps] = checkpoint.load(tmp_path / str(steps) / "state").tensors
    assert result.skipped == 1
    for name, value in states[4].items():
        if "generator" in name and name.startswith(("family", "optimizer")):  # weights and the optimiser's memory
            assert torch.equal(value, states[5][name]), name
    assert not torch.equal(states[4]["family/critic.0.weight"], states[5]["family/critic.0.weight"])
    messages = [event["message"] for event in read_log(tmp_path / "5") if "message" in event]
    assert len(messages) == 1 and "generator" in messages[0] and "skipped" in messages[0]
    assert read_log(tmp_path / "5")[-1]["skipped"] == 1


def test_training_stops_when_updates_keep_failing(tmp_path):
    with pytest.raises(FourfoldError, match=r"generator.* 20 times .* up to step 23.*learning_rate.*0.001.*clip"):
        train(Faulty(range(3, 100)), toy_data(), toy_config(steps=100), tmp_path)
    assert PATIENCE == 20


def test_failures_with_pauses_do_not_stop_training(tmp_path):
    bad = [step for step in range(60) if step % 20]
    assert train(Faulty(bad), toy_data(), toy_config(steps=60), tmp_path).skipped == len(bad)


# ---------------------------------------------------------------------------------------- optimisers, schedules


def test_schedules():
    def rates(**settings):
        config = toy_config(steps=100, learning_rate=1.0, warmup=0.1, **settings)
        return [learning_rate(step, config) for step in range(100)]

    constant, cosine, wsd = (rates(schedule=s) for s in ("constant", "cosine", "wsd"))
    for values in (constant, cosine, wsd):
        assert values[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert constant[10:] == [1.0] * 90
    assert cosine[10] == pytest.approx(1) and cosine[55] == pytest.approx(0.5) and 0 < cosine[99] < 1e-3
    assert wsd[10:81] == [1.0] * 71 and wsd[90] == pytest.approx(0.5) and wsd[99] == pytest.approx(0.05)
    assert learning_rate(0, toy_config(steps=1, warmup=0.0, learning_rate=1.0)) == 1.0


class Layers(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = edge(torch.nn.Embedding(5, 8))
        self.conv = torch.nn.Conv2d(4, 8, 3)
        self.body = torch.nn.Linear(8, 8)
        self.head = edge(torch.nn.Linear(8, 5))


def test_muon_of_all_matrices_at_once_equals_torchs_one_after_another():
    chance = torch.Generator().manual_seed(0)
    matrices = [torch.randn(shape, generator=chance) for shape in ((24, 72), (72, 24), (24, 24), (24, 24), (10, 50))]
    sides = [[nn.Parameter(m.clone()) for m in matrices] for _ in range(2)]
    ours = Muon(sides[0], lr=0.02, weight_decay=0.1)
    theirs = torch.optim.Muon(sides[1], lr=0.02, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for _ in range(4):
        for left, right in zip(*sides, strict=True):
            left.grad = torch.randn(left.shape, generator=chance)
            right.grad = left.grad.clone()
        ours.step()
        theirs.step()
    for left, right, start in zip(*sides, matrices, strict=True):
        assert (left - right).norm() < 0.04 * (right - start).norm()  # torch's products are in bfloat16
        torch.testing.assert_close(ours.state[left]["momentum_buffer"], theirs.state[right]["momentum_buffer"])


def test_bfloat16_trains_in_float32_where_the_processor_is_no_faster_in_it(tmp_path, monkeypatch):
    ends = []
    for fast in (True, False):
        monkeypatch.setattr("core.training.loop.fast_in_bfloat16", lambda device, fast=fast: fast)
        for precision in ("bfloat16", "float32"):
            folder = tmp_path / f"{fast}-{precision}"
            train(Toy(), toy_data(), toy_config(precision=precision), folder)
            ends.append(load_file(folder / "model" / "model.safetensors"))
    half, full, slow, same = ends
    assert all(torch.equal(slow[name], same[name]) for name in slow)
    assert any(not torch.equal(half[name], full[name]) for name in half)


def test_muon_takes_hidden_matrices_and_adamw_the_rest():
    layers = Layers()
    optimizer = PlayerOptimizer(layers.named_parameters(), toy_config(optimizer="muon", weight_decay=0.1))
    assert [p is q for (p, _), q in zip(optimizer.matrices, (layers.conv.weight, layers.body.weight), strict=True)]
    assert optimizer.matrices[0][1].shape == (8, 36)
    decayed, plain = (group["params"] for group in optimizer.adamw.param_groups)
    assert [id(p) for p in decayed] == [id(layers.embedding.weight), id(layers.head.weight)]
    assert [id(p) for p in plain] == [id(layers.conv.bias), id(layers.body.bias), id(layers.head.bias)]
    assert [g["weight_decay"] for g in optimizer.adamw.param_groups] == [0.1, 0.0]
    before = layers.conv.weight.detach().clone()
    layers.conv.weight.grad = torch.randn(8, 4, 3, 3) * torch.linspace(0.2, 2, 8)[:, None, None, None]
    optimizer.step(0.1, torch.zeros(()))
    # An orthogonalised update: its singular values are near each other, whatever the gradient's are.
    moved, gradient = (torch.linalg.svdvals(m.detach().flatten(1)) for m in (
        layers.conv.weight - before * (1 - 0.1 * 0.1), layers.conv.weight.grad))
    assert moved.min() > 0.5 * moved.max() > 0 and gradient.min() < 0.2 * gradient.max()


def test_adamw_takes_all_by_default():
    optimizer = PlayerOptimizer(Layers().named_parameters(), toy_config())
    assert optimizer.muon is None and sum(len(g["params"]) for g in optimizer.adamw.param_groups) == 7


def test_seeds_differ_in_every_part():
    seeds = {derive(*parts) for parts in ((0, 0, 0, 0), (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1))}
    assert len(seeds) == 5 and derive(2**62, 3) == derive(2**62, 3) and all(0 <= s < 2**63 for s in seeds)


# -------------------------------------------------------------------------------------------------------- files


def test_log_lines(tmp_path):
    heard = []
    train(Toy(), toy_data(), toy_config(steps=10), tmp_path, log=heard.append)
    events = read_log(tmp_path)
    assert events == heard and [e["step"] for e in events] == [1, 4, 8, 10]
    last = events[-1]
    assert last["steps"] == 10 and set(last["loss"]) == {"critic", "generator"} and last["seconds"] > 0
    assert "margin" in last["terms"]["critic"] and last["grad_norm"]["critic"] > 0
    assert last["examples_per_second"] > 0 and last["learning_rate"] == pytest.approx(5e-4) and last["skipped"] == 0


def test_logged_losses_are_means_since_the_line_before(tmp_path):
    for every in (1, 4):
        train(Faulty([2]), toy_data(), toy_config(steps=8, log_every=every), tmp_path / str(every))
    each, means = ([e["loss"]["generator"] for e in read_log(tmp_path / str(every)) if "loss" in e] for every in (1, 4))
    assert each[2] is None and means == pytest.approx([each[0], (each[1] + each[3]) / 2, sum(each[4:]) / 4], rel=1e-5)


def test_log_is_valid_json_without_nan(tmp_path):
    train(Faulty([1, 2, 3]), toy_data(), toy_config(steps=4), tmp_path)
    for line in (tmp_path / "log.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert read_log(tmp_path)[-1]["loss"]["generator"] is None


def test_tensorboard_holds_the_curve(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(Toy(), toy_data(), toy_config(steps=10), tmp_path)
    board = EventAccumulator(str(tmp_path / "events")).Reload()
    assert {"loss/critic", "loss/generator", "terms/critic/margin", "learning_rate"} <= set(board.Tags()["scalars"])
    assert [s.step for s in board.Scalars("loss/critic")] == [1, 4, 8, 10]


def test_console_lines_where_there_is_no_terminal(tmp_path, capsys):
    with console("toy", 0.0) as log:
        train(Toy(), toy_data(), toy_config(steps=10), tmp_path, log=log)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4 and lines[-1].startswith("toy · step 10/10 · losses critic ")


def test_console_bar_on_a_terminal(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "150")
    with console("toy") as log:
        train(Toy(), toy_data(), toy_config(steps=10), tmp_path, log=log)
    assert "10/10" in capsys.readouterr().err


def test_only_two_checkpoints_are_kept(tmp_path):
    train(Toy(), toy_data(), toy_config(steps=30), tmp_path)
    assert sorted(p.name for p in (tmp_path / "state").iterdir()) == ["step-00000028", "step-00000030"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_finish_the_step_and_save(tmp_path, number):
    def log(event):
        if event["step"] == 8:
            os.kill(os.getpid(), number)
            time.sleep(0.01)

    before = signal.getsignal(number)
    result = train(Toy(), toy_data(), toy_config(), tmp_path / "a", log=log)
    assert not result.finished and 8 <= result.step <= 9
    assert signal.getsignal(number) is before
    assert checkpoint.load(tmp_path / "a" / "state").facts["step"] == result.step
    assert train(Toy(seed=3), toy_data(), toy_config(), tmp_path / "a").finished
    train(Toy(), toy_data(), toy_config(), tmp_path / "b")
    assert weights(tmp_path / "a") == weights(tmp_path / "b")


def test_a_second_signal_acts_at_once(tmp_path):
    def log(event):
        if event["step"] == 8:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)

    with pytest.raises(KeyboardInterrupt):
        train(Toy(), toy_data(), toy_config(), tmp_path, log=log)


def test_tied_weights_are_saved_and_loaded(tmp_path):
    class Tied(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.a = torch.nn.Linear(3, 3)
            self.b = torch.nn.Linear(3, 3)
            self.b.weight = self.a.weight

    first, second = Tied(), Tied()
    checkpoint.save_weights(tmp_path, first.state_dict())
    checkpoint.load_weights(tmp_path, second)
    assert torch.equal(first.b.weight, second.b.weight) and second.a.weight is second.b.weight


def test_batch_size_must_fit_the_parts(tmp_path):
    with pytest.raises(FourfoldError, match=r"train\.accumulation"):
        replace(toy_config(), accumulation=5)
