"""Fields counted: what can be chosen, and the scales of numbers; in memory and in a database."""

import random
from collections import Counter

import pyarrow as pa
import pytest
from test_columns import catalogue_of
from test_index import in_database

from image_search.catalogue import Among, Catalogue, Scale
from image_search.encoder import unit
from image_search.engine.address import parse
from image_search.engine.catalogue import EngineCatalogue
from image_search.engine.connection import Connection
from image_search.facets import BINS, MOST, facet, scale_of
from image_search.fields import Field
from image_search.filters import Between, Condition, Filter, OneOf, Words
from image_search.question import question
from image_search.search import Searcher

# Scales


@pytest.mark.parametrize(
    ("low", "high", "whole", "scale"),
    [
        (1850, 1889, True, Scale(1850, 1, 40)),
        (1850, 1890, True, Scale(1850, 1, 41)),
        (1850, 1891, True, Scale(1850, 2, 21)),
        (1851, 1999, True, Scale(1850, 5, 30)),
        (1500, 1999, True, Scale(1500, 20, 25)),
        (-500, 2024, True, Scale(-500, 100, 26)),
        (-7, -3, True, Scale(-7, 1, 5)),
        (1900, 1900, True, Scale(1900, 1, 1)),
        (0, 0, False, Scale(0, 1, 1)),
        (0.5, 0.5, False, Scale(0, 1, 1)),
        (1e15, 1e15, False, Scale(1e15, 1, 1)),
        (0, 10, True, Scale(0, 1, 11)),
    ],
)
def test_bins_are_of_a_width_that_people_count_in(
    low: float, high: float, whole: bool, scale: Scale
) -> None:
    assert scale_of(low, high, whole) == scale


def ends() -> list[tuple[float, float]]:
    pick = random.Random(0)
    some = [(-(10.0**15), 10.0**15), (1e14, 1e14 + 1), (1e15 - 2, 1e15 - 1), (0, 1e-12), (-1e-9, 0)]
    for _ in range(500):
        size = 10.0 ** pick.uniform(-9, 14)
        low = pick.uniform(-size, size)
        some.append((low, low + pick.random() * size))
    return some


def test_every_scale_holds_both_ends_in_a_few_bins() -> None:
    for low, high in ends():
        for whole in (False, True):
            scale = scale_of(low, high, whole)
            assert 1 <= scale.bins <= BINS + 1, (low, high)
            assert scale.width >= (1 if whole else 0)
            slack = 1e-6 * scale.width + 1e-9 * abs(low)
            assert scale.low <= low + slack
            assert scale.low + scale.bins * scale.width >= high - slack
            if high > low and not whole:
                assert scale.bins >= BINS / 3, (low, high, scale)
            mantissa = f"{scale.width:.3e}"
            assert mantissa[:5] in ("1.000", "2.000", "5.000"), scale


# Choices


def test_those_of_most_pictures_come_first_and_the_chosen_before_all() -> None:
    values = [f"v{n:03}" for n in range(150) for _ in range(1 + n % 3)]
    catalogue = catalogue_of(pa.table({"kind": values}))
    own = [OneOf("kind", ("v000", "nowhere"))]
    found = facet(catalogue, Field("kind", "category"), Among(), own)
    assert len(found.choices) == MOST == 100
    assert found.different == 151
    assert [(c.value, c.count, c.chosen) for c in found.choices[:4]] == [
        ("v000", 1, True),
        ("nowhere", 0, True),
        ("v002", 3, False),
        ("v005", 3, False),
    ]


def test_a_single_value_is_nothing_to_choose_but_what_is_chosen_can_be_taken_away() -> None:
    catalogue = catalogue_of(pa.table({"kind": ["a", "a"], "n": pa.array([3, 3], pa.int64())}))
    kind, number = Field("kind", "category"), Field("n", "number")
    assert not facet(catalogue, kind, Among(), []).is_useful
    assert facet(catalogue, kind, Among(), [OneOf("kind", ("a",))]).is_useful
    assert not facet(catalogue, number, Among(), []).is_useful
    assert facet(catalogue, number, Among(), [Between("n", low=3)]).is_useful
    nothing = catalogue_of(pa.table({"n": pa.array([None], pa.int64())}))
    assert not facet(nothing, number, Among(), []).is_useful


def test_a_histogram_counts_every_number_that_is_known() -> None:
    years = [0, *range(1850, 1950), *range(1850, 1950), 9999, None]
    catalogue = catalogue_of(pa.table({"year": pa.array(years, pa.int64())}))
    found = facet(catalogue, Field("year", "number", "year"), Among(), [])
    assert [(one.low, one.high) for one in found.bins[:2]] == [(1850, 1855), (1855, 1860)]
    assert [one.count for one in found.bins] == [11, *[10] * 18, 11]  # 0 and 9999 at the ends


def test_facets_of_a_searcher_leave_a_fields_own_condition_out(searcher: Searcher) -> None:
    facets = searcher.facets(question("red", where=["folder:cold", "year:1872..1950"]))
    by_name = {one.field: one for one in facets.facets}
    assert [(c.value, c.count, c.chosen) for c in by_name["folder"].choices] == [
        ("cold", 1, True),
        ("warm", 2, False),
    ]
    year = by_name["year"]
    assert (sum(one.count for one in year.bins), year.low, year.high) == (1, 1872, 1950)
    assert facets.pictures == 1
    everything = searcher.facets()
    assert everything.pictures == 5
    assert {one.field for one in everything.facets} == {"folder", "year", "keywords"}


def test_words_are_no_own_condition_of_a_field(searcher: Searcher) -> None:
    """They are looked for in titles as well, so that keywords are counted among what has them."""
    facets = searcher.facets(question(None, contains="sea"))
    assert facets.pictures == 1
    both = {one.field: one for one in searcher.facets(question(None, contains="f")).facets}
    counted = {choice.value: choice.count for choice in both["keywords"].choices}
    assert counted == {"fire": 1, "blood": 1, "fruit": 1, "food": 1}


# One contract, two catalogues

ROWS = 12_000


@pytest.fixture(scope="module")
def table() -> pa.Table:
    pick = random.Random(3)

    def some(values: list[object], known: float = 0.8) -> list[object]:
        return [pick.choice(values) if pick.random() < known else None for _ in range(ROWS)]

    return pa.table(
        {
            "title": pa.array(some(["L'Été à Rome", "Ships", "地図", "ﬁsh", "a.b"]), pa.string()),
            "a.b": pa.array(some(["x", "y's", 'z"', "back\\slash", "", "ü"]), pa.string()),
            "odd `name` 'q' \"r\" \\ {c0:String}": pa.array(some(["p", "q"]), pa.string()),
            "tags": pa.array(
                some([["a", "a"], ["b", "a"], ["it's"], ["c", "d", "c"]]), pa.list_(pa.string())
            ),
            "date": pa.array(some(["1850", "1850-05", "1849-12-31", "1900-01-01"]), pa.string()),
            "year": pa.array(some([0, 1850, 1851, 1900, 1999, 9999, -44]), pa.int64()),
            "size": pa.array(some([0.1, 0.25, -3.5, 1e14, 7.0]), pa.float64()),
            "unknown": pa.array([None] * ROWS, pa.float64()),
        }
    )


@pytest.fixture(scope="module")
def both(database: str, table: pa.Table) -> tuple[Catalogue, Catalogue]:
    import numpy as np

    vectors = unit(np.random.default_rng(5).normal(size=(ROWS, 4)).astype(np.float32))
    index = in_database(database, vectors, table)
    # What the index was opened with is what Engine.open gives the catalogue.
    held = EngineCatalogue(
        Connection(parse(database)), index._table, ROWS, index._fields, index.count
    )
    return catalogue_of(table), held


ODD = "odd `name` 'q' \"r\" \\ {c0:String}"

FILTERS: list[Filter] = [
    (),
    (OneOf("a.b", ("y's", 'z"', "back\\slash", "")),),
    (OneOf(ODD, ("p",)), Between("year", 1850, 1900)),
    (OneOf("tags", ("a", "it's", "nowhere")),),
    (OneOf("year", (1850, 1851.5)),),
    (OneOf("size", (0.25, 7)),),
    (Between("date", "1850", "1850"),),
    (Between("date", None, "1849"),),
    (Between("size", low=0),),
    (Between("year"),),
    (Words(("title", "tags"), "ete ROM"),),
    (Words(("title", "a.b"), "b"), Between("year", high=1900)),
    (Between("unknown", low=0),),
    (OneOf("a.b", ()),),
]


@pytest.mark.parametrize("where", FILTERS, ids=range(len(FILTERS)))
def test_both_catalogues_count_the_same(
    both: tuple[Catalogue, Catalogue], table: pa.Table, where: tuple[Condition, ...]
) -> None:
    pick = random.Random(7)
    for among in (
        Among(None, where),
        Among(None, where, frozenset(pick.sample(range(ROWS), 11_000))),
        Among(None, where, frozenset({0, ROWS - 1})),
        Among(pick.sample(range(ROWS), 1_000)),
        Among([]),
    ):
        ours, theirs = both
        count = ours.count(among)
        assert theirs.count(among) == count
        if among.rows is None:
            for k, offset in ((10, 0), (7, 3), (200, max(0, count - 100)), (5, count)):
                assert theirs.listed(among, k, offset) == ours.listed(among, k, offset)
        for field in ("a.b", ODD, "tags", "date"):
            values: Counter[str] = ours.values(field, among)
            assert theirs.values(field, among) == values
        for field, scale in (
            ("year", Scale(1840, 10, 12)),
            ("date", Scale(1845, 5, 3)),
            ("size", Scale(-1, 0.25, 30)),
            ("unknown", Scale(0, 1, 2)),
        ):
            assert theirs.histogram(field, scale, among) == ours.histogram(field, scale, among)


def test_both_catalogues_know_the_same_extents(both: tuple[Catalogue, Catalogue]) -> None:
    ours, theirs = both
    for field in ("year", "date", "size", "unknown"):
        assert theirs.extent(field) == ours.extent(field)
    for field in ("none", "id", "_row", "a_b"):
        for each in both:
            with pytest.raises(ValueError, match=f"no field '{field}'"):
                each.extent(field)
            with pytest.raises(ValueError, match=f"no field '{field}'"):
                each.values(field, Among())
            with pytest.raises(ValueError, match=f"no field '{field}'"):
                each.count(Among(None, (OneOf(field, ("a",)),)))
