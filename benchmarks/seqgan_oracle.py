"""SeqGAN's oracle: sequences of a known random process, under which what is generated has an exact likelihood.

    python -m benchmarks.seqgan_oracle

As Yu et al. (1609.05473, section 5.1) have it: the oracle is an LSTM of 32 units over 5,000 tokens whose parameters
are drawn from N(0, 1); 10,000 sequences of 20 tokens are the training data; the measure is the oracle's mean negative
log-likelihood of a token in what a generator writes. Published, for their draw of the oracle: maximum likelihood
9.038, SeqGAN 8.736. Writes benchmarks/results/seqgan_oracle.json: that measure for an LSTM of the oracle's size fitted
by maximum likelihood (their baseline), for our GAN (the family of recipe coco-gan) and our autoregressive model (of
coco-autoregressive) by decoder temperature, and for fresh sequences of the oracle (the floor) and uniform ones.

The measure has no penalty on repeating the training data or oneself (1811.02549), so each row also tells the share of
4-grams that occur in the training data and the share of 4-grams that differ from one another, beside the oracle's own.
The number of steps matters: the GAN of --steps 1500 scores 8.838, of the default 8.474.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from apps.text.recipes import coco_autoregressive, coco_gan
from benchmarks.results_file import FOLDER, write_result
from core.data.arrays import ArrayData
from core.families import SampleSettings
from core.metrics.intervals import bootstrap
from core.seeds import generator
from core.spaces import Discrete
from core.training.log import console
from core.training.loop import train

TARGET = 8.74
SPACE = Discrete(length=20, vocab=5000)
TEMPERATURES = (1.0, 0.8, 0.6, 0.4)


class Network(nn.Module):
    """The oracle, and the generator of its size: a token's embedding, an LSTM, logits; it starts from token 0."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.embedding = nn.Embedding(SPACE.vocab, width)
        self.lstm = nn.LSTM(width, width, batch_first=True)
        self.head = nn.Linear(width, SPACE.vocab)

    def forward(self, x: Tensor) -> Tensor:
        """Nats of every token `[N, T]`."""
        inputs = torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], dim=1)
        logits = self.head(self.lstm(self.embedding(inputs))[0])
        return cross_entropy(logits.mT, x, reduction="none")

    @torch.no_grad()
    def sample(self, n: int, draws: torch.Generator) -> Tensor:
        """Sequences `[n, T]`."""
        token, state, drawn = torch.zeros(n, 1, dtype=torch.long), None, []
        for _ in range(SPACE.length):
            hidden, state = self.lstm(self.embedding(token), state)
            token = torch.multinomial(self.head(hidden[:, 0]).softmax(-1), 1, generator=draws)
            drawn.append(token)
        return torch.cat(drawn, dim=1)


def oracle(seed: int) -> Network:
    """The process: every parameter from N(0, 1)."""
    network, draws = Network(), torch.Generator().manual_seed(seed)
    for name, parameter in network.named_parameters():
        parameter.data.normal_(generator=draws)
        if name == "lstm.bias_hh_l0":  # PyTorch has two biases where the paper has one
            parameter.data.zero_()
    return network.requires_grad_(False)


def fitted(x: Tensor, held_out: Tensor, epochs: int, seed: int) -> tuple[Network, float]:
    """The baseline by maximum likelihood, at the epoch of the fewest nats a token of held-out sequences, and those."""
    torch.manual_seed(seed)
    network = Network()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2, fused=True)
    best, weights = float("inf"), network.state_dict()
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            network(x[rows]).mean().backward()
            optimizer.step()
        with torch.no_grad():
            nats = float(network(held_out).mean())
        if nats < best:
            best, weights = nats, {name: value.clone() for name, value in network.state_dict().items()}
    network.load_state_dict(weights)
    return network, best


def main() -> None:
    """Draw the data, train, measure, print, write; exit code 1 where the GAN misses the target."""
    parser = argparse.ArgumentParser(description="SeqGAN's oracle protocol.")
    parser.add_argument("--seed", type=int, default=0, help="of the oracle, its sequences and training")
    parser.add_argument("--sequences", type=int, default=10_000, help="to train on, and to measure of each model")
    parser.add_argument("--epochs", type=int, default=15, help="of the LSTM's training at most")
    parser.add_argument("--steps", type=int, default=2400, help="of our models' training")
    parser.add_argument("--output", type=Path, default=FOLDER / "seqgan_oracle.json")
    parser.add_argument("--quick", action="store_true", help="a few sequences and steps: checks the benchmark")
    options = parser.parse_args()
    if options.quick:
        options.sequences, options.epochs, options.steps = 100, 1, 2
    started, n = time.time(), options.sequences
    process, draws = oracle(options.seed), generator(torch.device("cpu"), options.seed, 1)
    data, held_out, fresh = (process.sample(n, draws) for _ in range(3))
    known = grams(data)
    rows: dict[str, dict[str, Any]] = {
        "oracle": measured(process, fresh, known),
        "uniform": measured(process, torch.randint(SPACE.vocab, data.shape, generator=draws), known),
    }
    baseline, nats = fitted(data, held_out, options.epochs, options.seed)
    rows["lstm 1"] = measured(process, baseline.sample(n, draws), known) | {"held_out_nats": nats}
    seconds = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name, recipe in (("autoregressive", coco_autoregressive()), ("gan", coco_gan())):
            torch.manual_seed(options.seed)
            family = recipe.family.build(SPACE, {})
            config = replace(recipe.train, steps=options.steps)
            with console(f"oracle {name}") as log:
                result = train(family, ArrayData(SPACE, data.numpy()), config, Path(scratch) / name,
                               seed=options.seed, log=log)
            seconds[name] = round(result.seconds, 1)
            family.eval()
            for temperature in TEMPERATURES[:1] if options.quick else TEMPERATURES:
                with torch.autocast("cpu", torch.bfloat16):
                    made = torch.cat([
                        family.sample(len(some), settings=SampleSettings(temperature=temperature),
                                      draws=draws).x for some in data.split(100)
                    ])
                rows[f"{name} {temperature:g}"] = measured(process, made, known)
    for name, row in rows.items():
        print(f"{name:20} oracle nats a token {row['nats']:.3f}, 4-grams of the training data "
              f"{row['known_4_grams']:.3f}, different {row['different_4_grams']:.3f}")
    gan = rows["gan 1"]["nats"]
    write_result(options.output, {"sequences": n, "steps": options.steps, "seed": options.seed,
                                  "training_seconds": seconds, "gan_nats": gan, "rows": rows}, started)
    print(json.dumps({"gan_nats": gan, "target": TARGET}))
    sys.exit(0 if gan <= TARGET or options.quick else 1)


def grams(x: Tensor) -> np.ndarray:
    """The 4-grams of sequences as numbers `[N, T - 3]`."""
    windows = x.unfold(1, 4, 1).long()
    return np.asarray(windows @ SPACE.vocab ** torch.arange(4))


@torch.no_grad()
def measured(process: Network, x: Tensor, known: np.ndarray) -> dict[str, Any]:
    """The oracle's nats a token, with the interval over sequences; what is copied, what differs."""
    nats, written = process(x).mean(1).double().numpy(), grams(x)
    return {"nats": float(nats.mean()), "interval": bootstrap(np.mean, nats),
            "known_4_grams": float(np.isin(written, known).mean()),
            "different_4_grams": len(np.unique(written)) / written.size}


if __name__ == "__main__":
    main()
