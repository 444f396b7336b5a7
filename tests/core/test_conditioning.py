"""Conditions become network inputs, and a user's words become conditions."""

from __future__ import annotations

import pytest
import torch

from core.condition_parsing import parse_condition
from core.conditions import ClassCondition, SequenceCondition, VectorCondition
from core.errors import FourfoldError
from core.networks.conditioning import Conditioner

CLASSES = ClassCondition(names=("sneaker", "boot", "7"))
VECTOR = VectorCondition(names=("logp", "qed"), mean=(1.0, 0.5), std=(2.0, 0.1))
SOURCE = SequenceCondition(length=6, vocab=9, pad=0)
SPECS = {"label": CLASSES, "target": VECTOR}


@pytest.fixture
def conditioner() -> Conditioner:
    torch.manual_seed(0)
    return Conditioner(SPECS, 16)


def test_without_specs_there_is_no_vector():
    assert Conditioner({}, 16)(None, 3).vector is None


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
    heard = conditioner.embeddings["target"](given["target"]) - conditioner.nulls["target"]
    torch.testing.assert_close(only, full - heard)


def test_an_unknown_condition_is_named(conditioner):
    with pytest.raises(FourfoldError, match="no condition 'labl' in this model: did you mean 'label'"):
        conditioner({"labl": torch.zeros(1)}, 1)


def test_a_source_is_read_without_its_padding():
    torch.manual_seed(0)
    conditioner = Conditioner({"source": SOURCE} | SPECS, 32)
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


def test_words_become_conditions():
    parsed = parse_condition(SPECS, {"label": "boot", "target": "qed=0.8, logp=2"}, 2)
    assert parsed["label"].tolist() == [1, 1] and parsed["label"].dtype == torch.int64
    torch.testing.assert_close(parsed["target"], torch.tensor([[0.5, 3.0]] * 2))
    torch.testing.assert_close(parse_condition(SPECS, {"target": "2,0.8"}, 1)["target"], torch.tensor([[0.5, 3.0]]))
    assert parse_condition(SPECS, {"label": "0"}, 1)["label"].item() == 0
    assert parse_condition(SPECS, {"label": "7"}, 1)["label"].item() == 2, "a name goes before an index"


@pytest.mark.parametrize(("texts", "message"), [
    ({"labl": "boot"}, "no condition 'labl': did you mean 'label'"),
    ({"label": "bot"}, "no label 'bot': did you mean 'boot'"),
    ({"label": "3"}, "no label '3'"),
    ({"label": "-1"}, "no label '-1'"),
    ({"label": "²"}, "no label '²'"),
    ({"label": ""}, "no label ''"),
    ({"target": "2"}, "needs 2 numbers, logp, qed"),
    ({"target": "1,2,3"}, "needs 2 numbers, logp, qed"),
    ({"target": "logP=2,qed=0.8"}, "target has no 'logP': did you mean 'logp'"),
    ({"target": "logp=2"}, "qed is missing"),
    ({"target": "logp=2,qed=high"}, "target.qed is 'high': must be a number"),
    ({"target": "nan,0.5"}, "target.logp is 'nan': must be finite"),
    ({"target": "logp=1,logp=2,qed=0"}, "target names 'logp' twice"),
    ({"source": "hello"}, "'source' cannot be written"),
])
def test_wrong_words_are_one_clear_line(texts, message):
    with pytest.raises(FourfoldError, match=message) as caught:
        parse_condition(SPECS | {"source": SOURCE}, texts, 1)
    assert "\n" not in str(caught.value)


def test_a_caption_becomes_the_tokens_of_its_words():
    spec = SequenceCondition(length=4, vocab=4, pad=3, words=("cat", "red", "smiling"))
    parsed = parse_condition({"prompt": spec}, {"prompt": "Smiling, red CAT!"}, 2)["prompt"]
    assert parsed.tolist() == [[2, 1, 0, 3]] * 2
    for text, message in (("a dog", "'a', which this model never saw"), ("", "must have words"),
                          ("smilling cat", "did you mean 'smiling'")):
        with pytest.raises(FourfoldError, match=message):
            parse_condition({"prompt": spec}, {"prompt": text}, 1)


def test_a_model_without_conditions_says_so():
    with pytest.raises(FourfoldError, match="trained without conditions"):
        parse_condition({}, {"label": "boot"}, 1)
