"""`fourfold robotics`: the shared verbs, `collect` and `rollout`."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Annotated

import typer

from core.command_line.verbs import AsJson, Device, Num, RunFolder, Seed, Solver, Steps, Temperature, build, print_paths

app = build("robotics", lambda: importlib.import_module("apps.robotics.domain").DOMAIN)

NoiseOption = Annotated[float, typer.Option("--noise", help="Of executed actions, as a share of their limit.")]


@app.command()
def collect(
    task: Annotated[str, typer.Argument(metavar="TASK", help="planar, or one of Meta-World's: reach-v3, push-v3, ...")],
    num: Num = 100,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The .npz to write; else TASK.npz.")] = None,
    noise: NoiseOption = 0.1,
    seed: Seed = 0,
) -> None:
    """Collect demonstrations from a task's scripted expert, to train on with --data."""
    from apps.robotics import data

    found = data.collect(task, num, seed=seed, noise=noise)
    target = output or Path(f"{task}.npz")
    found.save(target)
    print(f"{int(found.succeeded.sum())} of {num} episodes succeed, {len(found.actions):,} steps")
    print_paths([target])


@app.command()
def rollout(
    run: RunFolder,
    num: Num = 16,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write to.")] = Path("rollouts"),
    visits: Annotated[int, typer.Option("--visits", min=1, help="Episodes from each start.")] = 1,
    execute: Annotated[int | None, typer.Option("--execute", min=1, help="Actions executed of each chunk.")] = None,
    noise: NoiseOption = 0.0,
    steps: Steps = None,
    solver: Solver = None,
    temperature: Temperature = None,
    seed: Seed = 0,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Let a policy act in its task: success with its 95 % interval, an animation and the trajectories."""
    from apps.robotics import domain, tasks
    from core.files import writing
    from core.metrics.intervals import wilson

    episodes = tasks.rollout(
        domain.load(run, device), num, seed=seed, visits=visits, execute=execute, noise=noise, num_steps=steps,
        solver=solver, temperature=temperature,
    )
    won = sum(episode.succeeded for episode in episodes)
    low, high = wilson(won, num)
    with writing(output):
        paths = domain.DOMAIN.write(episodes, output)
    if as_json:
        print(json.dumps({
            "task": episodes[0].task, "episodes": num, "succeeded": won, "success": won / num, "interval": [low, high],
            "files": [str(path) for path in paths],
        }, indent=2))
        return
    interval = f"95 % interval {low:.1%} to {high:.1%}"
    print(f"{episodes[0].task}: {won} of {num} episodes succeed: {won / num:.1%} ({interval})")
    print_paths(paths)
