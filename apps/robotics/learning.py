"""Training on demonstrations from Python."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from apps.robotics.demonstrations import Demonstrations
from apps.robotics.domain import DOMAIN, acting
from apps.robotics.policy import TrainedPolicy
from apps.robotics.simulation import Episode
from core.data.rows import peeked
from core.errors import FourfoldError
from core.runs.own import Settings, train_own
from core.training.log import Listener


def train(
    demonstrations: str | Path | Demonstrations | Iterable[Demonstrations | Episode | Mapping[str, Any]], *,
    start: str | Path | None = None, family: str | None = None, minutes: float | None = None,
    run: str | Path | None = None, seed: int = 0, device: str = "auto", settings: Settings | None = None,
    progress: Listener | None = None,
) -> TrainedPolicy:
    """A policy of your own demonstrations, trained here: `robotics.train(robotics.collect("planar", 100), minutes=5)`.

    Args:
        demonstrations: `Demonstrations`, several of one task, episodes, dictionaries of "observations" and "actions"
            (see `Demonstrations.of_arrays`), or a file or folder.
        start: a run, or the name of a model that ships: its training goes on with these data.
        family: "vae", "gan", "diffusion" or "autoregressive"; None picks what suits them.
        minutes: how long to train, 20 unless `settings` has train.steps.
        run: the run folder, in which demonstrations and model are kept; None names one. The same call again resumes it.
        settings: a recipe's keys and their values, {"data.horizon": 16, "data.execute": 8}.

    Raises:
        FourfoldError: demonstrations that cannot be used, too few that succeed, a refused setting, a run folder of
            something else.
    """
    items: Any = Path(demonstrations) if isinstance(demonstrations, str | Path) else _files(demonstrations)
    return acting(train_own(DOMAIN, items, start=start, family=family, minutes=minutes, run=run, seed=seed,
                            device=device, settings=settings, progress=progress))


def _files(
    demonstrations: Demonstrations | Iterable[Demonstrations | Episode | Mapping[str, Any]]
) -> Iterator[tuple[str, bytes]]:
    """An .npz for each `Demonstrations`, and one for all episodes."""
    if isinstance(demonstrations, Demonstrations):
        demonstrations = [demonstrations]
    _, items = peeked(demonstrations)
    episodes: list[Episode] = []
    arrays: list[Mapping[str, Any]] = []
    for index, item in enumerate(items):
        if isinstance(item, Episode):
            episodes.append(item)
        elif isinstance(item, Mapping):
            arrays.append(item)
        elif isinstance(item, Demonstrations):
            yield f"{index:05d}.npz", item.content()
        else:
            raise FourfoldError(f"item {index} is of type {type(item).__name__}: must be Demonstrations, an Episode, "
                                "or a dictionary of observations and actions")
    if episodes:
        yield "episodes.npz", Demonstrations.of(episodes).content()
    if arrays:
        yield "own.npz", Demonstrations.of_arrays(arrays).content()
