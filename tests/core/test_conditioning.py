"""Conditions as network inputs, and their parsing from text."""

from __future__ import annotations

import pytest
import torch

from core.condition_parsing import parse_condition
from core.conditions import ClassCondition, ConditionSpec, SequenceCondition, VectorCondition
from core.errors import FourfoldError
from core.networks.conditioning import Conditioner, ConditioningConfig

CLASSES = ClassCondition(names=("sneaker", "boot", "7"))
NUMBERS = ClassCondition(names=("10", "20", "30"))
VECTOR = VectorCondition(names=("logp", "qed"), mean=(1.0, 0.5), std=(2.0, 0.1))
SOURCE = SequenceCondition(length=6, vocab=9, pad=0)
SPECS: dict[str, ConditionSpec] = {"label": CLASSES, "target": VECTOR}


@pytest.fixture
def conditioner() -> Conditioner:
    torch.manual_seed(0)
    return Conditioner(SPECS, ConditioningConfig(width=16))


def test_without_specs_there_is_no_vector():
    assert Conditioner({}, ConditioningConfig(width=16))(None, 3).vector is None


def test_missing_and_dropped_conditions_are_the_learned_null(conditioner):
    given = {"label": torch.tensor([0, 1, 2]), "target": torch.randn(3, 2)}
    null = conditioner(None, 3).vector
    full = conditioner(given, 3).vector
    dropped = conditioner(given, 3, torch.tensor([True, False, True])).vector
    assert null.shape == (3, 16) and null.requires_grad
    torch.testing.assert_close(dropped[[0, 2]], null[[0, 2]])
    torch.testing.assert_close(dropped[1], full[1])
    assert (full - null).abs().amax(1).gt(1e-3).all()
    # One condition of the two: the other takes its null.
    only = conditioner({"label": given["label"]}, 3).vector
    part = conditioner.embeddings["target"](given["target"]) - conditioner.nulls["target"]
    torch.testing.assert_close(only, full - part)


def test_an_unknown_condition_is_named(conditioner):
    with pytest.raises(FourfoldError, match="no condition 'labl' in this model: did you mean 'label'"):
        conditioner({"labl": torch.zeros(1)}, 1)


def test_a_source_is_read_without_its_padding():
    torch.manual_seed(0)
    conditioner = Conditioner({"source": SOURCE} | SPECS, ConditioningConfig(width=32))
    for parameter in conditioner.parameters():
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    source = torch.tensor([[3, 4, 5, 0, 0, 0], [1, 2, 3, 4, 5, 6]])
    long, short = conditioner({"source": source}, 2), conditioner({"source": source[:1, :3]}, 1)
    assert long.sequence.shape == (2, 7, 32)
    assert long.sequence_mask.tolist() == [[True] * 4 + [False] * 3, [True] * 7]
    torch.testing.assert_close(long.sequence[:1, :4], short.sequence)
    torch.testing.assert_close(long.vector[:1], short.vector)
    dropped = conditioner({"source": source}, 2, torch.tensor([True, False]))
    assert dropped.sequence_mask.sum(1).tolist() == [1, 7]
    torch.testing.assert_close(dropped.vector[0], conditioner(None, 2).vector[0])
    assert dropped.sequence.isfinite().all()


def test_the_share_of_dropped_conditions_is_the_configured_one():
    torch.manual_seed(0)
    hidden = Conditioner(SPECS, ConditioningConfig(width=4, dropout=0.3)).hidden(20_000, torch.device("cpu"))
    assert abs(hidden.float().mean().item() - 0.3) < 0.02
    assert Conditioner(SPECS, ConditioningConfig(width=4, dropout=0.0)).hidden(5, torch.device("cpu")) is None


def test_text_becomes_conditions():
    label = parse_condition(CLASSES, "label", "boot")
    assert label.item() == 1 and label.shape == () and label.dtype == torch.int64
    assert parse_condition(CLASSES, "label", "7").item() == 2
    digits = ClassCondition(names=tuple("3210"))
    assert [parse_condition(digits, "label", name).item() for name in "0123"] == [3, 2, 1, 0]
    for text in ("qed=0.8, logp=2", "2,0.8"):
        torch.testing.assert_close(parse_condition(VECTOR, "target", text), torch.tensor([0.5, 3.0]))


@pytest.mark.parametrize(("name", "text", "message"), [
    ("label", "bot", "no label 'bot': did you mean 'boot'"),
    ("label", "0", "no label '0': known: 7, boot, sneaker"),
    ("label", "2", "no label '2'"),
    ("label", "07", "no label '07'"),
    ("number", "2", "no number '2': did you mean '20'"),
    ("number", "0", "no number '0'"),
    ("label", "-1", "no label '-1'"),
    ("label", "²", "no label '²'"),
    ("label", "", "no label ''"),
    ("target", "2", "needs 2 numbers, logp, qed"),
    ("target", "1,2,3", "needs 2 numbers, logp, qed"),
    ("target", "logP=2,qed=0.8", "target has no 'logP': did you mean 'logp'"),
    ("target", "logp=2", "qed is missing"),
    ("target", "logp=2,qed=high", "target.qed is 'high': must be a number"),
    ("target", "nan,0.5", "target.logp is 'nan': must be finite"),
    ("target", "logp=1,logp=2,qed=0", "target names 'logp' twice"),
    ("source", "hello", "'source' cannot be written"),
])
def test_wrong_text_is_refused_in_one_line(name, text, message):
    with pytest.raises(FourfoldError, match=message) as caught:
        parse_condition((SPECS | {"source": SOURCE, "number": NUMBERS})[name], name, text)
    assert "\n" not in str(caught.value)
