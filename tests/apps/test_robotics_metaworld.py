"""Meta-World: experts succeed, episodes repeat, policies act there, and a missing GL is one line."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("metaworld", reason="Meta-World is not installed", exc_type=ImportError)

from apps.robotics.data import collect, prepare  # noqa: E402
from apps.robotics.environments import make  # noqa: E402
from apps.robotics.frames import frames  # noqa: E402
from apps.robotics.media import preview  # noqa: E402
from apps.robotics.metrics import success_rate  # noqa: E402
from apps.robotics.model import RoboticsData  # noqa: E402
from apps.robotics.rollouts import Demonstrator, RandomPolicy, run_episodes  # noqa: E402
from core.errors import FourfoldError  # noqa: E402


def test_expert_succeeds_and_random_actions_do_not() -> None:
    environment = make("reach-v3")
    assert success_rate(run_episodes(environment, Demonstrator(environment), range(8))) == 1
    assert success_rate(run_episodes(environment, RandomPolicy(environment), range(4))) < 0.5


def test_an_episode_is_a_function_of_its_seed() -> None:
    first, second = collect("drawer-open-v3", 3, seed=1, noise=0.1), collect("drawer-open-v3", 3, seed=1, noise=0.1)
    assert np.array_equal(first.observations, second.observations) and np.array_equal(first.actions, second.actions)
    assert first.succeeded.all() and len(np.unique(first.observations[:, 4].round(4))) > 2


def test_demonstrations_become_chunks() -> None:
    prepared = prepare(RoboticsData(task="reach-v3", demonstrations=12, noise=0.1, horizon=4, execute=2, history=2))
    assert prepared.train.x.shape[1:] == (4, 4) and np.abs(prepared.train.x).max() <= 1 + 1e-5
    assert prepared.codec.conditions["observation"].names[0] == "hand_x@-1"  # type: ignore[union-attr]


def test_pictures_or_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = make("reach-v3")
    episodes = run_episodes(environment, Demonstrator(environment), [1])
    try:
        drawn = frames(episodes[0], every=20)
        assert drawn.dtype == np.uint8 and drawn.shape[1:] == (240, 240, 3) and drawn[0].std() > 10
        assert len(drawn) == episodes[0].steps // 20 + 1
    except FourfoldError as error:
        assert "libegl1" in str(error)
    monkeypatch.setenv("MUJOCO_GL", "no-such-backend")
    media = preview(episodes)
    assert [entry.kind for entry in media] == ["text", "gif"] and "libegl1" in str(media[0].content)
