"""A new family touches its own file and recipes only: this is one, trained, sampled and loaded by the programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import tiny_domain
import torch
from command_line import run
from torch import Tensor

from core.batches import Batch
from core.command_line.verbs import build
from core.conditions import ConditionSpec
from core.errors import Unsupported
from core.families import ConditioningConfig, Family, FamilyConfig, Loss, SampleSettings
from core.families.family import DEFAULTS
from core.networks import MLPConfig
from core.networks.conditioning import Conditioner
from core.runs.pretrained import load
from core.runs.recipe import Recipe
from core.seeds import Draws, normal
from core.spaces import Continuous, Space


@dataclass(frozen=True, kw_only=True)
class DriftConfig(FamilyConfig):
    """Normal noise moved by a network so that its moments in random directions are the data's (sliced)."""

    mover: MLPConfig = field(default_factory=lambda: MLPConfig(width=32, depth=1))
    directions: int = 32
    conditioning: ConditioningConfig = field(default_factory=lambda: ConditioningConfig(width=16))

    @property
    def sampling_network(self) -> MLPConfig:
        return self.mover

    def build(self, space: Space, conditions: Mapping[str, ConditionSpec]) -> Family:
        assert isinstance(space, Continuous)
        return Drift(self, space, conditions)


class Drift(Family):
    """Sorted projections of samples are compared with sorted projections of data (sliced Wasserstein)."""

    def __init__(self, config: DriftConfig, space: Continuous, conditions: Mapping[str, ConditionSpec]) -> None:
        super().__init__()
        self.config, self.space = config, space
        self.conditioner = Conditioner(conditions, config.conditioning)
        self.mover = config.mover.field(space, cond_width=config.conditioning.width)

    def passes(self, settings: SampleSettings) -> int:
        return 1

    def moved(self, z: Tensor, condition: Mapping[str, Tensor] | None) -> Tensor:
        shift: Tensor = self.mover(z, self.conditioner(condition, len(z)))
        return z + shift

    def forward(self, batch: Batch, player: str = "model", progress: float = 1.0) -> Loss:
        made = self.moved(torch.randn_like(batch.x), None)
        sides = torch.nn.functional.normalize(torch.randn(batch.x[0].numel(), self.config.directions), dim=0)
        real, fake = ((x.flatten(1) @ sides).sort(dim=0).values for x in (batch.x, made))
        return Loss((real - fake).square().mean())

    @torch.no_grad()
    def sample(
        self, n: int, condition: Mapping[str, Tensor] | None = None, *, settings: SampleSettings = DEFAULTS,
        draws: Draws = None,
    ) -> Batch:
        self.check(settings)
        return Batch(self.moved(normal(draws, (n, *self.space.shape), self.device), condition))


def ring_drift() -> Recipe[tiny_domain.RingData]:
    """Noise moved onto a ring."""
    train = replace(tiny_domain.TRAIN, steps=400, learning_rate=3e-3)
    return Recipe(name="ring-drift", domain="tiny", data=tiny_domain.RingData(), family=DriftConfig(), train=train)


DOMAIN = replace(tiny_domain.DOMAIN, recipes={**tiny_domain.DOMAIN.recipes, "ring-drift": ring_drift})
app = build("tiny", lambda: DOMAIN, tiny_domain.TASKS)


def test_a_new_family_needs_its_own_file_and_a_recipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    assert run(app, "train", "ring-drift", "--run", folder) == 0
    assert run(app, "evaluate", folder, "-n", 200) == 0
    assert run(app, "sample", folder, "-n", 3, "-o", tmp_path / "out") == 0
    assert run(app, "nearest", folder, 1, 0) == 0
    assert run(app, "show", "ring-drift", "--set", "family.directions=8") == 0
    assert '"directions": 8' in capsys.readouterr().out
    model = load(folder, DOMAIN)
    points = torch.tensor(model.sample(500, seed=1))
    assert (points.norm(dim=1) - 1).abs().mean() < 0.3, "it learns the ring"
    for verb in (lambda: model.encode(Batch(points)), lambda: model.vary(points, 0.5), lambda: model.fill(points)):
        with pytest.raises(Unsupported, match="Drift"):
            verb()
