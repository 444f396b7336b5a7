"""Code: how many generated top-level definitions are Python, against a 5-gram of the same tokens, and what is copied.

    python -m benchmarks.code_generation

Trains recipe code-autoregressive on Python's standard library and writes benchmarks/results/code_generation.json:
definitions_that_parse of the model (at the recipe's temperature, and by temperature), of a 5-gram (at temperature 1)
and of held-out modules cut as long (the ceiling), each with a 95 % interval; bits per byte; and the share of n-grams of
words (n = 4, 8, 16) that occur in the training text, of samples and of held-out text.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from apps.text.code_metrics import definitions, parsed_definitions, parses
from apps.text.data import documents
from apps.text.domain import DOMAIN
from apps.text.generation import generate
from apps.text.metrics import bits_per_byte
from apps.text.sample_metrics import memorization, share
from benchmarks.results_file import FOLDER, write_result
from benchmarks.training import parameter_count, shortened, trained
from core.metrics.intervals import bootstrap, wilson
from core.metrics.ngrams import NGramModel

TARGET = 0.7
NGRAM = 5
TEMPERATURES = (1.0, 0.8, 0.7, 0.6)
SHOWN = 4
SEED = 1  # the recipe's temperature was chosen by the texts of seed 0


def main() -> None:
    """Train, generate, measure, write; exit code 1 where the target is missed."""
    parser = argparse.ArgumentParser(description="Generated Python, parsed.")
    parser.add_argument("--minutes", type=float, help="of training, instead of the recipe's steps")
    parser.add_argument("--run", type=Path, help="keep the run here; the same folder continues")
    parser.add_argument("--texts", type=int, default=300)
    parser.add_argument("--tokens", type=int, default=400, help="of each text")
    parser.add_argument("--output", type=Path, default=FOLDER / "code_generation.json")
    parser.add_argument("--quick", action="store_true", help="a few steps and texts: checks the benchmark")
    options = parser.parse_args()
    if options.quick:
        options.texts, options.tokens = 4, 40
    started = time.time()
    with tempfile.TemporaryDirectory() as scratch:
        recipe = DOMAIN.recipe("code-autoregressive")
        model, seconds = trained(DOMAIN, shortened(recipe) if options.quick else recipe, options.run or Path(scratch),
                                 options.minutes)
    codec, data = model.codec, model.recipe.data
    prepared, texts = DOMAIN.prepare(data), documents(data)
    own = recipe.sample.temperature or 1.0
    sweep = {
        temperature: generate(model, "\n\ndef ", options.texts, length=options.tokens, seed=SEED,
                              temperature=temperature)
        for temperature in ((own,) if options.quick else TEMPERATURES)
    }
    made = sweep[own]
    ngram = NGramModel.fit(prepared.train.x[:: codec.length], NGRAM, codec.space.vocab)
    rows = ngram.sample(options.texts, options.tokens, 0)[0]
    size = int(np.mean([len(text) for text in made]))
    held_out = [text[at : at + size] for text in texts["test"] for at in range(0, len(text) - size, 4 * size)]
    compared = {"model": made, f"{NGRAM}_gram": [codec.text(row) for row in rows.tolist()],
                "held_out": held_out[: 4 * options.texts]}
    test = prepared.test.subset(slice(4 if options.quick else 400))
    nats = model.bound(test, batch_size=50).numpy()
    metrics: dict[str, Any] = {
        "training_seconds": round(seconds, 1), "steps": model.recipe.train.steps,
        "parameters": parameter_count(model.family), "texts": options.texts,
        "tokens": options.tokens, "temperature": own,
        "bits_per_byte": bits_per_byte(nats, codec.byte_counts[test.x].sum(1)),
    }
    for name, some in compared.items():
        rate, metrics[f"definitions_that_parse_{name}_interval"], metrics[f"definitions_{name}"] = parsed(some)
        metrics[f"definitions_that_parse_{name}"] = rate
    metrics["definitions_that_parse_by_temperature"] = {f"{t:g}": parsed(some)[:2] for t, some in sweep.items()}
    copied = memorization(made, held_out[: options.texts], texts["train"], (4, 8, 16))
    for n, (ours, real) in copied.items():
        metrics[f"copied_{n}_grams"] = {"samples": share(ours), "interval": bootstrap(share, ours),
                                        "held_out": share(real)}
    whole = [definition for text in made for definition in definitions(text)]
    metrics["examples"] = [definition for definition in whole if parses(definition)][:SHOWN]
    print({key: value for key, value in metrics.items() if key != "examples"})
    write_result(options.output, metrics, started)
    sys.exit(0 if metrics["definitions_that_parse_model"] >= TARGET or options.quick else 1)


def parsed(texts: list[str]) -> tuple[float, tuple[float, float], int]:
    """The share of whole definitions that are Python, its interval, and how many definitions there are."""
    right, count = (int(number) for number in parsed_definitions(texts).sum(0))
    return right / max(1, count), wilson(right, max(1, count)), count


if __name__ == "__main__":
    main()
