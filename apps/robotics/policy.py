"""A trained model as a policy: in a user's own loop, or in many episodes at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Unpack

import numpy as np
import torch

from apps.robotics.model import RoboticsModel
from apps.robotics.observations import Value
from apps.robotics.simulation import Bools, Floats, Key, Seen
from core.errors import require
from core.families.family import SettingChanges
from core.seeds import derive

DECISION = 2  # `rollouts.Purpose.DECISION`


class Policy:
    """Receding-horizon execution of a model's action chunks (Chi et al. 2303.04137).

        policy = robotics.load(run).policy()
        policy.reset()
        while not done:
            action = policy.act(observation)

    It needs no simulator, runs on one thread, and repeats exactly from its seeds.
    """

    def __init__(
        self, model: RoboticsModel, *, seed: int = 0, execute: int | None = None, ensemble: float | None = None,
        together: int = 1, settings: SettingChanges | None = None,
    ) -> None:
        """Args:
            execute: actions executed of each chunk before the next; None takes the recipe's.
            ensemble: decide at every step instead, and execute the mean of what all chunks say of it, weighted by
                exp(-ensemble i) from the oldest, i = 0, on (temporal ensembling, Zhao et al. 2304.13705, who take
                0.01); None: do not.
            together: episodes that are always decided for at once; see `Environment.parallel`.
            settings: of samples, e.g. {"num_steps": 4}.

        Raises:
            FourfoldError: a number out of range, or a setting the family does not take.
        """
        config = model.recipe.data
        self.model, self.seed, self.together = model, seed, together
        self.settings = settings or SettingChanges()
        self.execute = 1 if ensemble is not None else execute or config.execute
        require(1 <= self.execute <= config.horizon, "execute", execute, f"must be in [1, {config.horizon}]")
        require(ensemble is None or 0 <= ensemble <= 100, "ensemble", ensemble, "must be in [0, 100]")
        self.ensemble = ensemble
        model.settings(**self.settings)
        self.reset()

    def reset(self, seed: int = 0) -> None:
        """An episode begins: forget what was seen; `seed` names its random draws."""
        self.begin([(seed, 0)])

    @torch.inference_mode()
    def act(self, observation: Value) -> Value:
        """The action for the present observation, both as the environment gives and takes them.

        Raises:
            FourfoldError: an observation of another shape than the policy learned, or not finite.
        """
        codec = self.model.codec
        picture = codec.observation.picture(observation, codec.picture) if codec.picture else None
        seen = Seen(codec.observation.vector(observation)[None], None if picture is None else picture[None])
        with one_thread():
            action = self.actions(seen, np.ones(1, dtype=bool))[0]
        return codec.action.value(action)

    def begin(self, keys: Sequence[Key]) -> None:
        """Episodes begin, one a key."""
        self.keys, self.step = list(keys), 0
        self.numbers: list[Floats] = []
        self.pictures: list[np.ndarray] = []
        self.chunks: list[Floats] = []  # the newest last, [N, horizon, A] each

    def actions(self, seen: Seen, active: Bools) -> Floats:
        """The next actions `[N, A]`; before an episode's start its first observation repeats."""
        history = self.model.codec.history
        self.numbers = ((self.numbers or [seen.numbers] * history) + [seen.numbers])[-history:]
        if seen.pictures is not None:
            self.pictures = ((self.pictures or [seen.pictures] * history) + [seen.pictures])[-history:]
        place = self.step % self.execute
        if place == 0:
            kept = self.model.codec.horizon if self.ensemble is not None else 1
            self.chunks = [*self.chunks, self._decided(active)][-kept:]
        self.step += 1
        if self.ensemble is None:
            return self.chunks[-1][:, place]
        # The chunk of i steps ago speaks of now in its action i.
        said = [chunk[:, len(self.chunks) - 1 - i] for i, chunk in enumerate(self.chunks)]
        return np.average(said, axis=0, weights=np.exp(-self.ensemble * np.arange(len(said))))

    def _decided(self, active: Bools) -> Floats:
        """A chunk of actions for each active episode, `[N, horizon, A]`.

        The batch always has the same number of rows: sums of floats depend on a matrix's shape in their last bits.
        """
        codec, rows = self.model.codec, np.flatnonzero(active)
        filled = np.resize(rows, max(self.together, len(rows)))
        pictures = np.stack(self.pictures, axis=1)[filled] if self.pictures else None
        batch = self.model.sample_rows(
            [derive(DECISION, self.seed, *self.keys[row], self.step) for row in filled],
            condition=codec.observe(np.stack(self.numbers, axis=1)[filled], pictures), **self.settings,
        )
        actions = np.zeros((len(active), codec.horizon, len(codec.action_names)))
        actions[rows] = codec.actions(batch.x)[: len(rows)]
        return actions


class TrainedPolicy(RoboticsModel):
    """A trained model that acts; what `load` and `train` return."""

    def policy(
        self, *, seed: int = 0, execute: int | None = None, ensemble: float | None = None,
        **changes: Unpack[SettingChanges],
    ) -> Policy:
        """A policy for one's own loop; see `Policy`. `changes`: of sample settings."""
        return Policy(self, seed=seed, execute=execute, ensemble=ensemble, settings=changes)


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for small networks, which more of them only slow down."""
    threads = torch.get_num_threads()
    if threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
