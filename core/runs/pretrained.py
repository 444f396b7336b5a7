"""A trained model as a value: a family, its codec and its recipe, loaded strictly from a folder."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core.data.arrays import ArrayData
from core.runs.codec import Codec
from core.runs.domain import Domain
from core.errors import FourfoldError, Unsupported, did_you_mean
from core.families.autoregressive import Autoregressive
from core.families.diffusion import Diffusion, MaskedDiffusion
from core.families.family import Family, SampleSettings
from core.runs.recipe import Recipe, recipe_from_dict
from core.serialization import to_dict
from core.runtime import resolve_device, version
from core.batches import Batch
from core.spaces import Discrete
from core.files import write_atomically
from core.training.checkpoint import WEIGHTS, load_weights
from core.seeds import derive

CONFIG, CARD = "config.json", "README.md"


@dataclass(frozen=True, kw_only=True)
class Model:
    """A family that can be asked for items; made by `load`, or from parts right after training."""

    domain: Domain
    recipe: Recipe
    codec: Codec
    family: Family
    device: torch.device

    def settings(self, **changes: Any) -> SampleSettings:
        """The recipe's sample settings with `changes` (None leaves a setting as it is).

        Raises:
            FourfoldError: a setting is unknown, or this family does not take it.
        """
        known = {f.name for f in dataclasses.fields(SampleSettings)}
        for name in changes:
            if name not in known:
                raise FourfoldError(f"{name}: no such sample setting; {did_you_mean(name, known)}")
        given = {name: value for name, value in changes.items() if value is not None}
        settings = replace(self.recipe.sample, **given)
        self.family.check(settings)
        return settings

    def batches(
        self,
        n: int,
        *,
        seed: int = 0,
        condition: Mapping[str, Tensor] | None = None,
        batch_size: int | None = None,
        **settings: Any,
    ) -> Iterator[Batch]:
        """`n` raw samples in batches, each on the CPU with the condition it was drawn for.

        A batch depends on (seed, its index, `batch_size`) only: whole batches are drawn and the last is cut,
        so that more samples never change the first. `batch_size` is min(n, 256) unless given.

        Raises:
            FourfoldError: n or batch_size below 1, a condition of another length than n, or a refused setting.
        """
        if n < 1:
            raise FourfoldError(f"the number of samples is {n}: must be at least 1")
        size = min(n, 256) if batch_size is None else batch_size
        if size < 1:
            raise FourfoldError(f"batch_size is {size}: must be at least 1")
        for name, value in (condition or {}).items():
            if len(value) != n:
                raise FourfoldError(f"condition {name!r} has {len(value)} rows: {n} samples need {n}")
        chosen = self.settings(**settings)
        self.family.eval()
        for index, start in enumerate(range(0, n, size)):
            # The last batch repeats the last condition up to a whole batch.
            rows = torch.arange(start, start + size).clamp(max=n - 1)
            given = {name: value[rows].to(self.device) for name, value in (condition or {}).items()} or None
            generator = torch.Generator(self.device).manual_seed(derive(seed, index))
            with self.sampling_precision():
                drawn = self.family.sample(size, given, settings=chosen, generator=generator)
            yield replace(drawn, condition=given or {}).to("cpu")[: n - start]

    def sampling_precision(self) -> torch.autocast:
        """The context to draw in: bfloat16 where training was in it and drawing takes many passes, else float32."""
        many_passes = isinstance(self.codec.space, Discrete) or isinstance(self.family, Diffusion | Autoregressive)
        half = self.recipe.train.precision == "bfloat16" and many_passes
        return torch.autocast(self.device.type, torch.bfloat16, enabled=half)

    def sample_batch(
        self,
        n: int,
        *,
        seed: int = 0,
        condition: Mapping[str, Tensor] | None = None,
        batch_size: int | None = None,
        **settings: Any,
    ) -> Batch:
        """`n` raw samples as one batch on the CPU; see `batches`. Shorter sequences are padded with 0 and masked."""
        parts = list(self.batches(n, seed=seed, condition=condition, batch_size=batch_size, **settings))
        return parts[0] if len(parts) == 1 else _join(parts)

    def sample(
        self,
        n: int,
        *,
        seed: int = 0,
        condition: Mapping[str, Tensor] | None = None,
        batch_size: int | None = None,
        **settings: Any,
    ) -> list[Any]:
        """`n` samples as the domain's items; see `batches`. No `condition` draws unconditionally."""
        if condition is None and self.domain.draw is not None:
            return self.domain.draw(self, n, seed, {k: v for k, v in settings.items() if v is not None})
        parts = self.batches(n, seed=seed, condition=condition, batch_size=batch_size, **settings)
        return [item for part in parts for item in self.codec.decode(part)]

    def fill(self, known: Tensor, *, seed: int = 0, **settings: Any) -> Tensor:
        """Tokens `known` `[n, length]`, filled in where they are -1; on the CPU.

        Raises:
            Unsupported: the family is no masked diffusion.
            FourfoldError: a refused setting.
        """
        if not isinstance(self.family, MaskedDiffusion):
            raise Unsupported(f"a {type(self.family).__name__} cannot fill gaps: use a masked diffusion model")
        chosen = self.settings(**settings)
        self.family.eval()
        generator = torch.Generator(self.device).manual_seed(derive(seed, 0))
        with self.sampling_precision():
            drawn = self.family.sample(len(known), settings=chosen, generator=generator, known=known.to(self.device))
        return drawn.x.cpu()

    def bound(
        self, data: ArrayData, max_examples: int | None = None, *, seed: int = 0, batch_size: int = 256
    ) -> Tensor:
        """Nats per example `[N]` of the first `max_examples`; `family.likelihood` says exact, bound or estimate.

        Raises:
            Unsupported: the family has no likelihood (a GAN).
        """
        n = len(data) if max_examples is None else min(max_examples, len(data))
        self.family.eval()
        parts = []
        for index, start in enumerate(range(0, n, batch_size)):
            batch = data.batch(np.arange(start, min(start + batch_size, n))).to(self.device)
            generator = torch.Generator(self.device).manual_seed(derive(seed, index))
            parts.append(self.family.bound(batch, generator=generator).detach().double().cpu())
        return torch.cat(parts)


def build(domain: Domain, recipe: Recipe, codec: Codec, device: torch.device) -> Model:
    """The recipe's family, untrained, on `device`; its first weights depend on the recipe's seed only."""
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        family = recipe.family.build(codec.space, codec.conditions)
    return Model(domain=domain, recipe=recipe, codec=codec, family=family.to(device), device=device)


def save_description(model: Model, folder: Path) -> None:
    """Write everything of a model folder but the weights: config.json, the codec, the model card."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {"fourfold": version(), "domain": model.domain.name, "recipe": to_dict(model.recipe)}
    write_atomically(folder / CONFIG, (json.dumps(config, indent=2) + "\n").encode())
    model.codec.save(folder)
    write_atomically(folder / CARD, model_card(model).encode())


def load(path: str | Path, domain: Domain, device: str = "auto") -> Model:
    """The trained model in a run folder or a model folder; nothing that is read is executed.

    Raises:
        FourfoldError: a folder or file is missing or damaged, the model is of another domain, or weights and
            codec do not fit the recipe.
    """
    folder = model_folder(Path(path))
    config = read_json(folder / CONFIG)
    found = config.get("domain")
    if found != domain.name:
        raise FourfoldError(f"{path} holds a model of the domain {found!r}, not {domain.name!r}")
    recipe = recipe_from_dict(config.get("recipe"), domain.data_type)
    try:
        codec = domain.load_codec(folder)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FourfoldError(f"{folder}: its codec is damaged ({one_line(error)}); train again with --fresh") from error
    model = build(domain, recipe, codec, resolve_device(device))
    load_weights(folder, model.family)
    _refuse_nan(model.family, folder / WEIGHTS)
    model.family.eval().requires_grad_(False)
    return model


def model_folder(path: Path) -> Path:
    """The folder with the model in a run folder, or a model folder itself.

    Raises:
        FourfoldError: there is none.
    """
    if not path.exists():
        raise FourfoldError(f"{path}: no such run; train one first, or give the folder that `train` wrote")
    for folder in (path / "model", path):
        if (folder / CONFIG).is_file():
            if not (folder / WEIGHTS).is_file():
                raise FourfoldError(f"{folder} has no {WEIGHTS}: the run has not saved a model yet; run `train` again")
            return folder
    raise FourfoldError(f"{path} is not a run: it has no model/{CONFIG}; give the folder that `train` wrote")


def _refuse_nan(family: Family, path: Path) -> None:
    for name, value in family.state_dict().items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise FourfoldError(f"{path} is damaged: {name} holds values that are not finite")


def model_card(model: Model, measured: str = "") -> str:
    """README.md of a model folder: what it is, how it was made, how to use it; `measured` is a markdown table."""
    recipe, family = model.recipe, type(model.family).__name__
    parameters = sum(parameter.numel() for parameter in model.family.parameters())
    domain = recipe.domain
    first_line = f"from apps import {domain}"
    return f"""---
library_name: fourfold
tags: [{domain}, {family.lower()}]
---

# {recipe.name}

A {family} of the `{domain}` domain, {parameters:,} parameters, trained from scratch with Fourfold {version()}
for {recipe.train.steps:,} steps of {recipe.train.batch_size} examples (seed {recipe.seed}).
{measured and f"{chr(10)}## Measured{chr(10)}{chr(10)}{measured}"}
## Use

```python
{first_line}

model = {domain}.load("path/to/this/folder")
items = model.sample(16, seed=0)
```

```sh
fourfold {domain} sample path/to/this/folder -n 16 -o samples
```

Weights are in `{WEIGHTS}`, the complete recipe in `{CONFIG}`; loading executes nothing from this folder.
"""


def _join(parts: list[Batch]) -> Batch:
    """Batches as one: `[B_i, T_i]` tokens are padded to the longest, with 0 that the mask excludes."""
    condition = {name: torch.cat([part.condition[name] for part in parts]) for name in parts[0].condition}
    if parts[0].mask is None:
        return Batch(torch.cat([part.x for part in parts]), condition)
    longest = max(part.x.shape[1] for part in parts)
    pads = [(0, longest - part.x.shape[1]) for part in parts]
    x = torch.cat([torch.nn.functional.pad(part.x, pad) for part, pad in zip(parts, pads, strict=True)])
    masks = [part.mask for part in parts if part.mask is not None]
    mask = torch.cat([torch.nn.functional.pad(mask, pad) for mask, pad in zip(masks, pads, strict=True)])
    return Batch(x, condition, mask)
