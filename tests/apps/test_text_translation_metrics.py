"""BLEU and chrF: the values of sacrebleu, and intervals that are cheap and right."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import numpy as np
import pytest
import sacrebleu

from apps.text.translation_metrics import CorpusScore, corpus_bleu, corpus_chrf
from core.errors import FourfoldError
from core.metrics.intervals import bootstrap

# Real sentences: what the methods of str do.
REAL = [" ".join(str(inspect.getdoc(getattr(str, name))).split()) for name in dir(str) if not name.startswith("_")]
DROPPED = [" ".join(word for i, word in enumerate(text.split()) if i % 7) for text in REAL]


@pytest.mark.parametrize("score", [corpus_bleu, corpus_chrf])
def test_ends_of_the_scale(score: Callable[..., CorpusScore]) -> None:
    same = score(REAL, REAL, resamples=50)
    assert same.value == pytest.approx(100) and same.interval == pytest.approx((100, 100)) and same.count == len(REAL)
    nothing = score(["qqqq zzzz jjjj kkkk"] * 4, ["1111 2222 3333 4444"] * 4, resamples=50)
    assert nothing.value == 0 and nothing.interval == (0, 0)


def test_they_are_sacrebleus() -> None:
    bleu, chrf = sacrebleu.metrics.BLEU(), sacrebleu.metrics.CHRF()
    found = corpus_bleu(DROPPED, REAL)
    assert found.value == bleu.corpus_score(DROPPED, [REAL]).score and 60 < found.value < 90
    assert found.signature == str(bleu.get_signature()) and {"tok:13a", "nrefs:1"} < set(found.signature.split("|"))
    found = corpus_chrf(DROPPED, REAL)
    assert found.value == chrf.corpus_score(DROPPED, [REAL]).score and found.signature == str(chrf.get_signature())
    plus = sacrebleu.corpus_chrf(DROPPED, [REAL], word_order=2).score
    assert corpus_chrf(DROPPED, REAL, word_order=2, resamples=1).value == plus
    upper = [text.upper() for text in REAL]
    assert corpus_bleu(upper, REAL, lowercase=True, resamples=1).value == pytest.approx(100)
    characters = corpus_bleu(DROPPED, REAL, tokenize="char", resamples=1)
    assert characters.value == sacrebleu.corpus_bleu(DROPPED, [REAL], tokenize="char").score
    assert "tok:char" in characters.signature


def test_interval_is_that_of_resampled_sentences() -> None:
    """The same resamples, tokenised anew each time, give the same interval."""
    few, real, rows = np.array(DROPPED[:12]), np.array(REAL[:12]), np.arange(12)

    def slow(picked: np.ndarray) -> float:
        return float(sacrebleu.corpus_bleu(few[picked].tolist(), [real[picked].tolist()]).score)

    found = corpus_bleu(few.tolist(), real.tolist(), resamples=20, seed=3)
    assert found.interval == pytest.approx(bootstrap(slow, rows, n=20, seed=3))
    assert found.interval[0] < found.value < found.interval[1]


def test_worse_translations_score_less() -> None:
    for score in (corpus_bleu, corpus_chrf):
        good, bad = score(DROPPED, REAL), score(REAL[1:] + REAL[:1], REAL)
        assert good.interval[0] > bad.interval[1]
    half = corpus_bleu(["" if i % 2 else text for i, text in enumerate(REAL)], REAL, resamples=1)
    assert 0 < half.value < 70  # empty translations count, in the brevity penalty


def test_mistakes_are_one_clear_line() -> None:
    with pytest.raises(FourfoldError, match="1 hypotheses and 2 references"):
        corpus_bleu(["a"], ["a", "b"])
    with pytest.raises(FourfoldError, match="at least one"):
        corpus_chrf([], [])
    with pytest.raises(FourfoldError, match="tokenize is '13b': must be one of .*13a"):
        corpus_bleu(["a"], ["a"], tokenize="13b")
    with pytest.raises(FourfoldError, match="word_order is -1"):
        corpus_chrf(["a"], ["a"], word_order=-1)
