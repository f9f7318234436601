"""What is known of some pictures, counted: the values of a field, or a histogram of its numbers."""

import dataclasses
import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass

from image_search.catalogue import Among, Catalogue, Scale
from image_search.fields import Field
from image_search.filters import Between, Condition, OneOf

COUNTED = frozenset({"category", "list", "number", "date"})
"""Kinds of fields that are counted; of the others nearly every picture has its own value."""

MOST = 100
"""Values of a field that are given, those of most pictures first."""

BINS = 40
"""A histogram has at most so many bins: each can then be seen and met."""

WIDTHS = (1, 2, 5)
"""Of which a tenth, ten times and so on is the width of a bin."""


@dataclass(frozen=True)
class Choice:
    """A value, and how many of the pictures have it."""

    value: str
    count: int
    chosen: bool = False


@dataclass(frozen=True)
class Bin:
    """Numbers from `low` up to, and without, `high`. What is below the first is counted in it, what
    is above the last in that."""

    low: float
    high: float
    count: int


@dataclass(frozen=True)
class Facet:
    """What is known of one field: `choices` of categories and lists, `bins` of numbers and dates
    (their years). `low` and `high` are what was asked for."""

    field: str
    kind: str
    role: str | None
    different: int
    """How many values there are, also those that are not given."""
    choices: list[Choice] = dataclasses.field(default_factory=list)
    bins: list[Bin] = dataclasses.field(default_factory=list)
    unknown: int = 0
    """Of how many of the pictures the number or date is not known."""
    low: float | str | None = None
    high: float | str | None = None

    @property
    def is_useful(self) -> bool:
        """Whether there is anything to choose."""
        chosen = any(choice.chosen for choice in self.choices)
        return self.different > 1 or chosen or (self.low, self.high) != (None, None)


@dataclass(frozen=True)
class Facets:
    """The fields of some pictures, counted."""

    pictures: int
    """How many pictures match."""
    nearest: bool
    """Whether these are only the nearest of all that match."""
    facets: list[Facet]
    artifact_version: str


def facet(
    catalogue: Catalogue,
    field: Field,
    among: Among,
    own: Sequence[Condition],
    withdrawn: frozenset[int] = frozenset(),
) -> Facet:
    """A field of some pictures, counted; `own` are the conditions on it. Not even the scale of a
    histogram tells of pictures that are withdrawn."""
    if field.kind in ("number", "date"):
        return _histogram(catalogue, field, among, own, withdrawn)
    chosen = {str(v) for one in own if isinstance(one, OneOf) for v in one.values}
    counts = catalogue.values(field.name, among)
    for value in chosen:
        counts.setdefault(value, 0)
    # Most values have few pictures: they need no order, since they are not given.
    least = min(heapq.nlargest(MOST, counts.values()), default=0)
    frequent = [item for item in counts.items() if item[1] >= least or item[0] in chosen]
    ordered = sorted(frequent, key=lambda item: (item[0] not in chosen, -item[1], item[0]))
    choices = [Choice(value, count, value in chosen) for value, count in ordered[:MOST]]
    return Facet(field.name, field.kind, field.role, len(counts), choices)


def _histogram(
    catalogue: Catalogue,
    field: Field,
    among: Among,
    own: Sequence[Condition],
    withdrawn: frozenset[int],
) -> Facet:
    extent = catalogue.extent(field.name, withdrawn)
    if extent is None:
        return Facet(field.name, field.kind, field.role, 0)
    scale = scale_of(*extent, whole=field.kind == "date" or field.role == "year")
    counts = catalogue.histogram(field.name, scale, among)
    ends = [scale.low + place * scale.width for place in range(scale.bins + 1)]
    bins = [Bin(a, b, n) for a, b, n in zip(ends[:-1], ends[1:], counts, strict=True)]
    ranges = [one for one in own if isinstance(one, Between)]
    return Facet(
        field.name,
        field.kind,
        field.role,
        1 if extent[0] == extent[1] else 2,
        bins=bins,
        unknown=catalogue.count(among) - sum(counts),
        low=ranges[0].low if ranges else None,
        high=ranges[0].high if ranges else None,
    )


def scale_of(low: float, high: float, whole: bool) -> Scale:
    """Bins of a width that people count in, from a multiple of it on; `whole`: none below 1."""
    least = high / BINS - low / BINS  # in this order nothing is beyond all numbers
    power = 10.0 ** math.floor(math.log10(least)) if least > 0 else 1.0
    widths = (step * power * ten for ten in (1, 10) for step in WIDTHS)
    for width in widths:
        width = max(width, 1.0) if whole or least == 0 else width
        first = math.floor(low / width + 1e-9)
        bins = math.floor(high / width + 1e-9) - first + 1
        if bins <= BINS + 1:
            return Scale(first * width, width, bins)
    raise AssertionError(f"no scale for {low} to {high}")
