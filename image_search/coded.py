"""A column of texts, or of lists of texts, as numbers of its different values."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray


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
        found = pc.list_parent_indices(column).to_numpy() if is_list else np.arange(len(column))
        rows = found[known].astype(np.int64)
        coded = values.filter(pa.array(known)).dictionary_encode()
        codes = coded.indices.to_numpy().astype(np.int64)
        if is_list and len(codes):
            each = np.sort(rows * len(coded.dictionary) + codes)
            each = each[np.diff(each, prepend=-1) > 0]
            rows, codes = np.divmod(each, len(coded.dictionary))
        starts = np.searchsorted(rows, np.arange(len(column) + 1))
        small = (one.astype(np.int32) for one in (codes, rows, starts))
        return cls(coded.dictionary, *small)

    def of_rows(self, rows: NDArray[Any]) -> NDArray[np.int32]:
        """The codes of some rows, all in one."""
        codes: NDArray[np.int32] = self.codes[ranges(self.starts[rows], self.starts[rows + 1])]
        return codes


def ranges(starts: NDArray[Any], ends: NDArray[Any]) -> NDArray[np.int64]:
    """All numbers from each start up to its end, one range after the other."""
    counts = (ends - starts).astype(np.int64)
    before = np.cumsum(counts) - counts
    numbers: NDArray[np.int64] = np.repeat(starts - before, counts) + np.arange(counts.sum())
    return numbers
