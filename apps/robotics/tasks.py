"""What people come for: `collect` demonstrations, and `rollout`, a policy at work."""

from __future__ import annotations

import importlib
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
PROCESSES = "Processes that simulators are divided among; results do not depend on it."


@dataclass(frozen=True, kw_only=True)
class Collect:
    task: str = argument("TASK", "planar, one of Meta-World's (assembly-v3 ...), a gymnasium id, or module:function.")
    num: int = num_option(100)
    output: Path | None = option(None, "The .npz (or Minari's .hdf5) to write; else TASK.npz, or TASK-2.npz ...",
                                 "--output", "-o")
    policy: str | None = option(None, "Who acts: module:function from observation to action, or a trained run; "
                                      "else the task's scripted expert.")
    relabel: bool = option(False, "Keep the expert's actions in the states that --policy comes to (DAgger).")
    only_successes: bool = option(False, "Leave out the episodes that fail.")
    noise: float = option(0.1, NOISE)
    picture: int = option(0, "Pixels a side of the pictures in observations; 0: none.")
    limit: int | None = option(None, "Most steps of an episode.", minimum=1)
    processes: int | None = option(None, PROCESSES, minimum=0)
    seed: int = seed_option()


@dataclass(frozen=True, kw_only=True)
class Rollout:
    num: int = num_option(16)
    environment: str | None = option(None, "Where: module:function, or a gymnasium id; else the task it learned.")
    visits: int = option(1, "Episodes from each start.", minimum=1)
    execute: int | None = option(None, "Actions executed of each chunk.", minimum=1)
    ensemble: float | None = option(None, "Decide at every step and average what all chunks say (0.01 is usual).")
    noise: float = option(0.0, NOISE)
    limit: int | None = option(None, "Most steps of an episode.", minimum=1)
    processes: int | None = option(None, PROCESSES, minimum=0)
    mp4: bool = option(False, "Also an MP4 of a success and a failure, as the simulator draws them.")
    num_steps: int | None = num_steps_option()
    solver: str | None = solver_option()
    temperature: float | None = temperature_option()
    seed: int = seed_option()


@dataclass(frozen=True, kw_only=True)
class Inspect:
    files: Path = argument("FILE|DIR", "Demonstrations: .npz, Minari's .hdf5, a dataset of LeRobot's, or a folder.")


@dataclass(frozen=True, kw_only=True)
class Export:
    file: Path | None = option(None, "The .onnx to write; else policy.onnx, or policy-2.onnx ...", "--file", "-f")
    num_steps: int | None = num_steps_option()
    solver: str | None = solver_option()


def inspect(model: None, parameters: Inspect, progress: Progress) -> Result:
    """What demonstrations hold."""
    from dataclasses import asdict

    from apps.robotics import inspecting
    from apps.robotics.data import own_demonstrations
    from core.files import write_atomically
    from core.runs.media import Media

    found = own_demonstrations(parameters.files)
    sheet = inspecting.sheet(found)

    def write(folder: Path) -> list[Path]:
        write_atomically(folder / "episodes.png", sheet)
        return [folder / "episodes.png"]

    return Result(
        text=inspecting.told(found), write=write,
        data={"task": found.task, "episodes": len(found.lengths), "succeeded": int(found.succeeded.sum()),
              "lengths": found.lengths.tolist(), "columns": [asdict(column) for column in inspecting.columns(found)]},
        media=lambda: [Media(kind="png", content=sheet, caption=f"{found.task}: demonstrations")],
    )


def export(model: RoboticsModel, parameters: Export, progress: Progress) -> Result:
    """A policy as ONNX, and how far its actions are off."""
    from apps.robotics.exporting import export as written
    from core.files import free_name

    if parameters.file is not None and parameters.file.exists():
        raise FourfoldError(f"{parameters.file} is there already: choose another name with --file")
    path = parameters.file or free_name(Path("policy.onnx"))
    off = written(model, path, **changes(parameters))
    return Result(text=f"actions agree with the model's to {off:.1e} of their range\n{path}",
                  data={"off": off, "files": [str(path)]})


def collect(model: None, parameters: Collect, progress: Progress) -> Result:
    """Demonstrations in a file; says how many succeed."""
    from apps.robotics import data
    from apps.robotics.simulators import is_own, named
    from core.files import free_name

    if parameters.output is not None and parameters.output.exists():
        raise FourfoldError(f"{parameters.output} is there already: choose another name with --output")
    name = parameters.policy
    policy = None
    if name is not None:  # the domain, which has these tasks, is looked up as in cli.py
        policy = named(name, "policy") if is_own(name) else importlib.import_module("apps.robotics.domain").load(name)
    n = parameters.num
    found = data.collect(
        parameters.task, n, seed=parameters.seed, noise=parameters.noise, picture=parameters.picture, policy=policy,
        relabel=parameters.relabel, only_successes=parameters.only_successes, limit=parameters.limit,
        processes=parameters.processes, progress=progress,
    )
    won, steps = int(found.succeeded.sum()), len(found.actions)
    file = "".join(letter if letter.isalnum() or letter in "-._" else "-" for letter in parameters.task)
    path = parameters.output or free_name(Path(f"{file}.npz"))
    found.save(path)
    left = f"; the {n - won} that failed are left out" if parameters.only_successes and won < n else ""
    return Result(
        text=f"{won} of {n} episodes succeed{left}, {steps:,} steps\n{path}",
        data={"task": found.task, "episodes": n, "succeeded": won, "steps": steps, "files": [str(path)]},
    )


def rollout(model: RoboticsModel, parameters: Rollout, progress: Progress) -> Result:
    """Episodes of a policy, and its success with the 95 % interval."""
    from apps.robotics import media, rollouts
    from core.files import write_atomically
    from core.metrics.intervals import wilson

    n = parameters.num
    episodes = rollouts.rollout(
        model, n, environment=parameters.environment, seed=parameters.seed, visits=parameters.visits,
        execute=parameters.execute, ensemble=parameters.ensemble, noise=parameters.noise, limit=parameters.limit,
        processes=parameters.processes, progress=progress, **changes(parameters),
    )
    task, won = episodes[0].task, sum(episode.succeeded for episode in episodes)
    low, high = wilson(won, n)
    failed = [index for index, episode in enumerate(episodes) if not episode.succeeded]
    shown = f"{', '.join(map(str, failed[:20]))}{' ...' if len(failed) > 20 else ''}"
    reward = sum(episode.reward for episode in episodes) / n

    def write(folder: Path) -> list[Path]:
        paths = media.write(episodes, folder)
        if parameters.mp4:
            paths.append(folder / "rollouts.mp4")
            write_atomically(paths[-1], media.video(episodes))
        return paths

    return Result(
        text=f"{task}: {won} of {n} episodes succeed: {won / n:.1%} (95 % interval {low:.1%} to {high:.1%}), "
             f"mean reward {reward:.4g}" + (f"\nfailed: {shown}" if failed else ""),
        data={"task": task, "episodes": n, "succeeded": won, "success": won / n, "interval": [low, high],
              "reward": reward, "failed": failed},
        write=write, media=lambda: media.preview(episodes),
    )


TASKS = (
    Task(name="collect", summary="Collect demonstrations, to train on with --data.", parameters=Collect, run=collect,
         result="numbers", takes_model=False, example="planar -n 100"),
    Task(name="rollout",
         summary="Let a policy act: success with its 95 % interval, an animation and the trajectories.",
         parameters=Rollout, run=rollout, result="episodes", output="rollouts",
         example="-n 20"),
    Task(name="inspect", summary="Say what demonstrations hold, and what in them would spoil training.",
         parameters=Inspect, run=inspect, result="pictures", output="inspected", takes_model=False,
         example="demos.npz"),
    Task(name="export", summary="Write a policy as ONNX, checked against the model.", parameters=Export, run=export,
         result="numbers", example="runs/robotics/tour-diffusion"),
)
