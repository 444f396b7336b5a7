"""Translation: German to English of Multi30k, measured by sacrebleu on test_2016_flickr.

    python -m benchmarks.multi30k

Trains recipe translate-de-en and writes benchmarks/results/multi30k.json: bleu_de_en and its interval over sentences,
chrf_de_en, their signatures, the same by greedy decoding, training seconds. Published for this task (Elliott et al.
1605.00459 and later ones): recurrent 28.1, convolutional 34.1, transformer 36.5.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from apps.text import sources
from apps.text.domain import DOMAIN
from apps.text.pairs import translate
from apps.text.translation_metrics import corpus_bleu, corpus_chrf
from benchmarks.results_file import FOLDER, write_result
from benchmarks.training import parameter_count, shortened, trained

TARGET = 33.0
SHOWN = 12


def main() -> None:
    """Train, translate, print, write; exit code 1 where the target is missed."""
    parser = argparse.ArgumentParser(description="German to English of Multi30k.")
    parser.add_argument("--minutes", type=float, help="of training, instead of the recipe's steps")
    parser.add_argument("--run", type=Path, help="keep the run here; the same folder continues")
    parser.add_argument("--sentences", type=int, default=1000)
    parser.add_argument("--output", type=Path, default=FOLDER / "multi30k.json")
    parser.add_argument("--quick", action="store_true", help="a few steps and sentences: checks the benchmark")
    options = parser.parse_args()
    if options.quick:
        options.sentences = 8
    started = time.time()
    with tempfile.TemporaryDirectory() as scratch:
        recipe = DOMAIN.recipe("translate-de-en")
        recipe = shortened(recipe) if options.quick else recipe
        before = time.process_time()
        model, seconds = trained(DOMAIN, recipe, options.run or Path(scratch), options.minutes)
        metrics: dict[str, Any] = {
            "training_seconds": round(seconds, 1), "training_core_seconds": round(time.process_time() - before, 1),
            "steps": model.recipe.train.steps, "parameters": parameter_count(model.family),
        }
        pairs = sources.pairs(model.recipe.data)["test"][: options.sentences]
        given, wanted = [source for source, _ in pairs], [target for _, target in pairs]
        clock = time.perf_counter()
        made = translate(model, given, beams=5)
        metrics["sentences_per_second"] = round(len(made) / (time.perf_counter() - clock), 2)
        greedy = translate(model, given, beams=1)
    bleu, chrf = corpus_bleu(made, wanted), corpus_chrf(made, wanted)
    metrics |= {
        "sentences": bleu.count, "beams": 5, "bleu_de_en": bleu.value, "bleu_de_en_interval": bleu.interval,
        "bleu_signature": bleu.signature, "chrf_de_en": chrf.value, "chrf_de_en_interval": chrf.interval,
        "chrf_signature": chrf.signature, "bleu_de_en_greedy": corpus_bleu(greedy, wanted).value,
        "bleu_de_en_lowercase": corpus_bleu(made, wanted, lowercase=True).value,
        "examples": [{"source": s, "translation": m, "reference": t}
                     for s, m, t in zip(given[:SHOWN], made, wanted, strict=False)],
    }
    print(f"BLEU {bleu.value:.2f} {bleu.interval}, chrF {chrf.value:.2f}, greedy {metrics['bleu_de_en_greedy']:.2f}")
    write_result(options.output, metrics, started)
    sys.exit(0 if bleu.value >= TARGET or options.quick else 1)


if __name__ == "__main__":
    main()
