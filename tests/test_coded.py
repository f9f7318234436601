"""The fields of all pictures, filtered and counted as quickly as they are: nothing is lost."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from image_search.columns import Columns
from image_search.filters import Between, Condition, OneOf, Words, matching

chance = np.random.default_rng(0)
LISTS = [
    None if n % 7 == 0 else [f"word {v}" for v in chance.integers(0, 9, n % 4)] for n in range(400)
]
LARGE = [None if n % 5 == 0 else 2**60 + n for n in range(400)]
TABLE = pa.table(
    {
        "list": pa.array(LISTS, pa.list_(pa.string())),
        "large": pa.array(LARGE, pa.int64()),
        "part": pa.array([None if n % 3 == 0 else n / 4 for n in range(400)], pa.float64()),
    }
)


@pytest.mark.parametrize("count", [0, 1, 40, 200, 399, 400])
def test_values_are_counted_of_few_rows_and_of_many(count: int) -> None:
    rows = chance.permutation(400)[:count]
    expected = Counter(value for row in rows for value in set(LISTS[row] or []))
    assert Columns(TABLE).counts("list", rows) == expected


@pytest.mark.parametrize(
    "condition",
    [
        Between("part", 10, 50),
        Between("part", None, 0.25),
        Between("part", 99.75, None),
        Between("large", 1850, None),
        Between("large", None, 1850),
        OneOf("large", (1850,)),
        OneOf("list", ("word 1", "word 2")),
        Words(("list",), "wo 3"),
        Words(("list",), "nothing"),
    ],
)
def test_what_is_fast_agrees_with_what_is_meant(condition: Condition) -> None:
    columns = Columns(TABLE)
    expected = matching([condition], TABLE)
    assert columns.matching([condition]).tolist() == expected.tolist()


def test_numbers_above_those_that_floats_have_are_rounded() -> None:
    numbers = Columns(TABLE).numbers("large")
    assert np.isnan(numbers[0])
    assert numbers[1] == pytest.approx(2.0**60)
