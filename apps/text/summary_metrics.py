"""Measures of summaries: ROUGE by rouge_score, beside two baselines that copy a sentence of the document."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core.errors import FourfoldError

if TYPE_CHECKING:
    from sklearn.feature_extraction.text import TfidfVectorizer

ROUGES = ("rouge1", "rouge2", "rougeL")

# A full stop after these ends no sentence; after the next, none that goes on in lower case, or with a number.
ABBREVIATIONS = {"e.g", "i.e", "eg", "ie", "vs", "cf", "dr", "mr", "mrs", "ms", "prof", "st", "ca", "approx", "resp",
                 "incl", "excl", "aka", "a.k.a", "viz"}
ENDING = {"etc", "al", "inc", "ltd", "co", "corp", "jr", "sr", "u.s", "u.k", "a.m", "p.m"}
NUMBERED = {"no", "nos", "fig", "figs", "vol", "ver", "p", "pp", "sec", "ch"}


def rouge(summaries: Sequence[str], references: Sequence[str]) -> dict[str, np.ndarray]:
    """F-measures, in percent, of ROUGE-1, ROUGE-2 and ROUGE-L (Lin 2004): float64 `[N]` each, by name in `ROUGES`.

    As google-research's rouge_score computes them, with Porter's stemmer; the published figure is the mean over
    examples. Its words are the letters a to z and digits: it is a measure for English.

    Args:
        summaries, references: `[N]` texts. A summary or a reference without a word scores 0.

    Raises:
        FourfoldError: no texts, or not as many summaries as references.
    """
    if len(summaries) != len(references) or not len(summaries):
        raise FourfoldError(f"{len(summaries):,} summaries and {len(references):,} references: "
                            "need as many of both, and at least one")
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(list(ROUGES), use_stemmer=True)
    found = [scorer.score(target, made) for target, made in zip(references, summaries, strict=True)]
    return {name: np.array([100 * scores[name].fmeasure for scores in found]) for name in ROUGES}


def sentences(text: str) -> list[str]:
    """The sentences of `text`, each with its white space made single; `[]` of a text without any.

    A sentence ends at `.`, `!`, `?` or `…` before white space, at an empty line, and at a colon before a list; not
    at abbreviations, initials and a list's numbers, nor, but for a single full stop, where it goes on in lower case.
    """
    found = []
    for paragraph in re.split(r"\n\s*\n|(?<=:)\s+(?=[*•-]\s)", text):
        start = 0
        for stop in re.finditer(r"(?<![.!?…])([.!?…]+)[\"'”’)\]]*\s+|[。！？]", paragraph):
            mark = stop[1]
            if mark is None or _ends(paragraph[start : stop.start()], mark, paragraph[stop.end() : stop.end() + 1]):
                found.append(paragraph[start : stop.end()])
                start = stop.end()
        found.append(paragraph[start:])
    return [" ".join(sentence.split()) for sentence in found if sentence.strip()]


def _ends(before: str, mark: str, after: str) -> bool:
    """Whether `mark`, between what it may end and the next character, ends a sentence."""
    goes_on = after.islower()
    if mark != ".":
        return not goes_on
    words = before.split()
    last = words[-1].lstrip("\"'“‘([").lower() if words else ""
    if last in ABBREVIATIONS or (last in ENDING and goes_on) or (last in NUMBERED and after.isdigit()):
        return False
    if last.isdigit() and len(words) == 1:
        return False
    if len(last) == 1 and last.isalpha():
        # "Donald E. Knuth" goes on, "written in C. It" does not.
        return not (words[-1].isupper() and (len(words) == 1 or words[-2][:1].isupper()))
    return True


def lead_one(document: str, words: int | None = None) -> str:
    """The first sentence of `document`, the LEAD-1 baseline; "" of an empty document.

    The whole sentence, as LEAD-3 copies whole ones; DUC 2004 and Gigaword cut at 75 bytes. Where references are much
    shorter than a sentence a cut one is stronger: give the number of `words` that scores best on validation text.

    Raises:
        FourfoldError: `words` is less than 1.
    """
    if words is not None and words < 1:
        raise FourfoldError(f"words is {words}: must be at least 1")
    first = next(iter(sentences(document)), "")
    return " ".join(first.split()[:words])


@dataclass(frozen=True)
class CentroidExtractor:
    """The sentence closest to its document, by the cosine of their tf-idf vectors (Radev et al. 2004).

    Attributes:
        vectorizer: scikit-learn's `TfidfVectorizer`, fitted to training documents.
    """

    vectorizer: TfidfVectorizer

    @classmethod
    def fit(cls, documents: Sequence[str]) -> CentroidExtractor:
        """Count in how many of the training `documents` each word occurs; English stop words do not count.

        Raises:
            FourfoldError: no documents, or none that has a word.
        """
        from sklearn.feature_extraction.text import TfidfVectorizer

        try:
            return cls(TfidfVectorizer(stop_words="english", sublinear_tf=True).fit(documents))
        except ValueError as error:
            raise FourfoldError("the documents of a tf-idf baseline have no words: nothing to count") from error

    def summarize(self, documents: Sequence[str], words: int | None = None) -> list[str]:
        """A sentence of each document, the first of equals; its first `words` if given; "" of an empty document.

        Raises:
            FourfoldError: `words` is less than 1.
        """
        if words is not None and words < 1:
            raise FourfoldError(f"words is {words}: must be at least 1")
        split = [sentences(document) or [""] for document in documents]
        if not split:
            return []
        owner = np.repeat(np.arange(len(split)), [len(some) for some in split])
        whole = self.vectorizer.transform(documents)[owner]
        parts = self.vectorizer.transform([sentence for some in split for sentence in some])
        # Rows have length 1, so that their product is the cosine; 0 where a text has no known word.
        cosine = np.asarray(parts.multiply(whole).sum(axis=1))
        near = np.split(cosine.ravel(), np.flatnonzero(np.diff(owner)) + 1)
        best = [some[int(cosines.argmax())] for some, cosines in zip(split, near, strict=True)]
        return [" ".join(sentence.split()[:words]) for sentence in best]
