"""Training by a reward: what is rewarded becomes likelier, the prior stays, and a search goes on bit for bit."""

from __future__ import annotations

import pytest
import torch

from core.batches import Batch
from core.errors import FourfoldError, Unsupported
from core.families import AutoregressiveConfig, VAEConfig
from core.families.family import Family
from core.networks import MLPConfig, TransformerConfig
from core.seeds import generator
from core.spaces import Continuous, Discrete
from core.training.reward import Agent, RewardConfig


@pytest.fixture
def prior() -> Family:
    """An untrained model of sequences of up to 6 of 5 tokens, 0 their end."""
    torch.manual_seed(0)
    space = Discrete(length=6, vocab=5, eos=0, length_histogram=(0.0, 0.1, 0.2, 0.3, 0.2, 0.2))
    return AutoregressiveConfig(model=TransformerConfig(width=16, depth=1, heads=2)).build(space, {}).eval()


def rewarded(batch: Batch) -> torch.Tensor:
    """The share of token 2 in each sequence."""
    assert batch.mask is not None
    return ((batch.x == 2) & batch.mask).sum(1) / batch.mask.sum(1)


def followed(agent: Agent, steps: range) -> list[float]:
    means = []
    for step in steps:
        batch = agent.family.sample(32, draws=generator(torch.device("cpu"), step))
        reward = rewarded(batch)
        means.append(float(reward.mean()))
        agent.step(batch, reward)
    return means


CONFIG = RewardConfig(sigma=20, learning_rate=1e-2)


def test_what_is_rewarded_becomes_likelier(prior: Family) -> None:
    before = {name: value.clone() for name, value in prior.state_dict().items()}
    means = followed(Agent(prior, CONFIG), range(60))
    assert sum(means[-5:]) / 5 > 0.5 > 0.35 > sum(means[:5]) / 5
    assert all(torch.equal(value, before[name]) for name, value in prior.state_dict().items())


def test_without_a_reward_the_agent_stays_the_prior(prior: Family) -> None:
    agent = Agent(prior, CONFIG)
    batch = prior.sample(8, draws=generator(torch.device("cpu"), 0))
    assert agent.step(batch, torch.zeros(8)) == pytest.approx(0, abs=1e-8)


def test_an_agent_goes_on_bit_for_bit(prior: Family) -> None:
    whole, first, second = (Agent(prior, CONFIG) for _ in range(3))
    means = followed(whole, range(12))
    begun = followed(first, range(5))
    second.load({name: value.clone() for name, value in first.state().items()})
    assert begun + followed(second, range(5, 12)) == means
    assert all(torch.equal(value, whole.state()[name]) for name, value in second.state().items())
    with pytest.raises(FourfoldError, match="of another model"):
        second.load({"family/x": torch.zeros(1)})


def test_a_family_without_a_likelihood_is_told_so() -> None:
    network = MLPConfig(width=8, depth=1)
    family = VAEConfig(encoder=network, decoder=network, latent=2).build(Continuous(shape=(2,)), {})
    with pytest.raises(Unsupported, match="use an autoregressive model"):
        Agent(family, CONFIG).step(Batch(torch.zeros(2, 2)), torch.zeros(2))
