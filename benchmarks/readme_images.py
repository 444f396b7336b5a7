"""README's section of image figures, made of the image benchmarks' results.

    python -m benchmarks.readme_images

Writes what benchmarks/results/{mnist_likelihood,grid25,fashion_families,fashion_vs_diffusers,fashion_enhance}.json hold
between README's markers; a benchmark that was not run is left out.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.results_file import FOLDER
from core.run import figure

BEGIN, END = "<!-- image figures: begin -->", "<!-- image figures: end -->"


def main() -> None:
    """Rewrite README's section."""
    readme = Path(__file__).parent.parent / "README.md"
    before, rest = readme.read_text().split(BEGIN)
    readme.write_text(f"{before}{BEGIN}\n{section(FOLDER)}\n{END}{rest.split(END)[1]}")
    print(readme)


def section(folder: Path) -> str:
    """Every benchmark's paragraph or table, with its command."""
    parts = []
    for name, write in PARTS.items():
        path = folder / f"{name}.json"
        if path.exists():
            result = json.loads(path.read_text())
            parts.append(f"{write(result['metrics'])}\n\n(`{result['command']}`, {result['hardware']})")
    return "\n\n".join(parts)


def likelihood(m: dict[str, Any]) -> str:
    """MNIST's nats."""
    low, high = m["vae_iwae_nats_interval"]
    first, last = m["autoregressive_nats_interval"]
    return (
        f"**Binarised MNIST**, {m['images']:,} test images: VAE {m['vae_iwae_nats']:.2f} nats (bound, "
        f"{m['importance_samples']} importance samples; 95 % interval of the mean {low:.2f} to {high:.2f}; "
        f"{m['vae_iwae_nats_training_seconds'] / 60:.0f} minutes of training on one shared core), autoregressive "
        f"{m['autoregressive_nats']:.2f} (exact; {first:.2f} to {last:.2f}; "
        f"{m['autoregressive_nats_training_seconds'] / 60:.0f} minutes). Published: 86.82 for pythae's IWAE-50, 84.87 "
        "for MADE, 81.45 for PixelCNN."
    )


def grid(m: dict[str, Any]) -> str:
    """The 25 Gaussians."""
    low, high = m["high_quality_interval"]
    return (
        f"**25 Gaussians on a grid**, GAN, {len(m['seeds'])} seeds of {m['samples']:,} samples: {m['modes']:.1f} "
        f"modes, {100 * m['high_quality']:.1f} % of high quality (95 % interval of the mean {100 * low:.1f} to "
        f"{100 * high:.1f}; real samples {100 * m['high_quality_floor']:.1f}), reverse KL {m['reverse_kl']:.3f} (real "
        f"{m['reverse_kl_floor']:.3f}). PacGAN4 published 24.8, 93.6 % and 0.04."
    )


def families(m: dict[str, Any]) -> str:
    """Fashion-MNIST by four families."""
    rows = ["| Fashion-MNIST by class | FD (95 % interval) | precision | recall | density | coverage | CAS "
            "| samples/s | minutes |", "|---|---|---|---|---|---|---|---|---|"]
    for name, row in m.items():
        if isinstance(row, dict):
            low, high = row["fd_interval"]
            rows.append(
                f"| {name} | {figure(row['fd'])} ({figure(low)} to {figure(high)}) | "
                + " | ".join(f"{row[key]:.3f}" for key in ("precision", "recall", "density", "coverage", "cas"))
                + f" | {row['samples_per_second']:.0f} | {row['training_seconds'] / 60:.0f} |")
            floor, real = row["fd_floor"], row["cas_floor"]
    return "\n".join([
        *rows, "",
        f"{m['samples']:,} samples against the 10,000 test images. FD is the Fréchet distance on the features of our "
        f"own classifier of Fashion-MNIST (test accuracy {m['classifier_test_accuracy']:.3f}; these are not "
        f"Inception's features, so this is no FID); as many real training images score {figure(floor)}. CAS is the "
        "accuracy on real test images of a classifier trained on the samples; trained on as many real ones it is "
        f"{real:.3f}. Minutes are of training on one core; both columns of speed were measured while other work shared "
        "the two cores.",
    ])


def peer(m: dict[str, Any]) -> str:
    """Diffusion against diffusers."""
    speed = m["sample_images_per_second_ratio"]
    text = (
        f"**Against diffusers** (UNet2DModel of {m['parameters_peer'] / 1e6:.2f} million parameters as its own example "
        f"trains it, ours {m['parameters_ours'] / 1e6:.2f} million; {m['minutes']:.0f} minutes at the same moment, a "
        f"core each): FD {figure(m['fd_ours'])} for ours, {figure(m['fd_peer'])} for the peer, each by its best "
        f"sampler (floor {figure(m['fd_floor'])}, {m['samples']:,} samples). Training makes "
        f"{m['train_images_per_second_ratio']:.1f} times as many images a second"
    )
    return text + ("." if speed is None else
                   f"; sampling, at the peer's quality or better, {speed:.0f} times ({m['sampler_ours']}, against "
                   f"{m['sampler_peer']}).")


def enhance(m: dict[str, Any]) -> str:
    """Restoration."""
    rows = ["| held-out Fashion-MNIST restored | PSNR (dB) | baseline | FD | baseline | floor |",
            "|---|---|---|---|---|---|"]
    for task, row in m.items():
        if isinstance(row, dict):
            rows.append(f"| {task} | {row['psnr_ours']:.2f} | {row['psnr_baseline']:.2f} ({row['baseline']}) | "
                        f"{figure(row['fd_ours'])} | {figure(row['fd_baseline'])} | {figure(row['fd_floor'])} |")
    return "\n".join([
        *rows, "",
        f"{m['images']:,} test images; noise of sigma 0.2, a hole of 10x10 pixels in the centre; "
        f"{m['training_seconds'] / 60:.0f} minutes of training on one core. The floor is of other real images; what is "
        "restored shows the very ones it is compared with, so it may fall below.",
    ])


PARTS: dict[str, Callable[[dict[str, Any]], str]] = {
    "mnist_likelihood": likelihood, "grid25": grid, "fashion_families": families, "fashion_vs_diffusers": peer,
    "fashion_enhance": enhance,
}


if __name__ == "__main__":
    main()
