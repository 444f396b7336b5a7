"""BLEU and self-BLEU against nltk, and measures of sets of samples: real text is better than broken generators."""

from __future__ import annotations

import builtins
import inspect
import math
import os
import random

import numpy as np
import pytest
from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

from apps.text.sample_metrics import (
    ORDERS,
    SPAN,
    copied_spans,
    distinct,
    has_words,
    memorization,
    perplexity,
    reverse_nats,
    sample_bleu,
    self_bleu,
    share,
    words,
)
from core.errors import FourfoldError

# Real sentences: what functions of Python do.
DOCS = [str(inspect.getdoc(value)) for space in (os, str, bytes, builtins) for value in vars(space).values()]
REAL = sorted({" ".join(paragraph.split()) for text in DOCS for paragraph in text.split("\n\n")})
random.Random(0).shuffle(REAL)
REAL = [text for text in REAL if 4 < len(text.split()) < 30]
HELD, TRAIN = REAL[:150], REAL[150:]
ODD = ["", "the", "a file", "the the the the", "the the the the file file file ( ( (", "qqq zzz"]


def shuffled(texts: list[str]) -> list[str]:
    """The same words, each text's and all texts' in disorder: a generator that knows frequencies only."""
    pool = [word for text in texts for word in text.split()]
    random.Random(1).shuffle(pool)
    return [" ".join(pool.pop() for _ in text.split()) for text in texts]


def reference_bleu(references: list[list[str]], hypothesis: list[str], n: int) -> float:
    return float(sentence_bleu(references, hypothesis, (1 / n,) * n, smoothing_function=SmoothingFunction().method1))


def test_there_is_text() -> None:
    assert len(TRAIN) > 200


@pytest.mark.parametrize("references", [TRAIN[:60], TRAIN[:1], [*TRAIN[:5], ""]], ids=len)
def test_sample_bleu_is_nltks(references: list[str]) -> None:
    samples = [*HELD[:25], *ODD]
    found, real = sample_bleu(samples, references), words(references)
    assert tuple(found) == ORDERS
    for n in ORDERS:
        expected = [reference_bleu(real, sample, n) for sample in words(samples)]
        np.testing.assert_allclose(found[n], expected, rtol=1e-12)


@pytest.mark.parametrize("samples", [[*HELD[:25], *HELD[:3], *ODD], ["a b c", "a b"], ["", ""]], ids=len)
def test_self_bleu_is_nltks_without_the_hypothesis(samples: list[str]) -> None:
    found, cut = self_bleu(samples), words(samples)
    for n in ORDERS:
        expected = [reference_bleu(cut[:i] + cut[i + 1 :], sample, n) for i, sample in enumerate(cut)]
        np.testing.assert_allclose(found[n], expected, rtol=1e-12)


def test_bleu_of_copies_is_one_and_of_strangers_zero() -> None:
    copies = ["one two three four five six"] * 4
    assert all((values == 1).all() for values in self_bleu(copies).values())
    assert all((values == 1).all() for values in sample_bleu(copies, copies[:1]).values())
    assert all((values == 0).all() for values in sample_bleu(copies, ["a b c d e f"]).values())
    assert all((values == 0).all() for values in self_bleu(["a b c d", "e f g h"]).values())


def test_real_text_beats_broken_generators() -> None:
    broken, collapsed = shuffled(HELD), HELD[:5] * 30
    quality = [sample_bleu(samples, TRAIN) for samples in (HELD, broken)]
    likeness = [self_bleu(samples) for samples in (HELD, collapsed)]
    for n in ORDERS:
        assert quality[0][n].mean() > 1.5 * quality[1][n].mean()
        assert likeness[1][n].mean() > 0.99 > 1.5 * likeness[0][n].mean()
    assert distinct(collapsed) < 0.1 < distinct(HELD)
    costs = {name: perplexity(*reverse_nats(samples, HELD)) for name, samples in
             (("real", TRAIN[:150]), ("broken", shuffled(TRAIN[:150])), ("collapsed", TRAIN[:5] * 30))}
    assert costs["real"] < costs["broken"] < costs["collapsed"]


def test_sizes_are_drawn() -> None:
    few = sample_bleu(HELD, TRAIN, (2,), size=20, reference_size=30, seed=4)[2]
    assert len(few) == 20 and few.mean() < sample_bleu(HELD, TRAIN, (2,))[2].mean()
    assert (few == sample_bleu(HELD, TRAIN, (2,), size=20, reference_size=30, seed=4)[2]).all()
    assert len(self_bleu(HELD, (3,), size=20)[3]) == 20
    everything = sample_bleu(HELD, TRAIN[:50], (2,), size=len(HELD))[2]
    assert sorted(everything) == pytest.approx(sorted(sample_bleu(HELD, TRAIN[:50], (2,))[2]))


def test_reverse_perplexity_of_a_known_model() -> None:
    """Of the unigrams of "a a b" and an end: (c(w) + T / V) / (N + T), V = a, b, the end and all other words."""
    nats, counts = reverse_nats(["a a b"], ["a b"], order=1)
    p_a, p_once = (2 + 3 / 4) / 7, (1 + 3 / 4) / 7
    assert nats == pytest.approx([-math.log(p_a * p_once * p_once)]) and counts.tolist() == [3]
    assert perplexity(nats, counts) == pytest.approx((p_a * p_once * p_once) ** (-1 / 3))
    # Words that real text does not have are one word, however many they are.
    assert reverse_nats(["a q a"], ["a b"])[0] == pytest.approx(reverse_nats(["a zz a"], ["a b"])[0])
    assert perplexity(*reverse_nats(HELD, HELD)) < 5 < perplexity(*reverse_nats(TRAIN, HELD))
    assert np.isfinite(reverse_nats([""], HELD)[0]).all()


def test_distinct() -> None:
    assert distinct(["a b a b"], 1) == 2 / 4 and distinct(["a b a b"]) == 2 / 4  # ab, ba; over words, as published
    assert distinct(["a b", "b a"], 2) == 2 / 4 and distinct(["a", "b"], 2) == distinct([""]) == 0


def test_memorization() -> None:
    found = memorization(["a b c d e", "a b"], ["x b c d", ""], ["z a b c d", "d e"], orders=(2, 4))
    assert found[2][0].tolist() == [[4, 4], [1, 1]] and found[2][1].tolist() == [[2, 3], [0, 0]]
    assert found[4][0].tolist() == [[1, 2], [0, 0]] and found[4][1].tolist() == [[0, 1], [0, 0]]
    assert (share(found[2][0]), share(found[4][0]), share(found[4][1])) == (1, 0.5, 0)
    assert share(np.zeros((3, 2))) == 0
    copied = memorization(TRAIN[:50], HELD, TRAIN)
    for n in (4, 8):
        assert share(copied[n][0]) == 1 > share(copied[n][1])


def test_copied_spans_are_those_of_the_training_text() -> None:
    train = " ".join(TRAIN)
    copies = [train[i : i + 90] for i in range(0, 2000, 100)]
    texts = ["", "short", *HELD[:20], *copies, "東京" * 9, train[5:60] + "?" * 50]
    spans = {train.encode()[i : i + SPAN] for i in range(len(train.encode()) - SPAN + 1)}
    expected = []
    for encoded in (text.encode() for text in texts):
        every = [encoded[i : i + SPAN] for i in range(len(encoded) - SPAN + 1)]
        expected.append([sum(one in spans for one in every), len(every)])
    made, held = copied_spans(texts, HELD, train)
    assert made.tolist() == expected and len(held) == len(HELD)
    assert share(made[22:42]) == 1 and share(held) < 0.2
    assert share(copied_spans(["東京都は日本の首都である"], HELD, "東京都は日本の首都である。")[0]) == 1


@pytest.mark.parametrize(("text", "words"), [
    ("The cat sat on the mat.", True), ("def f(x):\n    return x", True), ("Ein Satz mit Wörtern", True),
    ("Кошка сидит на ковре", True), ("고양이가 매트 위에 앉았다", True), ("قطة تجلس على السجادة", True),
    ("猫坐在垫子上。", False), ("猫は マットの 上に 座った", False), ("แมวนั่งบนเสื่อ และ นอนหลับ", False),
    ("ACGTACGATTACAGATTACACCGGTTAACCGGTATATACGCG", False),
])
def test_words_are_counted_only_where_there_are_some(text: str, words: bool) -> None:
    assert has_words([text] * 3) is words


def test_mistakes_are_one_clear_line() -> None:
    with pytest.raises(FourfoldError, match="no samples"):
        sample_bleu([], TRAIN)
    with pytest.raises(FourfoldError, match="no references"):
        sample_bleu(HELD, [])
    with pytest.raises(FourfoldError, match="151 samples are asked of 150"):
        sample_bleu(HELD, TRAIN, size=151)
    with pytest.raises(FourfoldError, match="at least 2"):
        self_bleu(["one"])
    with pytest.raises(FourfoldError, match="none below 1"):
        self_bleu(HELD, (0, 2))
    for call in (lambda: reverse_nats([], HELD), lambda: reverse_nats(HELD, []), lambda: distinct([]),
                 lambda: memorization(HELD, [], TRAIN), lambda: memorization(HELD, HELD, [])):
        with pytest.raises(FourfoldError, match="need at least one"):
            call()
