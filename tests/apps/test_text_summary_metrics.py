"""ROUGE against known values and rouge_score, and the baselines that copy a sentence."""

from __future__ import annotations

import pytest
from rouge_score.rouge_scorer import RougeScorer

from apps.text.summary_metrics import ROUGES, CentroidExtractor, lead_one, rouge, sentences
from core.errors import FourfoldError

DOCUMENTS = [
    "This package is small. Notmuch indexes, searches and tags large collections of email. It uses a library.",
    "This package is fast. Polylib computes on polyhedra: vectors, matrices and lattices. It uses long integers.",
    "This package has a manual. The editor draws charts of courses. It uses a web browser.",
]


def test_known_values() -> None:
    found = rouge(["the cat sat on the mat", "", "the cats sat"], ["the cat sat on the mat", "a dog", "the cat sits"])
    assert set(found) == set(ROUGES) and all(len(values) == 3 for values in found.values())
    assert [found[name][0] for name in ROUGES] == [100, 100, 100]
    assert [found[name][1] for name in ROUGES] == [0, 0, 0]
    # Stems: the, cat, sat against the, cat, sit: two of three words, one of two pairs.
    assert [found[name][2] for name in ROUGES] == pytest.approx([200 / 3, 50, 200 / 3])
    assert all(value == 0 for values in rouge(["aa bb"], ["cc dd"]).values() for value in values)
    # Order counts for pairs and for the longest common subsequence, which is one word here.
    turned = rouge(["c b a"], ["a b c"])
    assert [turned[name][0] for name in ROUGES] == pytest.approx([100, 0, 100 / 3])


def test_they_are_rouge_scores() -> None:
    made, targets = [lead_one(text) for text in DOCUMENTS], DOCUMENTS[::-1]
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=True)
    found = rouge(made, targets)
    for i, (summary, target) in enumerate(zip(made, targets, strict=True)):
        for name, score in scorer.score(target, summary).items():
            assert found[name][i] == 100 * score.fmeasure


def test_sentences() -> None:
    assert sentences("One. Two! Three? Four… Five") == ["One.", "Two!", "Three?", "Four…", "Five"]
    whole = ["Tools, e.g. those of Dr. Donald E. Knuth in vol. 4, version 3.1 of x.org.", "It is written in C.",
             "libfoo is small (etc. and so on).", "It does Unicode, ASCII, etc.", 'He said "No."', "Is it a.k.a. bar?"]
    assert sentences("\n ".join(whole)) == whole
    assert sentences("Wait ... there is more. Yahoo! is a name.") == ["Wait ... there is more.", "Yahoo! is a name."]
    assert sentences("Title without a stop\n\nA text.") == ["Title without a stop", "A text."]
    assert sentences("It has libraries, including: - Sessions - Users") == [
        "It has libraries, including:", "- Sessions - Users"]
    assert sentences("1. Install it. 2. Run it.") == ["1. Install it.", "2. Run it."]
    assert sentences("これは文です。次の文です。") == ["これは文です。", "次の文です。"]
    assert sentences("") == sentences(" \n\n ") == []


def test_lead_one() -> None:
    assert [lead_one(text) for text in DOCUMENTS] == [
        "This package is small.", "This package is fast.", "This package has a manual."]
    assert lead_one("One two three. Four.", words=2) == "One two" and lead_one("One. Two.", words=9) == "One."
    assert lead_one("no stop at all") == "no stop at all" and lead_one(" ") == ""


def test_centroid_finds_what_a_document_is_about() -> None:
    extractor = CentroidExtractor.fit(DOCUMENTS)
    assert extractor.summarize(DOCUMENTS) == [sentences(text)[1] for text in DOCUMENTS]
    assert extractor.summarize(DOCUMENTS[:1], words=2) == ["Notmuch indexes,"]
    # Nothing known, or nothing at all: the first sentence.
    assert extractor.summarize(["Xx yy. Zz.", "", "One sentence"]) == ["Xx yy.", "", "One sentence"]
    assert extractor.summarize([]) == []


def test_mistakes_are_one_clear_line() -> None:
    with pytest.raises(FourfoldError, match="1 summaries and 0 references"):
        rouge(["a"], [])
    with pytest.raises(FourfoldError, match="at least one"):
        rouge([], [])
    with pytest.raises(FourfoldError, match="words is 0"):
        lead_one("A text.", words=0)
    with pytest.raises(FourfoldError, match="words is 0"):
        CentroidExtractor.fit(DOCUMENTS).summarize(DOCUMENTS, words=0)
    for documents in ([], ["", "the of"]):
        with pytest.raises(FourfoldError, match="no words"):
            CentroidExtractor.fit(documents)
