"""Class-conditional diffusion of Fashion-MNIST: ours against diffusers, the same minutes on a core each, side by side.

    python -m benchmarks.fashion_vs_diffusers --minutes 30

Both train at the same moment, each pinned to a core of its own, on the same images and classes; both are sampled in
several ways and measured on the same classifier's features against the same test images. Writes
benchmarks/results/fashion_vs_diffusers.json: fd_ours and fd_peer (each by its best sampler), the distances by sampler,
train_images_per_second_ratio, and sample_images_per_second_ratio: ours by the cheapest sampler that reaches the peer's
best distance against the peer by its cheapest within 5 % of its best. Ratios are medians over paired slices.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from apps.image.codec import ImageCodec
from apps.image.data import ImageModel
from apps.image.domain import DOMAIN
from apps.image.metrics import classifier
from benchmarks import diffusers_peer as peer
from benchmarks.paired import ratio, side_by_side, version
from benchmarks.results_file import FOLDER, write_plain_json, write_result
from benchmarks.training import parameter_count, shortened, trained
from core.metrics.frechet import frechet_distance
from core.metrics.intervals import bootstrap
from core.runs.domain import Prepared
from core.runs.pretrained import build, load
from core.training.optimizers import PlayerOptimizer

# Sampler and steps, from the cheapest on.
OURS = (("dpmpp_2m", 6), ("dpmpp_2m", 8), ("dpmpp_2m", 12), ("dpmpp_2m", 20), ("heun", 18))
PEER = (("dpm", 20), ("dpm", 50), ("ddpm", 100))


def main() -> None:
    """Train both, measure both, write the file; exit code 1 if ours is not ahead."""
    parser = argparse.ArgumentParser(description="Diffusion of Fashion-MNIST against diffusers.")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--samples", type=int, default=400)
    parser.add_argument("--run", type=Path, help="keep the runs here; the same folder continues")
    parser.add_argument("--output", type=Path, default=FOLDER / "fashion_vs_diffusers.json")
    parser.add_argument("--quick", action="store_true", help="a few steps of both: checks the benchmark")
    parser.add_argument("--worker", choices=("ours", "peer"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.quick:
        options.minutes, options.samples = 0.002, 30
    if options.worker:
        torch.set_num_threads(1)
        work(options.worker, options.run, options.minutes, options.quick)
        return
    started = time.time()
    with tempfile.TemporaryDirectory() as scratch:
        home = (options.run or Path(scratch)).absolute()
        home.mkdir(parents=True, exist_ok=True)
        both(home, options.minutes, options.quick)
        metrics = measured(home, options.samples, OURS[:1] if options.quick else OURS,
                           (("dpm", 4),) if options.quick else PEER, 1 if options.quick else 7)
    metrics |= {"minutes": options.minutes, "samples": options.samples}
    write_result(options.output, metrics, started)
    print(json.dumps(metrics, indent=2))
    ahead = metrics["fd_ours"] < metrics["fd_peer"] and (metrics["sample_images_per_second_ratio"] or 0) >= 5
    sys.exit(0 if ahead or options.quick else 1)


def both(home: Path, minutes: float, quick: bool) -> None:
    """Train ours and the peer at the same moment, a core each."""
    names = [name for name in ("ours", "peer") if not (home / name / "facts.json").exists()]
    side_by_side([
        [sys.executable, "-m", "benchmarks.fashion_vs_diffusers", "--worker", name, "--run", str(home),
         "--minutes", str(minutes), *(["--quick"] if quick else [])]
        for name in names
    ])


def work(name: str, home: Path, minutes: float, quick: bool) -> None:
    """One of the two trainings, in a process of its own."""
    recipe = DOMAIN.recipe("fashion-diffusion")
    if name == "peer":
        peer.train(DOMAIN.prepare(recipe.data).train, home / name, minutes)
        return
    cpu = time.process_time()
    if quick:
        model, seconds = trained(DOMAIN, shortened(recipe), home / "run")
    else:
        model, seconds = trained(DOMAIN, recipe, home / "run", minutes)
    steps, batch = model.recipe.train.steps, model.recipe.train.batch_size
    facts = {"steps": steps, "images": steps * batch, "seconds": seconds, "cpu_seconds": time.process_time() - cpu}
    write_plain_json(home / name / "facts.json", facts)


Ways = tuple[tuple[str, int], ...]


def measured(home: Path, samples: int, ours_by: Ways, peer_by: Ways, pairs: int) -> dict[str, Any]:
    """Distances of both by sampler and steps, and how fast they train and sample: medians of so many pairs."""
    torch.set_num_threads(1)
    ours, theirs = load(home / "run", DOMAIN), peer.load(home / "peer")
    prepared = DOMAIN.prepare(ours.recipe.data)
    space = classifier(ours.recipe.data, prepared)
    test = space.features(prepared.test.batch(np.arange(len(prepared.test))).x.numpy())
    train = prepared.train.batch(np.arange(samples)).x.numpy()
    picks = np.random.default_rng(0).integers(len(prepared.test), size=samples)
    classes = prepared.test.batch(picks).condition["class"]

    def draw_ours(count: int, way: tuple[str, int]) -> np.ndarray:
        condition = {"class": classes[:count]}
        return ours.sample_batch(count, condition=condition, solver=way[0], num_steps=way[1]).x.numpy()

    def draw_theirs(count: int, way: tuple[str, int]) -> np.ndarray:
        return peer.sample(theirs, classes[:count], *way)

    def distance(x: np.ndarray) -> tuple[float, tuple[float, float]]:
        drawn = space.features(np.round((x.clip(-1, 1) + 1) * 127.5) / 127.5 - 1)
        value = frechet_distance(test, drawn)
        return value, bootstrap(frechet_distance, test, drawn, n=30, paired=False, around=value)

    curves = {name: {way: distance(draw(samples, way)) for way in ways}
              for name, draw, ways in (("ours", draw_ours, ours_by), ("peer", draw_theirs, peer_by))}
    best = {name: min(curve, key=lambda way: curve[way][0]) for name, curve in curves.items()}
    fd_ours, fd_peer = (curves[name][best[name]][0] for name in ("ours", "peer"))
    reaching = [way for way in ours_by if curves["ours"][way][0] <= fd_peer]
    frugal = next(way for way in peer_by if curves["peer"][way][0] <= 1.05 * fd_peer)
    speeds = None if not reaching else ratio(
        lambda: len(draw_ours(min(256, samples), reaching[0])), lambda: len(draw_theirs(25, frugal)), pairs)
    facts = {name: json.loads((home / name / "facts.json").read_text()) for name in ("ours", "peer")}
    return {
        "fd_ours": fd_ours, "fd_peer": fd_peer, "fd_floor": frechet_distance(test, space.features(train)),
        "fd_ours_interval": curves["ours"][best["ours"]][1], "fd_peer_interval": curves["peer"][best["peer"]][1],
        "train_images_per_second_ratio": training_ratio(ours, prepared, pairs),
        "sample_images_per_second_ratio": speeds,
        "sampler_ours": _words(reaching[0]) if reaching else None, "sampler_peer": _words(frugal),
        "fd_by_sampler": {name: {_words(way): value for way, (value, _) in curve.items()}
                          for name, curve in curves.items()},
        "parameters_ours": parameter_count(ours.family),
        "parameters_peer": sum(p.numel() for p in theirs.parameters()),
        "training": facts, "classifier_test_accuracy": space.test_accuracy,
        "peer": {"package": f"diffusers {version('diffusers')}", "settings": " ".join((peer.__doc__ or "").split())},
    }


def _words(way: tuple[str, int]) -> str:
    return f"{way[0]}, {way[1]} steps"


def training_ratio(ours: ImageModel, prepared: Prepared[ImageCodec], pairs: int) -> float:
    """Images a second in training, ours over the peer's, each at its own settings; optimisers included."""
    recipe = ours.recipe
    family = build(DOMAIN, recipe, prepared.codec, torch.device("cpu")).family.train()
    network = peer.network()
    optimizer = PlayerOptimizer(family.named_parameters(), recipe.train)
    adamw = torch.optim.AdamW(network.parameters(), lr=1e-4)

    def one_of_ours() -> int:
        batch = prepared.train.batch(np.arange(recipe.train.batch_size))
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            loss = family(batch).value
        loss.backward()
        optimizer.step(1e-4, torch.zeros(()))
        return len(batch)

    def one_of_theirs() -> int:
        batch = prepared.train.batch(np.arange(peer.BATCH))
        adamw.zero_grad()
        times = torch.randint(0, 1000, (len(batch),))
        network(batch.x, times, class_labels=batch.condition["class"]).sample.square().mean().backward()
        adamw.step()
        return len(batch)

    return ratio(one_of_ours, one_of_theirs, pairs)


if __name__ == "__main__":
    main()
