"""The peer of character models: nanoGPT's CPU recipe for tinyshakespeare, with GPT-2's blocks of HF transformers.

Settings of karpathy/nanoGPT's README for a CPU over config/train_shakespeare_char.py: 4 layers of 4 heads and 128
channels, no dropout, batches of 12 windows of 64 characters, AdamW (0.9, 0.99) of learning rate 1e-3 to 1e-4 by a
cosine after 100 steps of warm-up, weight decay 0.1 on matrices, gradients clipped at norm 1, float32. Its 2,000 steps
become as many as the minutes hold, and its cosine as long. nanoGPT leaves biases out; GPT-2's blocks have them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.results_file import write_plain_json

WINDOW, BATCH, WARMUP, PROBE = 64, 12, 100, 40


def network(vocab: int) -> Any:
    """GPT2LMHeadModel of 0.8 million parameters for characters."""
    from transformers import GPT2Config, GPT2LMHeadModel

    return GPT2LMHeadModel(GPT2Config(
        vocab_size=vocab, n_positions=WINDOW, n_layer=4, n_head=4, n_embd=128, resid_pdrop=0.0, embd_pdrop=0.0,
        attn_pdrop=0.0, bos_token_id=0, eos_token_id=0,
    ))


def new_optimizer(model: Any) -> torch.optim.Optimizer:
    """AdamW with weight decay on matrices only, fused as nanoGPT's is where it can be."""
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    groups: list[dict[str, Any]] = [
        {"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.99), fused=True)


def one_step(model: Any, optimizer: torch.optim.Optimizer, text: torch.Tensor, draws: torch.Generator) -> int:
    """Train on a batch of random windows of `text` `[T]`; returns its characters."""
    starts = torch.randint(len(text) - WINDOW - 1, (BATCH,), generator=draws)
    rows = torch.stack([text[i : i + WINDOW + 1] for i in starts.tolist()])
    logits = model(rows[:, :-1]).logits
    torch.nn.functional.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten()).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    return BATCH * WINDOW


@torch.no_grad()
def nats_per_character(model: Any, text: torch.Tensor) -> float:
    """The mean over all characters of `text` but the first, in windows side by side."""
    starts = torch.arange(0, len(text) - WINDOW - 1, WINDOW)
    total = 0.0
    for part in starts.split(256):
        rows = torch.stack([text[i : i + WINDOW + 1] for i in part.tolist()])
        logits = model(rows[:, :-1]).logits
        total += float(torch.nn.functional.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten(), reduction="sum"))
    return total / (len(starts) * WINDOW)


def train(
    text: str, held_out: str, folder: Path, minutes: float, points: int, log: Callable[[str], None] = print
) -> None:
    """Train for `minutes`; facts.json in `folder` has the curve of (seconds, nats), the steps and the seconds."""
    torch.manual_seed(0)
    alphabet = {character: i for i, character in enumerate(sorted(set(text)))}
    ids, judged = (torch.tensor([alphabet.get(c, 0) for c in part]) for part in (text, held_out))
    draws = torch.Generator().manual_seed(0)
    probe = network(len(alphabet))
    optimizer = new_optimizer(probe)
    for index in range(PROBE):
        if index == PROBE // 4:
            clock = time.perf_counter()
        one_step(probe, optimizer, ids, draws)
    rate = (PROBE - PROBE // 4) / (time.perf_counter() - clock)
    steps = max(points, math.floor(60 * minutes * rate))
    model = network(len(alphabet))
    optimizer = new_optimizer(model)
    curve: list[tuple[float, float]] = []
    seconds, cpu, done, clock = 0.0, time.process_time(), 0, time.perf_counter()
    judging = 0.0
    while done < steps and time.perf_counter() - clock - judging < 60 * minutes:
        warm = min(1.0, (done + 1) / WARMUP)
        cosine = 0.5 * (1 + math.cos(math.pi * done / steps))
        for group in optimizer.param_groups:
            group["lr"] = warm * (1e-4 + 9e-4 * cosine)
        one_step(model, optimizer, ids, draws)
        done += 1
        if done % max(1, steps // points) == 0:
            seconds = time.perf_counter() - clock - judging
            paused, before = time.perf_counter(), time.process_time()
            curve.append((round(seconds, 1), nats_per_character(model, judged)))
            judging += time.perf_counter() - paused
            cpu += time.process_time() - before
            log(f"nanoGPT's recipe · step {done}/{steps} · {curve[-1][1]:.3f} nats a character")
    facts = {
        "curve": curve, "nats": nats_per_character(model, judged), "steps": done, "characters": done * BATCH * WINDOW,
        "seconds": time.perf_counter() - clock - judging, "cpu_seconds": time.process_time() - cpu,
        "parameters": int(np.sum([p.numel() for p in model.parameters()])),
    }
    write_plain_json(folder / "facts.json", facts)
