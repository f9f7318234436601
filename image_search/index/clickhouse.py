"""The nearest rows as a database finds them, by an HNSW graph over 16-bit floats.

Of what the graph finds, the cosines are computed again from the vectors themselves, in float32, so
that scores are those of exact search. With a filter every row that fulfils it is looked at: the
graph would lose some.
"""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from image_search.encoder import Vectors, unit
from image_search.engine.connection import Connection
from image_search.engine.tables import DISTANCE_OF, ROW, VECTOR
from image_search.engine.where import where as sql_of
from image_search.errors import EngineError, NotFoundError
from image_search.filters import Filter
from image_search.index.protocol import TIES, Rows, checked

CANDIDATES = 4_096
"""How many rows the graph keeps in view while it searches. Measured at 100,000 vectors that lie as
CLIP's and have little order within: ClickHouse's own 256 find 82 of the 100 nearest in 12 ms, 1,024
find 95 in 16 ms, these 99.8 in 29 ms."""

EXCLUDED = 1_000
"""Excluded rows for which others are asked for at once; with more, some at a time."""


class ClickHouseIndex:
    """Searches a table that `engine load` made; `fields` has the column and the type of each."""

    def __init__(
        self,
        connection: Connection,
        table: str,
        rows: int,
        dim: int,
        fields: Mapping[str, tuple[str, str]],
    ) -> None:
        self._connection = connection
        self._table = table
        self._rows = rows
        self._dim = dim
        self._fields = fields

    def __len__(self) -> int:
        return self._rows

    @property
    def dim(self) -> int:
        return self._dim

    def search(
        self, vector: Vectors, k: int, exclude: Collection[int] = (), where: Filter = ()
    ) -> tuple[Rows, Vectors]:
        k = checked(self, vector, k)
        excluded = frozenset(exclude)
        # Sorted by row, or with the excluded left out, by the database, the graph would not be
        # used: so some more, of which the excluded are taken out, until one is farther away.
        asked = k + min(len(excluded), EXCLUDED) + TIES
        while True:
            asked = min(asked, len(self))
            rows, distances = self._nearest(vector, asked, where)
            whole = asked == len(self) or len(rows) < asked
            farthest = distances[-1] if len(distances) else 0.0
            kept = np.array([row not in excluded for row in rows.tolist()], np.bool_)
            rows, distances = rows[kept], distances[kept]
            order = np.lexsort((rows, distances))
            if whole or (len(rows) >= k and distances[order[k - 1]] < farthest):
                # A shard that came back without its rows would make this a part of an answer,
                # without a word.
                self.count()
                best = order[:k]
                return rows[best], 1 - distances[best]
            asked *= 2

    def vector(self, row: int) -> Vectors:
        found = self._connection.rows(
            f"SELECT {VECTOR} FROM {self._table} WHERE {ROW} = {{row:UInt64}}", {"row": row}
        )
        if not found:
            raise NotFoundError("This collection has no such picture.")
        held: Vectors = unit(np.array(found[0][0], np.float32)[None])[0]
        return held

    def count(self) -> None:
        """Raise EngineError if rows are missing, or the database does not answer."""
        found = int(self._connection.rows(f"SELECT count() FROM {self._table}")[0][0])
        if found != len(self):
            raise EngineError(
                "A part of the collection is missing at the moment, so this was not answered: it "
                "would miss pictures without saying so. Try again in a while.",
                f"{self._table} has {found:,} rows instead of {len(self):,}; does a shard lack its "
                "own? Load the collection again.",
            )

    def _nearest(self, vector: Vectors, limit: int, where: Filter) -> tuple[Rows, Vectors]:
        """So many rows and their distances; fewer only if there are no more."""
        condition, parameters = sql_of(where, self._fields)
        sql = (
            f"SELECT {ROW}, cosineDistance({VECTOR}, {{vector:Array(Float32)}}) AS {DISTANCE_OF} "
            f"FROM {self._table}{f' WHERE {condition}' if condition else ''} "
            f"ORDER BY {DISTANCE_OF} LIMIT {limit}"
        )
        settings: dict[str, Any] = {
            "vector_search_with_rescoring": 1,
            "vector_search_filter_strategy": "prefilter",
            "hnsw_candidate_list_size_for_search": max(CANDIDATES, limit),
            "max_limit_for_vector_search_queries": max(1_000, limit),
        }
        asked = {"vector": vector.tolist(), **parameters}
        found = self._connection.rows(sql, asked, **settings)
        if len(found) < limit and not where:  # a graph need not reach every row
            found = self._connection.rows(sql, asked, **settings, use_skip_indexes=0)
        rows = np.array([row for row, _ in found], np.int64)
        return rows, np.array([distance for _, distance in found], np.float32)
