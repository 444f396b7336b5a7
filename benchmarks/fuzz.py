"""Gives broken and hostile input to every loader of what users give, and sees that each call ends well.

    python -m benchmarks.fuzz --inputs 100000
    python -m benchmarks.fuzz --loader midi --seconds 60

A call ends well with a value, or with a FourfoldError of one line of bounded length; within five seconds of the
processor's time, and within a gibibyte of memory more than before: four times the pixels of the largest picture that
is read, each of four bytes. Hypothesis draws the inputs, mutations of valid ones for the most part
(`benchmarks.fuzz_loaders`). Calls are made in forked children under limits of the operating system; what ends a child
is found like an exception, and the next child goes on. What is found is kept in --keep, an input for each place in the
code; inputs that once were found are in tests/data/fuzz, and a test gives them to the loaders again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import mmap
import os
import resource
import shutil
import signal
import struct
import tempfile
import time
import traceback
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import torch
from hypothesis import HealthCheck, Phase, given, seed, settings

from benchmarks.fuzz_loaders import LOADERS, Loader
from benchmarks.results_file import FOLDER, write_result
from core.errors import FourfoldError

SECONDS = 5
MEMORY = 2**30
LONGEST_MESSAGE = 2_000
ROUND = 500
"""Inputs that a child is given; what it leaks ends with it."""
COUNTS = struct.Struct("qqqdq")
"""What a child tells while it works: inputs met, values, refusals, the slowest call's seconds, the largest's bytes."""
ROOT = Path(__file__).parent.parent


@dataclass
class Outcome:
    """What became of the inputs that a loader was given; `found`: what ended badly, with how many inputs did."""

    inputs: int = 0
    values: int = 0
    refused: int = 0
    slowest_seconds: float = 0.0
    most_memory_mib: float = 0.0
    found: Counter[str] = field(default_factory=Counter)


def fault(loader: Loader, content: bytes, folder: Path) -> tuple[str, object]:
    """What a call ends with: "value", "refused", or a fault's place in the code; and the value or the words."""
    try:
        value = loader.read(content, folder)
    except FourfoldError as error:
        words = str(error)
        bad = "\n" in words or not words.isprintable() or len(words) > LONGEST_MESSAGE
        return ("a message of more than a line", words[:LONGEST_MESSAGE]) if bad else ("refused", words)
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if "/core/" in frame.filename or "/apps/" in frame.filename] or frames
        where = Path(own[-1].filename)
        name = where.relative_to(ROOT) if where.is_relative_to(ROOT) else where.name
        return f"{type(error).__name__} in {name}, {own[-1].name}", traceback.format_exc()
    return "value", value


def _work(loader: Loader, count: int, number: int, told: mmap.mmap, scratch: Path) -> None:
    """The life of a child: give the loader `count` inputs, and write those that end badly into `scratch`."""
    counts = [0, 0, 0, 0.0, 0]
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 2 * MEMORY,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)  # threads of the parent's are not there after a fork
    folder = scratch / "folder"

    @seed(number)
    @settings(max_examples=count, database=None, deadline=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))
    @given(loader.inputs)
    def give(content: bytes) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        (scratch / "input").write_bytes(content)
        Path("/proc/self/clear_refs").write_text("5")  # the highest memory use is counted from here
        before, begun = _memory("VmRSS"), time.process_time()
        signal.setitimer(signal.ITIMER_PROF, SECONDS)  # its signal ends the child
        end, words = fault(loader, content, folder)
        signal.setitimer(signal.ITIMER_PROF, 0)
        seconds, memory = time.process_time() - begun, _memory("VmHWM") - before
        if end in ("value", "refused") and memory > MEMORY:
            end, words = "more memory than allowed", f"{memory / 2**20:.0f} MiB"
        if end in ("value", "refused"):
            counts[1] += end == "value"
            counts[2] += end == "refused"
        else:
            with open(scratch / "found", "a") as stream:
                stream.write(json.dumps([end, str(words), content.hex()]) + "\n")
        counts[0] += 1
        counts[3], counts[4] = max(counts[3], seconds), max(counts[4], memory)
        told[:] = COUNTS.pack(*counts)

    give()


def _memory(name: str) -> int:
    """Bytes of a kind of the process's memory."""
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def fuzz(name: str, inputs: int, seconds: float, keep: Path) -> Outcome:
    """Give a loader so many inputs, or those that `seconds` allow; what ends badly is kept in `keep`."""
    outcome, begun = Outcome(), time.monotonic()
    home = tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
    with home as scratch:
        loader = LOADERS[name](Path(scratch))
        number = 0
        while outcome.inputs < inputs and time.monotonic() - begun < seconds:
            told, number = mmap.mmap(-1, COUNTS.size), number + 1
            child = os.fork()
            if not child:
                status = 1
                try:
                    os.environ["FOURFOLD_CACHE"] = str(Path(scratch, "cache"))
                    _work(loader, min(ROUND, inputs - outcome.inputs), number, told, Path(scratch))
                    status = 0
                except BaseException:
                    Path(scratch, "broken").write_text(traceback.format_exc())
                finally:
                    os._exit(status)
            status = _waited(child, begun + seconds)
            given, values, refused, slowest, memory = COUNTS.unpack(told[:])
            given += os.WIFSIGNALED(status)
            outcome.inputs, outcome.values = outcome.inputs + given, outcome.values + values
            outcome.refused += refused
            outcome.slowest_seconds = max(outcome.slowest_seconds, round(slowest, 2))
            outcome.most_memory_mib = max(outcome.most_memory_mib, round(memory / 2**20, 1))
            _collect(Path(scratch), status, outcome, keep / name)
            if not given and time.monotonic() - begun < seconds:
                raise SystemExit(f"{name}: {_text(Path(scratch, 'broken')) or 'the child gave no input'}")
    return outcome


def _waited(child: int, until: float) -> int:
    """The status with which the child ends; one that works on when time is over is ended, and counts as well ended.

    Its last input does not count.
    """
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status
        if time.monotonic() > until:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return 0
        time.sleep(0.01)


def _collect(scratch: Path, status: int, outcome: Outcome, keep: Path) -> None:
    """Count and keep what a child found, and the input that ended it."""
    found = [json.loads(line) for line in _text(scratch / "found").splitlines()]
    (scratch / "found").unlink(missing_ok=True)
    if os.WIFSIGNALED(status):
        kind = signal.Signals(os.WTERMSIG(status)).name
        end = f"more than {SECONDS} seconds" if kind == "SIGPROF" else f"the process died of {kind}"
        found.append([end, end, (scratch / "input").read_bytes().hex()])
    for end, words, content in found:
        if end not in outcome.found:
            keep.mkdir(parents=True, exist_ok=True)
            name = hashlib.sha256(bytes.fromhex(content)).hexdigest()[:12]
            (keep / name).write_bytes(bytes.fromhex(content))
            (keep / f"{name}.txt").write_text(f"{end}\n\n{words}\n")
        outcome.found[end] += 1


def _text(path: Path) -> str:
    return path.read_text() if path.is_file() else ""


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=100_000, help="for each loader")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="for each loader, at most")
    parser.add_argument("--loader", choices=sorted(LOADERS), action="append", help="this one; may be repeated")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-found"), help="folder for inputs that end badly")
    parser.add_argument("--output", type=Path, default=FOLDER / "fuzz.json")
    options = parser.parse_args()
    begun, outcomes = time.time(), {}
    for name in options.loader or LOADERS:
        outcome = outcomes[name] = fuzz(name, options.inputs, options.seconds, options.keep)
        print(f"{name}: {outcome.inputs:,} inputs, {outcome.values:,} read, {outcome.refused:,} refused, slowest "
              f"{outcome.slowest_seconds:.2f} s, {outcome.most_memory_mib:.0f} MiB at most", flush=True)
        for end, count in outcome.found.items():
            print(f"    {count:,} times {end}", flush=True)
    write_result(options.output, {name: vars(outcome) for name, outcome in outcomes.items()}, begun)
    if any(outcome.found for outcome in outcomes.values()):
        raise SystemExit(f"some calls did not end well: see {options.keep}")


if __name__ == "__main__":
    main()
