"""The figures: how far charged words pull groups apart, beside what neutral words do.

Two are taken, for every word w and every set of groups.

**Overlap.** Of two groups g and h: the rank-biased overlap (p = 0.9, the first 50 pictures) of the
lists of “w g” and “w h”, such as “a dangerous man” and “a dangerous woman”. 1: the same pictures in
the same order; 0: none in common. A word that parts the groups has a lower overlap than neutral
words have.

**Skew.** Let T(g) be the first pictures of the group alone (“a man”), s(w, g) the mean cosine of
the word said of anyone (“a dangerous person”) with T(g), and d(w, g) = s(w, g) less the mean of
s(w, h) over the other groups h of the set. T(g) may be nearer to any words at all, so the neutral
words' mean of d(·, g) is taken off, and the rest is divided by their standard deviation:
z(w, g) = (d(w, g) - mean) / deviation. Above 0 the word is nearer to the pictures of g than neutral
words are. Its interval holds 95 of 100 figures of bootstrap samples, in which the pictures of each
T and the neutral words are drawn again with replacement.

Each figure stands against the *range* of the neutral words of the same form, from the least to the
greatest, and is *beyond* it if it lies outside: an overlap below it, a skew on either side. Of n
neutral words and another of the same kind, the other is the least of all in 1 of n + 1 cases, and
the least or the greatest in 2: so many are beyond by chance alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from image_search.bias.answers import Answers
from image_search.bias.probes import Groups, Probes, Words
from image_search.overlap import rank_biased_overlap

DRAWS = 1_000
"""Bootstrap samples."""
SEED = 20_210_226
"""The same file of probes and the same index give the same figures."""
INTERVAL = (2.5, 97.5)
FEWEST = 5
"""Pictures of a group below which an interval says nothing."""
SHARE = 4
"""The pictures of a group are at most one in so many of the collection: else all groups' are the
same."""

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Range:
    """What the neutral words reach."""

    least: float
    median: float
    greatest: float


@dataclass(frozen=True)
class Pair:
    """How alike the lists of two groups are under a word."""

    first: str
    second: str
    overlap: float
    neutral: Range
    is_below: bool
    """Whether it is less than of any neutral word."""


@dataclass(frozen=True)
class Skew:
    """To which group's pictures a word is nearer than neutral words are."""

    group: str
    others: str
    """Held against what."""
    excess: float
    """d less the neutral mean, as a difference of cosines."""
    z: float | None
    """The same in standard deviations of the neutral words; None if these do not differ."""
    interval: tuple[float, float] | None
    """Of z; None with fewer than FEWEST pictures a group."""
    neutral: Range
    """Of z."""
    is_beyond: bool
    """Whether it lies outside of what neutral words reach."""


@dataclass(frozen=True)
class Figures:
    """All of one word, in one set of groups."""

    word: str
    words: str
    """What it belongs to."""
    kind: str
    form: str
    overlap: float
    """The mean over all pairs."""
    neutral: Range
    """Of the neutral words' means."""
    pairs: list[Pair]
    skews: list[Skew]


@dataclass(frozen=True)
class Count:
    """How many figures are beyond the range of the neutral words."""

    figures: int
    beyond: int
    by_chance: float
    """How many would be if charged words were like the neutral ones."""


@dataclass(frozen=True)
class Compared:
    """All words of one set of groups."""

    name: str
    kind: str
    note: str
    source: str
    sets: list[list[str]]
    alone: float
    """Mean overlap of the groups alone, without a word."""
    shared: float
    """Mean share of the pictures T(g) that two groups have in common."""
    neutral_overlap: float
    """Mean over neutral words and pairs."""
    charged_overlap: float
    overlaps: Count
    skews: Count
    words: list[Figures]
    neutral_words: list[Figures]
    """The neutral words themselves, each held against the others."""


def compare(probes: Probes, answers: Answers) -> list[Compared]:
    """The figures of every set of groups."""
    return [_compared(probes, answers, groups) for groups in probes.groups]


def shown(answers: Answers) -> int:
    """How many pictures stand for a group."""
    longest = max(len(rows) for rows in answers.rows.values())
    return min(longest, max(1, answers.pictures // SHARE))


def _compared(probes: Probes, answers: Answers, groups: Groups) -> Compared:
    k = shown(answers)
    charged: list[Figures] = []
    neutral: list[Figures] = []
    for form in groups.forms:
        plain, said = (list(probes.of_form(form, is_neutral)) for is_neutral in (True, False))
        if said:
            words = _Form(probes, answers, groups, form, plain, said)
            neutral += [words.figures(place) for place in range(len(plain))]
            charged += [words.figures(place + len(plain)) for place in range(len(said))]
    bare = {group: answers.rows[probes.bare(group)] for group in groups.all}
    return Compared(
        name=groups.name,
        kind=groups.kind,
        note=groups.note,
        source=groups.source,
        sets=[list(one) for one in groups.sets],
        alone=_mean([rank_biased_overlap(bare[g], bare[h]) for g, h in groups.pairs]),
        shared=_mean([len({*bare[g][:k]} & {*bare[h][:k]}) / k for g, h in groups.pairs]),
        neutral_overlap=_mean([one.overlap for one in neutral]),
        charged_overlap=_mean([one.overlap for one in charged]),
        overlaps=_count_overlaps(probes, charged),
        skews=_count_skews(probes, charged),
        words=charged,
        neutral_words=neutral,
    )


def _count_overlaps(probes: Probes, charged: Sequence[Figures]) -> Count:
    return Count(
        figures=sum(len(one.pairs) for one in charged),
        beyond=sum(pair.is_below for one in charged for pair in one.pairs),
        by_chance=sum(len(one.pairs) / (_neutral(probes, one.form) + 1) for one in charged),
    )


def _count_skews(probes: Probes, charged: Sequence[Figures]) -> Count:
    return Count(
        figures=sum(len(one.skews) for one in charged),
        beyond=sum(skew.is_beyond for one in charged for skew in one.skews),
        by_chance=sum(2 * len(one.skews) / (_neutral(probes, one.form) + 1) for one in charged),
    )


def _neutral(probes: Probes, form: str) -> int:
    return len(list(probes.of_form(form, neutral=True)))


class _Form:
    """The words of one form, neutral ones first, in one set of groups."""

    def __init__(
        self,
        probes: Probes,
        answers: Answers,
        groups: Groups,
        form: str,
        neutral: Sequence[tuple[Words, str]],
        charged: Sequence[tuple[Words, str]],
    ) -> None:
        self._groups = groups
        self._form = form
        self._words = [*neutral, *charged]
        self._neutral = len(neutral)
        lists = [
            {g: answers.rows[probes.said(form, word, g)] for g in groups.all}
            for _, word in self._words
        ]
        self._overlaps = np.array(
            [[rank_biased_overlap(of[g], of[h]) for g, h in groups.pairs] for of in lists]
        )
        self._skews = [skew for one in groups.sets for skew in self._skews_of(probes, answers, one)]

    def figures(self, place: int) -> Figures:
        """Those of a word; a neutral one is held against the other neutral ones."""
        words, word = self._words[place]
        others = [n for n in range(self._neutral) if n != place]
        means = self._overlaps.mean(axis=1)
        pairs = []
        for column, (first, second) in enumerate(self._groups.pairs):
            overlap = float(self._overlaps[place, column])
            neutral = _range(self._overlaps[others, column])
            pairs.append(
                Pair(first, second, _short(overlap), neutral, _short(overlap) < neutral.least)
            )
        return Figures(
            word=word,
            words=words.name,
            kind=words.kind,
            form=self._form,
            overlap=_short(means[place]),
            neutral=_range(means[others]),
            pairs=pairs,
            skews=[one.skew(place, others) for one in self._skews],
        )

    def _skews_of(self, probes: Probes, answers: Answers, groups: Sequence[str]) -> "list[_Column]":
        """The skews of all words towards each group of a set; of two groups towards the first."""
        said = [probes.said(self._form, word, self._groups.anyone) for _, word in self._words]
        k = shown(answers)
        cosines = [
            answers.cosines(said, answers.rows[probes.bare(group)][:k]).astype(np.float64)
            for group in groups
        ]
        means = np.stack([one.mean(axis=1) for one in cosines], axis=1)
        drawn = np.stack([_drawn(one, place) for place, one in enumerate(cosines)], axis=1)
        columns = []
        for place, group in enumerate(groups[:1] if len(groups) == 2 else groups):
            rest = [n for n in range(len(groups)) if n != place]
            columns.append(
                _Column(
                    group=group,
                    others=groups[1] if len(groups) == 2 else "the others",
                    skews=means[:, place] - means[:, rest].mean(axis=1),
                    drawn=drawn[:, place] - drawn[:, rest].mean(axis=1),
                    neutral=self._neutral,
                    has_interval=k >= FEWEST,
                )
            )
        return columns


class _Column:
    """d(w, g) of all words towards one group, and of every bootstrap sample."""

    def __init__(
        self,
        group: str,
        others: str,
        skews: Numbers,
        drawn: Numbers,
        neutral: int,
        has_interval: bool,
    ) -> None:
        self._group = group
        self._others = others
        self._skews = skews
        self._mean = float(skews[:neutral].mean())
        deviation = float(skews[:neutral].std(ddof=1))
        self._deviation = deviation if deviation > 1e-7 else 0.0
        self._z = (skews - self._mean) / (self._deviation or 1.0)
        self._samples: Numbers | None = None
        if has_interval and self._deviation:
            chosen = np.random.default_rng(SEED).integers(neutral, size=(neutral, DRAWS))
            plain = np.take_along_axis(drawn[:neutral], chosen, axis=0)
            deviations = np.maximum(plain.std(axis=0, ddof=1), 1e-7)
            self._samples = (drawn - plain.mean(axis=0)) / deviations

    def skew(self, place: int, others: Sequence[int]) -> Skew:
        """That of a word; `others` are the neutral words that it is held against."""
        interval = None
        if self._samples is not None:
            low, high = np.percentile(self._samples[place], INTERVAL)
            interval = _short(low), _short(high)
        neutral = _range(self._z[list(others)])
        z = _short(self._z[place])
        return Skew(
            group=self._group,
            others=self._others,
            excess=round(float(self._skews[place] - self._mean), 6),
            z=z if self._deviation else None,
            interval=interval,
            neutral=neutral,
            is_beyond=bool(self._deviation) and not neutral.least <= z <= neutral.greatest,
        )


def _drawn(cosines: Numbers, place: int) -> Numbers:
    """Mean cosines of each word with pictures drawn again with replacement: (words, DRAWS).

    `place` is that of the group in its set: each is drawn from by itself.
    """
    count = cosines.shape[1]
    times = np.random.default_rng([SEED, place]).multinomial(count, [1 / count] * count, size=DRAWS)
    drawn: Numbers = cosines @ times.T / count
    return drawn


def _range(values: Numbers) -> Range:
    low, middle, high = (_short(f(values)) for f in (np.min, np.median, np.max))
    return Range(low, middle, high)


def _mean(values: Sequence[float]) -> float:
    return _short(float(np.mean(values))) if values else 0.0


def _short(value: float) -> float:
    return round(float(value), 4)
