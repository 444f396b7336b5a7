"""Enhancement of held-out Fashion-MNIST: our restoration model against bicubic, non-local means, biharmonic inpainting.

    python -m benchmarks.fashion_enhance

Trains recipe fashion-enhance (at most 30 minutes), restores test images and writes
benchmarks/results/fashion_enhance.json: for upscale2, upscale4, denoise (sigma 0.2) and inpaint (the centre's 10x10
pixels) psnr_ours and fd_ours against psnr_baseline and fd_baseline, with intervals and the distance's floor.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from apps.image.domain import DOMAIN
from benchmarks.results_file import FOLDER, write_result
from benchmarks.training import parameter_count, shortened, trained
from core.runs.run import Run, evaluate

TARGETS = ("upscale2", "denoise", "inpaint")


def main() -> None:
    """Train, measure, print, write; exit code 1 where a baseline is not beaten in both measures."""
    parser = argparse.ArgumentParser(description="Enhancement of Fashion-MNIST.")
    parser.add_argument("--minutes", type=float, help="of training, instead of the recipe's steps")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--run", type=Path, help="keep the run here; the same folder continues")
    parser.add_argument("--output", type=Path, default=FOLDER / "fashion_enhance.json")
    parser.add_argument("--quick", action="store_true", help="a few steps and images: checks the benchmark")
    options = parser.parse_args()
    if options.quick:
        options.images = 40
    started = time.time()
    with tempfile.TemporaryDirectory() as scratch:
        folder = (options.run or Path(scratch)) / "fashion-enhance"
        recipe = DOMAIN.recipe("fashion-enhance")
        model, seconds = trained(DOMAIN, shortened(recipe) if options.quick else recipe, folder, options.minutes)
        measures = evaluate(DOMAIN, Run(folder), n=options.images, model=model)
    metrics: dict[str, Any] = {
        "images": options.images, "training_seconds": round(seconds, 1), "steps": model.recipe.train.steps,
        "parameters": parameter_count(model.family),
        "sampling": f"{model.recipe.sample.solver}, {model.recipe.sample.num_steps} steps",
    }
    won = set(TARGETS)
    for measure in measures:
        kind, task = measure.name.split("_", 1)[0], measure.name.rpartition("_")[2]
        row = metrics.setdefault(task, {"baseline": measure.baseline_name})
        row |= {f"{kind}_ours": measure.value, f"{kind}_interval": measure.interval,
                f"{kind}_baseline": measure.baseline}
        if kind == "fd":
            row["fd_floor"] = measure.floor
        if not measure.beats_baseline:
            won.discard(task)
    for task, row in metrics.items():
        if isinstance(row, dict):
            print(f"{task:10} PSNR {row['psnr_ours']:.2f} ({row['baseline']} {row['psnr_baseline']:.2f})  "
                  f"FD {row['fd_ours']:.3g} ({row['fd_baseline']:.3g}, floor {row['fd_floor']:.3g})")
    write_result(options.output, metrics, started)
    sys.exit(0 if options.quick or won == set(TARGETS) else 1)


if __name__ == "__main__":
    main()
