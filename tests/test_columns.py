"""The quick filter against `filters.matching`, and counts against counting in Python."""

import random
import unicodedata
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from image_search.catalogue import BEYOND, Among, Scale, TableCatalogue
from image_search.columns import REMEMBERED, Columns
from image_search.filters import Between, Condition, Filter, OneOf, Words, matching

WORDS = (
    "Vue", "vue", "VUES", "l'Été", "e\u0301te\u0301", "Ships", "ship", "Ärger", "ß", "STRASSE",
    "地図", "🦊", "don't", "1850", "Nº", "ﬁsh", "İstanbul", "Πανόραμα", "a-b", "x_y", "№", "½", "",
    "...", "ship's", "\u0301", "  ",
)  # fmt: skip
KINDS = ("print", "Print", "map", "a:b", "ü", "u\u0308", "it's", '"', "🦊", " ", "\\", "`")
DATES = ("1850", "1850-05", "1850-05-03", "1850-05-03T10:00", "1850-12", "1851", "1849-12-31",
         "0001", "9999-12-31")  # fmt: skip
BIG = (-(10**15) + 1, 10**15 - 1, 2**53, -(2**53), 0, 1, -1, 1850, 1851, 10**9)
SMALL = (0.1, -0.1, 1e-20, 123456.789, 0.5, -1e14 - 0.5, 1850.0, 0.0)


def table_of(pick: random.Random, rows: int) -> pa.Table:
    def some(make: Any) -> list[Any]:
        known = pick.choice((0, 0.3, 0.9, 1))
        return [make() if pick.random() < known else None for _ in range(rows)]

    def text() -> str:
        return " ".join(pick.choices(WORDS, k=pick.randint(0, 5)))

    return pa.table(
        {
            "title": pa.array(some(text), pa.string()),
            "kind": pa.array(some(lambda: pick.choice(KINDS)), pa.string()),
            "tags": pa.array(
                some(lambda: pick.choices((*KINDS, *WORDS), k=pick.randint(0, 4))),
                pa.list_(pa.string()),
            ),
            "date": pa.array(some(lambda: pick.choice(DATES)), pa.string()),
            "whole": pa.array(some(lambda: pick.choice(BIG)), pa.int64()),
            "broken": pa.array(some(lambda: pick.choice((*SMALL, *BIG))), pa.float64()),
        }
    )


def condition_of(pick: random.Random) -> Condition:
    def end(values: Any) -> Any:
        return pick.choice((None, *values))

    how = pick.randrange(7)
    if how == 0:
        return OneOf("kind", tuple(pick.choices((*KINDS, "none"), k=pick.randint(0, 3))))
    if how == 1:
        return OneOf("tags", tuple(pick.choices((*KINDS, *WORDS, "none"), k=pick.randint(0, 3))))
    if how == 2:
        return Between("date", end((*DATES, "185", "1850-0")), end((*DATES, "185", "1850-0")))
    if how == 3:
        return Between("whole", end((*BIG, 0.5)), end((*BIG, 1849.5)))
    if how == 4:
        return Between("broken", end((*SMALL, *BIG)), end((*SMALL, *BIG)))
    if how == 5:
        values = tuple(pick.choices((*BIG, *SMALL), k=pick.randint(0, 3)))
        return OneOf(pick.choice(("whole", "broken")), values)
    begun = (word[: pick.randint(1, 4)] for word in pick.choices(WORDS, k=pick.randint(1, 3)))
    return Words(pick.choice((("title",), ("title", "tags"), ("tags", "kind"))), " ".join(begun))


@pytest.mark.parametrize("seed", range(10))
def test_the_quick_filter_agrees_with_the_oracle(seed: int) -> None:
    pick = random.Random(seed)
    table = table_of(pick, pick.choice((0, 1, 2, 50)))
    columns = Columns(table)
    asked: list[Filter] = [
        [condition_of(pick) for _ in range(pick.choice((1, 1, 1, 2, 3)))] for _ in range(40)
    ]
    for where in asked:
        mask = columns.matching(where)
        assert mask.tolist() == matching(where, table).tolist(), where
        assert not mask.flags.writeable
    for where in asked:  # once more, of what is remembered
        assert columns.matching(where).tolist() == matching(where, table).tolist()


def simply(text: str) -> list[str]:
    """The words of a text, as Python would say it."""
    plain = unicodedata.normalize("NFKD", text)
    plain = "".join(c for c in plain if not unicodedata.category(c).startswith("M")).lower()
    return "".join(c if unicodedata.category(c)[0] in "LN" else " " for c in plain).split()


@pytest.mark.parametrize("seed", range(10))
def test_the_oracle_agrees_with_plain_python(seed: int) -> None:
    pick = random.Random(1_000 + seed)
    table = table_of(pick, 40)
    rows = table.to_pylist()

    def holds(row: dict[str, Any], one: Condition) -> bool:
        if isinstance(one, Words):
            texts = [row[field] for field in one.fields if row[field] is not None]
            lists = [text if isinstance(text, list) else [text] for text in texts]
            there = [word for some in lists for text in some for word in simply(text)]
            return all(any(w.startswith(word) for w in there) for word in simply(one.words))
        value = row[one.field]
        if value is None:
            return False
        if isinstance(one, OneOf):
            return bool(set(value if isinstance(value, list) else [value]) & set(one.values))
        cut = value[: len(one.high)] if isinstance(one.high, str) else value
        return (one.low is None or value >= one.low) and (one.high is None or cut <= one.high)

    for _ in range(20):
        one = condition_of(pick)
        assert matching([one], table).tolist() == [holds(row, one) for row in rows], one


def test_a_table_without_fields_has_all_its_rows() -> None:
    table = pa.table({"id": ["a", "b"]}).drop_columns(["id"])
    with pytest.raises(ValueError, match="no field 'x'"):
        Columns(table).matching([OneOf("x", ("a",))])
    catalogue = catalogue_of(pa.table({"id": ["a", "b"]}))
    assert catalogue.count(Among()) == 2
    assert catalogue.listed(Among(exclude=frozenset({0})), 9, 0) == [1]
    for ask in (
        lambda: catalogue.values("x", Among()),
        lambda: catalogue.extent("x"),
        lambda: catalogue.histogram("x", Scale(0, 1, 1), Among()),
        lambda: catalogue.count(Among(None, (Words(("x",), "a"),))),
    ):
        with pytest.raises(ValueError, match="no field 'x'"):
            ask()


def test_only_some_filters_are_remembered() -> None:
    columns = Columns(pa.table({"n": pa.array(range(100), pa.int64())}))
    for n in range(3 * REMEMBERED):
        assert columns.matching([Between("n", n, n)]).nonzero()[0].tolist() == [n]
    assert len(columns._masks) == REMEMBERED


def catalogue_of(table: pa.Table) -> TableCatalogue:
    if "id" not in table.column_names:
        ids = pa.array([f"{n}.jpg" for n in range(table.num_rows)], pa.string())
        table = table.append_column("id", ids)
    table = pa.table([table.column(n).combine_chunks() for n in table.column_names],
                     names=table.column_names)  # fmt: skip
    ones = pa.array([1] * table.num_rows, pa.int64())
    return TableCatalogue(table, pa.table({"width": ones, "height": ones}))


@pytest.mark.parametrize("seed", range(12))
def test_counts_are_those_of_plain_python(seed: int) -> None:
    pick = random.Random(2_000 + seed)
    rows = pick.choice((1, 2, 30, 300))
    table = table_of(pick, rows)
    catalogue = catalogue_of(table)
    data = table.to_pylist()
    exclude = frozenset(pick.sample(range(rows), pick.randint(0, rows)))
    some = pick.sample(range(rows), pick.randint(0, rows))
    where = (Between("whole", low=0),)
    fulfilling = [n for n in range(rows) if data[n]["whole"] is not None and data[n]["whole"] >= 0]
    for among, chosen in (
        (Among(), list(range(rows))),
        (Among(rows=some), some),
        (Among(exclude=exclude), [n for n in range(rows) if n not in exclude]),
        (Among(None, where, exclude), [n for n in fulfilling if n not in exclude]),
    ):
        assert catalogue.count(among) == len(chosen)
        if among.rows is None:
            assert catalogue.listed(among, 10, 3) == chosen[3:13]
        for field in ("kind", "date", "title"):
            known = Counter(data[n][field] for n in chosen if data[n][field] is not None)
            assert catalogue.values(field, among) == known
        tags = Counter(tag for n in chosen for tag in set(data[n]["tags"] or ()))
        assert catalogue.values("tags", among) == tags
        for field, scale in (
            ("whole", Scale(0, 100, 20)),
            ("broken", Scale(-1, 0.25, 9)),
            ("date", Scale(1840, 5, 3)),
        ):
            bins = [0] * scale.bins
            for n in chosen:
                value = data[n][field]
                if value is not None:
                    number = float(value[:4]) if field == "date" else float(value)
                    place = int(max(0, min(scale.bins - 1, (number - scale.low) // scale.width)))
                    bins[place] += 1
            assert catalogue.histogram(field, scale, among) == bins


@pytest.mark.parametrize("rows", [1, 199, 200, 399, 400, 1_000])
def test_nearly_all_lie_within_the_extent(rows: int) -> None:
    numbers = [n * 1.5 for n in range(rows)]
    random.Random(0).shuffle(numbers)
    column = pa.array([*numbers, None], pa.float64())
    beyond = rows // BEYOND
    found = catalogue_of(pa.table({"n": column})).extent("n")
    assert found == (sorted(numbers)[beyond], sorted(numbers)[-1 - beyond])


def test_nothing_known_has_no_extent() -> None:
    nothing = pa.table({"n": pa.array([None, None], pa.float64())})
    assert catalogue_of(nothing).extent("n") is None
    assert catalogue_of(nothing.slice(0, 0)).extent("n") is None
    assert catalogue_of(nothing).histogram("n", Scale(0, 1, 2), Among()) == [0, 0]
    assert np.isnan(catalogue_of(nothing).columns.numbers("n")).all()
