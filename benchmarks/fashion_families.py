"""Four families on Fashion-MNIST by class, at most 30 minutes of training each, measured on 10,000 samples.

    python -m benchmarks.fashion_families

Writes benchmarks/results/fashion_families.json: for each family fd (Fréchet distance on the features of a classifier of
Fashion-MNIST, not Inception's), its interval and fd_floor (10,000 real training images instead of samples), precision,
recall, density, coverage (Naeem et al. 2002.09797), cas (classification accuracy score) with its floor, samples a
second and training seconds. The classifier's test accuracy is in the file.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from apps.image.domain import DOMAIN
from apps.image.metrics import classifier
from benchmarks.results_file import FOLDER, write_result
from benchmarks.training import parameter_count, shortened, trained
from core.runs.run import Run, evaluate

FAMILIES = ("vae", "gan", "diffusion", "autoregressive")


def main() -> None:
    """Train what is not trained, measure it, print a table, write the file."""
    parser = argparse.ArgumentParser(description="Four families on Fashion-MNIST.")
    parser.add_argument("--minutes", type=float, help="of training each, instead of the recipes' steps")
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--families", default=",".join(FAMILIES))
    parser.add_argument("--run", type=Path, help="keep the runs here; the same folder continues")
    parser.add_argument("--output", type=Path, default=FOLDER / "fashion_families.json")
    parser.add_argument("--quick", action="store_true", help="a few steps and samples: checks the benchmark")
    options = parser.parse_args()
    if options.quick:
        options.samples, options.families = 60, "gan,diffusion"
    started = time.time()
    metrics: dict[str, Any] = {"samples": options.samples}
    with tempfile.TemporaryDirectory() as scratch:
        for family in options.families.split(","):
            folder = (options.run or Path(scratch)) / f"fashion-{family}"
            recipe = DOMAIN.recipe(f"fashion-{family}")
            model, seconds = trained(DOMAIN, shortened(recipe) if options.quick else recipe, folder, options.minutes)
            prepared = DOMAIN.prepare(model.recipe.data)
            measures = {m.name: m for m in evaluate(
                DOMAIN, Run(folder), n=options.samples, model=model, prepared=prepared)}
            network = classifier(model.recipe.data, prepared)
            distance, score = measures["fd_fashion_cnn"], measures["classification_accuracy_score"]
            row = {
                "fd": distance.value, "fd_interval": distance.interval, "fd_floor": distance.floor,
                "fd_gaussian": distance.baseline,
                **{key: measures[key].value for key in ("precision", "recall", "density", "coverage")},
                "cas": score.value, "cas_interval": score.interval, "cas_floor": score.floor,
                "class_accuracy": measures["class_accuracy"].value,
                "samples_per_second": measures["samples_per_second"].value,
                "near_copies_of_training": measures["near_copies_of_training"].value,
                "training_seconds": round(seconds, 1), "steps": model.recipe.train.steps,
                "parameters": parameter_count(model.family),
            }
            metrics |= {family: row, "classifier_test_accuracy": network.test_accuracy}
            print(f"{family:15} " + "  ".join(f"{key} {value:.3g}" for key, value in row.items()
                                              if isinstance(value, float)), flush=True)
    write_result(options.output, metrics, started)


if __name__ == "__main__":
    main()
