"""Drawing tokens one by one: ours against transformers' GPT-2 of equal size, on one thread, in alternating slices.

    python -m benchmarks.decoding

Both have random weights, 256 kinds of token and a window of 256, and write whole windows from a start symbol at
temperature 1: `Autoregressive.sample` and `GPT2LMHeadModel.generate` with its key-value cache, alone and in a batch.
Each runs in float32 and in bfloat16 (ours under autocast, with `int8` for up to `FEW` rows; the peer with its weights
cast); the ratios are of each at the faster of its two, and of both in float32, as medians over the slices. Writes
benchmarks/results/decoding.json.

`--model`, a trained run of text, tells what lower precision costs: nats a token of held-out windows, one token at a
time, in float32, in bfloat16 and in bfloat16 with weights as int8 ("bytes").
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

from apps.text.data import TextModel
from apps.text.domain import DOMAIN
from benchmarks.results_file import FOLDER, write_result
from benchmarks.training import parameter_count
from core.families.autoregressive import Autoregressive, AutoregressiveConfig
from core.families.family import SampleSettings
from core.likelihood import categorical_nll
from core.metrics.intervals import bootstrap
from core.networks import TransformerConfig
from core.runs.pretrained import load
from core.spaces import Discrete

VOCAB, WINDOW = 256, 256
FULL = TransformerConfig(width=384, depth=6, heads=6)
SMALL = TransformerConfig(width=32, depth=2, heads=2)
FEW = 2  # rows up to which ours reads bfloat16 weights as int8: with more it is slower
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}

Draw = Callable[[int, int], object]
"""Draws so many rows of so many tokens."""


def main() -> None:
    """Time both, write the file, print the table."""
    parser = argparse.ArgumentParser(description="Decoding against transformers, on one thread.")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--slices", type=int, default=7)
    parser.add_argument("--model", type=Path, help="a text run, to tell what each precision costs in nats")
    parser.add_argument("--windows", type=int, default=64, help="of held-out text for --model")
    parser.add_argument("--output", type=Path, default=FOLDER / "decoding.json")
    parser.add_argument("--quick", action="store_true", help="a small model and few tokens: checks the benchmark")
    options = parser.parse_args()
    tokens = 8 if options.quick else WINDOW
    batch, slices = (2, 1) if options.quick else (options.batch, options.slices)
    torch.set_num_threads(1)
    started = time.time()
    ours, parameters = our_ways(SMALL if options.quick else FULL, tokens)
    theirs, parameters_peer = peer_ways(SMALL if options.quick else FULL)
    metrics = {
        **measured(ours, theirs, 1, tokens, slices, ""), **measured(ours, theirs, batch, tokens, slices, "_batch"),
        "batch": batch, "tokens": tokens, "vocab": VOCAB, "slices": slices, "threads": torch.get_num_threads(),
        "parameters": parameters, "parameters_transformers": parameters_peer,
        "transformers_version": metadata.version("transformers"), "torch_version": torch.__version__,
    }
    if options.model:
        metrics["nats_by_precision"] = nats_by_precision(load(options.model, DOMAIN), options.windows)
    write_result(options.output, metrics, started)
    print(table(metrics))


def our_ways(config: TransformerConfig, tokens: int) -> tuple[dict[str, Draw], int]:
    """Our model's sampling by precision, and its parameters."""
    family = AutoregressiveConfig(model=config).build(Discrete(length=tokens, vocab=VOCAB), {}).eval()
    draws = torch.Generator().manual_seed(0)

    def way(dtype: torch.dtype) -> Draw:
        half = dtype == torch.bfloat16

        def draw(rows: int, tokens: int) -> object:
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                return family.sample(rows, settings=SampleSettings(int8=half and rows <= FEW), draws=draws)

        return draw

    return {name: way(dtype) for name, dtype in PRECISIONS.items()}, parameter_count(family)


def peer_ways(config: TransformerConfig) -> tuple[dict[str, Draw], int]:
    """The peer's `generate` by precision, and its parameters; its embedding is its head, too."""
    from transformers import GPT2Config, GPT2LMHeadModel

    settings = GPT2Config(
        vocab_size=VOCAB + 1, n_positions=WINDOW + 1, n_embd=config.width, n_layer=config.depth, n_head=config.heads,
        bos_token_id=VOCAB, eos_token_id=None,
    )

    def way(dtype: torch.dtype) -> Draw:
        model: Any = GPT2LMHeadModel(settings)
        model = model.to(dtype).eval()

        def draw(rows: int, tokens: int) -> object:
            start = torch.full((rows, 1), VOCAB)
            return model.generate(
                start, attention_mask=torch.ones_like(start), do_sample=True, top_k=0, max_new_tokens=tokens,
                min_new_tokens=tokens, pad_token_id=VOCAB,
            )

        return draw

    parameters = sum(p.numel() for p in GPT2LMHeadModel(settings).parameters())
    return {name: way(dtype) for name, dtype in PRECISIONS.items()}, parameters


def measured(
    ours: dict[str, Draw], theirs: dict[str, Draw], rows: int, tokens: int, slices: int, suffix: str
) -> dict[str, Any]:
    """Tokens a second of every way, and ratios of ours to theirs; the first slice of each warms up."""
    rates: dict[tuple[str, str], list[float]] = {way: [] for way in itertools.product(("ours", "theirs"), PRECISIONS)}
    for _ in range(slices + 1):
        for who, precision in rates:
            clock = time.perf_counter()
            (ours if who == "ours" else theirs)[precision](rows, tokens)
            rates[who, precision].append(rows * tokens / (time.perf_counter() - clock))
    middle = {way: statistics.median(rate[1:]) for way, rate in rates.items()}

    def ratio(own: str, other: str) -> float:
        pairs = zip(rates["ours", own][1:], rates["theirs", other][1:], strict=True)
        return statistics.median(a / b for a, b in pairs)

    best, best_peer = (max(PRECISIONS, key=lambda name: middle[who, name]) for who in ("ours", "theirs"))
    return {
        f"tokens_per_second{suffix}": middle["ours", best],
        f"tokens_per_second_transformers{suffix}": middle["theirs", best_peer],
        f"ratio_to_transformers{suffix}": ratio(best, best_peer),
        f"ratio_to_transformers_float32{suffix}": ratio("float32", "float32"),
        f"precision{suffix}": best, f"precision_transformers{suffix}": best_peer,
        f"by_precision{suffix}": {f"{who} {name}": rate for (who, name), rate in middle.items()},
    }


def nats_by_precision(model: TextModel, windows: int) -> dict[str, dict[str, Any]]:
    """Nats a token of held-out windows by single steps, and how many more than in float32, with its interval."""
    x = DOMAIN.prepare(model.recipe.data).test.batch(np.arange(windows)).x
    assert isinstance(model.family, Autoregressive)
    network, vocab = model.family.network, model.codec.space.vocab
    found = {}
    for name, rows in (("float32", windows), ("bfloat16", windows), ("bytes", 1)):
        parts = []
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=name != "float32"):
            for some in x.split(rows):
                cache = network.new_cache(len(some), x.shape[1], x.device, int8=name == "bytes")
                start = torch.full_like(some[:, :1], vocab)
                given = torch.cat([start, some[:, :-1]], dim=1)
                logits = [network(given[:, t : t + 1], cache=cache) for t in range(x.shape[1])]
                parts.append(categorical_nll(torch.cat(logits, dim=1), some) / x.shape[1])
        found[name] = torch.cat(parts).double().numpy()
    return {name: {"nats": float(nats.mean()), "more_than_float32": float((nats - found["float32"]).mean()),
                   "more_than_float32_interval": bootstrap(np.mean, nats - found["float32"])}
            for name, nats in found.items()}


def table(metrics: dict[str, Any]) -> str:
    """The figures for people."""
    lines = [f"tokens/s on one thread, {metrics['parameters'] / 1e6:.1f} million parameters against "
             f"{metrics['parameters_transformers'] / 1e6:.1f} of transformers {metrics['transformers_version']}"]
    for rows, suffix in ((1, ""), (metrics["batch"], "_batch")):
        rates = json.dumps({way: round(rate) for way, rate in metrics[f"by_precision{suffix}"].items()})
        lines.append(f"batch {rows:3d}  {metrics[f'ratio_to_transformers{suffix}']:.2f} times the peer at its best, "
                     f"{metrics[f'ratio_to_transformers_float32{suffix}']:.2f} times in float32  {rates}")
    lines += [f"{name:9} {row['nats']:.4f} nats a token, {row['more_than_float32']:+.5f} "
              f"({row['more_than_float32_interval'][0]:+.5f} to {row['more_than_float32_interval'][1]:+.5f})"
              for name, row in metrics.get("nats_by_precision", {}).items()]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
