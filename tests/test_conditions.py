"""Filters as they are typed."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_search.conditions import MAX_CONDITIONS, conditions, in_words, typed, worded
from image_search.errors import QueryError
from image_search.fields import Field
from image_search.filters import Between, Condition, OneOf, Words

FIELDS = [
    Field("title", "text", "title"),
    Field("year", "number", "year"),
    Field("date", "date"),
    Field("place", "category"),
    Field("place:of", "category"),
    Field("keywords", "list"),
    Field("file size", "number"),
    Field("page", "url", "source_url"),
]


@pytest.mark.parametrize(
    ("where", "meant"),
    [
        (["year:1850..1870"], [Between("year", 1850, 1870)]),
        (["year:1850.."], [Between("year", 1850, None)]),
        (["year:..1870"], [Between("year", None, 1870)]),
        (["year:1866"], [Between("year", 1866, 1866)]),
        (["year: -5 .. -0.5 "], [Between("year", -5, -0.5)]),
        (["file size:1e6.."], [Between("file size", 1e6, None)]),
        (["date:1850-05..1870"], [Between("date", "1850-05", "1870")]),
        (["date:1866-05-03T10:00"], [Between("date", "1866-05-03T10:00", "1866-05-03T10:00")]),
        (["place:Rome"], [OneOf("place", ("Rome",))]),
        (["place:a..b"], [OneOf("place", ("a..b",))]),
        (["place:  Rome: the Forum "], [OneOf("place", ("Rome: the Forum",))]),
        (["place:of:Rome"], [OneOf("place:of", ("Rome",))]),
        (["place:Rome", "place:Paris"], [OneOf("place", ("Rome", "Paris"))]),
        (["keywords:sea", "place:Rome", "keywords:sky"],
         [OneOf("keywords", ("sea", "sky")), OneOf("place", ("Rome",))]),
        (["year:1850..", "year:..1870"], [Between("year", 1850), Between("year", None, 1870)]),
        (["title:The sea"], [OneOf("title", ("The sea",))]),
        ([Between("year", 1, 2), "place:Rome"], [Between("year", 1, 2), OneOf("place", ("Rome",))]),
        ([], []),
    ],
)  # fmt: skip
def test_what_is_typed_is_a_condition(where: list[str | Condition], meant: list[Condition]) -> None:
    assert conditions(where, "", FIELDS) == tuple(meant)


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("nothing", "“nothing” names no field of this collection. Its fields are: title, year,"),
        ("Year:1850", "names no field"),
        ("", "“” names no field"),
        ("year:", "“year:” has no value behind the colon"),
        ("place:  ", "has no value"),
        ("year:..", "“year:..” has neither a beginning nor an end"),
        ("year: .. ", "neither a beginning nor an end"),
        ("year:about 1850", "“about 1850” is no number: write year:1850..1870, for example"),
        ("year:1850-1870", "“1850-1870” is no number"),
        ("year:nan", "no number"),
        ("year:..inf", "no number"),
        ("year:1..2..3", "“2..3” is no number"),
        ("date:May 1850", "“May 1850” is no date: write date:1850-05..1870, for example"),
        ("date:185", "no date"),
        ("date:..x", "no date"),
        ("x" * 1_000, "x" * 200 + "” names no field"),
    ],
)
def test_what_is_no_condition_is_said_with_a_remedy(where: str, told: str) -> None:
    with pytest.raises(QueryError, match=re.escape(told)):
        conditions([where], "", FIELDS)


def test_a_collection_without_fields_says_so() -> None:
    with pytest.raises(QueryError, match="names no field of this collection. It has none."):
        conditions(["year:1"], "", [])
    with pytest.raises(QueryError, match="have no texts to be filtered by"):
        conditions([], "sea", [Field("year", "number")])


def test_too_many_conditions_are_refused() -> None:
    assert len(conditions(["year:1"] * MAX_CONDITIONS, "", FIELDS)) == MAX_CONDITIONS == 100
    with pytest.raises(QueryError, match="Up to 100 filters can be set, not 101"):
        conditions(["year:1"] * 101, "", FIELDS)


def test_words_are_looked_for_in_titles_and_lists() -> None:
    assert conditions([], " the sea ", FIELDS) == (Words(("title", "keywords"), " the sea "),)
    assert worded([Field("a", "text"), Field("b", "category"), Field("c", "text")]) == ("a", "c")
    assert conditions([], "  ", FIELDS) == ()
    for nothing in ("...", "-", "🦊"):
        with pytest.raises(QueryError, match="has no word that could be found"):
            conditions([], nothing, FIELDS)


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("year:1850..1870", "year 1850–1870"),
        ("year:1850..", "year from 1850"),
        ("year:..1870", "year up to 1870"),
        ("year:1866", "year 1866"),
        ("file size:5", "file size 5"),
        ("place:Rome: the Forum", "place: Rome: the Forum"),
        ("place:of:Rome", "place:of: Rome"),
    ],
)
def test_a_condition_is_said_in_words(where: str, said: str) -> None:
    assert in_words(where, FIELDS) == said


@pytest.mark.parametrize(
    "where", ["year:1870..1850", "date:1870..1869-12", "date:1870-05..1870-04"]
)
def test_a_range_the_wrong_way_round_is_said(where: str) -> None:
    with pytest.raises(QueryError, match="ends before it begins"):
        conditions([where], "", FIELDS)
    assert conditions(["date:1870-05..1870"], "", FIELDS) == (Between("date", "1870-05", "1870"),)


def _in_order(condition: Condition) -> Condition:
    """The same range with its ends the right way round."""
    if isinstance(condition, Between) and condition.low is not None and condition.high is not None:
        low, high = sorted([condition.low, condition.high])  # type: ignore[type-var]
        return Between(condition.field, low, high)
    return condition


NUMBERS = st.floats(-1e15, 1e15, allow_nan=False).map(lambda n: float(f"{n:.15g}"))
DATES = st.dates().map(lambda day: day.isoformat()[:10])


@given(
    st.builds(Between, st.just("year"), NUMBERS, st.none() | NUMBERS)
    | st.builds(Between, st.just("file size"), st.none(), NUMBERS)
    | st.builds(Between, st.just("date"), DATES, st.none() | DATES)
    | st.builds(
        OneOf,
        st.sampled_from(["keywords", "place:of"]),
        st.lists(st.text(min_size=1).map(str.strip).filter(bool), min_size=1, max_size=3)
        .map(tuple),
    )
)  # fmt: skip
def test_a_condition_can_be_typed_again(condition: Condition) -> None:
    condition = _in_order(condition)
    assert conditions(typed(condition, FIELDS), "", FIELDS) == (condition,)
