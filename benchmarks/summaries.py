"""Summaries: package descriptions to their one-line synopsis, ROUGE against extracted sentences.

    python -m benchmarks.summaries

Trains recipe summarize-descriptions and writes benchmarks/results/summaries.json: rouge1, rouge2 and rougeL (means of
F-measures in percent) of the model, of the first sentence (whole, and cut to `WORDS` words, the stronger baseline) and
of the sentence nearest its document by tf-idf, with intervals over examples, and twenty examples.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from apps.text import sources
from apps.text.domain import DOMAIN
from apps.text.pairs import summarize
from apps.text.summary_metrics import CentroidExtractor, lead_one, rouge
from benchmarks.results_file import FOLDER, write_result
from benchmarks.training import parameter_count, shortened, trained
from core.metrics.intervals import bootstrap

SHOWN = 20
WORDS = 14  # of the first sentence: the best ROUGE-L of several on the validation split


def main() -> None:
    """Train, summarise, print, write; exit code 1 where a baseline is not beaten."""
    parser = argparse.ArgumentParser(description="Summaries of package descriptions.")
    parser.add_argument("--minutes", type=float, help="of training, instead of the recipe's steps")
    parser.add_argument("--run", type=Path, help="keep the run here; the same folder continues")
    parser.add_argument("--documents", type=int, help="measure on so many of the test split instead of all")
    parser.add_argument("--output", type=Path, default=FOLDER / "summaries.json")
    parser.add_argument("--quick", action="store_true", help="a few steps and documents: checks the benchmark")
    options = parser.parse_args()
    if options.quick:
        options.documents = 10
    started = time.time()
    with tempfile.TemporaryDirectory() as scratch:
        recipe = DOMAIN.recipe("summarize-descriptions")
        recipe = shortened(recipe) if options.quick else recipe
        before = time.process_time()
        model, seconds = trained(DOMAIN, recipe, options.run or Path(scratch), options.minutes)
        core_seconds = time.process_time() - before
        pairs = sources.pairs(model.recipe.data)
        test = pairs["test"][: options.documents]
        given, wanted = [source for source, _ in test], [target for _, target in test]
        made = summarize(model, given)
    extractor = CentroidExtractor.fit([source for source, _ in pairs["train"]])
    texts = {
        "model": made, "first_sentence": [lead_one(text) for text in given],
        f"first_{WORDS}_words": [lead_one(text, WORDS) for text in given], "tf_idf": extractor.summarize(given),
        f"tf_idf_{WORDS}_words": extractor.summarize(given, WORDS),
    }
    known = {target for _, target in pairs["train"]}
    metrics: dict[str, Any] = {
        "documents": len(test), "training_seconds": round(seconds, 1), "training_core_seconds": round(core_seconds, 1),
        "steps": model.recipe.train.steps, "parameters": parameter_count(model.family),
        "summaries_that_are_training_targets": float(np.mean([text in known for text in made])),
        "test_targets_that_are_training_targets": float(np.mean([text in known for text in wanted])),
    }
    for name, some in texts.items():
        scores = rouge(some, wanted)
        metrics[name] = {
            key: {"value": float(values.mean()), "interval": bootstrap(np.mean, values)}
            for key, values in scores.items()
        }
        print(f"{name:20} " + " ".join(f"{key} {row['value']:.1f}" for key, row in metrics[name].items()))
    metrics["examples"] = [{"description": g, "summary": m, "reference": w}
                           for g, m, w in zip(given[:SHOWN], made, wanted, strict=False)]
    write_result(options.output, metrics, started)
    ahead = all(metrics["model"][key]["value"] > metrics[name][key]["value"]
                for name in texts if name != "model" for key in metrics["model"])
    sys.exit(0 if ahead or options.quick else 1)


if __name__ == "__main__":
    main()
