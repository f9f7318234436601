"""What is known of the pictures: ids, fields and sizes by row. Knows no vectors."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from image_search.columns import Columns
from image_search.errors import ArtifactError
from image_search.filters import Filter

BEYOND = 100
"""One picture of so many may lie beyond either end of a scale: catalogues have years such as 0 and
9999."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one picture."""

    id: str
    width: int
    height: int
    """The size of the stored picture, in pixels."""
    metadata: dict[str, Any]
    """All fields; None where nothing is known."""


@dataclass(frozen=True)
class Among:
    """Pictures to be counted: those of some rows; without rows, all that fulfil the conditions and
    are not of the excluded rows."""

    rows: Sequence[int] | None = None
    where: Filter = ()
    exclude: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Scale:
    """So many bins of one width from `low` on. What is below is counted in the first, what is above
    in the last."""

    low: float
    width: float
    bins: int


class Catalogue(Protocol):
    """Anything that knows the pictures by their rows, which are the index's.

    Raises ValueError for a field that there is not.
    """

    def __len__(self) -> int: ...

    def rows(self, ids: Iterable[str]) -> dict[str, int]:
        """Id → row, of those that there are."""

    def known(self, rows: Sequence[int]) -> list[Known]:
        """What is known of some rows, in their order."""

    def count(self, among: Among) -> int:
        """How many pictures these are."""

    def listed(self, among: Among, k: int, offset: int) -> list[int]:
        """k of these rows, or fewer if there are no more, in order, after `offset` others."""

    def values(self, field: str, among: Among) -> Counter[str]:
        """Value → how many of these pictures have it."""

    def histogram(self, field: str, scale: Scale, among: Among) -> list[int]:
        """How many of these pictures lie in each bin; of dates the year counts."""

    def extent(
        self, field: str, exclude: frozenset[int] = frozenset()
    ) -> tuple[float, float] | None:
        """Between which numbers (of dates, years) nearly all pictures lie: all but one in 100 at
        each end; those of the excluded rows do not count. None if nothing is known."""


class TableCatalogue:
    """In memory: a table in one piece with the column `id` and the fields, in the index's order.

    `sizes` has the columns width and height, of the same rows.
    """

    def __init__(self, table: pa.Table, sizes: pa.Table) -> None:
        self.table = table
        self.sizes = sizes
        self._sizes = np.stack([sizes.column(c).to_numpy() for c in ("width", "height")], axis=1)
        if len(self._sizes) != table.num_rows or not (self._sizes >= 1).all():
            raise ArtifactError(f"not every one of {table.num_rows:,} pictures has a size")
        self._fields = table.drop_columns(["id"])
        self.columns = Columns(self._fields)
        self._ids = table.column("id").chunk(0)
        self._extents: dict[str, tuple[frozenset[int], tuple[float, float] | None]] = {}

    @classmethod
    def read(cls, metadata: Path, sizes: Path) -> "TableCatalogue":
        """Read metadata.parquet and sizes.parquet. Raises ArtifactError if they are not tables."""
        try:
            return cls(_read(metadata), _read(sizes))
        except (OSError, pa.ArrowException, LookupError, ValueError) as error:
            names = f"{metadata.name} or {sizes.name}"
            raise ArtifactError(f"{names} cannot be read: {error}") from None

    def __len__(self) -> int:
        return len(self._ids)

    def ids(self) -> list[str]:
        """All ids, by row: a new list, for which a large collection takes a moment."""
        ids: list[str] = self._ids.to_pylist()
        return ids

    @cached_property
    def _by_id(self) -> NDArray[np.uint64]:
        order: NDArray[np.uint64] = pc.sort_indices(self._ids).to_numpy()
        return order

    def row(self, id: str) -> int | None:
        """The row of an id, or None if there is none."""
        # A dict of half a million strings would take ten times the memory, and this microseconds.
        place = bisect_left(self._by_id, id, key=lambda row: self._ids[row].as_py())
        if place == len(self) or self._ids[row := int(self._by_id[place])].as_py() != id:
            return None
        return row

    def rows(self, ids: Iterable[str]) -> dict[str, int]:
        """Id → row, of those that there are."""
        found = ((id, self.row(id)) for id in ids)
        return {id: row for id, row in found if row is not None}

    def known(self, rows: Sequence[int]) -> list[Known]:
        """What is known of some rows, in their order."""
        sizes = self._sizes[list(rows)].tolist()
        return [
            Known(self._ids[row].as_py(), width, height, metadata)
            for row, (width, height), metadata in zip(
                rows, sizes, self._metadata(rows), strict=True
            )
        ]

    def count(self, among: Among) -> int:
        return len(self._rows_of(among))

    def listed(self, among: Among, k: int, offset: int) -> list[int]:
        rows: list[int] = self._rows_of(among)[offset : offset + k].tolist()
        return rows

    def values(self, field: str, among: Among) -> Counter[str]:
        return self.columns.counts(field, self._rows_of(among))

    def histogram(self, field: str, scale: Scale, among: Among) -> list[int]:
        numbers = self.columns.numbers(field)[self._rows_of(among)]
        numbers = numbers[~np.isnan(numbers)]
        # Halves: the difference of two numbers can be beyond all numbers.
        places = (numbers / 2 - scale.low / 2) // (scale.width / 2)
        bins = np.clip(places, 0, scale.bins - 1).astype(np.int64)
        counts: list[int] = np.bincount(bins, minlength=scale.bins).tolist()
        return counts

    def extent(
        self, field: str, exclude: frozenset[int] = frozenset()
    ) -> tuple[float, float] | None:
        if field not in self._extents or self._extents[field][0] != exclude:
            numbers = np.delete(self.columns.numbers(field), list(exclude))
            self._extents[field] = exclude, _extent(numbers)
        return self._extents[field][1]

    def _rows_of(self, among: Among) -> NDArray[np.int64]:
        if among.rows is not None:
            return np.array(among.rows, np.int64)
        kept = np.ones(len(self), np.bool_)
        if among.where:
            kept = self.columns.matching(among.where).copy()
        kept[list(among.exclude)] = False
        return np.flatnonzero(kept)

    def _metadata(self, rows: Sequence[int]) -> list[dict[str, Any]]:
        if not self._fields.column_names:
            return [{} for _ in rows]
        taken: list[dict[str, Any]] = self._fields.take(pa.array(rows, pa.int64())).to_pylist()
        return taken


def _extent(numbers: NDArray[np.float64]) -> tuple[float, float] | None:
    numbers = np.sort(numbers)  # what is not known comes last
    known = int(np.count_nonzero(~np.isnan(numbers)))
    if not known:
        return None
    beyond = known // BEYOND
    return float(numbers[beyond]), float(numbers[known - 1 - beyond])


def _read(path: Path) -> pa.Table:
    """A table in one piece, in which rows are found at once and not chunk by chunk.

    Column by column: half the time, and a third of the memory that stays taken.
    """
    file = pq.ParquetFile(path, memory_map=True)
    schema = file.schema_arrow.remove_metadata()
    columns = [
        file.read([name], use_threads=False).column(name).combine_chunks() for name in schema.names
    ]
    pa.default_memory_pool().release_unused()
    return pa.table(columns, schema=schema)
