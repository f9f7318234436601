"""The pictures that prompts bring, by the index and by exact search, and the figures of a class."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from image_search import metrics
from image_search.compose import together
from image_search.encoder import Encoder, Vectors
from image_search.errors import NotFoundError
from image_search.evaluation_report import FIGURES, Figure, Figures
from image_search.index.exact import ROUNDING, ExactIndex
from image_search.index.protocol import Index
from image_search.metrics import SAMPLES, Hits, Interval
from image_search.query import Query, Term, parse
from image_search.search import Searcher
from image_search.verdicts import Verdicts

DEPTH = 1_000
"""Pictures of a ranking that are looked at, as in trec_eval; those further down are not found."""

TEN = 10

PLACE = "{}"
"""Where a template takes a prompt."""


@dataclass(frozen=True)
class Ranking:
    """What a prompt brings, the nearest first."""

    prompt: str
    index: list[str]
    exact: list[str]
    index_recall_at_10: float
    """The share of the exact ten nearest that the index finds."""


class Ranker:
    """Asks one collection, in the language of `query`. What is withdrawn is left out, as it is for
    visitors; the policy is not asked: what it keeps from visitors may be tested."""

    def __init__(self, searcher: Searcher) -> None:
        self.encoder: Encoder = searcher.encoder
        self._index = searcher.index
        artifact = searcher.artifact
        self.ids: list[str] = artifact.catalogue.table.column("id").to_pylist()
        self.rows = {id: row for row, id in enumerate(self.ids)}
        # Of one on the Hub the index's own 16 bits serve: the others lie beside the pictures.
        here = not artifact.files.published
        self.exact = ExactIndex(
            artifact.vectors() if here else artifact.index.vectors(0, len(artifact))
        )
        self.hidden = frozenset(self.rows[id] for id in searcher.withdrawn if id in self.rows)
        self.found = frozenset(self.rows) - frozenset(searcher.withdrawn)
        """Ids of all pictures that can be found."""

    def rank(self, prompt: str) -> Ranking:
        """The first DEPTH pictures of a prompt. Raises QueryError if it cannot be asked."""
        asked = parse(prompt)
        towards = self._towards(asked)
        named = {self.rows[term.text] for term in asked.terms if term.is_picture}
        hidden = self.hidden | named
        rows, _ = _nearest(self._index, towards, hidden)
        best, scores = _nearest(self.exact, towards, hidden)
        needed = scores[:TEN]
        first = [max(self.exact.vector(row) @ one for one in towards) for row in rows[:TEN]]
        # By the score, not by the row: of pictures that are the same any will do.
        reached = sum(bool(score >= needed[-1] - ROUNDING) for score in first)
        return Ranking(
            prompt,
            [self.ids[row] for row in rows],
            [self.ids[row] for row in best],
            reached / len(needed),
        )

    def together(self, prompts: Sequence[str]) -> Vectors:
        """The one vector (dim,) of several prompts: their mean, of unit length.

        As CLIP's authors do (Radford et al. 2021, section 3.1.4).
        """
        towards = [one for prompt in prompts for one in self._towards(parse(prompt))]
        return together([(1.0, one) for one in towards])

    def is_cut(self, prompt: str) -> bool:
        """Whether the model reads a prompt only in part."""
        words = [term.text for term in parse(prompt).terms if not term.is_picture]
        return any(self.encoder.read_part(text) != text for text in words)

    def _towards(self, asked: Query) -> list[Vectors]:
        """The vectors of a question, of which the best counts, as the search makes them."""
        return [
            together([(term.weight, self._vector(term)) for term in choice])
            for choice in asked.choices()
        ]

    def _vector(self, term: Term) -> Vectors:
        if not term.is_picture:
            read: Vectors = self.encoder.encode_texts([term.text])[0]
            return read
        if term.text not in self.found:
            raise NotFoundError(f"This collection has no picture “{term.text[:200]}”.")
        return self.exact.vector(self.rows[term.text])

    def vectors(self, ids: Sequence[str]) -> Vectors:
        """(n, dim) unit vectors of pictures."""
        return np.stack([self.exact.vector(self.rows[id]) for id in ids])


def templated(prompt: str, template: str) -> str:
    """A prompt, with the words of each of its terms put into the place of a template."""
    groups = [
        tuple(
            term if term.is_picture else replace(term, text=template.replace(PLACE, term.text))
            for term in group
        )
        for group in parse(prompt).groups
    ]
    return prompt if template == PLACE else str(Query(tuple(groups)))


def _nearest(
    index: Index, towards: Sequence[Vectors], hidden: frozenset[int]
) -> tuple[list[int], list[float]]:
    """The DEPTH rows nearest to any of the vectors, best first, ties by row."""
    best: dict[int, float] = {}
    for vector in towards:
        rows, scores = index.search(vector, DEPTH, hidden)
        for row, score in zip(rows.tolist(), scores.tolist(), strict=True):
            best[row] = max(score, best.get(row, -1.0))
    ordered = sorted(best, key=lambda row: (-best[row], row))[:DEPTH]
    return ordered, [best[row] for row in ordered]


def known_depth(verdicts: Verdicts) -> int:
    """How many right pictures the first ten can hold, as far as is known."""
    return min(TEN, len(verdicts.yes))


def figures_of(
    rankings: Sequence[Sequence[str]], verdicts: Verdicts, seed: int | None = None
) -> Figures:
    """The figures of a class: means over its prompts, with intervals over pictures.

    A class has few prompts, chosen with care: they are no sample of anything. So the interval is a
    bootstrap over the pictures that were ranked or judged (Cormack and Lynam 2006): where the
    figure would lie with these prompts in other pictures of this kind. It says nothing of other
    prompts. Without a `seed` there are no intervals.
    """
    means = _means([hits_of(ranking, verdicts) for ranking in rankings], len(verdicts.yes))
    samples = None if seed is None else _samples(rankings, verdicts, seed)
    figures = {}
    for number, name in enumerate(FIGURES):
        value = None if np.isnan(means[number]) else float(means[number])
        drawn = None if value is None or samples is None else samples[:, number]
        figures[name] = _figure(value, None if drawn is None else metrics.interval(drawn))
    return Figures(**figures)


def over_classes(each: Sequence[Figures], before: Sequence[Figures] | None = None) -> Figures:
    """Means over classes, each with an interval over these; with `before` of the differences.

    Classes of which a figure cannot be said are left out of its mean.
    """
    figures = {}
    for name in FIGURES:
        values = [getattr(one, name).value for one in each]
        if before is not None:
            former = [getattr(one, name).value for one in before]
            pairs = zip(values, former, strict=True)
            values = [None if None in pair else pair[0] - pair[1] for pair in pairs]
        figures[name] = mean_figure([value for value in values if value is not None])
    return Figures(**figures)


def mean_figure(values: Sequence[float]) -> Figure:
    """A mean with its interval."""
    if not values:
        return Figure(value=None)
    return _figure(float(np.mean(values)), metrics.mean_interval(values))


def _figure(value: float | None, within: Interval | None) -> Figure:
    if within is None:
        return Figure(value=value)
    return Figure(value=value, low=within.low, high=within.high)


def hits_of(ranking: Sequence[str], verdicts: Verdicts) -> Hits:
    """Which pictures of a ranking are judged right."""
    return np.fromiter((id in verdicts.yes for id in ranking), np.bool_, len(ranking))


_MEASURES: tuple[Callable[[Hits, int], float | None], ...] = (
    lambda ranking, relevant: metrics.precision_at(ranking, 10),
    lambda ranking, relevant: metrics.precision_at(ranking, 50),
    lambda ranking, relevant: metrics.recall_at(ranking, 50, relevant),
    lambda ranking, relevant: metrics.average_precision(ranking, relevant),
    lambda ranking, relevant: metrics.ndcg_at(ranking, 10, relevant),
)
"""In the order of FIGURES."""


def _means(rankings: Sequence[Hits], relevant: int) -> NDArray[np.float64]:
    """Each figure, as the mean over rankings; nan for what cannot be said."""
    values = [[measure(ranking, relevant) for measure in _MEASURES] for ranking in rankings]
    means: NDArray[np.float64] = np.array(values, np.float64).mean(axis=0)  # None becomes nan
    return means


def _samples(
    rankings: Sequence[Sequence[str]], verdicts: Verdicts, seed: int
) -> NDArray[np.float64]:
    """The figures in SAMPLES bootstrap samples of the pictures: (samples, figures)."""
    pictures = {id: n for n, id in enumerate(sorted({*verdicts.yes, *chain(*rankings)}))}
    places = [np.array([pictures[id] for id in ranking], np.int64) for ranking in rankings]
    hits = [hits_of(ranking, verdicts) for ranking in rankings]
    right = np.array([pictures[id] for id in sorted(verdicts.yes)], np.int64)
    random = np.random.default_rng(seed)
    samples = np.empty((SAMPLES, len(FIGURES)))
    for number in range(SAMPLES):
        drawn = random.integers(len(pictures), size=len(pictures))
        times = np.bincount(drawn, minlength=len(pictures))
        # A picture that is drawn twice stands twice, in neighbouring places.
        lists = [
            np.repeat(hit, times[place])[:DEPTH] for hit, place in zip(hits, places, strict=True)
        ]
        samples[number] = _means(lists, int(times[right].sum()))
    return samples
