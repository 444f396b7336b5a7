"""Make a finished run a model that ships: weights in half precision, how it was made, what it measures, its card.

    python -m benchmarks.ship runs/image/mnist-diffusion --domain image --name digits \
        --what "Handwritten digits by class" --license CC-BY-SA-3.0 --data MNIST

What ships is what is measured: the half-precision weights, on the test split. A test repeats the held-out loss (GANs:
the distance to samples) of the first examples, which takes a second. Commit the folder once, when its figures are
final: history keeps every version.
"""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from core.errors import FourfoldError
from core.files import new_folder, write_atomically, write_json
from core.runs.domain import Domain, Prepared
from core.runs.measures import Measure, markdown_table, measure_to_dict
from core.runs.model import Model
from core.runs.pretrained import CARD, load, save_description
from core.runs.shipped import FACTS, WEIGHTS_LIMIT
from core.runtime import version
from core.serialization import to_dict
from core.training.checkpoint import save_weights
from core.training.log import read_log
from core.training.loop import validation

ROOT = Path(__file__).parent.parent
PIPELINES = {"image": "unconditional-image-generation", "text": "text-generation", "audio": "text-to-audio",
             "molecules": "other", "robotics": "robotics"}
CHECKED = 64
"""Test examples whose loss the test repeats."""
CHANGE = 0.01
"""Of that loss, at most, by half precision or another processor's arithmetic; of 1 where the loss is smaller."""
logger = logging.getLogger(__name__)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", help="a finished run")
    parser.add_argument("--domain", required=True, choices=PIPELINES)
    parser.add_argument("--name", required=True)
    parser.add_argument("--what", required=True, help="what it makes, in a few words")
    parser.add_argument("--license", required=True, help="its SPDX name; the data decide it")
    parser.add_argument("--data", required=True, action="append", help="a data set it learned from; may be repeated")
    parser.add_argument("--pipeline", help="the hub's word for what it does; by default the domain's")
    parser.add_argument("--samples", type=int, help="to measure; by default the domain's number")
    parser.add_argument("--output", type=Path, help="by default apps/DOMAIN/models")
    options = parser.parse_args()
    domain = importlib.import_module(f"apps.{options.domain}.domain").DOMAIN
    folder = (options.output or ROOT / "apps" / options.domain / "models") / options.name
    try:
        size = ship(domain, options, folder)
    except FourfoldError as error:
        parser.error(str(error))
    print(f"{folder}: {size / 1e6:.2f} MB")


def ship(domain: Domain[Any, Any, Any], options: argparse.Namespace, folder: Path) -> int:
    """Write the model's folder; returns its bytes.

    Raises:
        FourfoldError: it is too large, changes in half precision, or names a path of this machine.
    """
    source = domain.find(options.run)
    model = load(source, domain, "cpu")
    # Its data are read as its own codec has them: it is its own beginning now.
    recipe = replace(model.recipe, start=None if model.recipe.start is None else options.name)
    for key, value in leaves(to_dict(recipe)):
        if isinstance(value, str) and Path(value).is_absolute():
            raise FourfoldError(f"recipe.{key} is {value}: a model that ships names no path of a machine")
    prepared, number = domain.ready_for(model), options.samples or domain.default_samples
    full = held_out(model, prepared)
    for parameter in model.family.state_dict().values():
        if parameter.is_floating_point():
            parameter.copy_(parameter.half())
    if not all(bool(value.isfinite().all()) for value in model.family.state_dict().values()):
        raise FourfoldError("half precision cannot hold a weight of this model")
    half = held_out(model, prepared)
    if abs(half - full) > CHANGE * max(1.0, abs(full)):
        raise FourfoldError(f"the {model.family.validated} is {full:.4g}, and in half precision {half:.4g}")
    measures = domain.evaluate(model, prepared, number, 0)
    made = {"command": command(domain, recipe), "seed": recipe.seed, "steps": recipe.train.steps,
            "train_seconds": next((event["seconds"] for event in reversed(read_log(source)) if "seconds" in event), 0)}
    facts = {
        "what": options.what, "license": options.license, "data": options.data, "fourfold": version(), **made,
        "measures": [measure_to_dict(measure) for measure in measures],
        "check": {"name": model.family.validated, "value": half},
    }
    with new_folder(folder) as ready:
        save_description(replace(model, recipe=recipe), ready)
        state = {name: value.half() if value.is_floating_point() else value
                 for name, value in model.family.state_dict().items()}
        save_weights(ready, state)
        write_json(ready / FACTS, facts)
        pipeline = options.pipeline or PIPELINES[domain.name]
        write_atomically(ready / CARD, card(model, options, pipeline, facts, measures).encode())
        size = sum(path.stat().st_size for path in ready.iterdir())
        if size > WEIGHTS_LIMIT:
            raise FourfoldError(f"the model takes {size / 1e6:.1f} MB: at most {WEIGHTS_LIMIT / 1e6:.0f} ship")
    load(folder, domain, "cpu")
    return size


def held_out(model: Model[Any, Any, Any], prepared: Prepared[Any]) -> float:
    """The held-out loss of a model, or a GAN's distance, on the first `CHECKED` test examples; the same each time."""
    return validation(model.family, prepared.test, CHECKED, CHECKED, 0, torch.device("cpu"))


def leaves(value: object, key: str = "") -> Iterator[tuple[str, object]]:
    """The values of nested objects by their dotted keys, without the names of dataclasses."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            if name != "kind":
                yield from leaves(item, f"{key}.{name}" if key else str(name))
    else:
        yield key, value


def command(domain: Domain[Any, Any, Any], recipe: Any) -> str:
    """The command line that trains the recipe: a named one, and what is set otherwise."""
    if recipe.name not in domain.recipes:
        return f"fourfold {domain.name} train --recipe recipe.json, which holds the recipe of config.json"
    named = dict(leaves(to_dict(domain.recipe(recipe.name))))
    changed = [(key, value) for key, value in leaves(to_dict(recipe)) if key not in named or named[key] != value]
    words = [f"--set {shlex.quote(f'{key}={value if isinstance(value, str) else json.dumps(value)}')}"
             for key, value in changed if key != "seed"]
    return " ".join([f"fourfold {domain.name} train {recipe.name}", f"--seed {recipe.seed}", *words])


def card(
    model: Model[Any, Any, Any], options: argparse.Namespace, pipeline: str, facts: Mapping[str, Any],
    measures: list[Measure],
) -> str:
    """README.md of the folder, whose head a model hub reads; JSON values are YAML too."""
    domain, family = model.recipe.domain, type(model.family).__name__
    parameters = sum(parameter.numel() for parameter in model.family.parameters())
    minutes = facts["train_seconds"] / 60
    results = [{
        "task": {"type": pipeline}, "dataset": {"name": ", ".join(options.data), "type": "other"},
        "metrics": [{"type": m.name, "name": m.name, "value": float(f"{m.value:.6g}")} for m in measures],
    }]
    head = {
        "license": options.license.lower(), "library_name": "fourfold", "pipeline_tag": pipeline,
        "tags": [domain, family.lower()], "datasets": options.data,
        "model-index": [{"name": options.name, "results": results}],
    }
    lines = "\n".join(f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in head.items())
    return f"""---
{lines}
---

# {options.name}

{options.what}. A {family} of the `{domain}` domain, {parameters:,} parameters in half precision, trained from scratch
on {", ".join(options.data)} with Fourfold {version()}: {facts["steps"]:,} steps in {minutes:.1f} minutes.

```sh
{facts["command"]}
```

## Measured

{markdown_table(measures)}
## Use

```python
from apps import {domain}

model = {domain}.load("{options.name}")
items = model.sample(16, seed=0)
```

```sh
fourfold {domain} sample {options.name} -n 16
```

Licence: {options.license}, after that of the data.
"""


if __name__ == "__main__":
    main()
