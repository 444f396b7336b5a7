"""tinyshakespeare by characters: ours against nanoGPT's CPU recipe, the same minutes on a core each, side by side.

    python -m benchmarks.shakespeare

Trains recipe tinyshakespeare-autoregressive for 15 minutes while the peer trains for 15 on another core, then for 60,
then tinyshakespeare-diffusion for 60 and from there for 30 more at half the rate, and writes
benchmarks/results/shakespeare.json: nats_per_char_15min, nats_per_char_60min, peer_nats_per_char_15min,
diffusion_to_autoregressive_nll (a bound, the last one, over an exact value), both curves, and
train_tokens_per_second_ratio: networks of the peer's size in the peer's batches, ours over the peer's, the median of
paired slices. Published: nanoGPT 1.88 by this recipe, 1.4697 on an A100.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from apps.text import sources
from apps.text.data import TextModel
from apps.text.domain import DOMAIN
from benchmarks import nanogpt_peer as peer
from benchmarks.paired import ratio, side_by_side, version
from benchmarks.results_file import FOLDER, write_plain_json, write_result
from benchmarks.training import parameter_count, seconds_a_step, shortened, trained
from core.metrics.intervals import bootstrap
from core.runs.pretrained import build
from core.training.optimizers import PlayerOptimizer

TARGETS = {"nats_per_char_15min": 1.60, "nats_per_char_60min": 1.50}
POINTS = 10  # of the curves
# Where each training's steps come from: the recipe's name, and minutes as a share of --minutes.
RUNS = {"ours_15": ("tinyshakespeare-autoregressive", 0.25), "ours_60": ("tinyshakespeare-autoregressive", 1.0),
        "diffusion_60": ("tinyshakespeare-diffusion", 1.0), "peer_15": ("", 0.25),
        "diffusion_more": ("tinyshakespeare-diffusion", 0.5)}


def main() -> None:
    """Train, measure, print, write; exit code 1 where a target is missed."""
    parser = argparse.ArgumentParser(description="tinyshakespeare by characters, against nanoGPT's CPU recipe.")
    parser.add_argument("--minutes", type=float, default=60, help="of the long trainings; the short take a quarter")
    parser.add_argument("--run", type=Path, help="keep the runs here; the same folder continues")
    parser.add_argument("--only", nargs="*", choices=tuple(RUNS), help="train and measure these")
    parser.add_argument("--windows", type=int, help="measure on so many windows of the held-out text instead of all")
    parser.add_argument("--output", type=Path, default=FOLDER / "shakespeare.json")
    parser.add_argument("--quick", action="store_true", help="a few steps of all: checks the benchmark")
    parser.add_argument("--worker", choices=tuple(RUNS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.quick:
        options.minutes, options.windows = 0.04, 4
    if options.worker:
        torch.set_num_threads(1)
        work(options.worker, options)
        return
    started = time.time()
    names = options.only or tuple(RUNS)
    metrics: dict[str, Any] = {}
    if options.only and options.output.exists():
        metrics = json.loads(options.output.read_text())["metrics"]
    with tempfile.TemporaryDirectory() as scratch:
        home = (options.run or Path(scratch)).absolute()
        home.mkdir(parents=True, exist_ok=True)
        for end in ("15", "60", "more"):
            train_all(home, options, [name for name in names if name.endswith(end)])
        facts = {name: json.loads((home / name / "facts.json").read_text()) for name in names}
    metrics |= {"training": {**metrics.get("training", {}), **facts}}
    facts = metrics["training"]
    for key, name in (("nats_per_char_15min", "ours_15"), ("nats_per_char_60min", "ours_60"),
                      ("peer_nats_per_char_15min", "peer_15"), ("diffusion_bound_nats_per_char", "diffusion_60"),
                      ("diffusion_bound_nats_per_char", "diffusion_more")):
        if name in facts:
            metrics[key] = facts[name]["nats"]
    last = next((facts[name] for name in ("diffusion_more", "diffusion_60") if name in facts), None)
    if last is not None and "ours_60" in facts:
        metrics["diffusion_to_autoregressive_nll"] = last["nats"] / facts["ours_60"]["nats"]
    if "peer_15" in names:
        metrics["train_tokens_per_second_ratio"] = training_ratio(1, 2) if options.quick else training_ratio(9, 20)
        metrics["peer"] = {"package": f"transformers {version('transformers')}",
                           "settings": " ".join((peer.__doc__ or "").split())}
    write_result(options.output, metrics, started)
    print(json.dumps({key: value for key, value in metrics.items() if key != "training"}, indent=2))
    for name in names:
        row = facts[name]
        curve = row.get("curve") or row["training_loss_curve"]
        print(f"{name}: {row['characters'] / max(1e-9, row['seconds']):.0f} characters a second; seconds, nats: "
              + ", ".join(f"{seconds:.0f} {nats:.3f}" for seconds, nats in curve))
    met = all(metrics.get(key, 0) <= target for key, target in TARGETS.items())
    sys.exit(0 if met or options.quick else 1)


def train_all(home: Path, options: argparse.Namespace, names: Sequence[str]) -> None:
    """Train each that is not trained yet, all at the same moment, a core each."""
    more = [*(["--quick"] if options.quick else []), *(["--windows", str(options.windows)] if options.windows else [])]
    side_by_side([
        [sys.executable, "-m", "benchmarks.shakespeare", "--worker", name, "--run", str(home),
         "--minutes", str(options.minutes), *more]
        for name in names if not (home / name / "facts.json").exists()
    ])


def work(name: str, options: argparse.Namespace) -> None:
    """One training, in a process of its own; leaves facts.json."""
    recipe_name, share = RUNS[name]
    recipe = DOMAIN.recipe(recipe_name or "tinyshakespeare-autoregressive")
    home, minutes = options.run, share * options.minutes
    texts = sources.documents(recipe.data)
    if name == "peer_15":
        peer.train(texts["train"][0], texts["validation"][0], home / name, minutes, POINTS)
        return
    recipe = DOMAIN.override(shortened(recipe), ["data.length=64"]) if options.quick else recipe
    steps = 2 if options.quick else max(2, round(60 * minutes / seconds_a_step(DOMAIN, recipe)))
    every = max(1, steps // POINTS)
    recipe = replace(recipe, train=replace(recipe.train, steps=steps, checkpoint_every=every))
    if name == "diffusion_more":
        rate = recipe.train.learning_rate / 2
        recipe = replace(recipe, start=str(home / "diffusion_60" / "run"),
                         train=replace(recipe.train, learning_rate=rate, schedule="cosine"))
    cpu = time.process_time()
    model, seconds = trained(DOMAIN, recipe, home / name / "run")
    nats, interval = measured(model, options.windows)
    steps = model.recipe.train.steps  # of a run that was there, its own
    rows = [row for row in map(json.loads, _log(home / name / "run")) if "loss" in row]
    curve = [(row["seconds"], row["loss"]["model"]) for row in rows[:: max(1, len(rows) // POINTS)]]
    facts = {
        "nats": nats, "interval": interval, "likelihood": model.family.likelihood, "steps": steps,
        "characters": steps * recipe.train.batch_size * model.codec.length,
        "seconds": seconds, "cpu_seconds": time.process_time() - cpu, "training_loss_curve": curve,
        "parameters": parameter_count(model.family),
        "sample": model.sample(1, seed=0)[0],
    }
    write_plain_json(home / name / "facts.json", facts)


def _log(run: Path) -> list[str]:
    return (run / "log.jsonl").read_text().splitlines()


def measured(model: TextModel, windows: int | None) -> tuple[float, tuple[float, float]]:
    """Nats per character of the last tenth, in windows side by side, each from nothing before it; over windows."""
    test = DOMAIN.prepare(model.recipe.data).test
    nats = model.bound(test, windows, batch_size=32).numpy() / test.x.shape[1]
    return float(nats.mean()), bootstrap(np.mean, nats)


def training_ratio(pairs: int, steps: int) -> float:
    """Characters a second in training at the peer's size and batches, ours over the peer's, optimisers included."""
    torch.set_num_threads(1)
    recipe = DOMAIN.recipe("tinyshakespeare-autoregressive")
    small = DOMAIN.override(recipe, [
        f"data.length={peer.WINDOW}", f"train.batch_size={peer.BATCH}", "family.model.width=128",
        "family.model.depth=4", "family.model.heads=4", "family.model.dropout=0.0",
    ])
    prepared = DOMAIN.prepare(small.data)
    family = build(DOMAIN, small, prepared.codec, torch.device("cpu")).family.train()
    optimizer = PlayerOptimizer(family.named_parameters(), small.train)
    text = torch.tensor(list(sources.documents(small.data)["train"][0][:100_000].encode()))
    network, draws = peer.network(128), torch.Generator().manual_seed(0)
    adamw = peer.new_optimizer(network)

    def ours() -> int:
        for step in range(steps):
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16):
                loss = family(prepared.train.batch(np.arange(step, step + peer.BATCH))).value
            loss.backward()
            optimizer.step(1e-4, torch.zeros(()))
        return steps * peer.BATCH * peer.WINDOW

    return ratio(ours, lambda: sum(peer.one_step(network, adamw, text, draws) for _ in range(steps)), pairs)


if __name__ == "__main__":
    main()
