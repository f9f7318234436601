"""The oracle: NumPy, every cosine in float32."""

from collections.abc import Collection

import numpy as np
import pyarrow as pa

from image_search.encoder import Vectors
from image_search.filters import Filter, matching
from image_search.index.protocol import Index, Rows, checked

BLOCK = 16_384
"""Rows that are compared with many queries at a time."""

ROUNDING = 1e-6
"""By how much the same cosine may come out otherwise when it is summed in another order."""


class ExactIndex:
    """Every cosine, computed; `fields` has the columns that a filter may name, row by row."""

    def __init__(self, vectors: Vectors, fields: pa.Table | None = None) -> None:
        self._vectors = vectors
        self._fields = fields

    def __len__(self) -> int:
        return len(self._vectors)

    @property
    def dim(self) -> int:
        return int(self._vectors.shape[1])

    def search(
        self, vector: Vectors, k: int, exclude: Collection[int] = (), where: Filter = ()
    ) -> tuple[Rows, Vectors]:
        k = checked(self, vector, k)
        scores = self._vectors @ vector
        rows = np.argsort(-scores, kind="stable")
        kept = np.ones(len(self), np.bool_)
        if where:
            kept = matching(where, pa.table({}) if self._fields is None else self._fields)
        kept[list(exclude)] = False
        rows = rows[kept[rows]][:k]
        return rows, scores[rows]

    def nearest(self, queries: Vectors, k: int) -> tuple[Rows, Vectors]:
        """The k rows nearest to each of (q, dim) queries and their cosines, in no order: (q, k).

        All queries at once, over BLOCK rows at a time: a minute less for a million rows, and
        memory that does not grow with them.
        """
        k = min(k, len(self))
        rows = np.empty((len(queries), 0), np.int64)
        scores = np.empty((len(queries), 0), np.float32)
        for start in range(0, len(self), BLOCK):
            block = queries @ self._vectors[start : start + BLOCK].T
            scores = np.concatenate([scores, block], axis=1)
            places = np.broadcast_to(np.arange(start, start + block.shape[1]), block.shape)
            rows = np.concatenate([rows, places], axis=1)
            best = np.argpartition(-scores, k - 1, axis=1)[:, :k]
            scores = np.take_along_axis(scores, best, axis=1)
            rows = np.take_along_axis(rows, best, axis=1)
        return rows, scores

    def vector(self, row: int) -> Vectors:
        held: Vectors = self._vectors[row]
        return held


def recall(index: Index, exact: ExactIndex, queries: Vectors, k: int = 10) -> float:
    """The share of the exact k nearest rows that an index finds, over (q, dim) queries."""
    _, best = exact.nearest(queries, k)
    found = 0
    for query, scores in zip(queries, best, strict=True):
        rows, _ = index.search(query, k)
        # By the score, not by the row: of pictures that are the same any will do.
        cosines = np.array([exact.vector(int(row)) @ query for row in rows])
        found += int(np.sum(cosines >= scores.min() - ROUNDING))
    return found / best.size
