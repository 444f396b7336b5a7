"""Kills a training run again and again and compares its final weights with those of a run left alone.

python resume_worker.py KILLS FOLDER FAMILY ... prints a JSON object of results by family. Python and torch are started
once; every life of a run is a forked child, so that dozens of kills take seconds.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]

from small_families import build, small_config, small_data  # noqa: E402

from core.training.loop import train  # noqa: E402


def live(name: str, folder: Path, seed: int) -> int:
    """Start the run in a child process, or continue it, then with other initial weights; returns the child's id."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        torch.manual_seed(seed if list((folder / "state").glob("step-*")) else 0)
        train(build(name), small_data(name), small_config(name), folder, seed=7)
        status = 0
    finally:
        os._exit(status)


def ended(child: int, delay: float | None = None) -> bool:
    """Wait for the child, or kill it after `delay` seconds; returns whether it came to its end."""
    if delay is not None:
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return False
    if os.WEXITSTATUS(status):
        raise SystemExit(f"the run failed with exit status {os.WEXITSTATUS(status)}")
    return True


def contents(folder: Path) -> tuple[bytes, list[dict[str, object]]]:
    """The final weights, and the log without what the clock says."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    clock = ("seconds", "examples_per_second", "crc32")
    return (folder / "model" / "model.safetensors").read_bytes(), [
        {key: value for key, value in line.items() if key not in clock} for line in lines
    ]


def torture(name: str, kills: int, folder: Path) -> dict[str, object]:
    """`kills` kills, over as many runs as it takes."""
    # What torch imports and compiles at its first step is done before the first fork.
    train(build(name), small_data(name), small_config(name, steps=1), folder / "warm")
    begin = time.perf_counter()
    ended(live(name, folder / "alone", 1))
    alone = time.perf_counter() - begin
    reference = contents(folder / "alone")
    chance, done, runs, places, reach = random.Random(name), 0, 0, [], alone / 5
    while done < kills:
        runs += 1
        run, finished = folder / f"killed-{runs}", False
        while not finished:
            # Up to a fifth of a whole run: in its start, its steps, and the writing of its checkpoints; later, when
            # the computer has become so busy that kills always come before the next checkpoint.
            delay = chance.uniform(0, reach) if done < kills else None
            finished = ended(live(name, run, 100 + done), delay)
            if not finished:
                done += 1
                states = sorted((run / "state").glob("step-*"))
                places.append(states[-1].name if states else "start")
                reach = 1.25 * reach if places[-2:-1] == places[-1:] else alone / 5
        if contents(run)[0] != reference[0]:
            return {"equal": False, "what": "weights", "run": runs, "places": places}
        if contents(run)[1] != reference[1]:
            return {"equal": False, "what": "log", "run": runs, "places": places}
    return {"equal": True, "kills": done, "runs": runs, "places": places, "seconds": time.perf_counter() - begin}


if __name__ == "__main__":
    torch.set_num_threads(1)
    count, target, *names = sys.argv[1:]
    print(json.dumps({name: torture(name, int(count), Path(target) / name) for name in names}))
