"""A trained model as a value: a family, its codec and its recipe. Each verb of the family is wrapped here, once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Generic, TypedDict, TypeVar, Unpack

import numpy as np
import torch
from torch import Tensor

from core.batches import Batch, concatenated
from core.data.arrays import ArrayData
from core.errors import FourfoldError, Unsupported, did_you_mean
from core.families.family import Condition, Family, SampleSettings, SettingChanges
from core.runs.codec import Codec
from core.runs.recipe import Recipe
from core.runs.tasks import Progress
from core.runtime import keep_memory
from core.samplers.interpolation import slerp
from core.seeds import Rows, derive, generator
from core.spaces import Discrete
from core.training.distributed import World, of_all
from core.waiting import followed, waiting

DataT = TypeVar("DataT")
CodecT = TypeVar("CodecT", bound="Codec[Any]")
Item = TypeVar("Item")
Wanted = Mapping[str, Tensor | str | Sequence[str]]
"""Conditions by name: tensors `[n, ...]`, a user's words for all of n samples, or words for each of them."""
BATCH = 256
"""Samples drawn at once unless told otherwise."""



class Drawing(TypedDict):
    """What verbs of a family draw with."""

    settings: SampleSettings
    draws: Rows


@dataclass(frozen=True, kw_only=True)
class Model(Generic[DataT, CodecT, Item]):
    """A family that can be asked for items; made by `core.runs.pretrained.load`, or from parts after training.

    Every verb takes a `seed`, sample settings by name (None leaves the recipe's), and conditions by name, as tensors or
    (for samples) in a user's words, `condition={"class": "cat"}`. It draws in `precision`, on the model's device, and
    returns tensors on the CPU.

    `world`: the processes that share the drawing of `batches`, and of what is made of it. All must make the same calls,
    and all get what one process draws alone.
    """

    recipe: Recipe[DataT]
    codec: CodecT
    family: Family
    device: torch.device
    world: World = World()

    def settings(self, **changes: Unpack[SettingChanges]) -> SampleSettings:
        """The recipe's sample settings with `changes` (None leaves a setting as it is).

        Raises:
            FourfoldError: a setting is unknown, or this family does not take it.
        """
        known = {f.name for f in dataclasses.fields(SampleSettings)}
        for name in changes:
            if name not in known:
                raise FourfoldError(f"{name}: no such sample setting; {did_you_mean(name, known)}")
        settings = self.recipe.sample
        for name, value in changes.items():
            settings = settings if value is None else replace(settings, **{name: value})  # type: ignore[arg-type]
        self.family.check(settings)
        return settings

    def precision(self, settings: SampleSettings) -> torch.autocast:
        """The context to draw in: bfloat16 where training was in it and drawing takes several passes, else float32."""
        half = self.recipe.train.precision == "bfloat16" and self.family.passes(settings) > 1
        return torch.autocast(self.device.type, torch.bfloat16, enabled=half)

    @contextmanager
    def _drawing(self, changes: SettingChanges, seeds: Iterable[int]) -> Iterator[Drawing]:
        """What every verb draws with: checked settings and a row's own random numbers, in the right precision."""
        settings = self.settings(**changes)
        keep_memory()
        self.family.eval()
        with self.precision(settings):
            yield {"settings": settings, "draws": Rows(seeds)}

    def _given(self, condition: Wanted | None, n: int) -> dict[str, Tensor] | None:
        """Conditions of `n` rows on the model's device; None where there are none."""
        given: dict[str, Tensor] = {}
        for name, value in (condition or {}).items():
            if isinstance(value, Tensor):
                given[name] = value.to(self.device)
                continue
            words = [value] * n if isinstance(value, str) else value
            parsed = [(self.codec.parse_conditions({name: word}, 1) or {})[name] for word in words]
            given[name] = torch.cat(parsed).to(self.device)
        for name, rows in given.items():
            if len(rows) != n:
                raise FourfoldError(f"condition {name!r} has {len(rows)} rows: {n} samples need {n}")
        return given or None

    # Drawing ------------------------------------------------------------------------------------------------------

    def batches(
        self, n: int, *, seed: int = 0, condition: Wanted | None = None, batch_size: int | None = None,
        progress: Progress | None = None, **changes: Unpack[SettingChanges],
    ) -> Iterator[Batch]:
        """`n` raw samples in batches, each on the CPU with the condition it was drawn for.

        Noise belongs to the row: sample i depends on (seed, i) and its condition only, whatever n and `batch_size` are,
        up to the arithmetic of other batch shapes. `batch_size` is 256 unless given.

        Raises:
            FourfoldError: n or batch_size below 1, a condition of another length than n, or a refused setting.
        """
        if n < 1:
            raise FourfoldError(f"the number of samples is {n}: must be at least 1")
        size = BATCH if batch_size is None else batch_size
        if size < 1:
            raise FourfoldError(f"batch_size is {size}: must be at least 1")
        given = self._given(condition, n) or {}

        def drawn(start: int) -> Batch | None:
            if start >= n:
                return None
            rows = range(start, min(start + size, n))
            some = {name: value[start : rows.stop] for name, value in given.items()}
            return self.sample_rows([derive(seed, row) for row in rows], condition=some, **changes)

        done = 0
        with waiting("drawing samples", n) as wait:
            for start in range(0, n, size * self.world.size):
                for batch in of_all(drawn(start + size * self.world.rank), self.world):
                    if batch is not None:
                        done += len(batch)
                        wait.step(done)
                        if progress is not None:
                            progress.step(done, n)
                        yield batch

    def sample_rows(
        self, seeds: Sequence[int], *, condition: Condition | None = None, **changes: Unpack[SettingChanges]
    ) -> Batch:
        """One raw sample for each of the seeds, drawn at once, on the CPU with the condition it was drawn for."""
        given = self._given(condition, len(seeds)) or {}
        with self._drawing(changes, seeds) as drawing:
            made = self.family.sample(len(seeds), given or None, **drawing)
        return replace(made, condition=given).to("cpu")

    def sample_batch(
        self, n: int, *, seed: int = 0, condition: Wanted | None = None, batch_size: int | None = None,
        progress: Progress | None = None, **changes: Unpack[SettingChanges],
    ) -> Batch:
        """`n` raw samples as one batch on the CPU; see `batches`. Shorter sequences are padded with 0 and masked."""
        parts = list(self.batches(n, seed=seed, condition=condition, batch_size=batch_size, progress=progress,
                                  **changes))
        return parts[0] if len(parts) == 1 else concatenated(parts)

    def sample(
        self, n: int, *, seed: int = 0, condition: Wanted | None = None, batch_size: int | None = None,
        progress: Progress | None = None, **changes: Unpack[SettingChanges],
    ) -> list[Item]:
        """`n` samples as the codec's items; see `batches`. No `condition` draws unconditionally."""
        parts = self.batches(n, seed=seed, condition=condition, batch_size=batch_size, progress=progress, **changes)
        return [item for part in parts for item in self.codec.decode(part)]

    # Sequences ----------------------------------------------------------------------------------------------------

    def continue_prefix(
        self, prefix: Tensor, *, length: int | None = None, seed: int = 0, condition: Condition | None = None,
        watch: Callable[[Tensor], bool] | None = None, **changes: Unpack[SettingChanges],
    ) -> Batch:
        """Sequences that begin with `prefix` `[n, P]`; see `Family.continue_prefix`."""
        with self._drawing(changes, _seeds(seed, len(prefix))) as drawing:
            given = self._given(condition, len(prefix))
            return self.family.continue_prefix(prefix, given, length=length, watch=watch, **drawing).to("cpu")

    def write_on(
        self, prefix: Tensor, length: int, *, overlap: int | None = None, seed: int = 0,
        watch: Callable[[Tensor], bool] | None = None, progress: Progress | None = None,
        **changes: Unpack[SettingChanges],
    ) -> Tensor:
        """Streams of up to `length` tokens `[n, <= length]` that begin with `prefix` `[n, P]`, beyond the window too.

        A full window is followed by another that begins with its last `overlap` tokens, by default half of them.
        `watch` is as for `continue_prefix`.

        Raises:
            Unsupported: the model is not of tokens, continues no prefix, or cannot be watched.
        """
        if not isinstance(self.codec.space, Discrete):
            raise Unsupported(f"{self.recipe.name} is no model of tokens: it writes nothing on")
        window, tokens, stopped = self.codec.space.length, prefix, False
        overlap = window // 2 if overlap is None else overlap

        def watched(drawn: Tensor) -> bool:
            nonlocal stopped
            stopped = watch is not None and watch(drawn)
            return stopped

        with self._drawing(changes, _seeds(seed, len(prefix))) as drawing:
            while tokens.shape[1] < length and not stopped:
                kept = tokens if tokens.shape[1] < window else tokens[:, tokens.shape[1] - overlap :]
                drawn = self.family.continue_prefix(
                    kept, length=kept.shape[1] + length - tokens.shape[1], watch=None if watch is None else watched,
                    **drawing,
                ).x.cpu()
                tokens = torch.cat([tokens, drawn[:, kept.shape[1] :]], dim=1)
                if progress is not None:
                    progress.step(tokens.shape[1], length)
        return tokens

    def fill(
        self, known: Tensor, *, seed: int = 0, condition: Condition | None = None, **changes: Unpack[SettingChanges]
    ) -> Batch:
        """Examples like `known` `[n, ...]`, filled in where tokens are -1 or numbers NaN; see `Family.fill`."""
        with self._drawing(changes, _seeds(seed, len(known))) as drawing:
            return self.family.fill(known, self._given(condition, len(known)), **drawing).to("cpu")

    def search(self, condition: Condition, *, beams: int, length_penalty: float = 1.0) -> Batch:
        """The most probable sequence that a beam search finds for each row of the condition."""
        with self._drawing({}, ()):
            given = {name: value.to(self.device) for name, value in condition.items()}
            return self.family.search(given, beams=beams, length_penalty=length_penalty).to("cpu")

    # Latents ------------------------------------------------------------------------------------------------------

    def encode(self, batch: Batch) -> Tensor:
        """Latents `[n, ...]` of data."""
        self.family.eval()
        return self.family.encode(batch.to(self.device)).cpu()

    def decode(
        self, z: Tensor, *, seed: int = 0, condition: Condition | None = None, **changes: Unpack[SettingChanges]
    ) -> Batch:
        """Data from latents `[n, ...]`, a function of the latent: all rows draw the same random numbers."""
        with self._drawing(changes, [derive(seed, 0)] * len(z)) as drawing:
            return self.family.decode(z.to(self.device), self._given(condition, len(z)), **drawing).to("cpu")

    def reconstruct(self, batch: Batch, *, seed: int = 0, **changes: Unpack[SettingChanges]) -> Batch:
        """Data through their latents and back; see `decode`."""
        with self._drawing(changes, [derive(seed, 0)] * len(batch)) as drawing:
            return self.family.reconstruct(batch.to(self.device), **drawing).to("cpu")

    def interpolate(
        self, ends: Batch | None, steps: int, *, seed: int = 0, condition: Condition | None = None,
        **changes: Unpack[SettingChanges],
    ) -> Batch:
        """`steps` points on the arc between the latents of the two examples `ends`, or of two samples; ends included.

        Raises:
            Unsupported: the family has no latents, or none of data.
            FourfoldError: fewer than two steps, or not two ends.
        """
        if steps < 2 or (ends is not None and len(ends) != 2):
            raise FourfoldError(f"an interpolation of {steps} steps between {len(ends) if ends else 2} ends: "
                                "needs at least two steps, and two ends or none")
        if ends is not None:
            latents = self.encode(ends)
        else:
            latents = Rows([derive(seed, 0), derive(seed, 1)]).normal(self.family.latent_shape)
        points = [slerp(latents[:1], latents[1:], t) for t in torch.linspace(0, 1, steps).tolist()]
        return self.decode(torch.cat(points), seed=seed, condition=condition, **changes)

    def vary(
        self, x: Tensor, strength: float, *, seed: int = 0, condition: Condition | None = None,
        **changes: Unpack[SettingChanges],
    ) -> Batch:
        """Data near x `[n, *shape]`; see `Family.vary`."""
        with self._drawing(changes, _seeds(seed, len(x))) as drawing:
            given = self._given(condition, len(x))
            return self.family.vary(x.to(self.device), strength, given, **drawing).to("cpu")

    # Likelihood ---------------------------------------------------------------------------------------------------

    def bound(
        self, data: ArrayData, max_examples: int | None = None, *, seed: int = 0, batch_size: int = BATCH
    ) -> Tensor:
        """Nats per example `[N]` of the first `max_examples`; `family.likelihood` says exact, bound or estimate.

        Raises:
            Unsupported: the family has no likelihood (a GAN).
        """
        n = len(data) if max_examples is None else min(max_examples, len(data))
        parts = []
        for index, start in enumerate(followed(range(0, n, batch_size), "measuring likelihoods")):
            batch = data.batch(np.arange(start, min(start + batch_size, n)))
            parts.append(self.bound_of(batch, seed, index))
        return torch.cat(parts)

    def bound_of(self, batch: Batch, *seed: int) -> Tensor:
        """Nats per example `[B]` of one batch, float64; draws are derived from `seed`."""
        self.family.eval()
        nats = self.family.bound(batch.to(self.device), generator=generator(self.device, *seed))
        return nats.detach().cpu().double()


def _seeds(seed: int, n: int) -> list[int]:
    """A seed for each of n rows."""
    return [derive(seed, row) for row in range(n)]
