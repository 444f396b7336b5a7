"""What preparing data costs as they grow: memory, seconds and CPU seconds, of molecules, pictures and text.

    python -m benchmarks.growth
    python -m benchmarks.growth --quick

Molecules are those of MOSES with two properties to condition on (of all of them without, as properties are computed
1,000 molecules at a time whatever their number); pictures are JPEG files of 256 px, made here; text is real text, line
by line in another order and with other words each time it is repeated, in one file. Each preparation has a process of
its own and an empty cache. Its memory is that of all its processes, looked at ten times a second: "own_gib" is what
they allocated, "above_gib" that beyond what the imports take, "resident_gib" also counts files they have mapped.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.results_file import FOLDER, write_result
from core.data.sources import in_data

GIB = 2**30
SIZES = {
    "molecules": (10_000, 30_000, 90_000), "all molecules": (1_600_000,), "pictures": (1_000, 4_000, 16_000),
    "text": (10, 100, 500),
}
QUICK = {"molecules": (60,), "pictures": (30, 60), "text": (1, 2)}
UNITS = {"molecules": "molecules", "all molecules": "molecules", "pictures": "pictures", "text": "megabytes"}
CHILD = """
import sys, time
kind, size, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
if "molecules" in kind:
    from apps.molecules.data import MoleculeData, prepare
    data = MoleculeData(limit=size, properties=("logp", "qed") if kind == "molecules" else ())
elif kind == "pictures":
    from apps.image.data import ImageData, prepare
    data = ImageData(source="folder", folder=folder, size=256, color=True)
else:
    from apps.text.data import TextData, prepare
    data = TextData(source="folder", folder=folder)
print("ready", flush=True)
sys.stdin.readline()
prepared = prepare(data)
print(len(prepared.train), flush=True)
prepared.train.batch(range(8))
"""


def make_pictures(folder: Path, count: int) -> None:
    """JPEG files of 256 px: soft shapes and grain, all different, a twentieth of them saved again."""
    folder.mkdir()
    for index in range(count):
        draws = np.random.default_rng(index if index % 20 else max(0, index - 20))
        coarse = Image.fromarray(draws.integers(0, 256, (6, 6, 3), dtype=np.uint8)).resize((256, 256))
        grain = draws.integers(-12, 13, (256, 256, 3))
        picture = Image.fromarray((np.asarray(coarse).astype(int) + grain).clip(0, 255).astype(np.uint8))
        picture.save(folder / f"{index:06}.jpg", quality=85 + index % 10)


def make_text(path: Path, megabytes: int) -> None:
    """Tiny Shakespeare again and again (Python's own text where it is not at hand)."""
    source = in_data("text/tinyshakespeare.txt") or Path(argparse.__file__)
    lines = source.read_text().splitlines()
    words = sorted({word for line in lines for word in line.split()})
    draws, size = random.Random(0), 0
    with open(path, "w") as stream:
        while size < megabytes * 1_000_000:
            block = draws.choice(range(0, max(1, len(lines) - 1000), 100))
            for line in lines[block : block + 1000]:
                changed = " ".join(draws.choice(words) if draws.random() < 0.1 else word for word in line.split())
                size += stream.write(changed + "\n")


def memory(process: int) -> tuple[int, int]:
    """Bytes that a process and those it started have allocated, and have resident."""
    own = resident = 0
    waiting = [process]
    while waiting:
        pid = waiting.pop()
        try:
            status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
            own += 1024 * int(status["RssAnon"].split()[0])
            resident += 1024 * int(status["VmRSS"].split()[0])
            waiting += [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        except (OSError, KeyError):
            continue  # it has ended
    return own, resident


def measure(kind: str, size: int, folder: Path) -> dict[str, float | int]:
    """Prepare data of a kind and size in a process of its own."""
    source = folder / f"{kind}-{size}"
    if kind == "pictures":
        make_pictures(source, size)
    elif kind == "text":
        make_text(source := source.with_suffix(".txt"), size)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "FOURFOLD_CACHE": str(folder / f"cache-{kind}-{size}"), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen([sys.executable, "-c", CHILD, kind, str(size), str(source)], env=environment, text=True,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None and child.stdout is not None
        child.stdout.readline()
        imports, _ = memory(child.pid)
        started = time.perf_counter()
        child.stdin.write("\n")
        child.stdin.flush()
        peaks = np.array(memory(child.pid))
        while child.poll() is None:
            peaks = np.maximum(peaks, memory(child.pid))
            time.sleep(0.1)
        seconds = time.perf_counter() - started
        examples = int(child.stdout.readline() or 0)
    if child.returncode:
        raise SystemExit(f"{kind} of {size:,} {UNITS[kind]} failed")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(["rm", "-rf", str(source), environment["FOURFOLD_CACHE"]], check=True)
    return {
        "seconds": round(seconds, 1),
        "cpu_seconds": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1),
        "own_gib": round(peaks[0] / GIB, 3), "above_gib": round((peaks[0] - imports) / GIB, 3),
        "resident_gib": round(peaks[1] / GIB, 3), "examples": examples,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few examples of each kind")
    parser.add_argument("--folder", type=Path, help="where the data are made: 7 GB (default: temporary)")
    parser.add_argument("--output", type=Path, default=FOLDER / "growth.json")
    options = parser.parse_args()
    started, metrics = time.time(), {}
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for kind, sizes in (QUICK if options.quick else SIZES).items():
            for size in sizes:
                row = metrics[f"{kind}/{size}"] = measure(kind, size, Path(folder))
                print(f"{size:>10,} {UNITS[kind]:10}", "  ".join(f"{name} {value:,}" for name, value in row.items()),
                      flush=True)
    write_result(options.output, metrics, started)


if __name__ == "__main__":
    main()
