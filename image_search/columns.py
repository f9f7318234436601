"""The fields of all pictures, made quick to filter and to count.

Texts that repeat are kept as numbers of a list of values, words as the rows that have them. Each is
made when it is first asked for.
"""

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from image_search.coded import Coded
from image_search.filters import (
    Between,
    Condition,
    Filter,
    Words,
    fields_of,
    fulfilling,
    words_of,
)
from image_search.word_index import WordIndex

Mask = NDArray[np.bool_]

REMEMBERED = 16
"""Filters whose rows are remembered: each takes a byte a picture."""


class Columns:
    """The columns of a table, row by row the pictures. Safe to use from several threads."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table
        self._made: dict[Any, Any] = {}
        self._masks: OrderedDict[tuple[Condition, ...], Mask] = OrderedDict()
        self._lock = threading.RLock()

    def matching(self, where: Filter) -> Mask:
        """Which rows fulfil all conditions, not to be changed. Raises ValueError for a field that
        there is not."""
        key = tuple(where)
        with self._lock:
            if key in self._masks:
                self._masks.move_to_end(key)
                return self._masks[key]
        mask = np.ones(self._table.num_rows, np.bool_)
        for condition in where:
            for field in fields_of(condition):
                self._check(field)
            mask &= self._fulfilling(condition)
        mask.flags.writeable = False
        with self._lock:
            self._masks[key] = mask
            while len(self._masks) > REMEMBERED:
                self._masks.popitem(last=False)
        return mask

    def counts(self, field: str, rows: NDArray[Any]) -> Counter[str]:
        """Value → how many of some rows have it; what is not known is not counted."""
        self._check(field)
        coded = self._coded(field)
        whole = len(rows) == self._table.num_rows
        codes = coded.codes if whole else coded.of_rows(rows)
        found = np.bincount(codes, minlength=len(coded.values))
        some = np.flatnonzero(found)
        values = coded.values.take(pa.array(some)).to_pylist()
        return Counter(dict(zip(values, found[some].tolist(), strict=True)))

    def numbers(self, field: str) -> NDArray[np.float64]:
        """The numbers of a column, of dates the years; NaN where nothing is known."""
        self._check(field)
        column = self._column(field)
        numbers: NDArray[np.float64] = self._once(("numbers", field), lambda: _numbers(column))
        return numbers

    def _check(self, field: str) -> None:
        if field not in self._table.column_names:
            raise ValueError(f"there is no field {field!r}")

    def _fulfilling(self, condition: Condition) -> Mask:
        if isinstance(condition, Words):
            return self._with_words(condition)
        column = self._column(condition.field)
        if not pa.types.is_string(column.type) and not pa.types.is_list(column.type):
            if isinstance(condition, Between):
                return _between(condition, self.numbers(condition.field))
            return fulfilling(condition, column)
        coded = self._coded(condition.field)
        wanted = fulfilling(condition, coded.values)
        mask = np.zeros(self._table.num_rows, np.bool_)
        mask[coded.rows[np.take(wanted, coded.codes)]] = True  # twice as fast as wanted[codes]
        return mask

    def _with_words(self, condition: Words) -> Mask:
        # The codes are not kept: with most titles different they take as much as the words.
        index: WordIndex = self._once(
            ("words", condition.fields),
            lambda: WordIndex([Coded.of(self._column(field)) for field in condition.fields]),
        )
        kept = np.ones(self._table.num_rows, np.bool_)
        for word in words_of(condition):
            found = np.zeros(self._table.num_rows, np.bool_)
            found[index.rows(word)] = True
            kept &= found
        return kept

    def _coded(self, field: str) -> Coded:
        coded: Coded = self._once(("codes", field), lambda: Coded.of(self._column(field)))
        return coded

    def _column(self, field: str) -> pa.Array:
        return self._table.column(field).combine_chunks()

    def _once(self, key: Any, make: Callable[[], Any]) -> Any:
        with self._lock:
            if key not in self._made:
                self._made[key] = make()
                pa.default_memory_pool().release_unused()
            return self._made[key]


def _between(condition: Between, numbers: NDArray[np.float64]) -> Mask:
    low = -np.inf if condition.low is None else float(condition.low)
    high = np.inf if condition.high is None else float(condition.high)
    return (numbers >= low) & (numbers <= high)


def _numbers(column: pa.Array) -> NDArray[np.float64]:
    if pa.types.is_string(column.type):  # a date begins with its year
        column = pc.utf8_slice_codeunits(column, 0, 4)
    numbers: NDArray[np.float64] = column.cast(pa.float64(), safe=False).to_numpy(
        zero_copy_only=False
    )
    return numbers
