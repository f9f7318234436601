"""A column of texts, or of lists of texts, as numbers of its different values."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

MANY = 8
"""Of more than one row in so many, looking at every code is faster than gathering theirs."""


@dataclass(frozen=True)
class Coded:
    """`codes` are places in `values`, and `rows` the row of each. Row r has those from starts[r] up
    to starts[r + 1]; a value that a list holds twice it has once."""

    values: pa.Array
    codes: NDArray[np.int32]
    rows: NDArray[np.int32]
    starts: NDArray[np.int32]

    @classmethod
    def of(cls, column: pa.Array) -> "Coded":
        """Code a column; what is not known has no code."""
        is_list = pa.types.is_list(column.type)
        values = column.flatten() if is_list else column
        known = values.is_valid().to_numpy(zero_copy_only=False)
        rows = np.flatnonzero(known)
        if is_list:
            rows = pc.list_parent_indices(column).to_numpy()[rows]
        coded = values.drop_null().dictionary_encode()
        codes = coded.indices.to_numpy()
        if is_list and len(codes):
            each = sorted_once(rows * len(coded.dictionary) + codes)
            rows, codes = np.divmod(each, len(coded.dictionary))
        small = (one.astype(np.int32) for one in (codes, rows, starts_of(rows, len(column))))
        return cls(coded.dictionary, *small)

    def of_rows(self, rows: NDArray[Any]) -> NDArray[np.int32]:
        """The codes of some rows, all in one, in any order; no row twice."""
        count = len(self.starts) - 1
        if len(rows) > count // MANY:
            kept = np.zeros(count, np.bool_)
            kept[rows] = True
            chosen: NDArray[np.int32] = self.codes[np.take(kept, self.rows)]
            return chosen
        codes: NDArray[np.int32] = self.codes[ranges(self.starts[rows], self.starts[rows + 1])]
        return codes


def ranges(starts: NDArray[Any], ends: NDArray[Any]) -> NDArray[np.int64]:
    """All numbers from each start up to its end, one range after the other."""
    counts = (ends - starts).astype(np.int64)
    before = np.cumsum(counts) - counts
    numbers: NDArray[np.int64] = np.arange(counts.sum())
    numbers += np.repeat(starts - before, counts)
    return numbers


def sorted_once(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Numbers in their order, each once; what was given is sorted too."""
    numbers.sort()
    is_first = np.ones(len(numbers), np.bool_)
    np.not_equal(numbers[1:], numbers[:-1], out=is_first[1:])
    once: NDArray[np.int64] = numbers[is_first]
    return once


def starts_of(numbers: NDArray[Any], count: int) -> NDArray[np.int64]:
    """Where each of 0, 1, … `count` begins among sorted numbers."""
    starts = np.zeros(count + 1, np.int64)
    np.cumsum(np.bincount(numbers, minlength=count), out=starts[1:])
    return starts
