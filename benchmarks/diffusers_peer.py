"""The peer of image diffusion: diffusers' UNet2DModel, trained as its own example trains (one core, in this process).

Settings of examples/unconditional_image_generation/train_unconditional.py: AdamW of learning rate 1e-4, betas (0.95,
0.999), weight decay 1e-6, eps 1e-8; batches of 16; cosine schedule after 500 steps of warm-up; DDPM's 1,000 linear
noise levels, predicting the noise; EMA with inverse gamma 1, power 3/4, at most 0.9999; float32. Its convolutional
and attention blocks are narrowed to as many parameters as ours have, and it is told the class through its own
`num_class_embeds`. Sampling is by its DPMSolverMultistepScheduler with thresholding, which its documentation advises
for pixels (without, pictures of a short training saturate), and by the example's own DDPMScheduler.
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.results_file import write_plain_json
from core.data.arrays import ArrayData, indices_of_step

BATCH, WARMUP, PROBE = 16, 500, 12


def network() -> Any:
    """UNet2DModel of 1.6 million parameters for 28x28 grey images of ten classes."""
    from diffusers import UNet2DModel

    return UNet2DModel(
        sample_size=28, in_channels=1, out_channels=1, layers_per_block=2, block_out_channels=(32, 64, 64),
        down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"), norm_num_groups=16, num_class_embeds=10,
    )


def train(data: ArrayData, folder: Path, minutes: float, seed: int = 0) -> None:
    """Train for `minutes` and save the averaged weights and facts.json (steps, seconds, cpu_seconds) in `folder`."""
    from diffusers import DDPMScheduler
    from diffusers.optimization import get_cosine_schedule_with_warmup
    from diffusers.training_utils import EMAModel

    torch.manual_seed(seed)
    model = network()
    noise_scheduler: Any = DDPMScheduler(num_train_timesteps=1000)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.95, 0.999), weight_decay=1e-6, eps=1e-8)

    def step(index: int) -> None:
        batch = data.batch(indices_of_step(seed, index, BATCH, len(data)))
        noise = torch.randn_like(batch.x)
        times = torch.randint(0, 1000, (BATCH,))
        noised = noise_scheduler.add_noise(batch.x, noise, times)
        predicted = model(noised, times, class_labels=batch.condition["class"]).sample
        torch.nn.functional.mse_loss(predicted, noise).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)

    for index in range(PROBE):
        if index == PROBE // 3:
            probed = time.perf_counter()
        step(index)
        optimizer.zero_grad()
    rate = (PROBE - PROBE // 3) / (time.perf_counter() - probed)
    # What the optimiser and the average add to a step is small; training ends by the clock.
    steps = max(2, math.floor(60 * minutes * rate))
    schedule = get_cosine_schedule_with_warmup(optimizer, min(WARMUP, steps // 10 + 1), steps)
    average = EMAModel(model.parameters(), decay=0.9999, use_ema_warmup=True, inv_gamma=1.0, power=3 / 4)
    clock, cpu, done = time.perf_counter(), time.process_time(), 0
    while done < steps and time.perf_counter() - clock < 60 * minutes:
        step(done)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        average.step(model.parameters())
        done += 1
        if done % 500 == 0:
            print(f"diffusers · step {done}/{steps}", flush=True)
    facts = {"steps": done, "planned_steps": steps, "images": done * BATCH,
             "seconds": time.perf_counter() - clock, "cpu_seconds": time.process_time() - cpu}
    average.copy_to(model.parameters())
    model.save_pretrained(folder)
    write_plain_json(folder / "facts.json", facts)


def load(folder: Path) -> Any:
    """The trained network."""
    from diffusers import UNet2DModel

    return UNet2DModel.from_pretrained(folder).eval()


@torch.no_grad()
def sample(
    model: Any, classes: Tensor, kind: str, num_steps: int, seed: int = 0, batch_size: int = 25
) -> np.ndarray:
    """Images `[N, 1, 28, 28]` in [-1, 1] of `classes` `[N]` by "dpm" (DPM-Solver++(2M)) or "ddpm".

    Small batches, which fit the processor's cache, suit its network best on a CPU.
    """
    from diffusers import DDPMScheduler, DPMSolverMultistepScheduler

    drawn = []
    for index, part in enumerate(classes.split(batch_size)):
        generator = torch.Generator().manual_seed(seed + index)
        scheduler: Any = DDPMScheduler(num_train_timesteps=1000) if kind == "ddpm" else DPMSolverMultistepScheduler(
            num_train_timesteps=1000, thresholding=True, sample_max_value=1.0)
        scheduler.set_timesteps(num_steps)
        x = torch.randn((len(part), 1, 28, 28), generator=generator) * scheduler.init_noise_sigma
        for t in scheduler.timesteps:
            x = scheduler.step(model(x, t, class_labels=part).sample, t, x, generator=generator).prev_sample
        drawn.append(x.clamp(-1, 1))
    return torch.cat(drawn).numpy()
