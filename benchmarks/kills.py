"""Kills small runs at every file operation and at random moments, and compares what they become with an unbroken run.

    python -m benchmarks.kills --kills 300
    python -m benchmarks.kills --kills 300 --every-operation
    python -m benchmarks.kills --quick

Every domain and family has a small run of one process, and one run a domain is of two. What each kill leaves is
continued by the same command to its end; then all files must be those of the run that nobody killed, byte by byte but
for what the clock says. Python, torch and the data are there once; each life of a run is a forked child.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import random
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.results_file import FOLDER, write_result
from core.files import LOCK, SEAL, read_json
from core.runs.domain import Domain, Prepared
from core.runs.model import CodecT, DataT, Item
from core.runs.recipe import Recipe
from core.runs.report import write_run_report
from core.runs.run import Run, train

DOMAINS = ("image", "text", "audio", "molecules", "robotics")
FAMILIES = ("vae", "gan", "diffusion", "autoregressive")
SETTINGS = ("train.steps=6", "train.batch_size=8", "train.checkpoint_every=2", "train.log_every=1")
CLOCK = ("seconds", "examples_per_second", SEAL)
OPERATIONS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate", "shutil.rmtree"}
"""What Python's audit hooks tell of files that change."""


@dataclass(frozen=True)
class Cell:
    """A run to kill: `live` trains it in a folder, or goes on with it."""

    name: str
    processes: int
    live: Callable[[Path], None]


def cell(domain: Domain[DataT, CodecT, Item], family: str, processes: int) -> Cell:
    """The small run of a domain's tour recipe."""
    recipe: Recipe[DataT] = domain.override(domain.recipe(f"tour-{family}"), SETTINGS)
    prepared: Prepared[CodecT] = domain.prepare(recipe.data)

    def live(folder: Path) -> None:
        train(domain, recipe, Run(folder), device="cpu", prepared=prepared)
        if os.environ.get("RANK", "0") == "0":
            write_run_report(domain, Run(folder))

    return Cell(f"{domain.name} {family} ({processes})", processes, live)


def operations(folder: Path, act: Callable[[int], object]) -> None:
    """From now on, call `act` with its number before each operation of this process that changes a file in `folder`."""
    count, inside = 0, str(folder)

    def hear(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        if event not in OPERATIONS or not str(arguments[0]).startswith(inside):
            return
        if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)):
            return
        count += 1
        act(count)

    sys.addaudithook(hear)


def start(cell: Cell, folder: Path, act: Callable[[int], object] | None = None) -> list[int]:
    """Begin a life of the run, in a child for each of its processes; `act` is as for `operations`, in the first."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    children = []
    for rank in range(cell.processes):
        child = os.fork()
        if child:
            children.append(child)
            continue
        status = 1
        try:
            if cell.processes > 1:
                os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(cell.processes), "MASTER_ADDR": "127.0.0.1",
                               "MASTER_PORT": str(port)}
            if rank == 0 and act is not None:
                operations(folder, act)
            cell.live(folder)
            status = 0
        finally:
            os._exit(status)
    return children


def ended(children: list[int]) -> bool:
    """Wait for the first process; returns whether it came to its end. Others do not outlive one that was killed."""
    _, status = os.waitpid(children[0], 0)
    for child in children[1:]:
        if status:
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise SystemExit(f"a run failed with exit status {os.WEXITSTATUS(status)}")
    return not status


def contents(folder: Path) -> dict[str, object]:
    """All files of a run by name, without the clock and the folder's name; TensorBoard's, named by the clock, not."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if not path.is_file() or name == LOCK or name.startswith("events/"):
            continue
        if path.name == "state.json":
            found[name] = {key: value for key, value in read_json(path).items() if key not in CLOCK}
        elif path.name == "log.jsonl":
            lines = [json.loads(line) for line in path.read_text().splitlines()]
            found[name] = [{key: value for key, value in line.items() if key not in CLOCK} for line in lines]
        elif path.name == "report.html":
            found[name] = path.read_text().partition(" s of training")[2].replace(str(folder), "RUN")
        else:
            found[name] = path.read_bytes()
    return found


def killed(cell: Cell, folder: Path, reference: dict[str, object], kill: Callable[[Path], list[int]]) -> bool:
    """Kill one life of a new run and let the next one end; returns whether the kill came in time.

    Raises:
        SystemExit: the run cannot go on, or ends with other files.
    """
    shutil.rmtree(folder, ignore_errors=True)
    in_time = not ended(kill(folder))
    if not ended(start(cell, folder)):
        raise SystemExit(f"{cell.name}: the second life was killed by another")
    found = contents(folder)
    differing = sorted(name for name in reference.keys() | found.keys() if reference.get(name) != found.get(name))
    if differing:
        raise SystemExit(f"{cell.name}: {', '.join(differing)} differ; see {folder}")
    return in_time


def torture(cell: Cell, folder: Path, kills: int, every: bool, chance: random.Random) -> dict[str, int]:
    """`kills` kills of a run, half of them at its file operations, evenly spread; counts of what was done.

    Args:
        every: kill at each of the operations instead, and `kills` times at random besides.

    Raises:
        SystemExit: a run does not end with the files of the unbroken one.
    """
    alone, log = folder / "alone", folder / "operations"
    cell.live(folder / "warm")  # what is imported and compiled at first use is there before the first fork
    begun = time.perf_counter()
    ended(start(cell, alone, lambda number: log.write_text(str(number))))
    seconds, count = time.perf_counter() - begun, int(log.read_text())
    reference = contents(alone)
    some = kills - kills // 2
    spread = {1 + index * (count - 1) // max(1, some - 1) for index in range(some)}
    places = list(range(1, count + 1)) if every else sorted(spread)
    at_any_time = kills if every else kills - len(places)

    def at_operation(place: int) -> Callable[[Path], list[int]]:
        def act(number: int) -> None:
            if number == place:
                os.kill(os.getpid(), signal.SIGKILL)

        return lambda run: start(cell, run, act)

    def at_random(run: Path) -> list[int]:
        children = start(cell, run)
        time.sleep(chance.uniform(0, seconds))
        os.kill(children[0], signal.SIGKILL)
        return children

    for place in places:
        if not killed(cell, folder / "killed", reference, at_operation(place)):
            raise SystemExit(f"{cell.name}: has no operation {place} of {count}")
    done = 0
    while done < at_any_time:
        done += killed(cell, folder / "killed", reference, at_random)
    return {"operations": count, "kills_at_operations": len(places), "kills_at_random": done}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=300, help="in all")
    parser.add_argument("--every-operation", action="store_true",
                        help="besides, one at each file operation of the first run of each domain")
    parser.add_argument("--domains", default=",".join(DOMAINS))
    parser.add_argument("--quick", action="store_true", help="a few kills of two runs, in under a minute")
    parser.add_argument("--output", type=Path, default=FOLDER / "kills.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    plan = [(domain, family, 1) for domain in options.domains.split(",") for family in FAMILIES]
    plan += [(domain, "diffusion", 2) for domain in options.domains.split(",")]
    if options.quick:
        plan, options.kills = [("image", "vae", 1), ("image", "diffusion", 2)], 8
    begun, memory, counts = time.time(), Path("/dev/shm"), {}
    for index, (name, family, processes) in enumerate(plan):
        domain = importlib.import_module(f"apps.{name}.domain").DOMAIN
        kills = options.kills * (index + 1) // len(plan) - options.kills * index // len(plan)
        made = cell(domain, family, processes)
        # A folder in memory, where there is one: on a disk, waiting for writes would take most of the time.
        with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as scratch:
            every = options.every_operation and (family, processes) == (FAMILIES[0], 1)
            done = torture(made, Path(scratch), kills, every, random.Random(made.name))
        counts[made.name] = done
        print(f"{made.name}: {done['kills_at_operations'] + done['kills_at_random']} kills, {done['operations']} file "
              "operations, all files equal", flush=True)
    total = sum(done["kills_at_operations"] + done["kills_at_random"] for done in counts.values())
    print(f"{total:,} kills in {time.time() - begun:.0f} s: every run ended with an unbroken one's files")
    write_result(options.output, {"kills": total, "runs": counts}, begun)


if __name__ == "__main__":
    main()
