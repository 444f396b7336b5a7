"""Measures of translations: corpus BLEU and chrF by sacrebleu, each with its signature and a bootstrap interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core.errors import FourfoldError
from core.metrics.intervals import bootstrap

if TYPE_CHECKING:
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

TOKENIZERS = ("13a", "intl", "char", "zh", "none")
"""sacrebleu's, but those that need further packages or a download."""


@dataclass(frozen=True, kw_only=True)
class CorpusScore:
    """A corpus-level score.

    Attributes:
        value: from 0 to 100, higher is better. interval: its 95 % interval under resampling of sentences.
        signature: sacrebleu's settings and version: scores compare where it is the same.
        count: sentences.
    """

    value: float
    interval: tuple[float, float]
    signature: str
    count: int


def corpus_bleu(
    hypotheses: Sequence[str], references: Sequence[str], *, tokenize: str = "13a", lowercase: bool = False,
    resamples: int = 1000, seed: int = 0,
) -> CorpusScore:
    """Corpus BLEU (Papineni et al. 2002) of plain, detokenised text, as sacrebleu defines it (Post 2018, 1804.08771).

    Args:
        hypotheses: `[N]` translations; an empty one is allowed, and counts.
        references: `[N]`, one for each hypothesis.
        tokenize: one of `TOKENIZERS`: "13a" is that of WMT and of most papers, "intl" splits at all of Unicode's
            punctuation, "zh" is for Chinese, "none" for text that is tokenised already.

    Raises:
        FourfoldError: no sentences, different numbers of hypotheses and references, an unknown tokeniser.
    """
    from sacrebleu.metrics.bleu import BLEU

    if tokenize not in TOKENIZERS:
        raise FourfoldError(f"tokenize is {tokenize!r}: must be one of {', '.join(TOKENIZERS)}")
    return _score(BLEU(tokenize=tokenize, lowercase=lowercase), hypotheses, references, resamples, seed)


def corpus_chrf(
    hypotheses: Sequence[str], references: Sequence[str], *, word_order: int = 0, lowercase: bool = False,
    resamples: int = 1000, seed: int = 0,
) -> CorpusScore:
    """chrF2, the F-score of character n-grams up to 6 (Popović 2015), as sacrebleu defines it.

    It needs no tokeniser and is kinder to inflected languages than BLEU.

    Args:
        hypotheses, references: `[N]`, as for `corpus_bleu`.
        word_order: 0: chrF; 2: chrF++ (Popović 2017), which counts words and pairs of words too.

    Raises:
        FourfoldError: no sentences, different numbers of hypotheses and references, a negative order.
    """
    from sacrebleu.metrics.chrf import CHRF

    if word_order < 0:
        raise FourfoldError(f"word_order is {word_order}: must be at least 0")
    return _score(CHRF(word_order=word_order, lowercase=lowercase), hypotheses, references, resamples, seed)


def _score(
    metric: BLEU | CHRF, hypotheses: Sequence[str], references: Sequence[str], resamples: int, seed: int
) -> CorpusScore:
    if len(hypotheses) != len(references) or not len(hypotheses):
        raise FourfoldError(f"{len(hypotheses):,} hypotheses and {len(references):,} references: "
                            "need as many of both, and at least one")
    # Both scores are functions of sums over sentences: texts are tokenised once, and only their counts resampled.
    # sacrebleu's own bootstrap goes the same way, but gives its interval as text only.
    counts = np.array(metric._extract_corpus_statistics(list(hypotheses), [list(references)]))

    def value(rows: np.ndarray) -> float:
        return float(metric._compute_score_from_stats(rows.sum(axis=0).tolist()).score)

    interval = bootstrap(value, counts, seed=seed, n=resamples)
    return CorpusScore(value=value(counts), interval=interval, signature=str(metric.get_signature()),
                       count=len(hypotheses))
