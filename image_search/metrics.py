"""How well pictures are ranked, as information retrieval measures it.

A ranking is a list of verdicts, the nearest picture first: True, it shows what was asked for;
False, it does not; None, nobody has said, or the judges do not agree. **What is not judged counts
as not relevant**, as in trec_eval: for want of judgements a precision can only be too low. What
nobody has seen is also not among the relevant pictures that recall, average precision and nDCG
divide by: these are of the pool, and may be too high. `judged_at` says how much of a ranking was
judged; a figure without it says little.

The formulas are those of Manning, Raghavan and Schütze, Introduction to Information Retrieval
(2008), chapter 8, and of trec_eval; nDCG is Järvelin and Kekäläinen's (2002) with gains of 0 and 1.
Tests hold them against scikit-learn's.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Verdict = bool | None
Hits = NDArray[np.bool_]
Ranking = Sequence[Verdict] | Hits
"""Verdicts, the nearest picture first; or only whether each is relevant, for those in a hurry."""

Numbers = NDArray[np.float64]

SAMPLES = 1_000
"""Samples of a bootstrap: enough for two digits of the ends of an interval."""

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """Where a figure would lie in 95 of 100 samples like this one."""

    low: float
    high: float


def precision_at(ranking: Ranking, k: int) -> float:
    """The share of relevant pictures among the first k; places that stay empty are no hits."""
    return int(hits(ranking[:k]).sum()) / k


def judged_at(ranking: Sequence[Verdict], k: int) -> float:
    """The share of the first k pictures that are judged; of fewer if there are no more."""
    first = ranking[:k]
    return sum(verdict is not None for verdict in first) / len(first) if first else 0.0


def recall_at(ranking: Ranking, k: int, relevant: int) -> float | None:
    """The share of all `relevant` pictures that is among the first k; None if there are none.

    `relevant` counts all that are judged so, whichever question found them: what nobody has seen is
    not among them, so this is recall over the pool, and true recall is lower.
    """
    return int(hits(ranking[:k]).sum()) / relevant if relevant else None


def average_precision(ranking: Ranking, relevant: int) -> float | None:
    """The mean, over all `relevant` pictures, of the precision at the place of each; None if there
    are none. Those that are not in the ranking count 0."""
    if not relevant:
        return None
    places = np.flatnonzero(hits(ranking))
    return float(np.sum(np.arange(1, len(places) + 1) / (places + 1)) / relevant)


def ndcg_at(ranking: Ranking, k: int, relevant: int) -> float | None:
    """Discounted cumulative gain of the first k, as a share of the best there could be; None if
    there are no relevant pictures. A place counts 1 / log2(place + 1)."""
    if not relevant:
        return None
    gains = hits(ranking[:k])
    return float(gains @ _discounts(len(gains)) / _discounts(min(k, relevant)).sum())


def interval(samples: Numbers) -> Interval | None:
    """The percentile interval of a bootstrap (Efron and Tibshirani 1993, chapter 13).

    Samples in which the figure could not be had (nan) are left out; None if that is half of them.
    An interval without width is not certainty: where all that was seen is right, no sample of it
    can be wrong.
    """
    known = samples[~np.isnan(samples)]
    if len(known) <= len(samples) / 2:
        return None
    edge = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(known, [edge, 100 - edge])
    return Interval(float(low), float(high))


def mean_interval(values: Sequence[float], seed: int = 0) -> Interval | None:
    """The interval of a mean over things that were drawn, such as classes; None for fewer than 2.

    The same values give the same interval.
    """
    if len(values) < 2:
        return None
    drawn = np.random.default_rng(seed).integers(len(values), size=(SAMPLES, len(values)))
    return interval(np.asarray(values, np.float64)[drawn].mean(axis=1))


def hits(ranking: Ranking) -> Hits:
    """Which places of a ranking hold a relevant picture."""
    if isinstance(ranking, np.ndarray):
        return ranking
    return np.array([verdict is True for verdict in ranking], np.bool_)


def _discounts(places: int) -> Numbers:
    discounts: Numbers = 1 / np.log2(np.arange(2, places + 2))
    return discounts
