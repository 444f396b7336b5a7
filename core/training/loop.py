"""The training loop: one for all families.

Each step, for each player whose span of training it is: gradients of its loss, accumulated over the parts of the
batch, averaged over processes, clipped, checked; one step of that player's optimiser and of its weights' moving
average. Then the log and the checkpoint. A step is a pure function of (state, seed, step): the batch and every random
number are derived from the seed and the step, so a killed run continues from its last checkpoint and ends with the
same weights bit for bit (on a GPU as far as its kernels are deterministic).
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from core.batches import Batch
from core.data.arrays import ArrayData, indices_of_step
from core.errors import FourfoldError
from core.families.family import Family
from core.files import remove_leftovers
from core.runtime import fast_in_bfloat16, keep_memory
from core.seeds import derive, seed_step
from core.serialization import Json
from core.training import checkpoint
from core.training.config import TrainConfig
from core.training.distributed import World, any_of, average, barrier, broadcast, connect
from core.training.ema import Average
from core.training.interrupt import Interrupt
from core.training.log import Listener, RunLog
from core.training.optimizers import PlayerOptimizer, learning_rate
from core.training.plan import WARM, Plan, revision_due, steps_in

UNDECISIVE = ("minutes", "checkpoint_every", "log_every", "compile", "accumulation")
"""Settings that do not decide the trained weights: they may change when a run goes on. (Accumulation decides the number
of parts with that of processes, which is compared instead.)"""
VALIDATED = 512
"""Held-out examples that a validation takes at most."""
RISING = 3
"""Validations in a row without a better one that are called overfitting."""
PATIENCE = 20
"""Updates of a player that may fail one after the other before training stops."""


@dataclass(frozen=True)
class TrainResult:
    """How training ended: `finished` is False after Ctrl-C or SIGTERM, when the same call would continue it.

    `step`: optimiser steps done; `seconds`: spent training, over all starts; `skipped`: updates that were not finite.
    """

    finished: bool
    step: int
    seconds: float
    skipped: int


@dataclass
class _Run:
    """All that changes while training."""

    family: Family
    config: TrainConfig
    seed: int
    device: torch.device
    world: World
    optimizers: dict[str, PlayerOptimizer]
    averages: dict[str, Average]  # of each player's weights that sampling uses
    failures: dict[str, Tensor]  # per player int64 [2]: failed updates in a row, failed updates in all
    losses: dict[str, Tensor]  # per player float32 [2]: sum and number of finite losses since the last measured step
    step: int = 0
    seconds: float = 0.0
    started: float = field(default_factory=time.perf_counter)
    measured: tuple[int, float] = (0, 0.0)  # step and seconds at the last measurement of speed
    plan: Plan = Plan(1)
    minutes: float = 0.0  # that the plan was made for; 0 for a number of steps
    timed: tuple[int, float] = (0, 0.0)  # step and seconds from which on the plan's speed is measured
    best: dict[str, Tensor] = field(default_factory=dict)  # weights of the best validation so far
    best_value: float = math.inf
    best_step: int = 0
    worse: int = 0  # validations since the best

    def elapsed(self) -> float:
        """Seconds of training so far, over all starts."""
        return self.seconds + time.perf_counter() - self.started

    def parts(self) -> range:
        """Which parts of each batch are this process's, of `accumulation` parts for each process."""
        return range(self.world.rank * self.config.accumulation, (self.world.rank + 1) * self.config.accumulation)

    def worse_than(self, patience: int) -> bool:
        """Whether so many validations in a row were no better than the best (0: never)."""
        return 0 < patience <= self.worse

    def skipped(self) -> int:
        """Updates skipped so far."""
        return sum(int(f[1]) for f in self.failures.values())


def train(
    family: Family,
    data: ArrayData,
    config: TrainConfig,
    folder: Path,
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    log: Listener | None = None,
    validation: ArrayData | None = None,
) -> TrainResult:
    """Train `family` on `data` in a run folder, continuing where `folder/state` left off.

    Writes `folder/model/model.safetensors` (moving average of the weights) at checkpoints and at the end,
    `folder/state/`, `folder/log.jsonl` and TensorBoard events. Ctrl-C and SIGTERM save and return. On return `family`
    holds the averaged weights and is in eval mode. A finished run is not touched, unless its weights are damaged or
    lost: they are written again.

    With `config.minutes` training ends with its schedule when the time is over, and a finished run goes on where it is
    given more.

    Args:
        validation: held-out examples whose loss (GANs: distance to samples) is logged, and decides which weights are
            kept.
        log: receives every event, see `core.training.log`; None is silent, `log.console()` makes one for people.

    Raises:
        FourfoldError: empty or broken data, losses that stay non-finite, unreadable checkpoints, a run folder of
            another model or configuration, a full disk or a read-only folder.
    """
    keep_memory()
    world, device = connect(torch.device(device))
    if len(data) == 0:
        raise FourfoldError("the training data are empty: nothing to learn from")
    if config.batch_size % (world.size * config.accumulation):
        raise FourfoldError(f"train.batch_size is {config.batch_size}: must be a multiple of {world.size} processes "
                            f"times train.accumulation {config.accumulation}")
    family.to(device).train()
    run = _begin(family, config, seed, device, world)
    identity = {"seed": seed, "examples": len(data), "train": _comparable(config),
                "parts": config.accumulation * world.size}
    warnings: list[str] = []
    _resume(run, folder, identity, warnings)
    if config.minutes is not None:
        if 0 < run.plan.steps <= run.step and config.minutes > run.minutes and not run.worse_than(config.patience):
            _go_on(run, config.minutes)
        run.minutes = config.minutes
    if run.step >= run.plan.steps:
        if world.writes:  # the file may be damaged or lost
            checkpoint.save_weights(folder / "model", _kept(run))
        return _end(run, run.seconds)
    if config.compile:
        for network in family.compiled():
            network.compile()
    run_log = RunLog(folder, run.step, log, world.writes)
    cuda = [device] if device.type == "cuda" else []
    try:
        for line in warnings:
            run_log.write({"step": run.step, "message": line})
        with Interrupt(passed_on=world.size > 1) as interrupt, torch.random.fork_rng(devices=cuda):
            while run.step < run.plan.steps:
                _step_and_log(run, data, run_log)
                if validation is not None and _is_validated(run):
                    _validate(run, validation, run_log)
                revised = _revise(run)
                # Processes must agree on stopping, and asking costs a wait, so several ask only now and then.
                stop = (world.size == 1 or run.step % config.log_every == 0) and any_of(
                    interrupt.requested, world, device)
                if revised or run.step % config.checkpoint_every == 0 or run.step >= run.plan.steps or stop:
                    run_log.flush()
                    _save(run, folder, identity)
                if stop:
                    break
    finally:
        run_log.close()
        for network in family.compiled():
            network._compiled_call_impl = None  # sampling calls with many shapes: not worth compiling for
    return _end(run, run.elapsed())


def _begin(family: Family, config: TrainConfig, seed: int, device: torch.device, world: World) -> _Run:
    """A run at step 0."""
    broadcast([*family.parameters(), *family.buffers()], world)
    names = {id(p): name for name, p in family.named_parameters()}
    optimizers = {
        player: PlayerOptimizer(
            [(names[id(p)], p) for p in family.owned(player) if p.requires_grad],
            replace(config, **family.player_settings(player)),
        )
        for player in family.players
    }
    averages = {
        player: Average(_updated_by(optimizer, family.averaged()), config.ema_decay)
        for player, optimizer in optimizers.items()
    }
    return _Run(
        family=family, config=config, seed=seed, device=device, world=world, optimizers=optimizers,
        averages=averages,
        failures={player: torch.zeros(2, dtype=torch.int64, device=device) for player in family.players},
        losses={player: torch.zeros(2, device=device) for player in family.players},
        plan=Plan(config.steps if config.minutes is None else max(config.steps, 4 * WARM, 4 * config.log_every)),
    )


def _updated_by(
    optimizer: PlayerOptimizer, named: Iterator[tuple[str, nn.Parameter]]
) -> Iterator[tuple[str, nn.Parameter]]:
    """Those of `named` that the optimiser updates."""
    updated = {id(p) for p in optimizer.parameters}
    return ((name, p) for name, p in named if id(p) in updated)


def _averaged(run: _Run, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A family's state_dict with the averages in place of the trained weights."""
    for tracked in run.averages.values():
        state = tracked.merged(state)
    return state


def _kept(run: _Run) -> dict[str, Tensor]:
    """The weights that the model gets: the averages of the best validation, or of now.

    A distance of a few hundred samples is too uncertain to choose a GAN's weights by: it only watches.
    """
    by_loss = run.config.keep == "best" and run.family.validated == "loss"
    return run.best if by_loss and run.best else _averaged(run, run.family.state_dict())


def _end(run: _Run, seconds: float) -> TrainResult:
    """Leave the family ready to sample."""
    checkpoint.fill(run.family, _kept(run), "the moving average")
    run.family.eval()
    return TrainResult(run.step >= run.plan.steps, run.step, seconds, run.skipped())


# ---------------------------------------------------------------------------------------------------- one step


def _step_and_log(run: _Run, data: ArrayData, run_log: RunLog) -> None:
    """One step of every active player, the moving average, and the log where it is due."""
    config, plan = run.config, run.plan
    parts = _batches(run, data)
    due = (run.step + 1) % config.log_every == 0 or run.step in (0, plan.steps - 1)
    position, following = plan.position(run.step), plan.position(run.step + 1)
    rate = 0.0
    measured: dict[str, dict[str, float | dict[str, float]]] = {"loss": {}, "terms": {}, "grad_norm": {}}
    for player in run.family.players:
        first, last = (round(share * plan.steps) for share in run.family.span(player))
        if not first <= position < last:
            continue
        rate = learning_rate(position - first, run.optimizers[player].config, last - first)
        terms, norm = _update(run, player, parts, rate)
        run.averages[player].update(position - first)
        if following >= last < plan.steps:
            run.averages[player].apply()  # later players build on the weights that sampling will use
        if due:
            average(list(terms.values()), run.world)
            total, count = run.losses[player].tolist()
            run.losses[player].zero_()
            measured["loss"][player] = total / count if count else math.nan
            measured["terms"][player] = {name: value.item() for name, value in terms.items()}
            measured["grad_norm"][player] = norm.item()
        if due or run.device.type == "cpu":
            _check_finite(run, player, run_log)
    run.step += 1
    if due:
        (before, then), run.measured = run.measured, (run.step, run.elapsed())
        speed = (run.step - before) * config.batch_size / max(run.measured[1] - then, 1e-9)
        run_log.write({
            "step": run.step, "steps": plan.steps, "seconds": round(run.measured[1], 3),
            "examples_per_second": round(speed, 1), "learning_rate": rate, **measured, "skipped": run.skipped(),
        })


def _batches(run: _Run, data: ArrayData) -> list[Batch]:
    """This process's parts of the step's examples; what is drawn for a part depends on its number, not the process."""
    indices = indices_of_step(run.seed, run.step, run.config.batch_size, len(data), data.sizes)
    size = len(indices) // (run.config.accumulation * run.world.size)
    return [
        data.batch(indices[part * size : (part + 1) * size], seed=derive(derive(run.seed, run.step, part), 0)).to(
            run.device)
        for part in run.parts()
    ]


def _update(
    run: _Run, player: str, parts: list[Batch], rate: float
) -> tuple[dict[str, Tensor], Tensor]:
    """One optimiser step of `player`: returns the loss's named terms and the gradient's norm before clipping."""
    family, config, optimizer = run.family, run.config, run.optimizers[player]
    optimizer.zero_grad()
    loss = torch.zeros((), device=run.device)
    terms: dict[str, Tensor] = {}
    with _others_frozen(run, player):
        for number, part in zip(run.parts(), parts, strict=True):
            seed_step(run.seed, run.step, family.players.index(player), number, run.device)
            with _precision(run):
                result = family(part, player, run.plan.position(run.step) / run.plan.steps)
            value = result.value / len(parts)
            value.backward()
            loss += value.detach()
            for name, term in result.terms.items():
                terms[name] = terms.get(name, 0) + term.detach().float() / len(parts)
    if run.world.size > 1:
        for parameter in optimizer.parameters:  # all processes must send the same tensors
            parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
    gradients = optimizer.gradients()
    average([loss, *gradients], run.world)
    norm = get_total_norm(gradients)
    if config.clip:
        clip_grads_with_norm_(optimizer.parameters, config.clip, norm)
    failed = ~torch.isfinite(norm + loss)
    counts = run.failures[player]
    counts[0] = torch.where(failed, counts[0] + 1, 0)
    counts[1] += failed
    run.losses[player] += torch.stack([torch.where(failed, 0, loss), (~failed).float()])
    optimizer.step(rate, failed.float())
    return terms, norm


def _precision(run: _Run) -> torch.autocast:
    """The context of a loss: bfloat16 where the run is in it and the machine is faster in it."""
    half = run.config.precision == "bfloat16" and fast_in_bfloat16(run.device)
    return torch.autocast(run.device.type, torch.bfloat16, enabled=half)


@contextmanager
def _others_frozen(run: _Run, player: str) -> Iterator[None]:
    """Compute no gradients of other players' parameters: they would be thrown away."""
    if len(run.optimizers) == 1:
        yield
        return
    own = {id(p) for p in run.optimizers[player].parameters}
    others = {id(p): p for o in run.optimizers.values() for p in o.parameters if id(p) not in own}
    for parameter in others.values():
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in others.values():
            parameter.requires_grad_(True)


def _check_finite(run: _Run, player: str, run_log: RunLog) -> None:
    """Note updates that failed; stop when they do not cease.

    Raises:
        FourfoldError: `PATIENCE` in a row.
    """
    row, total = run.failures[player].tolist()
    if not row:
        return
    run_log.write({"step": run.step + 1, "message":
                   f"the {player}'s loss or gradient is not finite: update skipped ({row} in a row, {total} in all)"})
    if row >= PATIENCE:
        raise FourfoldError(
            f"the {player}'s loss or gradient was not finite {row} times in a row, up to step {run.step + 1}: lower "
            f"its learning_rate ({run.optimizers[player].config.learning_rate:g}) or train.clip ({run.config.clip:g})")


# --------------------------------------------------------------------------------------- the clock and validation


def _go_on(run: _Run, minutes: float) -> None:
    """Give a finished run the steps that fit into the minutes it has not had."""
    speed = run.seconds / run.step
    if 60 * minutes - run.seconds > speed:
        run.plan = run.plan.revised(run.step, steps_in(minutes, run.step, run.seconds, speed),
                                    run.seconds / (60 * minutes))


def _revise(run: _Run) -> bool:
    """Let the plan follow the speed where minutes are given; True where it changed, and must be saved."""
    minutes = run.config.minutes
    if minutes is None or run.step >= run.plan.steps:
        return False
    if run.step == WARM:
        run.timed = (run.step, run.elapsed())
    if run.world.size > 1 and run.step % run.config.log_every:  # to agree costs a wait
        return False
    now = run.elapsed()
    steps, seconds = run.step - run.timed[0], now - run.timed[1]
    planned = 0
    if run.step > WARM and revision_due(minutes, run.plan, run.step, steps, seconds):
        planned = steps_in(minutes, run.step, now, seconds / steps)
    agreed = torch.tensor(planned, device=run.device)
    broadcast([agreed], run.world)
    if not int(agreed):
        return False
    plan = run.plan.revised(run.step, int(agreed))
    for player in run.family.players:
        ended, ends = (made.position(run.step) >= round(run.family.span(player)[1] * made.steps)
                       for made in (run.plan, plan))
        if ended != ends:  # by rounding: the step that ends a span would be left out, so revise after the next
            return False
    run.plan, run.timed = plan, (run.step, now)
    return True


def _is_validated(run: _Run) -> bool:
    """Whether the step just done ends one of the equal parts of training that `validations` are."""
    parts, plan, family = run.config.validations, run.plan, run.family
    if not parts or plan.done(run.step) < max(family.span(player)[0] for player in family.players):
        return False  # a player that has not begun yet: there is nothing to sample
    before, now = (plan.position(step) * parts // plan.steps for step in (run.step - 1, run.step))
    return now > before


@torch.no_grad()
def validation(
    family: Family, data: ArrayData, most: int, batch_size: int, seed: int, device: torch.device
) -> float:
    """`family.validation` (`family.validated` says of what) averaged over the first `most` examples."""
    total, count = 0.0, min(len(data), most)
    for part, start in enumerate(range(0, count, batch_size)):
        rows = np.arange(start, min(start + batch_size, count))
        seed_step(seed, 0, len(family.players), part, device)
        total += family.validation(data.batch(rows, seed=derive(seed, part)).to(device)).item() * len(rows)
    return total / count


def _validate(run: _Run, data: ArrayData, run_log: RunLog) -> None:
    """Measure the averaged weights on held-out examples, remember the best, and say or end overfitting."""
    family, config = run.family, run.config
    weights = _averaged(run, family.state_dict())
    trained = {name: value.clone() for name, value in family.state_dict().items()}
    family.eval()
    try:
        checkpoint.fill(family, weights, "the moving average")
        with _precision(run):
            held_out = validation(family, data, VALIDATED, config.batch_size, run.seed, run.device)
    finally:
        checkpoint.fill(family, trained, "the weights in training")
        family.train()
    value = torch.tensor(held_out, device=run.device)
    broadcast([value], run.world)
    measured = value.item()
    if measured < run.best_value:
        run.best_value, run.best_step, run.worse = measured, run.step, 0
        run.best = {name: tensor.clone() for name, tensor in weights.items()}
    else:
        run.worse += 1
    run_log.write({"step": run.step, "steps": run.plan.steps, "validation": {family.validated: measured},
                   "best_step": run.best_step})
    if run.worse == RISING:
        kept = "the weights of that step" if _kept(run) is run.best else "the last weights all the same"
        run_log.write({"step": run.step, "message":
                       f"the validation {family.validated} has not fallen since step {run.best_step} "
                       f"({run.best_value:.4g}, now {measured:.4g}): it overfits, or learns no more; kept are {kept}"})
    if run.worse_than(config.patience):
        run.plan = replace(run.plan, steps=run.step)
        run_log.write({"step": run.step, "message": f"training ends early: {run.worse} validations without a better "
                                                    "one (train.patience)"})


# -------------------------------------------------------------------------------------------------- checkpoints


def _comparable(config: TrainConfig) -> Json:
    """The settings that decide the trained weights."""
    values = asdict(config) | {"betas": list(config.betas)}
    return {key: value for key, value in values.items() if key not in UNDECISIVE}


def _save(run: _Run, folder: Path, identity: Json) -> None:
    """Write the model, then the state: a resumed run always finds a model at least as new as its state."""
    if run.world.writes:
        weights = run.family.state_dict()
        checkpoint.save_weights(folder / "model", _kept(run))
        tensors = {f"family/{name}": value for name, value in weights.items()}
        for tracked in run.averages.values():
            tensors |= {f"average/{name}": value for name, value in tracked.values.items()}
        tensors |= {f"best/{name}": value for name, value in run.best.items()}
        for player, optimizer in run.optimizers.items():
            tensors |= {f"optimizer/{player}/{name}": value for name, value in optimizer.state().items()}
        for kind, counts in (("failures", run.failures), ("losses", run.losses)):
            tensors |= {f"{kind}/{player}": value for player, value in counts.items()}
        checkpoint.save(folder / "state", tensors, {
            "step": run.step, "seconds": run.elapsed(), "plan": asdict(run.plan), "minutes": run.minutes, **identity,
            **({"best": {"value": run.best_value, "step": run.best_step, "worse": run.worse}} if run.best else {}),
        })
    barrier(run.world)


def _resume(run: _Run, folder: Path, identity: Json, warnings: list[str]) -> None:
    """Take up the newest readable checkpoint, if there is one.

    Raises:
        FourfoldError: none is readable, or it is of another model, seed, data or configuration.
    """
    state = folder / "state"
    if run.world.writes:
        remove_leftovers(state)
    saved = checkpoint.load(state, warnings.append)
    if saved is None:
        return
    for key in ("seed", "train", "parts", "examples"):
        old = saved.facts[key] if key in saved.facts else identity[key]  # version 0.1.0 noted no parts
        if key == "train":
            # A setting that an earlier version did not know is as it was then: as it is by default.
            old = {name: old.get(name, value) for name, value in identity[key].items()}
        if old != identity[key]:
            change = _difference(old, identity[key])
            if key == "examples" and "parts" not in saved.facts:
                warnings.append(f"version 0.1.0 prepared these data otherwise ({change} examples): training goes on")
                continue
            raise FourfoldError(f"{folder} was trained with another {key} ({change}): use --fresh or another folder")
    parts: dict[str, dict[str, Tensor]] = {}
    for name, value in saved.tensors.items():
        kind, _, rest = name.partition("/")
        parts.setdefault(kind, {})[rest] = value
    checkpoint.fill(run.family, parts["family"], f"checkpoint {state}")
    for tracked in run.averages.values():
        tracked.load(parts.get("average", {}))
    for player, optimizer in run.optimizers.items():
        memory, prefix = parts.get("optimizer", {}), f"{player}/"
        lost = optimizer.load({k.removeprefix(prefix): v for k, v in memory.items() if k.startswith(prefix)})
        if lost:
            warnings.append(f"{lost} matrices are updated by another optimiser than before: its memory starts anew")
        run.failures[player].copy_(parts["failures"][player])
        if player in parts.get("losses", {}):  # checkpoints of earlier versions have none
            run.losses[player].copy_(parts["losses"][player])
    run.step, run.seconds = saved.facts["step"], saved.facts["seconds"]
    run.measured = run.timed = (run.step, run.seconds)
    if "plan" in saved.facts:
        run.plan, run.minutes = Plan(**saved.facts["plan"]), saved.facts["minutes"]
    if "best" in saved.facts:
        run.best, best = parts["best"], saved.facts["best"]
        run.best = {name: value.to(run.device) for name, value in run.best.items()}
        run.best_value, run.best_step, run.worse = best["value"], best["step"], best["worse"]
    barrier(run.world)
    if run.world.writes:
        checkpoint.tidy(state, run.step)


def _difference(old: object, new: object) -> str:
    """What changed, in a few words."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return ", ".join(f"{key} {old.get(key)!r} -> {new[key]!r}" for key in new if old.get(key) != new[key])
    return f"{old!r} -> {new!r}"
