"""What people come for: `collect` demonstrations, and `rollout`, a policy at work."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import FourfoldError
from core.runs.tasks import (
    Progress,
    Result,
    Task,
    argument,
    changes,
    num_option,
    num_steps_option,
    option,
    seed_option,
    solver_option,
    temperature_option,
)

if TYPE_CHECKING:
    from apps.robotics.model import RoboticsModel

NOISE = "Of executed actions, as a share of their limit."


@dataclass(frozen=True, kw_only=True)
class Collect:
    task: str = argument("TASK", "planar, or one of Meta-World's: reach-v3, push-v3, ...")
    num: int = num_option(100)
    output: Path | None = option(None, "The .npz to write; else TASK.npz, or TASK-2.npz ...", "--output", "-o")
    noise: float = option(0.1, NOISE)
    seed: int = seed_option()


@dataclass(frozen=True, kw_only=True)
class Rollout:
    num: int = num_option(16)
    visits: int = option(1, "Episodes from each start.", minimum=1)
    execute: int | None = option(None, "Actions executed of each chunk.", minimum=1)
    noise: float = option(0.0, NOISE)
    num_steps: int | None = num_steps_option()
    solver: str | None = solver_option()
    temperature: float | None = temperature_option()
    seed: int = seed_option()


def collect(model: None, parameters: Collect, progress: Progress) -> Result:
    """Demonstrations of a scripted expert in a file; says how many succeed."""
    from apps.robotics import data
    from core.files import free_name

    if parameters.output is not None and parameters.output.exists():
        raise FourfoldError(f"{parameters.output} is there already: choose another name with --output")
    found = data.collect(parameters.task, parameters.num, seed=parameters.seed, noise=parameters.noise,
                         progress=progress)
    won, steps = int(found.succeeded.sum()), len(found.actions)
    path = parameters.output or free_name(Path(f"{parameters.task}.npz"))
    found.save(path)
    return Result(
        text=f"{won} of {parameters.num} episodes succeed, {steps:,} steps\n{path}",
        data={"task": found.task, "episodes": parameters.num, "succeeded": won, "steps": steps, "files": [str(path)]},
    )


def rollout(model: RoboticsModel, parameters: Rollout, progress: Progress) -> Result:
    """Episodes of a policy, and its success with the 95 % interval."""
    from apps.robotics import media, rollouts
    from core.metrics.intervals import wilson

    n = parameters.num
    episodes = rollouts.rollout(
        model, n, seed=parameters.seed, visits=parameters.visits, execute=parameters.execute, noise=parameters.noise,
        progress=progress, **changes(parameters),
    )
    task, won = episodes[0].task, sum(episode.succeeded for episode in episodes)
    low, high = wilson(won, n)
    return Result(
        text=f"{task}: {won} of {n} episodes succeed: {won / n:.1%} (95 % interval {low:.1%} to {high:.1%})",
        data={"task": task, "episodes": n, "succeeded": won, "success": won / n, "interval": [low, high]},
        write=lambda folder: media.write(episodes, folder), media=lambda: media.preview(episodes),
    )


TASKS = (
    Task(name="collect", summary="Collect demonstrations from a task's scripted expert, to train on with --data.",
         parameters=Collect, run=collect, result="numbers", takes_model=False,
         example="planar -n 100"),
    Task(name="rollout",
         summary="Let a policy act in its task: success with its 95 % interval, an animation and the trajectories.",
         parameters=Rollout, run=rollout, result="episodes", output="rollouts",
         example="-n 20"),
)
