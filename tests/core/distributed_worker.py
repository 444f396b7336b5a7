"""One process of a distributed run: RANK and WORLD_SIZE come from the environment, as torchrun sets them.

python distributed_worker.py FOLDER NOISE ACCUMULATION
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import torch

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]

from toy_family import Toy, toy_config, toy_data  # noqa: E402

from core.training.loop import train  # noqa: E402

if __name__ == "__main__":
    torch.set_num_threads(1)
    folder, noise, accumulation = Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    rank = int(os.environ.get("RANK", "0"))
    # Each process begins with other weights: those of the first must win.
    result = train(Toy(noise=noise, seed=rank), toy_data(), toy_config(accumulation=accumulation), folder, seed=3)
    (folder / f"result-{rank}.json").write_text(json.dumps({"step": result.step, "finished": result.finished}))
