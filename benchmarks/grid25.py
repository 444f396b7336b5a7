"""A GAN of two dimensions: 25 Gaussians on a grid, ten seeds.

    python -m benchmarks.grid25

The setting of PacGAN (Lin et al. 1712.04086, section 4.1; from VEEGAN): means on {-4, -2, 0, 2, 4}^2, sigma 0.05; 2,500
samples. Each belongs to its nearest mode and is of high quality within three sigma of it; a mode is found where a
sample of high quality belongs to it; reverse KL is that of the modes' shares among the samples to the uniform. PacGAN4
published 24.8 modes, 93.6 % and 0.04. Writes benchmarks/results/grid25.json: modes, high_quality, reverse_kl (means of
the seeds), their intervals, each seed, and the floor: the same of real samples.
"""

from __future__ import annotations

import argparse
import itertools
import math
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.results_file import FOLDER, write_result
from core.data.arrays import ArrayData
from core.families import GANConfig
from core.metrics import bootstrap
from core.networks import MLPConfig
from core.recipe import TrainConfig
from core.space import Continuous
from core.training.loop import train

CENTERS = np.array(list(itertools.product(range(-4, 5, 2), repeat=2)), float)
SIGMA, SCALE = 0.05, math.sqrt(8.0)  # SCALE: the grid's standard deviation, divided out for training
SAMPLES = 2500
STEPS = 12_000
NETWORK = MLPConfig(width=64, depth=3)
FAMILY = GANConfig(generator=NETWORK, critic=NETWORK, latent=2, gamma=0.01)
TRAIN = TrainConfig(
    steps=STEPS, batch_size=256, learning_rate=3e-3, betas=(0.0, 0.99), weight_decay=0.0, clip=0.0, schedule="cosine",
    ema_decay=0.998, checkpoint_every=STEPS,
)


def main() -> None:
    """Train and judge every seed, print a table, write the file; exit code 1 where a target is missed."""
    parser = argparse.ArgumentParser(description="A GAN of 25 Gaussians.")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--minutes", type=float, help="of training a seed, instead of the set steps")
    parser.add_argument("--output", type=Path, default=FOLDER / "grid25.json")
    parser.add_argument("--quick", action="store_true", help="one seed, a few steps: checks the benchmark")
    options = parser.parse_args()
    started = time.time()
    steps, seeds = (20, 1) if options.quick else (STEPS, options.seeds)
    if options.minutes is not None:
        _, seconds = run(0, 200)
        steps = max(20, round(200 * 60 * options.minutes / seconds))
    rows = []
    for seed in range(seeds):
        points, seconds = run(seed, steps)
        rows.append({**quality(points), "seconds": round(seconds, 1)})
        print(f"seed {seed}: " + "  ".join(f"{key} {value:.4g}" for key, value in rows[-1].items()), flush=True)
    metrics: dict[str, Any] = {"steps": steps, "samples": SAMPLES}
    real = [quality(draw(SAMPLES, 1000 + seed)) for seed in range(10)]
    for key in ("modes", "high_quality", "reverse_kl"):
        values = np.array([row[key] for row in rows])
        metrics |= {key: float(values.mean()), f"{key}_interval": bootstrap(np.mean, values),
                    f"{key}_floor": float(np.mean([row[key] for row in real]))}
        print(f"{key} {metrics[key]:.4g} {metrics[f'{key}_interval']} real {metrics[f'{key}_floor']:.4g}")
    write_result(options.output, metrics | {"seeds": rows}, started)
    met = metrics["modes"] == 25 and metrics["high_quality"] >= 0.95 and metrics["reverse_kl"] <= 0.04
    sys.exit(0 if met or options.quick else 1)


def draw(n: int, seed: int) -> np.ndarray:
    """Real points `[n, 2]`."""
    rng = np.random.default_rng(seed)
    return CENTERS[rng.integers(0, 25, n)] + SIGMA * rng.standard_normal((n, 2))


def run(seed: int, steps: int, family_config: GANConfig = FAMILY, config: TrainConfig = TRAIN) -> tuple[Any, float]:
    """Generated points `[SAMPLES, 2]` of one seed, and the seconds its training took."""
    space = Continuous(shape=(2,))
    torch.manual_seed(seed)
    family = family_config.build(space, {})
    data = ArrayData(space, (draw(100_000, seed) / SCALE).astype(np.float32))
    with tempfile.TemporaryDirectory() as scratch:
        settings = replace(config, steps=steps, checkpoint_every=steps)
        result = train(family, data, settings, Path(scratch), seed=seed)
    points = family.sample(SAMPLES, generator=torch.Generator().manual_seed(seed)).x.double().numpy() * SCALE
    return points, result.seconds


def quality(points: np.ndarray) -> dict[str, float]:
    """Modes found, share of high quality, and reverse KL (nats) of points `[N, 2]`."""
    distance = np.linalg.norm(points[:, None] - CENTERS, axis=2)
    mode, good = distance.argmin(1), distance.min(1) < 3 * SIGMA
    share = np.bincount(mode, minlength=25) / len(points)
    found = share[share > 0]
    return {"modes": float(len(np.unique(mode[good]))), "high_quality": float(good.mean()),
            "reverse_kl": float((found * np.log(25 * found)).sum())}


if __name__ == "__main__":
    main()
