"""Texygen's COCO captions by three families: likelihood of a sentence VAE, quality against diversity of a GAN.

    python -m benchmarks.captions

Trains recipes coco-autoregressive, coco-vae and coco-gan and writes benchmarks/results/captions.json: exact nats a
sentence of the autoregressive model, the VAE's importance-weighted bound, its KL and active units (Burda et al.
1509.00519), interpolations; the bound of that VAE without free nats, which may leave its latent unused: what word
dropout, which regularises a VAE's decoder, reaches alone; BLEU-2 to 5 against held-out captions and self-BLEU-2 to 5
of as many samples of the GAN, of the maximum-likelihood model at several temperatures (as Caccia et al. 1811.02549
ask), and of real captions; and by order whether a GAN's point lies on or above the line through those temperatures: not
more self-BLEU at its BLEU.
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

from apps.text import sources
from apps.text.data import TextModel
from apps.text.domain import DOMAIN
from apps.text.latents import interpolate
from apps.text.sample_metrics import sample_bleu, self_bleu
from apps.text.text_data import TextData
from benchmarks.results_file import FOLDER, write_result
from benchmarks.training import parameter_count, shortened, trained
from core.data.arrays import ArrayData
from core.families.vae import VAE
from core.metrics.intervals import bootstrap
from core.runs.recipe import Recipe
from core.seeds import generator

ORDERS = (2, 3, 4, 5)
TEMPERATURES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1)
PAIRS = (("a man riding a wave on a surfboard.", "a kitchen with a stove and a refrigerator."),
         ("a cat sitting on top of a car.", "two people on a motorcycle in the street."))


def main() -> None:
    """Train, measure, print, write; exit code 1 where the VAE or the GAN falls behind."""
    parser = argparse.ArgumentParser(description="Texygen's COCO captions by three families.")
    parser.add_argument("--minutes", type=float, help="of each training, instead of the recipes' steps")
    parser.add_argument("--run", type=Path, help="keep the runs here; the same folder continues")
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--sentences", type=int, default=1000, help="whose likelihood is measured")
    parser.add_argument("--importance-samples", type=int, default=200)
    parser.add_argument("--output", type=Path, default=FOLDER / "captions.json")
    parser.add_argument("--quick", action="store_true", help="a few steps and samples: checks the benchmark")
    options = parser.parse_args()
    if options.quick:
        options.samples, options.sentences, options.importance_samples = 20, 8, 2
    started = time.time()
    metrics: dict[str, Any] = {"samples": options.samples, "sentences": options.sentences,
                               "importance_samples": options.importance_samples}
    models = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name, recipe in recipes().items():
            models[name], seconds = trained(DOMAIN, shortened(recipe) if options.quick else recipe,
                                            (options.run or Path(scratch)) / recipe.name, options.minutes)
            metrics[f"{name}_training_seconds"] = round(seconds, 1)
            metrics[f"{name}_parameters"] = parameter_count(models[name].family)
    test = DOMAIN.prepare(models["vae"].recipe.data).test
    # The last ones: the recipes were chosen by the first thousand.
    sentences = test.subset(slice(-options.sentences, None))
    exact = models["autoregressive"].bound(sentences, batch_size=100).numpy()
    metrics |= {"autoregressive_nats": float(exact.mean()), "autoregressive_nats_interval": bootstrap(np.mean, exact)}
    for name in ("vae", "silent"):
        metrics |= likelihood(name, models[name], sentences, exact, options.importance_samples)
    metrics["interpolations"] = {"between": PAIRS} | {
        name: [interpolate(models[name], *pair) for pair in PAIRS] for name in ("vae", "gan")}
    temperatures = TEMPERATURES[:2] if options.quick else TEMPERATURES
    metrics["points"] = points(models, options.samples, temperatures)
    metrics["gan_on_or_above_the_line"] = {
        str(n): any(above(metrics["points"], point, n) for name, point in metrics["points"].items()
                    if name.startswith("gan")) for n in ORDERS
    }
    write_result(options.output, metrics, started)
    print(json.dumps({key: value for key, value in metrics.items() if key != "points"}, indent=2))
    met = metrics["vae_nats"] <= metrics["autoregressive_nats"] and any(metrics["gan_on_or_above_the_line"].values())
    sys.exit(0 if met or options.quick else 1)


def recipes() -> dict[str, Recipe[TextData]]:
    """What is trained; "silent" is the VAE that may leave its latent unused."""
    found = {name: DOMAIN.recipe(f"coco-{name}") for name in ("autoregressive", "vae", "gan")}
    found["silent"] = DOMAIN.override(found["vae"], ["name=coco-vae-silent", "family.free_bits=0.0"])
    return found


def likelihood(name: str, vae: TextModel, test: ArrayData, exact: np.ndarray, k: int) -> dict[str, Any]:
    """A VAE's nats a sentence, beside the autoregressive model's exact ones `[N]`, and what its latent holds."""
    family = vae.family
    assert isinstance(family, VAE)
    bounds, means, kls = [], [], []
    for index, start in enumerate(range(0, len(test), 100)):
        batch = test.batch(np.arange(start, min(start + 100, len(test)))).to(vae.device)
        bounds.append(family.importance_bound(batch, k, generator(vae.device, 0, index)).double().cpu().numpy())
        with torch.no_grad():
            mean, std = family.posterior(batch, family.conditioner(batch.condition, len(batch)))
        means.append(mean.cpu().numpy())
        kls.append((0.5 * (mean.square() + std.square() - 1) - std.log()).sum(1).cpu().numpy())
    bound, kl = np.concatenate(bounds), np.concatenate(kls)
    active = np.concatenate(means).var(0) > 0.01
    return {
        f"{name}_nats": float(bound.mean()), f"{name}_nats_interval": bootstrap(np.mean, bound),
        f"{name}_minus_autoregressive_interval": bootstrap(np.mean, bound - exact),
        f"{name}_kl": float(kl.mean()), f"{name}_active_units": float(active.mean()), f"{name}_latent": len(active),
    }


def points(
    models: dict[str, TextModel], count: int, temperatures: tuple[float, ...]
) -> dict[str, dict[str, float]]:
    """BLEU and self-BLEU by order: of both models by temperature, and of real captions."""
    lines = sources.lines(models["gan"].recipe.data)
    texts = {f"gan {t:g}": models["gan"].sample(count, seed=1, temperature=t) for t in temperatures}
    texts |= {f"likelihood {t:g}": models["autoregressive"].sample(count, seed=1, temperature=t) for t in temperatures}
    texts["real"] = lines["train"][:count]
    found = {}
    for name, some in texts.items():
        quality, alike = sample_bleu(some, lines["test"], ORDERS), self_bleu(some, ORDERS)
        found[name] = {f"bleu{n}": float(quality[n].mean()) for n in ORDERS}
        found[name] |= {f"self_bleu{n}": float(alike[n].mean()) for n in ORDERS}
        print(f"{name:16} " + " ".join(f"{key} {value:.3f}" for key, value in found[name].items()), flush=True)
    return found


def above(known: dict[str, dict[str, float]], point: dict[str, float], n: int) -> bool:
    """Whether a point, at a BLEU that the maximum-likelihood model has as well, has at most its self-BLEU there."""
    sweep = sorted((row[f"bleu{n}"], row[f"self_bleu{n}"]) for name, row in known.items()
                   if name.startswith("likelihood"))
    qualities = [quality for quality, _ in sweep]
    quality = point[f"bleu{n}"]
    if not qualities[0] <= quality <= qualities[-1]:
        return False
    return bool(point[f"self_bleu{n}"] <= np.interp(quality, qualities, [alike for _, alike in sweep]))


if __name__ == "__main__":
    main()
