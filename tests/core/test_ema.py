"""The moving average of weights against its closed form."""

import pytest
import torch
from torch import nn

from core.training.ema import Average, decay_of


def test_decay_warms_up_to_its_limit():
    assert decay_of(0, 0.999) == pytest.approx(0.1)
    assert decay_of(90, 0.999) == pytest.approx(0.91)
    assert decay_of(10**6, 0.999) == 0.999


def test_average_equals_its_closed_form():
    weight = nn.Parameter(torch.randn(3, 4, dtype=torch.float64))
    average = Average([("weight", weight)], 0.9)
    history = [weight.detach().clone()]
    for step in range(200):
        with torch.no_grad():
            weight.normal_()
        history.append(weight.detach().clone())
        average.update(step)
    # a_n = sum_i (1 - d_i) prod_{j > i} d_j p_i, with the initial weights as p_0 of weight 1.
    share, expected = 1.0, torch.zeros_like(weight)
    for step in reversed(range(200)):
        decay = min(0.9, (1 + step) / (10 + step))
        expected += share * (1 - decay) * history[step + 1]
        share *= decay
    expected += share * history[0]
    torch.testing.assert_close(average.values["weight"], expected.detach())


def test_zero_decay_keeps_no_average():
    layer = nn.Linear(2, 2)
    average = Average(layer.named_parameters(), 0.0)
    average.update(0)
    assert average.values == {}
    assert average.merged(layer.state_dict()).keys() == layer.state_dict().keys()


def test_merged_replaces_averaged_parameters_only():
    layer = nn.Linear(2, 2)
    before = layer.weight.detach().clone()
    average = Average([("weight", layer.weight)], 0.5)
    with torch.no_grad():
        layer.weight += 1
        layer.bias += 1
    merged = average.merged(layer.state_dict())
    assert torch.equal(merged["weight"], before) and torch.equal(merged["bias"], layer.bias)
