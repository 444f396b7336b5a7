"""Meta-World from ten clean demonstrations, by state: success of the last checkpoint.

    python -m benchmarks.metaworld                                  # every task, three seeds: hours
    python -m benchmarks.metaworld --tasks assembly-v3 --seeds 0    # one row of the file

Ten episodes of the scripted expert without noise, as DP3 (Ze et al. 2403.03954) takes them; each seed collects, trains
and is judged anew. The weights judged are the last ones, not the best of several evaluations, in 100 episodes of 200
steps whose seeds no demonstration has. DP3's Table IV has assembly 94 %, disassemble 72 % and stick-push 91 % for a
diffusion policy on the simulator's state, as the mean of the five best evaluations of each run (`published`).

Runs are kept in --runs and go on where they were stopped; rows that the file has are not measured again.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from apps.robotics.data import collect
from apps.robotics.domain import DOMAIN
from apps.robotics.metrics import success_rate
from apps.robotics.model import RoboticsData
from apps.robotics.recipes import METHODS, RECIPES
from apps.robotics.rollouts import rollout
from benchmarks.results_file import FOLDER, write_result
from benchmarks.training import shortened, trained
from core.metrics.intervals import wilson
from core.runs.recipe import Recipe

TASKS = ("assembly-v3", "disassemble-v3", "stick-push-v3", "reach-v3", "push-v3", "pick-place-v3", "door-open-v3",
         "drawer-close-v3", "button-press-v3", "window-open-v3", "peg-insert-side-v3")
PUBLISHED = {"assembly-v3": 0.94, "disassemble-v3": 0.72, "stick-push-v3": 0.91}
DEMONSTRATIONS, EPISODES = 10, 100
Row = dict[str, Any]


def recipe_of(task: str, method: str, seed: int) -> Recipe[RoboticsData]:
    """What is trained: the task's recipe on ten clean demonstrations of its own."""
    recipe = RECIPES[f"{task}-{method}"]()
    data = replace(recipe.data, demonstrations=DEMONSTRATIONS, noise=0.0, seed=seed, horizon=8, execute=2)
    return replace(recipe, data=data, seed=seed, train=replace(recipe.train, keep="last"))


def main() -> None:
    """Measure what is asked for and not there yet, print it, write the file after each row."""
    given, started = _arguments(), time.time()
    rows: list[Row] = json.loads(given.output.read_text())["metrics"]["rows"] if given.output.exists() else []
    for task in given.tasks:
        for method in given.methods:
            for seed in given.seeds:
                if not any((row["task"], row["method"], row["seed"]) == (task, method, seed) for row in rows):
                    rows.append(_measured(task, method, seed, given))
                    write_result(given.output, summary(rows), started)
    for line in summary(rows)["tasks"].values():
        print(line)


def _measured(task: str, method: str, seed: int, given: argparse.Namespace) -> Row:
    """One training and its hundred episodes."""
    recipe, episodes = recipe_of(task, method, seed), EPISODES
    if given.quick:
        recipe, episodes = shortened(recipe), 2
    started = time.process_time()
    model, seconds = trained(DOMAIN, recipe, given.runs / f"{task}-{method}-{seed}")
    done = rollout(model, episodes, seed=seed)
    won = sum(episode.succeeded for episode in done)
    expert = success_rate([*done]) if given.quick else float(collect(task, 50, seed=seed, noise=0.0).succeeded.mean())
    row: Row = {"task": task, "method": method, "seed": seed, "succeeded": won, "episodes": episodes, "expert": expert,
                "training_seconds": round(seconds, 1), "cpu_seconds": round(time.process_time() - started, 1)}
    print(json.dumps(row), flush=True)
    return row


def summary(rows: Sequence[Row]) -> dict[str, Any]:
    """The rows, and success of each task and method over its seeds, with Wilson's interval."""
    tasks: dict[str, Row] = {}
    for task, method in dict.fromkeys((row["task"], row["method"]) for row in rows):
        some = [row for row in rows if (row["task"], row["method"]) == (task, method)]
        won, episodes = (sum(row[name] for row in some) for name in ("succeeded", "episodes"))
        tasks[f"{task}-{method}"] = {
            "success": won / episodes, "interval": list(wilson(won, episodes)), "seeds": len(some),
            "expert": sum(row["expert"] for row in some) / len(some), "published": PUBLISHED.get(task),
        }
    return {"demonstrations": DEMONSTRATIONS, "tasks": tasks, "rows": list(rows)}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=("diffusion",))
    parser.add_argument("--seeds", nargs="+", type=int, default=(0, 1, 2))
    parser.add_argument("--runs", type=Path, default=Path("runs/benchmarks/metaworld"))
    parser.add_argument("--quick", action="store_true", help="two steps and two episodes, to see that it runs")
    parser.add_argument("--output", type=Path, default=FOLDER / "metaworld.json")
    return parser.parse_args()


if __name__ == "__main__":
    main()
